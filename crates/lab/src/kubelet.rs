//! What kubelet does, as far as the network sees it: it starts a sandbox and a container for every pod of its node, reports the
//! pod's addresses, and removes all of it when the pod is deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::container::Container;
use crate::namespaces::inside_netns;
use crate::node::Node;
use crate::runtime::{PodIdentity, Sandbox};
use crate::timeline::{Stage, Timeline};

/// Pause before a failed sandbox is tried again (kubelet's is one second, too, growing).
const RETRY: Duration = Duration::from_secs(1);

/// A running pod, as its node sees it.
#[derive(Clone, Debug)]
pub(crate) struct RunningPod {
    /// Its sandbox.
    pub(crate) sandbox: Sandbox,
    /// The plugin's result.
    pub(crate) result: Value,
    container: Arc<Container>,
}

/// The kubelet of one node.
#[derive(Clone)]
pub(crate) struct Kubelet {
    node: Node,
    client: Client,
    plugin: PathBuf,
    timeline: Timeline,
    running: Arc<Mutex<BTreeMap<String, RunningPod>>>,
}

impl Kubelet {
    /// A kubelet that has not started yet.
    pub(crate) fn new(node: Node, client: Client, plugin: PathBuf, timeline: Timeline) -> Kubelet {
        Kubelet { node, client, plugin, timeline, running: Arc::default() }
    }

    /// The node it runs on.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// The running pod of this UID.
    pub(crate) fn pod(&self, uid: &str) -> Option<RunningPod> {
        self.running().get(uid).cloned()
    }

    fn running(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, RunningPod>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the pods of the node. Ends only by an error.
    pub(crate) async fn run(self) -> Result<()> {
        let pods = Api::<Pod>::all(self.client.clone());
        let mine = watcher::Config::default().fields(&format!("spec.nodeName={}", self.node.name()));
        let mut events = std::pin::pin!(watcher(pods, mine).default_backoff());
        // Each pod has a task; `true` tells it to end.
        let mut tasks: BTreeMap<String, watch::Sender<bool>> = BTreeMap::new();
        let mut listed = BTreeSet::new();
        while let Some(event) = events.try_next().await.context("the watch of pods failed")? {
            match event {
                watcher::Event::Apply(pod) | watcher::Event::InitApply(pod) => {
                    let Some(uid) = pod.uid() else { continue };
                    listed.insert(uid.clone());
                    let deleted = pod.metadata.deletion_timestamp.is_some();
                    let task = tasks.entry(uid).or_insert_with(|| {
                        let (end, ended) = watch::channel(deleted);
                        tokio::spawn(self.clone().care_for(pod, ended));
                        end
                    });
                    task.send_if_modified(|end| !std::mem::replace(end, deleted) && deleted);
                }
                // Deleted by force: nobody waits for us, but the sandbox still is there.
                watcher::Event::Delete(pod) => {
                    if let Some(task) = pod.uid().and_then(|uid| tasks.remove(&uid)) {
                        task.send_replace(true);
                    }
                }
                watcher::Event::Init => listed.clear(),
                // What a new list does not have was deleted while the watch was broken.
                watcher::Event::InitDone => tasks.retain(|uid, task| {
                    let there = listed.contains(uid);
                    if !there {
                        task.send_replace(true);
                    }
                    there
                }),
            }
        }
        Ok(())
    }

    async fn care_for(self, pod: Pod, ended: watch::Receiver<bool>) {
        if let Err(error) = self.live(&pod, ended).await {
            tracing::warn!(pod = pod.name_any(), node = self.node.name(), "{error:#}");
        }
    }

    /// One pod from birth to death.
    async fn live(&self, pod: &Pod, mut ended: watch::Receiver<bool>) -> Result<()> {
        let uid = pod.uid().unwrap_or_default();
        while !*ended.borrow_and_update() {
            match self.start(pod, &mut ended).await {
                Ok(()) => drop(ended.wait_for(|end| *end).await.context("the kubelet is gone")?),
                Err(error) => {
                    self.report(pod, waiting(&error)).await?;
                    tokio::select! { () = sleep(RETRY) => {}, changed = ended.changed() => changed.context("the kubelet is gone")? }
                }
            }
        }
        let running = self.running().remove(&uid);
        if let Some(RunningPod { sandbox, result, container }) = running {
            self.node.run(move || container.stop()).await?;
            self.remove_sandbox(sandbox, Some(result)).await?;
        }
        self.confirm_deletion(pod).await
    }

    /// Starts the pod's sandbox. On failure nothing of it is left.
    async fn start(&self, pod: &Pod, ended: &mut watch::Receiver<bool>) -> Result<()> {
        if pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true)) {
            return self.report(pod, running(pod, &self.node, &[self.node.address().to_string()])).await;
        }
        let uid = pod.uid().unwrap_or_default();
        let identity =
            PodIdentity { namespace: pod.namespace().unwrap_or_default(), name: pod.name_any(), uid: uid.clone() };
        let (id, plugin) = (random_id(), self.plugin.clone());
        let sandbox = self.node.run(move || Sandbox::create(id, identity, plugin)).await?;

        self.timeline.reached(&uid, Stage::AddStarted);
        let add = self.node.run({
            let sandbox = sandbox.clone();
            move || sandbox.add()
        });
        let added = tokio::select! {
            added = add => added,
            // As kubelet does: a deleted pod's sandbox is removed even while it is being set up.
            _ = ended.wait_for(|end| *end) => Err(anyhow::anyhow!("the pod was deleted while it started")),
        };
        match added {
            Ok(result) => {
                self.timeline.reached(&uid, Stage::AddDone);
                let container = match self.start_container(&sandbox, pod.name_any()).await {
                    Ok(container) => Arc::new(container),
                    Err(error) => {
                        self.remove_sandbox(sandbox, Some(result)).await?;
                        return Err(error);
                    }
                };
                let addresses = addresses(&result);
                self.running().insert(uid.clone(), RunningPod { sandbox, result, container });
                self.report(pod, running(pod, &self.node, &addresses)).await?;
                self.timeline.reached(&uid, Stage::Running);
                Ok(())
            }
            Err(error) => {
                self.remove_sandbox(sandbox, None).await?;
                Err(error)
            }
        }
    }

    async fn start_container(&self, sandbox: &Sandbox, pod: String) -> Result<Container> {
        let netns = sandbox.netns.clone();
        self.node.run(move || inside_netns(&netns, || Container::start(&pod))).await
    }

    /// Removes a sandbox, however often it takes.
    async fn remove_sandbox(&self, sandbox: Sandbox, result: Option<Value>) -> Result<()> {
        loop {
            let (sandbox, result) = (sandbox.clone(), result.clone());
            match self.node.run(move || sandbox.remove(result.as_ref())).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::warn!(node = self.node.name(), "cannot remove a sandbox, trying again: {error:#}")
                }
            }
            sleep(RETRY).await;
        }
    }

    async fn report(&self, pod: &Pod, status: Value) -> Result<()> {
        let pods = Api::<Pod>::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let patch = Patch::Merge(json!({ "status": status }));
        match pods.patch_status(&pod.name_any(), &PatchParams::default(), &patch).await {
            Err(error) if !gone(&error) => Err(error).context("cannot report the pod's status"),
            _ => Ok(()),
        }
    }

    /// The last word about a deleted pod: grace period 0 makes the API server forget it.
    async fn confirm_deletion(&self, pod: &Pod) -> Result<()> {
        let pods = Api::<Pod>::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let parameters = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: pod.uid(), resource_version: None }),
            ..DeleteParams::default()
        };
        match pods.delete(&pod.name_any(), &parameters).await {
            Err(error) if !gone(&error) => Err(error).context("cannot confirm the pod's deletion"),
            _ => Ok(()),
        }
    }
}

/// The pod is not there any more, or another of the same name is.
fn gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404 || status.code == 409)
}

/// The addresses in a CNI result, without prefix length.
pub(crate) fn addresses(result: &Value) -> Vec<String> {
    let ips = result["ips"].as_array().map(Vec::as_slice).unwrap_or_default();
    ips.iter().filter_map(|ip| ip["address"].as_str()?.split('/').next().map(str::to_owned)).collect()
}

fn running(pod: &Pod, node: &Node, addresses: &[String]) -> Value {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers).map(|container| {
        let (name, image) = (&container.name, container.image.as_deref().unwrap_or_default());
        let state = json!({ "running": {} });
        json!({ "name": name, "image": image, "imageID": "", "ready": true, "started": true, "restartCount": 0, "state": state })
    });
    let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"]
        .map(|condition| json!({ "type": condition, "status": "True" }));
    json!({
        "phase": "Running",
        "hostIP": node.address(),
        "hostIPs": [{ "ip": node.address() }],
        "podIP": addresses.first(),
        "podIPs": addresses.iter().map(|ip| json!({ "ip": ip })).collect::<Vec<_>>(),
        "conditions": conditions,
        "containerStatuses": containers.collect::<Vec<_>>(),
    })
}

fn waiting(error: &anyhow::Error) -> Value {
    json!({
        "phase": "Pending",
        "message": format!("{error:#}"),
        "reason": "FailedCreatePodSandBox",
    })
}

/// As containerd makes container ids: 64 hexadecimal digits.
fn random_id() -> String {
    (0..64).filter_map(|_| char::from_digit(fastrand::u32(0..16), 16)).collect()
}
