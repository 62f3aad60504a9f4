//! What the API server demands of metadata (`apimachinery/pkg/api/validation`).

use serde_json::{Map, Value};

use super::kinds::Kind;
use super::object;
use super::refusal::{Cause, Refusal};

const KNOWN: [&str; 15] = [
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
];

const LONGEST_ANNOTATIONS: usize = 256 * 1024;

/// Removes unknown fields (their paths are returned), nulls and empty lists, as decoding into `ObjectMeta` does.
pub(super) fn prune(object: &mut Value) -> Vec<String> {
    let metadata = object::meta_mut(object);
    let mut pruned = Vec::new();
    metadata.retain(|field, value| {
        let known = KNOWN.contains(&field.as_str());
        if !known {
            pruned.push(format!("metadata.{field}"));
        }
        let empty = match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        known && !empty && field != "selfLink"
    });
    pruned
}

/// Refuses metadata of the wrong type, which the server cannot even decode.
pub(super) fn check_types(kind: &Kind, object: &Value) -> Result<(), Refusal> {
    let metadata = &object["metadata"];
    let wrong = |field: &str, wanted: &str| {
        Err(Refusal::bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}: json: cannot unmarshal into Go struct field \
             ObjectMeta.metadata.{field} of type {wanted}",
            kind.kind, kind.version, kind.kind
        )))
    };
    let all_strings = |map: &Map<String, Value>| map.values().all(Value::is_string);
    for field in ["labels", "annotations"] {
        match &metadata[field] {
            Value::Null => {}
            Value::Object(map) if all_strings(map) => {}
            _ => return wrong(field, "map[string]string"),
        }
    }
    for field in ["name", "generateName", "namespace", "uid", "resourceVersion"] {
        if !(metadata[field].is_null() || metadata[field].is_string()) {
            return wrong(field, "string");
        }
    }
    match &metadata["finalizers"] {
        Value::Null => {}
        Value::Array(list) if list.iter().all(Value::is_string) => {}
        _ => return wrong("finalizers", "[]string"),
    }
    match &metadata["ownerReferences"] {
        Value::Null => Ok(()),
        Value::Array(list) if list.iter().all(Value::is_object) => Ok(()),
        _ => wrong("ownerReferences", "[]v1.OwnerReference"),
    }
}

/// What is wrong with names, labels, annotations, finalizers and owner references.
pub(super) fn validate(kind: &Kind, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let metadata = &object["metadata"];
    let name = object::name(object);
    if let Some(why) = wrong_name(kind, name) {
        causes.push(Cause::invalid("metadata.name", &metadata["name"], why));
    }
    for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
        if !is_qualified(key) {
            causes.push(Cause::invalid("metadata.labels", &key.clone().into(), QUALIFIED));
        }
        let text = value.as_str().unwrap_or_default();
        if text.len() > 63 {
            causes.push(Cause::invalid("metadata.labels", value, "must be no more than 63 bytes"));
        } else if !(text.is_empty() || is_name_part(text)) {
            causes.push(Cause::invalid("metadata.labels", value, LABEL_VALUE));
        }
    }
    let mut length = 0;
    for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
        length += key.len() + value.as_str().unwrap_or_default().len();
        if !is_qualified(&key.to_lowercase()) {
            causes.push(Cause::invalid("metadata.annotations", &key.clone().into(), QUALIFIED));
        }
    }
    if length > LONGEST_ANNOTATIONS {
        let message = format!("Too long: may not be more than {LONGEST_ANNOTATIONS} bytes");
        causes.push(Cause { field: "metadata.annotations".to_owned(), reason: "FieldValueTooLong", message });
    }
    for finalizer in object::finalizers(object) {
        if !is_qualified(finalizer) {
            causes.push(Cause::invalid("metadata.finalizers", &finalizer.into(), QUALIFIED));
        }
    }
    for reference in object::owner_references(object) {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if reference[field].as_str().unwrap_or_default().is_empty() {
                let field = if field == "apiVersion" { "version" } else { field };
                let field = format!("metadata.ownerReferences.{field}");
                causes.push(Cause::invalid(field, &"".into(), "must not be empty"));
            }
        }
    }
    let controllers = object::owner_references(object).iter().filter(|reference| reference["controller"] == true);
    if controllers.count() > 1 {
        let why = "Only one reference can have Controller set to true";
        causes.push(Cause::invalid("metadata.ownerReferences", &metadata["ownerReferences"], why));
    }
    causes
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
    and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
    with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
    '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex \
    used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

fn wrong_name(kind: &Kind, name: &str) -> Option<&'static str> {
    // RBAC names are only path segments.
    if kind.group == "rbac.authorization.k8s.io" {
        return None;
    }
    let is_label = |part: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.starts_with(inner) && part.ends_with(inner) && part.chars().all(|c| inner(c) || c == '-')
    };
    if matches!(&*kind.store, "namespaces" | "services") {
        return if name.len() > 63 {
            Some("must be no more than 63 bytes")
        } else if name.contains('.') {
            Some("must not contain dots")
        } else if is_label(name) {
            None
        } else {
            Some(LABEL)
        };
    }
    if name.len() > 253 {
        Some("must be no more than 253 bytes")
    } else if name.split('.').all(is_label) {
        None
    } else {
        Some(SUBDOMAIN)
    }
}

fn is_name_part(text: &str) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(ends) && text.ends_with(ends) && text.chars().all(|c| ends(c) || "-_.".contains(c))
}

/// `[prefix/]name`.
fn is_qualified(text: &str) -> bool {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    let good_prefix = prefix.is_none_or(|prefix| {
        prefix.len() <= 253
            && prefix.split('.').all(|part| {
                let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
                part.starts_with(inner) && part.ends_with(inner) && part.chars().all(|c| inner(c) || c == '-')
            })
    });
    good_prefix && name.len() <= 63 && is_name_part(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::kinds::Kinds;
    use super::*;

    fn fields(metadata: Value) -> Vec<String> {
        let kinds = Kinds::built_in();
        let pods = kinds.find("", "v1", "pods").unwrap();
        validate(&pods, &json!({ "metadata": metadata })).into_iter().map(|cause| cause.field).collect()
    }

    #[test]
    fn good_metadata_passes() {
        let metadata = json!({
            "name": "web-0.a",
            "labels": { "app.kubernetes.io/name": "a_B.c", "empty": "" },
            "annotations": { "Kuryr.openstack.org/X": "anything goes: {}" },
            "finalizers": ["kuryr.openstack.org/kuryrport-finalizer", "kuryrnetwork.finalizers.kuryr.openstack.org"],
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u" }],
        });
        assert_eq!(fields(metadata), [""; 0]);
    }

    #[test]
    fn each_mistake_is_named() {
        for (metadata, field) in [
            (json!({ "name": "Web" }), "metadata.name"),
            (json!({ "name": "a..b" }), "metadata.name"),
            (json!({ "name": "a", "labels": { "a b": "c" } }), "metadata.labels"),
            (json!({ "name": "a", "labels": { "a": "b c" } }), "metadata.labels"),
            (json!({ "name": "a", "labels": { "a": "x".repeat(64) } }), "metadata.labels"),
            (json!({ "name": "a", "annotations": { "a": "x".repeat(300_000) } }), "metadata.annotations"),
            (json!({ "name": "a", "finalizers": ["a/b/c"] }), "metadata.finalizers"),
            (
                json!({ "name": "a", "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": "p" }] }),
                "metadata.ownerReferences.uid",
            ),
        ] {
            assert_eq!(fields(metadata), [field]);
        }
    }

    #[test]
    fn what_means_nothing_is_dropped() {
        let mut object = json!({ "metadata": { "name": "a", "finalizer": ["x"], "labels": {}, "uid": null } });
        assert_eq!(prune(&mut object), ["metadata.finalizer"]);
        assert_eq!(object, json!({ "metadata": { "name": "a" } }));
    }
}
