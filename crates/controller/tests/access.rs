//! What the shipped roles grant is what the controller asks for, in both directions.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;
use kuryr_api::names::{KURYRPORT_FINALIZER, LEGACY_POD_FINALIZER};
use kuryr_fake::faults::Rule;
use serde_json::{Value, json};
use world::{KURYR_PORTS, NAMESPACE, World};

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
            let resource = if group.is_empty() { resource } else { format!("{resource}.{group}") };
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

#[tokio::test(start_paused = true)]
async fn the_controller_asks_for_exactly_what_it_may() {
    let world = World::new(1);
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
