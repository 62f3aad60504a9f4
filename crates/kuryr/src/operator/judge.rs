//! From what was done and seen to what the resource says. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Pod;

use super::obstacle::Obstacle;
use super::resource::{Image, Running, Said, Status};
use crate::install::rollout::{everywhere, reason, works};

/// Version of this operator, and so of what it installs unless the spec names another image.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Reasons of Kubernetes for which a container waits that does not start by itself.
const FAILING: [&str; 8] = [
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];
/// How many failing pods are named.
const NAMED: usize = 3;

/// How far the last pass came.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stand {
    /// Nothing was changed, or not all of it.
    Stopped(Obstacle),
    /// Everything but the daemons is as it should be, and the controller is being rolled out.
    ControllerFirst,
    /// Everything is applied.
    Applied,
    /// Kuryr is being taken out; what that waits for.
    TakingOut(String),
}

/// What there is.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) deployment: Option<Deployment>,
    pub(super) daemon_set: Option<DaemonSet>,
    /// Pods of both.
    pub(super) pods: Vec<Pod>,
}

/// The status as it is to be from now on.
pub(super) fn status(
    before: &Status,
    generation: i64,
    image: Option<String>,
    stand: &Stand,
    seen: &Seen,
    now: Timestamp,
) -> Status {
    let mut status = before.clone();
    status.observed_generation = generation;
    status.version = VERSION.to_owned();
    if let Some(image) = image {
        status.image = image;
    }
    status.running = running(&seen.pods);
    if *stand == Stand::Applied {
        status.rolled_out_generation = generation;
        status.rolled_out_version = VERSION.to_owned();
    }
    let (progressing, degraded) = (progressing(stand, seen), degraded(stand, seen));
    let upgradeable = upgradeable(stand, &progressing, &degraded);
    for said in [available(seen), progressing, degraded, upgradeable] {
        status.say(said, now);
    }
    status
}

/// The status of a resource of another name.
pub(super) fn not_obeyed(before: &Status, generation: i64, now: Timestamp) -> Status {
    let mut status = before.clone();
    status.observed_generation = generation;
    let message = format!("only the resource named {} is obeyed; delete this one", super::resource::NAME);
    for (kind, holds) in [("Available", false), ("Progressing", false), ("Degraded", true), ("Upgradeable", false)] {
        status.say(Said { kind, holds, reason: "NotObeyed", message: message.clone() }, now);
    }
    status
}

fn said(kind: &'static str, holds: bool, reason: &'static str, message: impl Into<String>) -> Said {
    Said { kind, holds, reason, message: message.into() }
}

/// Whether pods get their network: a controller works, and so does the daemon of every node.
fn available(seen: &Seen) -> Said {
    let controllers = seen.deployment.as_ref().and_then(|found| found.status.as_ref()?.available_replicas).unwrap_or(0);
    let (ready, wanted) = daemons(seen);
    if seen.deployment.is_none() && seen.daemon_set.is_none() {
        return said("Available", false, "NotInstalled", "Kuryr is not in the cluster");
    }
    if controllers == 0 {
        return said("Available", false, "ControllerNotReady", "no controller is ready; kubectl kuryr status says why");
    }
    if wanted == 0 || ready < wanted {
        return said(
            "Available",
            false,
            "DaemonsNotReady",
            format!("{ready} of {wanted} nodes have a daemon that is ready"),
        );
    }
    said(
        "Available",
        true,
        "AsExpected",
        format!("{controllers} controllers and the daemons of {wanted} nodes are ready"),
    )
}

fn daemons(seen: &Seen) -> (i32, i32) {
    let status = seen.daemon_set.as_ref().and_then(|found| found.status.as_ref());
    status.map_or((0, 0), |status| (status.number_available.unwrap_or(0), status.desired_number_scheduled))
}

fn progressing(stand: &Stand, seen: &Seen) -> Said {
    match stand {
        Stand::Stopped(obstacle) => {
            said("Progressing", false, obstacle.reason, "it waits until what Degraded says is cured")
        }
        Stand::TakingOut(waits) => said("Progressing", true, "Uninstalling", waits),
        Stand::ControllerFirst => said(
            "Progressing",
            true,
            "WaitingForController",
            "the Deployment kuryr-controller is being rolled out; the daemons follow when a controller of this version works",
        ),
        Stand::Applied if !works(seen.deployment.as_ref()) => {
            said("Progressing", true, "WaitingForController", "the Deployment kuryr-controller is being rolled out")
        }
        Stand::Applied if !everywhere(seen.daemon_set.as_ref()) => {
            let updated = seen.daemon_set.as_ref().and_then(|found| found.status.as_ref()?.updated_number_scheduled);
            let (ready, wanted) = daemons(seen);
            let message = format!(
                "the DaemonSet kuryr-cni is being rolled out: {} of {wanted} nodes have this version, {ready} are ready",
                updated.unwrap_or(0)
            );
            said("Progressing", true, "WaitingForDaemons", message)
        }
        Stand::Applied => said("Progressing", false, "RolledOut", "everything is as the spec says"),
    }
}

fn degraded(stand: &Stand, seen: &Seen) -> Said {
    if let Stand::Stopped(obstacle) = stand {
        return said("Degraded", true, obstacle.reason, &obstacle.message);
    }
    let failing: Vec<String> = seen.pods.iter().filter(|pod| is_failing(pod)).filter_map(reason).collect();
    if failing.is_empty() {
        return said("Degraded", false, "AsExpected", "");
    }
    let rest = failing.len().saturating_sub(NAMED);
    let mut message = failing[..failing.len().min(NAMED)].join("; ");
    if rest > 0 {
        message += &format!("; and {rest} more pods");
    }
    said("Degraded", true, "PodsFailing", message + "; kubectl kuryr status and the pods' logs say more")
}

fn is_failing(pod: &Pod) -> bool {
    let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let mut waiting = containers.filter_map(|container| container.state.as_ref()?.waiting.as_ref()?.reason.as_deref());
    waiting.any(|reason| FAILING.contains(&reason))
}

/// Whether the operator may be updated now.
fn upgradeable(stand: &Stand, progressing: &Said, degraded: &Said) -> Said {
    let no = |reason, message: &str| said("Upgradeable", false, reason, message);
    match stand {
        Stand::Stopped(obstacle) if obstacle.reason == "LegacyDaemonSet" => no(obstacle.reason, &obstacle.message),
        Stand::TakingOut(_) => no("Uninstalling", "Kuryr is being taken out"),
        _ if progressing.holds => no("RolloutInProgress", &progressing.message),
        _ if degraded.holds => no("Degraded", "first cure what Degraded says"),
        _ => said("Upgradeable", true, "AsExpected", ""),
    }
}

fn running(pods: &[Pod]) -> Running {
    let of = |component: &str| {
        let mut images: BTreeMap<String, Image> = BTreeMap::new();
        for pod in pods {
            let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get("app.kubernetes.io/component"));
            let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
            let Some(image) = container
                .and_then(|container| container.image.clone())
                .filter(|_| label.is_some_and(|label| label == component))
            else {
                continue;
            };
            let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            let is_ready =
                conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
            let entry = images.entry(image.clone()).or_insert_with(|| Image { image, ..Image::default() });
            entry.pods += 1;
            entry.ready += u32::from(is_ready);
        }
        images.into_values().collect()
    };
    Running { controller: of("controller"), daemon: of("node") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen(available: i32, ready: i32, pods: &[serde_json::Value]) -> Seen {
        let deployment = json!({ "metadata": { "generation": 1 }, "status": {
            "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": available } });
        let daemon_set = json!({ "metadata": { "generation": 1 }, "status": {
            "observedGeneration": 1, "desiredNumberScheduled": 3, "currentNumberScheduled": 3, "numberMisscheduled": 0,
            "numberReady": ready, "numberAvailable": ready, "updatedNumberScheduled": 3 } });
        Seen {
            deployment: Some(serde_json::from_value(deployment).unwrap()),
            daemon_set: Some(serde_json::from_value(daemon_set).unwrap()),
            pods: pods.iter().map(|pod| serde_json::from_value(pod.clone()).unwrap()).collect(),
        }
    }

    fn pod(name: &str, component: &str, image: &str, waiting: Option<&str>) -> serde_json::Value {
        let state = waiting.map_or(json!({}), |reason| json!({ "waiting": { "reason": reason, "message": "m" } }));
        json!({
            "metadata": { "name": name, "labels": { "app.kubernetes.io/component": component } },
            "spec": { "containers": [{ "name": "c", "image": image }] },
            "status": {
                "conditions": [{ "type": "Ready", "status": if waiting.is_none() { "True" } else { "False" } }],
                "containerStatuses": [{ "name": "c", "image": image, "imageID": "", "ready": waiting.is_none(), "restartCount": 0, "state": state }],
            },
        })
    }

    /// Conditions as `Available=True/AsExpected`.
    fn judged(stand: &Stand, seen: &Seen) -> Vec<String> {
        let status = status(&Status::default(), 1, None, stand, seen, Timestamp::UNIX_EPOCH);
        status.conditions.iter().map(|found| format!("{}={:?}/{}", found.kind, found.status, found.reason)).collect()
    }

    #[test]
    fn all_is_well() {
        let expected = [
            "Available=True/AsExpected",
            "Progressing=False/RolledOut",
            "Degraded=False/AsExpected",
            "Upgradeable=True/AsExpected",
        ];
        assert_eq!(judged(&Stand::Applied, &seen(1, 3, &[])), expected);
    }

    #[test]
    fn what_is_waited_for_is_said() {
        let expected = [
            "Available=False/DaemonsNotReady",
            "Progressing=True/WaitingForDaemons",
            "Degraded=False/AsExpected",
            "Upgradeable=False/RolloutInProgress",
        ];
        assert_eq!(judged(&Stand::Applied, &seen(2, 2, &[])), expected);
        assert_eq!(judged(&Stand::ControllerFirst, &seen(2, 3, &[]))[1], "Progressing=True/WaitingForController");
        assert_eq!(
            judged(&Stand::Applied, &seen(0, 3, &[]))[..2],
            ["Available=False/ControllerNotReady", "Progressing=True/WaitingForController"]
        );
        assert_eq!(judged(&Stand::ControllerFirst, &Seen::default())[0], "Available=False/NotInstalled");
    }

    #[test]
    fn an_obstacle_degrades_and_leaves_what_works_available() {
        let stand = Stand::Stopped(Obstacle::new("LegacyDaemonSet", "it is there"));
        let expected = [
            "Available=True/AsExpected",
            "Progressing=False/LegacyDaemonSet",
            "Degraded=True/LegacyDaemonSet",
            "Upgradeable=False/LegacyDaemonSet",
        ];
        assert_eq!(judged(&stand, &seen(1, 3, &[])), expected);
    }

    #[test]
    fn failing_pods_are_named_with_their_reason() {
        let pods: Vec<_> = (1..=5).map(|n| pod(&format!("p{n}"), "node", "i", Some("ImagePullBackOff"))).collect();
        let told = degraded(&Stand::Applied, &seen(1, 3, &pods));
        assert!(told.holds && told.message.contains("p3: ImagePullBackOff: m; and 2 more pods"), "{}", told.message);
        assert!(!degraded(&Stand::Applied, &seen(1, 3, &[pod("p", "node", "i", Some("ContainerCreating"))])).holds);
    }

    #[test]
    fn running_images_are_counted() {
        let pods = [
            pod("a", "node", "i:1", None),
            pod("b", "node", "i:2", None),
            pod("c", "node", "i:2", Some("x")),
            pod("d", "controller", "i:2", None),
        ];
        let image = |image: &str, pods, ready| Image { image: image.to_owned(), pods, ready };
        let found = running(&seen(1, 3, &pods).pods);
        assert_eq!(
            found,
            Running { controller: vec![image("i:2", 1, 1)], daemon: vec![image("i:1", 1, 1), image("i:2", 2, 1)] }
        );
    }

    #[test]
    fn daemons_of_a_generation_that_came_up_need_not_wait_again() {
        let applied = status(&Status::default(), 7, None, &Stand::Applied, &seen(1, 3, &[]), Timestamp::UNIX_EPOCH);
        assert_eq!((applied.rolled_out_generation, applied.rolled_out_version.as_str()), (7, VERSION));
        let waiting = status(&applied, 8, None, &Stand::ControllerFirst, &seen(1, 3, &[]), Timestamp::UNIX_EPOCH);
        assert_eq!((waiting.rolled_out_generation, waiting.observed_generation), (7, 8));
    }
}
