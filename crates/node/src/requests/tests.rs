//! The requests' flow, on a paused clock: the API server is a function, the datapath a [`Script`].
//!
//! One file per command would say less: most of what matters is how they meet.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use http::{Request as HttpRequest, Response};
use kube::client::Body;
use kuryr_api::crd::KuryrPort;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant};

use super::script::Script;
use super::turns::{Stop, StopSignal};
use super::*;
use crate::plug::{OwnedDevice, PlugError, Readiness};
use crate::ports::PodKey;

mod add;
mod checking;
mod cluster;
mod del;
mod gc;
mod leftovers;
mod pages;
mod together;

/// A node with everything around it.
struct World {
    node: Node,
    script: Script,
    /// `ns/name` → pod as the API server has it.
    pods: Arc<Mutex<HashMap<String, Value>>>,
    dir: TempDir,
    version: std::cell::Cell<u64>,
}

const BOOT: &str = "boot-1";

impl World {
    fn new() -> Self {
        Self::in_dir(TempDir::new().unwrap(), Script::new(), BOOT)
    }

    fn in_dir(dir: TempDir, script: Script, boot_id: &str) -> Self {
        let pods: Arc<Mutex<HashMap<String, Value>>> = Arc::default();
        Self::with(api_server(pods.clone()), pods, dir, script, boot_id)
    }

    fn with(
        client: Client,
        pods: Arc<Mutex<HashMap<String, Value>>>,
        dir: TempDir,
        script: Script,
        boot_id: &str,
    ) -> Self {
        let checkpoints = Checkpoints::load(&dir.path().join("state"), boot_id).unwrap();
        let node = Node::new(Config::new("n1"), client, Wiring::Scripted(script.clone()), checkpoints);
        Self { node, script, pods, dir, version: 1.into() }
    }

    /// The daemon ends and starts again; kernel and disk stay.
    fn restart(self, boot_id: &str) -> Self {
        let Self { script, dir, .. } = self;
        Self::in_dir(dir, script, boot_id)
    }

    fn pod(&self, name: &str, uid: &str) {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "ns", "name": name, "uid": uid}});
        self.pods.lock().unwrap().insert(format!("ns/{name}"), pod);
    }

    fn pod_gone(&self, name: &str) {
        self.pods.lock().unwrap().remove(&format!("ns/{name}"));
    }

    /// Puts a KuryrPort before the daemon as the watch would.
    fn port(&self, name: &str, uid: &str, edit: impl FnOnce(&mut Value)) {
        self.version.set(self.version.get() + 1);
        let mut port = json!({
            "apiVersion": "openstack.org/v1", "kind": "KuryrPort",
            "metadata": {"namespace": "ns", "name": name, "uid": format!("kp-{uid}"), "resourceVersion": self.version.get().to_string()},
            "spec": {"podUid": uid, "podNodeName": "n1", "podStatic": false},
            "status": {"vifs": {"eth0": {"default": true, "vif": vif(&format!("port-of-{uid}"), true)}}},
        });
        edit(&mut port);
        let port: KuryrPort = serde_json::from_value(port).unwrap();
        self.node.ports.apply(key(name), Arc::new(port));
    }

    fn netns(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, "").unwrap();
        path
    }

    fn request(&self, command: &str, container: &str, pod: &str, uid: &str) -> Request {
        Request {
            version: 1,
            command: command.into(),
            container_id: container.into(),
            netns: self.netns(&format!("netns-of-{container}")).display().to_string(),
            ifname: "eth0".into(),
            args: format!("K8S_POD_NAMESPACE=ns;K8S_POD_NAME={pod};K8S_POD_UID={uid}"),
            config: json!({"cniVersion": "1.1.0", "name": "kuryr", "type": "kuryr-cni"}),
            repeated: false,
        }
    }

    async fn ask(&self, request: &Request) -> Result<Value, CniError> {
        self.node.answer(request, &StopSignal::default()).await
    }

    /// Begins a request as a task of its own, as the server does.
    fn begin(&self, request: Request) -> (JoinHandle<Result<Value, CniError>>, StopSignal) {
        let (node, signal) = (self.node.clone(), StopSignal::default());
        let given = signal.clone();
        (tokio::spawn(async move { node.answer(&request, &given).await }), signal)
    }

    /// Lets everything that can run, run; the clock stands still.
    async fn settle(&self) {
        // The shortest sleep ends when nothing else can run any more: the paused clock only moves then.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path().join("state")).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn key(name: &str) -> PodKey {
    PodKey { namespace: "ns".into(), name: name.into() }
}

/// An OVS port with one address of each family.
pub(crate) fn vif(id: &str, active: bool) -> Value {
    let object = |name: &str, data: Value| json!({"versioned_object.name": name, "versioned_object.namespace": "os_vif", "versioned_object.version": "1.0", "versioned_object.data": data});
    let subnet = |cidr: &str, gateway: &str, ip: &str| {
        object(
            "Subnet",
            json!({
                "cidr": cidr, "dns": ["8.8.8.8"], "gateway": gateway,
                "ips": object("FixedIPList", json!({"objects": [object("FixedIP", json!({"address": ip}))]})),
                "routes": object("RouteList", json!({"objects": []})),
            }),
        )
    };
    object(
        "VIFOpenVSwitch",
        json!({
            "id": id, "address": "fa:16:3e:00:00:01", "plugin": "ovs", "active": active, "vif_name": format!("tap-{id}"),
            "bridge_name": "br-int", "has_traffic_filtering": true, "preserve_on_delete": false,
            "network": object("Network", json!({
                "id": "net", "mtu": 1442,
                "subnets": object("SubnetList", json!({"objects": [
                    subnet("10.0.0.0/24", "10.0.0.1", "10.0.0.5"), subnet("fd00::/64", "fd00::1", "fd00::5"),
                ]})),
            })),
        }),
    )
}

fn inactive(port: &mut Value) {
    let vif = &mut port["status"]["vifs"]["eth0"]["vif"];
    vif["versioned_object.data"]["active"] = json!(false);
}

fn no_vifs(port: &mut Value) {
    port["status"]["vifs"] = json!({});
}

/// Answers `GET pods`.
fn api_server(pods: Arc<Mutex<HashMap<String, Value>>>) -> Client {
    let service = tower::service_fn(move |request: HttpRequest<Body>| {
        let parts: Vec<&str> = request.uri().path().split('/').collect();
        let ["", "api", "v1", "namespaces", namespace, "pods", name] = parts[..] else {
            panic!("unexpected {}", request.uri());
        };
        let (code, body) = match pods.lock().unwrap().get(&format!("{namespace}/{name}")) {
            Some(pod) => (200, pod.clone()),
            None => (
                404,
                json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "NotFound", "message": "pods not found", "code": 404}),
            ),
        };
        let response = Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap();
        async move { Ok::<_, Infallible>(response) }
    });
    Client::new(service, "default")
}
