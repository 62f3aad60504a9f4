//! What is on load balancers, in as many lists as there are kinds, and one for the members of each pool.

use std::collections::HashMap;
use std::hash::Hash;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use kuryr_openstack::load_balancing::{
    HealthMonitor, HealthMonitorQuery, ListenerQuery, LoadBalancer, LoadBalancing, Member, PoolQuery,
};
use kuryr_openstack::{Error, ErrorKind};

use super::index::Held;

/// Lists of members, or of rules, asked for at once.
pub(crate) const LISTS_AT_ONCE: usize = 8;

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
