//! Definitions of Gateway API as small as they can be: the real ones are not ours to ship.

use serde_json::{Value, json};

use super::Cluster;
use super::refusal::Refusal;

/// Kinds: name, plural, versions with the stored one first, scope.
const KINDS: [(&str, &str, &[&str], &str); 6] = [
    ("GatewayClass", "gatewayclasses", &["v1"], "Cluster"),
    ("Gateway", "gateways", &["v1"], "Namespaced"),
    ("HTTPRoute", "httproutes", &["v1"], "Namespaced"),
    ("TCPRoute", "tcproutes", &["v1"], "Namespaced"),
    // As before 1.6.
    ("UDPRoute", "udproutes", &["v1alpha2"], "Namespaced"),
    ("ReferenceGrant", "referencegrants", &["v1beta1"], "Namespaced"),
];

impl Cluster {
    /// Makes the kinds of Gateway API served that Kuryr knows, with any content.
    ///
    /// # Errors
    /// They are there already.
    pub fn install_gateway_api(&self) -> Result<(), Refusal> {
        for (kind, plural, versions, scope) in KINDS {
            let versions: Vec<Value> = versions
                .iter()
                .enumerate()
                .map(|(index, version)| {
                    let free = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
                    json!({
                        "name": version, "served": true, "storage": index == 0, "subresources": { "status": {} },
                        "schema": { "openAPIV3Schema": { "type": "object", "properties": { "spec": free, "status": free } } },
                    })
                })
                .collect();
            self.create(json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": { "name": format!("{plural}.gateway.networking.k8s.io") },
                "spec": {
                    "group": "gateway.networking.k8s.io", "scope": scope, "versions": versions,
                    "names": { "plural": plural, "singular": kind.to_lowercase(), "kind": kind },
                },
            }))?;
        }
        Ok(())
    }
}
