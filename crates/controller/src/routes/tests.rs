//! What is pure: the order of policies against an oracle, weights, and what is said of listeners and routes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kuryr_openstack::load_balancing::NewL7Rule;
use serde_json::{Value, json};

use super::backends::{Backend, Port, Sources, members};
use super::desired::{Action, Desired, Listener, Setting};
use super::gateway::{Around, Outcome, desired};
use super::kinds::{Gateway, HttpRoute, Object, Route, RouteKind, TcpRoute};
use super::rules::{Host, Path, Routed, in_order};
use crate::cache::Key;
use crate::config::MemberMode;
use crate::services;
use crate::services::facts::{Protocol, ServiceFacts, SliceFacts};

fn key(name: &str) -> Key {
    Key { namespace: "default".to_owned(), name: name.to_owned() }
}

// ---- order -----------------------------------------------------------------------------------------------------------

fn unescaped(text: &str) -> String {
    text.replace('\\', "")
}

/// Whether Octavia finds that a request matches a rule. Of regular expressions it knows those that are made here.
fn matches(rule: &NewL7Rule, host: &str, path: &str) -> bool {
    let text = if rule.kind == "HOST_NAME" { host } else { path };
    let found = match rule.compare_type.as_str() {
        "EQUAL_TO" => text == rule.value,
        "STARTS_WITH" => text.starts_with(&rule.value),
        "ENDS_WITH" => text.ends_with(&rule.value),
        "REGEX" if rule.value.starts_with("^[^.]+") => {
            let rest = unescaped(rule.value.trim_start_matches("^[^.]+").trim_end_matches('$'));
            text.strip_suffix(rest.as_str()).is_some_and(|label| !label.is_empty() && !label.contains('.'))
        }
        "REGEX" => {
            let prefix = unescaped(rule.value.trim_start_matches('^').trim_end_matches("(/|$)"));
            text.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        other => panic!("no comparison {other}"),
    };
    found != rule.invert
}

/// What Gateway API wants of a request: the most exact host, then the most exact path, then the oldest.
fn oracle(routed: &[&Routed], host: &str, path: &str) -> Option<Action> {
    let of_host = |it: &Routed| match &it.host {
        Host::Exact(name) => (name == host).then_some((0, 1000 - name.len())),
        Host::Below(rest) => host.ends_with(rest.as_str()).then_some((1, 1000 - rest.len())),
        Host::OneBelow(rest) => {
            let label = host.strip_suffix(rest.as_str())?;
            (!label.is_empty() && !label.contains('.')).then_some((1, 1000 - rest.len()))
        }
        Host::Any => Some((2, 1000)),
    };
    let of_path = |it: &Routed| match &it.path {
        Path::Exact(wanted) => (wanted == path).then_some((0, 1000 - wanted.len())),
        Path::Prefix(prefix) => {
            let prefix = prefix.trim_end_matches('/');
            let rest = path.strip_prefix(prefix)?;
            (rest.is_empty() || rest.starts_with('/')).then_some((1, 1000 - prefix.len()))
        }
        Path::Regex(_) => None,
    };
    let found = routed.iter().filter_map(|it| Some(((of_host(it)?, of_path(it)?, it.said.clone()), it.to.clone())));
    found.min_by(|a, b| a.0.cmp(&b.0)).map(|(_, to)| to)
}

#[test]
fn octavia_does_with_each_request_what_gateway_api_wants() {
    let hosts = [
        Host::Any,
        Host::Exact("a.example".into()),
        Host::Exact("b.a.example".into()),
        Host::Below(".example".into()),
        Host::OneBelow(".a.example".into()),
    ];
    let paths = ["/", "/a", "/a/b", "/a.c"];
    let requests = ["/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/a.c", "/axc", "/c"];
    let names = ["a.example", "b.a.example", "c.b.a.example", "example", "other"];
    let mut random = fastrand::Rng::with_seed(1);
    let (mut redirected, mut refused_at_all) = (0, 0);
    for _ in 0..3000 {
        let count = random.usize(1..6);
        let routed: Vec<Routed> = (0..count)
            .map(|index| {
                let path = random.choice(paths).unwrap_or("/").to_owned();
                Routed {
                    host: random.choice(&hosts).cloned().unwrap_or(Host::Any),
                    path: if random.bool() { Path::Prefix(path) } else { Path::Exact(path) },
                    headers: BTreeSet::new(),
                    to: match random.bool() {
                        true => Action::Pool(format!("pool {index}")),
                        false => Action::Prefix(format!("http://{index}"), 302),
                    },
                    said: (Timestamp::UNIX_EPOCH, key("r"), index),
                }
            })
            .collect();
        let (policies, refused) = in_order(&routed);
        refused_at_all += refused.len();
        let had: Vec<&Routed> =
            routed.iter().enumerate().filter(|(index, _)| !refused.contains(index)).map(|(_, it)| it).collect();
        for host in names {
            for path in requests {
                let all = policies.iter().filter(|policy| policy.rules.iter().all(|rule| matches(rule, host, path)));
                let all: Vec<&Action> = all.map(|policy| &policy.to).collect();
                // Octavia asks those that redirect first.
                let first = all.iter().find(|to| to.redirects()).or(all.first()).map(|to| (*to).clone());
                assert_eq!(first, oracle(&had, host, path), "{host}{path}: {routed:#?}\n{policies:#?}");
                redirected += usize::from(first.is_some_and(|to| to.redirects()));
            }
        }
        assert!(policies.iter().all(|policy| !policy.rules.is_empty()), "a policy without rules matches nothing");
    }
    assert!(redirected > 1000 && refused_at_all < 300, "{redirected} {refused_at_all}");
}

// ---- backends --------------------------------------------------------------------------------------------------------

#[derive(Default)]
struct Known {
    services: BTreeMap<Key, Arc<ServiceFacts>>,
    slices: BTreeMap<Key, Vec<Arc<SliceFacts>>>,
}

impl Sources for Known {
    fn service(&self, key: &Key) -> Option<Arc<ServiceFacts>> {
        self.services.get(key).cloned()
    }

    fn slices(&self, key: &Key) -> Vec<Arc<SliceFacts>> {
        self.slices.get(key).cloned().unwrap_or_default()
    }
}

impl Known {
    /// A Service with port 80 and these hosts behind it.
    fn with(mut self, name: &str, protocol: &str, hosts: std::ops::Range<u8>) -> Known {
        let service = json!({ "metadata": { "name": name, "namespace": "default" },
            "spec": { "ports": [{ "name": "p", "port": 80, "protocol": protocol }] } });
        let service: Service = serde_json::from_value(service).unwrap();
        let endpoints: Vec<Value> = hosts.map(|host| json!({ "addresses": [format!("10.20.0.{host}")] })).collect();
        let slice = json!({ "metadata": { "namespace": "default" }, "addressType": "IPv4", "endpoints": endpoints,
            "ports": [{ "name": "p", "port": 8080, "protocol": protocol }] });
        let slice: EndpointSlice = serde_json::from_value(slice).unwrap();
        self.services.insert(key(name), Arc::new(ServiceFacts::read(&service)));
        self.slices.insert(key(name), vec![Arc::new(SliceFacts::read(&slice))]);
        self
    }
}

fn setting(has_l7: bool) -> Setting {
    let subnets = vec![("pods".to_owned(), "10.20.0.0/16".parse().unwrap())];
    let members = services::desired::Setting { subnets, mode: MemberMode::L2, ..services::desired::Setting::default() };
    Setting { members, is_ipv4: true, has_l7, has_public: false }
}

#[test]
fn weights_of_services_become_weights_of_members() {
    let known = Known::default().with("a", "TCP", 1..4).with("b", "TCP", 10..11).with("none", "TCP", 0..0);
    let backend = |name: &str, weight| Backend { service: key(name), port: Port::Number(80), weight };
    let weights = |backends: &[Backend]| -> Vec<u16> {
        let (members, refused) = members(backends, Protocol::Tcp, &known, &setting(true));
        assert!(refused.is_empty());
        members.values().map(|member| member.weight).collect()
    };
    assert_eq!(weights(&[backend("a", 7)]), [1, 1, 1]);
    assert_eq!(weights(&[backend("a", 3), backend("b", 1)]), [1, 1, 1, 1], "three parts over three, one over one");
    assert_eq!(weights(&[backend("a", 1), backend("b", 1)]), [85, 85, 85, 256]);
    assert_eq!(weights(&[backend("a", 0), backend("b", 5)]), [1]);
    assert_eq!(weights(&[backend("a", 1_000_000), backend("b", 1)]), [256, 256, 256, 1], "nobody is left out");
    assert_eq!(weights(&[backend("none", 1), backend("gone", 1), backend("b", 2)]), [1]);
    let elsewhere = Known::default().with("a", "TCP", 1..2);
    let narrow = Setting { members: services::desired::Setting::default(), ..setting(true) };
    let (members, refused) = members(&[backend("a", 1)], Protocol::Tcp, &elsewhere, &narrow);
    assert_eq!((members.len(), refused.len()), (0, 1), "an address that is nobody's we know");
}

// ---- Gateways --------------------------------------------------------------------------------------------------------

fn gateway(listeners: Value) -> Object<Gateway> {
    let object = json!({ "metadata": { "name": "web", "namespace": "default" },
        "spec": { "gatewayClassName": "kuryr", "listeners": listeners } });
    serde_json::from_value(object).unwrap()
}

fn http_route(name: &str, created: i64, spec: Value) -> Arc<Route> {
    Arc::new(Route::read::<HttpRoute>(RouteKind::Http, serde_json::from_value(object(name, created, spec)).unwrap()))
}

fn tcp_route(name: &str, created: i64, spec: Value) -> Arc<Route> {
    Arc::new(Route::read::<TcpRoute>(RouteKind::Tcp, serde_json::from_value(object(name, created, spec)).unwrap()))
}

fn object(name: &str, created: i64, spec: Value) -> Value {
    let created = Timestamp::from_second(created).unwrap().to_string();
    let mut object = json!({ "metadata": { "name": name, "namespace": "default", "creationTimestamp": created },
        "spec": { "parentRefs": [{ "name": "web" }] } });
    object["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    object
}

fn decide(gateway: &Object<Gateway>, routes: &[Arc<Route>], has_l7: bool) -> Outcome {
    let known = Known::default().with("a", "TCP", 1..3).with("b", "TCP", 10..11).with("dns", "UDP", 20..21);
    let around =
        Around { routes, grants: &[], labels: &|_| Some(BTreeMap::new()), sources: &known, setting: &setting(has_l7) };
    desired(gateway, &around)
}

/// Reasons of Accepted and ResolvedRefs of the first route, and what is not served of it.
fn of_route(outcome: &Outcome, name: &str) -> (String, String, Option<String>) {
    let (_, said) = outcome.routes.iter().find(|((_, key), _)| key.name == name).unwrap();
    let one = &said[0];
    let word = |said: &super::gateway::Said| format!("{}/{}", said.holds, said.reason);
    (word(&one.accepted), word(&one.resolved), one.partially.as_ref().map(|it| it.message.clone()))
}

fn to_pools(outcome: &Outcome) -> Vec<String> {
    let Desired::Balanced(balancer) = &outcome.desired else { return Vec::new() };
    let all = balancer.listeners.values().flat_map(|listener| match listener {
        Listener::Http(policies) => policies.clone(),
        Listener::Plain(_) => Vec::new(),
    });
    all.map(|policy| format!("{:?}", policy.to)).collect()
}

#[test]
fn listeners_that_want_the_same_are_conflicted_and_the_others_go_on() {
    let http =
        |name: &str, port: u16, host: &str| json!({ "name": name, "protocol": "HTTP", "port": port, "hostname": host });
    let gateway = gateway(json!([
        http("a", 80, "a.example"),
        http("b", 80, "b.example"),
        http("same", 80, "a.example"),
        { "name": "tcp", "protocol": "TCP", "port": 81 },
        http("onto-tcp", 81, "a.example"),
        { "name": "udp", "protocol": "UDP", "port": 81 },
        { "name": "tls", "protocol": "HTTPS", "port": 443 },
    ]));
    let outcome = decide(&gateway, &[], true);
    let said: Vec<(&str, &str)> = outcome
        .listeners
        .iter()
        .map(|it| (it.name.as_str(), it.conflicted.as_ref().map_or(it.accepted.reason, |conflict| conflict.reason)))
        .collect();
    let wanted = [
        ("a", "HostnameConflict"),
        ("b", "Accepted"),
        ("same", "HostnameConflict"),
        ("tcp", "ProtocolConflict"),
        ("onto-tcp", "ProtocolConflict"),
        ("udp", "Accepted"),
        ("tls", "UnsupportedProtocol"),
    ];
    assert_eq!(said, wanted);
    assert_eq!((outcome.accepted.holds, outcome.accepted.reason), (true, "ListenersNotValid"));
    let Desired::Balanced(balancer) = &outcome.desired else { panic!("{outcome:?}") };
    assert_eq!(balancer.listeners.keys().collect::<Vec<_>>(), [&(Protocol::Tcp, 80), &(Protocol::Udp, 81)]);
}

#[test]
fn a_gateway_of_which_nothing_can_be_served_has_no_load_balancer() {
    let only_http = gateway(json!([{ "name": "http", "protocol": "HTTP", "port": 80 }]));
    let outcome = decide(&only_http, &[], false);
    assert!(matches!(outcome.desired, Desired::Nothing(_)) && !outcome.accepted.holds);
    let mut asking = only_http;
    asking.spec.addresses = vec![json!({ "type": "IPAddress", "value": "192.0.2.1" })];
    let outcome = decide(&asking, &[], true);
    assert_eq!((outcome.accepted.holds, outcome.accepted.reason), (false, "UnsupportedAddress"));
    assert!(matches!(outcome.desired, Desired::Nothing(_)));
}

#[test]
fn a_route_is_part_of_listeners_that_share_a_hostname_with_it() {
    let gateway = gateway(json!([{ "name": "http", "protocol": "HTTP", "port": 80, "hostname": "*.example" }]));
    let rules = json!([{ "backendRefs": [{ "name": "a", "port": 80 }] }]);
    let of = |hosts: Value| {
        let route = http_route("r", 0, json!({ "hostnames": hosts, "rules": rules }));
        let outcome = decide(&gateway, &[route], true);
        let Desired::Balanced(balancer) = &outcome.desired else { panic!("{outcome:?}") };
        let Some(Listener::Http(policies)) = balancer.listeners.get(&(Protocol::Tcp, 80)) else { panic!() };
        let hosts = policies.iter().flat_map(|policy| policy.rules.iter().map(|rule| rule.value.clone()));
        (of_route(&outcome, "r").0, hosts.collect::<Vec<_>>(), outcome.listeners[0].attached)
    };
    assert_eq!(of(json!([])), ("true/Accepted".into(), vec![".example".into()], 1));
    assert_eq!(of(json!(["A.example", "other"])), ("true/Accepted".into(), vec!["a.example".into()], 1));
    assert_eq!(of(json!(["*.b.example"])), ("true/Accepted".into(), vec![".b.example".into()], 1));
    assert_eq!(of(json!(["example"])), ("false/NoMatchingListenerHostname".into(), vec![], 0));
    let route = http_route("r", 0, json!({ "parentRefs": [{ "name": "web", "sectionName": "no" }], "rules": rules }));
    assert_eq!(of_route(&decide(&gateway, &[route], true), "r").0, "false/NoMatchingParent");
    let route = tcp_route("r", 0, json!({ "rules": rules }));
    assert_eq!(of_route(&decide(&gateway, &[route], true), "r").0, "false/NotAllowedByListeners");
}

#[test]
fn what_octavia_has_nothing_for_is_said_and_the_rest_is_served() {
    let gateway = gateway(json!([{ "name": "http", "protocol": "HTTP", "port": 80 }]));
    let backend = json!([{ "name": "a", "port": 80 }]);
    let of = |rules: Value| {
        let outcome = decide(&gateway, &[http_route("r", 0, json!({ "hostnames": ["h"], "rules": rules }))], true);
        (of_route(&outcome, "r"), to_pools(&outcome))
    };
    let header = json!({ "type": "RequestHeaderModifier", "requestHeaderModifier": {} });
    let good = json!({ "backendRefs": backend });
    let method = json!({ "matches": [{ "method": "GET" }], "backendRefs": backend });
    let query = json!({ "matches": [{ "queryParams": [{ "name": "a", "value": "b" }] }], "backendRefs": backend });
    let pool = "Pool(\"default/a:80\")".to_owned();
    for bad in [json!({ "filters": [header], "backendRefs": backend }), method, query] {
        let ((accepted, _, partially), _) = of(json!([bad]));
        assert_eq!((accepted.as_str(), partially), ("false/UnsupportedValue", None), "{bad}");
        let ((accepted, _, partially), served) = of(json!([bad, good]));
        assert!(accepted == "true/Accepted" && partially.is_some_and(|it| it.starts_with("Dropped Rule: rule 0")));
        assert_eq!(served.as_slice(), std::slice::from_ref(&pool));
    }
    // Not what routes are for: requests for it get 503, and nothing less exact gets them.
    let gone =
        json!([{ "matches": [{ "path": { "value": "/x" } }], "backendRefs": [{ "name": "gone", "port": 80 }] }, good]);
    let ((accepted, resolved, _), served) = of(gone);
    assert_eq!((accepted.as_str(), resolved.as_str()), ("true/Accepted", "false/BackendNotFound"));
    assert_eq!(served, ["Pool(\"HTTPRoute default/r:0\")".to_owned(), pool]);
    for (backend, reason) in [
        (json!({ "name": "a", "port": 80, "kind": "Bucket", "group": "x" }), "false/InvalidKind"),
        (json!({ "name": "a", "port": 81 }), "false/BackendNotFound"),
        (json!({ "name": "a" }), "false/BackendNotFound"),
        (json!({ "name": "dns", "port": 80 }), "false/UnsupportedProtocol"),
        (json!({ "name": "a", "port": 80, "namespace": "other" }), "false/RefNotPermitted"),
    ] {
        assert_eq!(of(json!([{ "backendRefs": [backend] }])).0.1, reason);
    }
}

#[test]
fn redirections_are_had_where_the_host_is_known() {
    let gateway = gateway(json!([{ "name": "http", "protocol": "HTTP", "port": 8080 }]));
    let of = |hosts: Value, redirect: Value| {
        let filter = json!({ "type": "RequestRedirect", "requestRedirect": redirect });
        let spec = json!({ "hostnames": hosts, "rules": [{ "filters": [filter] }] });
        let outcome = decide(&gateway, &[http_route("r", 0, spec)], true);
        (to_pools(&outcome).join(" "), of_route(&outcome, "r").0)
    };
    let had = |to: &str| (to.to_owned(), "true/Accepted".to_owned());
    let https = json!({ "scheme": "https", "statusCode": 301 });
    assert_eq!(of(json!(["a"]), https.clone()), had("Prefix(\"https://a\", 301)"));
    assert_eq!(
        of(json!(["a"]), json!({ "path": { "type": "ReplaceFullPath", "replaceFullPath": "/n" } })),
        had("Url(\"http://a:8080/n\", 302)")
    );
    assert_eq!(of(json!([]), json!({ "hostname": "b", "port": 80 })), had("Prefix(\"http://b\", 302)"));
    let refused = (String::new(), "false/UnsupportedValue".to_owned());
    assert_eq!(of(json!([]), https), refused, "Octavia cannot say a host it does not know");
    assert_eq!(of(json!(["a"]), json!({ "path": { "type": "ReplacePrefixMatch" } })), refused);
}

#[test]
fn endpoints_that_are_nobodys_we_know_get_nothing_and_that_is_said() {
    let gateway = gateway(
        json!([{ "name": "http", "protocol": "HTTP", "port": 80 }, { "name": "db", "protocol": "TCP", "port": 81 }]),
    );
    let known = Known::default().with("a", "TCP", 1..3);
    let rules = json!({ "rules": [{ "backendRefs": [{ "name": "a", "port": 80 }] }] });
    let routes = [http_route("h", 0, rules.clone()), tcp_route("t", 0, rules)];
    let nowhere = Setting { members: services::desired::Setting::default(), ..setting(true) };
    let around = Around { routes: &routes, grants: &[], labels: &|_| None, sources: &known, setting: &nowhere };
    let outcome = desired(&gateway, &around);
    let Desired::Balanced(balancer) = &outcome.desired else { panic!("{outcome:?}") };
    assert!(balancer.pools.len() == 2 && balancer.pools.values().all(|pool| pool.members.is_empty()));
    for said in outcome.routes.values() {
        assert!(said[0].accepted.holds && said[0].accepted.message.contains("10.20.0.1, 10.20.0.2"), "{said:?}");
    }
}

#[test]
fn the_oldest_route_has_the_traffic() {
    let gateway = gateway(
        json!([{ "name": "db", "protocol": "TCP", "port": 5432 }, { "name": "http", "protocol": "HTTP", "port": 80 }]),
    );
    let to = |name: &str| json!({ "rules": [{ "backendRefs": [{ "name": name, "port": 80 }] }] });
    // The younger is first by name, and in the list.
    let routes = [
        tcp_route("a", 2, to("a")),
        tcp_route("b", 1, to("b")),
        http_route("c", 2, to("a")),
        http_route("d", 1, to("b")),
    ];
    let outcome = decide(&gateway, &routes, true);
    let Desired::Balanced(balancer) = &outcome.desired else { panic!("{outcome:?}") };
    let members: Vec<String> =
        balancer.pools["TCP:5432"].members.keys().map(|(address, port)| format!("{address}:{port}")).collect();
    assert_eq!(members, ["10.20.0.10:8080"]);
    assert_eq!(to_pools(&outcome), ["Pool(\"default/b:80\")"]);
    assert!(!balancer.pools.contains_key("default/a:80"), "nothing leads there");
    assert!(routes.iter().all(|route| of_route(&outcome, &route.key.name).0 == "true/Accepted"));
    assert_eq!(outcome.listeners.iter().map(|it| it.attached).collect::<Vec<_>>(), [2, 2]);
}
