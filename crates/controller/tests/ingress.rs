//! Ingresses on the fakes: what is made in Octavia, what is said of it, how it is put back, and that nothing is left.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod world;

use std::time::Duration;

use http::Method;
use kuryr_fake::faults::{Lose, Rule};
use serde_json::json;
use world::routing::{
    INGRESS_CLASSES, INGRESSES, LONG, changes, create_ingress, create_service, is, members, nothing_left, policies,
    set_endpoints, told, vip, with_external, world,
};
use world::{NAMESPACE, World};

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
