//! What Kuryr's processes agree on, and nothing else.
//!
//! - [`crd`]: the custom resources of group `openstack.org/v1`, wire-compatible with kuryr-kubernetes 2024.1.
//! - [`vif`]: the os-vif objects stored under `status.vifs` of a KuryrPort, byte-compatible with the original.
//! - [`names`]: every annotation, label, finalizer and tag that something outside one process depends on.

pub mod crd;
pub mod names;
pub mod vif;
