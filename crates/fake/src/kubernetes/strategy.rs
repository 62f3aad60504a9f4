//! Where the API server treats built-in kinds each in its own way.

use serde_json::{Value, json};

use super::kinds::Kind;
use super::object::{self, default as set_default, field_mut};
use super::refusal::{Cause, Refusal};
use super::state::State;
use super::{crd, events, pods, services};

/// Fills in what the server fills in.
pub(super) fn default(state: &mut State, kind: &Kind, object: &mut Value) {
    match &*kind.store {
        "pods" => pods::default(object),
        "services" => services::default(state, object),
        "namespaces" => {
            let name = object::name(object).to_owned();
            let deleting = object::is_deleting(object);
            let labels = field_mut(&mut object["metadata"], "labels");
            labels.insert("kubernetes.io/metadata.name".to_owned(), name.into());
            if !deleting {
                set_default(field_mut(object, "spec"), "finalizers", json!(["kubernetes"]));
                set_default(field_mut(object, "status"), "phase", "Active");
            }
        }
        "customresourcedefinitions.apiextensions.k8s.io" => crd::default(object),
        "nodes" => {
            field_mut(object, "spec");
            let status = field_mut(object, "status");
            set_default(status, "daemonEndpoints", json!({ "kubeletEndpoint": { "Port": 0 } }));
            set_default(status, "nodeInfo", json!({}));
            let info = field_mut(&mut object["status"], "nodeInfo");
            for field in [
                "architecture",
                "bootID",
                "containerRuntimeVersion",
                "kernelVersion",
                "kubeProxyVersion",
                "kubeletVersion",
                "machineID",
                "operatingSystem",
                "osImage",
                "systemUUID",
            ] {
                set_default(info, field, "");
            }
        }
        "secrets" => set_default(object::fields_mut(object), "type", "Opaque"),
        _ => {}
    }
}

/// What is wrong with the object, beyond its schema.
pub(super) fn validate(kind: &Kind, object: &Value) -> Vec<Cause> {
    match &*kind.store {
        "pods" => pods::validate(object),
        "services" => services::validate(object),
        "events" => events::validate(kind, object),
        "leases.coordination.k8s.io" => validate_lease(object),
        "customresourcedefinitions.apiextensions.k8s.io" => crd::validate(object),
        _ => Vec::new(),
    }
}

/// Refuses what may not change any more.
pub(super) fn check_update(kind: &Kind, old: &Value, new: &Value) -> Result<(), Refusal> {
    let causes = match &*kind.store {
        "pods" => pods::forbidden_changes(old, new),
        "services" => services::forbidden_changes(old, new),
        "events" => events::forbidden_changes(kind, old, new),
        _ => Vec::new(),
    };
    if causes.is_empty() { Ok(()) } else { Err(Refusal::invalid(kind, object::name(old), causes)) }
}

/// Finalizers that keep an object from going: a namespace has some in its spec as well.
pub(super) fn pending_finalizers<'a>(kind: &Kind, object: &'a Value) -> Vec<&'a str> {
    let mut pending = object::finalizers(object);
    if kind.is("namespaces") {
        pending.extend(object::strings(&object["spec"]["finalizers"]));
    }
    pending
}

/// Whether nothing keeps an object that is being deleted any more.
pub(super) fn is_finished(kind: &Kind, object: &Value) -> bool {
    object::is_deleting(object)
        && object::grace_period(object).unwrap_or_default() == 0
        && pending_finalizers(kind, object).is_empty()
}

/// The grace period of a kind that has one, in seconds.
pub(super) fn grace_period(kind: &Kind, object: &Value, wished: Option<i64>) -> Option<i64> {
    kind.is("pods").then(|| pods::grace_period(object, wished))
}

/// What keeps the object until something else is done.
pub(super) fn prepare_deletion(kind: &Kind, object: &mut Value) {
    if kind.is("customresourcedefinitions.apiextensions.k8s.io") && !object::is_deleting(object) {
        object::add_finalizer(object, crd::FINALIZER);
    }
}

/// What else changes when an object is marked.
pub(super) fn mark_terminating(kind: &Kind, object: &mut Value, now: &str) {
    match &*kind.store {
        "namespaces" => drop(field_mut(object, "status").insert("phase".to_owned(), "Terminating".into())),
        "customresourcedefinitions.apiextensions.k8s.io" => crd::mark_terminating(object, now),
        _ => {}
    }
}

/// `k8s.io/kubernetes/pkg/apis/coordination/validation`.
fn validate_lease(lease: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (field, least, why) in [
        ("leaseDurationSeconds", 1, "must be greater than 0"),
        ("leaseTransitions", 0, "must be greater than or equal to 0"),
    ] {
        let value = &lease["spec"][field];
        if value.as_i64().is_some_and(|number| number < least) {
            causes.push(Cause::invalid(format!("spec.{field}"), value, why));
        }
    }
    causes
}
