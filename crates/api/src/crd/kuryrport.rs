//! KuryrPort: the Neutron ports of one pod, named after it, in its namespace.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use crate::vif::Vif;

/// What the pod needs.
#[derive(CustomResource, Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[kube(
    group = "openstack.org",
    version = "v1",
    kind = "KuryrPort",
    namespaced,
    shortname = "kp",
    status = "KuryrPortStatus",
    printcolumn = r#"{"name":"PodUID","type":"string","description":"Pod UID","jsonPath":".spec.podUid"}"#,
    printcolumn = r#"{"name":"Nodename","type":"string","description":"Name of the node corresponding pod lives in","jsonPath":".spec.podNodeName"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","description":"Whether the pod's ports are there and active","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","description":"What the pod waits for","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct KuryrPortSpec {
    /// UID of the Pod (of the mirror pod if it is static).
    pub pod_uid: String,
    /// Node the pod is scheduled to.
    pub pod_node_name: String,
    /// The pod is static: kubelet runs it under another UID than the API's, so the node accepts a mismatch.
    /// Missing on objects written before kuryr-kubernetes 7.0.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_static: Option<bool>,
}

/// What the pod got.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub struct KuryrPortStatus {
    /// Interface name → entry; `eth0` is the main one. Empty: no port yet.
    #[serde(default)]
    #[schemars(schema_with = "preserved_object")]
    pub vifs: BTreeMap<String, InterfaceEntry>,
    /// What the pod waits for, if anything (not written by kuryr-kubernetes).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// One interface of a pod.
///
/// The API server does not check what is below `vifs`, so reading an entry never fails: one damaged object must not
/// stop a watch that carries everybody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceEntry {
    /// Whether this is the pod's main interface. The node goes by the key, not by this.
    pub default: bool,
    /// The interface as os-vif describes it, or what stands there instead.
    pub vif: Result<Vif, Unreadable>,
}

/// What could not be read as an os-vif object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The entry's `vif` as found.
    pub found: Value,
    /// What is wrong with it.
    pub reason: String,
}

impl InterfaceEntry {
    /// An entry for the pod's main (`default`) or an additional interface.
    #[must_use]
    pub fn new(default: bool, vif: Vif) -> Self {
        Self { default, vif: Ok(vif) }
    }
}

impl<'de> Deserialize<'de> for InterfaceEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entry = Value::deserialize(deserializer)?;
        let found = entry.get("vif").cloned().unwrap_or_default();
        let vif = Vif::from_value(&found).map_err(|reason| Unreadable { found, reason });
        Ok(Self { default: entry.get("default").and_then(Value::as_bool).unwrap_or(false), vif })
    }
}

impl Serialize for InterfaceEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let vif = match &self.vif {
            Ok(vif) => vif.to_value(),
            Err(unreadable) => unreadable.found.clone(),
        };
        json!({ "default": self.default, "vif": vif }).serialize(serializer)
    }
}

/// A condition, shaped as `metav1.Condition`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// One word in CamelCase, for programs.
    pub reason: String,
    /// A sentence for people: what is wrong and what to do.
    pub message: String,
    /// When `status` last changed.
    pub last_transition_time: Time,
}

/// `True`, `False` or `Unknown`.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum ConditionStatus {
    /// The condition holds.
    True,
    /// It does not.
    False,
    /// Nobody can tell.
    Unknown,
}

/// A free-form object the API server must not prune.
fn preserved_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_entry_is_kept_and_explained() {
        let status = json!({ "vifs": { "eth0": { "vif": { "x": 1 } }, "eth1": 7 } });
        let read: KuryrPortStatus = serde_json::from_value(status).unwrap();
        let reason = &read.vifs["eth0"].vif.as_ref().unwrap_err().reason;
        assert!(reason.contains("versioned_object.name"), "{reason}");
        assert!(read.vifs["eth1"].vif.is_err());
        assert_eq!(serde_json::to_value(&read.vifs["eth0"]).unwrap(), json!({ "default": false, "vif": { "x": 1 } }));
    }
}
