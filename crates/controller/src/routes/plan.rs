//! The next step towards what an owner should have, from what is there. Pure: no clock, no cloud.
//!
//! One at a time, because a load balancer takes one change at a time, and a crash between two is just another state to start
//! from. What is new is made before what is old is taken away, so that requests always have somewhere to go.

use std::collections::BTreeSet;

use kuryr_openstack::load_balancing::{
    self as octavia, L7Action, L7Policy, LbAlgorithm, ListenerProtocol, NewL7Rule, ProvisioningStatus,
};

use super::desired::{Action, Balancer, Desired, Listener, Place, Policy, Pool};
use crate::balancing::index::Held;
use crate::balancing::keeper::BALANCER_FAILED;
use crate::balancing::members::{self, Difference};
use crate::balancing::provider::is_provided;
use crate::services::facts::Protocol;

/// How load balancers are to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// Who implements them; Octavia's default if not said.
    pub(crate) provider: Option<String>,
    /// How members are chosen.
    pub(crate) algorithm: LbAlgorithm,
    /// Whether what failed is to be repaired now; else everything else is done.
    pub(crate) repairs: bool,
}

/// One call to Octavia, or to Neutron for the address from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// A load balancer with nothing on it yet.
    CreateBalancer,
    /// A load balancer and all on it.
    DeleteBalancer(String),
    /// What carries a load balancer is replaced.
    FailOver(String),
    /// A load balancer that somebody switched off is switched on.
    SwitchOn(String),
    CreateListener(Place),
    /// A listener that somebody switched off is switched on.
    UpdateListener(String),
    /// A listener and its policies.
    DeleteListener(String),
    /// The pool of this name.
    CreatePool(String),
    /// How a pool chooses members, and that it is switched on.
    UpdatePool(String),
    DeletePool(String),
    /// All members of a pool, by its id; then its name.
    SetMembers(String, String),
    /// A policy of the listener with this id, at this place among the wanted ones.
    CreatePolicy(String, Place, usize),
    DeletePolicy(String),
    /// A floating IP that leads to the load balancer.
    Publish,
    /// Lets a floating IP lead to the load balancer.
    Lead(String),
    /// Gives a floating IP back.
    Withdraw(String),
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing, with a reason.
    Settled(&'static str),
    /// Octavia is at work on this load balancer.
    Await(String),
    /// Looks what Octavia has.
    Find,
    /// This call, with a reason.
    Do(Call, &'static str),
    /// This call, for something that failed in Octavia: it may fail again.
    Repair(Call, &'static str),
}

/// The next step.
pub(crate) fn next(desired: &Desired, held: &Held, uncertain: bool, way: &Way) -> Next {
    if uncertain {
        return Next::Find;
    }
    let floating = held.floating.as_ref();
    let Some(there) = &held.balancer else {
        return match (desired, floating) {
            (Desired::Nothing(why), Some(floating)) => Next::Do(Call::Withdraw(floating.id.clone()), why),
            (Desired::Nothing(why), None) => Next::Settled(why),
            (Desired::Balanced(_), _) => Next::Do(Call::CreateBalancer, "there is none"),
        };
    };
    if there.provisioning_status.is_pending() {
        return Next::Await(there.id.clone());
    }
    let wanted = match (desired, floating) {
        (Desired::Nothing(why), Some(floating)) => return Next::Do(Call::Withdraw(floating.id.clone()), why),
        (Desired::Nothing(why), None) => return Next::Do(Call::DeleteBalancer(there.id.clone()), why),
        (Desired::Balanced(wanted), _) => wanted,
    };
    if !is_provided(there, way.provider.as_deref()) {
        return Next::Do(Call::DeleteBalancer(there.id.clone()), "another provider is configured");
    }
    if there.provisioning_status == ProvisioningStatus::Error {
        if !way.repairs {
            return Next::Settled("nothing can be done before it is repaired");
        }
        // OVN cannot fail over: its load balancers are rows, and made anew.
        return match there.provider.as_str() {
            "ovn" => Next::Repair(Call::DeleteBalancer(there.id.clone()), BALANCER_FAILED),
            _ => Next::Repair(Call::FailOver(there.id.clone()), BALANCER_FAILED),
        };
    }
    let step = in_the_way(wanted, held, way)
        .or_else(|| missing(wanted, held, way))
        .or_else(|| policies(wanted, held))
        .or_else(|| needless(wanted, held))
        .or_else(|| switched_off(there))
        .or_else(|| public(wanted, held));
    step.unwrap_or(Next::Settled("all is as it should be"))
}

fn switched_off(there: &octavia::LoadBalancer) -> Option<Next> {
    let is_off = there.admin_state_up == Some(false);
    is_off.then(|| Next::Do(Call::SwitchOn(there.id.clone()), "somebody switched it off"))
}

fn make(call: Call, why: &'static str) -> Option<Next> {
    Some(Next::Do(call, why))
}

/// Where a listener is; `None` for a protocol that is not ours.
pub(crate) fn place_of(listener: &octavia::Listener) -> Option<Place> {
    match listener.protocol {
        ListenerProtocol::Tcp | ListenerProtocol::Http => Some((Protocol::Tcp, listener.protocol_port)),
        ListenerProtocol::Udp => Some((Protocol::Udp, listener.protocol_port)),
        _ => None,
    }
}

/// What a listener speaks.
pub(crate) fn protocol_of(place: Place, listener: &Listener) -> ListenerProtocol {
    match (listener, place.0) {
        (Listener::Http(_), _) => ListenerProtocol::Http,
        (Listener::Plain(_), Protocol::Udp) => ListenerProtocol::Udp,
        (Listener::Plain(_), Protocol::Sctp) => ListenerProtocol::Sctp,
        (Listener::Plain(_), Protocol::Tcp) => ListenerProtocol::Tcp,
    }
}

fn listener_at<'a>(held: &'a Held, place: Place, wanted: &Listener) -> Option<&'a octavia::Listener> {
    let protocol = protocol_of(place, wanted);
    held.listeners.iter().find(|there| there.protocol == protocol && there.protocol_port == place.1)
}

/// The first pool of this name; there are more only if somebody made them.
fn pool_named<'a>(held: &'a Held, name: &str) -> Option<&'a octavia::Pool> {
    held.pools.iter().find(|pool| pool.name == name)
}

/// Whether a pool can become what is wanted.
fn is_of(there: &octavia::Pool, wanted: &Pool, held: &Held) -> bool {
    let leads = |place: Place| {
        let listeners = held.listeners.iter().filter(|listener| place_of(listener) == Some(place));
        listeners.map(|listener| listener.default_pool_id.as_ref()).any(|pool| pool == Some(&there.id))
    };
    there.protocol == wanted.protocol && wanted.of.is_none_or(leads)
}

/// What has a port or name that something else is to have, and parts that failed.
fn in_the_way(wanted: &Balancer, held: &Held, way: &Way) -> Option<Next> {
    for there in &held.listeners {
        let place = place_of(there);
        let known = place.and_then(|place| wanted.listeners.get(&place).map(|listener| (place, listener)));
        let is_wanted = known.is_some_and(|(place, listener)| protocol_of(place, listener) == there.protocol);
        if !is_wanted {
            return make(Call::DeleteListener(there.id.clone()), "nobody asks for this listener");
        }
        if there.provisioning_status == ProvisioningStatus::Error && way.repairs {
            return Some(Next::Repair(Call::DeleteListener(there.id.clone()), "a listener is in ERROR"));
        }
    }
    let failed = |policy: &&L7Policy| policy.provisioning_status == ProvisioningStatus::Error && way.repairs;
    if let Some(policy) = held.policies.iter().find(failed) {
        return Some(Next::Repair(Call::DeletePolicy(policy.id.clone()), "a policy is in ERROR"));
    }
    for there in &held.pools {
        let Some(pool) = wanted.pools.get(&there.name) else { continue };
        let failed = there.provisioning_status == ProvisioningStatus::Error && way.repairs;
        let other = !is_of(there, pool, held);
        if !failed && !other {
            continue;
        }
        // Octavia keeps a pool that a policy leads to.
        let user = held.policies.iter().find(|policy| policy.redirect_pool_id.as_ref() == Some(&there.id));
        let call = match user {
            Some(policy) => Call::DeletePolicy(policy.id.clone()),
            None => Call::DeletePool(there.id.clone()),
        };
        return match failed {
            true => Some(Next::Repair(call, "a pool is in ERROR")),
            false => make(call, "the pool is another listener's, or speaks something else"),
        };
    }
    None
}

/// Listeners, pools and members.
fn missing(wanted: &Balancer, held: &Held, way: &Way) -> Option<Next> {
    for (place, listener) in &wanted.listeners {
        match listener_at(held, *place, listener) {
            None => return make(Call::CreateListener(*place), "this port is asked for"),
            Some(there) if there.admin_state_up == Some(false) => {
                return make(Call::UpdateListener(there.id.clone()), "somebody switched it off");
            }
            Some(_) => {}
        }
    }
    for (name, pool) in &wanted.pools {
        let Some(there) = pool_named(held, name) else {
            return make(Call::CreatePool(name.clone()), "these backends are asked for");
        };
        if there.lb_algorithm != way.algorithm || there.admin_state_up == Some(false) {
            return make(Call::UpdatePool(there.id.clone()), "how members are chosen differs, or it is switched off");
        }
        let members = held.members.get(&there.id).map(Vec::as_slice).unwrap_or_default();
        let wanted = pool.members.iter().map(|(place, member)| (*place, member.weight));
        let step = Call::SetMembers(there.id.clone(), name.clone());
        match members::differ(wanted, members) {
            Some(Difference::Others) => return make(step, "the endpoints differ"),
            Some(Difference::Failed) if way.repairs => return Some(Next::Repair(step, "a member is in ERROR")),
            Some(Difference::Failed) | None => {}
        }
    }
    None
}

/// The policies of a listener in the order Octavia asks them.
pub(crate) fn policies_of<'a>(held: &'a Held, listener: &str) -> Vec<&'a L7Policy> {
    let mut policies: Vec<&L7Policy> = held.policies.iter().filter(|policy| policy.listener_id == listener).collect();
    policies.sort_by_key(|policy| policy.position);
    policies
}

/// Policies, from the first to the last: each is made at its place, and what is then behind the last goes.
fn policies(wanted: &Balancer, held: &Held) -> Option<Next> {
    for (place, listener) in &wanted.listeners {
        let Listener::Http(wanted) = listener else { continue };
        let there = listener_at(held, *place, listener)?;
        let policies = policies_of(held, &there.id);
        for (index, policy) in wanted.iter().enumerate() {
            match policies.get(index) {
                Some(known) if says(known, policy, held) => {}
                // What is wanted here is there, behind something nobody asks for.
                Some(known)
                    if policies[index..].iter().any(|later| says(later, policy, held))
                        && !wanted[index..].iter().any(|later| says(known, later, held)) =>
                {
                    return make(Call::DeletePolicy(known.id.clone()), "nobody asks for this policy");
                }
                _ => {
                    let call = Call::CreatePolicy(there.id.clone(), *place, index);
                    return make(call, "requests are to go this way");
                }
            }
        }
        if let Some(more) = policies.get(wanted.len()) {
            return make(Call::DeletePolicy(more.id.clone()), "nobody asks for this policy");
        }
    }
    None
}

/// Whether a policy in Octavia does what is wanted.
fn says(known: &L7Policy, wanted: &Policy, held: &Held) -> bool {
    let to = match known.action {
        L7Action::RedirectToPool => known
            .redirect_pool_id
            .as_ref()
            .and_then(|id| held.pools.iter().find(|pool| pool.id == *id).map(|pool| Action::Pool(pool.name.clone()))),
        L7Action::RedirectToUrl => known.redirect_url.clone().map(|url| Action::Url(url, code(known))),
        L7Action::RedirectPrefix => known.redirect_prefix.clone().map(|prefix| Action::Prefix(prefix, code(known))),
        L7Action::Reject | L7Action::Unknown => None,
    };
    let rules = held.rules.get(&known.id).map(Vec::as_slice).unwrap_or_default();
    let rules: BTreeSet<NewL7Rule> = rules
        .iter()
        .map(|rule| NewL7Rule {
            kind: rule.kind.clone(),
            compare_type: rule.compare_type.clone(),
            key: rule.key.clone(),
            value: rule.value.clone(),
            invert: rule.invert.unwrap_or_default(),
        })
        .collect();
    to.as_ref() == Some(&wanted.to) && rules == wanted.rules
}

/// Octavia's default is 302.
fn code(policy: &L7Policy) -> u16 {
    policy.redirect_http_code.unwrap_or(302)
}

/// Pools nobody asks for, once nothing leads to them.
fn needless(wanted: &Balancer, held: &Held) -> Option<Next> {
    let mut seen = BTreeSet::new();
    for pool in &held.pools {
        let known = wanted.pools.contains_key(&pool.name) && seen.insert(&pool.name);
        if !known {
            return make(Call::DeletePool(pool.id.clone()), "nobody asks for these backends");
        }
    }
    None
}

/// The address from outside, last: whoever uses it is to find everything behind it.
fn public(wanted: &Balancer, held: &Held) -> Option<Next> {
    match (wanted.public, &held.floating) {
        (false, None) => None,
        (false, Some(floating)) => make(Call::Withdraw(floating.id.clone()), "no address from outside is asked for"),
        (true, None) => make(Call::Publish, "it has no address from outside"),
        (true, Some(floating)) => {
            let leads = floating.port_id.is_some() && floating.port_id.as_ref() == held.vip_port();
            (!leads).then(|| Next::Do(Call::Lead(floating.id.clone()), "the floating IP leads elsewhere"))
        }
    }
}

/// How members are chosen, by what is configured for Services and by who implements load balancers.
pub(crate) fn algorithm(provider_is_ovn: bool, configured: LbAlgorithm) -> LbAlgorithm {
    match (provider_is_ovn, configured) {
        // The only one it has, and the only provider that has it.
        (true, _) => LbAlgorithm::SourceIpPort,
        (false, LbAlgorithm::SourceIpPort) => LbAlgorithm::RoundRobin,
        (false, configured) => configured,
    }
}
