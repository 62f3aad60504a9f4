//! What Octavia and Neutron have for those who have load balancers, as last seen: loaded once, kept up by our own calls, and compared with Octavia in bulk from
//! time to time. No reconcile lists for itself, unless an answer was lost.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kuryr_openstack::load_balancing::{
    HealthMonitor, L7Policy, L7Rule, Listener, LoadBalancer, Member, Pool, ProvisioningStatus,
};
use kuryr_openstack::network::FloatingIp;

/// What Octavia has for one owner: a Service, or what requests are routed by.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Held {
    pub(crate) balancer: Option<LoadBalancer>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) pools: Vec<Pool>,
    /// By pool.
    pub(crate) members: BTreeMap<String, Vec<Member>>,
    /// Health monitors, by pool.
    pub(crate) monitors: BTreeMap<String, HealthMonitor>,
    /// Addresses that the port of its VIP has; only known where there is to be more than one.
    pub(crate) vip_addresses: Vec<IpAddr>,
    /// Ids of other load balancers of the same name.
    pub(crate) others: Vec<String>,
    /// Where its listeners for HTTP send which requests.
    pub(crate) policies: Vec<L7Policy>,
    /// By policy.
    pub(crate) rules: BTreeMap<String, Vec<L7Rule>>,
    /// The floating IP that leads to it, or was made for it.
    pub(crate) floating: Option<FloatingIp>,
    /// Further floating IPs that were made for it: of a change that was not finished.
    pub(crate) spare: Vec<FloatingIp>,
}

impl Held {
    /// The port of the load balancer's VIP, if it is known.
    pub(crate) fn vip_port(&self) -> Option<&String> {
        self.balancer.as_ref()?.vip_port_id.as_ref()
    }

    /// Takes in a listener as it is after a change.
    pub(crate) fn replace_listener(&mut self, changed: &Listener) {
        let known = self.listeners.iter_mut().filter(|known| known.id == changed.id);
        known.for_each(|known| known.clone_from(changed));
    }

    /// Takes in a pool as it is after a change.
    pub(crate) fn replace_pool(&mut self, changed: &Pool) {
        let known = self.pools.iter_mut().filter(|known| known.id == changed.id);
        known.for_each(|known| known.clone_from(changed));
    }

    /// The load balancer is gone, with all that was on it. Its floating IP stays.
    pub(crate) fn lose_balancer(&mut self) {
        let (floating, spare) = (self.floating.take(), std::mem::take(&mut self.spare));
        *self = Held { floating, spare, ..Held::default() };
    }
}

struct Inner<K> {
    held: HashMap<K, Arc<Held>>,
    /// Owners for whom something may have been made without an answer reaching us.
    uncertain: HashSet<K>,
    /// Owners of whose we changed something during the running pass: its lists may be older.
    fresh: HashSet<K>,
}

/// Load balancers by the owner they are for.
pub(crate) struct Index<K> {
    inner: Mutex<Inner<K>>,
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        let inner = Inner { held: HashMap::new(), uncertain: HashSet::new(), fresh: HashSet::new() };
        Self { inner: Mutex::new(inner) }
    }
}

impl<K: Clone + Eq + Hash + Ord> Index<K> {
    fn lock(&self) -> MutexGuard<'_, Inner<K>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is for this Service, and whether that is in doubt.
    pub(crate) fn of(&self, key: &K) -> (Arc<Held>, bool) {
        let inner = self.lock();
        (inner.held.get(key).cloned().unwrap_or_default(), inner.uncertain.contains(key))
    }

    /// Every Service for which there is something.
    pub(crate) fn keys(&self) -> Vec<K> {
        self.lock().held.keys().cloned().collect()
    }

    /// Takes in what a call of ours changed.
    pub(crate) fn change(&self, key: &K, change: impl FnOnce(&mut Held)) {
        let mut inner = self.lock();
        let mut held = inner.held.get(key).map(|held| Held::clone(held)).unwrap_or_default();
        change(&mut held);
        inner.fresh.insert(key.clone());
        inner.put(key, held);
    }

    /// Something may have been made or changed: look before doing more.
    pub(crate) fn mark_uncertain(&self, key: &K) {
        self.lock().uncertain.insert(key.clone());
    }

    /// Takes in all there is for a Service, which settles any doubt.
    pub(crate) fn settle(&self, key: &K, held: Held) {
        let mut inner = self.lock();
        inner.uncertain.remove(key);
        inner.fresh.insert(key.clone());
        inner.put(key, held);
    }

    /// Services whose load balancer Octavia is at work on.
    pub(crate) fn pending(&self) -> Vec<K> {
        let is_pending = |held: &Held| held.balancer.as_ref().is_some_and(|it| it.provisioning_status.is_pending());
        self.lock().held.iter().filter(|(_, held)| is_pending(held)).map(|(key, _)| key.clone()).collect()
    }

    /// How many load balancers there are, and on how many of them Octavia is at work.
    pub(crate) fn count(&self) -> (usize, usize) {
        let inner = self.lock();
        let balancers = || inner.held.values().filter_map(|held| held.balancer.as_ref());
        (balancers().count(), balancers().filter(|balancer| balancer.provisioning_status.is_pending()).count())
    }

    /// Takes in the states of load balancers that were waited for; `listed` is all there are. Returns whom it concerns.
    pub(crate) fn advance(&self, waited_for: &[K], listed: &[LoadBalancer]) -> Vec<K> {
        let mut inner = self.lock();
        let mut concerned = Vec::new();
        for key in waited_for {
            let Some(mut held) = inner.held.get(key).map(|held| Held::clone(held)) else { continue };
            let Some(known) = &held.balancer else { continue };
            match listed.iter().find(|balancer| balancer.id == known.id) {
                Some(balancer) if balancer.provisioning_status == ProvisioningStatus::Deleted => held.lose_balancer(),
                Some(balancer) if *balancer == *known => continue,
                Some(balancer) => held.balancer = Some(balancer.clone()),
                None => held.lose_balancer(),
            }
            let waits = held.balancer.as_ref().is_some_and(|it| it.provisioning_status.is_pending());
            inner.put(key, held);
            if !waits {
                concerned.push(key.clone());
            }
        }
        concerned
    }

    /// Begins a pass: what is changed from now on wins over the lists that are being fetched.
    pub(crate) fn begin_pass(&self) {
        self.lock().fresh.clear();
    }

    /// Ends a pass with all there is. Returns whom it concerns.
    pub(crate) fn end_pass(&self, mut all: HashMap<K, Held>) -> BTreeSet<K> {
        let mut inner = self.lock();
        let mut concerned = BTreeSet::new();
        let known: BTreeSet<K> = inner.held.keys().chain(all.keys()).cloned().collect();
        for key in known {
            if inner.fresh.contains(&key) {
                continue;
            }
            let mut held = all.remove(&key).unwrap_or_default();
            inner.carry(&key, &mut held);
            if inner.held.get(&key).is_none_or(|known| **known != held) {
                inner.put(&key, held);
                concerned.insert(key);
            }
        }
        concerned
    }
}

impl<K: Clone + Eq + Hash> Inner<K> {
    /// What lists do not say, and what does not change as long as the port is the same.
    fn carry(&self, key: &K, held: &mut Held) {
        if let Some(known) = self.held.get(key)
            && held.vip_addresses.is_empty()
            && known.vip_port() == held.vip_port()
        {
            held.vip_addresses.clone_from(&known.vip_addresses);
        }
    }

    fn put(&mut self, key: &K, mut held: Held) {
        self.carry(key, &mut held);
        if held == Held::default() {
            self.held.remove(key);
        } else {
            self.held.insert(key.clone(), Arc::new(held));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Key;

    fn key() -> Key {
        Key { namespace: "default".to_owned(), name: "web".to_owned() }
    }

    fn balancer(status: ProvisioningStatus) -> LoadBalancer {
        LoadBalancer { id: "1".to_owned(), provisioning_status: status, ..LoadBalancer::default() }
    }

    fn held(status: ProvisioningStatus) -> Held {
        Held { balancer: Some(balancer(status)), ..Held::default() }
    }

    #[test]
    fn who_waits_is_told_when_octavia_is_done() {
        let index = Index::default();
        index.settle(&key(), held(ProvisioningStatus::PendingUpdate));
        assert_eq!(index.pending(), [key()]);
        assert!(index.advance(&[key()], &[balancer(ProvisioningStatus::PendingUpdate)]).is_empty());
        assert_eq!(index.advance(&[key()], &[balancer(ProvisioningStatus::Active)]), [key()]);
        assert!(index.pending().is_empty());
        index.settle(&key(), held(ProvisioningStatus::PendingDelete));
        assert_eq!(index.advance(&[key()], &[]), [key()]);
        assert!(index.keys().is_empty());
    }

    #[test]
    fn what_we_changed_during_a_pass_wins() {
        let index = Index::default();
        index.begin_pass();
        index.settle(&key(), held(ProvisioningStatus::PendingCreate));
        assert!(index.end_pass(HashMap::new()).is_empty());
        index.begin_pass();
        assert_eq!(index.end_pass(HashMap::new()), BTreeSet::from([key()]));
        assert!(index.keys().is_empty());
    }
}
