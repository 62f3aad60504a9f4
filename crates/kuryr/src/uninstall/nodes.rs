//! The nodes: only a pod reaches one, so the daemons' own pods take everything away, with the same mounts, and say when it is done.

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::ours::DAEMON_SETS;
use super::{Place, Remainder, Removal, all};
use crate::install::rollout::{until, wherever_wanted};

/// What takes Kuryr off a node; with `--look` it ends well if nothing is left.
const LEAVE: [&str; 2] = ["/usr/bin/kuryr", "leave-node"];

impl Removal {
    /// Every daemon is replaced by what takes Kuryr off its node. Answers the nodes that did not say that it is done.
    pub(super) async fn leave_nodes(&self, progress: &mut dyn FnMut(&str)) -> Result<Vec<Remainder>> {
        let api = DAEMON_SETS.api(&self.kube, &self.namespace);
        let mut left = Vec::new();
        for name in DAEMON_SETS.ours(&self.kube, &self.namespace).await.context("DaemonSets cannot be listed")? {
            let daemon_set = api.get(&name).await.with_context(|| format!("DaemonSet {name} cannot be read"))?;
            let Some(change) = leaving(&daemon_set.data) else {
                left.push(Remainder {
                    what: "files on the nodes".to_owned(),
                    why: format!(
                        "DaemonSet {name} runs another program than this Kuryr, which cannot be told to take them away"
                    ),
                    cure: "on every node: rm -f /etc/cni/net.d/10-kuryr.conf* /opt/cni/bin/kuryr-cni".to_owned(),
                    place: Place::Nodes,
                });
                continue;
            };
            api.patch(&name, &PatchParams::default(), &Patch::Strategic(&change))
                .await
                .with_context(|| format!("DaemonSet {name} cannot be told to leave the nodes"))?;
            progress(&format!("DaemonSet {name}: told to take Kuryr off the nodes"));
            if self.done(&name).await? {
                progress("nodes: nothing is left");
            } else {
                left.extend(self.not_clean().await?);
            }
        }
        Ok(left)
    }

    /// Waits until every node has said so; whether all have in time.
    async fn done(&self, name: &str) -> Result<bool> {
        let api = Api::<DaemonSet>::namespaced(self.kube.clone(), &self.namespace);
        match tokio::time::timeout(self.patience, until(&api, name, wherever_wanted)).await {
            Ok(answer) => answer.map(|()| true).with_context(|| format!("DaemonSet {name} cannot be read")),
            Err(_) => Ok(false),
        }
    }

    /// The nodes whose pod is not ready: it cannot say more than its log does, or its node is away.
    async fn not_clean(&self) -> Result<Vec<Remainder>> {
        let api = Api::<Pod>::namespaced(self.kube.clone(), &self.namespace);
        let pods =
            all(&api, ListParams::default().labels("app=kuryr-cni")).await.context("Kuryr's pods cannot be listed")?;
        let ready = |pod: &Pod| {
            let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        };
        let not_clean = pods.iter().filter(|pod| !ready(pod)).map(|pod| {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
            Remainder {
                what: format!("files on node {node}"),
                why: format!("pod {} did not report in {} s that they are gone", pod.name_any(), self.patience.as_secs()),
                cure: "if the node is there: rm -rf /etc/cni/net.d/10-kuryr.conflist /opt/cni/bin/kuryr-cni /var/lib/kuryr /run/kuryr"
                    .to_owned(),
                place: Place::Nodes,
            }
        });
        Ok(not_clean.collect())
    }
}

/// The change of a DaemonSet that makes its pods leave their nodes, all at once; `None` if it does not run our executable.
pub(super) fn leaving(daemon_set: &Value) -> Option<Value> {
    let containers = daemon_set["spec"]["template"]["spec"]["containers"].as_array()?;
    let ours = containers.iter().find(|container| container["command"][0] == LEAVE[0])?;
    let arguments = ours["args"].as_array().into_iter().flatten().cloned();
    let look: Vec<Value> = LEAVE.map(Value::from).into_iter().chain(arguments).chain(["--look".into()]).collect();
    let container = json!({
        "name": ours["name"],
        "command": LEAVE,
        "livenessProbe": null,
        "readinessProbe": { "httpGet": null, "exec": { "command": look }, "periodSeconds": 1, "timeoutSeconds": 10, "failureThreshold": 1 },
    });
    Some(json!({ "spec": {
        "updateStrategy": { "rollingUpdate": { "maxUnavailable": "100%" } },
        "template": { "spec": { "containers": [container] } },
    } }))
}
