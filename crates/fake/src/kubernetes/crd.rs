//! Custom resource definitions: creating one makes its kind served.

use std::sync::Arc;

use serde_json::{Value, json};

use super::kinds::{Kind, Traits};
use super::object::{self, default as set_default, field_mut, strings};
use super::refusal::Cause;
use super::schema::Schema;
use super::state::State;
use super::table::Column;

/// Keeps a definition that is being deleted until its objects are gone.
pub(super) const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// What the API server fills in, and what its controllers say of a good definition.
pub(super) fn default(definition: &mut Value) {
    let created = definition["metadata"]["creationTimestamp"].clone();
    let spec = field_mut(definition, "spec");
    set_default(spec, "conversion", json!({ "strategy": "None" }));
    let stored: Vec<_> = spec
        .get("versions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|version| version["storage"] == true)
        .map(|version| version["name"].clone())
        .collect();
    if let Some(Value::Object(names)) = spec.get_mut("names") {
        let kind = names.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        set_default(names, "singular", kind.to_lowercase());
        set_default(names, "listKind", format!("{kind}List"));
    }
    let names = spec.get("names").cloned().unwrap_or_default();
    let status = field_mut(definition, "status");
    status.insert("acceptedNames".to_owned(), names);
    set_default(status, "storedVersions", stored);
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": "True", "lastTransitionTime": created, "reason": reason, "message": message,
        })
    };
    let conditions = vec![
        condition("NamesAccepted", "NoConflicts", "no conflicts found"),
        condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    ];
    set_default(status, "conditions", conditions);
}

/// What is wrong with the definition.
pub(super) fn validate(definition: &Value) -> Vec<Cause> {
    let spec = &definition["spec"];
    let mut causes = Vec::new();
    for field in ["group", "scope"] {
        if spec[field].as_str().unwrap_or_default().is_empty() {
            causes.push(Cause::required(format!("spec.{field}"), ""));
        }
    }
    for field in ["plural", "kind"] {
        if spec["names"][field].as_str().unwrap_or_default().is_empty() {
            causes.push(Cause::required(format!("spec.names.{field}"), ""));
        }
    }
    let expected = format!(
        "{}.{}",
        spec["names"]["plural"].as_str().unwrap_or_default(),
        spec["group"].as_str().unwrap_or_default()
    );
    if object::name(definition) != expected {
        let why = "must be spec.names.plural+\".\"+spec.group";
        causes.push(Cause::invalid("metadata.name", &definition["metadata"]["name"], why));
    }
    if !matches!(spec["scope"].as_str(), None | Some("Namespaced" | "Cluster")) {
        causes.push(Cause::unsupported("spec.scope", &spec["scope"], &["Cluster".into(), "Namespaced".into()]));
    }
    let versions = spec["versions"].as_array().map_or(&[][..], Vec::as_slice);
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        let why = "must have exactly one version marked as storage version";
        causes.push(Cause::invalid("spec.versions", &spec["versions"], why));
    }
    for (index, version) in versions.iter().enumerate() {
        let at = format!("spec.versions[{index}].schema.openAPIV3Schema");
        let schema = &version["schema"]["openAPIV3Schema"];
        if !schema.is_object() {
            causes.push(Cause::required(at, "schemas are required"));
        } else {
            check_structural(schema, &at, true, &mut causes);
        }
    }
    causes
}

/// Every node of a structural schema has a type, unless it says that anything goes.
fn check_structural(schema: &Value, path: &str, root: bool, causes: &mut Vec<Cause>) {
    let free = schema["x-kubernetes-int-or-string"] == true
        || (!root && schema["x-kubernetes-preserve-unknown-fields"] == true);
    if schema["type"].as_str().unwrap_or_default().is_empty() && !free {
        let why = if root { "must not be empty at the root" } else { "must not be empty for specified object fields" };
        causes.push(Cause::required(format!("{path}.type"), why));
    }
    for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
        check_structural(schema, &format!("{path}.properties[{field}]"), false, causes);
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            check_structural(&schema[inner], &format!("{path}.{inner}"), false, causes);
        }
    }
}

/// Marks a definition that is being deleted.
pub(super) fn mark_terminating(definition: &mut Value, now: &str) {
    let conditions = field_mut(definition, "status").entry("conditions").or_insert_with(|| json!([]));
    if let Value::Array(conditions) = conditions
        && !conditions.iter().any(|condition| condition["type"] == "Terminating")
    {
        conditions.push(json!({
            "type": "Terminating", "status": "True", "lastTransitionTime": now, "reason": "InstanceDeletionPending",
            "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        }));
    }
}

/// Serves the kind in every version that is to be served.
pub(super) fn serve(state: &mut State, definition: &Value) {
    let store: Arc<str> = object::name(definition).into();
    state.kinds.remove_store(&store);
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let names = &spec["names"];
    let group = text(&spec["group"]);
    let versions = || spec["versions"].as_array().into_iter().flatten();
    let Some(storage) = versions().find(|version| version["storage"] == true) else { return };
    let stored_version = format!("{group}/{}", text(&storage["name"]));
    for version in versions().filter(|version| version["served"] == true) {
        let columns = version["additionalPrinterColumns"].as_array();
        let selectable = version["selectableFields"].as_array().into_iter().flatten();
        state.kinds.add(Kind {
            group: group.clone(),
            version: text(&version["name"]),
            plural: text(&names["plural"]),
            singular: text(&names["singular"]),
            kind: text(&names["kind"]),
            list_kind: text(&names["listKind"]),
            short_names: strings(&names["shortNames"]).into_iter().map(str::to_owned).collect(),
            categories: strings(&names["categories"]).into_iter().map(str::to_owned).collect(),
            namespaced: spec["scope"] == "Namespaced",
            status: version["subresources"]["status"].is_object(),
            store: store.clone(),
            stored_version: stored_version.clone(),
            schema: Some(Arc::new(Schema::new(version["schema"]["openAPIV3Schema"].clone()))),
            columns: columns.map(|columns| columns.iter().map(Column::declared).collect()),
            selectable_fields: selectable
                .map(|field| text(&field["jsonPath"]).trim_start_matches('.').to_owned())
                .collect(),
            traits: Traits { generation: true, conditional_update: true, returns_deleted: false, custom: true },
        });
    }
}
