//! Events: one store behind two groups, the newer of which is strict (`pkg/apis/core/validation/events.go`).

use serde_json::{Value, json};

use super::kinds::Kind;
use super::object;
use super::refusal::Cause;

/// Fields of an Event: in `v1`, where it is stored, and in `events.k8s.io/v1`.
pub(super) const FIELDS: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

fn is_strict(kind: &Kind) -> bool {
    kind.group == "events.k8s.io"
}

/// What is wrong with the event, in its stored form.
pub(super) fn validate(kind: &Kind, event: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let text = |field: &str| event[field].as_str().unwrap_or_default();
    let about = event["involvedObject"]["namespace"].as_str().unwrap_or_default();
    let namespace = object::namespace(event);
    let mut elsewhere = || {
        causes.push(Cause::invalid("involvedObject.namespace", &about.into(), "does not match event.namespace"));
    };
    if event["eventTime"].is_null() {
        let expected = if about.is_empty() { "default" } else { about };
        if namespace != expected {
            elsewhere();
        }
    } else {
        if about.is_empty() && !matches!(namespace, "default" | "kube-system") {
            elsewhere();
        }
        let reporter = if is_strict(kind) { "reportingController" } else { "reportingComponent" };
        for (field, called) in [
            ("reportingComponent", reporter),
            ("reportingInstance", "reportingInstance"),
            ("action", "action"),
            ("reason", "reason"),
        ] {
            if text(field).is_empty() {
                causes.push(Cause::required(called, ""));
            }
        }
    }
    for (field, most) in [("reportingInstance", 128), ("action", 128), ("reason", 128), ("message", 1024)] {
        if text(field).len() > most {
            causes.push(Cause::invalid(field, &"".into(), &format!("can have at most {most} characters")));
        }
    }
    if !is_strict(kind) {
        return causes;
    }
    let series = &event["series"];
    if series.is_object() && series["count"].as_i64().unwrap_or_default() < 2 {
        causes.push(Cause::invalid("series.count", &"".into(), "should be at least 2"));
    }
    if series.is_object() && series["lastObservedTime"].is_null() {
        causes.push(Cause::required("series.lastObservedTime", ""));
    }
    if event["eventTime"].is_null() {
        causes.push(Cause::required("eventTime", ""));
    }
    if !matches!(text("type"), "Normal" | "Warning") {
        causes.push(Cause::invalid("type", &"".into(), &format!("has invalid value: {}", text("type"))));
    }
    for field in ["firstTimestamp", "lastTimestamp", "count", "source"] {
        if !matches!(&event[field], Value::Null) && event[field] != json!({}) {
            causes.push(Cause::invalid(field, &"".into(), "needs to be unset"));
        }
    }
    causes
}

/// In the new group nothing but the series of an event changes.
pub(super) fn forbidden_changes(kind: &Kind, old: &Value, new: &Value) -> Vec<Cause> {
    if !is_strict(kind) {
        return Vec::new();
    }
    let fixed = [
        "involvedObject",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        "type",
        "eventTime",
        "action",
        "related",
        "reportingComponent",
        "reportingInstance",
    ];
    let changed = fixed.into_iter().filter(|field| old[*field] != new[*field]);
    changed.map(|field| Cause::invalid(field, &new[field], "field is immutable")).collect()
}
