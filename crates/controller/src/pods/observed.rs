//! What is there for one pod: the Pod, its KuryrPort, its Neutron ports.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kuryr_api::crd::KuryrPort;
use kuryr_api::names;
use kuryr_openstack::network::Port;

use crate::cache::{Versioned, version_of};

/// What the controller needs to know of a Pod; the rest is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub version: u64,
    /// `metadata.finalizers`.
    pub finalizers: Vec<String>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// `spec.nodeName`: empty until scheduled.
    pub node: Option<String>,
    /// `spec.hostNetwork`: such a pod uses the node's own network.
    pub host_network: bool,
    /// Run from a manifest on the node; what the API shows is a mirror of it.
    pub is_static: bool,
    /// `status.phase`.
    pub phase: Phase,
    /// When it was scheduled, for the latency metric.
    pub scheduled: Option<Timestamp>,
}

/// `status.phase` of a Pod, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not running yet.
    Pending,
    /// Running, or its state is unknown.
    Running,
    /// `Succeeded` or `Failed`: its containers will not run again.
    Ended,
}

impl From<Pod> for PodFacts {
    fn from(pod: Pod) -> Self {
        let version = version_of(&pod);
        let source = pod.annotations().get(names::ANNOTATION_CONFIG_SOURCE);
        let is_static = source.is_some_and(|source| source != "api");
        let (spec, status) = (pod.spec.unwrap_or_default(), pod.status.unwrap_or_default());
        let conditions = status.conditions.unwrap_or_default();
        let scheduled =
            conditions.iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "True");
        Self {
            uid: pod.metadata.uid.unwrap_or_default(),
            version,
            finalizers: pod.metadata.finalizers.unwrap_or_default(),
            deleting: pod.metadata.deletion_timestamp.is_some(),
            node: spec.node_name.filter(|node| !node.is_empty()),
            host_network: spec.host_network.unwrap_or(false),
            is_static,
            phase: match status.phase.as_deref() {
                None | Some("Pending") => Phase::Pending,
                Some("Succeeded" | "Failed") => Phase::Ended,
                Some(_) => Phase::Running,
            },
            scheduled: scheduled.and_then(|condition| condition.last_transition_time.as_ref()).map(|time| time.0),
        }
    }
}

impl Versioned for PodFacts {
    fn uid(&self) -> &str {
        &self.uid
    }

    fn version(&self) -> u64 {
        self.version
    }
}

/// Everything known of one pod (of one namespace and name: a successor of the same name shares it).
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The Pod, if there is one.
    pub pod: Option<Arc<PodFacts>>,
    /// Its KuryrPort, or the one a predecessor of the same name left.
    pub kuryr_port: Option<Arc<KuryrPort>>,
    /// Neutron ports whose `device_id` is the owner's uid (see [`Observed::owner_uid`]), oldest first.
    pub ports: Vec<Arc<Port>>,
    /// Port ids known not to exist any more.
    pub gone: BTreeSet<String>,
    /// A port may have been created for the owner without our knowing: an answer was lost.
    pub uncertain: bool,
}

impl Observed {
    /// UID of the pod the KuryrPort was made for; without one, of the Pod.
    #[must_use]
    pub fn owner_uid(&self) -> Option<&str> {
        let of_kuryr_port = self.kuryr_port.as_deref().map(|port| port.spec.pod_uid.as_str());
        of_kuryr_port.or(self.pod.as_deref().map(|pod| pod.uid.as_str()))
    }

    /// Ids of the ports the KuryrPort names.
    pub fn recorded_ports(&self) -> impl Iterator<Item = &str> {
        let status = self.kuryr_port.as_deref().and_then(|port| port.status.as_ref());
        let entries = status.into_iter().flat_map(|status| status.vifs.values());
        entries.filter_map(|entry| entry.vif.as_ref().ok()).map(|vif| vif.id.as_str())
    }
}
