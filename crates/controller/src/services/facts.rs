//! Of a Service and its EndpointSlices what load balancing needs, and no more.

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;
use kuryr_api::names;

use super::annotations::Annotations;
use crate::cache::{Versioned, version_of};

/// What a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    fn read(word: Option<&str>) -> Option<Protocol> {
        match word {
            None | Some("TCP" | "") => Some(Protocol::Tcp),
            Some("UDP") => Some(Protocol::Udp),
            Some("SCTP") => Some(Protocol::Sctp),
            Some(_) => None,
        }
    }

    /// Kubernetes' and Octavia's word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
        }
    }
}

/// Of what type a Service is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ServiceType {
    /// Reached inside the cluster.
    #[default]
    ClusterIp,
    /// Reached from outside, too.
    LoadBalancer,
    /// Reached at ports of nodes, which somebody else serves.
    NodePort,
    /// Only a name in DNS.
    ExternalName,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServicePort {
    /// Its name; empty if it is the only one and has none.
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    /// The pods' port: a number or a name.
    pub(crate) target: String,
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceFacts {
    pub(crate) uid: String,
    pub(crate) version: u64,
    /// Whether kuryr-kubernetes holds it by its finalizer.
    pub(crate) legacy_finalizer: bool,
    pub(crate) kind: ServiceType,
    /// Its addresses in the cluster, the first first; none if it is headless or has none yet.
    pub(crate) cluster_ips: Vec<IpAddr>,
    /// Says that it wants no address.
    pub(crate) headless: bool,
    pub(crate) ports: Vec<ServicePort>,
    /// Seconds a client stays with its pod, if it is to.
    pub(crate) affinity: Option<u32>,
    /// Who implements a LoadBalancer; `None` is the cluster's default.
    pub(crate) class: Option<String>,
    /// Whom a LoadBalancer lets in; everybody if empty.
    pub(crate) source_ranges: Vec<IpNet>,
    /// Address from outside that is asked for.
    pub(crate) asked_address: Option<IpAddr>,
    /// Addresses from outside that its status tells.
    pub(crate) told: Vec<IpAddr>,
    /// Whether it is being deleted.
    pub(crate) leaves: bool,
    /// Whether clients from outside are to reach pods of the node they come to only.
    pub(crate) local_outside: bool,
    /// Whether clients in the cluster are to reach pods of their own node only.
    pub(crate) local_inside: bool,
    /// Addresses of others that nodes are to serve (CVE-2020-8554).
    pub(crate) external_ips: Vec<String>,
    /// What its annotations ask.
    pub(crate) annotations: Annotations,
    /// What could not be read, in words for its owner.
    pub(crate) wrong: Vec<String>,
}

/// Label of an EndpointSlice: the Service it is of.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// How long Kubernetes keeps a client with its pod if nothing is said, in seconds.
const AFFINITY: u32 = 10_800;

impl ServiceFacts {
    /// Reads a Service. What cannot be read of it is left out and told.
    pub(crate) fn read(service: &Service) -> ServiceFacts {
        let mut wrong = Vec::new();
        let spec = service.spec.clone().unwrap_or_default();
        let kind = match spec.type_.as_deref() {
            None | Some("ClusterIP" | "") => ServiceType::ClusterIp,
            Some("LoadBalancer") => ServiceType::LoadBalancer,
            Some("NodePort") => ServiceType::NodePort,
            Some("ExternalName") => ServiceType::ExternalName,
            Some(other) => {
                wrong.push(format!("spec.type {other:?} is not known"));
                ServiceType::ExternalName
            }
        };
        let first: Vec<String> = spec.cluster_ip.iter().cloned().collect();
        let ips = spec.cluster_ips.filter(|ips| !ips.is_empty()).unwrap_or(first);
        let mut ports = Vec::new();
        for port in spec.ports.iter().flatten() {
            match (Protocol::read(port.protocol.as_deref()), u16::try_from(port.port)) {
                (Some(protocol), Ok(number)) => {
                    let target = match &port.target_port {
                        None => number.to_string(),
                        Some(IntOrString::Int(target)) => target.to_string(),
                        Some(IntOrString::String(name)) => name.clone(),
                    };
                    let name = port.name.clone().unwrap_or_default();
                    ports.push(ServicePort { name, protocol, port: number, target });
                }
                _ => wrong.push(format!("port {} with protocol {:?} cannot be served", port.port, port.protocol)),
            }
        }
        let source_ranges = spec.load_balancer_source_ranges.iter().flatten().filter_map(|range| {
            let read = range.trim().parse().ok();
            if read.is_none() {
                wrong.push(format!("spec.loadBalancerSourceRanges has {range:?}, which is no prefix"));
            }
            read
        });
        let source_ranges: Vec<IpNet> = source_ranges.collect();
        let annotations = service.metadata.annotations.clone().unwrap_or_default();
        let annotations = Annotations::read(&annotations, &mut wrong);
        let asked_address = spec.load_balancer_ip.filter(|ip| !ip.is_empty()).and_then(|ip| {
            let read = ip.parse().ok();
            if read.is_none() {
                wrong.push(format!("spec.loadBalancerIP {ip:?} is no address"));
            }
            read
        });
        let affinity = (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| {
            let config = spec.session_affinity_config.and_then(|config| config.client_ip);
            config
                .and_then(|config| config.timeout_seconds)
                .and_then(|seconds| u32::try_from(seconds).ok())
                .unwrap_or(AFFINITY)
        });
        ServiceFacts {
            uid: service.metadata.uid.clone().unwrap_or_default(),
            version: version_of(service),
            legacy_finalizer: service.finalizers().iter().any(|name| name == names::LEGACY_SERVICE_FINALIZER),
            kind,
            headless: ips.first().is_some_and(|ip| ip == "None"),
            cluster_ips: ips.iter().filter_map(|ip| ip.parse().ok()).collect(),
            ports,
            affinity,
            class: spec.load_balancer_class,
            source_ranges,
            asked_address,
            told: told(service),
            leaves: service.metadata.deletion_timestamp.is_some(),
            local_outside: spec.external_traffic_policy.as_deref() == Some("Local"),
            local_inside: spec.internal_traffic_policy.as_deref() == Some("Local"),
            external_ips: spec.external_ips.unwrap_or_default(),
            annotations,
            wrong,
        }
    }
}

/// `status.loadBalancer.ingress`.
fn told(service: &Service) -> Vec<IpAddr> {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = status.and_then(|status| status.ingress.as_ref()).into_iter().flatten();
    ingress.filter_map(|one| one.ip.as_ref()?.parse().ok()).collect()
}

impl Versioned for ServiceFacts {
    fn uid(&self) -> &str {
        &self.uid
    }

    fn version(&self) -> u64 {
        self.version
    }
}

/// One address of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) address: IpAddr,
    /// Takes new connections. Of a Service with `publishNotReadyAddresses` all are said to be.
    pub(crate) ready: bool,
    /// Still answers while it ends: taken if nobody is ready.
    pub(crate) ending: bool,
    /// The pod behind it, `namespace/name`.
    pub(crate) pod: Option<String>,
}

/// One EndpointSlice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SliceFacts {
    pub(crate) uid: String,
    pub(crate) version: u64,
    /// Name of the Service it is of, in its namespace.
    pub(crate) service: Option<String>,
    pub(crate) endpoints: Vec<Endpoint>,
    /// Ports by name and protocol. One without a number says that all are open, which no load balancer can have.
    pub(crate) ports: Vec<(String, Protocol, u16)>,
}

impl SliceFacts {
    /// Reads an EndpointSlice; names of hosts (`addressType: FQDN`) are no addresses.
    pub(crate) fn read(slice: &EndpointSlice) -> SliceFacts {
        let namespace = slice.metadata.namespace.as_deref().unwrap_or_default();
        let endpoints = slice.endpoints.iter().flat_map(|endpoint| {
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            // What is not said is taken as ready; what is not said to serve serves if it is ready.
            let ready = conditions.ready.unwrap_or(true);
            let ending = conditions.terminating.unwrap_or(false) && conditions.serving.unwrap_or(ready);
            let pod = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
            let pod = pod.and_then(|target| {
                Some(format!("{}/{}", target.namespace.as_deref().unwrap_or(namespace), target.name.as_ref()?))
            });
            let addresses = endpoint.addresses.iter().filter_map(|address| address.parse().ok());
            addresses.map(move |address| Endpoint { address, ready, ending, pod: pod.clone() }).collect::<Vec<_>>()
        });
        let ports = slice.ports.iter().flatten().filter_map(|port| {
            let number = u16::try_from(port.port?).ok()?;
            Some((port.name.clone().unwrap_or_default(), Protocol::read(port.protocol.as_deref())?, number))
        });
        SliceFacts {
            uid: slice.metadata.uid.clone().unwrap_or_default(),
            version: version_of(slice),
            service: slice.labels().get(SERVICE_NAME).cloned(),
            endpoints: endpoints.collect(),
            ports: ports.collect(),
        }
    }
}

impl Versioned for SliceFacts {
    fn uid(&self) -> &str {
        &self.uid
    }

    fn version(&self) -> u64 {
        self.version
    }
}
