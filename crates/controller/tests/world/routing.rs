//! Ingresses and Gateways on the fakes: hands for their authors, and looks at what is there.

use std::time::Duration;

use http::Method;
use kuryr_controller::config::{External, Routes};
use serde_json::{Value, json};

use super::{NAMESPACE, World, outside, services};

pub const LONG: Duration = Duration::from_secs(300);
pub const INGRESSES: &str = "ingresses.networking.k8s.io";
pub const INGRESS_CLASSES: &str = "ingressclasses.networking.k8s.io";
pub const GATEWAYS: &str = "gateways.gateway.networking.k8s.io";
pub const GATEWAY_CLASSES: &str = "gatewayclasses.gateway.networking.k8s.io";
pub const HTTP_ROUTES: &str = "httproutes.gateway.networking.k8s.io";
pub const TCP_ROUTES: &str = "tcproutes.gateway.networking.k8s.io";
pub const UDP_ROUTES: &str = "udproutes.gateway.networking.k8s.io";
pub const SLICES: &str = "endpointslices.discovery.k8s.io";
pub const OURS: &str = "openstack.org/kuryr";

/// A world whose controller balances Ingresses and Gateways with this provider, and its classes.
pub fn world(seed: u64, provider: &str) -> World {
    let mut world = World::new(seed);
    let subnet = world.cloud.seed_network("k8s", "services", &["10.96.0.0/16"]).subnets.remove(0);
    world.config.routes = Some(Routes { balancing: services(subnet), provider: Some(provider.to_owned()) });
    let class = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": { "name": "kuryr" }, "spec": { "controller": OURS } });
    world.cluster.create(class).unwrap();
    world
}

/// The same with Gateway API and a class of ours.
pub fn gateway_world(seed: u64, provider: &str) -> World {
    let world = world(seed, provider);
    serve_gateway_api(&world);
    world
}

pub fn serve_gateway_api(world: &World) {
    world.cluster.install_gateway_api().unwrap();
    create(world, "v1", "GatewayClass", "", "kuryr", json!({ "controllerName": OURS }));
}

/// The same with an external network, and a router between it and the VIPs' subnet.
pub fn with_external(mut world: World) -> World {
    let routes = world.config.routes.as_mut().unwrap();
    let network = outside::public(&world.cloud, &routes.balancing.subnet);
    routes.balancing.external = Some(External { network, subnet: None });
    world
}

/// An object of Gateway API.
pub fn create(world: &World, version: &str, kind: &str, namespace: &str, name: &str, spec: Value) {
    let mut object = json!({ "apiVersion": format!("gateway.networking.k8s.io/{version}"), "kind": kind,
        "metadata": { "name": name }, "spec": spec });
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    world.cluster.create(object).unwrap();
}

/// A Service with one port, and these hosts of the pods' subnet behind it.
pub fn create_service(world: &World, namespace: &str, name: &str, protocol: &str, hosts: std::ops::Range<u8>) {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": namespace },
        "spec": { "type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["None"],
            "ports": [{ "name": "p", "port": 80, "targetPort": 8080, "protocol": protocol }] },
    });
    world.cluster.create(service).unwrap();
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": format!("{name}-1"), "namespace": namespace,
            "labels": { "kubernetes.io/service-name": name } },
        "endpoints": endpoints(hosts), "ports": [{ "name": "p", "port": 8080, "protocol": protocol }],
    });
    world.cluster.create(slice).unwrap();
}

pub fn endpoints(hosts: std::ops::Range<u8>) -> Vec<Value> {
    let endpoint = |host| json!({ "addresses": [format!("10.0.0.{host}")], "conditions": { "ready": true } });
    hosts.map(endpoint).collect()
}

pub fn set_endpoints(world: &World, name: &str, hosts: std::ops::Range<u8>) {
    let change = json!({ "endpoints": endpoints(hosts) });
    world.cluster.patch(SLICES, NAMESPACE, &format!("{name}-1"), &change).unwrap();
}

pub fn create_ingress(world: &World, name: &str, more: Value, rules: &[(&str, &str, &str, &str)]) {
    let rules: Vec<Value> = rules
        .iter()
        .map(|(host, kind, path, service)| {
            let backend = json!({ "service": { "name": service, "port": { "number": 80 } } });
            json!({ "host": host, "http": { "paths": [{ "path": path, "pathType": kind, "backend": backend }] } })
        })
        .collect();
    let mut ingress = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": { "ingressClassName": "kuryr", "rules": rules },
    });
    json_patch::merge(&mut ingress, &more);
    world.cluster.create(ingress).unwrap();
}

/// What each policy does, in the order Octavia asks them: `rules → where`.
pub fn policies(world: &World) -> Vec<String> {
    let pools = world.cloud.load_balancing("pools");
    let name =
        |id: &Value| pools.iter().find(|pool| pool["id"] == *id).map_or("?", |pool| pool["name"].as_str().unwrap());
    let mut policies = world.cloud.load_balancing("l7policies");
    policies.sort_by_key(|policy| (policy["listener_id"].to_string(), policy["position"].as_u64()));
    let all = world.cloud.load_balancing("rules");
    let shown = policies.iter().map(|policy| {
        let ids: Vec<&Value> = policy["rules"].as_array().unwrap().iter().map(|rule| &rule["id"]).collect();
        let mut rules: Vec<String> = (all.iter().filter(|rule| ids.contains(&&rule["id"])))
            .map(|rule| {
                let not = if rule["invert"] == true { "not " } else { "" };
                let text = |key: &str| rule[key].as_str().unwrap_or_default().to_owned();
                format!("{not}{} {} {}", text("type"), text("compare_type"), text("value"))
            })
            .collect();
        rules.sort();
        let to = match policy["action"].as_str().unwrap() {
            "REDIRECT_TO_POOL" => name(&policy["redirect_pool_id"]).to_owned(),
            "REDIRECT_PREFIX" => {
                format!("{} {}", policy["redirect_http_code"], policy["redirect_prefix"].as_str().unwrap())
            }
            other => format!("{other} {}", policy["redirect_url"]),
        };
        format!("{} → {to}", rules.join(" & "))
    });
    shown.collect()
}

/// Members of the pool of this name: host and weight.
pub fn members(world: &World, pool: &str) -> Vec<(u8, u64)> {
    let pools = world.cloud.load_balancing("pools");
    let ids: Vec<Value> = pools
        .iter()
        .filter(|known| known["name"] == pool)
        .flat_map(|pool| pool["members"].as_array().unwrap().iter().map(|member| member["id"].clone()))
        .collect();
    let all = world.cloud.load_balancing("members");
    let mut found: Vec<(u8, u64)> = (all.iter().filter(|member| ids.contains(&member["id"])))
        .map(|member| {
            let host = member["address"].as_str().unwrap().rsplit('.').next().unwrap().parse().unwrap();
            (host, member["weight"].as_u64().unwrap())
        })
        .collect();
    found.sort_unstable();
    found
}

/// Whether what is looked at is this, once Octavia is at rest.
pub fn is<T: PartialEq + std::fmt::Debug>(
    wanted: T,
    look: impl Fn(&World) -> T,
) -> impl Fn(&World) -> Result<(), String> {
    move |world| {
        let at_work =
            world.cloud.load_balancing("loadbalancers").iter().any(|it| it["provisioning_status"] != "ACTIVE");
        let found = look(world);
        if found == wanted && !at_work { Ok(()) } else { Err(format!("{found:?} instead of {wanted:?}")) }
    }
}

pub fn nothing_left(world: &World) -> Result<(), String> {
    let kinds = ["loadbalancers", "listeners", "pools", "members", "l7policies", "rules"];
    let left: Vec<(&str, usize)> =
        kinds.into_iter().map(|kind| (kind, world.cloud.load_balancing(kind).len())).collect();
    let ports = world.cloud.ports().iter().filter(|port| port["name"].to_string().contains("lb-")).count();
    let floating = world.cloud.list("floatingips").len();
    match left.iter().all(|(_, count)| *count == 0) && ports == 0 && floating == 0 {
        true => Ok(()),
        false => Err(format!("{left:?}, {ports} ports of VIPs and {floating} floating IPs are left")),
    }
}

/// Changing requests to Octavia so far.
pub fn changes(world: &World) -> usize {
    let seen = world.cloud.requests();
    seen.iter().filter(|seen| seen.path.contains("/lbaas/") && seen.method != Method::GET).count()
}

/// The address an Ingress is told.
pub fn told(world: &World, name: &str) -> Option<String> {
    let ingress = world.cluster.get(INGRESSES, NAMESPACE, name)?;
    Some(ingress["status"]["loadBalancer"]["ingress"][0]["ip"].as_str()?.to_owned())
}

pub fn vip(world: &World) -> Option<String> {
    Some(world.cloud.load_balancing("loadbalancers").first()?["vip_address"].as_str()?.to_owned())
}

/// `status/reason` of a condition.
pub fn condition(conditions: &Value, kind: &str) -> String {
    let found = conditions.as_array().into_iter().flatten().find(|condition| condition["type"] == kind);
    found.map_or_else(
        || "none".to_owned(),
        |it| format!("{}/{}", it["status"].as_str().unwrap(), it["reason"].as_str().unwrap()),
    )
}

/// Accepted and Programmed of a Gateway.
pub fn gateway(world: &World, name: &str) -> (String, String) {
    let found = world.cluster.get(GATEWAYS, NAMESPACE, name).unwrap_or_default();
    let conditions = &found["status"]["conditions"];
    (condition(conditions, "Accepted"), condition(conditions, "Programmed"))
}

pub fn programmed(name: &'static str) -> impl Fn(&World) -> Result<(), String> {
    is(("True/Accepted".to_owned(), "True/Programmed".to_owned()), move |world| gateway(world, name))
}

/// Accepted and ResolvedRefs of a route about its first parent.
pub fn route(world: &World, kind: &str, namespace: &str, name: &str) -> (String, String) {
    let found = world.cluster.get(kind, namespace, name).unwrap_or_default();
    let conditions = &found["status"]["parents"][0]["conditions"];
    (condition(conditions, "Accepted"), condition(conditions, "ResolvedRefs"))
}

pub fn said(accepted: &str, resolved: &str) -> (String, String) {
    (accepted.to_owned(), resolved.to_owned())
}

pub fn parent() -> Value {
    json!([{ "name": "web" }])
}

pub fn to(service: &str) -> Value {
    json!([{ "name": service, "port": 80 }])
}

pub fn http_gateway(world: &World) {
    let listeners = json!([{ "name": "http", "protocol": "HTTP", "port": 80 }]);
    create(world, "v1", "Gateway", NAMESPACE, "web", json!({ "gatewayClassName": "kuryr", "listeners": listeners }));
}

/// A route of all requests at Gateway `web` to Service `a`.
pub fn http_route_to_a(world: &World) {
    let spec = json!({ "parentRefs": parent(), "rules": [{ "backendRefs": to("a") }] });
    create(world, "v1", "HTTPRoute", NAMESPACE, "r", spec);
}
