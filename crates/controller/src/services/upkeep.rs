//! What Octavia has: loaded once, asked for the states somebody waits for in one call for all, and compared from time to time.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use kuryr_openstack::load_balancing::{
    HealthMonitor, HealthMonitorQuery, ListenerQuery, LoadBalancer, LoadBalancerQuery, LoadBalancing, Member,
    PoolQuery, ProvisioningStatus,
};
use kuryr_openstack::network::FloatingIpQuery;
use kuryr_openstack::{Error, ErrorKind};
use tokio_util::sync::CancellationToken;

use super::Services;
use super::index::Held;
use super::marks::{MADE, key};
use crate::cache::Key;

/// Lists of members asked for at once.
const LISTS_AT_ONCE: usize = 8;

impl Services {
    /// Loads the index; tries until it succeeds.
    pub(super) async fn load_index(&self) {
        let mut wait = Duration::from_millis(500);
        loop {
            let loaded = async {
                let version = self.cloud.load_balancing().version().await?;
                self.version.get_or_init(|| version);
                self.compare_with_octavia().await
            };
            let Err(error) = loaded.await else { return };
            tracing::warn!(%error, "cannot list our load balancers; trying again in {wait:?}");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(15));
        }
    }

    /// Compares with Octavia until `shutdown`.
    pub(super) async fn watch_drift(&self, shutdown: &CancellationToken) {
        loop {
            let rest = tokio::time::sleep(self.config.drift_interval);
            if shutdown.run_until_cancelled(rest).await.is_none() {
                return;
            }
            match shutdown.run_until_cancelled(self.compare_with_octavia()).await {
                None => return,
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::warn!(%error, "cannot list our load balancers"),
            }
        }
    }

    /// Asks for the states somebody waits for, until `shutdown`.
    pub(super) async fn poll_pending(&self, shutdown: &CancellationToken) {
        loop {
            let rest = tokio::time::sleep(self.config.activation_interval);
            if shutdown.run_until_cancelled(rest).await.is_none() {
                return;
            }
            let waited_for = self.index.pending();
            if waited_for.is_empty() {
                continue;
            }
            let query = LoadBalancerQuery { project_id: Some(self.project().to_owned()), ..Default::default() };
            match self.cloud.load_balancing().list_load_balancers(&query).await {
                Ok(listed) => {
                    self.index.advance(&waited_for, &listed).into_iter().for_each(|key| self.queue.wake(key));
                }
                Err(error) => tracing::debug!(%error, "cannot ask for the states of load balancers"),
            }
        }
    }

    /// One pass: what Octavia has becomes what we know, and whoever it concerns is looked at.
    async fn compare_with_octavia(&self) -> Result<(), Error> {
        self.index.begin_pass();
        let balancers = self.list(None).await?;
        let mut all = with_children(self.cloud.load_balancing(), self.project(), balancers, None).await?;
        self.add_floating_ips(&mut all).await?;
        self.index.end_pass(all).into_iter().for_each(|key| self.queue.wake(key));
        Ok(())
    }

    /// All there is for one Service.
    pub(super) async fn find(&self, key: &Key) -> Result<Held, Error> {
        let balancers = self.list(Some(key.to_string())).await?;
        let id = balancers.first().map(|(_, balancer)| balancer.id.clone());
        let mut all = with_children(self.cloud.load_balancing(), self.project(), balancers, id).await?;
        self.add_floating_ips(&mut all).await?;
        Ok(all.remove(key).unwrap_or_default())
    }

    /// Floating IPs that were made for a Service, or lead to its load balancer.
    async fn add_floating_ips(&self, all: &mut HashMap<Key, Held>) -> Result<(), Error> {
        let query = FloatingIpQuery { project_id: Some(self.project().to_owned()), ..Default::default() };
        let floating_ips = match self.cloud.network().list_floating_ips(&query).await {
            // A Neutron without routers has none.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            answer => answer?,
        };
        let recorded: HashMap<String, Key> = (self.watched.records.all().into_iter())
            .filter_map(|(key, record)| {
                let info = record.status.as_ref()?.service_pub_ip_info.as_ref()?;
                (info.alloc_method == MADE).then(|| (info.ip_id.clone(), key))
            })
            .collect();
        let vips: HashMap<String, Key> = (all.iter())
            .filter_map(|(key, held)| Some((held.balancer.as_ref()?.vip_port_id.clone()?, key.clone())))
            .collect();
        for floating in floating_ips {
            let led = floating.port_id.as_ref().and_then(|port| vips.get(port)).cloned();
            let made = self.marks.service_of(&floating).or_else(|| recorded.get(&floating.id).cloned());
            let Some(key) = made.or(led) else { continue };
            let recorded = recorded.get(&floating.id).filter(|of| **of == key).is_some();
            let held = all.entry(key).or_default();
            let vip = held.balancer.as_ref().and_then(|balancer| balancer.vip_port_id.as_ref());
            let leads = floating.port_id.is_some() && floating.port_id.as_ref() == vip;
            let (first, second) = match held.floating.take() {
                None => (floating, None),
                Some(known) if leads || recorded => (floating, Some(known)),
                Some(known) => (known, Some(floating)),
            };
            held.floating = Some(first);
            // Of somebody else's nothing is to be taken away.
            held.spare.extend(second.filter(|second| self.marks.service_of(second).is_some()));
        }
        Ok(())
    }

    /// Our load balancers, all or those of one name.
    async fn list(&self, name: Option<String>) -> Result<Vec<(Key, LoadBalancer)>, Error> {
        let query = LoadBalancerQuery { project_id: Some(self.project().to_owned()), name, ..Default::default() };
        let listed = self.cloud.load_balancing().list_load_balancers(&query).await?;
        // What kuryr-kubernetes made has no tag, but its KuryrLoadBalancer names it.
        let recorded: BTreeSet<String> = (self.watched.records.all().iter())
            .filter_map(|(_, record)| Some(record.status.as_ref()?.loadbalancer.as_ref()?.id.clone()))
            .collect();
        let ours = listed.into_iter().filter(|balancer| {
            balancer.provisioning_status != ProvisioningStatus::Deleted
                && self.is_of_services(balancer.vip_subnet_id.as_ref())
                && (self.marks.are_on(balancer) || recorded.contains(&balancer.id))
        });
        let mut ours: Vec<(Key, LoadBalancer)> =
            ours.filter_map(|balancer| Some((key(&balancer.name)?, balancer))).collect();
        // Of two with one name, the one that is written down is meant, else the one that has the Service's address, else the older id.
        ours.sort_by_cached_key(|(key, balancer)| {
            let vip = self.watched.services.get(key).and_then(|service| service.cluster_ips.first().copied());
            let is_meant = (recorded.contains(&balancer.id), vip.is_some() && balancer.vip_address == vip);
            (std::cmp::Reverse(is_meant), balancer.id.clone())
        });
        Ok(ours)
    }
}

/// These load balancers with what is on them; `only` narrows the lists to one.
pub(crate) async fn with_children<K: Clone + Eq + Hash>(
    octavia: &LoadBalancing,
    project: &str,
    balancers: Vec<(K, LoadBalancer)>,
    only: Option<String>,
) -> Result<HashMap<K, Held>, Error> {
    let mut all: HashMap<K, Held> = HashMap::new();
    if balancers.is_empty() {
        return Ok(all);
    }
    let project_id = Some(project.to_owned());
    let of_listeners =
        ListenerQuery { project_id: project_id.clone(), load_balancer_id: only.clone(), ..Default::default() };
    let of_pools = PoolQuery { project_id, load_balancer_id: only, ..Default::default() };
    let (listeners, pools) = tokio::try_join!(octavia.list_listeners(&of_listeners), octavia.list_pools(&of_pools))?;
    let mut owners: HashMap<String, K> = HashMap::new();
    for (key, balancer) in balancers {
        let held = all.entry(key.clone()).or_default();
        if held.balancer.is_some() {
            held.others.push(balancer.id);
            continue;
        }
        owners.insert(balancer.id.clone(), key);
        held.balancer = Some(balancer);
    }
    for listener in listeners {
        let owner = listener.loadbalancers.first().and_then(|balancer| owners.get(&balancer.id));
        if let Some(held) = owner.and_then(|key| all.get_mut(key)) {
            held.listeners.push(listener);
        }
    }
    let mut monitors: HashMap<String, HealthMonitor> = HashMap::new();
    if pools.iter().any(|pool| pool.healthmonitor_id.is_some()) {
        let query = HealthMonitorQuery { project_id: Some(project.to_owned()), ..Default::default() };
        let listed = octavia.list_health_monitors(&query).await?;
        monitors.extend(listed.into_iter().map(|monitor| (monitor.id.clone(), monitor)));
    }
    let mut with_members = Vec::new();
    for pool in pools {
        let owner = pool.loadbalancers.first().and_then(|balancer| owners.get(&balancer.id));
        if let Some(key) = owner {
            if !pool.members.is_empty() {
                with_members.push((key.clone(), pool.id.clone()));
            }
            if let Some(held) = all.get_mut(key) {
                let monitor = pool.healthmonitor_id.as_ref().and_then(|id| monitors.remove(id));
                held.monitors.extend(monitor.map(|monitor| (pool.id.clone(), monitor)));
                held.pools.push(pool);
            }
        }
    }
    let asked = with_members.into_iter().map(|(key, pool)| async {
        match octavia.list_members(&pool).await {
            Ok(members) => Ok((key, pool, members)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok((key, pool, Vec::new())),
            Err(error) => Err(error),
        }
    });
    let lists: Vec<(K, String, Vec<Member>)> =
        stream::iter(asked).buffer_unordered(LISTS_AT_ONCE).try_collect().await?;
    for (key, pool, members) in lists {
        if let Some(held) = all.get_mut(&key) {
            held.members.insert(pool, members);
        }
    }
    Ok(all)
}
