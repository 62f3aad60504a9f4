//! Bad input and bad days: the pod waits with the reason on its KuryrPort and one Event, and goes on when the cause is gone.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod world;

use std::time::Duration;

use http::Method;
use kuryr_fake::faults::Rule;
use kuryr_fake::openstack::BindPolicy;
use serde_json::json;
use world::{NAMESPACE, World};

const SOON: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(300);

/// A pod meets `trouble`: its KuryrPort must say `reason` and a message with each of `words`, in one Event. Then `mend` takes
/// the cause away, and the pod must be connected.
async fn waits_then_goes_on(
    prepare: impl FnOnce(&mut World),
    reason: &str,
    words: &[&str],
    mend: impl FnOnce(&mut World) -> Restart,
) {
    let mut world = World::new(1);
    prepare(&mut world);
    world.create_pod("a", "n1", json!({}));
    let mut controller = world.start();
    let told = |world: &World| match world.ready("a") {
        Some((found, message)) if found == reason && words.iter().all(|word| message.contains(word)) => Ok(()),
        other => Err(format!("{other:?} instead of {reason} with {words:?}")),
    };
    world.until(SOON, told).await;
    world.pass(LONG).await;
    let events = world.event_reasons();
    assert_eq!(events.iter().filter(|event| *event == reason).count(), 1, "one Event, not one per attempt: {events:?}");
    if mend(&mut world) == Restart::Yes {
        controller.stop().await;
        controller = world.start();
    }
    world.until(LONG, connected).await;
    controller.stop().await;
}

/// Whether the cause can only be taken away by changing kuryr.conf.
#[derive(PartialEq)]
enum Restart {
    Yes,
    No,
}

fn connected(world: &World) -> Result<(), String> {
    match world.ready("a") {
        Some((reason, _)) if reason == "Connected" => Ok(()),
        other => Err(format!("{other:?} instead of Connected")),
    }
}

#[tokio::test(start_paused = true)]
async fn a_port_quota_that_is_used_up() {
    let limit = |limit| move |world: &mut World| world.cloud.set_quota("k8s", "port", limit);
    let mend = |world: &mut World| {
        limit(100)(world);
        Restart::No
    };
    waits_then_goes_on(limit(0), "QuotaExceeded", &["port", "quota"], mend).await;
}

#[tokio::test(start_paused = true)]
async fn a_subnet_without_a_free_address() {
    let fill = |world: &mut World| {
        let small = world.cloud.seed_network("k8s", "small", &["10.9.0.0/30"]);
        world.config.placement.pod_subnets = small.subnets;
        world.cloud.create("ports", json!({ "network_id": small.network, "name": "in the way" }));
    };
    let mend = |world: &mut World| {
        let ports = world.cloud.ports();
        let port = ports.iter().find(|port| port["name"] == "in the way").unwrap();
        world.cloud.delete("ports", port["id"].as_str().unwrap());
        Restart::No
    };
    waits_then_goes_on(fill, "SubnetExhausted", &["subnet"], mend).await;
}

#[tokio::test(start_paused = true)]
async fn a_subnet_that_does_not_exist() {
    let missing = "00000000-1111-2222-3333-444444444444";
    let mend = |world: &mut World| {
        world.config.placement.pod_subnets = world.network.subnets.clone();
        Restart::Yes
    };
    let prepare = |world: &mut World| world.config.placement.pod_subnets = vec![missing.into()];
    waits_then_goes_on(prepare, "SubnetNotFound", &[missing, "pod_subnet", "kuryr.conf"], mend).await;
}

#[tokio::test(start_paused = true)]
async fn a_security_group_that_does_not_exist() {
    let missing = "00000000-1111-2222-3333-444444444444";
    let mend = |world: &mut World| {
        world.config.placement.pod_security_groups = vec![world.security_group.clone()];
        Restart::Yes
    };
    let prepare = |world: &mut World| world.config.placement.pod_security_groups = vec![missing.into()];
    waits_then_goes_on(prepare, "SecurityGroupNotFound", &[missing, "pod_security_groups"], mend).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_neutron_cannot_bind_to() {
    let prepare = |world: &mut World| world.cloud.bind_policy(Some("n1"), BindPolicy::Fails);
    let mend = |world: &mut World| {
        world.cloud.bind_policy(Some("n1"), BindPolicy::ovs());
        Restart::No
    };
    waits_then_goes_on(prepare, "BindingFailed", &["agent"], mend).await;
}

#[tokio::test(start_paused = true)]
async fn a_cloud_that_refuses_ports() {
    let prepare = |world: &mut World| world.cloud.faults().script(Rule::on(Method::POST, "*/v2.0/ports").status(403));
    let mend = |world: &mut World| {
        world.cloud.faults().clear();
        Restart::No
    };
    waits_then_goes_on(prepare, "ForbiddenByCloud", &["rights"], mend).await;
}

#[tokio::test(start_paused = true)]
async fn a_cloud_that_does_not_answer() {
    let prepare = |world: &mut World| world.cloud.faults().script(Rule::on(Method::POST, "*/v2.0/ports").status(503));
    let mend = |world: &mut World| {
        world.cloud.faults().clear();
        Restart::No
    };
    waits_then_goes_on(prepare, "CloudUnreachable", &["tries again"], mend).await;
}

/// From the start of a controller until everybody knows that its cloud is away.
const TOLD_BY: Duration = Duration::from_secs(15);

/// Nobody waits in silence: not those who look at pods, nor those who look at the controller.
#[tokio::test(start_paused = true)]
async fn a_cloud_that_is_away_when_the_controller_starts() {
    let wrong_password: fn(&mut World) = |world| world.password = "wrong".into();
    let refuses: fn(&mut World) = |world| world.cloud.faults().script(Rule::on_any("*").status(503));
    let hangs: fn(&mut World) =
        |world| world.cloud.faults().script(Rule::on_any("*").delay(Duration::from_secs(86_400)));
    for (prepare, reason, cure) in [
        (wrong_password, "CredentialsRefused", "check the credentials"),
        (refuses, "CloudUnreachable", "check the OpenStack API"),
        (hangs, "CloudUnreachable", "auth_url"),
    ] {
        let mut world = World::new(1);
        prepare(&mut world);
        for pod in ["a", "b"] {
            world.create_pod(pod, "n1", json!({}));
        }
        let controller = world.start();
        let told = |world: &World| {
            for pod in ["a", "b"] {
                match world.ready(pod) {
                    Some((found, message)) if found == reason && message.contains(cure) => {}
                    other => return Err(format!("{pod}: {other:?} instead of {reason} with {cure:?}")),
                }
            }
            match world.event_reasons().iter().filter(|event| *event == reason).count() {
                2 => Ok(()),
                other => Err(format!("{other} Events instead of one for each pod")),
            }
        };
        world.until(TOLD_BY, told).await;
        let waits_for = controller.health.waits_for().unwrap();
        assert!(!controller.health.is_ready() && waits_for.contains(reason), "{waits_for}");
        // Terms come and go meanwhile; nobody is told again.
        world.pass(LONG).await;
        assert_eq!(told(&world), Ok(()));
        world.create_pod("late", "n1", json!({}));
        let late = |world: &World| match world.ready("late") {
            Some((found, _)) if found == reason => Ok(()),
            other => Err(format!("{other:?}")),
        };
        world.until(TOLD_BY, late).await;
        controller.stop().await;
    }
}

/// Who cannot reach the cloud leaves the Lease to others that may.
#[tokio::test(start_paused = true)]
async fn a_controller_without_a_cloud_does_not_keep_the_lease_from_others() {
    let world = World::new(1);
    world.create_pod("a", "n1", json!({}));
    let alone = world.start_as("alone");
    alone.wire.cut(world::Side::Cloud);
    world.until(SOON, |world| world.ready("a").map(drop).ok_or_else(|| "not told".to_owned())).await;
    assert_eq!(world::holder(&world.cluster).as_deref(), Some("alone"));
    let other = world.start_as("other");
    world.until(SOON, connected).await;
    assert_eq!(world::holder(&world.cluster).as_deref(), Some("other"));
    world.pass(LONG).await;
    assert_eq!(world::holder(&world.cluster).as_deref(), Some("other"), "nobody takes it back");
    assert!(world.witness.journal().intrusions.is_empty());
    alone.stop().await;
    other.stop().await;
}

#[tokio::test(start_paused = true)]
async fn wrong_credentials_are_waited_for() {
    let mut world = World::new(1);
    world.password = "wrong".into();
    world.create_pod("a", "n1", json!({}));
    let controller = world.start();
    world.pass(LONG).await;
    assert!(!controller.health.is_ready());
    world.cloud.add_user("k8s-admin", "wrong", "k8s", &["admin"]);
    world.until(LONG, connected).await;
    assert!(controller.health.is_ready());
    controller.stop().await;
}

/// A port deleted by hand is reported, and the other pod does not notice.
#[tokio::test(start_paused = true)]
async fn a_port_deleted_behind_our_back() {
    let world = World::new(1);
    let uid = world.create_pod("a", "n1", json!({}));
    world.create_pod("b", "n2", json!({}));
    let controller = world.start();
    world.until(SOON, connected).await;
    let port = world.pod_ports()[&uid][0]["id"].as_str().unwrap().to_owned();
    world.cloud.delete("ports", &port);
    let told = |world: &World| match world.ready("a") {
        Some((reason, message)) if reason == "PortMissing" && message.contains("delete the pod") => Ok(()),
        other => Err(format!("{other:?}")),
    };
    world.until(LONG, told).await;
    assert_eq!(world.ready("b").unwrap().0, "Connected");
    world.remove_pod("a");
    let gone = |world: &World| world.kuryr_port("a").map_or(Ok(()), |port| Err(port.to_string()));
    world.until(SOON, gone).await;
    controller.stop().await;
}

/// What a pod's life costs, without faults: the promise of SPECIFICATION.md.
#[tokio::test(start_paused = true)]
async fn one_life_is_three_writes_to_kubernetes_and_two_to_neutron() {
    let world = World::new(1);
    let controller = world.start();
    world.pass(Duration::from_secs(5)).await;
    world.cloud.forget_requests();
    let before = world.object_writes();
    world.create_pod("a", "n1", json!({}));
    world.until(SOON, connected).await;
    world.pass(Duration::from_secs(5)).await;
    world.remove_pod("a");
    world.until(SOON, |world| if world.kuryr_port("a").is_none() { Ok(()) } else { Err("still there".into()) }).await;
    world.pass(LONG).await;
    assert_eq!(world.object_writes() - before, 3, "{:#?}", world.cluster.log().entries());
    assert_eq!(world.cloud.count(&Method::POST, "/v2.0/ports"), 1);
    assert_eq!(world.cloud.count(&Method::DELETE, "/v2.0/ports/"), 1);
    assert!(world.cluster.get("namespaces", "", NAMESPACE).is_some());
    controller.stop().await;
}

/// The end of a pod reaches us after its KuryrPort's: the port must go at once, not with the leftovers.
#[tokio::test(start_paused = true)]
async fn a_kuryrport_that_is_collected_before_we_hear_of_its_pods_end() {
    let mut world = World::new(1);
    world.config.drift_interval = Duration::from_secs(86_400);
    world.create_pod("a", "n1", json!({}));
    let controller = world.start();
    world.until(SOON, connected).await;
    // Watches of pods hang from now on, and are cut: nothing more is heard of pods.
    world.cluster.faults().script(Rule::on(Method::GET, "/api/v1/pods").delay(Duration::from_secs(120)));
    world.cluster.cut_watches();
    world.pass(Duration::from_secs(5)).await;
    world.remove_pod("a");
    let released =
        |world: &World| if world.pod_ports().is_empty() { Ok(()) } else { Err("the port is still there".into()) };
    world.until(SOON, released).await;
    world.cluster.faults().clear();
    world.pass(LONG).await;
    assert!(world.kuryr_port("a").is_none() && world.pod_ports().is_empty());
    controller.stop().await;
}

/// A restart with many pods asks for the subnet and the network once.
#[tokio::test(start_paused = true)]
async fn look_ups_are_shared() {
    let world = World::new(1);
    for pod in 0..30 {
        world.create_pod(&format!("p{pod}"), "n1", json!({}));
    }
    let controller = world.start();
    let all = |world: &World| match world.pod_ports().len() {
        30 => Ok(()),
        some => Err(format!("{some} ports")),
    };
    world.until(SOON, all).await;
    assert_eq!(world.cloud.count(&Method::GET, "/v2.0/subnets/"), 1);
    assert_eq!(world.cloud.count(&Method::GET, "/v2.0/networks/"), 1);
    controller.stop().await;
}

/// However many ports are waited for, each look at them is one call.
#[tokio::test(start_paused = true)]
async fn waiting_for_ports_to_become_active_is_one_call_for_all_of_them() {
    let mut calls = Vec::new();
    for pods in [1, 100] {
        let world = World::new(1);
        for pod in 0..pods {
            world.create_pod(&format!("p{pod}"), "n1", json!({}));
        }
        let controller = world.start();
        // Nodes that do nothing: the ports are recorded and stay DOWN.
        tokio::time::sleep(SOON).await;
        assert_eq!(world.cluster.list(world::KURYR_PORTS, NAMESPACE).len(), pods);
        world.cloud.forget_requests();
        tokio::time::sleep(Duration::from_secs(20)).await;
        let seen = world.cloud.requests();
        let looks = seen.iter().filter(|seen| seen.path == "/v2.0/ports" && seen.query.contains("fields=status"));
        let asked_for = |query: &str| query.split('&').filter(|pair| pair.starts_with("id=")).count();
        let asked: Vec<usize> = looks.map(|seen| asked_for(&seen.query)).collect();
        assert!(asked.iter().all(|ids| *ids == pods), "not all {pods} ports in each call: {asked:?}");
        calls.push(asked.len());
        controller.stop().await;
    }
    assert!(calls[0] > 0 && calls[0] == calls[1], "calls for 1 port and for 100: {calls:?}");
}
