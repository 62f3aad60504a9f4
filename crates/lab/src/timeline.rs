//! When each stage of a pod's birth was reached, on one clock: everything that happens is seen by this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A stage of a pod's birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// The lab sends the pod to the API server.
    Created,
    /// The controller has written the pod's KuryrPort with its Neutron port.
    PortKnown,
    /// The container runtime executes the plugin.
    AddStarted,
    /// The pod's device has become a port of the network's bridge.
    Plugged,
    /// The node's Neutron agent has reported the port ACTIVE.
    Active,
    /// The plugin has ended with a result.
    AddDone,
    /// The API server knows the pod is Running.
    Running,
    /// The first ping to the pod was answered.
    Answered,
}

impl Stage {
    /// What happened, for people.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Stage::Created => "pod created",
            Stage::PortKnown => "KuryrPort written with its Neutron port (controller)",
            Stage::AddStarted => "kuryr-cni ADD starts (container runtime)",
            Stage::Plugged => "device plugged into the bridge (daemon)",
            Stage::Active => "port ACTIVE (Neutron's agent)",
            Stage::AddDone => "kuryr-cni ADD done",
            Stage::Running => "pod Running",
            Stage::Answered => "first ping answered",
        }
    }
}

/// The stages of every pod, by pod UID.
#[derive(Clone, Default)]
pub(crate) struct Timeline(Arc<Mutex<BTreeMap<String, BTreeMap<Stage, Instant>>>>);

impl Timeline {
    /// The stage is reached now; only the first time counts.
    pub(crate) fn reached(&self, pod_uid: &str, stage: Stage) {
        self.reached_at(pod_uid, stage, Instant::now());
    }

    /// The stage was reached then.
    pub(crate) fn reached_at(&self, pod_uid: &str, stage: Stage, when: Instant) {
        let mut pods = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pods.entry(pod_uid.to_owned()).or_default().entry(stage).or_insert(when);
    }

    /// The stages of one pod in the order they came, since its creation.
    pub(crate) fn birth(&self, pod_uid: &str) -> Vec<(Stage, Duration)> {
        let pods = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(stages) = pods.get(pod_uid) else { return Vec::new() };
        let Some(start) = stages.get(&Stage::Created) else { return Vec::new() };
        let mut birth: Vec<_> = stages.iter().map(|(stage, when)| (*stage, when.duration_since(*start))).collect();
        birth.sort_by_key(|(stage, since)| (*since, *stage));
        birth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_come_in_the_order_they_happened_and_only_the_first_counts() {
        let timeline = Timeline::default();
        let start = Instant::now();
        let at = |stage, milliseconds| timeline.reached_at("a", stage, start + Duration::from_millis(milliseconds));
        at(Stage::PortKnown, 9);
        at(Stage::AddStarted, 2);
        at(Stage::Created, 0);
        at(Stage::AddStarted, 50);
        let birth: Vec<_> = timeline.birth("a").iter().map(|(stage, since)| (*stage, since.as_millis())).collect();
        assert_eq!(birth, [(Stage::Created, 0), (Stage::AddStarted, 2), (Stage::PortKnown, 9)]);
        assert!(timeline.birth("b").is_empty());
    }
}
