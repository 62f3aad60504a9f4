//! What Octavia should have for a Service. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use kuryr_openstack::load_balancing::{HealthMonitorType, LbAlgorithm, Persistence, PoolProtocol, SessionPersistence};

use super::abilities::Abilities;
use super::annotations::{Monitoring, Proxy, Timeouts, Wish};
use super::facts::{Endpoint, Protocol, ServiceFacts, ServicePort, ServiceType, SliceFacts};
use super::remarks::Remark;
use crate::config::MemberMode;

/// What should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Desired {
    /// No load balancer, and why.
    Nothing(&'static str),
    /// A load balancer.
    Balanced(Box<Balancer>),
}

/// A load balancer, as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Balancer {
    /// `namespace/name` of the Service.
    pub(crate) name: String,
    /// Its address.
    pub(crate) vip: IpAddr,
    /// Further addresses: of the other family.
    pub(crate) more_vips: Vec<IpAddr>,
    /// Its address from outside, if it is to have one.
    pub(crate) public: Option<Public>,
    /// What listens, by protocol and port.
    pub(crate) listeners: BTreeMap<(Protocol, u16), Listener>,
    /// Flavor and availability zone, for when it is made.
    pub(crate) flavor: Option<String>,
    pub(crate) zone: Option<String>,
    /// Whether its floating IP outlives it.
    pub(crate) keeps_address: bool,
    /// Addresses that were left out because they are neither pods' nor nodes'.
    pub(crate) refused: Vec<IpAddr>,
    /// Ports that were left out, each with why.
    pub(crate) left_out: Vec<String>,
    /// What its owner is to know, though it works.
    pub(crate) remarks: Vec<Remark>,
}

/// An address from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Public {
    /// The one that is asked for; any if none is.
    pub(crate) asked: Option<IpAddr>,
    /// Network and subnet it is to be from; what is configured if not said.
    pub(crate) network: Option<String>,
    pub(crate) subnet: Option<String>,
    /// It is not opened; one that leads to the load balancer already stays.
    pub(crate) held_back: bool,
}

/// A listener with its pool. What is `None` is left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    /// `namespace/name:PROTOCOL:port`, as kuryr-kubernetes names listener and pool.
    pub(crate) name: String,
    /// Whom it lets in; everybody if empty.
    pub(crate) source_ranges: Vec<IpNet>,
    /// How long its sides may be silent.
    pub(crate) timeouts: Timeouts,
    /// Connections at once; -1 is without limit.
    pub(crate) connection_limit: Option<i64>,
    /// What its pool speaks.
    pub(crate) pool_protocol: Option<PoolProtocol>,
    /// How a member is chosen.
    pub(crate) algorithm: Option<LbAlgorithm>,
    /// What keeps a client with its member.
    pub(crate) affinity: Option<SessionPersistence>,
    /// How members are tried, if they are.
    pub(crate) monitor: Option<Option<Monitor>>,
    /// Members by address and port.
    pub(crate) members: BTreeMap<(IpAddr, u16), Member>,
}

/// What tries members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Monitor {
    pub(crate) kind: HealthMonitorType,
    pub(crate) rhythm: Monitoring,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// `namespace/pod:port`, or the Service's name if there is no pod.
    pub(crate) name: String,
    /// Subnet it is reached from.
    pub(crate) subnet: Option<String>,
}

/// What holds for all Services.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setting {
    /// Where members may be: subnets of pods and nodes, with their prefixes. An address elsewhere may belong to anybody
    /// (CVE-2021-25740).
    pub(crate) subnets: Vec<(String, IpNet)>,
    /// Whether members are reached in their own subnet or by way of the VIP's.
    pub(crate) mode: MemberMode,
    /// Whether there are floating IPs.
    pub(crate) public: bool,
    /// Whether `default/kubernetes` is balanced, too.
    pub(crate) api_server: bool,
    /// How long listeners' sides may be silent, where the Service does not say.
    pub(crate) timeouts: Timeouts,
    /// How members are chosen, where the Service does not say.
    pub(crate) algorithm: LbAlgorithm,
    /// What its load balancer can do.
    pub(crate) abilities: Abilities,
    /// Addresses that its VIP really has; only known where there is to be more than one.
    pub(crate) vip_addresses: Vec<IpAddr>,
}

impl Setting {
    /// Whether clients of this VIP reach this address. Where packets are passed on as they are, an address of each family is needed.
    fn is_reached(&self, vip: IpAddr, address: IpAddr) -> bool {
        let other_family = self.vip_addresses.iter().any(|it| it.is_ipv4() != vip.is_ipv4());
        address.is_ipv4() == vip.is_ipv4() || other_family && self.abilities.client_addresses()
    }

    /// The subnet an address is in.
    fn subnet_of(&self, address: IpAddr) -> Option<&str> {
        self.subnets.iter().find(|(_, prefix)| prefix.contains(&address)).map(|(subnet, _)| subnet.as_str())
    }
}

/// The Service of the API server itself.
const API_SERVER: &str = "default/kubernetes";
/// Classes of LoadBalancers that are ours.
const CLASSES: [&str; 2] = ["kuryr", "openstack.org/kuryr"];

/// What should be for this Service, `None` if it is gone.
pub(crate) fn desired(
    key: &str,
    service: Option<&ServiceFacts>,
    slices: &[Arc<SliceFacts>],
    setting: &Setting,
) -> Desired {
    let Some(service) = service else { return Desired::Nothing("the Service is gone") };
    if service.leaves {
        return Desired::Nothing("the Service is being deleted");
    }
    match service.kind {
        ServiceType::ExternalName => return Desired::Nothing("an ExternalName is a name in DNS"),
        ServiceType::NodePort if service.cluster_ips.is_empty() => return Desired::Nothing("it has no address yet"),
        _ => {}
    }
    if service.headless {
        return Desired::Nothing("a headless Service has no address");
    }
    if key == API_SERVER && !setting.api_server {
        return Desired::Nothing("the API server's own Service is not ours unless it is asked for");
    }
    let foreign = is_foreign(service);
    let Some((&vip, more)) = service.cluster_ips.split_first() else {
        return Desired::Nothing("it has no address yet");
    };
    let (mut refused, mut left_out) = (Vec::new(), Vec::new());
    let mut listeners: BTreeMap<(Protocol, u16), Listener> = BTreeMap::new();
    for port in &service.ports {
        let taken = listeners.keys().any(|(protocol, number)| *number == port.port && *protocol != port.protocol);
        if let Some(why) = setting.abilities.lacks(port.protocol, taken) {
            left_out.push(format!(
                "{} {} (Octavia {} {why})",
                port.protocol.as_str(),
                port.port,
                setting.abilities.version()
            ));
            continue;
        }
        let is_reached = |address| setting.is_reached(vip, address);
        let members = members(key, (port.name.as_str(), port.protocol), slices, setting, is_reached, &mut refused);
        listeners.insert((port.protocol, port.port), listener(key, service, port, setting, members));
    }
    refused.sort_unstable();
    refused.dedup();
    let annotations = &service.annotations;
    let abilities = setting.abilities;
    Desired::Balanced(Box::new(Balancer {
        name: key.to_owned(),
        vip,
        more_vips: more.to_vec(),
        public: if foreign { None } else { public(service, setting) },
        listeners,
        flavor: annotations.flavor.clone().filter(|_| abilities.flavors()),
        zone: annotations.zone.clone().filter(|_| abilities.zones()),
        keeps_address: annotations.keeps_address,
        refused,
        left_out,
        remarks: Vec::new(),
    }))
}

/// Whether it is a LoadBalancer of somebody else's; the address in the cluster is ours all the same.
pub(crate) fn is_foreign(service: &ServiceFacts) -> bool {
    service.class.as_deref().is_some_and(|class| !CLASSES.contains(&class))
}

/// Its address from outside, if it is to have one.
fn public(service: &ServiceFacts, setting: &Setting) -> Option<Public> {
    let annotations = &service.annotations;
    // Floating IPs are of IPv4.
    let has_ipv4 = service.cluster_ips.iter().any(IpAddr::is_ipv4);
    let has_network = setting.public || annotations.floating_network.said().is_some();
    if service.kind != ServiceType::LoadBalancer
        || !has_ipv4
        || !has_network
        || annotations.internal.said() == Some(&true)
    {
        return None;
    }
    // What cannot let in only some would let in everybody.
    let would_be_open = !service.source_ranges.is_empty() && !setting.abilities.source_ranges();
    let is_unclear = [
        annotations.internal == Wish::Unreadable,
        annotations.floating_network == Wish::Unreadable,
        annotations.floating_subnet == Wish::Unreadable,
    ];
    Some(Public {
        asked: service.asked_address,
        network: annotations.floating_network.said().cloned(),
        subnet: annotations.floating_subnet.said().cloned(),
        held_back: would_be_open || is_unclear.contains(&true),
    })
}

fn listener(
    key: &str,
    service: &ServiceFacts,
    port: &ServicePort,
    setting: &Setting,
    members: BTreeMap<(IpAddr, u16), Member>,
) -> Listener {
    let (annotations, abilities) = (&service.annotations, setting.abilities);
    let lets_in_some = abilities.source_ranges() && !is_foreign(service);
    let is_ipv4 = service.cluster_ips.first().is_some_and(IpAddr::is_ipv4);
    let algorithm = match annotations.algorithm.clone() {
        Wish::Said(algorithm) if !abilities.algorithm(algorithm) => Some(setting.algorithm),
        wish => wish.or(setting.algorithm),
    };
    let monitor = |rhythm: Monitoring| Some(Monitor { kind: abilities.monitors(port.protocol)?, rhythm });
    Listener {
        name: format!("{key}:{}:{}", port.protocol.as_str(), port.port),
        source_ranges: if lets_in_some { let_in(&service.source_ranges, setting, is_ipv4) } else { Vec::new() },
        timeouts: annotations.timeouts.or(setting.timeouts),
        connection_limit: annotations.connection_limit.clone().or(-1).filter(|_| abilities.limits()),
        pool_protocol: annotations.proxy.clone().or(None).map(|proxy| match (port.protocol, proxy) {
            (Protocol::Tcp, Some(Proxy::V1)) if abilities.proxy(Proxy::V1) => PoolProtocol::Proxy,
            (Protocol::Tcp, Some(Proxy::V2)) if abilities.proxy(Proxy::V2) => PoolProtocol::ProxyV2,
            (Protocol::Tcp, _) => PoolProtocol::Tcp,
            (Protocol::Udp, _) => PoolProtocol::Udp,
            (Protocol::Sctp, _) => PoolProtocol::Sctp,
        }),
        algorithm,
        affinity: service.affinity.map(|seconds| persistence(port.protocol, seconds)),
        monitor: annotations.monitoring.clone().or(None).map(|rhythm| rhythm.and_then(monitor)),
        members,
    }
}

/// What keeps a client with its pod. Octavia takes a timeout for UDP and SCTP only (Octavia API, "Session persistence").
fn persistence(protocol: Protocol, seconds: u32) -> SessionPersistence {
    SessionPersistence {
        kind: Persistence::SourceIp,
        cookie_name: None,
        persistence_timeout: (protocol != Protocol::Tcp).then_some(seconds),
        persistence_granularity: None,
    }
}

/// The members that the endpoints at a port are, by address and port: those that clients reach, in the subnets where members may be. Addresses
/// elsewhere are `refused`. `owner` names those without a pod.
pub(crate) fn members(
    owner: &str,
    (name, protocol): (&str, Protocol),
    slices: &[Arc<SliceFacts>],
    setting: &Setting,
    is_reached: impl Fn(IpAddr) -> bool,
    refused: &mut Vec<IpAddr>,
) -> BTreeMap<(IpAddr, u16), Member> {
    let mut members = BTreeMap::new();
    for slice in slices {
        for (_, _, number) in slice.ports.iter().filter(|port| port.0 == name && port.1 == protocol) {
            for endpoint in taken(slices, slice).filter(|endpoint| is_reached(endpoint.address)) {
                let Some(subnet) = setting.subnet_of(endpoint.address) else {
                    refused.push(endpoint.address);
                    continue;
                };
                let owner = endpoint.pod.as_deref().unwrap_or(owner);
                let subnet = (setting.mode == MemberMode::L2).then(|| subnet.to_owned());
                members.insert((endpoint.address, *number), Member { name: format!("{owner}:{number}"), subnet });
            }
        }
    }
    members
}

/// Whom a listener lets in: who is named, and the cluster's own, who use the same VIP. Nobody named is everybody. Octavia refuses prefixes
/// of the family that the VIP is not of.
fn let_in(named: &[IpNet], setting: &Setting, is_ipv4: bool) -> Vec<IpNet> {
    if named.is_empty() {
        return Vec::new();
    }
    let own = setting.subnets.iter().map(|(_, prefix)| *prefix);
    let all = named.iter().copied().chain(own).map(|prefix| prefix.trunc());
    let mut all: Vec<IpNet> = all.filter(|prefix| prefix.addr().is_ipv4() == is_ipv4).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Those that are ready; if nobody is in any slice, those that end and still answer.
fn taken<'a>(all: &[Arc<SliceFacts>], slice: &'a SliceFacts) -> impl Iterator<Item = &'a Endpoint> {
    // kube-proxy takes who is said to be ready, also while it ends: that is so only of publishNotReadyAddresses.
    let any = all.iter().flat_map(|slice| &slice.endpoints).any(|endpoint| endpoint.ready);
    slice.endpoints.iter().filter(move |endpoint| if any { endpoint.ready } else { endpoint.ending })
}
