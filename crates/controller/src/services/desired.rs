//! What Octavia should have for a Service. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::facts::{Endpoint, Protocol, ServiceFacts, ServiceType, SliceFacts};
use crate::config::MemberMode;

/// What should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Desired {
    /// No load balancer, and why.
    Nothing(&'static str),
    /// A load balancer.
    Balanced(Balancer),
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
    /// Addresses that were left out because they are neither pods' nor nodes'.
    pub(crate) refused: Vec<IpAddr>,
}

/// Milliseconds a client, and a member, may be silent; Octavia's defaults if not said.
pub(crate) type Timeouts = (Option<u32>, Option<u32>);

/// An address from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Public {
    /// The one that is asked for; any if none is.
    pub(crate) asked: Option<IpAddr>,
}

/// A listener with its pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    /// `namespace/name:PROTOCOL:port`, as kuryr-kubernetes names listener and pool.
    pub(crate) name: String,
    /// Whom it lets in; everybody if empty.
    pub(crate) source_ranges: Vec<IpNet>,
    /// How long its sides may be silent.
    pub(crate) timeouts: Timeouts,
    /// Seconds a client stays with its member, if it is to.
    pub(crate) affinity: Option<u32>,
    /// Members by address and port.
    pub(crate) members: BTreeMap<(IpAddr, u16), Member>,
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
}

impl Setting {
    /// The subnet an address is in.
    pub(crate) fn subnet_of(&self, address: IpAddr) -> Option<&str> {
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
    let foreign = service.class.as_deref().is_some_and(|class| !CLASSES.contains(&class));
    let Some((&vip, more)) = service.cluster_ips.split_first() else {
        return Desired::Nothing("it has no address yet");
    };
    let mut refused = Vec::new();
    let mut listeners = BTreeMap::new();
    for port in &service.ports {
        let mut members = BTreeMap::new();
        for slice in slices {
            for (_, _, number) in
                slice.ports.iter().filter(|(name, protocol, _)| *name == port.name && *protocol == port.protocol)
            {
                for endpoint in taken(slices, slice).filter(|it| it.address.is_ipv4() == vip.is_ipv4()) {
                    let Some(subnet) = setting.subnet_of(endpoint.address) else {
                        refused.push(endpoint.address);
                        continue;
                    };
                    let owner = endpoint.pod.as_deref().unwrap_or(key);
                    let subnet = (setting.mode == MemberMode::L2).then(|| subnet.to_owned());
                    let member = Member { name: format!("{owner}:{number}"), subnet };
                    members.insert((endpoint.address, *number), member);
                }
            }
        }
        let listener = Listener {
            name: format!("{key}:{}:{}", port.protocol.as_str(), port.port),
            // Of a LoadBalancer that is somebody else's, the address in the cluster stays ours.
            source_ranges: if foreign { Vec::new() } else { let_in(&service.source_ranges, setting) },
            timeouts: (service.timeouts.0.or(setting.timeouts.0), service.timeouts.1.or(setting.timeouts.1)),
            affinity: service.affinity,
            members,
        };
        listeners.insert((port.protocol, port.port), listener);
    }
    let is_public = service.kind == ServiceType::LoadBalancer && !foreign && setting.public;
    let public = is_public.then_some(Public { asked: service.asked_address });
    refused.sort_unstable();
    refused.dedup();
    Desired::Balanced(Balancer { name: key.to_owned(), vip, more_vips: more.to_vec(), public, listeners, refused })
}

/// Whom a listener lets in: who is named, and the cluster's own, who use the same VIP. Nobody named is everybody.
fn let_in(named: &[IpNet], setting: &Setting) -> Vec<IpNet> {
    if named.is_empty() {
        return Vec::new();
    }
    let own = setting.subnets.iter().map(|(_, prefix)| *prefix);
    let mut all: Vec<IpNet> = named.iter().copied().chain(own).map(|prefix| prefix.trunc()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Those that are ready; if nobody is in any slice, those that end and still answer.
pub(crate) fn taken<'a>(all: &[Arc<SliceFacts>], slice: &'a SliceFacts) -> impl Iterator<Item = &'a Endpoint> {
    let any = all.iter().flat_map(|slice| &slice.endpoints).any(|endpoint| endpoint.ready && !endpoint.ending);
    slice
        .endpoints
        .iter()
        .filter(move |endpoint| if any { endpoint.ready && !endpoint.ending } else { endpoint.ending })
}
