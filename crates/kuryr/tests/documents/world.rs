//! A cluster and a cloud over TCP, with somebody who plays the cluster's own controllers, and a folder with the files a reader has.

mod legacy;
mod played;
mod protobuf;
mod reader;

use std::path::Path;
use std::process::{Command, Stdio};

use kuryr_fake::kubernetes::Cluster;
use kuryr_fake::openstack::{Cloud, Seeded};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::fakes::{serve_cloud, serve_cluster};
use super::root;
use super::scene::Scene;
use played::Played;
pub(crate) use reader::{samples, unknown_words};

/// Longest time a block may take, in seconds; far more than it does.
const LIMIT: &str = "100";
const KURYR: &str = env!("CARGO_BIN_EXE_kuryr");

/// A reader's surroundings.
pub(crate) struct World {
    scene: Scene,
    cluster: Cluster,
    cloud: Cloud,
    network: Seeded,
    folder: tempfile::TempDir,
    /// Words and examples of the documents, and what they are here.
    means: Vec<(String, String)>,
    _played: Played,
    _runtime: Runtime,
}

impl World {
    /// The fakes and the reader's files; nothing is typed yet.
    pub(crate) fn new(scene: Scene) -> World {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster::builder().auto_namespaces().build();
        serve_cluster(&runtime, &cluster, &folder.path().join("kubeconfig"), protobuf::as_json);
        let cloud = serve_cloud(&runtime);
        let network = cloud.seed_network("k8s", "pods", &["10.0.0.0/24"]);
        let router = cloud.create("routers", json!({ "name": "r", "project_id": cloud.project("k8s") }));
        cloud.add_router_interface(router["id"].as_str().unwrap(), &network.subnets[0]);
        let played = Played::begin(runtime.handle(), cluster.clone(), folder.path());
        let mut world =
            World { scene, cluster, cloud, network, folder, means: Vec::new(), _played: played, _runtime: runtime };
        world.fill();
        world
    }

    /// Nodes, pods, files.
    fn fill(&mut self) {
        let ready = json!({ "conditions": [{ "type": "Ready", "status": "True" }], "allocatable": { "pods": "110" } });
        for name in ["n1", "n2"] {
            self.put(json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name }, "status": ready }));
        }
        let port = self.scene.has_port().then(|| self.port());
        self.means = reader::means(self, port.as_deref());
        reader::write_files(self);
        if self.scene.has_legacy() {
            legacy::is_there(self, &port.unwrap_or_default());
        }
    }

    /// A Neutron port with all of Kuryr's marks.
    fn port(&self) -> String {
        let port = self.cloud.create(
            "ports",
            json!({
                "network_id": self.network.network, "project_id": self.cloud.project("k8s"), "name": "default/web",
                "device_owner": "compute:kuryr", "description": "pod default/web kuryr:cluster=kubernetes",
            }),
        );
        port["id"].as_str().unwrap().to_owned()
    }

    fn put(&self, object: Value) -> Value {
        let title = format!("{} {}", object["kind"], object["metadata"]["name"]);
        self.cluster.create(object).unwrap_or_else(|refusal| panic!("{title}: {refusal:?}"))
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Types what the scene says was typed before.
    pub(crate) fn prepare(&self) -> Result<(), String> {
        if !self.scene.preparation().is_empty() {
            self.run(self.scene.preparation()).map_err(|said| format!("the scene: {said}"))?;
        }
        if self.scene == Scene::Troubled {
            self.trouble();
        }
        Ok(())
    }

    /// A pod that waits.
    fn trouble(&self) {
        let pod = self.put(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web", "namespace": "default" },
            "spec": { "nodeName": "n1", "containers": [{ "name": "c", "image": "i" }] },
        }));
        self.put(json!({
            "apiVersion": "openstack.org/v1", "kind": "KuryrPort", "metadata": { "name": "web", "namespace": "default" },
            "spec": { "podUid": pod["metadata"]["uid"], "podNodeName": "n1" },
            "status": { "vifs": {}, "conditions": [{
                "type": "Ready", "status": "False", "reason": "QuotaExceeded", "message": "no port is left",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }] },
        }));
    }

    /// Types a script here. The error is all it said.
    pub(crate) fn run(&self, script: &str) -> Result<(), String> {
        let script = reader::with_meaning(script, &self.means);
        let mut bash = Command::new("timeout");
        bash.args(["-k", "5", LIMIT, "bash", "-euo", "pipefail", "-c", &script]).current_dir(self.path()).env_clear();
        bash.env("PATH", format!("{}:/usr/bin:/bin", self.path().join("bin").display()));
        bash.env("HOME", self.path()).env("KUBECONFIG", self.path().join("kubeconfig"));
        bash.envs(self.cloud.openrc("k8s-admin", "k8s")).stdin(Stdio::null());
        let out = bash.output().unwrap_or_else(|error| panic!("timeout and bash: {error}"));
        if out.status.success() {
            return Ok(());
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let log = std::fs::read_to_string(self.path().join("operator.log")).unwrap_or_default();
        Err(format!("{}\n{}{}{log}", out.status, text(&out.stdout), text(&out.stderr)))
    }
}

/// Whether the command line of `kuryr` takes these words. It is the program itself that is asked, where it finds neither a cluster nor a
/// cloud nor a file, so that it can do no more than read them.
pub(crate) fn taken(words: &[String]) -> Result<(), String> {
    let nowhere = tempfile::tempdir().unwrap();
    let mut kuryr = Command::new("timeout");
    kuryr.args(["-k", "1", "20", KURYR]).args(&words[1..]).current_dir(nowhere.path()).env_clear();
    let out = kuryr.env("HOME", "/nonexistent").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    if out.status.code() == Some(124) {
        return Err("it did not end".to_owned());
    }
    // How the parser ends what it says.
    if said.contains("For more information, try '--help'") { Err(said.into_owned()) } else { Ok(()) }
}
