//! Schemas of the built-in kinds our programs write whole: a misspelt field in them would otherwise go unnoticed.

use serde_json::{Value, json};

/// The schema of a built-in kind, if there is one.
pub(super) fn of(group: &str, plural: &str) -> Option<Value> {
    match (group, plural) {
        ("coordination.k8s.io", "leases") => Some(lease()),
        // `events.k8s.io` is converted to this before it is looked at.
        ("" | "events.k8s.io", "events") => Some(event()),
        _ => None,
    }
}

fn object(properties: Value) -> Value {
    json!({ "type": "object", "properties": properties })
}

/// `k8s.io/api/coordination/v1`.
fn lease() -> Value {
    object(json!({
        "spec": object(json!({
            "holderIdentity": { "type": "string" },
            "leaseDurationSeconds": { "type": "integer" },
            "acquireTime": { "type": "string", "format": "date-time" },
            "renewTime": { "type": "string", "format": "date-time" },
            "leaseTransitions": { "type": "integer" },
            "strategy": { "type": "string" },
            "preferredHolder": { "type": "string" },
        })),
    }))
}

/// `k8s.io/api/core/v1`.
fn event() -> Value {
    let reference = object(json!({
        "apiVersion": { "type": "string" },
        "kind": { "type": "string" },
        "namespace": { "type": "string" },
        "name": { "type": "string" },
        "uid": { "type": "string" },
        "resourceVersion": { "type": "string" },
        "fieldPath": { "type": "string" },
    }));
    object(json!({
        "involvedObject": reference,
        "related": reference,
        "reason": { "type": "string" },
        "message": { "type": "string" },
        "source": object(json!({ "component": { "type": "string" }, "host": { "type": "string" } })),
        "firstTimestamp": { "type": "string", "format": "date-time" },
        "lastTimestamp": { "type": "string", "format": "date-time" },
        "eventTime": { "type": "string", "format": "date-time" },
        "count": { "type": "integer" },
        "type": { "type": "string" },
        "action": { "type": "string" },
        "reportingComponent": { "type": "string" },
        "reportingInstance": { "type": "string" },
        "series": object(json!({
            "count": { "type": "integer" },
            "lastObservedTime": { "type": "string", "format": "date-time" },
        })),
    }))
}
