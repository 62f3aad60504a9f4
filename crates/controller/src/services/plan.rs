//! From what Octavia has to what it should have: the next call. Pure.
//!
//! One at a time, because a load balancer takes one change at a time; the order is such that traffic that flows goes on: what is
//! missing comes before what is too much, unless that holds its place.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use kuryr_openstack::load_balancing::{self as octavia, LbAlgorithm, ListenerProtocol, ProvisioningStatus};

use super::desired::{Balancer, Desired, Listener, Member};
use super::facts::Protocol;

/// What Octavia has for one Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Observed {
    pub(crate) balancer: Option<octavia::LoadBalancer>,
    pub(crate) listeners: Vec<octavia::Listener>,
    pub(crate) pools: Vec<octavia::Pool>,
    /// By pool.
    pub(crate) members: BTreeMap<String, Vec<octavia::Member>>,
}

/// How load balancers are to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// Who implements them; Octavia's default if not said.
    pub(crate) provider: Option<String>,
    /// How members are chosen.
    pub(crate) algorithm: LbAlgorithm,
    /// Whether one call makes a load balancer with all on it.
    pub(crate) in_one: bool,
    /// Whether listeners know whom they let in.
    pub(crate) source_ranges: bool,
}

/// Where a listener is: protocol and port.
pub(crate) type Place = (Protocol, u16);

/// One call to Octavia.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// A load balancer, bare or with all on it.
    CreateBalancer,
    /// A load balancer and all on it.
    DeleteBalancer(String),
    /// What carries a load balancer is replaced.
    FailOver(String),
    CreateListener(Place),
    /// A listener's timeouts or whom it lets in.
    UpdateListener(String, Place),
    DeleteListener(String),
    /// The pool of a listener.
    CreatePool(String, Place),
    /// A pool's persistence.
    UpdatePool(String, Place),
    DeletePool(String),
    /// All members of a pool.
    SetMembers(String, Place),
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing, with a reason.
    Settled(&'static str),
    /// Octavia is at work on this load balancer.
    Await(String),
    /// This call, with a reason.
    Do(Call, &'static str),
}

/// The next call.
pub(crate) fn next(desired: &Desired, observed: &Observed, way: &Way) -> Next {
    let Some(there) = &observed.balancer else {
        return match desired {
            Desired::Nothing(why) => Next::Settled(why),
            Desired::Balanced(_) => Next::Do(Call::CreateBalancer, "there is none"),
        };
    };
    if there.provisioning_status.is_pending() {
        return Next::Await(there.id.clone());
    }
    let wanted = match desired {
        Desired::Nothing(why) => return Next::Do(Call::DeleteBalancer(there.id.clone()), why),
        Desired::Balanced(wanted) => wanted,
    };
    if let Some(why) = wrong_place(wanted, there, way) {
        return Next::Do(Call::DeleteBalancer(there.id.clone()), why);
    }
    if there.provisioning_status == ProvisioningStatus::Error {
        // OVN cannot fail over: its load balancers are rows, and made anew.
        return match there.provider.as_str() {
            "ovn" => Next::Do(Call::DeleteBalancer(there.id.clone()), "it is in ERROR, and OVN has no failover"),
            _ => Next::Do(Call::FailOver(there.id.clone()), "it is in ERROR"),
        };
    }
    too_much(wanted, observed).or_else(|| missing(wanted, observed, way)).unwrap_or(Next::Settled("all is as it should be"))
}

/// What about a load balancer cannot be changed.
fn wrong_place(wanted: &Balancer, there: &octavia::LoadBalancer, way: &Way) -> Option<&'static str> {
    if there.vip_address != Some(wanted.vip) {
        return Some("the Service has another address");
    }
    let more: BTreeSet<IpAddr> = there.additional_vips.iter().filter_map(|vip| vip.ip_address).collect();
    if !more.iter().all(|address| wanted.more_vips.contains(address)) {
        return Some("the Service has another second address");
    }
    match &way.provider {
        Some(provider) if *provider != there.provider => Some("another provider is configured"),
        _ => None,
    }
}

/// Listeners nobody asks for and failed parts, each of which may be in the way of what is missing.
fn too_much(wanted: &Balancer, observed: &Observed) -> Option<Next> {
    for listener in &observed.listeners {
        let known = place_of(listener).is_some_and(|place| wanted.listeners.contains_key(&place));
        let failed = listener.provisioning_status == ProvisioningStatus::Error;
        if !known || failed {
            // Its pool first: without a listener it would belong to nobody.
            let why = if failed { "it is in ERROR" } else { "the Service has no such port" };
            return Some(Next::Do(
                match pool_of(observed, listener) {
                    Some(pool) => Call::DeletePool(pool.id.clone()),
                    None => Call::DeleteListener(listener.id.clone()),
                },
                why,
            ));
        }
    }
    let used: BTreeSet<&str> = observed.listeners.iter().filter_map(|listener| listener.default_pool_id.as_deref()).collect();
    for pool in &observed.pools {
        if !used.contains(pool.id.as_str()) {
            return Some(Next::Do(Call::DeletePool(pool.id.clone()), "no listener uses it"));
        }
        if pool.provisioning_status == ProvisioningStatus::Error {
            return Some(Next::Do(Call::DeletePool(pool.id.clone()), "it is in ERROR"));
        }
    }
    None
}

fn missing(wanted: &Balancer, observed: &Observed, way: &Way) -> Option<Next> {
    for (&place, listener) in &wanted.listeners {
        let Some(there) = observed.listeners.iter().find(|there| place_of(there) == Some(place)) else {
            return Some(Next::Do(Call::CreateListener(place), "the Service has this port"));
        };
        if listener_differs(listener, there, way) {
            return Some(Next::Do(Call::UpdateListener(there.id.clone(), place), "timeouts or source ranges differ"));
        }
        let Some(pool) = pool_of(observed, there) else {
            return Some(Next::Do(Call::CreatePool(there.id.clone(), place), "the listener has no pool"));
        };
        if pool.lb_algorithm != way.algorithm || persistence(pool) != listener.affinity.is_some() {
            return Some(Next::Do(Call::UpdatePool(pool.id.clone(), place), "how members are chosen differs"));
        }
        let members = observed.members.get(&pool.id).map(Vec::as_slice).unwrap_or_default();
        if members_differ(&listener.members, members) {
            return Some(Next::Do(Call::SetMembers(pool.id.clone(), place), "the endpoints differ"));
        }
    }
    None
}

fn persistence(pool: &octavia::Pool) -> bool {
    pool.session_persistence.is_some()
}

fn listener_differs(wanted: &Listener, there: &octavia::Listener, way: &Way) -> bool {
    let (client, member) = wanted.timeouts;
    let mut ranges = there.allowed_cidrs.clone().unwrap_or_default();
    let mut wanted_ranges = wanted.source_ranges.clone();
    ranges.sort_unstable();
    wanted_ranges.sort_unstable();
    client.is_some_and(|client| there.timeout_client_data != Some(client))
        || member.is_some_and(|member| there.timeout_member_data != Some(member))
        || way.source_ranges && ranges != wanted_ranges
}

fn members_differ(wanted: &BTreeMap<(IpAddr, u16), Member>, there: &[octavia::Member]) -> bool {
    let found: BTreeSet<(IpAddr, u16)> = there
        .iter()
        .filter(|member| member.provisioning_status != ProvisioningStatus::Error)
        .filter_map(|member| Some((member.address?, member.protocol_port)))
        .collect();
    found.len() != there.len() || !wanted.keys().eq(found.iter())
}

/// Where a listener is; `None` for a protocol that no Service speaks.
pub(crate) fn place_of(listener: &octavia::Listener) -> Option<Place> {
    let protocol = match listener.protocol {
        ListenerProtocol::Tcp => Protocol::Tcp,
        ListenerProtocol::Udp => Protocol::Udp,
        ListenerProtocol::Sctp => Protocol::Sctp,
        _ => return None,
    };
    Some((protocol, listener.protocol_port))
}

fn pool_of<'a>(observed: &'a Observed, listener: &octavia::Listener) -> Option<&'a octavia::Pool> {
    let id = listener.default_pool_id.as_ref()?;
    observed.pools.iter().find(|pool| pool.id == *id)
}
