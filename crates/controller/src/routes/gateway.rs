//! From a Gateway and its routes to a load balancer, and what is said of all of them. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use kube::ResourceExt as _;
use kube::core::{Selector, SelectorExt as _};
use kuryr_openstack::load_balancing::{NewL7Rule, PoolProtocol};
use serde_json::Value;

use super::backends::{self, Backend, Missing, Port, Sources};
use super::desired::{Action, Balancer, Desired, Listener, Place, Pool, Setting, is_internal};
use super::ingress::elsewhere;
use super::kinds::{
    BackendRef, GROUP, Gateway, GatewayListener, HttpMatch, Object, ParentRef, ReferenceGrant, Route, RouteKind,
    RouteRule,
};
use super::rules::{self, Host, Path, Routed, in_order};
use crate::cache::Key;
use crate::services::facts::Protocol;

/// A condition: whether it holds, a reason of Gateway API's, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) holds: bool,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Said {
    pub(crate) fn yes(reason: &'static str) -> Said {
        Said { holds: true, reason, message: String::new() }
    }

    pub(crate) fn no(reason: &'static str, message: impl Into<String>) -> Said {
        Said { holds: false, reason, message: message.into() }
    }
}

/// What is said of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OfListener {
    pub(crate) name: String,
    /// Kinds of routes it takes.
    pub(crate) kinds: Vec<RouteKind>,
    pub(crate) attached: usize,
    pub(crate) accepted: Said,
    pub(crate) resolved: Said,
    /// Set where it holds, which is bad.
    pub(crate) conflicted: Option<Said>,
}

impl OfListener {
    /// Whether it is served.
    pub(crate) fn is_well(&self) -> bool {
        self.accepted.holds && self.conflicted.is_none()
    }
}

/// What is said of a route about one of its parents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OfRoute {
    pub(crate) parent: ParentRef,
    pub(crate) accepted: Said,
    pub(crate) resolved: Said,
    /// What of it is not served, though it is accepted.
    pub(crate) partially: Option<Said>,
}

/// What should be for a Gateway, and what is said.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) desired: Desired,
    pub(crate) accepted: Said,
    pub(crate) listeners: Vec<OfListener>,
    /// By kind and name, for those that name the Gateway.
    pub(crate) routes: BTreeMap<(RouteKind, Key), Vec<OfRoute>>,
    /// Services that matter.
    pub(crate) services: BTreeSet<Key>,
}

/// What is known besides the Gateway.
pub(crate) struct Around<'a> {
    /// Routes of all kinds; those that do not name the Gateway are passed over.
    pub(crate) routes: &'a [Arc<Route>],
    pub(crate) grants: &'a [Arc<Object<ReferenceGrant>>],
    /// The labels of a namespace.
    pub(crate) labels: &'a dyn Fn(&str) -> Option<BTreeMap<String, String>>,
    pub(crate) sources: &'a dyn Sources,
    pub(crate) setting: &'a Setting,
}

/// What should be for a Gateway of ours.
pub(crate) fn desired(gateway: &Object<Gateway>, around: &Around<'_>) -> Outcome {
    let key = Key::of(gateway);
    let mut listeners = judge_listeners(&gateway.spec.listeners, around.setting);
    let mut work = Work { around, balancer: Balancer::default(), routed: BTreeMap::new(), services: BTreeSet::new() };
    let mut mine: Vec<&Arc<Route>> = around.routes.iter().filter(|route| names(route, &key).next().is_some()).collect();
    // The oldest wins (Gateway API, "Conflicts").
    mine.sort_by(|a, b| (a.created, &a.key, a.kind).cmp(&(b.created, &b.key, b.kind)));
    let mut routes: BTreeMap<(RouteKind, Key), Vec<OfRoute>> = BTreeMap::new();
    let mut taken: BTreeSet<Place> = BTreeSet::new();
    for route in mine {
        let mut attached: BTreeSet<usize> = BTreeSet::new();
        let mut said = Vec::new();
        let mut hosts: BTreeMap<Place, Vec<Host>> = BTreeMap::new();
        for parent in names(route, &key) {
            match attach(gateway, &listeners, route, parent, around) {
                Ok(found) => {
                    for (index, names) in found {
                        attached.insert(index);
                        if let Some(place) = place_of(&gateway.spec.listeners[index]) {
                            hosts.entry(place).or_default().extend(names);
                        }
                    }
                    said.push((parent.clone(), None));
                }
                Err(refusal) => said.push((parent.clone(), Some(refusal))),
            }
        }
        for index in &attached {
            listeners[*index].attached += 1;
        }
        let verdict = match route.kind {
            RouteKind::Http => work.http(route, &hosts),
            RouteKind::Tcp | RouteKind::Udp => work.plain(route, &hosts, &mut taken),
        };
        let of_route = said.into_iter().map(|(parent, refusal)| match refusal {
            Some(accepted) => OfRoute { parent, accepted, resolved: verdict.resolved.clone(), partially: None },
            None => OfRoute {
                parent,
                accepted: verdict.accepted.clone(),
                resolved: verdict.resolved.clone(),
                partially: verdict.partially.clone(),
            },
        });
        routes.insert((route.kind, route.key.clone()), of_route.collect());
    }
    let well = listeners.iter().filter(|listener| listener.is_well()).count();
    let accepted = if !gateway.spec.addresses.is_empty() {
        Said::no("UnsupportedAddress", "addresses cannot be asked for: take spec.addresses away")
    } else if well == listeners.len() {
        Said::yes("Accepted")
    } else {
        let message = "not every listener can be served; its own conditions say why";
        Said { holds: well > 0, reason: "ListenersNotValid", message: message.to_owned() }
    };
    let desired = if gateway.metadata.deletion_timestamp.is_some() {
        Desired::Nothing("the Gateway is being deleted")
    } else if !accepted.holds {
        Desired::Nothing("the Gateway cannot be served")
    } else {
        let internal = is_internal(gateway.annotations());
        Desired::Balanced(work.finish(&gateway.spec.listeners, &listeners, !internal))
    };
    Outcome { desired, accepted, listeners, routes, services: work.services }
}

/// The parents of a route that are this Gateway.
pub(crate) fn names<'a>(route: &'a Route, gateway: &'a Key) -> impl Iterator<Item = &'a ParentRef> {
    let of_route = route.key.namespace.as_str();
    route.spec.parent_refs.iter().filter(move |parent| parent.gateway(of_route).as_ref() == Some(gateway))
}

/// Where a listener is, if it can be served.
fn place_of(listener: &GatewayListener) -> Option<Place> {
    match listener.protocol.as_str() {
        "HTTP" | "TCP" => Some((Protocol::Tcp, listener.port)),
        "UDP" => Some((Protocol::Udp, listener.port)),
        _ => None,
    }
}

/// The kind of routes a protocol is for.
fn kind_of(protocol: &str) -> Option<RouteKind> {
    match protocol {
        "HTTP" => Some(RouteKind::Http),
        "TCP" => Some(RouteKind::Tcp),
        "UDP" => Some(RouteKind::Udp),
        _ => None,
    }
}

fn judge_listeners(listeners: &[GatewayListener], setting: &Setting) -> Vec<OfListener> {
    let judged = listeners.iter().enumerate().map(|(index, listener)| {
        let kind = kind_of(&listener.protocol);
        let accepted = match listener.protocol.as_str() {
            "HTTP" if !setting.has_l7 => {
                let message = "OVN knows packets, not requests: set [kuryr] ingress_provider in kuryr.conf to a provider with layer \
                               7, like amphora";
                Said::no("UnsupportedProtocol", message)
            }
            "HTTP" | "TCP" | "UDP" => Said::yes("Accepted"),
            "HTTPS" | "TLS" => Said::no("UnsupportedProtocol", "this version has no TLS (it needs Barbican)"),
            other => Said::no("UnsupportedProtocol", format!("{other} is none of HTTP, TCP and UDP")),
        };
        let asked = &listener.allowed_routes.kinds;
        let is_known = |asked: &&super::kinds::GroupKind| {
            asked.group.as_deref().unwrap_or(GROUP) == GROUP && kind.is_some_and(|kind| kind.name() == asked.kind)
        };
        let known = asked.iter().filter(is_known).count();
        let kinds = kind.into_iter().filter(|_| asked.is_empty() || known > 0).collect();
        let resolved = match known == asked.len() {
            true => Said::yes("ResolvedRefs"),
            false => {
                let message = format!("a listener for {} takes no routes of the other kinds", listener.protocol);
                Said::no("InvalidRouteKinds", message)
            }
        };
        let conflicted = conflict(listeners, index);
        OfListener { name: listener.name.clone(), kinds, attached: 0, accepted, resolved, conflicted }
    });
    judged.collect()
}

/// What two listeners cannot both have.
fn conflict(listeners: &[GatewayListener], index: usize) -> Option<Said> {
    let one = &listeners[index];
    let place = place_of(one)?;
    let others = listeners.iter().enumerate().filter(|(other, it)| *other != index && place_of(it) == Some(place));
    let mut conflicted = None;
    for (_, other) in others {
        let port = one.port;
        if other.protocol != one.protocol || one.protocol != "HTTP" {
            let message = format!("port {port} is listener {}'s, too", other.name);
            return Some(Said { holds: true, reason: "ProtocolConflict", message });
        }
        if other.hostname.as_deref().unwrap_or_default() == one.hostname.as_deref().unwrap_or_default() {
            let message = format!("listener {} has the same port and hostname", other.name);
            conflicted = Some(Said { holds: true, reason: "HostnameConflict", message });
        }
    }
    conflicted
}

/// The listeners a route becomes part of by one of its parents, with the hosts it has there; or why none.
fn attach(
    gateway: &Object<Gateway>,
    judged: &[OfListener],
    route: &Route,
    parent: &ParentRef,
    around: &Around<'_>,
) -> Result<Vec<(usize, Vec<Host>)>, Said> {
    let named = |listener: &GatewayListener| {
        parent.section_name.as_ref().is_none_or(|name| *name == listener.name)
            && parent.port.is_none_or(|port| port == listener.port)
    };
    let listeners = gateway.spec.listeners.iter().enumerate();
    let named: Vec<(usize, &GatewayListener)> = listeners.filter(|(_, listener)| named(listener)).collect();
    if named.is_empty() {
        return Err(Said::no("NoMatchingParent", "the Gateway has no such listener"));
    }
    let of_gateway = gateway.namespace().unwrap_or_default();
    let allowed = named.into_iter().filter(|(index, listener)| {
        judged[*index].kinds.contains(&route.kind)
            && judged[*index].is_well()
            && is_allowed(listener, &of_gateway, &route.key.namespace, around)
    });
    let allowed: Vec<(usize, &GatewayListener)> = allowed.collect();
    if allowed.is_empty() {
        let message = format!("no listener takes a {} of namespace {}", route.kind.name(), route.key.namespace);
        return Err(Said::no("NotAllowedByListeners", message));
    }
    let hosts = |listener: &GatewayListener| match route.kind {
        RouteKind::Http => shared_hosts(listener.hostname.as_deref(), &route.spec.hostnames),
        RouteKind::Tcp | RouteKind::Udp => vec![Host::Any],
    };
    let found: Vec<(usize, Vec<Host>)> = allowed
        .into_iter()
        .map(|(index, listener)| (index, hosts(listener)))
        .filter(|(_, hosts)| !hosts.is_empty())
        .collect();
    match found.is_empty() {
        true => Err(Said::no("NoMatchingListenerHostname", "no listener has a hostname of the route's")),
        false => Ok(found),
    }
}

fn is_allowed(listener: &GatewayListener, of_gateway: &str, of_route: &str, around: &Around<'_>) -> bool {
    let namespaces = &listener.allowed_routes.namespaces;
    match namespaces.from.as_deref().unwrap_or("Same") {
        "All" => true,
        "Same" => of_gateway == of_route,
        "Selector" => {
            // What selects nothing, or cannot be read, lets nobody in.
            let selector = namespaces.selector.clone().and_then(|selector| Selector::try_from(selector).ok());
            let labels = (around.labels)(of_route);
            selector.zip(labels).is_some_and(|(selector, labels)| selector.matches(&labels))
        }
        _ => false,
    }
}

/// The hosts that are a listener's and a route's.
fn shared_hosts(listener: Option<&str>, of_route: &[String]) -> Vec<Host> {
    let listener = Host::of_gateway(listener);
    if of_route.is_empty() {
        return vec![listener];
    }
    let shared = of_route.iter().filter_map(|name| {
        let host = Host::of_gateway(Some(name));
        match (&listener, &host) {
            (Host::Any, _) => Some(host),
            (Host::Exact(a), Host::Exact(b)) => (a == b).then_some(host),
            (Host::Below(rest), Host::Exact(name)) => name.ends_with(rest).then_some(host),
            (Host::Exact(name), Host::Below(rest)) => name.ends_with(rest).then(|| listener.clone()),
            (Host::Below(a), Host::Below(b)) if b.ends_with(a) => Some(host),
            (Host::Below(a), Host::Below(b)) if a.ends_with(b) => Some(listener.clone()),
            _ => None,
        }
    });
    shared.collect()
}

/// What is said of a route, whatever its parent.
struct Verdict {
    accepted: Said,
    resolved: Said,
    partially: Option<Said>,
}

struct Work<'a> {
    around: &'a Around<'a>,
    balancer: Balancer,
    routed: BTreeMap<Place, Vec<Routed>>,
    services: BTreeSet<Key>,
}

impl Work<'_> {
    /// Takes in an HTTPRoute for its hosts at each place.
    fn http(&mut self, route: &Route, hosts: &BTreeMap<Place, Vec<Host>>) -> Verdict {
        let (mut missing, mut unsupported, mut served, mut refused) = (None, Vec::new(), 0, BTreeSet::new());
        for (number, rule) in route.spec.rules.iter().enumerate() {
            let backends = self.backends(route, &rule.backend_refs, Protocol::Tcp, &mut missing);
            let matches = matches(rule);
            for (order, one) in matches.iter().enumerate() {
                let read = supported(rule).and_then(|()| read_match(one));
                let (path, headers) = match read {
                    Ok(read) => read,
                    Err(what) => {
                        unsupported.push(format!("rule {number}: {what}"));
                        continue;
                    }
                };
                let mut all = Vec::new();
                for (place, hosts) in hosts {
                    all.extend(hosts.iter().map(|host| (*place, host.clone())));
                }
                served += usize::from(all.is_empty());
                for (place, host) in all {
                    let action = match rule.filters.iter().find(|filter| filter["type"] == "RequestRedirect") {
                        Some(filter) => redirection(&filter["requestRedirect"], &host, place.1),
                        None => Ok(Action::Pool(pool_name(route, number, &backends))),
                    };
                    let said = (route.created, route.key.clone(), number * 1000 + order);
                    let routed =
                        action.map(|to| Routed { host, path: path.clone(), headers: headers.clone(), to, said });
                    match routed {
                        Ok(routed) if !routed.fits() => {
                            unsupported.push(format!("rule {number}: Octavia takes at most 255 characters"));
                        }
                        Ok(routed) if !self.has_room_for(place, &routed) => unsupported.push(format!(
                            "rule {number}: Octavia redirects before it looks for backends, and too much would have to be left out"
                        )),
                        Ok(routed) => {
                            served += 1;
                            if let Action::Pool(name) = &routed.to {
                                refused.extend(self.add_pool(name.clone(), None, PoolProtocol::Http, &backends));
                            }
                            self.routed.entry(place).or_default().push(routed);
                        }
                        Err(what) => unsupported.push(format!("rule {number}: {what}")),
                    }
                }
            }
        }
        let what = unsupported.join("; ");
        let accepted = match served > 0 || unsupported.is_empty() {
            true => Said { message: left_out(&refused), ..Said::yes("Accepted") },
            false => Said::no("UnsupportedValue", what.clone()),
        };
        let partially = (served > 0 && !unsupported.is_empty()).then(|| Said {
            holds: true,
            reason: "UnsupportedValue",
            message: format!("Dropped Rule: {what}"),
        });
        Verdict { accepted, resolved: resolved(missing), partially }
    }

    /// Whether it can be put in order with what is there.
    fn has_room_for(&self, place: Place, routed: &Routed) -> bool {
        let mut all = self.routed.get(&place).cloned().unwrap_or_default();
        let before = in_order(&all).1.len();
        all.push(routed.clone());
        in_order(&all).1.len() == before
    }

    /// Takes in a TCPRoute or UDPRoute; the oldest at a place has its traffic.
    fn plain(&mut self, route: &Route, hosts: &BTreeMap<Place, Vec<Host>>, taken: &mut BTreeSet<Place>) -> Verdict {
        let protocol = if route.kind == RouteKind::Udp { Protocol::Udp } else { Protocol::Tcp };
        let of_pool = if route.kind == RouteKind::Udp { PoolProtocol::Udp } else { PoolProtocol::Tcp };
        let mut missing = None;
        let refs: Vec<BackendRef> =
            route.spec.rules.iter().take(1).flat_map(|rule| rule.backend_refs.clone()).collect();
        let backends = self.backends(route, &refs, protocol, &mut missing);
        let mut accepted = Said::yes("Accepted");
        for place in hosts.keys() {
            if taken.insert(*place) {
                let refused = self.add_pool(default_pool(*place), Some(*place), of_pool, &backends);
                accepted.message = left_out(&refused);
            } else {
                accepted.message = format!("an older route has the traffic of port {}", place.1);
            }
        }
        let partially = (route.spec.rules.len() > 1).then(|| Said {
            holds: true,
            reason: "UnsupportedValue",
            message: "Dropped Rule: only the first rule has an effect".to_owned(),
        });
        Verdict { accepted, resolved: resolved(missing), partially }
    }

    /// The backends that may be used; `missing` is the first that may not.
    fn backends(
        &mut self,
        route: &Route,
        refs: &[BackendRef],
        protocol: Protocol,
        missing: &mut Option<Missing>,
    ) -> Vec<Backend> {
        let mut backends = Vec::new();
        for one in refs {
            match self.backend(route, one, protocol) {
                Ok(backend) => backends.push(backend),
                Err(trouble) => *missing = missing.take().or(Some(trouble)),
            }
        }
        backends
    }

    fn backend(&mut self, route: &Route, one: &BackendRef, protocol: Protocol) -> Result<Backend, Missing> {
        let is_service = one.group.as_deref().unwrap_or_default().is_empty()
            && one.kind.as_deref().unwrap_or("Service") == "Service";
        if !is_service {
            let kind = one.kind.as_deref().unwrap_or_default();
            return Err(("InvalidKind", format!("backend {} is a {kind}; it must be a Service", one.name)));
        }
        let namespace = one.namespace.clone().unwrap_or_else(|| route.key.namespace.clone());
        let service = Key { namespace, name: one.name.clone() };
        if service.namespace != route.key.namespace && !self.is_granted(route, &service) {
            let message = format!("no ReferenceGrant in namespace {} lets it use Service {service}", service.namespace);
            return Err(("RefNotPermitted", message));
        }
        self.services.insert(service.clone());
        let Some(port) = one.port else {
            return Err(("BackendNotFound", format!("no port of Service {service} is named")));
        };
        let backend = Backend { service, port: Port::Number(port), weight: one.weight.unwrap_or(1) };
        backends::port_name(&backend, protocol, self.around.sources).map(|_| backend)
    }

    fn is_granted(&self, route: &Route, service: &Key) -> bool {
        let here = |grant: &&Arc<Object<ReferenceGrant>>| {
            grant.metadata.namespace.as_deref() == Some(service.namespace.as_str())
        };
        self.around.grants.iter().filter(here).any(|grant| {
            let from = grant.spec.from.iter().any(|from| {
                from.group == GROUP && from.kind == route.kind.name() && from.namespace == route.key.namespace
            });
            let to = grant.spec.to.iter().any(|to| {
                to.group.is_empty()
                    && to.kind == "Service"
                    && to.name.as_deref().filter(|name| !name.is_empty()).is_none_or(|name| name == service.name)
            });
            from && to
        })
    }

    /// Answers the addresses that were left out because they are neither pods' nor nodes'.
    fn add_pool(
        &mut self,
        name: String,
        of: Option<Place>,
        protocol: PoolProtocol,
        backends: &[Backend],
    ) -> Vec<IpAddr> {
        let on_wire = if protocol == PoolProtocol::Udp { Protocol::Udp } else { Protocol::Tcp };
        let Around { sources, setting, .. } = self.around;
        let (members, refused) = backends::members(backends, on_wire, *sources, setting);
        self.balancer.pools.insert(name, Pool { protocol, of, members });
        refused
    }

    fn finish(&mut self, listeners: &[GatewayListener], judged: &[OfListener], public: bool) -> Balancer {
        let mut balancer = std::mem::take(&mut self.balancer);
        balancer.public = public && self.around.setting.has_public;
        for (listener, _) in listeners.iter().zip(judged).filter(|(_, judged)| judged.is_well()) {
            let Some(place) = place_of(listener) else { continue };
            let wanted = match kind_of(&listener.protocol) {
                Some(RouteKind::Http) => {
                    let routed = self.routed.get(&place).map(Vec::as_slice).unwrap_or_default();
                    Listener::Http(in_order(routed).0)
                }
                _ => Listener::Plain(Some(default_pool(place)).filter(|name| balancer.pools.contains_key(name))),
            };
            balancer.listeners.insert(place, wanted);
        }
        // What an earlier route took from all that leads to a pool leaves nothing for it.
        let policies = balancer.listeners.values().flat_map(|listener| match listener {
            Listener::Http(policies) => policies.as_slice(),
            Listener::Plain(_) => &[],
        });
        let used: BTreeSet<&str> = policies
            .filter_map(|policy| match &policy.to {
                Action::Pool(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        let unused: Vec<String> = balancer
            .pools
            .iter()
            .filter(|(name, pool)| pool.of.is_none() && !used.contains(name.as_str()))
            .map(|(name, _)| name.clone())
            .collect();
        for name in unused {
            balancer.pools.remove(&name);
        }
        balancer
    }
}

/// What to say of endpoints that were left out; nothing if there are none.
fn left_out<'a>(refused: impl IntoIterator<Item = &'a IpAddr>) -> String {
    let refused: Vec<IpAddr> = refused.into_iter().copied().collect();
    if refused.is_empty() { String::new() } else { elsewhere(&refused).message }
}

fn resolved(missing: Option<Missing>) -> Said {
    match missing {
        Some((reason, message)) => Said::no(reason, message),
        None => Said::yes("ResolvedRefs"),
    }
}

/// Name of the pool that is a listener's default.
fn default_pool((protocol, port): Place) -> String {
    format!("{}:{port}", protocol.as_str())
}

/// Name of the pool of a rule: of its Service, if it has one, so that rules share it; else of the rule, so that weights may
/// change and it stays.
fn pool_name(route: &Route, number: usize, backends: &[Backend]) -> String {
    match backends {
        [one] if one.weight > 0 => format!("{}:{}", one.service, one.port),
        _ => format!("{} {}:{number}", route.kind.name(), route.key),
    }
}

fn matches(rule: &RouteRule) -> Vec<HttpMatch> {
    if rule.matches.is_empty() { vec![HttpMatch::default()] } else { rule.matches.clone() }
}

/// Whether Octavia has something for all that a rule asks for besides its matches.
fn supported(rule: &RouteRule) -> Result<(), String> {
    let of_backends = rule.backend_refs.iter().flat_map(|backend| &backend.filters);
    let filters = rule.filters.iter().filter(|filter| filter["type"] != "RequestRedirect").chain(of_backends);
    if let Some(filter) = filters.map(|filter| filter["type"].as_str().unwrap_or_default()).next() {
        return Err(format!("Octavia has no filter {filter}"));
    }
    let others =
        [("timeouts", &rule.timeouts), ("retry", &rule.retry), ("sessionPersistence", &rule.session_persistence)];
    match others.into_iter().find(|(_, value)| value.is_some()) {
        Some((name, _)) => Err(format!("{name} of a rule cannot be set")),
        None => Ok(()),
    }
}

fn read_match(one: &HttpMatch) -> Result<(Path, BTreeSet<NewL7Rule>), String> {
    if let Some(method) = &one.method {
        return Err(format!("Octavia cannot tell method {method} from others"));
    }
    if !one.query_params.is_empty() {
        return Err("Octavia does not look at query parameters".to_owned());
    }
    let path = one.path.clone().unwrap_or_default();
    let value = path.value.unwrap_or_else(|| "/".to_owned());
    let path = match path.kind.as_deref().unwrap_or("PathPrefix") {
        "Exact" => Path::Exact(value),
        "PathPrefix" => Path::Prefix(value),
        "RegularExpression" => Path::Regex(value),
        other => return Err(format!("path type {other} is not known")),
    };
    let mut headers = BTreeSet::new();
    for header in &one.headers {
        let is_regex = match header.kind.as_deref().unwrap_or("Exact") {
            "Exact" => false,
            "RegularExpression" => true,
            other => return Err(format!("header match type {other} is not known")),
        };
        headers.insert(rules::header(&header.name, is_regex, &header.value));
    }
    Ok((path, headers))
}

/// Where clients are sent. Octavia cannot put the host of a request into an answer, so it must be known.
fn redirection(filter: &Value, host: &Host, port: u16) -> Result<Action, String> {
    let scheme = filter["scheme"].as_str().unwrap_or("http");
    let name = match (filter["hostname"].as_str(), host) {
        (Some(name), _) => name.to_owned(),
        (None, Host::Exact(name)) => name.clone(),
        (None, _) => return Err("a redirection needs a hostname, its own or exactly one of the route".to_owned()),
    };
    let asked = filter["port"].as_u64();
    // The port of the scheme if one is asked for, else the listener's (Gateway API, "HTTPRequestRedirectFilter").
    let port = match (asked, filter["scheme"].as_str()) {
        (Some(port), _) => port,
        (None, Some("https")) => 443,
        (None, Some(_)) => 80,
        (None, None) => port.into(),
    };
    let usual = matches!((scheme, port), ("http", 80) | ("https", 443));
    let address = if usual { format!("{scheme}://{name}") } else { format!("{scheme}://{name}:{port}") };
    let code = filter["statusCode"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(302);
    if ![301, 302, 303, 307, 308].contains(&code) {
        return Err(format!("Octavia does not redirect with status {code}"));
    }
    match filter["path"]["type"].as_str() {
        None => Ok(Action::Prefix(address, code)),
        Some("ReplaceFullPath") => {
            let path = filter["path"]["replaceFullPath"].as_str().unwrap_or("/");
            Ok(Action::Url(format!("{address}{path}"), code))
        }
        Some(other) => Err(format!("Octavia cannot {other} in a redirection")),
    }
}
