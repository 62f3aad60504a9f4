//! The Neutron ports that carry this cluster's marks, as last seen: loaded once, kept up by our own calls, and compared
//! with Neutron in bulk from time to time. No reconcile lists ports for itself.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kuryr_openstack::network::{Port, PortStatus};

use super::observed::Observed;
use crate::cache::Key;

#[derive(Default)]
struct Inner {
    by_id: HashMap<String, Arc<Port>>,
    /// `device_id` (a pod's uid) → port ids, oldest first.
    by_owner: HashMap<String, BTreeSet<String>>,
    /// Port ids known not to exist any more, with the pass in which that was learnt.
    gone: HashMap<String, u64>,
    /// Owners for whom a port may have been created without an answer reaching us.
    uncertain: HashSet<String>,
    /// Ids that we put in during the running pass: its list may be older.
    fresh: HashSet<String>,
    /// Counts passes over the whole list.
    pass: u64,
}

/// Our ports by id and by owner.
#[derive(Default)]
pub struct PortIndex {
    inner: Mutex<Inner>,
}

impl PortIndex {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills in what is known of the ports of this owner and of the ports a KuryrPort names; where neither Pod nor KuryrPort is
    /// left to tell an owner, of the ports made for a pod of this name.
    pub fn observe(&self, key: &Key, observed: &mut Observed) {
        let inner = self.lock();
        let owner = observed.owner_uid().map(str::to_owned);
        let recorded: Vec<String> = observed.recorded_ports().map(str::to_owned).collect();
        let of_owner = owner.iter().filter_map(|owner| inner.by_owner.get(owner)).flatten().cloned();
        let name = owner.is_none().then(|| key.to_string());
        let named =
            |name: String| inner.by_id.values().filter(move |port| port.name == name).map(|port| port.id.clone());
        let of_nobody = name.into_iter().flat_map(named);
        let ids: BTreeSet<String> = of_owner.chain(recorded).chain(of_nobody).collect();
        observed.gone = ids.iter().filter(|id| inner.gone.contains_key(*id)).cloned().collect();
        observed.ports = ids.iter().filter_map(|id| inner.by_id.get(id).cloned()).collect();
        // Oldest first, so that every look picks the same one of two.
        observed.ports.sort_by(|a, b| (&a.created_at, &a.id).cmp(&(&b.created_at, &b.id)));
        observed.uncertain = owner.is_some_and(|owner| inner.uncertain.contains(&owner));
    }

    /// Takes in a port we created or looked at.
    pub fn insert(&self, port: Port) -> Arc<Port> {
        self.lock().insert(port)
    }

    /// Takes in a port's status.
    pub fn set_status(&self, id: &str, status: PortStatus) {
        let mut inner = self.lock();
        if let Some(port) = inner.by_id.get(id) {
            let port = Port { status, ..(**port).clone() };
            inner.insert(port);
        }
    }

    /// Takes in that a port does not exist any more.
    pub fn remove(&self, id: &str) {
        let mut inner = self.lock();
        let pass = inner.pass;
        inner.remove(id);
        inner.gone.insert(id.to_owned(), pass);
    }

    /// A port may have been created for this owner: look before creating another.
    pub fn mark_uncertain(&self, owner: &str) {
        self.lock().uncertain.insert(owner.to_owned());
    }

    /// Takes in every port of this owner, which settles any doubt.
    pub fn settle(&self, owner: &str, ports: Vec<Port>) {
        let mut inner = self.lock();
        inner.uncertain.remove(owner);
        for port in ports {
            inner.insert(port);
        }
    }

    /// Begins a pass: what is put in or taken out from now on wins over the list that is being fetched.
    pub fn begin_pass(&self) {
        let mut inner = self.lock();
        inner.pass += 1;
        inner.fresh.clear();
    }

    /// Ends a pass with the complete list of our ports. Returns the owners whose ports changed.
    pub fn end_pass(&self, ports: Vec<Port>) -> BTreeSet<String> {
        let mut inner = self.lock();
        let mut changed = BTreeSet::new();
        let listed: HashSet<String> = ports.iter().map(|port| port.id.clone()).collect();
        for port in ports {
            // Deleted by us while the list was made.
            if inner.gone.get(&port.id) == Some(&inner.pass) || inner.fresh.contains(&port.id) {
                continue;
            }
            let known = inner.by_id.get(&port.id);
            if known.is_none_or(|known| **known != port) {
                changed.insert(port.device_id.clone());
                inner.put(port);
            }
        }
        let missing: Vec<Arc<Port>> = inner
            .by_id
            .values()
            .filter(|port| !listed.contains(&port.id) && !inner.fresh.contains(&port.id))
            .cloned()
            .collect();
        for port in missing {
            let pass = inner.pass;
            changed.insert(port.device_id.clone());
            inner.remove(&port.id);
            inner.gone.insert(port.id.clone(), pass);
        }
        let pass = inner.pass;
        inner.gone.retain(|_, learnt| pass.saturating_sub(*learnt) < GONE_FOR);
        changed
    }

    /// Every known port.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, Arc<Port>> {
        self.lock().by_id.iter().map(|(id, port)| (id.clone(), Arc::clone(port))).collect()
    }
}

/// For how many passes a port's end is remembered.
const GONE_FOR: u64 = 100;

impl Inner {
    fn insert(&mut self, port: Port) -> Arc<Port> {
        self.fresh.insert(port.id.clone());
        self.gone.remove(&port.id);
        self.put(port)
    }

    fn put(&mut self, port: Port) -> Arc<Port> {
        self.remove(&port.id);
        let port = Arc::new(port);
        // Ports of kuryr-kubernetes' pools have none: they are not each other's.
        if !port.device_id.is_empty() {
            self.by_owner.entry(port.device_id.clone()).or_default().insert(port.id.clone());
        }
        self.by_id.insert(port.id.clone(), Arc::clone(&port));
        port
    }

    fn remove(&mut self, id: &str) {
        let Some(port) = self.by_id.remove(id) else { return };
        if let Some(ids) = self.by_owner.get_mut(&port.device_id) {
            ids.remove(id);
            if ids.is_empty() {
                self.by_owner.remove(&port.device_id);
            }
        }
    }
}
