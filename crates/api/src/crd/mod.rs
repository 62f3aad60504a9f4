//! The custom resources of group `openstack.org`, version `v1`.
//!
//! None has a status subresource: kuryr-kubernetes writes `status` through the main resource, and mixed versions must
//! work during an upgrade (reference: `kubernetes_crds/` of kuryr-kubernetes 2024.1).

mod kuryrloadbalancer;
mod kuryrport;

pub use kuryrloadbalancer::{
    KuryrLoadBalancer, KuryrLoadBalancerPort, KuryrLoadBalancerSpec, KuryrLoadBalancerStatus, ListenerRecord,
    LoadBalancerRecord, MemberRecord, PoolRecord, PublicAddressRecord,
};
pub use kuryrport::{
    Condition, ConditionStatus, InterfaceEntry, KuryrPort, KuryrPortSpec, KuryrPortStatus, Unreadable,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

/// The definitions to install in a cluster.
#[must_use]
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![without_status_subresource(KuryrPort::crd()), without_status_subresource(KuryrLoadBalancer::crd())]
}

/// `kube`'s derive adds the status subresource as soon as there is a status; ours must not have it.
fn without_status_subresource(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        version.subresources = None;
    }
    definition
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_as_recorded() {
        insta::assert_json_snapshot!(definitions());
    }
}
