//! What a Service's owner is to know although its load balancer works: what was left out, is not honoured or cannot be read. Pure.
//!
//! It stands in the condition `Accepted` of the KuryrLoadBalancer, and an Event tells it when its reason changes: not at every look,
//! nor after a restart.

use std::net::IpAddr;

use jiff::Timestamp;
use kuryr_api::crd::Condition;

use super::annotations::Timeouts;
use super::desired::{Balancer, Setting, is_foreign};
use super::facts::{Protocol, ServiceFacts, ServiceType};
use crate::balancing::index::Held;
use crate::condition;
use crate::trouble::Trouble;

/// Type of the condition.
const ACCEPTED: &str = "Accepted";
/// How many of many are named.
const NAMED: usize = 5;

/// One thing to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remark {
    /// One word for programs.
    pub(crate) reason: &'static str,
    /// What is so, and what to do.
    pub(crate) text: String,
}

/// All there is to know of a Service that is balanced, what matters most first.
pub(crate) fn of(service: &ServiceFacts, balancer: &Balancer, setting: &Setting, held: &Held) -> Vec<Remark> {
    let mut all = Vec::new();
    let mut say = |reason: &'static str, text: String| all.push(Remark { reason, text });
    if !service.wrong.is_empty() {
        let wrong = service.wrong.join("; ");
        say("ServiceNotUnderstood", format!("{wrong}; what it concerns stays as it is until that is corrected"));
    }
    if !balancer.left_out.is_empty() {
        let ports = balancer.left_out.join(", ");
        say("PortNotServed", format!("these ports are not served: {ports}; the others are. Ask for a newer Octavia"));
    }
    if !balancer.refused.is_empty() {
        let named: Vec<String> = balancer.refused.iter().take(NAMED).map(ToString::to_string).collect();
        say(
            "EndpointRefused",
            format!(
                "{} of its endpoints are neither in the pods' nor in the nodes' subnets and get no traffic: {}; a member must \
                 not be anybody's address (CVE-2021-25740). If they are nodes, name their subnets in [pod_vif_nested] \
                 worker_nodes_subnets",
                balancer.refused.len(),
                named.join(", "),
            ),
        );
    }
    if let Some(others) = others(held) {
        say("SecondLoadBalancer", others);
    }
    outside(service, balancer, setting, &mut say);
    let unheard = unheard(service, balancer, setting, held);
    if !unheard.is_empty() {
        say("NotHonoured", unheard.join("; "));
    }
    if !service.annotations.ignored.is_empty() {
        let ignored = service.annotations.ignored.join(", ");
        say("AnnotationIgnored", format!("annotations that have no effect: {ignored}; take them away"));
    }
    all
}

/// Other load balancers of the same name.
fn others(held: &Held) -> Option<String> {
    let ids: Vec<&str> = held.others.iter().take(NAMED).map(String::as_str).collect();
    (!ids.is_empty()).then(|| {
        format!(
            "Octavia has more load balancers of the Service's name, which nobody looks after: {}; delete them, if nothing uses them \
             (openstack loadbalancer delete --cascade ID)",
            ids.join(", ")
        )
    })
}

/// What concerns addresses from outside.
fn outside(service: &ServiceFacts, balancer: &Balancer, setting: &Setting, say: &mut impl FnMut(&'static str, String)) {
    let is_ours = service.kind == ServiceType::LoadBalancer && !is_foreign(service);
    if is_ours && !service.source_ranges.is_empty() && !setting.abilities.source_ranges() {
        let stays = "an address from outside that it has already stays open to everybody, a new one is not given";
        say(
            "SourceRangesNotEnforced",
            format!(
                "the load balancer cannot keep out whom spec.loadBalancerSourceRanges does not name; {stays}. Admit clients with the \
                 pods' security groups and leave spec.loadBalancerSourceRanges empty, or use Octavia's provider amphora"
            ),
        );
    }
    if is_ours && !setting.public && balancer.public.is_none() && service.class.is_none() && !is_internal(service) {
        say(
            "ExternalNetworkNotConfigured",
            "the LoadBalancer is reached inside the cluster only: set [neutron_defaults] external_svc_net to the network that \
             addresses from outside come from, or spec.loadBalancerClass if somebody else serves it"
                .to_owned(),
        );
    }
    if !service.external_ips.is_empty() {
        say(
            "ExternalIpsRefused",
            "spec.externalIPs are not served, because whoever may write a Service could take anybody's address (CVE-2020-8554); use a \
             LoadBalancer with spec.loadBalancerIP"
                .to_owned(),
        );
    }
    if service.kind == ServiceType::NodePort {
        say(
            "NodePortsNotServed",
            "its address in the cluster is served, its ports on nodes are not: kube-proxy does that where it runs; else use a \
             LoadBalancer"
                .to_owned(),
        );
    }
}

fn is_internal(service: &ServiceFacts) -> bool {
    service.annotations.internal.said() == Some(&true)
}

/// What is asked and understood, and not done by this provider.
fn unheard(service: &ServiceFacts, balancer: &Balancer, setting: &Setting, held: &Held) -> Vec<String> {
    let (abilities, annotations) = (setting.abilities, &service.annotations);
    let mut all: Vec<String> = Vec::new();
    let mut unless = |heard: bool, text: &str| {
        if !heard {
            all.push(text.to_owned());
        }
    };
    unless(
        service.affinity.is_none() || abilities.affinity(),
        "sessionAffinity ClientIP: the provider ovn keeps clients with their pods from OpenStack 2023.2 on, not in this one",
    );
    unless(
        !service.local_inside,
        "internalTrafficPolicy Local: clients reach the pods of all nodes, a load balancer does not know where they are",
    );
    unless(
        !service.local_outside || abilities.client_addresses() || annotations.proxy.said().copied().flatten().is_some(),
        "externalTrafficPolicy Local: pods see the load balancer's address instead of the client's; the provider ovn keeps it, and so \
         does the annotation proxy-protocol, if the pods understand it",
    );
    unless(
        service.kind != ServiceType::LoadBalancer
            || is_foreign(service)
            || service.cluster_ips.iter().any(IpAddr::is_ipv4),
        "an address from outside: floating IPs are of IPv4, and the Service has no such address",
    );
    unless(
        balancer.more_vips.is_empty() || second_address_is_there(balancer, held),
        "its second address: [kuryr] second_service_subnet is not set, or Octavia (2.26) or its provider (ovn of 2023.1) is too old, or the \
         load balancer was made before: when it is deleted in Octavia, Kuryr makes it with both",
    );
    let asks_limits = annotations.timeouts != Timeouts::default()
        || annotations.connection_limit.said().is_some_and(|limit| *limit != -1);
    unless(
        !asks_limits || abilities.limits(),
        "timeouts and connection limits: the provider ovn passes packets on and counts no connections",
    );
    let algorithm = annotations.algorithm.said().is_none_or(|algorithm| abilities.algorithm(*algorithm));
    unless(algorithm, "lb-method: ovn has SOURCE_IP_PORT only, which the provider amphora does not have");
    let proxy = annotations.proxy.said().copied().flatten().is_none_or(|proxy| abilities.proxy(proxy));
    unless(
        proxy,
        "proxy-protocol: the provider ovn does not have it (its pods see clients' addresses), v2 needs Octavia 2.22",
    );
    let monitored = |protocol: Protocol| abilities.monitors(protocol).is_some();
    let asks_monitor = annotations.monitoring.said().copied().flatten().is_some();
    unless(
        !asks_monitor || balancer.listeners.keys().all(|(protocol, _)| monitored(*protocol)),
        "enable-health-monitor: the provider ovn has none for SCTP",
    );
    made_with(service, setting, held, &mut unless);
    all
}

/// What is said once, when a load balancer is made.
fn made_with(service: &ServiceFacts, setting: &Setting, held: &Held, unless: &mut impl FnMut(bool, &str)) {
    let (abilities, annotations) = (setting.abilities, &service.annotations);
    let asks = annotations.flavor.is_some() || annotations.zone.is_some();
    let has =
        (annotations.flavor.is_none() || abilities.flavors()) && (annotations.zone.is_none() || abilities.zones());
    unless(!asks || has, "flavor-id and availability-zone: the provider ovn, or this Octavia, does not have them");
    let Some(there) = held.balancer.as_ref().filter(|_| asks && has) else { return };
    let as_asked = |asked: &Option<String>, there: &Option<String>| asked.is_none() || asked == there;
    unless(
        as_asked(&annotations.flavor, &there.flavor_id) && as_asked(&annotations.zone, &there.availability_zone),
        "flavor-id and availability-zone: the load balancer was made with others, which cannot be changed; they hold for a new one",
    );
}

fn second_address_is_there(balancer: &Balancer, held: &Held) -> bool {
    balancer.more_vips.iter().all(|address| held.vip_addresses.contains(address))
}

/// The condition's reason and message; `None` if there is nothing to know.
fn condition_of(remarks: &[Remark]) -> Option<(&'static str, String)> {
    let first = remarks.first()?;
    let texts: Vec<&str> = remarks.iter().map(|remark| remark.text.as_str()).collect();
    Some((first.reason, texts.join(". ")))
}

/// The reason of what the conditions tell.
pub(crate) fn told(conditions: &[Condition]) -> Option<&str> {
    condition::find(conditions, ACCEPTED).map(|condition| condition.reason.as_str())
}

/// Whether the conditions say just this.
pub(crate) fn are_told(conditions: &[Condition], remarks: &[Remark]) -> bool {
    match (condition_of(remarks), condition::find(conditions, ACCEPTED)) {
        (None, known) => known.is_none(),
        (Some((reason, message)), Some(known)) => known.reason == reason && known.message == message,
        (Some(_), None) => false,
    }
}

/// Writes them into the conditions. Returns what is news for the owner.
pub(crate) fn tell(conditions: &mut Vec<Condition>, remarks: &[Remark], now: Timestamp) -> Option<Trouble> {
    let known = told(conditions).map(str::to_owned);
    let Some((reason, message)) = condition_of(remarks) else {
        conditions.retain(|condition| condition.kind != ACCEPTED);
        return None;
    };
    condition::set(conditions, ACCEPTED, false, reason, &message, now);
    (known.as_deref() != Some(reason)).then(|| Trouble::mistake(reason, message))
}
