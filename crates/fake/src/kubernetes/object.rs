//! Reading and changing the metadata of an object (`metav1.ObjectMeta`).

use serde_json::{Map, Value};

/// A string of the metadata; empty if there is none.
pub(super) fn meta<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

pub(super) fn name(object: &Value) -> &str {
    meta(object, "name")
}

pub(super) fn namespace(object: &Value) -> &str {
    meta(object, "namespace")
}

pub(super) fn uid(object: &Value) -> &str {
    meta(object, "uid")
}

pub(super) fn is_deleting(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

pub(super) fn grace_period(object: &Value) -> Option<i64> {
    object["metadata"]["deletionGracePeriodSeconds"].as_i64()
}

pub(super) fn generation(object: &Value) -> i64 {
    object["metadata"]["generation"].as_i64().unwrap_or_default()
}

pub(super) fn finalizers(object: &Value) -> Vec<&str> {
    strings(&object["metadata"]["finalizers"])
}

pub(super) fn strings(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

pub(super) fn owner_references(object: &Value) -> &[Value] {
    object["metadata"]["ownerReferences"].as_array().map_or(&[], Vec::as_slice)
}

/// The metadata to write to; an object without gets some.
pub(super) fn meta_mut(object: &mut Value) -> &mut Map<String, Value> {
    field_mut(object, "metadata")
}

/// An object-valued field to write to; made if it is not there or not an object.
pub(super) fn field_mut<'a>(object: &'a mut Value, field: &str) -> &'a mut Map<String, Value> {
    fields_mut(fields_mut(object).entry(field).or_insert(Value::Null))
}

/// The fields of an object; what is none becomes one.
pub(super) fn fields_mut(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

/// Sets the field, or removes it if there is no value.
pub(super) fn set(map: &mut Map<String, Value>, field: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(map.insert(field.to_owned(), value)),
        None => drop(map.remove(field)),
    }
}

/// Sets the field unless it has a value.
pub(super) fn default(map: &mut Map<String, Value>, field: &str, value: impl Into<Value>) {
    let slot = map.entry(field).or_insert(Value::Null);
    if slot.is_null() {
        *slot = value.into();
    }
}

pub(super) fn remove_finalizer(object: &mut Value, finalizer: &str) {
    let metadata = meta_mut(object);
    if let Some(list) = metadata.get_mut("finalizers").and_then(Value::as_array_mut) {
        list.retain(|entry| entry != finalizer);
        if list.is_empty() {
            metadata.remove("finalizers");
        }
    }
}

pub(super) fn add_finalizer(object: &mut Value, finalizer: &str) {
    let metadata = meta_mut(object);
    let list = metadata.entry("finalizers").or_insert_with(|| Value::Array(Vec::new()));
    if let Some(list) = list.as_array_mut()
        && !list.iter().any(|entry| entry == finalizer)
    {
        list.push(finalizer.into());
    }
}
