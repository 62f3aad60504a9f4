//! What calls to Octavia say: from what should be to what is created and changed. Pure.

use ipnet::IpNet;
use kuryr_openstack::load_balancing::{
    HealthMonitorUpdate, ListenerProtocol, ListenerUpdate, Member, NewHealthMonitor, NewListener, NewMember, NewPool,
    Pool, PoolProtocol, PoolUpdate, ProvisioningStatus,
};

use super::desired::{Listener, Monitor};
use super::facts::Protocol;
use super::plan::{Place, Way};
use crate::balancing::index::Held;
use crate::balancing::members::EVEN;

pub(super) fn new_listener(
    balancer: Option<String>,
    (protocol, port): Place,
    listener: &Listener,
    way: &Way,
    tags: Vec<String>,
) -> NewListener {
    NewListener {
        loadbalancer_id: balancer,
        name: listener.name.clone(),
        protocol: match protocol {
            Protocol::Tcp => ListenerProtocol::Tcp,
            Protocol::Udp => ListenerProtocol::Udp,
            Protocol::Sctp => ListenerProtocol::Sctp,
        },
        protocol_port: port,
        allowed_cidrs: ranges(listener).filter(|_| way.source_ranges),
        timeout_client_data: listener.timeouts.client_data,
        timeout_member_data: listener.timeouts.member_data,
        timeout_member_connect: listener.timeouts.member_connect,
        timeout_tcp_inspect: listener.timeouts.tcp_inspect,
        // Without limit is what it is anyway.
        connection_limit: listener.connection_limit.filter(|limit| *limit != -1),
        tags,
        ..NewListener::default()
    }
}

pub(super) fn listener_update(listener: &Listener, way: &Way) -> ListenerUpdate {
    ListenerUpdate {
        admin_state_up: Some(true),
        timeout_client_data: listener.timeouts.client_data.map(Some),
        timeout_member_data: listener.timeouts.member_data.map(Some),
        timeout_member_connect: listener.timeouts.member_connect.map(Some),
        timeout_tcp_inspect: listener.timeouts.tcp_inspect.map(Some),
        connection_limit: listener.connection_limit,
        allowed_cidrs: way.source_ranges.then(|| ranges(listener)),
        ..ListenerUpdate::default()
    }
}

/// A listener with its pool and all behind it, to be made with its load balancer.
pub(super) fn whole_listener(place: Place, listener: &Listener, way: &Way, tags: &[String]) -> NewListener {
    let monitor = listener.monitor.flatten();
    NewListener {
        default_pool: Some(NewPool {
            members: new_members(listener, tags),
            healthmonitor: monitor.map(|monitor| new_monitor(None, listener, monitor, tags.to_vec())),
            ..new_pool(None, place, listener, way, tags.to_vec())
        }),
        ..new_listener(None, place, listener, way, tags.to_vec())
    }
}

/// A pool; without a listener it is made with one.
pub(super) fn new_pool(
    listener_id: Option<&str>,
    place: Place,
    listener: &Listener,
    way: &Way,
    tags: Vec<String>,
) -> NewPool {
    let usual = match place.0 {
        Protocol::Tcp => PoolProtocol::Tcp,
        Protocol::Udp => PoolProtocol::Udp,
        Protocol::Sctp => PoolProtocol::Sctp,
    };
    NewPool {
        listener_id: listener_id.map(str::to_owned),
        name: listener.name.clone(),
        protocol: listener.pool_protocol.unwrap_or(usual),
        lb_algorithm: listener.algorithm.unwrap_or(way.algorithm),
        session_persistence: listener.affinity.clone(),
        tags,
        ..NewPool::default()
    }
}

pub(super) fn pool_update(listener: &Listener) -> PoolUpdate {
    PoolUpdate {
        admin_state_up: Some(true),
        lb_algorithm: listener.algorithm,
        session_persistence: Some(listener.affinity.clone()),
        ..PoolUpdate::default()
    }
}

pub(super) fn new_members(listener: &Listener, tags: &[String]) -> Vec<NewMember> {
    let members = listener.members.iter().map(|((address, port), member)| NewMember {
        address: *address,
        protocol_port: *port,
        subnet_id: member.subnet.clone(),
        name: member.name.clone(),
        weight: Some(EVEN),
        tags: tags.to_vec(),
    });
    members.collect()
}

/// What tries members; without a pool it is made with one.
pub(super) fn new_monitor(
    pool: Option<&str>,
    listener: &Listener,
    monitor: Monitor,
    tags: Vec<String>,
) -> NewHealthMonitor {
    NewHealthMonitor {
        pool_id: pool.map(str::to_owned),
        name: listener.name.clone(),
        kind: monitor.kind,
        delay: monitor.rhythm.delay,
        timeout: monitor.rhythm.timeout,
        max_retries: monitor.rhythm.max_retries,
        max_retries_down: Some(monitor.rhythm.max_retries_down),
        tags,
        ..NewHealthMonitor::default()
    }
}

pub(super) fn monitor_update(monitor: Monitor) -> HealthMonitorUpdate {
    HealthMonitorUpdate {
        admin_state_up: Some(true),
        delay: Some(monitor.rhythm.delay),
        timeout: Some(monitor.rhythm.timeout),
        max_retries: Some(monitor.rhythm.max_retries),
        max_retries_down: Some(monitor.rhythm.max_retries_down),
        ..HealthMonitorUpdate::default()
    }
}

/// Whom a listener lets in, in Octavia's words: nothing is everybody.
fn ranges(listener: &Listener) -> Option<Vec<IpNet>> {
    Some(listener.source_ranges.clone()).filter(|ranges| !ranges.is_empty())
}

/// A pool that was made for a listener.
pub(super) fn attach(held: &mut Held, listener: &str, pool: Pool) {
    for known in held.listeners.iter_mut().filter(|known| known.id == listener) {
        known.default_pool_id = Some(pool.id.clone());
    }
    held.pools.push(pool);
}

/// A pool that is gone.
pub(super) fn detach(held: &mut Held, pool: &str) {
    held.pools.retain(|known| known.id != pool);
    held.members.remove(pool);
    held.monitors.remove(pool);
    for listener in &mut held.listeners {
        listener.default_pool_id = listener.default_pool_id.take().filter(|id| id != pool);
    }
}

/// The members of a pool after all were set. Octavia does not say the ids of new ones.
pub(super) fn members_after(listener: &Listener, before: &[Member]) -> Vec<Member> {
    let members = listener.members.iter().map(|((address, port), member)| {
        let known = before.iter().find(|known| known.address == Some(*address) && known.protocol_port == *port);
        Member {
            id: known.map(|known| known.id.clone()).unwrap_or_default(),
            project_id: known.map(|known| known.project_id.clone()).unwrap_or_default(),
            name: member.name.clone(),
            provisioning_status: ProvisioningStatus::Active,
            address: Some(*address),
            protocol_port: *port,
            subnet_id: member.subnet.clone(),
            weight: EVEN,
            ..Member::default()
        }
    });
    members.collect()
}
