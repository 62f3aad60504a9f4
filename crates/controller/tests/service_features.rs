//! What Services ask besides being balanced, on the fakes: what of it arrives in Octavia and Neutron, what is told, and what is kept when
//! it changes.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod world;

use std::time::Duration;

use http::Method;
use kuryr_fake::faults::Rule;
use kuryr_openstack::load_balancing::LbAlgorithm;
use serde_json::{Value, json};
use world::outside::{make_floating, network};
use world::{NAMESPACE, World, outside, value};

const LONG: Duration = Duration::from_secs(300);
const SERVICES: &str = "services";
const RECORDS: &str = "kuryrloadbalancers.openstack.org";
const ADDRESS: &str = "10.96.0.10";

/// A world whose controller balances Services with this provider, with an external network and a router to it.
fn world(seed: u64, provider: &str) -> World {
    let mut world = World::new(seed);
    outside::balance(&mut world, provider);
    world
}

/// Service `web` on [`ADDRESS`] with two pods; `more` is added to its spec.
fn create(world: &World, annotations: &Value, more: &Value) {
    let mut spec = json!({ "type": "LoadBalancer", "clusterIP": ADDRESS, "clusterIPs": [ADDRESS],
        "ports": [{ "name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP" }] });
    spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    let metadata = json!({ "name": "web", "namespace": NAMESPACE, "annotations": annotations });
    world.cluster.create(json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec })).unwrap();
    let endpoint = |host: u8| {
        json!({ "addresses": [format!("10.0.0.{host}")], "conditions": { "ready": true },
            "targetRef": { "kind": "Pod", "namespace": NAMESPACE, "name": format!("pod-{host}") } })
    };
    let labels = json!({ "kubernetes.io/service-name": "web" });
    let slice = json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": "web-1", "namespace": NAMESPACE, "labels": labels },
        "endpoints": [endpoint(10), endpoint(11)], "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }] });
    world.cluster.create(slice).unwrap();
}

fn change(world: &World, change: &Value) {
    world.cluster.patch(SERVICES, NAMESPACE, "web", change).unwrap();
}

fn annotate(world: &World, annotations: &Value) {
    change(world, &json!({ "metadata": { "annotations": annotations } }));
}

fn remove(world: &World) {
    world.cluster.delete_now("endpointslices.discovery.k8s.io", NAMESPACE, "web-1").unwrap();
    world.cluster.delete_now(SERVICES, NAMESPACE, "web").unwrap();
}

/// Reason and message of a condition of the KuryrLoadBalancer.
fn condition(world: &World, kind: &str) -> Option<(String, String)> {
    let record = world.cluster.get(RECORDS, NAMESPACE, "web")?;
    let conditions = record["status"]["conditions"].as_array()?.clone();
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    Some((found["reason"].as_str()?.to_owned(), found["message"].as_str()?.to_owned()))
}

/// Whether the load balancer works and its owner is to know just this.
fn told(accepted: Option<&'static str>) -> impl Fn(&World) -> Result<(), String> {
    move |world| {
        let (ready, known) = (condition(world, "Ready"), condition(world, "Accepted"));
        let reason = |condition: &Option<(String, String)>| condition.as_ref().map(|(reason, _)| reason.clone());
        match reason(&ready).as_deref() == Some("Balanced") && reason(&known).as_deref() == accepted {
            true => Ok(()),
            false => Err(format!("{ready:?} {known:?}")),
        }
    }
}

fn ready_is(expected: &'static str) -> impl Fn(&World) -> Result<(), String> {
    move |world| match condition(world, "Ready") {
        Some((reason, _)) if reason == expected => Ok(()),
        other => Err(format!("{other:?} instead of {expected}")),
    }
}

/// The only one of a collection in Octavia.
fn only(world: &World, collection: &str) -> Value {
    let mut all = world.cloud.load_balancing(collection);
    assert_eq!(all.len(), 1, "{collection}: {all:?}");
    all.remove(0)
}

/// Changing requests to Octavia and Neutron so far.
fn changes(world: &World) -> usize {
    let seen = world.cloud.requests();
    let concerns = |path: &str| path.contains("/lbaas/") || path.contains("/floatingips");
    seen.iter().filter(|seen| concerns(&seen.path) && seen.method != Method::GET).count()
}

/// Floating IPs: address, and whether it leads to the first load balancer.
fn floating_ips(world: &World) -> Vec<(String, bool)> {
    let vip = world.cloud.load_balancing("loadbalancers").first().map(|balancer| balancer["vip_port_id"].clone());
    let leads = |it: &Value| it["port_id"].is_string() && Some(&it["port_id"]) == vip.as_ref();
    let all = world.cloud.list("floatingips");
    let mut all: Vec<_> =
        all.iter().map(|it| (it["floating_ip_address"].as_str().unwrap().to_owned(), leads(it))).collect();
    all.sort();
    all
}

/// The address that the Service is told.
fn address(world: &World) -> Option<String> {
    let service = world.cluster.get(SERVICES, NAMESPACE, "web")?;
    Some(service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str()?.to_owned())
}

/// Whether this address, or any, leads to the load balancer, and the Service is told so.
fn published(expected: Option<String>) -> impl Fn(&World) -> Result<(), String> {
    move |world| {
        let leading: Vec<String> =
            floating_ips(world).into_iter().filter(|(_, leads)| *leads).map(|(it, _)| it).collect();
        let told = address(world);
        match leading.as_slice() {
            [leading] if told.as_ref() == Some(leading) && expected.as_ref().is_none_or(|it| it == leading) => Ok(()),
            other => Err(format!("{other:?} lead there, {told:?} is told")),
        }
    }
}

fn nothing_left(world: &World) -> Result<(), String> {
    let balancers = world.cloud.load_balancing("loadbalancers").len();
    match (balancers, world.cluster.list(RECORDS, NAMESPACE).len()) {
        (0, 0) => Ok(()),
        other => Err(format!("{other:?} load balancers and KuryrLoadBalancers")),
    }
}

// ---- what Octavia is asked -------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn what_annotations_ask_arrives_stays_and_ends_with_them() {
    let world = world(1, "amphora");
    let first = world.start();
    let asked = json!({
        "loadbalancer.openstack.org/connection-limit": "100",
        "loadbalancer.openstack.org/timeout-client-data": "60000",
        "openstack.org/kuryr-timeout-member-data": "70000",
        "loadbalancer.openstack.org/timeout-member-connect": "7000",
        "loadbalancer.openstack.org/proxy-protocol": "v2",
        "loadbalancer.openstack.org/lb-method": "LEAST_CONNECTIONS",
        "loadbalancer.openstack.org/enable-health-monitor": "true",
        "loadbalancer.openstack.org/health-monitor-delay": "10",
        "loadbalancer.openstack.org/availability-zone": "az1",
    });
    create(&world, &asked, &json!({ "loadBalancerSourceRanges": ["192.0.2.0/24"], "sessionAffinity": "ClientIP" }));
    world.until(LONG, told(None)).await;
    let (balancer, listener, pool) = (only(&world, "loadbalancers"), only(&world, "listeners"), only(&world, "pools"));
    assert_eq!(balancer["availability_zone"], "az1");
    assert_eq!((&listener["connection_limit"], &listener["timeout_client_data"]), (&json!(100), &json!(60000)));
    assert_eq!((&listener["timeout_member_data"], &listener["timeout_member_connect"]), (&json!(70000), &json!(7000)));
    assert_eq!(listener["allowed_cidrs"], json!(["10.0.0.0/24", "192.0.2.0/24"]));
    assert_eq!((&pool["protocol"], &pool["lb_algorithm"]), (&json!("PROXYV2"), &json!("LEAST_CONNECTIONS")));
    assert_eq!(pool["session_persistence"]["type"], "SOURCE_IP");
    let monitor = only(&world, "healthmonitors");
    assert_eq!((&monitor["type"], &monitor["delay"], &monitor["timeout"]), (&json!("TCP"), &json!(10), &json!(3)));
    // All of that is known again by whoever comes next, and costs nothing.
    first.stop().await;
    let before = changes(&world);
    let second = world.start();
    world.pass(Duration::from_secs(180)).await;
    assert_eq!(changes(&world), before);
    let nothing: serde_json::Map<String, Value> =
        asked.as_object().unwrap().keys().map(|name| (name.clone(), Value::Null)).collect();
    annotate(&world, &Value::Object(nothing));
    change(&world, &json!({ "spec": { "loadBalancerSourceRanges": null, "sessionAffinity": "None" } }));
    let plain = |world: &World| {
        let (listener, pool) = (only(world, "listeners"), world.cloud.load_balancing("pools"));
        let is_plain = pool.len() == 1
            && pool[0]["protocol"] == "TCP"
            && pool[0]["lb_algorithm"] == "ROUND_ROBIN"
            && pool[0]["session_persistence"].is_null()
            && listener["connection_limit"] == -1
            && listener["allowed_cidrs"].as_array().is_none_or(Vec::is_empty)
            && world.cloud.load_balancing("healthmonitors").is_empty();
        if is_plain { told(None)(world) } else { Err(format!("{listener} {pool:?}")) }
    };
    world.until(LONG, plain).await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_provider_cannot_do_is_told_once_and_costs_nothing_else() {
    let world = world(2, "ovn");
    let first = world.start();
    let annotations = json!({ "loadbalancer.openstack.org/connection-limit": "100" });
    create(&world, &annotations, &json!({ "type": "ClusterIP", "sessionAffinity": "ClientIP" }));
    world.until(LONG, told(Some("NotHonoured"))).await;
    let (_, message) = condition(&world, "Accepted").unwrap();
    assert!(message.contains("sessionAffinity") && message.contains("connection limits"), "{message}");
    first.stop().await;
    let before = changes(&world);
    let second = world.start();
    world.pass(LONG).await;
    assert_eq!((changes(&world), world.event_reasons()), (before, vec!["NotHonoured".to_owned()]));
    annotate(&world, &json!({ "loadbalancer.openstack.org/connection-limit": null }));
    change(&world, &json!({ "spec": { "sessionAffinity": "None" } }));
    world.until(LONG, told(None)).await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_value_that_cannot_be_read_is_told_and_the_last_good_state_stays() {
    let world = world(3, "amphora");
    let controller = world.start();
    create(&world, &json!({ "loadbalancer.openstack.org/connection-limit": "100" }), &json!({}));
    world.until(LONG, published(None)).await;
    world.until(LONG, told(None)).await;
    let before = changes(&world);
    annotate(
        &world,
        &json!({
            "loadbalancer.openstack.org/connection-limit": "lots",
            "loadbalancer.openstack.org/floating-network-id": "the public one",
            "service.beta.kubernetes.io/openstack-internal-load-balancer": "maybe",
        }),
    );
    world.until(LONG, told(Some("ServiceNotUnderstood"))).await;
    assert_eq!((changes(&world), only(&world, "listeners")["connection_limit"].clone()), (before, json!(100)));
    assert_eq!(published(None)(&world), Ok(()));
    assert_eq!(world.event_reasons(), ["ServiceNotUnderstood"]);
    // What can be read goes on meanwhile.
    annotate(&world, &json!({ "loadbalancer.openstack.org/lb-method": "SOURCE_IP" }));
    world
        .until(LONG, |world| match only(world, "pools")["lb_algorithm"].as_str() {
            Some("SOURCE_IP") => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    annotate(
        &world,
        &json!({
            "loadbalancer.openstack.org/connection-limit": "200",
            "loadbalancer.openstack.org/floating-network-id": null,
            "service.beta.kubernetes.io/openstack-internal-load-balancer": null,
        }),
    );
    world.until(LONG, told(None)).await;
    assert_eq!(only(&world, "listeners")["connection_limit"], 200);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_part_that_octavia_refuses_stops_no_other() {
    let world = world(24, "amphora");
    let controller = world.start();
    create(&world, &json!({}), &json!({}));
    world.until(LONG, published(None)).await;
    world.until(LONG, told(None)).await;
    world.cloud.faults().script(Rule::on(Method::PUT, "*/lbaas/listeners/*").status(501));
    annotate(&world, &json!({ "loadbalancer.openstack.org/connection-limit": "100" }));
    world.until(LONG, ready_is("RefusedByCloud")).await;
    // Endpoints follow all the same, and another port is served.
    let one = json!([{ "addresses": ["10.0.0.12"], "conditions": { "ready": true } }]);
    let both = json!([{ "name": "http", "port": 8080, "protocol": "TCP" }, { "name": "more", "port": 8081, "protocol": "TCP" }]);
    let slice = json!({ "endpoints": one, "ports": both });
    world.cluster.patch("endpointslices.discovery.k8s.io", NAMESPACE, "web-1", &slice).unwrap();
    change(
        &world,
        &json!({ "spec": { "ports": [
        { "name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP" },
        { "name": "more", "port": 81, "targetPort": 8081, "protocol": "TCP" },
    ] } }),
    );
    let follows = |world: &World| {
        let pools = world.cloud.load_balancing("pools");
        let members: Vec<usize> = pools.iter().map(|pool| pool["members"].as_array().map_or(0, Vec::len)).collect();
        if members == [1, 1] { Ok(()) } else { Err(format!("{members:?} members")) }
    };
    world.until(LONG, follows).await;
    assert_eq!((ready_is("RefusedByCloud")(&world), published(None)(&world)), (Ok(()), Ok(())));
    let before = changes(&world);
    world.pass(Duration::from_secs(600)).await;
    let tried = changes(&world) - before;
    assert!((5..15).contains(&tried), "{tried} attempts in 10 minutes");
    assert_eq!(world.event_reasons(), ["RefusedByCloud"]);
    world.cloud.faults().clear();
    world.until(LONG, told(None)).await;
    // So it is with a quota.
    world.cloud.set_load_balancing_quota("k8s", "health_monitor", 0);
    annotate(&world, &json!({ "loadbalancer.openstack.org/enable-health-monitor": "true" }));
    world.until(LONG, ready_is("QuotaExceeded")).await;
    annotate(&world, &json!({ "loadbalancer.openstack.org/connection-limit": "300" }));
    let limited = |world: &World| {
        let all = world.cloud.load_balancing("listeners");
        if all.iter().all(|it| it["connection_limit"] == 300) { Ok(()) } else { Err(format!("{all:?}")) }
    };
    world.until(LONG, limited).await;
    world.cloud.set_load_balancing_quota("k8s", "health_monitor", -1);
    world.until(LONG, told(None)).await;
    assert_eq!(world.cloud.load_balancing("healthmonitors").len(), 2);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_taken_or_outside_of_the_subnet_is_told() {
    for (seed, provider) in [(4, "ovn"), (5, "amphora")] {
        let world = world(seed, provider);
        let subnet = world.config.services.as_ref().unwrap().subnet.clone();
        let network = world.cloud.list("subnets").into_iter().find(|it| it["id"] == json!(subnet)).unwrap();
        let fixed = json!([{ "subnet_id": subnet, "ip_address": ADDRESS }]);
        let port = world.cloud.create("ports", json!({ "network_id": network["network_id"], "fixed_ips": fixed }));
        let controller = world.start();
        create(&world, &json!({}), &json!({ "type": "ClusterIP" }));
        world.until(LONG, ready_is("TakenInCloud")).await;
        assert_eq!(world.event_reasons(), ["TakenInCloud"], "{provider}");
        world.cloud.delete("ports", port["id"].as_str().unwrap());
        world.until(LONG, told(None)).await;
        remove(&world);
        world.until(LONG, nothing_left).await;
        create(
            &world,
            &json!({}),
            &json!({ "type": "ClusterIP", "clusterIP": "10.97.0.1", "clusterIPs": ["10.97.0.1"] }),
        );
        world.until(LONG, ready_is("AddressOutsideSubnet")).await;
        controller.stop().await;
    }
}

// ---- addresses from outside ------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn what_cannot_keep_others_out_is_not_opened_and_what_is_open_stays() {
    let world = world(6, "ovn");
    let controller = world.start();
    let ranges = json!({ "loadBalancerSourceRanges": ["192.0.2.0/24"] });
    create(&world, &json!({}), &ranges);
    world.until(LONG, told(Some("SourceRangesNotEnforced"))).await;
    world.pass(LONG).await;
    assert_eq!((floating_ips(&world), address(&world)), (Vec::new(), None));
    change(&world, &json!({ "spec": { "loadBalancerSourceRanges": null } }));
    world.until(LONG, published(None)).await;
    let before = floating_ips(&world);
    change(&world, &json!({ "spec": ranges }));
    world.until(LONG, told(Some("SourceRangesNotEnforced"))).await;
    world.pass(LONG).await;
    assert_eq!((floating_ips(&world), published(None)(&world)), (before, Ok(())));
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_address_works_until_its_successor_is_ours() {
    let world = world(7, "amphora");
    let other = world.cloud.seed_network("k8s", "other", &["10.50.0.0/24"]);
    let router = world.cloud.list("routers")[0]["id"].as_str().unwrap().to_owned();
    world.cloud.add_router_interface(&router, &other.subnets[0]);
    let port = world.cloud.create("ports", json!({ "network_id": other.network }));
    let (taken, wanted) = make_floating(&world, &network(&world), &json!({ "port_id": port["id"] }));
    let controller = world.start();
    create(&world, &json!({}), &json!({}));
    world.until(LONG, published(None)).await;
    let first = address(&world).unwrap();
    change(&world, &json!({ "spec": { "loadBalancerIP": wanted } }));
    world.until(LONG, ready_is("AddressInUse")).await;
    world.pass(LONG).await;
    assert_eq!(
        published(Some(first.clone()))(&world),
        Ok(()),
        "what works is not taken away for what is not to be had"
    );
    world.cloud.update("floatingips", &taken, json!({ "port_id": null }));
    world.until(LONG, published(Some(wanted.clone()))).await;
    world.until(LONG, told(None)).await;
    assert_eq!(floating_ips(&world), [(wanted.clone(), true)], "the first is given back");
    // One that is not there yet is made.
    change(&world, &json!({ "spec": { "loadBalancerIP": "172.24.4.99" } }));
    world.until(LONG, published(Some("172.24.4.99".to_owned()))).await;
    let mut all = floating_ips(&world);
    all.retain(|(address, _)| *address != "172.24.4.99");
    assert_eq!(all, [(wanted, false)], "somebody else's stays");
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_of_address_that_is_cut_short_leaves_one_and_no_more() {
    for (seed, calls) in [(8, 1), (9, 2), (10, 3)] {
        let world = world(seed, "ovn");
        let first = world.start();
        create(&world, &json!({}), &json!({}));
        world.until(LONG, published(None)).await;
        change(&world, &json!({ "spec": { "loadBalancerIP": "172.24.4.99" } }));
        let before = changes(&world);
        let far = |world: &World| match changes(world) >= before + calls {
            true => Ok(()),
            false => Err("not yet".to_owned()),
        };
        world.until(LONG, far).await;
        first.kill();
        let second = world.start();
        world.until(LONG, published(Some("172.24.4.99".to_owned()))).await;
        world.pass(Duration::from_secs(180)).await;
        assert_eq!(floating_ips(&world), [("172.24.4.99".to_owned(), true)]);
        second.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_change_of_mind_leaves_over_is_given_back() {
    let world = world(11, "ovn");
    let first = world.start();
    create(&world, &json!({}), &json!({}));
    world.until(LONG, published(None)).await;
    let kept = address(&world).unwrap();
    // The successor is made, and Neutron answers no more.
    for method in [Method::DELETE, Method::PUT] {
        world.cloud.faults().script(Rule::on(method, "*/floatingips/*").status(503));
    }
    change(&world, &json!({ "spec": { "loadBalancerIP": "172.24.4.99" } }));
    let both = |world: &World| if floating_ips(world).len() == 2 { Ok(()) } else { Err("one".to_owned()) };
    world.until(LONG, both).await;
    first.kill();
    change(&world, &json!({ "spec": { "loadBalancerIP": null } }));
    world.cloud.faults().clear();
    let second = world.start();
    let one = |world: &World| match floating_ips(world).as_slice() {
        [(address, true)] if *address == kept => Ok(()),
        other => Err(format!("{other:?}")),
    };
    world.until(LONG, one).await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_address_comes_from_the_network_that_is_named_or_not_at_all() {
    let world = world(12, "amphora");
    let dmz = outside::external(&world.cloud, "dmz", "198.51.100.0/24");
    let router = world.cloud.create("routers", json!({ "name": "d", "external_gateway_info": { "network_id": dmz } }));
    let subnet = world.config.services.as_ref().unwrap().subnet.clone();
    let network = world.cloud.list("subnets").into_iter().find(|it| it["id"] == json!(subnet)).unwrap();
    let port = world.cloud.create("ports", json!({ "network_id": network["network_id"] }));
    world.cloud.add_router_port(router["id"].as_str().unwrap(), port["id"].as_str().unwrap());
    let controller = world.start();
    create(&world, &json!({}), &json!({}));
    world.until(LONG, published(None)).await;
    annotate(&world, &json!({ "loadbalancer.openstack.org/floating-network-id": dmz }));
    let elsewhere = |world: &World| match floating_ips(world).as_slice() {
        [(address, true)] if address.starts_with("198.51.100.") => published(None)(world),
        other => Err(format!("{other:?}")),
    };
    world.until(LONG, elsewhere).await;
    annotate(&world, &json!({ "service.beta.kubernetes.io/openstack-internal-load-balancer": "true" }));
    let inside = |world: &World| match (floating_ips(world).len(), address(world)) {
        (0, None) => told(None)(world),
        other => Err(format!("{other:?}")),
    };
    world.until(LONG, inside).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_to_be_kept_outlives_the_service() {
    let world = world(13, "ovn");
    let controller = world.start();
    create(&world, &json!({ "loadbalancer.openstack.org/keep-floatingip": "true" }), &json!({}));
    world.until(LONG, published(None)).await;
    world.until(LONG, told(None)).await;
    let kept = address(&world).unwrap();
    remove(&world);
    world.until(LONG, nothing_left).await;
    world.pass(LONG).await;
    assert_eq!(floating_ips(&world), [(kept.clone(), false)], "nobody collects it later");
    create(&world, &json!({}), &json!({ "loadBalancerIP": kept }));
    world.until(LONG, published(Some(kept))).await;
    controller.stop().await;
}

// ---- changes -----------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn types_change_in_every_direction() {
    let world = world(14, "ovn");
    let controller = world.start();
    create(&world, &json!({}), &json!({}));
    world.until(LONG, published(None)).await;
    let before = only(&world, "loadbalancers")["id"].clone();
    let types = ["ClusterIP", "NodePort", "LoadBalancer"];
    let ways = types.iter().flat_map(|from| types.iter().filter(move |to| *to != from).map(move |to| (*from, *to)));
    for (from, to) in ways {
        for kind in [from, to] {
            change(&world, &json!({ "spec": { "type": kind } }));
            let remark = if kind == "NodePort" { Some("NodePortsNotServed") } else { None };
            let as_it_should = move |world: &World| match (kind, floating_ips(world).len(), address(world)) {
                ("LoadBalancer", 1, Some(_)) => published(None)(world).and_then(|()| told(remark)(world)),
                ("ClusterIP" | "NodePort", 0, None) => told(remark)(world),
                other => Err(format!("{other:?}")),
            };
            world.until(LONG, as_it_should).await;
        }
    }
    assert_eq!(only(&world, "loadbalancers")["id"], before, "the address in the cluster was there all the time");
    // A name in DNS has no address.
    change(
        &world,
        &json!({ "spec": { "type": "ExternalName", "externalName": "example.org", "clusterIP": null, "clusterIPs": null } }),
    );
    world.until(LONG, nothing_left).await;
    assert_eq!(floating_ips(&world), []);
    change(&world, &json!({ "spec": { "type": "LoadBalancer", "clusterIP": ADDRESS, "clusterIPs": [ADDRESS] } }));
    world.until(LONG, published(None)).await;
    remove(&world);
    world.until(LONG, nothing_left).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn another_provider_has_the_same_addresses() {
    let mut world = world(15, "amphora");
    for (provider, algorithm) in [("ovn", LbAlgorithm::SourceIpPort), ("amphora", LbAlgorithm::RoundRobin)] {
        let first = world.start();
        if world.cluster.get(SERVICES, NAMESPACE, "web").is_none() {
            create(&world, &json!({}), &json!({}));
        }
        world.until(LONG, published(None)).await;
        world.until(LONG, told(None)).await;
        let outside = floating_ips(&world);
        first.stop().await;
        let services = world.config.services.as_mut().unwrap();
        (services.provider, services.algorithm) = (Some(provider.to_owned()), algorithm);
        let second = world.start();
        let changed = |world: &World| match world.cloud.load_balancing("loadbalancers").first() {
            Some(balancer) if balancer["provider"] == provider => {
                told(None)(world).and_then(|()| published(None)(world))
            }
            _ => Err("the provider is the old one".to_owned()),
        };
        world.until(LONG, changed).await;
        assert_eq!(
            (only(&world, "loadbalancers")["vip_address"].clone(), floating_ips(&world)),
            (json!(ADDRESS), outside)
        );
        second.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn octavia_that_does_not_finish_is_told_until_it_does() {
    let world = world(16, "amphora");
    let controller = world.start();
    create(&world, &json!({}), &json!({}));
    world.until(LONG, published(None)).await;
    world.until(LONG, told(None)).await;
    let id = only(&world, "loadbalancers")["id"].as_str().unwrap().to_owned();
    assert!(world.cloud.set_load_balancer_status(&id, "PENDING_UPDATE"));
    world.pass(Duration::from_secs(240)).await;
    assert_eq!(world.event_reasons(), [] as [&str; 0], "four minutes are nothing yet");
    world.until(LONG, ready_is("LoadBalancerPending")).await;
    world.pass(Duration::from_secs(1200)).await;
    assert_eq!(world.event_reasons(), ["LoadBalancerPending"]);
    let (_, message) = condition(&world, "Ready").unwrap();
    assert!(message.contains(&id) && message.contains("PENDING_UPDATE"), "{message}");
    assert!(world.cloud.set_load_balancer_status(&id, "ACTIVE"));
    world.until(LONG, told(None)).await;
    // The next time is another time.
    assert!(world.cloud.set_load_balancer_status(&id, "PENDING_UPDATE"));
    world.pass(Duration::from_secs(240)).await;
    assert_eq!(told(None)(&world), Ok(()));
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn of_two_load_balancers_with_one_name_ours_is_meant_and_the_other_is_told() {
    let world = world(17, "ovn");
    let first = world.start();
    create(&world, &json!({}), &json!({}));
    world.until(LONG, published(None)).await;
    world.until(LONG, told(None)).await;
    let ours = only(&world, "loadbalancers");
    let before = changes(&world);
    // Somebody copies it, marks and all, with something on it.
    let subnet = ours["vip_subnet_id"].clone();
    let copy = json!({ "name": ours["name"], "tags": ours["tags"], "description": ours["description"], "provider": "ovn",
        "vip_subnet_id": subnet, "project_id": ours["project_id"],
        "listeners": [{ "name": "l", "protocol": "TCP", "protocol_port": 81 }] });
    let other = world.cloud.create_load_balancer(&copy);
    world.until(LONG, told(Some("SecondLoadBalancer"))).await;
    assert!(condition(&world, "Accepted").unwrap().1.contains(&other));
    first.stop().await;
    let second = world.start();
    world.pass(LONG).await;
    assert_eq!((changes(&world), world.cloud.load_balancing("loadbalancers").len()), (before, 2));
    world.cloud.lose_load_balancer(&other);
    world.until(LONG, told(None)).await;
    second.stop().await;
}

// ---- two addresses ---------------------------------------------------------------------------------------------------

const SECOND: &str = "fd00:96::10";

/// Service `web` with an address of each family, and a pod of each. Answers what makes the Services' subnets two.
fn create_dual(world: &mut World) -> String {
    let services = world.config.services.as_mut().unwrap();
    let subnet = world.cloud.list("subnets").into_iter().find(|it| it["id"] == json!(services.subnet)).unwrap();
    let dual = |network: &Value, cidr: &str| {
        let body = json!({ "network_id": network, "ip_version": 6, "cidr": cidr, "project_id": subnet["project_id"] });
        world.cloud.create("subnets", body)["id"].as_str().unwrap().to_owned()
    };
    let second = dual(&subnet["network_id"], "fd00:96::/112");
    // Pods of IPv6 are in a network of their own here.
    let pods = world.cloud.create("networks", json!({ "name": "pods6", "project_id": subnet["project_id"] }));
    services.node_subnets = vec![dual(&pods["id"], "fd00:10::/64")];
    create(
        world,
        &json!({}),
        &json!({ "type": "ClusterIP", "clusterIPs": [ADDRESS, SECOND],
        "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack" }),
    );
    let endpoint = json!({ "addresses": ["fd00:10::7"], "conditions": { "ready": true } });
    let labels = json!({ "kubernetes.io/service-name": "web" });
    let slice = json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv6",
        "metadata": { "name": "web-6", "namespace": NAMESPACE, "labels": labels },
        "endpoints": [endpoint], "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }] });
    world.cluster.create(slice).unwrap();
    second
}

#[tokio::test(start_paused = true)]
async fn two_addresses_are_served_where_the_provider_has_them() {
    // HAProxy takes clients of both families to pods of the first; OVN passes packets on.
    for (seed, provider, minor, served, members) in [
        (19, "amphora", 26, true, 2),
        (20, "ovn", 26, false, 2),
        (21, "ovn", 27, true, 3),
        (22, "amphora", 25, false, 2),
    ] {
        let mut world = world(seed, provider);
        world.cloud.set_load_balancing_version(minor);
        let second = create_dual(&mut world);
        world.config.services.as_mut().unwrap().second_subnet = Some(second);
        let controller = world.start();
        let count = |world: &World| world.cloud.load_balancing("pools").first()?["members"].as_array().map(Vec::len);
        let as_it_should = |world: &World| match count(world) {
            Some(found) if found == members => told(if served { None } else { Some("NotHonoured") })(world),
            found => Err(format!("{found:?} members")),
        };
        world.until(LONG, as_it_should).await;
        let ports = world.cloud.ports();
        let has =
            |port: &Value| port["fixed_ips"].as_array().unwrap().iter().any(|fixed| fixed["ip_address"] == SECOND);
        assert_eq!(ports.iter().any(has), served, "{provider} {minor}");
        // It is asked for once, and costs nothing afterwards.
        let port = only(&world, "loadbalancers")["vip_port_id"].as_str().unwrap().to_owned();
        let reads = |world: &World| world.cloud.count(&Method::GET, &format!("*/ports/{port}"));
        let before = (changes(&world), reads(&world));
        world.pass(LONG).await;
        assert_eq!((changes(&world), reads(&world)), before, "{provider} {minor}");
        // One address is enough again.
        change(
            &world,
            &json!({ "spec": { "clusterIPs": [ADDRESS], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack" } }),
        );
        let single = |world: &World| match world.cloud.load_balancing("loadbalancers").as_slice() {
            [balancer] if balancer["additional_vips"].as_array().is_none_or(Vec::is_empty) => told(None)(world),
            other => Err(format!("{other:?}")),
        };
        world.until(LONG, single).await;
        controller.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_with_one_address_is_not_torn_down_for_a_second() {
    let mut world = world(23, "amphora");
    let second = create_dual(&mut world);
    let first = world.start();
    world.until(LONG, told(Some("NotHonoured"))).await;
    let id = only(&world, "loadbalancers")["id"].as_str().unwrap().to_owned();
    first.stop().await;
    world.config.services.as_mut().unwrap().second_subnet = Some(second);
    let before = changes(&world);
    let controller = world.start();
    world.pass(LONG).await;
    assert_eq!(changes(&world), before);
    world.cloud.lose_load_balancer(&id);
    let another = |world: &World| match world.cloud.load_balancing("loadbalancers").as_slice() {
        [balancer] if balancer["id"] != json!(id) => told(None)(world),
        other => Err(format!("{other:?}")),
    };
    world.until(LONG, another).await;
    assert_eq!(only(&world, "loadbalancers")["additional_vips"][0]["ip_address"], SECOND);
    controller.stop().await;
}

// ---- what is counted ---------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn services_that_wait_and_those_that_are_not_as_asked_are_counted() {
    let world = world(18, "ovn");
    world.cloud.set_load_balancing_quota("k8s", "load_balancer", 0);
    let controller = world.start();
    let is = |series: &str, expected: f64| {
        assert_eq!(value(&controller.metrics, series), Some(expected), "{series}");
    };
    create(&world, &json!({}), &json!({ "sessionAffinity": "ClientIP" }));
    world.until(LONG, ready_is("QuotaExceeded")).await;
    world.pass(Duration::from_secs(10)).await;
    is(r#"kuryr_services_waiting{reason="QuotaExceeded"}"#, 1.0);
    is("kuryr_load_balancers", 0.0);
    world.cloud.set_load_balancing_quota("k8s", "load_balancer", -1);
    world.until(LONG, told(Some("NotHonoured"))).await;
    world.pass(Duration::from_secs(10)).await;
    is(r#"kuryr_services_waiting{reason="QuotaExceeded"}"#, 0.0);
    is(r#"kuryr_services_not_as_asked{reason="NotHonoured"}"#, 1.0);
    is("kuryr_load_balancers", 1.0);
    is("kuryr_load_balancers_pending", 0.0);
    is("kuryr_service_queue_depth", 0.0);
    let id = only(&world, "loadbalancers")["id"].as_str().unwrap().to_owned();
    assert!(world.cloud.set_load_balancer_status(&id, "PENDING_UPDATE"));
    world.pass(Duration::from_secs(90)).await;
    is("kuryr_load_balancers_pending", 1.0);
    let settled = value(&controller.metrics, r#"kuryr_service_reconcile_duration_seconds_count{result="settled"}"#);
    assert!(settled.is_some_and(|settled| settled >= 1.0), "{settled:?}");
    controller.stop().await;
}
