//! Definitions of Gateway API as small as they can be: the real ones are not ours to ship.

use kuryr_fake::kubernetes::Cluster;
use serde_json::{Value, json};

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

/// Makes the kinds of Gateway API served.
pub fn install(cluster: &Cluster) {
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
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": format!("{plural}.gateway.networking.k8s.io") },
            "spec": {
                "group": "gateway.networking.k8s.io", "scope": scope, "versions": versions,
                "names": { "plural": plural, "singular": kind.to_lowercase(), "kind": kind },
            },
        });
        cluster.create(definition).unwrap();
    }
}
