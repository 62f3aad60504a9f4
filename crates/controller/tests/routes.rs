//! Ingresses and Gateways on the fakes: what is made in Octavia, what is said of it, and that nothing is left.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod world;

use std::time::Duration;

use http::Method;
use kuryr_controller::config::{External, MemberMode, Routes, Services};
use kuryr_fake::faults::{Lose, Rule};
use kuryr_openstack::load_balancing::LbAlgorithm;
use serde_json::{Value, json};
use world::{NAMESPACE, World, gateway_api};

const LONG: Duration = Duration::from_secs(300);
const INGRESSES: &str = "ingresses.networking.k8s.io";
const INGRESS_CLASSES: &str = "ingressclasses.networking.k8s.io";
const GATEWAYS: &str = "gateways.gateway.networking.k8s.io";
const GATEWAY_CLASSES: &str = "gatewayclasses.gateway.networking.k8s.io";
const HTTP_ROUTES: &str = "httproutes.gateway.networking.k8s.io";
const TCP_ROUTES: &str = "tcproutes.gateway.networking.k8s.io";
const UDP_ROUTES: &str = "udproutes.gateway.networking.k8s.io";
const SLICES: &str = "endpointslices.discovery.k8s.io";
const OURS: &str = "openstack.org/kuryr";

/// A world whose controller balances Ingresses and Gateways with this provider, and its classes.
fn world(seed: u64, provider: &str) -> World {
    let mut world = World::new(seed);
    let subnet = world.cloud.seed_network("k8s", "services", &["10.96.0.0/16"]).subnets.remove(0);
    let balancing = Services {
        subnet,
        provider: Some("ovn".to_owned()),
        algorithm: LbAlgorithm::SourceIpPort,
        member_mode: MemberMode::L2,
        node_subnets: Vec::new(),
        external: None,
        api_server: false,
        timeouts: (None, None),
    };
    world.config.routes = Some(Routes { balancing, provider: Some(provider.to_owned()) });
    let class = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": { "name": "kuryr" }, "spec": { "controller": OURS } });
    world.cluster.create(class).unwrap();
    world
}

/// The same with Gateway API and a class of ours.
fn gateway_world(seed: u64, provider: &str) -> World {
    let world = world(seed, provider);
    serve_gateway_api(&world);
    world
}

fn serve_gateway_api(world: &World) {
    gateway_api::install(&world.cluster);
    create(world, "v1", "GatewayClass", "", "kuryr", json!({ "controllerName": OURS }));
}

/// The same with an external network, and a router between it and the VIPs' subnet.
fn with_external(mut world: World) -> World {
    let external = world.cloud.seed_network("admin", "public", &["172.24.4.0/24"]);
    world.cloud.update("networks", &external.network, json!({ "router:external": true }));
    let gateway = json!({ "network_id": external.network });
    let router = world.cloud.create("routers", json!({ "name": "r", "external_gateway_info": gateway }));
    let routes = world.config.routes.as_mut().unwrap();
    world.cloud.add_router_interface(router["id"].as_str().unwrap(), &routes.balancing.subnet);
    routes.balancing.external = Some(External { network: external.network, subnet: None });
    world
}

/// An object of Gateway API.
fn create(world: &World, version: &str, kind: &str, namespace: &str, name: &str, spec: Value) {
    let mut object = json!({ "apiVersion": format!("gateway.networking.k8s.io/{version}"), "kind": kind,
        "metadata": { "name": name }, "spec": spec });
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    world.cluster.create(object).unwrap();
}

/// A Service with one port, and these hosts of the pods' subnet behind it.
fn create_service(world: &World, namespace: &str, name: &str, protocol: &str, hosts: std::ops::Range<u8>) {
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

fn endpoints(hosts: std::ops::Range<u8>) -> Vec<Value> {
    let endpoint = |host| json!({ "addresses": [format!("10.0.0.{host}")], "conditions": { "ready": true } });
    hosts.map(endpoint).collect()
}

fn set_endpoints(world: &World, name: &str, hosts: std::ops::Range<u8>) {
    let change = json!({ "endpoints": endpoints(hosts) });
    world.cluster.patch(SLICES, NAMESPACE, &format!("{name}-1"), &change).unwrap();
}

fn create_ingress(world: &World, name: &str, more: Value, rules: &[(&str, &str, &str, &str)]) {
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
fn policies(world: &World) -> Vec<String> {
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
fn members(world: &World, pool: &str) -> Vec<(u8, u64)> {
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
fn is<T: PartialEq + std::fmt::Debug>(wanted: T, look: impl Fn(&World) -> T) -> impl Fn(&World) -> Result<(), String> {
    move |world| {
        let at_work =
            world.cloud.load_balancing("loadbalancers").iter().any(|it| it["provisioning_status"] != "ACTIVE");
        let found = look(world);
        if found == wanted && !at_work { Ok(()) } else { Err(format!("{found:?} instead of {wanted:?}")) }
    }
}

fn nothing_left(world: &World) -> Result<(), String> {
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
fn changes(world: &World) -> usize {
    let seen = world.cloud.requests();
    seen.iter().filter(|seen| seen.path.contains("/lbaas/") && seen.method != Method::GET).count()
}

/// The address an Ingress is told.
fn told(world: &World, name: &str) -> Option<String> {
    let ingress = world.cluster.get(INGRESSES, NAMESPACE, name)?;
    Some(ingress["status"]["loadBalancer"]["ingress"][0]["ip"].as_str()?.to_owned())
}

fn vip(world: &World) -> Option<String> {
    Some(world.cloud.load_balancing("loadbalancers").first()?["vip_address"].as_str()?.to_owned())
}

/// `status/reason` of a condition.
fn condition(conditions: &Value, kind: &str) -> String {
    let found = conditions.as_array().into_iter().flatten().find(|condition| condition["type"] == kind);
    found.map_or_else(
        || "none".to_owned(),
        |it| format!("{}/{}", it["status"].as_str().unwrap(), it["reason"].as_str().unwrap()),
    )
}

/// Accepted and Programmed of a Gateway.
fn gateway(world: &World, name: &str) -> (String, String) {
    let found = world.cluster.get(GATEWAYS, NAMESPACE, name).unwrap_or_default();
    let conditions = &found["status"]["conditions"];
    (condition(conditions, "Accepted"), condition(conditions, "Programmed"))
}

fn programmed(name: &'static str) -> impl Fn(&World) -> Result<(), String> {
    is(("True/Accepted".to_owned(), "True/Programmed".to_owned()), move |world| gateway(world, name))
}

/// Accepted and ResolvedRefs of a route about its first parent.
fn route(world: &World, kind: &str, namespace: &str, name: &str) -> (String, String) {
    let found = world.cluster.get(kind, namespace, name).unwrap_or_default();
    let conditions = &found["status"]["parents"][0]["conditions"];
    (condition(conditions, "Accepted"), condition(conditions, "ResolvedRefs"))
}

fn said(accepted: &str, resolved: &str) -> (String, String) {
    (accepted.to_owned(), resolved.to_owned())
}

fn parent() -> Value {
    json!([{ "name": "web" }])
}

fn to(service: &str) -> Value {
    json!([{ "name": service, "port": 80 }])
}

fn http_gateway(world: &World) {
    let listeners = json!([{ "name": "http", "protocol": "HTTP", "port": 80 }]);
    create(world, "v1", "Gateway", NAMESPACE, "web", json!({ "gatewayClassName": "kuryr", "listeners": listeners }));
}

// ---- Ingress -------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn an_ingress_comes_follows_and_goes() {
    let world = world(1, "amphora");
    let controller = world.start();
    create_service(&world, NAMESPACE, "shop", "TCP", 10..12);
    create_service(&world, NAMESPACE, "api", "TCP", 20..21);
    let rules = [("shop.example", "Prefix", "/", "shop"), ("shop.example", "Prefix", "/api", "api")];
    create_ingress(&world, "web", json!({}), &rules);
    let wanted = [
        "HOST_NAME EQUAL_TO shop.example & PATH REGEX ^/api(/|$) → default/api:80",
        "HOST_NAME EQUAL_TO shop.example → default/shop:80",
    ];
    world.until(LONG, is(wanted.map(str::to_owned).to_vec(), policies)).await;
    world.until(LONG, |world| if told(world, "web") == vip(world) { Ok(()) } else { Err("not told".into()) }).await;
    assert_eq!(members(&world, "default/shop:80"), [(10, 1), (11, 1)]);
    assert_eq!(changes(&world), 8, "load balancer, listener, 2 pools with members, 2 policies");
    let balancer = world.cloud.load_balancing("loadbalancers").remove(0);
    assert_eq!((&balancer["name"], &balancer["provider"]), (&json!("ingress/default/web"), &json!("amphora")));
    // Endpoints: one call for the pool.
    for hosts in [10..15, 10..10, 30..32] {
        let before = changes(&world);
        set_endpoints(&world, "shop", hosts.clone());
        world.until(LONG, is(hosts.map(|host| (host, 1)).collect(), |world| members(world, "default/shop:80"))).await;
        assert_eq!(changes(&world) - before, 1);
    }
    // Another path: a policy is made at its place, the other one stays.
    let before = changes(&world);
    let backend = |name: &str| json!({ "service": { "name": name, "port": { "number": 80 } } });
    let paths = json!([
        { "path": "/", "pathType": "Prefix", "backend": backend("shop") },
        { "path": "/v2", "pathType": "Exact", "backend": backend("api") },
    ]);
    let change = json!({ "spec": { "rules": [{ "host": "shop.example", "http": { "paths": paths } }] } });
    world.cluster.patch(INGRESSES, NAMESPACE, "web", &change).unwrap();
    let wanted = [
        "HOST_NAME EQUAL_TO shop.example & PATH EQUAL_TO /v2 → default/api:80",
        "HOST_NAME EQUAL_TO shop.example → default/shop:80",
    ];
    world.until(LONG, is(wanted.map(str::to_owned).to_vec(), policies)).await;
    assert_eq!(changes(&world) - before, 2, "a policy made, a policy deleted");
    world.cluster.delete_now(INGRESSES, NAMESPACE, "web").unwrap();
    world.until(LONG, nothing_left).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ingresses_of_a_group_share_a_load_balancer() {
    let world = world(2, "amphora");
    let controller = world.start();
    create_service(&world, NAMESPACE, "a", "TCP", 10..11);
    create_service(&world, NAMESPACE, "b", "TCP", 20..21);
    let group = json!({ "metadata": { "annotations": { "openstack.org/kuryr-ingress-group": "shared" } } });
    create_ingress(&world, "first", group.clone(), &[("a.example", "Prefix", "/", "a")]);
    // The host of an older Ingress is not for the taking.
    world.pass(Duration::from_secs(5)).await;
    let rules = [("a.example", "Prefix", "/", "b"), ("b.example", "Prefix", "/", "b")];
    create_ingress(&world, "second", group, &rules);
    let wanted = ["HOST_NAME EQUAL_TO a.example → default/a:80", "HOST_NAME EQUAL_TO b.example → default/b:80"];
    world.until(LONG, is(wanted.map(str::to_owned).to_vec(), policies)).await;
    assert_eq!(world.cloud.load_balancing("loadbalancers").len(), 1);
    // One leaves the group, and has another.
    let alone = json!({ "metadata": { "annotations": { "openstack.org/kuryr-ingress-group": null } } });
    world.cluster.patch(INGRESSES, NAMESPACE, "second", &alone).unwrap();
    let names = |world: &World| {
        let mut names: Vec<String> = (world.cloud.load_balancing("loadbalancers").iter())
            .map(|it| it["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        (names, told(world, "first") != told(world, "second"))
    };
    let wanted = vec!["ingress-group/default/shared".to_owned(), "ingress/default/second".to_owned()];
    world.until(LONG, is((wanted, true), names)).await;
    for name in ["first", "second"] {
        world.cluster.delete_now(INGRESSES, NAMESPACE, name).unwrap();
    }
    world.until(LONG, nothing_left).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_ingress_cannot_have_is_told_and_others_go_on() {
    let world = world(3, "amphora");
    let controller = world.start();
    create_service(&world, NAMESPACE, "a", "TCP", 10..11);
    create_ingress(
        &world,
        "secret",
        json!({ "spec": { "tls": [{ "hosts": ["a.example"] }] } }),
        &[("a.example", "Prefix", "/", "a")],
    );
    create_ingress(&world, "lost", json!({}), &[("c.example", "Prefix", "/", "gone")]);
    create_ingress(&world, "web", json!({}), &[("b.example", "Prefix", "/", "a")]);
    create_ingress(
        &world,
        "foreign",
        json!({ "spec": { "ingressClassName": "nginx" } }),
        &[("d.example", "Prefix", "/", "a")],
    );
    let wanted = ["HOST_NAME EQUAL_TO b.example → default/a:80", "HOST_NAME EQUAL_TO c.example → default/gone:80"];
    let sorted = |world: &World| {
        let mut policies = policies(world);
        policies.sort();
        policies
    };
    world.until(LONG, is(wanted.map(str::to_owned).to_vec(), sorted)).await;
    let told_of = |world: &World| {
        let mut reasons = world.event_reasons();
        reasons.sort();
        reasons
    };
    world.until(LONG, is(vec!["BackendNotFound".to_owned(), "TlsNotSupported".to_owned()], told_of)).await;
    assert_eq!((told(&world, "secret"), told(&world, "foreign")), (None, None));
    // The Service comes.
    create_service(&world, NAMESPACE, "gone", "TCP", 30..31);
    world.until(LONG, is(vec![(30, 1)], |world| members(world, "default/gone:80"))).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_without_layer_7_is_told_and_makes_nothing() {
    let world = world(4, "ovn");
    let controller = world.start();
    create_service(&world, NAMESPACE, "a", "TCP", 10..11);
    create_ingress(&world, "web", json!({}), &[("a.example", "Prefix", "/", "a")]);
    world.until(LONG, is(vec!["ProviderWithoutLayer7".to_owned()], World::event_reasons)).await;
    world.pass(LONG).await;
    assert_eq!((changes(&world), told(&world, "web")), (0, None));
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_ingress_has_an_address_from_outside_and_gives_it_back() {
    let world = with_external(world(5, "amphora"));
    let controller = world.start();
    create_service(&world, NAMESPACE, "a", "TCP", 10..11);
    create_ingress(&world, "web", json!({}), &[("a.example", "Prefix", "/", "a")]);
    let published = |world: &World| {
        let all = world.cloud.list("floatingips");
        all.first()
            .map(|it| it["floating_ip_address"].as_str().unwrap().to_owned())
            .filter(|it| Some(it) == told(world, "web").as_ref())
    };
    world.until(LONG, |world| published(world).map(drop).ok_or_else(|| "no address".to_owned())).await;
    let address = published(&world);
    // Its load balancer is lost: the address stays.
    let id = world.cloud.load_balancing("loadbalancers")[0]["id"].as_str().unwrap().to_owned();
    world.cloud.lose_load_balancer(&id);
    world.pass(Duration::from_secs(120)).await;
    assert_eq!((world.cloud.load_balancing("l7policies").len(), published(&world)), (1, address));
    // Nobody outside is to reach it any more.
    let internal = json!({ "metadata": { "annotations": { "openstack.org/kuryr-internal": "true" } } });
    world.cluster.patch(INGRESSES, NAMESPACE, "web", &internal).unwrap();
    let inside = |world: &World| (world.cloud.list("floatingips").len(), told(world, "web") == vip(world));
    world.until(LONG, is((0, true), inside)).await;
    world.cluster.delete_now(INGRESSES, NAMESPACE, "web").unwrap();
    world.until(LONG, nothing_left).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn killed_after_each_call_it_goes_on_where_it_was() {
    let world = gateway_world(6, "amphora");
    create_service(&world, NAMESPACE, "a", "TCP", 10..12);
    create_service(&world, NAMESPACE, "b", "TCP", 20..21);
    http_gateway(&world);
    let rules = json!([
        { "matches": [{ "path": { "type": "PathPrefix", "value": "/b" } }], "backendRefs": to("b") },
        { "backendRefs": to("a") },
    ]);
    create(&world, "v1", "HTTPRoute", NAMESPACE, "r", json!({ "parentRefs": parent(), "rules": rules }));
    let wanted = ["PATH REGEX ^/b(/|$) → default/b:80", "PATH STARTS_WITH / → default/a:80"];
    let done =
        |world: &World| is(wanted.map(str::to_owned).to_vec(), policies)(world).and_then(|()| programmed("web")(world));
    for _ in 0..30 {
        let before = changes(&world);
        let controller = world.start();
        let changed = |world: &World| match changes(world) > before || done(world).is_ok() {
            true => Ok(()),
            false => Err("nothing was changed yet".to_owned()),
        };
        world.until(LONG, changed).await;
        controller.kill();
    }
    let controller = world.start();
    world.until(LONG, done).await;
    let count = |kind: &str| world.cloud.load_balancing(kind).len();
    assert_eq!((count("loadbalancers"), count("listeners"), count("pools"), count("l7policies")), (1, 1, 2, 2));
    // Whoever takes over changes nothing.
    controller.kill();
    let before = changes(&world);
    let controller = world.start();
    world.pass(Duration::from_secs(120)).await;
    assert_eq!(changes(&world), before);
    // The Gateway goes while nobody works.
    controller.stop().await;
    world.cluster.delete_now(GATEWAYS, NAMESPACE, "web").unwrap();
    let controller = world.start();
    world.until(LONG, nothing_left).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_makes_nothing_twice() {
    let world = world(7, "amphora");
    let lose = |path: &str| world.cloud.faults().script(Rule::on(Method::POST, path).times(1).lose(Lose::AfterEffect));
    ["*/lbaas/loadbalancers", "*/lbaas/listeners", "*/lbaas/pools", "*/lbaas/l7policies"].into_iter().for_each(lose);
    let controller = world.start();
    create_service(&world, NAMESPACE, "a", "TCP", 10..11);
    create_ingress(&world, "web", json!({}), &[("a.example", "Prefix", "/", "a")]);
    world.until(LONG, is(vec!["HOST_NAME EQUAL_TO a.example → default/a:80".to_owned()], policies)).await;
    world.pass(Duration::from_secs(120)).await;
    let count = |kind: &str| world.cloud.load_balancing(kind).len();
    assert_eq!((count("loadbalancers"), count("listeners"), count("pools"), count("l7policies")), (1, 1, 1, 1));
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_altered_or_lost_in_octavia_is_put_back() {
    let world = world(8, "amphora");
    let controller = world.start();
    create_service(&world, NAMESPACE, "a", "TCP", 10..11);
    create_ingress(&world, "web", json!({}), &[("a.example", "Prefix", "/", "a"), ("b.example", "Prefix", "/x", "a")]);
    let wanted = [
        "HOST_NAME EQUAL_TO b.example & PATH REGEX ^/x(/|$) → default/a:80",
        "HOST_NAME EQUAL_TO a.example → default/a:80",
    ];
    let done = |world: &World| is(wanted.map(str::to_owned).to_vec(), policies)(world);
    world.until(LONG, done).await;
    let address = vip(&world);
    let cloud = world.openstack(world.transport.clone());
    let octavia = cloud.load_balancing();
    let policy = world.cloud.load_balancing("l7policies")[0]["id"].as_str().unwrap().to_owned();
    octavia.delete_l7_policy(&policy).await.unwrap();
    assert!(done(&world).is_err());
    world.until(LONG, done).await;
    let rule =
        octavia.list_l7_rules(world.cloud.load_balancing("l7policies")[0]["id"].as_str().unwrap()).await.unwrap();
    let policy = world.cloud.load_balancing("l7policies")[0]["id"].as_str().unwrap().to_owned();
    octavia.delete_l7_rule(&policy, &rule[0].id).await.unwrap();
    assert!(done(&world).is_err());
    world.until(LONG, done).await;
    // All of it: the address that clients know stays.
    let id = world.cloud.load_balancing("loadbalancers")[0]["id"].as_str().unwrap().to_owned();
    world.cloud.lose_load_balancer(&id);
    world.pass(Duration::from_secs(90)).await;
    world.until(LONG, done).await;
    assert_eq!(vip(&world), address);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_class_that_goes_takes_nothing_along() {
    let world = world(9, "amphora");
    let controller = world.start();
    create_service(&world, NAMESPACE, "a", "TCP", 10..11);
    create_ingress(&world, "web", json!({}), &[("a.example", "Prefix", "/", "a")]);
    world.until(LONG, |world| if told(world, "web").is_some() { Ok(()) } else { Err("not told".into()) }).await;
    let before = changes(&world);
    world.cluster.delete_now(INGRESS_CLASSES, "", "kuryr").unwrap();
    world.pass(LONG).await;
    assert_eq!((changes(&world), told(&world, "web").is_some()), (before, true));
    world.cluster.delete_now(INGRESSES, NAMESPACE, "web").unwrap();
    world.until(LONG, nothing_left).await;
    controller.stop().await;
}

// ---- Gateway API ---------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_gateway_comes_follows_its_routes_and_goes() {
    let world = gateway_world(20, "amphora");
    let controller = world.start();
    create_service(&world, NAMESPACE, "a", "TCP", 10..12);
    create_service(&world, NAMESPACE, "b", "TCP", 20..21);
    http_gateway(&world);
    world.until(LONG, programmed("web")).await;
    let class = world.cluster.get(GATEWAY_CLASSES, "", "kuryr").unwrap();
    assert_eq!(condition(&class["status"]["conditions"], "Accepted"), "True/Accepted");
    let weighted = json!([{ "name": "a", "port": 80, "weight": 9 }, { "name": "b", "port": 80, "weight": 1 }]);
    let rules = json!([
        { "matches": [{ "path": { "type": "PathPrefix", "value": "/new" } }], "backendRefs": weighted },
        { "backendRefs": to("a") },
    ]);
    let spec = json!({ "parentRefs": parent(), "hostnames": ["a.example"], "rules": rules });
    create(&world, "v1", "HTTPRoute", NAMESPACE, "r", spec);
    let wanted = [
        "HOST_NAME EQUAL_TO a.example & PATH REGEX ^/new(/|$) → HTTPRoute default/r:0",
        "HOST_NAME EQUAL_TO a.example → default/a:80",
    ];
    world.until(LONG, is(wanted.map(str::to_owned).to_vec(), policies)).await;
    // Nine parts over two, one part over one.
    assert_eq!(members(&world, "HTTPRoute default/r:0"), [(10, 256), (11, 256), (20, 57)]);
    world.until(LONG, is(said("True/Accepted", "True/ResolvedRefs"), |w| route(w, HTTP_ROUTES, NAMESPACE, "r"))).await;
    world.until(LONG, programmed("web")).await;
    let found = world.cluster.get(GATEWAYS, NAMESPACE, "web").unwrap();
    assert_eq!(found["status"]["addresses"][0]["value"].as_str().map(str::to_owned), vip(&world));
    assert_eq!(found["status"]["listeners"][0]["attachedRoutes"], 1);
    // Other weights are one call, and who is asked stays.
    let before = changes(&world);
    let weighted = json!([{ "name": "a", "port": 80, "weight": 2 }, { "name": "b", "port": 80, "weight": 1 }]);
    let rules = json!([
        { "matches": [{ "path": { "type": "PathPrefix", "value": "/new" } }], "backendRefs": weighted },
        { "backendRefs": to("a") },
    ]);
    world.cluster.patch(HTTP_ROUTES, NAMESPACE, "r", &json!({ "spec": { "rules": rules } })).unwrap();
    world.until(LONG, is(vec![(10, 1), (11, 1), (20, 1)], |world| members(world, "HTTPRoute default/r:0"))).await;
    assert_eq!(changes(&world) - before, 1);
    // The route names another Gateway: what was said about ours goes.
    let elsewhere = json!({ "spec": { "parentRefs": [{ "name": "other" }] } });
    world.cluster.patch(HTTP_ROUTES, NAMESPACE, "r", &elsewhere).unwrap();
    world
        .until(
            LONG,
            is((Vec::new(), 0), |world| {
                let found = world.cluster.get(HTTP_ROUTES, NAMESPACE, "r").unwrap();
                (policies(world), found["status"]["parents"].as_array().map_or(0, Vec::len))
            }),
        )
        .await;
    world.cluster.delete_now(GATEWAYS, NAMESPACE, "web").unwrap();
    world.until(LONG, nothing_left).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn at_rest_nothing_is_written() {
    let world = gateway_world(21, "amphora");
    let controller = world.start();
    create_service(&world, NAMESPACE, "a", "TCP", 10..12);
    http_gateway(&world);
    create(
        &world,
        "v1",
        "HTTPRoute",
        NAMESPACE,
        "r",
        json!({ "parentRefs": parent(), "rules": [{ "backendRefs": to("a") }] }),
    );
    create_ingress(&world, "web", json!({}), &[("a.example", "Prefix", "/", "a")]);
    world.until(LONG, programmed("web")).await;
    world.pass(Duration::from_secs(120)).await;
    let before = (changes(&world), world.object_writes());
    world.pass(Duration::from_secs(600)).await;
    assert_eq!((changes(&world), world.object_writes()), before);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn connections_and_datagrams_are_balanced_by_ovn() {
    let world = gateway_world(22, "ovn");
    let controller = world.start();
    create_service(&world, NAMESPACE, "db", "TCP", 10..12);
    create_service(&world, NAMESPACE, "dns", "UDP", 20..21);
    let listeners = json!([
        { "name": "db", "protocol": "TCP", "port": 5432 },
        { "name": "dns", "protocol": "UDP", "port": 53 },
        { "name": "http", "protocol": "HTTP", "port": 80 },
    ]);
    create(&world, "v1", "Gateway", NAMESPACE, "web", json!({ "gatewayClassName": "kuryr", "listeners": listeners }));
    let at = |section: &str| json!([{ "name": "web", "sectionName": section }]);
    create(
        &world,
        "v1",
        "TCPRoute",
        NAMESPACE,
        "db",
        json!({ "parentRefs": at("db"), "rules": [{ "backendRefs": to("db") }] }),
    );
    create(
        &world,
        "v1alpha2",
        "UDPRoute",
        NAMESPACE,
        "dns",
        json!({ "parentRefs": at("dns"), "rules": [{ "backendRefs": to("dns") }] }),
    );
    world.until(LONG, is(vec![(10, 1), (11, 1)], |world| members(world, "TCP:5432"))).await;
    world.until(LONG, is(vec![(20, 1)], |world| members(world, "UDP:53"))).await;
    let accepted = said("True/Accepted", "True/ResolvedRefs");
    world.until(LONG, is(accepted.clone(), |world| route(world, TCP_ROUTES, NAMESPACE, "db"))).await;
    world.until(LONG, is(accepted.clone(), |world| route(world, UDP_ROUTES, NAMESPACE, "dns"))).await;
    // What OVN has nothing for is said of the listener, and the others go on.
    world
        .until(
            LONG,
            is(("True/ListenersNotValid".to_owned(), "True/Programmed".to_owned()), |world| gateway(world, "web")),
        )
        .await;
    let found = world.cluster.get(GATEWAYS, NAMESPACE, "web").unwrap();
    let of_http = &found["status"]["listeners"][2]["conditions"];
    assert_eq!(condition(of_http, "Accepted"), "False/UnsupportedProtocol");
    assert_eq!(condition(of_http, "Programmed"), "False/Invalid");
    assert_eq!(world.cloud.load_balancing("listeners").len(), 2);
    // A younger route has to wait until the older one goes.
    create_service(&world, NAMESPACE, "other", "TCP", 30..31);
    world.pass(Duration::from_secs(5)).await;
    create(
        &world,
        "v1",
        "TCPRoute",
        NAMESPACE,
        "aa",
        json!({ "parentRefs": at("db"), "rules": [{ "backendRefs": to("other") }] }),
    );
    world.until(LONG, is(accepted, |world| route(world, TCP_ROUTES, NAMESPACE, "aa"))).await;
    assert_eq!(members(&world, "TCP:5432"), [(10, 1), (11, 1)]);
    world.cluster.delete_now(TCP_ROUTES, NAMESPACE, "db").unwrap();
    world.until(LONG, is(vec![(30, 1)], |world| members(world, "TCP:5432"))).await;
    // A listener that goes takes its pool along.
    let fewer = json!({ "spec": { "listeners": [{ "name": "db", "protocol": "TCP", "port": 5432 }] } });
    world.cluster.patch(GATEWAYS, NAMESPACE, "web", &fewer).unwrap();
    let count =
        |world: &World| (world.cloud.load_balancing("listeners").len(), world.cloud.load_balancing("pools").len());
    world.until(LONG, is((1, 1), count)).await;
    world.cluster.delete_now(GATEWAYS, NAMESPACE, "web").unwrap();
    world.until(LONG, nothing_left).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn another_namespace_must_grant_its_services() {
    let world = gateway_world(23, "amphora");
    let controller = world.start();
    for namespace in ["shop", "front"] {
        let labels = json!({ "team": namespace });
        let object =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace, "labels": labels } });
        world.cluster.create(object).unwrap();
    }
    create_service(&world, "shop", "a", "TCP", 10..11);
    let selector = json!({ "namespaces": { "from": "Selector", "selector": { "matchLabels": { "team": "front" } } } });
    let listeners = json!([{ "name": "http", "protocol": "HTTP", "port": 80, "allowedRoutes": selector }]);
    create(&world, "v1", "Gateway", NAMESPACE, "web", json!({ "gatewayClassName": "kuryr", "listeners": listeners }));
    let backends = json!([{ "name": "a", "namespace": "shop", "port": 80 }]);
    let parents = json!([{ "name": "web", "namespace": NAMESPACE }]);
    let spec = json!({ "parentRefs": parents, "rules": [{ "backendRefs": backends }] });
    create(&world, "v1", "HTTPRoute", "front", "r", spec.clone());
    create(&world, "v1", "HTTPRoute", "shop", "r", spec);
    world
        .until(LONG, is(said("True/Accepted", "False/RefNotPermitted"), |w| route(w, HTTP_ROUTES, "front", "r")))
        .await;
    world
        .until(
            LONG,
            is(said("False/NotAllowedByListeners", "True/ResolvedRefs"), |w| route(w, HTTP_ROUTES, "shop", "r")),
        )
        .await;
    assert_eq!(world.cloud.load_balancing("members").len(), 0);
    let from = json!([{ "group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "front" }]);
    let grant = json!({ "from": from, "to": [{ "group": "", "kind": "Service" }] });
    create(&world, "v1beta1", "ReferenceGrant", "shop", "g", grant);
    world.until(LONG, is(vec![(10, 1)], |world| members(world, "shop/a:80"))).await;
    world.until(LONG, is(said("True/Accepted", "True/ResolvedRefs"), |w| route(w, HTTP_ROUTES, "front", "r"))).await;
    // The namespace is another team's.
    world.cluster.patch("namespaces", "", "front", &json!({ "metadata": { "labels": { "team": "x" } } })).unwrap();
    world
        .until(
            LONG,
            is(said("False/NotAllowedByListeners", "True/ResolvedRefs"), |w| route(w, HTTP_ROUTES, "front", "r")),
        )
        .await;
    world.until(LONG, is(Vec::new(), policies)).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_gateway_api_all_is_calm_and_it_begins_when_it_comes() {
    let world = world(24, "amphora");
    let controller = world.start();
    world
        .until(LONG, |_| {
            if controller.health.is_ready() { Ok(()) } else { Err(format!("{:?}", controller.health.waits_for())) }
        })
        .await;
    create_service(&world, NAMESPACE, "a", "TCP", 10..11);
    create_ingress(&world, "web", json!({}), &[("a.example", "Prefix", "/", "a")]);
    world.until(LONG, |world| if told(world, "web").is_some() { Ok(()) } else { Err("not told".into()) }).await;
    world.pass(LONG).await;
    let entries = world.cluster.log().entries();
    let asked: Vec<_> = entries.iter().filter(|entry| entry.resource.contains("gateway.networking")).collect();
    assert!(asked.is_empty(), "nothing is listed that is not served: {asked:?}");
    serve_gateway_api(&world);
    http_gateway(&world);
    world.until(LONG, programmed("web")).await;
    // It goes as a whole, with its objects.
    for kind in ["gatewayclasses", "gateways", "httproutes", "tcproutes", "udproutes", "referencegrants"] {
        let name = format!("{kind}.gateway.networking.k8s.io");
        world.cluster.delete("customresourcedefinitions.apiextensions.k8s.io", "", &name).unwrap();
    }
    let names = |world: &World| -> Vec<String> {
        world.cloud.load_balancing("loadbalancers").iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    };
    world.until(LONG, is(vec!["ingress/default/web".to_owned()], names)).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_told_and_others_go_on() {
    let world = gateway_world(25, "amphora");
    world.cloud.set_load_balancing_quota("k8s", "load_balancer", 1);
    create_service(&world, NAMESPACE, "a", "TCP", 10..11);
    let controller = world.start();
    create_ingress(&world, "web", json!({}), &[("a.example", "Prefix", "/", "a")]);
    world.until(LONG, |world| if told(world, "web").is_some() { Ok(()) } else { Err("not told".into()) }).await;
    http_gateway(&world);
    world.until(LONG, is(said("True/Accepted", "False/NoResources"), |world| gateway(world, "web"))).await;
    create_ingress(&world, "more", json!({}), &[("b.example", "Prefix", "/", "a")]);
    world.until(LONG, is(vec!["QuotaExceeded".to_owned()], World::event_reasons)).await;
    world.cloud.set_load_balancing_quota("k8s", "load_balancer", 10);
    world.until(LONG, programmed("web")).await;
    world.until(LONG, |world| if told(world, "more").is_some() { Ok(()) } else { Err("not told".into()) }).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_of_somebody_else_is_left_alone() {
    let world = gateway_world(26, "amphora");
    let subnet = world.config.routes.as_ref().unwrap().balancing.subnet.clone();
    let octavia = world.openstack(world.transport.clone());
    let octavia = octavia.load_balancing();
    for (name, tags) in [("gateway/default/web", Vec::new()), ("lb", vec!["kuryr:cluster=c1".to_owned()])] {
        let new = kuryr_openstack::load_balancing::NewLoadBalancer {
            name: name.to_owned(),
            vip_subnet_id: Some(subnet.clone()),
            tags,
            ..Default::default()
        };
        octavia.create_load_balancer(&new).await.unwrap();
    }
    let controller = world.start();
    world.pass(LONG).await;
    http_gateway(&world);
    world.until(LONG, programmed("web")).await;
    world.cluster.delete_now(GATEWAYS, NAMESPACE, "web").unwrap();
    world.pass(LONG).await;
    assert_eq!(world.cloud.load_balancing("loadbalancers").len(), 2);
    controller.stop().await;
}
