//! The cluster's own controllers, kubelets included: workloads roll out at once, pods that are told to end do. The operator is
//! started for real when its Deployment is there.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kuryr_fake::kubernetes::Cluster;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::KURYR;

/// How often they look.
const AGAIN: Duration = Duration::from_millis(20);

/// Ends them when it goes.
pub(super) struct Played(JoinHandle<()>);

impl Drop for Played {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Played {
    pub(super) fn begin(runtime: &Handle, cluster: Cluster, folder: &Path) -> Played {
        let mut player = Player { cluster, folder: folder.to_owned(), operator: None };
        Played(runtime.spawn(async move {
            loop {
                player.look();
                tokio::time::sleep(AGAIN).await;
            }
        }))
    }
}

struct Player {
    cluster: Cluster,
    folder: PathBuf,
    operator: Option<Running>,
}

/// A process that does not outlive us.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Player {
    fn look(&mut self) {
        for found in self.all("deployments.apps") {
            let replicas = found["spec"]["replicas"].as_i64().unwrap_or(1);
            self.says(
                "deployments.apps",
                &found,
                json!({
                    "observedGeneration": found["metadata"]["generation"], "replicas": replicas, "readyReplicas": replicas,
                    "updatedReplicas": replicas, "availableReplicas": replicas,
                }),
            );
        }
        for found in self.all("daemonsets.apps") {
            self.says(
                "daemonsets.apps",
                &found,
                json!({
                    "observedGeneration": found["metadata"]["generation"], "desiredNumberScheduled": 2,
                    "currentNumberScheduled": 2, "numberMisscheduled": 0, "numberReady": 2, "numberAvailable": 2,
                    "updatedNumberScheduled": 2,
                }),
            );
        }
        for pod in self.all("pods").iter().filter(|pod| !pod["metadata"]["deletionTimestamp"].is_null()) {
            let _ =
                self.cluster.delete_now("pods", text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
        }
        let wanted = self.cluster.get("deployments.apps", "kube-system", "kuryr-operator").is_some();
        match (&self.operator, wanted) {
            (None, true) => self.operator = Some(self.start_operator()),
            (Some(_), false) => self.operator = None,
            _ => {}
        }
    }

    fn all(&self, resource: &str) -> Vec<Value> {
        let namespaces = ["kube-system", "default"];
        namespaces.iter().flat_map(|namespace| self.cluster.list(resource, namespace)).collect()
    }

    /// Writes a status if it is another than before.
    fn says(&self, resource: &str, found: &Value, status: Value) {
        let same = status.as_object().is_some_and(|all| all.iter().all(|(key, value)| found["status"][key] == *value));
        if !same {
            let (namespace, name) = (text(&found["metadata"]["namespace"]), text(&found["metadata"]["name"]));
            // It may be gone by now.
            let _ = self.cluster.patch(resource, namespace, name, &json!({ "status": status }));
        }
    }

    fn start_operator(&self) -> Running {
        let log = std::fs::File::create(self.folder.join("operator.log")).unwrap();
        let mut operator = Command::new(KURYR);
        operator.args(["operator", "--kubeconfig"]).arg(self.folder.join("kubeconfig")).env_clear();
        operator.env("HOME", "/nonexistent").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Running(operator.spawn().unwrap())
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
