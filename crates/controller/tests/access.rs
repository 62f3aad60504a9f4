//! What the shipped roles grant is what the controller asks for, in both directions.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;
use kuryr_api::names::{KURYRPORT_FINALIZER, LEGACY_POD_FINALIZER, LEGACY_SERVICE_FINALIZER};
use kuryr_controller::config::{External, MemberMode, Routes, Services};
use kuryr_fake::faults::Rule;
use kuryr_openstack::load_balancing::LbAlgorithm;
use serde_json::{Value, json};
use world::{KURYR_PORTS, NAMESPACE, World, outside};

const KURYR_LOAD_BALANCERS: &str = "kuryrloadbalancers.openstack.org";
const LONG: Duration = Duration::from_secs(300);

/// A verb for a resource, `get pods`.
type Asked = BTreeSet<String>;

/// What the role of this kind and name in deploy/ grants. That these are the installed ones is tested where they are made.
fn granted(kind: &str, name: &str) -> Asked {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/manifests/kuryr.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let mut objects = text.split("\n---\n").skip(1).map(|object| serde_saphyr::from_str::<Value>(object).unwrap());
    let role = objects.find(|object| object["kind"] == kind && object["metadata"]["name"] == name).unwrap();
    let words = |value: &Value| {
        value.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut granted = Asked::new();
    for rule in role["rules"].as_array().unwrap() {
        for (group, resource) in words(&rule["apiGroups"])
            .iter()
            .flat_map(|g| words(&rule["resources"]).into_iter().map(move |r| (g.clone(), r)))
        {
            let resource = match (group.as_str(), resource.split_once('/')) {
                ("", _) => resource,
                (group, Some((resource, below))) => format!("{resource}.{group}/{below}"),
                (group, None) => format!("{resource}.{group}"),
            };
            granted.extend(words(&rule["verbs"]).iter().map(|verb| format!("{verb} {resource}")));
        }
    }
    granted
}

fn ready(name: &'static str, wanted: &'static str) -> impl Fn(&World) -> Result<(), String> {
    move |world| match world.ready(name) {
        Some((reason, _)) if reason == wanted => Ok(()),
        other => Err(format!("{name}: {other:?} instead of {wanted}")),
    }
}

fn balanced_in(subnet: String, external: String) -> Services {
    Services {
        provider: None,
        algorithm: LbAlgorithm::RoundRobin,
        member_mode: MemberMode::L3,
        external: Some(External { network: external, subnet: None }),
        ..world::services(subnet)
    }
}

/// Services in every state that makes the controller ask for something.
async fn services(world: &World) {
    let record = |world: &World, name: &str| world.cluster.get(KURYR_LOAD_BALANCERS, NAMESPACE, name);
    let reason = |world: &World, name: &str| {
        record(world, name).and_then(|it| Some(it["status"]["conditions"][0]["reason"].as_str()?.to_owned()))
    };
    let balanced = |name: &'static str| {
        move |world: &World| match reason(world, name) {
            Some(reason) if reason == "Balanced" => Ok(()),
            other => Err(format!("{name}: {other:?}")),
        }
    };
    // One whose KuryrLoadBalancer is there already when it is created.
    world.cluster.faults().script(Rule::on(Method::POST, "*/kuryrloadbalancers").times(1).status(409));
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "web", "namespace": NAMESPACE, "finalizers": [LEGACY_SERVICE_FINALIZER] },
        "spec": { "type": "LoadBalancer", "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"],
            "ports": [{ "port": 80, "targetPort": 8080, "protocol": "TCP" }] },
    });
    world.cluster.create(service).unwrap();
    world.until(LONG, balanced("web")).await;
    // kuryr-kubernetes holds it by its finalizer when it goes.
    world.cluster.delete("services", NAMESPACE, "web").unwrap();
    let gone = |world: &World| match record(world, "web").is_none()
        && world.cluster.get("services", NAMESPACE, "web").is_none()
    {
        true => Ok(()),
        false => Err("the Service is still there".to_owned()),
    };
    world.until(LONG, gone).await;
}

/// An Ingress, a Gateway and routes of every kind, of which something is said.
async fn routes(world: &World) {
    let create = |group: &str, kind: &str, name: &str, spec: Value| {
        let mut object = json!({ "apiVersion": group, "kind": kind, "metadata": { "name": name }, "spec": spec });
        if !kind.ends_with("Class") {
            object["metadata"]["namespace"] = json!(NAMESPACE);
        }
        world.cluster.create(object).unwrap();
    };
    let (networking, gateway) = ("networking.k8s.io/v1", "gateway.networking.k8s.io/v1");
    create(networking, "IngressClass", "kuryr", json!({ "controller": "openstack.org/kuryr" }));
    let backend = json!({ "service": { "name": "a", "port": { "number": 80 } } });
    create(networking, "Ingress", "web", json!({ "ingressClassName": "kuryr", "defaultBackend": backend }));
    create(gateway, "GatewayClass", "kuryr", json!({ "controllerName": "openstack.org/kuryr" }));
    let listener =
        |protocol: &str, port: u16| json!({ "name": format!("p{port}"), "protocol": protocol, "port": port });
    let listeners = json!([listener("HTTP", 80), listener("TCP", 81), listener("UDP", 82)]);
    create(gateway, "Gateway", "web", json!({ "gatewayClassName": "kuryr", "listeners": listeners }));
    let route =
        json!({ "parentRefs": [{ "name": "web" }], "rules": [{ "backendRefs": [{ "name": "a", "port": 80 }] }] });
    create(gateway, "HTTPRoute", "a", route.clone());
    create(gateway, "TCPRoute", "a", route.clone());
    create("gateway.networking.k8s.io/v1alpha2", "UDPRoute", "a", route);
    let told = |world: &World, resource: &str, name: &str, at: &str| {
        let object = world.cluster.get(resource, NAMESPACE, name).unwrap_or_default();
        object.pointer(at).is_some_and(|value| !value.is_null())
    };
    let all = [
        ("ingresses.networking.k8s.io", "web", "/status/loadBalancer/ingress/0/ip"),
        ("gateways.gateway.networking.k8s.io", "web", "/status/addresses/0/value"),
        ("httproutes.gateway.networking.k8s.io", "a", "/status/parents/0"),
        ("tcproutes.gateway.networking.k8s.io", "a", "/status/parents/0"),
        ("udproutes.gateway.networking.k8s.io", "a", "/status/parents/0"),
    ];
    for (resource, name, at) in all {
        let holds = |world: &World| match told(world, resource, name, at) {
            true => Ok(()),
            false => Err(format!("{resource} {name} has no {at}")),
        };
        world.until(LONG, holds).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_controller_asks_for_exactly_what_it_may() {
    let mut world = World::new(1);
    let subnet = world.cloud.seed_network("k8s", "services", &["10.96.0.0/16"]).subnets.remove(0);
    let external = outside::public(&world.cloud, &subnet);
    world.config.services = Some(balanced_in(subnet.clone(), external.clone()));
    world.config.routes = Some(Routes { balancing: balanced_in(subnet, external), provider: None });
    world.cluster.install_gateway_api().unwrap();
    let world = world;
    let quota = |limit| world.cloud.set_quota("k8s", "port", limit);
    let controller = world.start();

    // A pod of old, whose KuryrPort is there already when it is created.
    world.cluster.faults().script(Rule::on(Method::POST, "*/kuryrports").times(1).status(409));
    world.create_pod("a", "n1", json!({ "metadata": { "finalizers": [LEGACY_POD_FINALIZER] } }));
    world.until(LONG, ready("a", "Connected")).await;

    // The same trouble twice, with another in between: an Event that is counted.
    let refuse = || world.cloud.faults().script(Rule::on(Method::POST, "*/v2.0/ports").status(403));
    refuse();
    world.create_pod("b", "n1", json!({}));
    world.until(LONG, ready("b", "ForbiddenByCloud")).await;
    quota(0);
    world.cloud.faults().clear();
    world.until(LONG, ready("b", "QuotaExceeded")).await;
    refuse();
    world.until(LONG, ready("b", "ForbiddenByCloud")).await;
    world.cloud.faults().clear();
    quota(100);
    world.until(LONG, ready("b", "Connected")).await;

    // A KuryrPort that somebody deletes while its pod lives.
    let uid = |world: &World| world.kuryr_port("a").map(|port| port["metadata"]["uid"].clone());
    let first = uid(&world);
    world.cluster.delete(KURYR_PORTS, NAMESPACE, "a").unwrap();
    let another = |world: &World| match uid(world) {
        Some(uid) if Some(&uid) != first.as_ref() => ready("a", "Connected")(world),
        _ => Err("there is no other KuryrPort for a yet".to_owned()),
    };
    world.until(LONG, another).await;

    // A KuryrPort without a pod, and pods that go.
    let orphan = json!({
        "apiVersion": "openstack.org/v1", "kind": "KuryrPort",
        "metadata": { "name": "c", "namespace": NAMESPACE, "finalizers": [KURYRPORT_FINALIZER] },
        "spec": { "podUid": "gone", "podNodeName": "n1" }, "status": { "vifs": {} },
    });
    world.cluster.create(orphan).unwrap();
    world.remove_pod("a");
    world.remove_pod("b");
    let gone = |world: &World| match world.cluster.list(KURYR_PORTS, NAMESPACE) {
        ports if ports.is_empty() => Ok(()),
        ports => Err(format!("{} KuryrPorts are left", ports.len())),
    };
    world.until(LONG, gone).await;
    services(&world).await;
    routes(&world).await;
    controller.stop().await;

    let entries = world.cluster.log().entries();
    let asked: Asked = entries.iter().map(|entry| format!("{} {}", entry.verb, entry.resource)).collect();
    let mut allowed = granted("ClusterRole", "kuryr-controller");
    // Where the controller takes part in an election, what it does for that is granted in its own namespace.
    if asked.iter().any(|asked| asked.ends_with("leases.coordination.k8s.io")) {
        allowed.extend(granted("Role", "kuryr-controller"));
    }
    let without_grant: Vec<_> = asked.difference(&allowed).collect();
    let without_need: Vec<_> = allowed.difference(&asked).collect();
    assert!(
        without_grant.is_empty() && without_need.is_empty(),
        "asked for and not granted: {without_grant:?}; granted and never asked for: {without_need:?}"
    );
}
