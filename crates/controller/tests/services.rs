//! Services on the fakes: what is made in Octavia, in how many calls, how it is put back, and that nothing is left.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod world;

use std::time::Duration;

use http::Method;
use kuryr_controller::config::{MemberMode, Services};
use kuryr_fake::faults::{Lose, Rule};
use kuryr_openstack::load_balancing::LbAlgorithm;
use serde_json::{Value, json};
use world::{NAMESPACE, World};

const LONG: Duration = Duration::from_secs(300);
const SERVICES: &str = "services";
const SLICES: &str = "endpointslices.discovery.k8s.io";
const RECORDS: &str = "kuryrloadbalancers.openstack.org";

/// A world whose controller balances Services with OVN.
fn world(seed: u64) -> World {
    let mut world = World::new(seed);
    let subnet = world.cloud.seed_network("k8s", "services", &["10.96.0.0/16"]).subnets.remove(0);
    world.config.services = Some(Services {
        subnet,
        provider: Some("ovn".to_owned()),
        algorithm: LbAlgorithm::SourceIpPort,
        member_mode: MemberMode::L2,
        node_subnets: Vec::new(),
        timeouts: (None, None),
    });
    world
}

fn create_service(world: &World, name: &str, address: &str, ports: &Value) {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": { "type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ports": ports },
    });
    world.cluster.create(service).unwrap();
}

fn http() -> Value {
    json!([{ "name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP" }])
}

/// The endpoints of a Service become these hosts of the pods' subnet.
fn set_endpoints(world: &World, service: &str, hosts: std::ops::Range<u8>, ports: &Value) {
    let endpoints: Vec<Value> = hosts
        .map(|host| {
            json!({
                "addresses": [format!("10.0.0.{host}")], "conditions": { "ready": true },
                "targetRef": { "kind": "Pod", "namespace": NAMESPACE, "name": format!("pod-{host}") },
            })
        })
        .collect();
    let name = format!("{service}-1");
    if world.cluster.get(SLICES, NAMESPACE, &name).is_some() {
        world.cluster.patch(SLICES, NAMESPACE, &name, &json!({ "endpoints": endpoints })).unwrap();
        return;
    }
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": name, "namespace": NAMESPACE, "labels": { "kubernetes.io/service-name": service } },
        "endpoints": endpoints, "ports": ports,
    });
    world.cluster.create(slice).unwrap();
}

fn targets() -> Value {
    json!([{ "name": "http", "port": 8080, "protocol": "TCP" }])
}

/// What the KuryrLoadBalancer says: reason, and how many members it knows.
fn record(world: &World, name: &str) -> Option<(String, usize)> {
    let record = world.cluster.get(RECORDS, NAMESPACE, name)?;
    let conditions = record["status"]["conditions"].as_array()?.clone();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
    let members = record["status"]["members"].as_array().map_or(0, Vec::len);
    Some((ready["reason"].as_str()?.to_owned(), members))
}

/// Whether a Service is balanced over so many members, in Octavia and in its KuryrLoadBalancer.
fn balanced(name: &'static str, members: usize) -> impl Fn(&World) -> Result<(), String> {
    move |world| {
        let pools = world.cloud.load_balancing("pools");
        let pools = pools.iter().filter(|pool| pool["name"].as_str().is_some_and(|it| it.contains(&format!("/{name}:"))));
        let found: usize = pools.map(|pool| pool["members"].as_array().map_or(0, Vec::len)).sum();
        match record(world, name) {
            Some((reason, known)) if reason == "Balanced" && known == members && found == members => Ok(()),
            other => Err(format!("{name}: {other:?} and {found} members in Octavia instead of {members}")),
        }
    }
}

fn nothing_left(world: &World) -> Result<(), String> {
    let balancers = world.cloud.load_balancing("loadbalancers").len();
    let records = world.cluster.list(RECORDS, NAMESPACE).len();
    let ports = world.cloud.ports().len();
    if (balancers, records, ports) == (0, 0, 0) {
        return Ok(());
    }
    Err(format!("{balancers} load balancers, {records} KuryrLoadBalancers and {ports} ports are left"))
}

/// Changing requests to Octavia so far.
fn changes(world: &World) -> usize {
    let seen = world.cloud.requests();
    seen.iter().filter(|seen| seen.path.contains("/lbaas/") && seen.method != Method::GET).count()
}

fn remove_service(world: &World, name: &str) {
    world.cluster.delete_now(SLICES, NAMESPACE, &format!("{name}-1")).unwrap();
    world.cluster.delete_now(SERVICES, NAMESPACE, name).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_service_comes_follows_its_endpoints_and_goes() {
    let world = world(1);
    let controller = world.start();
    create_service(&world, "web", "10.96.0.10", &http());
    set_endpoints(&world, "web", 10..13, &targets());
    world.until(LONG, balanced("web", 3)).await;
    assert_eq!(changes(&world), 4, "load balancer, listener, pool, members");
    for (count, hosts) in [(5, 10..15), (0, 10..10), (3, 20..23)] {
        let before = changes(&world);
        set_endpoints(&world, "web", hosts, &targets());
        world.until(LONG, balanced("web", count)).await;
        assert_eq!(changes(&world) - before, 1, "{count}");
    }
    let balancer = world.cloud.load_balancing("loadbalancers").remove(0);
    assert_eq!((&balancer["name"], &balancer["vip_address"]), (&json!("default/web"), &json!("10.96.0.10")));
    remove_service(&world, "web");
    world.until(LONG, nothing_left).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn three_ports_with_fifty_endpoints_are_ten_calls() {
    let world = world(2);
    let controller = world.start();
    let ports: Vec<Value> = (1..=3).map(|n| json!({ "name": format!("p{n}"), "port": n, "protocol": "TCP" })).collect();
    create_service(&world, "web", "10.96.0.10", &json!(ports));
    set_endpoints(&world, "web", 10..60, &json!(ports));
    world.until(LONG, balanced("web", 150)).await;
    assert_eq!(changes(&world), 10);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_or_failed_in_octavia_comes_back_with_the_same_address() {
    let world = world(3);
    let controller = world.start();
    create_service(&world, "web", "10.96.0.10", &http());
    set_endpoints(&world, "web", 10..12, &targets());
    world.until(LONG, balanced("web", 2)).await;
    let id = |world: &World| world.cloud.load_balancing("loadbalancers")[0]["id"].as_str().unwrap().to_owned();
    for harm in [World::lose, World::fail] {
        let before = id(&world);
        harm(&world, &before);
        let another = |world: &World| match world.cloud.load_balancing("loadbalancers").first() {
            Some(balancer) if balancer["id"] != json!(before) => balanced("web", 2)(world),
            _ => Err("the load balancer is the old one".to_owned()),
        };
        world.until(LONG, another).await;
        assert_eq!(world.cloud.load_balancing("loadbalancers")[0]["vip_address"], "10.96.0.10");
    }
    controller.stop().await;
}

impl World {
    fn lose(&self, id: &str) {
        self.cloud.lose_load_balancer(id);
    }

    fn fail(&self, id: &str) {
        assert!(self.cloud.set_load_balancer_status(id, "ERROR"));
    }
}

#[tokio::test(start_paused = true)]
async fn another_controller_takes_over_without_a_change() {
    let world = world(4);
    let first = world.start();
    create_service(&world, "web", "10.96.0.10", &http());
    set_endpoints(&world, "web", 10..12, &targets());
    world.until(LONG, balanced("web", 2)).await;
    first.kill();
    let before = changes(&world);
    let second = world.start();
    world.pass(Duration::from_secs(120)).await;
    assert_eq!(changes(&world), before);
    set_endpoints(&world, "web", 10..13, &targets());
    world.until(LONG, balanced("web", 3)).await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn killed_after_each_call_it_goes_on_where_it_was() {
    let world = world(5);
    create_service(&world, "web", "10.96.0.10", &http());
    set_endpoints(&world, "web", 10..12, &targets());
    for _ in 0..20 {
        let before = changes(&world);
        let controller = world.start();
        let changed = |world: &World| match changes(world) > before || balanced("web", 2)(world).is_ok() {
            true => Ok(()),
            false => Err("nothing was changed yet".to_owned()),
        };
        world.until(LONG, changed).await;
        controller.kill();
    }
    let controller = world.start();
    world.until(LONG, balanced("web", 2)).await;
    assert_eq!(world.cloud.load_balancing("loadbalancers").len(), 1);
    remove_service(&world, "web");
    world.until(LONG, nothing_left).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_told_and_others_go_on() {
    let world = world(6);
    world.cloud.set_load_balancing_quota("k8s", "load_balancer", 1);
    let controller = world.start();
    for (name, address) in [("web", "10.96.0.10"), ("api", "10.96.0.11")] {
        create_service(&world, name, address, &http());
        set_endpoints(&world, name, 10..12, &targets());
    }
    let one_of_two = |world: &World| {
        let reasons = ["web", "api"].map(|name| record(world, name).map(|(reason, _)| reason).unwrap_or_default());
        let mut reasons = reasons.to_vec();
        reasons.sort();
        if reasons == ["Balanced", "QuotaExceeded"] { Ok(()) } else { Err(format!("{reasons:?}")) }
    };
    world.until(LONG, one_of_two).await;
    assert_eq!(world.event_reasons(), ["QuotaExceeded"]);
    world.cloud.set_load_balancing_quota("k8s", "load_balancer", 10);
    world.until(LONG, balanced("web", 2)).await;
    world.until(LONG, balanced("api", 2)).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_makes_nothing_twice() {
    let world = world(7);
    let lose = |path: &str| world.cloud.faults().script(Rule::on(Method::POST, path).times(1).lose(Lose::AfterEffect));
    ["*/lbaas/loadbalancers", "*/lbaas/listeners", "*/lbaas/pools"].into_iter().for_each(lose);
    let controller = world.start();
    create_service(&world, "web", "10.96.0.10", &http());
    set_endpoints(&world, "web", 10..12, &targets());
    world.until(LONG, balanced("web", 2)).await;
    let count = |collection: &str| world.cloud.load_balancing(collection).len();
    assert_eq!((count("loadbalancers"), count("listeners"), count("pools")), (1, 1, 1));
    controller.stop().await;
}
