//! What a pod should have, from what Kubernetes says. Pure.

use super::observed::{Observed, Phase, PodFacts};

/// What a pod should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desired<'a> {
    /// Nothing, and nothing is taken from it: it is not ours to connect. Why.
    Nothing(&'static str),
    /// A Neutron port and a KuryrPort that says so.
    Connected(&'a PodFacts),
    /// No port any more, and no KuryrPort of this owner. Why.
    Released(&'static str),
}

/// Decides what the pod should have. A port lives as long as the pod's containers: until the Pod is gone from the API or has
/// ended, not merely since somebody asked for its deletion.
#[must_use]
pub fn desired(observed: &Observed) -> Desired<'_> {
    let has_network = observed.kuryr_port.is_some() || !observed.ports.is_empty() || observed.uncertain;
    let Some(pod) = observed.pod.as_deref() else { return Desired::Released("the pod is gone") };
    if let Some(port) = &observed.kuryr_port
        && port.spec.pod_uid != pod.uid
    {
        return Desired::Released("it belongs to an earlier pod of the same name");
    }
    if pod.phase == Phase::Ended {
        return if has_network {
            Desired::Released("the pod has ended")
        } else {
            Desired::Nothing("the pod has ended")
        };
    }
    if pod.host_network {
        let reason = "the pod uses its node's network";
        return if has_network { Desired::Released(reason) } else { Desired::Nothing(reason) };
    }
    if pod.node.is_none() {
        return Desired::Nothing("the pod is not scheduled");
    }
    if !has_network && pod.deleting {
        return Desired::Nothing("the pod is being deleted before it started");
    }
    if !has_network && pod.phase == Phase::Running {
        return Desired::Nothing("the pod runs with a network that is not Kuryr's");
    }
    Desired::Connected(pod)
}
