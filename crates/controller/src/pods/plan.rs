//! The next step towards what a pod should have, from what is there. Pure: no clock, no cloud.
//!
//! One step at a time, not a list: after each step the world is looked at again, so a crash between any two steps is
//! just another state to start from.

use std::sync::Arc;

use kuryr_api::crd::{ConditionStatus, KuryrPort};
use kuryr_api::names;
use kuryr_openstack::network::{Port, PortStatus};

use super::desired::Desired;
use super::observed::{Observed, Phase};
use crate::condition;

/// What to do next, and why.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// This step.
    Do(Step, &'static str),
    /// Nothing until these Neutron ports are ACTIVE; their poller will wake us.
    AwaitActive(Vec<String>),
    /// Nothing: all is as it should be, or an event will wake us.
    Settled(&'static str),
    /// Nothing can be done by us; say so on the KuryrPort.
    Report(Report),
}

/// One change. Each can be repeated without harm.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Remove the finalizer kuryr-kubernetes put on the Pod.
    DropLegacyPodFinalizer,
    /// List the ports with this `device_id`: an answer was lost.
    FindPorts(String),
    /// Create the Neutron port.
    CreatePort,
    /// Delete this Neutron port.
    DeletePort(String),
    /// Create the KuryrPort with this port in it.
    CreateKuryrPort(Arc<Port>),
    /// Write this port into the KuryrPort that has none yet.
    RecordPort(Arc<Port>),
    /// Write into the KuryrPort that its ports are active.
    RecordActive,
    /// Delete the KuryrPort.
    DeleteKuryrPort,
    /// Remove our finalizer from the KuryrPort (and its vifs: they are released).
    LetGoOfKuryrPort {
        /// Whether the ports are released, too, so that the vifs must not be believed any more.
        released: bool,
    },
}

/// What stands in the way, beyond our power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// A vif of the KuryrPort cannot be read.
    UnreadableVif,
    /// The Neutron port was deleted by somebody.
    PortMissing,
}

/// The next step.
#[must_use]
pub fn next(desired: &Desired<'_>, observed: &Observed) -> Next {
    if let Some(pod) = &observed.pod
        && pod.finalizers.iter().any(|finalizer| finalizer == names::LEGACY_POD_FINALIZER)
    {
        return Next::Do(Step::DropLegacyPodFinalizer, "the KuryrPort's own finalizer is enough");
    }
    match desired {
        Desired::Nothing(reason) => Next::Settled(reason),
        Desired::Released(reason) => release(observed, reason),
        Desired::Connected(_) => connect(observed),
    }
}

fn release(observed: &Observed, reason: &'static str) -> Next {
    if let (true, Some(uid)) = (observed.uncertain, observed.owner_uid()) {
        return Next::Do(Step::FindPorts(uid.to_owned()), "the answer to a creation was lost");
    }
    let recorded = observed.recorded_ports().map(str::to_owned);
    let mut held = recorded.chain(observed.ports.iter().map(|port| port.id.clone()));
    if let Some(id) = held.find(|id| !observed.gone.contains(id)) {
        return Next::Do(Step::DeletePort(id), reason);
    }
    let Some(port) = &observed.kuryr_port else { return Next::Settled(reason) };
    // A Pod that still exists does not take its KuryrPort with it, and a successor waits for the name.
    let succeeded = observed.pod.as_ref().is_some_and(|pod| pod.uid != port.spec.pod_uid);
    let collected_by_kubernetes = owned_by_pod(port) && !succeeded;
    if port.metadata.deletion_timestamp.is_none() && !collected_by_kubernetes {
        return Next::Do(Step::DeleteKuryrPort, reason);
    }
    if has_finalizer(port) {
        return Next::Do(Step::LetGoOfKuryrPort { released: true }, reason);
    }
    Next::Settled(reason)
}

fn connect(observed: &Observed) -> Next {
    let Some(kuryr_port) = &observed.kuryr_port else {
        return match usable_port(observed) {
            Ok(port) => Next::Do(Step::CreateKuryrPort(port), "the node needs to know the port"),
            Err(next) => next,
        };
    };
    if kuryr_port.metadata.deletion_timestamp.is_some() && can_be_made_again(kuryr_port, observed) {
        return if has_finalizer(kuryr_port) {
            Next::Do(
                Step::LetGoOfKuryrPort { released: false },
                "deleted by hand while its pod lives; it is made again",
            )
        } else {
            Next::Settled("the KuryrPort is on its way out; it is made again")
        };
    }
    let status = kuryr_port.status.clone().unwrap_or_default();
    if status.vifs.is_empty() {
        return match usable_port(observed) {
            Ok(port) => Next::Do(Step::RecordPort(port), "the node needs to know the port"),
            Err(next) => next,
        };
    }
    let mut inactive = Vec::new();
    for entry in status.vifs.values() {
        let Ok(vif) = &entry.vif else { return Next::Report(Report::UnreadableVif) };
        if observed.gone.contains(&vif.id) {
            return Next::Report(Report::PortMissing);
        }
        if !vif.active {
            inactive.push(vif.id.clone());
        }
    }
    let is_active = |id: &String| observed.ports.iter().any(|port| &port.id == id && port.status == PortStatus::Active);
    let waiting: Vec<String> = inactive.iter().filter(|id| !is_active(id)).cloned().collect();
    let troubled = condition::ready(&status.conditions).is_some_and(|ready| ready.status == ConditionStatus::False);
    if !waiting.is_empty() {
        Next::AwaitActive(waiting)
    } else if !inactive.is_empty() {
        Next::Do(Step::RecordActive, "Neutron reports the ports active")
    } else if troubled {
        Next::Do(Step::RecordActive, "what it waited for is there")
    } else {
        Next::Settled("connected")
    }
}

/// A port of the pod to use, or what to do to get one.
fn usable_port(observed: &Observed) -> Result<Arc<Port>, Next> {
    if let (true, Some(uid)) = (observed.uncertain, observed.owner_uid()) {
        return Err(Next::Do(Step::FindPorts(uid.to_owned()), "the answer to a creation was lost"));
    }
    let failed = |port: &&Arc<Port>| port.binding.vif_type == "binding_failed";
    if let Some(port) = observed.ports.iter().find(failed) {
        return Err(Next::Do(Step::DeletePort(port.id.clone()), "Neutron could not bind it to the node"));
    }
    let first = observed.ports.first().cloned();
    first.ok_or(Next::Do(Step::CreatePort, "the pod is scheduled and has no port"))
}

/// Whether a KuryrPort that is deleted while its pod lives may go: another one would be made around the same port. Not so with one of
/// kuryr-kubernetes that has several interfaces, or a port of its pools, which nothing else names: while containers use these, it stays
/// until the pod goes.
fn can_be_made_again(kuryr_port: &KuryrPort, observed: &Observed) -> bool {
    let mut recorded = observed.recorded_ports();
    let (first, second) = (recorded.next(), recorded.next());
    let is_of_a_pool = |port: &Arc<Port>| Some(port.id.as_str()) == first && port.device_id != kuryr_port.spec.pod_uid;
    // Init containers run in a pod that is Pending.
    let vifs = kuryr_port.status.iter().flat_map(|status| status.vifs.values());
    let plugged = vifs.filter_map(|entry| entry.vif.as_ref().ok()).any(|vif| vif.active);
    let in_use = |phase| phase == Phase::Running || phase == Phase::Pending && plugged;
    let in_use = observed.pod.as_ref().is_some_and(|pod| in_use(pod.phase));
    !in_use || second.is_none() && !observed.ports.iter().any(is_of_a_pool)
}

/// Whether Kubernetes deletes the KuryrPort when its pod is gone.
fn owned_by_pod(port: &KuryrPort) -> bool {
    let owners = port.metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().any(|owner| owner.kind == "Pod" && owner.uid == port.spec.pod_uid)
}

fn has_finalizer(port: &KuryrPort) -> bool {
    let finalizers = port.metadata.finalizers.as_deref().unwrap_or_default();
    finalizers.iter().any(|finalizer| finalizer == names::KURYRPORT_FINALIZER)
}
