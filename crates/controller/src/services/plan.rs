//! The next step towards what a Service should have, from what is there. Pure: no clock, no cloud.
//!
//! One at a time, because a load balancer takes one change at a time, and a crash between two is just another state to start from.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use kube::ResourceExt as _;
use kuryr_api::crd::{KuryrLoadBalancer, KuryrLoadBalancerSpec};
use kuryr_api::names;
use kuryr_openstack::load_balancing::{
    self as octavia, LbAlgorithm, ListenerProtocol, PoolProtocol, ProvisioningStatus,
};
use kuryr_openstack::network::FloatingIp;

use super::desired::{Balancer, Desired, Listener, Public};
use super::facts::{Protocol, ServiceFacts, ServiceType};
use super::marks::Marks;
use super::refused::Part;
use super::{differs, record, remarks};
use crate::balancing::index::Held;
use crate::balancing::keeper::BALANCER_FAILED;
use crate::balancing::members::{self, Difference};
use crate::balancing::provider::is_provided;

/// How load balancers are to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// Who implements them; Octavia's default if not said.
    pub(crate) provider: Option<String>,
    /// By what ours is known.
    pub(crate) marks: Marks,
    /// How members are chosen.
    pub(crate) algorithm: LbAlgorithm,
    /// Whether listeners know whom they let in.
    pub(crate) source_ranges: bool,
    /// Whether what failed is to be repaired now; else everything else is done.
    pub(crate) repairs: bool,
    /// What Octavia has just refused: everything else is done.
    pub(crate) refused: BTreeSet<Part>,
}

impl Way {
    /// Whether Octavia has not just refused it.
    fn takes(&self, part: Part) -> bool {
        !self.refused.contains(&part)
    }
}

/// Where a listener is: protocol and port.
pub(crate) type Place = (Protocol, u16);

/// One call to Octavia, or to Neutron for the address from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// A load balancer, with all on it where its provider takes that.
    CreateBalancer,
    /// A load balancer and all on it.
    DeleteBalancer(String),
    /// What carries a load balancer is replaced.
    FailOver(String),
    /// A load balancer that somebody switched off is switched on.
    SwitchOn(String),
    CreateListener(Place),
    /// A listener's limits or whom it lets in.
    UpdateListener(String, Place),
    DeleteListener(String),
    /// The pool of a listener.
    CreatePool(String, Place),
    /// How a pool chooses members.
    UpdatePool(String, Place),
    DeletePool(String),
    /// All members of a pool.
    SetMembers(String, Place),
    /// What tries the members of a pool.
    CreateMonitor(String, Place),
    UpdateMonitor(String, Place),
    /// A pool's health monitor: pool and monitor.
    DeleteMonitor(String, String),
    /// A floating IP that leads to the load balancer.
    Publish,
    /// Lets a floating IP lead to the load balancer.
    Lead(String),
    /// Puts another floating IP in the place of one.
    Replace(String),
    /// Gives a floating IP back.
    Withdraw(String),
}

/// Everything known of one Service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    pub(crate) service: Option<Arc<ServiceFacts>>,
    /// Its KuryrLoadBalancer, or the one a predecessor of the same name left.
    pub(crate) record: Option<Arc<KuryrLoadBalancer>>,
    /// What Octavia has.
    pub(crate) held: Arc<Held>,
    /// Something may have been made without our knowing: an answer was lost.
    pub(crate) uncertain: bool,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Looks what Octavia has for this Service.
    Find,
    /// Writes down what the Service needs, before anything is made for it.
    CreateRecord(Box<KuryrLoadBalancerSpec>),
    /// Writes down what the Service needs now.
    UpdateRecord(Box<KuryrLoadBalancerSpec>),
    /// Reads the members of a pool, whose ids Octavia does not say when it takes them.
    ReadMembers(String),
    /// Reads which addresses the port of the VIP has.
    ReadVip(String),
    /// Writes down what Octavia has.
    RecordStatus,
    /// Tells the Service its address from outside, or that it has none.
    TellAddress(Option<IpAddr>),
    /// Nothing is left in Octavia: the KuryrLoadBalancer may go.
    LetGoOfRecord,
    /// Takes off the Service what kuryr-kubernetes held it by.
    DropLegacyFinalizer,
    /// A call to the cloud.
    Cloud(Call),
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Next {
    /// Nothing, with a reason.
    Settled(&'static str),
    /// Octavia is at work on this load balancer.
    Await(String),
    /// This step, with a reason.
    Do(Step, &'static str),
    /// This call, for something that failed in Octavia: it may fail again.
    Repair(Call, &'static str),
}

/// The next step; `spec` is what is to be written down of the Service.
pub(crate) fn next(desired: &Desired, spec: &KuryrLoadBalancerSpec, observed: &Observed, way: &Way) -> Next {
    if observed.uncertain {
        return Next::Do(Step::Find, "an answer was lost");
    }
    let record = observed.record.as_deref();
    let leaves = record.is_some_and(|record| record.metadata.deletion_timestamp.is_some());
    match (desired, record) {
        (Desired::Balanced(_), None) => {
            return Next::Do(Step::CreateRecord(Box::new(spec.clone())), "the Service has none yet");
        }
        // A predecessor's, or deleted by hand: the load balancer is found again by its name.
        (Desired::Balanced(_), Some(_)) if leaves => {
            return Next::Do(Step::LetGoOfRecord, "it is being deleted, and the Service needs another");
        }
        (Desired::Balanced(_), Some(record)) if record.spec != *spec => {
            return Next::Do(Step::UpdateRecord(Box::new(spec.clone())), "the Service has changed");
        }
        _ => {}
    }
    let untold = untold(desired, observed);
    // First: what becomes of the load balancer can take long, or be in vain.
    if untold == Some(None) {
        return Next::Do(Step::TellAddress(None), "the address its status tells is not its own any more");
    }
    if let Some(next) = of_cloud(desired, &observed.held, way) {
        return next;
    }
    if let Some(pool) = unread(&observed.held).filter(|_| matches!(desired, Desired::Balanced(_))) {
        return Next::Do(Step::ReadMembers(pool), "the ids of its members are not known");
    }
    if let Some(port) = unread_vip(desired, &observed.held) {
        return Next::Do(Step::ReadVip(port), "it is not known whether the VIP has its second address");
    }
    if let Some(address) = untold {
        return Next::Do(Step::TellAddress(address), "the Service's status tells another address");
    }
    match (desired, record) {
        (Desired::Nothing(why), Some(record)) if is_released(record) => Next::Settled(why),
        (Desired::Nothing(why), Some(_)) => Next::Do(Step::LetGoOfRecord, why),
        (Desired::Nothing(_), None) if observed.service.as_ref().is_some_and(|service| service.legacy_finalizer) => {
            Next::Do(Step::DropLegacyFinalizer, "nothing is left that it would protect")
        }
        (Desired::Nothing(why), None) => Next::Settled(why),
        (Desired::Balanced(balancer), Some(record)) if !is_recorded(record, balancer, &observed.held, way) => {
            Next::Do(Step::RecordStatus, "what Octavia has is not written down")
        }
        (Desired::Balanced(_), _) => Next::Settled("all is as it should be"),
    }
}

/// What the Service is to be told of its address from outside, if it is not told so already. Another address than ours may be
/// somebody else's word.
fn untold(desired: &Desired, observed: &Observed) -> Option<Option<IpAddr>> {
    let told = observed.service.as_ref()?.told.as_slice();
    if let (Desired::Balanced(balancer), Some(floating)) = (desired, &observed.held.floating)
        && balancer.public.is_some()
    {
        let address = floating.floating_ip_address?;
        return (told != [address]).then_some(Some(address));
    }
    // Only a LoadBalancer is reached from outside; Kubernetes sees to that itself since 1.29.
    if observed.service.as_ref()?.kind != ServiceType::LoadBalancer {
        return (!told.is_empty()).then_some(None);
    }
    let recorded = observed.record.as_ref()?.status.as_ref()?.service_pub_ip_info.as_ref()?;
    let recorded: IpAddr = recorded.ip_addr.parse().ok()?;
    told.contains(&recorded).then_some(None)
}

/// Whether Kuryr is being taken out: nothing new is to be made for this Service.
pub(crate) fn leaves_us(record: &KuryrLoadBalancer) -> bool {
    record.annotations().contains_key(names::ANNOTATION_LEAVE)
}

/// Whether it stays only to say that nothing is to be made.
fn is_released(record: &KuryrLoadBalancer) -> bool {
    let held = record.finalizers().iter().any(|finalizer| finalizer == names::KURYRLOADBALANCER_FINALIZER);
    leaves_us(record) && !held && record.metadata.deletion_timestamp.is_none()
}

/// A pool with members whose ids are not known.
fn unread(held: &Held) -> Option<String> {
    let is_unread = |members: &[octavia::Member]| members.iter().any(|member| member.id.is_empty());
    held.members.iter().find(|(_, members)| is_unread(members)).map(|(pool, _)| pool.clone())
}

/// The port of a VIP that is to have more than one address, if it is not known which it has.
fn unread_vip(desired: &Desired, held: &Held) -> Option<String> {
    let Desired::Balanced(wanted) = desired else { return None };
    let there = held.balancer.as_ref().filter(|there| !there.additional_vips.is_empty())?;
    let is_known = wanted.more_vips.is_empty() || !held.vip_addresses.is_empty();
    if is_known { None } else { there.vip_port_id.clone() }
}

/// Whether the KuryrLoadBalancer says what Octavia has, that it is well, and what there is to know.
fn is_recorded(record: &KuryrLoadBalancer, wanted: &Balancer, held: &Held, way: &Way) -> bool {
    let before = record.status.clone().unwrap_or_default();
    let mut now = record::status(held, &before, &way.marks, Some(wanted.keeps_address));
    now.conditions.clone_from(&before.conditions);
    let is_told = record::is_well(&before) && remarks::are_told(&before.conditions, &wanted.remarks);
    now == before && is_told && !record.finalizers().is_empty()
}

/// The next call, or what has to be awaited in Octavia; `None` if the cloud has what it should.
pub(crate) fn of_cloud(desired: &Desired, observed: &Held, way: &Way) -> Option<Next> {
    let floating = observed.floating.as_ref().or(observed.spare.first());
    let Some(there) = &observed.balancer else {
        return match desired {
            Desired::Nothing(why) => floating.map(|floating| call(Call::Withdraw(floating.id.clone()), why)),
            Desired::Balanced(_) => Some(call(Call::CreateBalancer, "there is none")),
        };
    };
    if there.provisioning_status.is_pending() {
        return Some(Next::Await(there.id.clone()));
    }
    let wanted = match (desired, floating) {
        (Desired::Nothing(why), Some(floating)) => return Some(call(Call::Withdraw(floating.id.clone()), why)),
        (Desired::Nothing(why), None) => return Some(call(Call::DeleteBalancer(there.id.clone()), why)),
        (Desired::Balanced(wanted), _) => wanted,
    };
    if let Some(why) = wrong_place(wanted, there, way) {
        return Some(call(Call::DeleteBalancer(there.id.clone()), why));
    }
    if there.provisioning_status == ProvisioningStatus::Error {
        if !way.repairs {
            return Some(Next::Settled("nothing can be done before it is repaired"));
        }
        // OVN cannot fail over: its load balancers are rows, and made anew.
        return Some(match there.provider.as_str() {
            "ovn" => Next::Repair(Call::DeleteBalancer(there.id.clone()), BALANCER_FAILED),
            _ => Next::Repair(Call::FailOver(there.id.clone()), BALANCER_FAILED),
        });
    }
    too_much(wanted, observed, way)
        .or_else(|| missing(wanted, observed, way))
        .or_else(|| switched_off(there))
        .or_else(|| public(wanted, there, observed))
}

fn switched_off(there: &octavia::LoadBalancer) -> Option<Next> {
    let is_off = there.admin_state_up == Some(false);
    is_off.then(|| call(Call::SwitchOn(there.id.clone()), "somebody switched it off"))
}

/// The address from outside, last: whoever uses it is to find everything behind it.
fn public(wanted: &Balancer, there: &octavia::LoadBalancer, observed: &Held) -> Option<Next> {
    let next = match (&wanted.public, &observed.floating) {
        (None, None) => None,
        (None, Some(floating)) => {
            Some(call(Call::Withdraw(floating.id.clone()), "the Service is no LoadBalancer of ours"))
        }
        (Some(public), None) if public.held_back => None,
        (Some(_), None) => Some(call(Call::Publish, "the LoadBalancer has no address from outside")),
        (Some(public), Some(floating)) => {
            let leads = floating.port_id.is_some() && floating.port_id == there.vip_port_id;
            match is_another(public, floating) && !public.held_back {
                // The old one works until the new one is ours.
                true => Some(call(Call::Replace(floating.id.clone()), "another address is asked for")),
                false => (!leads).then(|| call(Call::Lead(floating.id.clone()), "the floating IP leads elsewhere")),
            }
        }
    };
    let too_many = || Some(call(Call::Withdraw(observed.spare.first()?.id.clone()), "the Service has another address"));
    next.or_else(too_many)
}

/// Whether another floating IP is asked for. Where no address is said, a network may be.
fn is_another(public: &Public, floating: &FloatingIp) -> bool {
    match (public.asked, &public.network) {
        (Some(asked), _) => floating.floating_ip_address != Some(asked),
        (None, Some(network)) => floating.floating_network_id != *network,
        (None, None) => false,
    }
}

fn call(call: Call, why: &'static str) -> Next {
    Next::Do(Step::Cloud(call), why)
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
    (!is_provided(there, way.provider.as_deref())).then_some("another provider is configured")
}

/// Listeners nobody asks for and failed parts, each of which may be in the way of what is missing.
fn too_much(wanted: &Balancer, observed: &Held, way: &Way) -> Option<Next> {
    for listener in &observed.listeners {
        let known = place_of(listener).is_some_and(|place| wanted.listeners.contains_key(&place));
        let failed = listener.provisioning_status == ProvisioningStatus::Error;
        if !known || failed && way.repairs {
            // Its pool first: without a listener it would belong to nobody.
            let (step, what) = match pool_of(observed, listener) {
                Some(pool) => (Call::DeletePool(pool.id.clone()), "a listener with a pool is in ERROR"),
                None => (Call::DeleteListener(listener.id.clone()), "a listener is in ERROR"),
            };
            return Some(match known {
                true => Next::Repair(step, what),
                false => call(step, "the Service has no such port"),
            });
        }
    }
    let used: BTreeSet<&str> =
        observed.listeners.iter().filter_map(|listener| listener.default_pool_id.as_deref()).collect();
    for pool in &observed.pools {
        if !used.contains(pool.id.as_str()) {
            return Some(call(Call::DeletePool(pool.id.clone()), "no listener uses it"));
        }
        if pool.provisioning_status == ProvisioningStatus::Error && way.repairs {
            return Some(Next::Repair(Call::DeletePool(pool.id.clone()), "a pool is in ERROR"));
        }
    }
    None
}

fn missing(wanted: &Balancer, observed: &Held, way: &Way) -> Option<Next> {
    for (&place, listener) in &wanted.listeners {
        let Some(there) = observed.listeners.iter().find(|there| place_of(there) == Some(place)) else {
            if way.takes(Part::Listener(place)) {
                return Some(call(Call::CreateListener(place), "the Service has this port"));
            }
            continue;
        };
        if differs::listener(listener, there, way) && way.takes(Part::Listener(place)) {
            return Some(call(Call::UpdateListener(there.id.clone(), place), "limits or source ranges differ"));
        }
        let Some(pool) = pool_of(observed, there) else {
            if way.takes(Part::Pool(place)) {
                return Some(call(Call::CreatePool(there.id.clone(), place), "the listener has no pool"));
            }
            continue;
        };
        if differs::protocol(listener, pool) {
            return Some(call(Call::DeletePool(pool.id.clone()), "its members are to be spoken to differently"));
        }
        if differs::choice(listener, pool) && way.takes(Part::Pool(place)) {
            return Some(call(Call::UpdatePool(pool.id.clone(), place), "how members are chosen differs"));
        }
        let there = observed.members.get(&pool.id).map(Vec::as_slice).unwrap_or_default();
        let step = || Call::SetMembers(pool.id.clone(), place);
        let wanted = listener.members.keys().map(|place| (*place, members::EVEN));
        match members::differ(wanted, there).filter(|_| way.takes(Part::Members(place))) {
            Some(Difference::Others) => return Some(call(step(), "the endpoints differ")),
            Some(Difference::Failed) if !way.repairs => {}
            Some(Difference::Failed) => return Some(Next::Repair(step(), "a member is in ERROR")),
            None => {}
        }
        if way.takes(Part::Monitor(place))
            && let Some(next) = monitor(listener, place, pool, observed, way)
        {
            return Some(next);
        }
    }
    None
}

/// What is to be done of a pool's health monitor. One of another name is somebody else's.
fn monitor(wanted: &Listener, place: Place, pool: &octavia::Pool, observed: &Held, way: &Way) -> Option<Next> {
    let there = observed.monitors.get(&pool.id);
    let ours = there.filter(|there| there.name == wanted.name);
    let delete = |there: &octavia::HealthMonitor| Call::DeleteMonitor(pool.id.clone(), there.id.clone());
    match (wanted.monitor?, ours) {
        (None, Some(ours)) => Some(call(delete(ours), "members are not to be tried")),
        (Some(wanted), Some(ours)) if wanted.kind != ours.kind => {
            Some(call(delete(ours), "members are to be tried differently"))
        }
        (Some(_), Some(ours)) if ours.provisioning_status == ProvisioningStatus::Error => {
            way.repairs.then(|| Next::Repair(delete(ours), "a health monitor is in ERROR"))
        }
        (Some(wanted), Some(ours)) if differs::monitor(wanted, ours) => {
            Some(call(Call::UpdateMonitor(ours.id.clone(), place), "how often members are tried differs"))
        }
        (Some(_), None) if there.is_none() => {
            Some(call(Call::CreateMonitor(pool.id.clone(), place), "members are to be tried"))
        }
        _ => None,
    }
}

/// Kubernetes' word for what a pool speaks; `None` for what no Service does.
pub(crate) fn protocol_of(pool: &octavia::Pool) -> Option<&'static str> {
    match pool.protocol {
        PoolProtocol::Tcp | PoolProtocol::Proxy | PoolProtocol::ProxyV2 => Some(Protocol::Tcp.as_str()),
        PoolProtocol::Udp => Some(Protocol::Udp.as_str()),
        PoolProtocol::Sctp => Some(Protocol::Sctp.as_str()),
        _ => None,
    }
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

fn pool_of<'a>(observed: &'a Held, listener: &octavia::Listener) -> Option<&'a octavia::Pool> {
    let id = listener.default_pool_id.as_ref()?;
    observed.pools.iter().find(|pool| pool.id == *id)
}
