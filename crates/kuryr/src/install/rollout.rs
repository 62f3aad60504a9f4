//! Waiting until what was installed works, and saying what is in the way if it does not.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use serde::de::DeserializeOwned;

/// How often it is asked.
const AGAIN: Duration = Duration::from_secs(1);

/// Waits for controller and daemons, both within one limit.
///
/// # Errors
/// The limit, with what the pods say.
pub(crate) async fn wait(client: &Client, namespace: &str, limit: Duration) -> Result<()> {
    let deployments = Api::<Deployment>::namespaced(client.clone(), namespace);
    let daemon_sets = Api::<DaemonSet>::namespaced(client.clone(), namespace);
    let controller = async {
        let found = until(&deployments, "kuryr-controller", works).await;
        found.context("the Deployment kuryr-controller cannot be read")?;
        println!("  ready     Deployment {namespace}/kuryr-controller");
        Ok::<_, anyhow::Error>(())
    };
    let daemons = async {
        let found = until(&daemon_sets, "kuryr-cni", everywhere).await;
        found.context("the DaemonSet kuryr-cni cannot be read")?;
        println!("  ready     DaemonSet {namespace}/kuryr-cni");
        Ok::<_, anyhow::Error>(())
    };
    match tokio::time::timeout(limit, async { tokio::try_join!(controller, daemons) }).await {
        Ok(done) => done.map(drop),
        Err(_) => {
            let pods = Api::<Pod>::namespaced(client.clone(), namespace);
            let ours = ListParams::default().labels("app.kubernetes.io/name=kuryr");
            let pods = pods.list(&ours).await.context("not ready in time, and the pods cannot be listed")?.items;
            let reasons: Vec<String> = pods.iter().filter_map(reason).collect();
            let reasons = if reasons.is_empty() { "there are no pods of it".to_owned() } else { reasons.join("\n  ") };
            bail!(
                "not ready after {} s:\n  {reasons}\nwhat to do: kubectl -n {namespace} logs deployment/kuryr-controller (or \
                 daemonset/kuryr-cni) says what it misses",
                limit.as_secs()
            )
        }
    }
}

/// Until this holds of an object. Asked again and again rather than watched: a watch with nothing to tell looks like an API server
/// that does not answer.
///
/// # Errors
/// What the API server says.
pub(crate) async fn until<K>(api: &Api<K>, name: &str, holds: fn(Option<&K>) -> bool) -> kube::Result<()>
where
    K: Clone + DeserializeOwned + Debug,
{
    while !holds(api.get_opt(name).await?.as_ref()) {
        tokio::time::sleep(AGAIN).await;
    }
    Ok(())
}

/// One controller of this version works. The others can be waiting for nodes: each needs one of its own.
pub(crate) fn works(deployment: Option<&Deployment>) -> bool {
    let Some((deployment, status)) = deployment.and_then(|found| Some((found, found.status.as_ref()?))) else {
        return false;
    };
    status.observed_generation >= deployment.metadata.generation
        && status.updated_replicas.unwrap_or(0) > 0
        && status.available_replicas.unwrap_or(0) > 0
        // No controller of the version before is left.
        && status.updated_replicas.unwrap_or(0) >= status.replicas.unwrap_or(0)
}

/// Every node has a ready daemon of this version, and there is a node.
pub(crate) fn everywhere(daemons: Option<&DaemonSet>) -> bool {
    wherever_wanted(daemons)
        && daemons.and_then(|found| found.status.as_ref()).is_some_and(|status| status.desired_number_scheduled > 0)
}

/// Every node that is to have a daemon has a ready one of this version.
pub(crate) fn wherever_wanted(daemons: Option<&DaemonSet>) -> bool {
    let Some((daemons, status)) = daemons.and_then(|found| Some((found, found.status.as_ref()?))) else { return false };
    let wanted = status.desired_number_scheduled;
    status.observed_generation >= daemons.metadata.generation
        && status.updated_number_scheduled.unwrap_or(0) >= wanted
        && status.number_available.unwrap_or(0) >= wanted
}

/// Why a pod is not ready, in the words of Kubernetes.
pub(crate) fn reason(pod: &Pod) -> Option<String> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let status = pod.status.as_ref()?;
    let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    if ready.is_some_and(|condition| condition.status == "True") {
        return None;
    }
    for container in status.container_statuses.iter().flatten() {
        if let Some(waiting) = container.state.as_ref().and_then(|state| state.waiting.as_ref()) {
            let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
            let message = last.and_then(|last| last.message.clone()).or_else(|| waiting.message.clone());
            let reason = waiting.reason.as_deref().unwrap_or("waiting");
            return Some(format!("{name}: {reason}: {}", message.unwrap_or_default().trim()));
        }
    }
    let unscheduled = status.conditions.iter().flatten().find(|condition| condition.status == "False");
    let message = unscheduled.and_then(|condition| condition.message.clone());
    Some(format!("{name}: {}", message.unwrap_or_else(|| "not ready yet".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_deployment_works_when_a_controller_of_its_version_does_and_no_older_is_left() {
        let of = |generation: i64, status: serde_json::Value| {
            let object = json!({ "metadata": { "generation": generation }, "status": status });
            works(Some(&serde_json::from_value::<Deployment>(object).unwrap()))
        };
        let status = json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1 });
        assert!(of(2, status.clone()));
        assert!(!of(3, status), "it was not looked at yet");
        assert!(!of(
            2,
            json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 2 })
        ));
        assert!(!of(2, json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2 })));
        assert!(!works(None));
    }

    #[test]
    fn daemons_are_ready_when_every_node_has_one() {
        let of = |available: i64, updated: i64, wanted: i64| {
            let status = json!({
                "observedGeneration": 1, "desiredNumberScheduled": wanted, "currentNumberScheduled": wanted, "numberMisscheduled": 0,
                "numberReady": available, "numberAvailable": available, "updatedNumberScheduled": updated,
            });
            let object = json!({ "metadata": { "generation": 1 }, "status": status });
            everywhere(Some(&serde_json::from_value::<DaemonSet>(object).unwrap()))
        };
        assert!(of(2, 2, 2));
        assert!(!of(1, 2, 2) && !of(2, 1, 2) && !of(0, 0, 0));
    }

    #[test]
    fn a_pod_says_why_it_is_not_ready() {
        let of = |status: serde_json::Value| {
            reason(&serde_json::from_value::<Pod>(json!({ "metadata": { "name": "p" }, "status": status })).unwrap())
        };
        let crash = json!({ "containerStatuses": [{
            "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 3,
            "state": { "waiting": { "reason": "CrashLoopBackOff", "message": "back-off" } },
            "lastState": { "terminated": { "exitCode": 2, "message": "error: [neutron] auth_url is not set\n" } },
        }] });
        assert_eq!(of(crash).unwrap(), "p: CrashLoopBackOff: error: [neutron] auth_url is not set");
        let unscheduled =
            json!({ "conditions": [{ "type": "PodScheduled", "status": "False", "message": "no free ports" }] });
        assert_eq!(of(unscheduled).unwrap(), "p: no free ports");
        assert_eq!(of(json!({ "conditions": [{ "type": "Ready", "status": "True" }] })), None);
    }
}
