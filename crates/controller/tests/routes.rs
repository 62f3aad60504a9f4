//! Gateways and their routes on the fakes: what is made in Octavia, what is said of it, and that nothing is left.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod world;

use std::time::Duration;

use http::Method;
use kuryr_fake::faults::Rule;
use serde_json::json;
use world::routing::{
    GATEWAY_CLASSES, GATEWAYS, HTTP_ROUTES, LONG, TCP_ROUTES, UDP_ROUTES, changes, condition, create, create_ingress,
    create_service, gateway, gateway_world, http_gateway, http_route_to_a, is, members, nothing_left, parent, policies,
    programmed, route, said, serve_gateway_api, set_endpoints, to, told, vip, world,
};
use world::{NAMESPACE, World};

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
async fn at_rest_nothing_is_written() {
    let world = gateway_world(21, "amphora");
    let controller = world.start();
    create_service(&world, NAMESPACE, "a", "TCP", 10..12);
    http_gateway(&world);
    http_route_to_a(&world);
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
async fn one_that_failed_fails_over_or_is_made_anew_by_who_may_not() {
    let world = gateway_world(27, "amphora");
    let controller = world.start();
    create_service(&world, NAMESPACE, "a", "TCP", 10..12);
    http_gateway(&world);
    http_route_to_a(&world);
    let done = |world: &World| is(1, |world| policies(world).len())(world).and_then(|()| programmed("web")(world));
    world.until(LONG, done).await;
    let id = |world: &World| world.cloud.load_balancing("loadbalancers").first().map(|it| it["id"].clone());
    let (first, address) = (id(&world), vip(&world));
    let fail = |world: &World| {
        let id = id(world).unwrap();
        assert!(world.cloud.set_load_balancer_status(id.as_str().unwrap(), "ERROR"));
    };
    fail(&world);
    world.pass(Duration::from_secs(90)).await;
    world.until(LONG, done).await;
    assert_eq!(id(&world), first, "it failed over");
    world.pass(Duration::from_secs(3600)).await;
    world.cloud.faults().script(Rule::on(Method::PUT, "*/failover").status(403));
    fail(&world);
    world.until(LONG, |world| if id(world) == first { Err("the same".to_owned()) } else { done(world) }).await;
    assert_eq!(vip(&world), address);
    // Whatever is done fails: it is tried ever less often, and said.
    let before = changes(&world);
    for _ in 0..600 {
        if id(&world).is_some() {
            fail(&world);
        }
        world.pass(Duration::from_secs(1)).await;
    }
    let made = changes(&world) - before;
    assert!((6..60).contains(&made), "{made} changes in 10 minutes");
    assert_eq!(gateway(&world, "web"), said("True/Accepted", "False/Invalid"));
    world.until(Duration::from_secs(1200), done).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_not_there_costs_nobody_a_load_balancer() {
    let mut world = gateway_world(28, "amphora");
    let first = world.start();
    create_service(&world, NAMESPACE, "a", "TCP", 10..12);
    create_ingress(&world, "web", json!({}), &[("a.example", "Prefix", "/", "a")]);
    world.until(LONG, is(1, |world| policies(world).len())).await;
    first.stop().await;
    let before = changes(&world);
    world.config.routes.as_mut().unwrap().provider = Some("amfora".to_owned());
    let second = world.start();
    http_gateway(&world);
    world.until(LONG, is(said("True/Accepted", "False/Invalid"), |world| gateway(world, "web"))).await;
    world.pass(LONG).await;
    assert_eq!(changes(&world), before);
    // What is there goes on.
    set_endpoints(&world, "a", 10..15);
    world.until(LONG, is(5, |world| members(world, "default/a:80").len())).await;
    second.stop().await;
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
