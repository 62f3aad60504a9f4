//! Services on the fakes: what is made in Octavia, in how many calls, how it is put back, and that nothing is left.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod world;

use std::time::Duration;

use http::Method;
use kuryr_controller::config::External;
use kuryr_fake::faults::{Lose, Rule};
use kuryr_openstack::load_balancing::LbAlgorithm;
use serde_json::{Value, json};
use world::{NAMESPACE, World, outside};

const LONG: Duration = Duration::from_secs(300);
const SERVICES: &str = "services";
const SLICES: &str = "endpointslices.discovery.k8s.io";
const RECORDS: &str = "kuryrloadbalancers.openstack.org";

/// A world whose controller balances Services with OVN.
fn world(seed: u64) -> World {
    let mut world = World::new(seed);
    let subnet = world.cloud.seed_network("k8s", "services", &["10.96.0.0/16"]).subnets.remove(0);
    world.config.services = Some(world::services(subnet));
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
        let pools =
            pools.iter().filter(|pool| pool["name"].as_str().is_some_and(|it| it.contains(&format!("/{name}:"))));
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
async fn where_the_provider_takes_a_whole_load_balancer_it_is_one_call() {
    let mut world = world(2);
    set_provider(&mut world, "amphora");
    let controller = world.start();
    let ports: Vec<Value> = (1..=3).map(|n| json!({ "name": format!("p{n}"), "port": n, "protocol": "TCP" })).collect();
    create_service(&world, "web", "10.96.0.10", &json!(ports));
    set_endpoints(&world, "web", 10..60, &json!(ports));
    world.until(LONG, balanced("web", 150)).await;
    assert_eq!(changes(&world), 1);
    set_endpoints(&world, "web", 10..59, &json!(ports));
    world.until(LONG, balanced("web", 147)).await;
    assert_eq!(changes(&world), 1 + 3, "one for each pool");
    // What is refused as a whole is made part by part, and what is not refused is there.
    world.cloud.set_load_balancing_quota("k8s", "listener", 4);
    create_service(&world, "api", "10.96.0.11", &json!(ports[..2]));
    set_endpoints(&world, "api", 10..12, &json!(ports[..2]));
    world
        .until(LONG, |world| match (record(world, "api"), world.cloud.load_balancing("members").len()) {
            (Some((reason, _)), 149) if reason == "QuotaExceeded" => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_altered_in_octavia_is_put_back() {
    for provider in ["ovn", "amphora"] {
        let mut world = world(16);
        set_provider(&mut world, provider);
        let controller = world.start();
        create_service(&world, "web", "10.96.0.10", &http());
        set_endpoints(&world, "web", 10..12, &targets());
        world.until(LONG, balanced("web", 2)).await;
        let id = |collection: &str| world.cloud.load_balancing(collection)[0]["id"].as_str().unwrap().to_owned();
        let member = format!("pools/{}/members/{}", id("pools"), id("members"));
        let off = json!({ "admin_state_up": false });
        for (collection, path, change) in [
            ("loadbalancers", format!("loadbalancers/{}", id("loadbalancers")), &off),
            ("listeners", format!("listeners/{}", id("listeners")), &off),
            ("pools", format!("pools/{}", id("pools")), &off),
            ("members", member.clone(), &off),
            ("members", member.clone(), &json!({ "weight": 0 })),
            ("members", member.clone(), &json!({ "backup": true })),
        ] {
            let before = (id(collection), world.cloud.load_balancing(collection), changes(&world));
            let body = json!({ collection.trim_end_matches('s'): change });
            world.cloud.administer_load_balancing(Method::PUT, &path, &body).unwrap();
            world.pass(Duration::from_secs(120)).await;
            let now = &world.cloud.load_balancing(collection)[0];
            for key in ["admin_state_up", "weight", "backup"] {
                assert_eq!(now[key], before.1[0][key], "{provider}: {key} of {path}");
            }
            assert_eq!((id(collection), changes(&world)), (before.0, before.2 + 1), "{provider}: {path}");
        }
        controller.stop().await;
    }
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
async fn what_fails_again_and_again_is_repaired_ever_less_and_told() {
    let world = world(13);
    let controller = world.start();
    create_service(&world, "web", "10.96.0.10", &http());
    set_endpoints(&world, "web", 10..12, &targets());
    world.until(LONG, balanced("web", 2)).await;
    let before = changes(&world);
    for _ in 0..600 {
        if let Some(balancer) = world.cloud.load_balancing("loadbalancers").first() {
            world.cloud.set_load_balancer_status(balancer["id"].as_str().unwrap(), "ERROR");
        }
        world.pass(Duration::from_secs(1)).await;
    }
    // A load balancer is deleted and made, over and over; its parts are never reached.
    let made = changes(&world) - before;
    assert!((6..40).contains(&made), "{made} changes in 10 minutes");
    assert_eq!(record(&world, "web").map(|(reason, _)| reason).as_deref(), Some("NotRepaired"));
    world.until(Duration::from_secs(1200), balanced("web", 2)).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_not_there_costs_nobody_a_load_balancer() {
    let mut world = world(14);
    let first = world.start();
    create_service(&world, "web", "10.96.0.10", &http());
    set_endpoints(&world, "web", 10..12, &targets());
    world.until(LONG, balanced("web", 2)).await;
    first.stop().await;
    let before = changes(&world);
    set_provider(&mut world, "ovm");
    let second = world.start();
    world
        .until(LONG, |world| match record(world, "web") {
            Some((reason, 2)) if reason == "ProviderNotFound" => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    world.pass(Duration::from_secs(300)).await;
    assert_eq!(changes(&world), before);
    // What is there goes on, and may go.
    set_endpoints(&world, "web", 10..13, &targets());
    world
        .until(LONG, |world| match world.cloud.load_balancing("pools")[0]["members"].as_array().map(Vec::len) {
            Some(3) => Ok(()),
            count => Err(format!("{count:?} members")),
        })
        .await;
    remove_service(&world, "web");
    world.until(LONG, nothing_left).await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_amphora_fails_over_or_is_made_anew_by_who_may_not() {
    let mut world = world(15);
    set_provider(&mut world, "amphora");
    let controller = world.start();
    create_service(&world, "web", "10.96.0.10", &http());
    set_endpoints(&world, "web", 10..12, &targets());
    world.until(LONG, balanced("web", 2)).await;
    let id = |world: &World| world.cloud.load_balancing("loadbalancers").first().map(|it| it["id"].clone());
    let first = id(&world);
    world.fail(first.as_ref().unwrap().as_str().unwrap());
    world.pass(Duration::from_secs(60)).await;
    world.until(LONG, balanced("web", 2)).await;
    assert_eq!(id(&world), first, "it failed over");

    // Not answered is not done: it is asked for again.
    world.pass(Duration::from_secs(3600)).await;
    world.cloud.faults().script(Rule::on(Method::PUT, "*/failover").status(503).times(3));
    world.fail(first.as_ref().unwrap().as_str().unwrap());
    world.pass(Duration::from_secs(120)).await;
    world.until(LONG, balanced("web", 2)).await;
    assert_eq!(id(&world), first, "it failed over");

    world.pass(Duration::from_secs(3600)).await;
    world.cloud.faults().script(Rule::on(Method::PUT, "*/failover").status(403));
    world.fail(first.as_ref().unwrap().as_str().unwrap());
    world
        .until(LONG, |world| if id(world) != first { balanced("web", 2)(world) } else { Err("the same".to_owned()) })
        .await;
    assert_eq!(world.cloud.load_balancing("loadbalancers")[0]["vip_address"], "10.96.0.10");
    controller.stop().await;
}

fn set_provider(world: &mut World, provider: &str) {
    let services = world.config.services.as_mut().unwrap();
    services.provider = Some(provider.to_owned());
    if provider == "amphora" {
        services.algorithm = LbAlgorithm::RoundRobin;
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

// ---- addresses from outside ----------------------------------------------------------------------------------------

/// The same world with an external network, and a router between it and the Services' subnet.
fn public_world(seed: u64) -> World {
    let mut world = world(seed);
    let services = world.config.services.as_mut().unwrap();
    let network = outside::public(&world.cloud, &services.subnet);
    services.external = Some(External { network, subnet: None });
    world
}

/// A floating IP that somebody made in the external network; answers its address.
fn address_of_others(world: &World) -> String {
    outside::make_floating(world, &outside::network(world), &json!({})).1
}

fn create_load_balancer(world: &World, name: &str, address: &str, asked: Option<&str>) {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": { "type": "LoadBalancer", "clusterIP": address, "clusterIPs": [address], "ports": http(),
            "loadBalancerIP": asked },
    });
    world.cluster.create(service).unwrap();
    set_endpoints(world, name, 10..12, &targets());
}

/// The floating IPs there are: address, and whether it leads to the first load balancer.
fn floating_ips(world: &World) -> Vec<(String, bool)> {
    let vip = world.cloud.load_balancing("loadbalancers").first().map(|balancer| balancer["vip_port_id"].clone());
    let all = world.cloud.list("floatingips");
    let leads = |it: &Value| it["port_id"].is_string() && Some(&it["port_id"]) == vip.as_ref();
    all.iter().map(|it| (it["floating_ip_address"].as_str().unwrap().to_owned(), leads(it))).collect()
}

fn told(world: &World, name: &str) -> Option<String> {
    let service = world.cluster.get(SERVICES, NAMESPACE, name)?;
    Some(service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str()?.to_owned())
}

/// Whether the Service has the only floating IP, and is told so; which it is.
fn published(world: &World) -> Result<String, String> {
    match (floating_ips(world).as_slice(), told(world, "web")) {
        ([(address, true)], Some(told)) if *address == told => balanced("web", 2)(world).map(|()| told),
        other => Err(format!("{other:?}")),
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_has_an_address_from_outside_and_gives_it_back() {
    let world = public_world(8);
    let controller = world.start();
    create_load_balancer(&world, "web", "10.96.0.10", None);
    world.until(LONG, |world| published(world).map(drop)).await;
    let record = world.cluster.get(RECORDS, NAMESPACE, "web").unwrap();
    assert_eq!(record["status"]["service_pub_ip_info"]["alloc_method"], "pool");
    // Its load balancer is lost: the address stays.
    let address = published(&world).unwrap();
    world.cloud.lose_load_balancer(record["status"]["loadbalancer"]["id"].as_str().unwrap());
    world.pass(Duration::from_secs(90)).await;
    world.until(LONG, |world| published(world).map(drop)).await;
    assert_eq!(published(&world), Ok(address));
    // No LoadBalancer any more, and one again.
    world.cluster.patch(SERVICES, NAMESPACE, "web", &json!({ "spec": { "type": "ClusterIP" } })).unwrap();
    let withdrawn = |world: &World| match (floating_ips(world).len(), told(world, "web")) {
        (0, None) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    world.until(LONG, withdrawn).await;
    world.cluster.patch(SERVICES, NAMESPACE, "web", &json!({ "spec": { "type": "LoadBalancer" } })).unwrap();
    world.until(LONG, |world| published(world).map(drop)).await;
    remove_service(&world, "web");
    let gone = |world: &World| match floating_ips(world).len() {
        0 if world.cloud.load_balancing("loadbalancers").is_empty() => Ok(()),
        left => Err(format!("{left} floating IPs, or a load balancer")),
    };
    world.until(LONG, gone).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_sent_to_an_address_that_is_gone() {
    let world = public_world(17);
    let controller = world.start();
    create_load_balancer(&world, "web", "10.96.0.10", None);
    world.until(LONG, |world| published(world).map(drop)).await;
    world.cluster.patch(SERVICES, NAMESPACE, "web", &json!({ "spec": { "type": "ClusterIP" } })).unwrap();
    world
        .until(LONG, |world| if floating_ips(world).is_empty() { Ok(()) } else { Err("it is there".to_owned()) })
        .await;
    let order = || {
        let journal = world.witness.journal();
        let of = |what: &str| journal.arrivals.iter().rposition(|arrival| arrival.what.contains(what)).unwrap();
        (of("PATCH /api/v1/namespaces/default/services/web/status"), of("DELETE /networking/v2.0/floatingips"))
    };
    let (word, given_back) = order();
    assert!(word < given_back, "it is told before it is so");

    // Lost, and there is no other.
    world.cluster.patch(SERVICES, NAMESPACE, "web", &json!({ "spec": { "type": "LoadBalancer" } })).unwrap();
    world.until(LONG, |world| published(world).map(drop)).await;
    world.cloud.set_quota("k8s", "floatingip", 0);
    world.cloud.delete("floatingips", world.cloud.list("floatingips")[0]["id"].as_str().unwrap());
    world.until(LONG, |world| told(world, "web").map_or(Ok(()), |told| Err(format!("{told} is told")))).await;
    world.cloud.set_quota("k8s", "floatingip", 10);
    world.until(LONG, |world| published(world).map(drop)).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_asked_for_is_taken_and_left_there() {
    let world = public_world(9);
    let address = address_of_others(&world);
    let controller = world.start();
    create_load_balancer(&world, "web", "10.96.0.10", Some(&address));
    world.until(LONG, |world| published(world).map(drop)).await;
    let record = world.cluster.get(RECORDS, NAMESPACE, "web").unwrap();
    assert_eq!(record["status"]["service_pub_ip_info"]["alloc_method"], "user");
    remove_service(&world, "web");
    let left = |world: &World| match floating_ips(world).as_slice() {
        [(known, false)] if *known == address && world.cloud.load_balancing("loadbalancers").is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    };
    world.until(LONG, left).await;
    controller.stop().await;
}

/// Killed between leading an address that others made and telling of it, while nobody wants it any more.
#[tokio::test(start_paused = true)]
async fn an_address_of_others_is_led_nowhere_again_whatever_happens_meanwhile() {
    let world = public_world(18);
    let address = address_of_others(&world);
    let controller = world.start();
    world.cluster.faults().script(Rule::on(Method::PATCH, "*/services/web/status").status(503));
    create_load_balancer(&world, "web", "10.96.0.10", Some(&address));
    let led = |expected: bool| {
        let address = address.clone();
        move |world: &World| match floating_ips(world).as_slice() {
            [(known, led)] if *known == address && *led == expected => Ok(()),
            other => Err(format!("{other:?}")),
        }
    };
    world.until(LONG, led(true)).await;
    controller.kill();
    world.cluster.faults().clear();
    world.cluster.patch(SERVICES, NAMESPACE, "web", &json!({ "spec": { "type": "ClusterIP" } })).unwrap();
    let controller = world.start();
    world.until(LONG, led(false)).await;
    // It is told, and nothing else is known of it.
    world.cluster.patch(SERVICES, NAMESPACE, "web", &json!({ "spec": { "type": "LoadBalancer" } })).unwrap();
    world.until(LONG, |world| published(world).map(drop)).await;
    controller.kill();
    world.cluster.patch(SERVICES, NAMESPACE, "web", &json!({ "spec": { "type": "ClusterIP" } })).unwrap();
    // Killed again when nothing is told any more.
    let refuse = Rule::on(Method::PUT, "*/floatingips/*").status(503);
    world.cloud.faults().script(refuse);
    let forget = json!({ "metadata": { "finalizers": null } });
    world.cluster.patch(RECORDS, NAMESPACE, "web", &forget).unwrap();
    world.cluster.delete(RECORDS, NAMESPACE, "web").unwrap();
    let controller = world.start();
    world.until(LONG, |world| told(world, "web").map_or(Ok(()), |told| Err(format!("{told} is told")))).await;
    controller.kill();
    world.cloud.faults().clear();
    let controller = world.start();
    world.until(LONG, led(false)).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_to_leave_goes_and_is_not_made_again() {
    let world = public_world(10);
    let controller = world.start();
    create_load_balancer(&world, "web", "10.96.0.10", None);
    world.until(LONG, |world| published(world).map(drop)).await;
    let leave = json!({ "metadata": { "annotations": { "openstack.org/kuryr-leave": "" } } });
    world.cluster.patch(RECORDS, NAMESPACE, "web", &leave).unwrap();
    let left = |world: &World| {
        let record = world.cluster.get(RECORDS, NAMESPACE, "web").unwrap_or_default();
        let held = record["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty());
        let (balancers, addresses) = (world.cloud.load_balancing("loadbalancers").len(), floating_ips(world).len());
        match (held, balancers, addresses, told(world, "web")) {
            (false, 0, 0, None) if record.is_object() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    };
    world.until(LONG, left).await;
    world.pass(LONG).await;
    assert_eq!(left(&world), Ok(()));
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_goes_while_its_watch_is_interrupted_gets_no_record_again_and_again() {
    let world = world(1);
    let controller = world.start();
    create_service(&world, "web", "10.96.0.10", &http());
    set_endpoints(&world, "web", 2..4, &targets());
    world.until(LONG, balanced("web", 2)).await;
    world.cluster.faults().script(Rule::on(Method::GET, "*/api/v1/services").status(503));
    world.cluster.cut_watches();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let before = world.cluster.log().count("create", RECORDS);
    remove_service(&world, "web");
    world.until(LONG, nothing_left).await;
    world.witness.nobody_spins();
    assert_eq!(world.cluster.log().count("create", RECORDS), before);
    controller.stop().await;
}
