//! From Ingresses to a load balancer. Pure.
//!
//! Each Ingress has a load balancer of its own, as its author expects of a load balancer in a cloud; those of a namespace that
//! name the same group share one, because an amphora is a virtual machine. No group reaches over namespaces: whoever may write
//! Ingresses in one could take the hosts of another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::{Ingress, IngressBackend, IngressClass};
use kube::ResourceExt as _;
use kuryr_openstack::load_balancing::PoolProtocol;

use super::backends::{self, Backend, Port, Sources};
use super::desired::{Action, Balancer, Desired, Listener, Pool, Setting, is_internal};
use super::kinds::CONTROLLER;
use super::owner::{Owner, OwnerKind};
use super::rules::{Host, Path, Routed, in_order};
use crate::cache::Key;
use crate::services::facts::Protocol;
use crate::trouble::Trouble;

/// Annotation of an Ingress: the group it shares a load balancer with, in its namespace.
const GROUP: &str = "openstack.org/kuryr-ingress-group";
/// The class of an Ingress before there was a field for it.
const LEGACY_CLASS: &str = "kubernetes.io/ingress.class";
/// Where requests arrive.
const PORT: u16 = 80;

/// What has the load balancer of this Ingress.
pub(crate) fn owner_of(ingress: &Ingress) -> Owner {
    let group = ingress.annotations().get(GROUP).map(|group| group.trim()).filter(|group| is_name(group));
    let namespace = ingress.namespace().unwrap_or_default();
    match group {
        Some(group) => Owner::new(OwnerKind::IngressGroup, Key { namespace, name: group.to_owned() }),
        None => Owner::new(OwnerKind::Ingress, Key::of(ingress)),
    }
}

/// Whether it can be part of a name: the label of a host.
fn is_name(group: &str) -> bool {
    !group.is_empty() && group.len() <= 63 && group.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether an Ingress is ours, by its class; `None` if its class is not there.
pub(crate) fn is_ours(ingress: &Ingress, class: impl Fn(&str) -> Option<Arc<IngressClass>>) -> Option<bool> {
    let named = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.clone());
    let named = named.or_else(|| ingress.annotations().get(LEGACY_CLASS).cloned());
    let Some(named) = named else { return Some(false) };
    let class = class(&named)?;
    Some(class.spec.as_ref().and_then(|spec| spec.controller.as_deref()) == Some(CONTROLLER))
}

/// What should be for Ingresses that share a load balancer.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) desired: Desired,
    /// What the owner of an Ingress is to be told, by Ingress: what of it is not served, and why.
    pub(crate) remarks: BTreeMap<Key, Trouble>,
    /// Services that matter.
    pub(crate) services: BTreeSet<Key>,
}

/// What should be for these Ingresses, which are ours.
pub(crate) fn desired(ingresses: &[&Ingress], sources: &dyn Sources, setting: &Setting) -> Outcome {
    let mut all = Collected::default();
    let living: Vec<&Ingress> =
        ingresses.iter().copied().filter(|ingress| ingress.metadata.deletion_timestamp.is_none()).collect();
    if !setting.has_l7 {
        let message = "OVN knows packets, not requests: set [kuryr] ingress_provider in kuryr.conf to a provider with layer 7, like \
                       amphora";
        all.remarks.extend(living.iter().map(|it| (Key::of(*it), Trouble::mistake("ProviderWithoutLayer7", message))));
        return all.ending_as(Desired::Nothing("the provider knows no requests"));
    }
    for ingress in &living {
        let key = Key::of(*ingress);
        match all.take(ingress, &key) {
            Ok(()) => {}
            Err(trouble) => {
                all.remarks.insert(key, trouble);
            }
        }
    }
    if all.taken == 0 {
        return all.ending_as(Desired::Nothing("there is no Ingress that can be served"));
    }
    let (policies, _) = in_order(&all.routed);
    let mut balancer = Balancer {
        public: setting.has_public && !living.iter().all(|ingress| is_internal(ingress.annotations())),
        ..Balancer::default()
    };
    for (name, (ingress, backend)) in std::mem::take(&mut all.backends) {
        all.services.insert(backend.service.clone());
        if let Err((_, message)) = backends::port_name(&backend, Protocol::Tcp, sources) {
            let message = format!("{message}; requests for it are answered with 503");
            all.remarks.entry(ingress.clone()).or_insert(Trouble::mistake("BackendNotFound", message));
        }
        let (members, refused) = backends::members(&[backend], Protocol::Tcp, sources, setting);
        if !refused.is_empty() {
            all.remarks.entry(ingress).or_insert(elsewhere(&refused));
        }
        balancer.pools.insert(name, Pool { protocol: PoolProtocol::Http, of: None, members });
    }
    balancer.listeners.insert((Protocol::Tcp, PORT), Listener::Http(policies));
    all.ending_as(Desired::Balanced(balancer))
}

/// What to say of endpoints that are neither pods nor nodes.
pub(crate) fn elsewhere(refused: &[std::net::IpAddr]) -> Trouble {
    let some: Vec<String> = refused.iter().take(5).map(ToString::to_string).collect();
    let message = format!(
        "{} endpoints are neither in the pods' nor in the nodes' subnets and get no traffic: {}; a member must not be anybody's \
         address (CVE-2021-25740). If they are nodes, name their subnets in [pod_vif_nested] worker_nodes_subnets",
        refused.len(),
        some.join(", ")
    );
    Trouble::mistake("EndpointRefused", message)
}

#[derive(Default)]
struct Collected {
    routed: Vec<Routed>,
    /// By the name of their pool, with the first Ingress that names them.
    backends: BTreeMap<String, (Key, Backend)>,
    remarks: BTreeMap<Key, Trouble>,
    services: BTreeSet<Key>,
    /// How many Ingresses are served.
    taken: usize,
}

impl Collected {
    fn ending_as(self, desired: Desired) -> Outcome {
        Outcome { desired, remarks: self.remarks, services: self.services }
    }

    /// Takes in an Ingress. What of it cannot be had is told.
    fn take(&mut self, ingress: &Ingress, key: &Key) -> Result<(), Trouble> {
        let spec = ingress.spec.clone().unwrap_or_default();
        // What its author wants encrypted is not served in the clear.
        if spec.tls.is_some_and(|tls| !tls.is_empty()) {
            let message = "this version has no TLS (it needs Barbican), so the Ingress is not served at all: take spec.tls away to have \
                           it served in the clear";
            return Err(Trouble::mistake("TlsNotSupported", message));
        }
        self.taken += 1;
        let created = ingress.metadata.creation_timestamp.as_ref().map_or(Timestamp::MIN, |time| time.0);
        let mut wrong = Vec::new();
        let mut count = 0;
        let mut add = |host: Host, path: Path, backend: &IngressBackend, wrong: &mut Vec<String>| {
            let Some(service) = &backend.service else {
                wrong.push("a backend is no Service".to_owned());
                return;
            };
            let port = service.port.clone().unwrap_or_default();
            let port = match (port.number.and_then(|number| u16::try_from(number).ok()), port.name) {
                (Some(number), _) => Port::Number(number),
                (None, name) => Port::Name(name.unwrap_or_default()),
            };
            let service = Key { namespace: key.namespace.clone(), name: service.name.clone() };
            let name = format!("{service}:{port}");
            let said = (created, key.clone(), count);
            let routed = Routed { host, path, headers: BTreeSet::new(), to: Action::Pool(name.clone()), said };
            if !routed.fits() {
                wrong.push("a host or path is longer than Octavia takes".to_owned());
                return;
            }
            count += 1;
            self.routed.push(routed);
            self.backends.entry(name).or_insert((key.clone(), Backend { service, port, weight: 1 }));
        };
        for rule in spec.rules.iter().flatten() {
            for path in rule.http.iter().flat_map(|http| &http.paths) {
                let text = path.path.clone().filter(|path| path.starts_with('/')).unwrap_or_else(|| "/".to_owned());
                let matches = match path.path_type.as_str() {
                    "Exact" => Path::Exact(text),
                    // What an implementation makes of its own is ours to say.
                    "Prefix" | "ImplementationSpecific" => Path::Prefix(text),
                    other => {
                        wrong.push(format!("pathType {other:?} is not known"));
                        continue;
                    }
                };
                add(Host::of_ingress(rule.host.as_deref()), matches, &path.backend, &mut wrong);
            }
        }
        // Last, where an explicit rule for everything does not come first.
        if let Some(backend) = &spec.default_backend {
            add(Host::Any, Path::Prefix("/".to_owned()), backend, &mut wrong);
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(Trouble::mistake("IngressNotUnderstood", format!("{}; correct it", wrong.join("; ")))),
        }
    }
}
