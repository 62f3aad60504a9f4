//! KuryrLoadBalancer: the Octavia load balancer of one Service, named after it, in its namespace.
//!
//! The fields are those of kuryr-kubernetes 2024.1, so that its objects are carried on and its tools go on reading ours. Numbers are as
//! wide as the API server lets them be: one object with an odd one must not stop a watch that carries everybody's.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Condition;

/// What the Service needs.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[kube(
    group = "openstack.org",
    version = "v1",
    kind = "KuryrLoadBalancer",
    namespaced,
    shortname = "klb",
    status = "KuryrLoadBalancerStatus",
    printcolumn = r#"{"name":"PROJECT-ID","type":"string","description":"The Project ID","jsonPath":".spec.project_id"}"#,
    printcolumn = r#"{"name":"IP","type":"string","description":"The Service's address","jsonPath":".spec.ip"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","description":"Whether the load balancer is as it should be","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","description":"What the Service waits for","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
pub struct KuryrLoadBalancerSpec {
    /// The Service's address in the cluster, the load balancer's VIP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The address from outside that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lb_ip: Option<String>,
    /// `ClusterIP` or `LoadBalancer`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The Service's ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<KuryrLoadBalancerPort>,
    /// Project of the load balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// Subnet of the VIP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
    /// Security groups kuryr-kubernetes wanted on it; bookkeeping.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_groups_ids: Vec<String>,
    /// Who implements it; Octavia's default if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Milliseconds a client may be silent; 0 is Octavia's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_client_data: Option<i64>,
    /// Milliseconds a member may be silent; 0 is Octavia's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_member_data: Option<i64>,
    /// What kuryr-kubernetes copied from the Endpoints. Kuryr reads the EndpointSlices themselves, and leaves it as it is.
    #[serde(default, rename = "endpointSlices", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "slices")]
    pub endpoint_slices: Vec<Value>,
}

/// A port of the Service.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub struct KuryrLoadBalancerPort {
    /// Its name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its number.
    #[serde(default)]
    pub port: i64,
    /// `TCP`, `UDP` or `SCTP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The pods' port: a number or a name.
    #[serde(rename = "targetPort")]
    pub target_port: String,
}

/// What Octavia has for it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub struct KuryrLoadBalancerStatus {
    /// The load balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loadbalancer: Option<LoadBalancerRecord>,
    /// Its listeners.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<ListenerRecord>,
    /// Its pools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<PoolRecord>,
    /// Their members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberRecord>,
    /// Its floating IP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_pub_ip_info: Option<PublicAddressRecord>,
    /// What the Service waits for, if anything (not written by kuryr-kubernetes).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A load balancer, as it was when it was written down.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub struct LoadBalancerRecord {
    /// Its id.
    pub id: String,
    /// Its VIP.
    pub ip: String,
    /// Its name, `namespace/name` of the Service.
    pub name: String,
    /// The Neutron port of its VIP.
    pub port_id: String,
    /// Its project.
    pub project_id: String,
    /// Who implements it.
    pub provider: String,
    /// Bookkeeping of kuryr-kubernetes.
    pub security_groups: Vec<String>,
    /// Subnet of its VIP.
    pub subnet_id: String,
}

/// A listener, as it was when it was written down.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub struct ListenerRecord {
    /// Its id.
    pub id: String,
    /// The load balancer it is on.
    pub loadbalancer_id: String,
    /// Its name, `namespace/name:PROTOCOL:port`.
    pub name: String,
    /// Its port.
    pub port: i64,
    /// Its project.
    pub project_id: String,
    /// What it speaks.
    pub protocol: String,
    /// Milliseconds a client may be silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_client_data: Option<i64>,
    /// Milliseconds a member may be silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_member_data: Option<i64>,
}

/// A pool, as it was when it was written down.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub struct PoolRecord {
    /// Its id.
    pub id: String,
    /// The listener whose traffic goes there.
    pub listener_id: String,
    /// The load balancer it is on.
    pub loadbalancer_id: String,
    /// Its name, that of its listener.
    pub name: String,
    /// Its project.
    pub project_id: String,
    /// What it speaks.
    pub protocol: String,
}

/// A member, as it was when it was written down.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub struct MemberRecord {
    /// Its id.
    pub id: String,
    /// Its address.
    pub ip: String,
    /// Its name, `namespace/pod:port`.
    pub name: String,
    /// Its pool.
    pub pool_id: String,
    /// Its port.
    pub port: i64,
    /// Its project.
    pub project_id: String,
    /// Subnet it is reached from.
    pub subnet_id: String,
}

/// A floating IP.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub struct PublicAddressRecord {
    /// Its id.
    pub ip_id: String,
    /// The address.
    pub ip_addr: String,
    /// `pool`: made by Kuryr, and deleted when it is not needed any more. `user`: it was there before, and stays.
    pub alloc_method: String,
}

/// Slices as kuryr-kubernetes wrote them, whatever is in them.
fn slices(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
    })
}
