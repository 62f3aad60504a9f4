//! Taking over from kuryr-kubernetes 2024.1: its KuryrPorts in every state of their life, and its Neutron ports, which carry no mark of ours.
//!
//! Whoever runs keeps the port, what is half made is completed, what is released goes, and nothing else is touched.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod world;

use std::time::Duration;

use http::Method;
use kuryr_api::names::{ANNOTATION_CONFIG_SOURCE, KURYRPORT_FINALIZER, LABEL_NODE_NAME, LEGACY_POD_FINALIZER};
use serde_json::{Value, json};
use world::{KURYR_PORTS, NAMESPACE, PODS, Running, World};

/// Enough for several looks at everything Neutron has.
const LONG: Duration = Duration::from_secs(300);
const NODE: &str = "n1";

/// What kuryr-kubernetes left.
struct Old(World);

impl Old {
    fn new() -> Old {
        let mut world = World::new(1);
        world.config.drift_interval = Duration::from_secs(30);
        Old(world)
    }

    /// A pod with the finalizer it put on each; answers the uid.
    fn pod(&self, name: &str, phase: &str) -> String {
        let change = json!({ "metadata": { "finalizers": [LEGACY_POD_FINALIZER] }, "status": { "phase": phase } });
        self.0.create_pod(name, NODE, change)
    }

    /// A Neutron port as its driver neutron-vif made it; answers its id.
    fn port(&self, owner: &str) -> String {
        let world = &self.0;
        let port = json!({
            "network_id": world.network.network, "project_id": world.cloud.project("k8s"), "name": "", "admin_state_up": true,
            "fixed_ips": [{ "subnet_id": world.network.subnets[0] }], "security_groups": [world.security_group],
            "device_owner": "compute:kuryr", "device_id": owner, "binding:host_id": NODE,
        });
        world.cloud.create("ports", port)["id"].as_str().unwrap().to_owned()
    }

    /// A port that was made ahead, for whatever pod would come to the node.
    fn pool_port(&self) -> String {
        let id = self.port("");
        self.0.cloud.update("ports", &id, json!({ "name": "kuryr-pool-port" }));
        id
    }

    /// A port that a pod uses.
    fn active_port(&self, owner: &str) -> String {
        let id = self.port(owner);
        self.0.cloud.set_port_status(&id, "ACTIVE");
        id
    }

    /// The KuryrPort of a pod; `change` is merged into it.
    fn kuryr_port(&self, name: &str, uid: &str, vifs: &Value, change: &Value) {
        let mut port = json!({
            "apiVersion": "openstack.org/v1", "kind": "KuryrPort",
            "metadata": {
                "name": name, "namespace": NAMESPACE, "labels": { LABEL_NODE_NAME: NODE }, "finalizers": [KURYRPORT_FINALIZER],
                "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid }],
            },
            "spec": { "podUid": uid, "podNodeName": NODE, "podStatic": false },
            "status": { "vifs": vifs },
        });
        json_patch::merge(&mut port, change);
        self.0.cluster.create(port).unwrap();
    }

    /// A running pod with one port; answers the port's id.
    fn running(&self, name: &str, change: &Value) -> String {
        let uid = self.pod(name, "Running");
        let port = self.active_port(&uid);
        self.kuryr_port(name, &uid, &eth0(&port, true), change);
        port
    }

    /// Somebody deletes the KuryrPort: its finalizer holds it.
    fn delete_kuryr_port(&self, name: &str) {
        self.0.cluster.delete(KURYR_PORTS, NAMESPACE, name).unwrap();
    }

    fn neutron(&self, port: &str) -> Option<Value> {
        self.0.cloud.get("ports", port)
    }

    async fn take_over(&self) -> Running {
        let controller = self.0.start();
        self.0.pass(LONG).await;
        controller
    }

    /// Ends pods and waits for what follows.
    async fn end(&self, names: &[&str]) {
        names.iter().for_each(|name| self.0.remove_pod(name));
        self.0.pass(LONG).await;
    }

    /// Methods of the calls that changed ports, but for those that looked.
    fn changes_of_ports(&self) -> Vec<Method> {
        let of_ports = |path: &str| path.starts_with("/v2.0/ports");
        let seen = self.0.cloud.requests();
        let changes = seen.iter().filter(|seen| of_ports(&seen.path) && seen.method != Method::GET);
        changes.map(|seen| seen.method.clone()).collect()
    }

    /// The port the KuryrPort names, if the pod can use it.
    fn connected(&self, name: &str) -> Option<String> {
        let port = self.0.kuryr_port(name)?;
        let vif = &port["status"]["vifs"]["eth0"]["vif"]["versioned_object.data"];
        (vif["active"] == true).then(|| vif["id"].as_str().unwrap().to_owned())
    }
}

/// A vif of this class as os-vif serialized it, with this port in it.
fn vif(class: &str, port: &str, active: bool) -> Value {
    let recorded: Value = serde_json::from_str(include_str!("../../api/src/vif/recorded.json")).unwrap();
    let example = recorded[class]["versioned_object.data"]["id"].as_str().unwrap();
    let short = |id: &str| id[..11].to_owned();
    let text = recorded[class].to_string().replace(example, port).replace(&short(example), &short(port));
    let mut vif: Value = serde_json::from_str(&text).unwrap();
    vif["versioned_object.data"]["active"] = active.into();
    vif
}

fn eth0(port: &str, active: bool) -> Value {
    json!({ "eth0": { "default": true, "vif": vif("VIFOpenVSwitch", port, active) } })
}

#[tokio::test(start_paused = true)]
async fn running_pods_keep_their_ports_and_give_them_back_when_they_end() {
    let old = Old::new();
    let none = json!({});
    let mut ports = vec![
        old.running("plain", &none),
        old.running("before-7", &json!({ "spec": { "podStatic": null } })),
        old.running("no-label", &json!({ "metadata": { "labels": null } })),
        old.running("no-owner", &json!({ "metadata": { "ownerReferences": null } })),
    ];
    let mut names = vec!["plain", "before-7", "no-label", "no-owner"];
    for class in ["VIFBridge", "VIFVHostUser", "VIFVlanNested"] {
        let name = &*class.to_lowercase().leak();
        let (uid, port) = (old.pod(name, "Running"), old.active_port(""));
        old.kuryr_port(name, &uid, &json!({ "eth0": { "default": true, "vif": vif(class, &port, true) } }), &none);
        names.push(name);
        ports.push(port);
    }
    // Not reset before it was stored.
    let (uid, port) = (old.pod("changes", "Running"), old.active_port(""));
    let mut vifs = eth0(&port, true);
    vifs["eth0"]["vif"]["versioned_object.changes"] = json!(["id", "active"]);
    old.kuryr_port("changes", &uid, &vifs, &none);
    // With a second interface from a NetworkAttachmentDefinition.
    let uid = old.pod("two", "Running");
    let (first, second) = (old.active_port(&uid), old.active_port(&uid));
    let mut vifs = eth0(&first, true);
    vifs["eth1"] = json!({ "default": false, "vif": vif("VIFOpenVSwitch", &second, true) });
    old.kuryr_port("two", &uid, &vifs, &none);
    // A static pod, seen by its mirror.
    let mirror = json!({ "metadata": { "annotations": { ANNOTATION_CONFIG_SOURCE: "file" } }, "status": { "phase": "Running" } });
    let (uid, static_port) = (old.0.create_pod("static", NODE, mirror), old.active_port(""));
    old.kuryr_port("static", &uid, &eth0(&static_port, true), &json!({ "spec": { "podStatic": true } }));
    names.extend(["changes", "two", "static"]);
    ports.extend([port, first, second, static_port]);
    // No KuryrPort: a pod of 2.x, whose vif is an annotation. And a port of the pool.
    let annotated =
        json!({ "metadata": { "annotations": { "openstack.org/kuryr-vif": "{}" } }, "status": { "phase": "Running" } });
    let others = [old.active_port(&old.0.create_pod("annotated", NODE, annotated)), old.pool_port()];

    let neutron = |ports: &[String]| ports.iter().map(|port| old.neutron(port)).collect::<Vec<_>>();
    let (ports_before, others_before) = (neutron(&ports), neutron(&others));
    let kuryr_ports = || {
        let found = old.0.cluster.list(KURYR_PORTS, NAMESPACE);
        found.into_iter().map(|port| (port["spec"].clone(), port["status"].clone())).collect::<Vec<_>>()
    };
    let kuryr_ports_before = kuryr_ports();

    let controller = old.take_over().await;
    assert_eq!(old.changes_of_ports(), [Method::GET; 0]);
    assert_eq!(neutron(&ports), ports_before);
    assert_eq!(kuryr_ports(), kuryr_ports_before);
    for pod in old.0.cluster.list(PODS, NAMESPACE) {
        assert_eq!(pod["metadata"]["finalizers"], Value::Null, "{}", pod["metadata"]["name"]);
    }

    old.end(&names).await;
    old.end(&["annotated"]).await;
    assert!(old.0.cluster.list(KURYR_PORTS, NAMESPACE).is_empty(), "{:#?}", old.0.cluster.list(KURYR_PORTS, NAMESPACE));
    assert_eq!(neutron(&ports), vec![None; ports.len()]);
    assert_eq!(neutron(&others), others_before, "ports that no KuryrPort names are somebody else's");
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_half_made_is_completed() {
    let old = Old::new();
    let none = json!({});
    let no_vifs = json!({});
    let pending = |name| old.pod(name, "Pending");
    old.kuryr_port("requested", &pending("requested"), &no_vifs, &none);
    // It stopped after Neutron made the port, before that was written down.
    let uid = pending("unrecorded");
    let unrecorded = old.port(&uid);
    old.kuryr_port("unrecorded", &uid, &no_vifs, &none);
    // The status was reset as a whole.
    old.kuryr_port("reset", &pending("reset"), &no_vifs, &json!({ "status": null }));
    let recorded = |name| {
        let uid = pending(name);
        let port = old.port(&uid);
        old.kuryr_port(name, &uid, &eth0(&port, false), &none);
        port
    };
    let unplugged = recorded("unplugged");
    let plugged = recorded("plugged");
    old.0.cloud.set_port_status(&plugged, "ACTIVE");
    // A port of the pool that became a pod's; its device_id stayed empty.
    let pooled = old.pool_port();
    old.kuryr_port("pooled", &pending("pooled"), &eth0(&pooled, false), &none);
    pending("unseen");

    let controller = old.take_over().await;
    for (name, port) in
        [("unrecorded", &unrecorded), ("unplugged", &unplugged), ("plugged", &plugged), ("pooled", &pooled)]
    {
        assert_eq!(old.connected(name).as_ref(), Some(port), "{name}");
    }
    let new = ["requested", "reset", "unseen"];
    assert!(new.iter().all(|name| old.connected(name).is_some()), "{:#?}", old.0.cluster.list(KURYR_PORTS, NAMESPACE));
    let made = old.0.pod_ports();
    assert_eq!(made.values().map(Vec::len).sum::<usize>(), new.len(), "{made:#?}");
    assert!(!old.changes_of_ports().contains(&Method::DELETE));
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_uses_any_more_is_released() {
    let old = Old::new();
    let none = json!({});
    let mut ports = Vec::new();
    // Its pod has gone, or will at once when nothing holds it any more.
    let mut of_gone = |name: &str, deleted: bool, change: &Value| {
        let uid = format!("00000000-0000-4000-8000-{:012}", ports.len());
        let port = old.active_port(&uid);
        old.kuryr_port(name, &uid, &eth0(&port, true), change);
        if deleted {
            old.delete_kuryr_port(name);
        }
        ports.push(port);
    };
    of_gone("finalizing", true, &none);
    of_gone("orphan", false, &none);
    of_gone("no-owner", false, &json!({ "metadata": { "ownerReferences": null } }));
    of_gone("triggered", true, &json!({ "metadata": { "annotations": { "KuryrTrigger": "1" } } }));
    of_gone("web-0", false, &none);
    of_gone("web-1", true, &none);
    old.pod("web-0", "Pending");
    old.pod("web-1", "Pending");
    for (name, phase) in [("succeeded", "Succeeded"), ("failed", "Failed"), ("held", "Running")] {
        ports.push(old.running(name, &none));
        let status = json!({ "status": { "phase": phase } });
        old.0.cluster.patch(PODS, NAMESPACE, name, &status).unwrap();
        old.delete_kuryr_port(name);
    }
    // Only the old finalizer keeps it in the API.
    old.0.cluster.delete_now(PODS, NAMESPACE, "held").unwrap();
    let unrecorded = old.port("00000000-0000-4000-8000-0000000000aa");
    old.kuryr_port("unrecorded", "00000000-0000-4000-8000-0000000000aa", &json!({}), &none);
    old.delete_kuryr_port("unrecorded");
    ports.push(unrecorded);
    // A spec that names no pod must not stand for all ports that name none.
    old.kuryr_port("nobodys", "", &json!({}), &json!({ "metadata": { "ownerReferences": null } }));
    let pool = old.pool_port();
    let pool_before = old.neutron(&pool);

    let controller = old.take_over().await;
    for port in &ports {
        assert_eq!(old.neutron(port), None);
    }
    assert_eq!(old.neutron(&pool), pool_before);
    let left = old.0.cluster.list(KURYR_PORTS, NAMESPACE);
    let left: Vec<&str> = left.iter().map(|port| port["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(left, ["web-0", "web-1"], "those of the successors");
    assert!(old.connected("web-0").is_some() && old.connected("web-1").is_some());
    let held = ["succeeded", "failed"].map(|name| old.0.pod(name).unwrap()["metadata"]["finalizers"].clone());
    assert_eq!((held, old.0.pod("held")), ([Value::Null, Value::Null], None));
    controller.stop().await;
}

/// kuryr-kubernetes left a KuryrPort that was deleted by hand Terminating for as long as its pod ran.
#[tokio::test(start_paused = true)]
async fn a_pod_whose_kuryrport_was_deleted_by_hand_keeps_its_ports() {
    let old = Old::new();
    let none = json!({});
    let plain = old.running("plain", &none);
    // Nothing but the KuryrPort says whose port this is.
    let (uid, pooled) = (old.pod("pooled", "Running"), old.active_port(""));
    old.kuryr_port("pooled", &uid, &eth0(&pooled, true), &none);
    // What would be made again has one interface.
    let uid = old.pod("two", "Running");
    let (first, second) = (old.active_port(&uid), old.active_port(&uid));
    let mut vifs = eth0(&first, true);
    vifs["eth1"] = json!({ "default": false, "vif": vif("VIFOpenVSwitch", &second, true) });
    old.kuryr_port("two", &uid, &vifs, &none);
    let names = ["plain", "pooled", "two"];
    names.iter().for_each(|name| old.delete_kuryr_port(name));

    let controller = old.take_over().await;
    assert_eq!(old.changes_of_ports(), [Method::GET; 0]);
    assert_eq!(names.map(|name| old.connected(name)), [&plain, &pooled, &first].map(|port| Some(port.clone())));
    let second_interface = &old.0.kuryr_port("two").unwrap()["status"]["vifs"]["eth1"];
    assert_eq!(second_interface["vif"]["versioned_object.data"]["id"], second);

    old.end(&names).await;
    let left = [&plain, &pooled, &first, &second].map(|port| old.neutron(port));
    assert_eq!(left, [None, None, None, None]);
    assert!(old.0.cluster.list(KURYR_PORTS, NAMESPACE).is_empty());
    controller.stop().await;
}
