//! Structural schemas: what the objects of a kind look like.
//!
//! As apiextensions does it: unknown fields are pruned, missing ones defaulted, the rest validated. Rules in CEL
//! (`x-kubernetes-validations`) and regular expressions (`pattern`) are not evaluated.

use std::sync::Arc;

use serde_json::Value;

use super::refusal::Cause;

/// The OpenAPI v3 schema of one kind.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Schema(Value);

impl Schema {
    /// `openAPIV3Schema` of a definition.
    pub(super) fn new(schema: Value) -> Schema {
        Schema(schema)
    }

    /// Of the built-in kinds a wrong field of which would otherwise go unnoticed.
    pub(super) fn built_in(group: &str, plural: &str) -> Option<Arc<Schema>> {
        super::built_in_schemas::of(group, plural).map(|schema| Arc::new(Schema(schema)))
    }

    pub(super) fn value(&self) -> &Value {
        &self.0
    }

    /// Removes unknown fields; their paths.
    pub(super) fn prune(&self, object: &mut Value) -> Vec<String> {
        let mut pruned = Vec::new();
        prune(&self.0, object, "", true, &mut pruned);
        pruned
    }

    /// Fills in missing fields that have a default.
    pub(super) fn default(&self, object: &mut Value) {
        default(&self.0, object);
    }

    /// What is wrong with the object.
    pub(super) fn validate(&self, object: &Value) -> Vec<Cause> {
        let mut causes = Vec::new();
        validate(&self.0, object, "", true, &mut causes);
        causes
    }

    /// The schema of a field, for what asks about lists and maps in it.
    pub(super) fn descend<'a>(schema: &'a Value, field: &str) -> &'a Value {
        let property = &schema["properties"][field];
        if property.is_null() { &schema["additionalProperties"] } else { property }
    }
}

fn below(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

/// Fields of every object, which the schema of its kind does not describe.
fn is_object_field(field: &str) -> bool {
    matches!(field, "apiVersion" | "kind" | "metadata")
}

fn is_set(schema: &Value, extension: &str) -> bool {
    schema[extension] == true
}

fn prune(schema: &Value, value: &mut Value, path: &str, resource: bool, pruned: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let preserve = is_set(schema, "x-kubernetes-preserve-unknown-fields");
            let additional = &schema["additionalProperties"];
            map.retain(|field, _| {
                let keep = preserve
                    || additional == true
                    || additional.is_object()
                    || !schema["properties"][field].is_null()
                    || (resource && is_object_field(field));
                if !keep {
                    pruned.push(below(path, field));
                }
                keep
            });
            for (field, value) in map {
                if resource && is_object_field(field) {
                    continue;
                }
                let schema = Schema::descend(schema, field);
                if schema.is_object() {
                    let embedded = is_set(schema, "x-kubernetes-embedded-resource");
                    prune(schema, value, &below(path, field), embedded, pruned);
                }
            }
        }
        Value::Array(items) if schema["items"].is_object() => {
            for (index, item) in items.iter_mut().enumerate() {
                prune(&schema["items"], item, &format!("{path}[{index}]"), false, pruned);
            }
        }
        _ => {}
    }
}

fn default(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
                let default = &schema["default"];
                let missing = match map.get(field) {
                    None => true,
                    Some(Value::Null) => !is_set(schema, "nullable"),
                    Some(_) => false,
                };
                if missing && !default.is_null() {
                    map.insert(field.clone(), default.clone());
                }
            }
            for (field, value) in map {
                default(Schema::descend(schema, field), value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| default(&schema["items"], item)),
        _ => {}
    }
}

fn validate(schema: &Value, value: &Value, path: &str, resource: bool, causes: &mut Vec<Cause>) {
    if !schema.is_object() {
        return;
    }
    if value.is_null() && is_set(schema, "nullable") {
        return;
    }
    if let Some(wanted) = schema["type"].as_str()
        && !is_of_type(wanted, value)
    {
        let found = type_name(value);
        causes.push(Cause::wrong_type(path, found, &format!("{path} in body must be of type {wanted}: \"{found}\"")));
        check_choice(schema, value, path, causes);
        return;
    }
    if is_set(schema, "x-kubernetes-int-or-string") && !(value.is_string() || value.is_i64() || value.is_u64()) {
        let found = type_name(value);
        let why = format!("{path} in body must be of type integer,string: \"{found}\"");
        causes.push(Cause::wrong_type(path, found, &why));
        return;
    }
    check_choice(schema, value, path, causes);
    match value {
        Value::Object(map) => {
            for field in super::object::strings(&schema["required"]) {
                if !map.contains_key(field) {
                    causes.push(Cause::required(below(path, field), ""));
                }
            }
            for (field, value) in map {
                if !(resource && is_object_field(field)) {
                    validate(Schema::descend(schema, field), value, &below(path, field), false, causes);
                }
            }
            check_count(schema, map.len(), path, value, ["minProperties", "maxProperties"], "properties", causes);
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                validate(&schema["items"], item, &format!("{path}[{index}]"), false, causes);
            }
            check_duplicates(schema, items, path, causes);
            check_count(schema, items.len(), path, value, ["minItems", "maxItems"], "items", causes);
        }
        Value::String(text) => {
            let length = text.chars().count();
            check_count(schema, length, path, value, ["minLength", "maxLength"], "chars long", causes);
            check_format(schema, text, path, value, causes);
        }
        Value::Number(number) => {
            let Some(number) = number.as_f64() else { return };
            if schema["minimum"].as_f64().is_some_and(|minimum| number < minimum) {
                let why = format!("{path} in body should be greater than or equal to {}", schema["minimum"]);
                causes.push(Cause::invalid(path, value, &why));
            }
            if schema["maximum"].as_f64().is_some_and(|maximum| number > maximum) {
                let why = format!("{path} in body should be less than or equal to {}", schema["maximum"]);
                causes.push(Cause::invalid(path, value, &why));
            }
        }
        _ => {}
    }
}

fn check_choice(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        causes.push(Cause::unsupported(path, value, allowed));
    }
}

fn check_count(
    schema: &Value,
    count: usize,
    path: &str,
    value: &Value,
    [least, most]: [&str; 2],
    what: &str,
    causes: &mut Vec<Cause>,
) {
    let count = count as u64;
    if let Some(least) = schema[least].as_u64().filter(|least| count < *least) {
        causes.push(Cause::invalid(path, value, &format!("{path} in body should have at least {least} {what}")));
    }
    if let Some(most) = schema[most].as_u64().filter(|most| count > *most) {
        causes.push(Cause::invalid(path, value, &format!("{path} in body should have at most {most} {what}")));
    }
}

fn check_duplicates(schema: &Value, items: &[Value], path: &str, causes: &mut Vec<Cause>) {
    let identity = |item: &Value| match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => Some(item.clone()),
        Some("map") => {
            let keys = super::object::strings(&schema["x-kubernetes-list-map-keys"]);
            Some(keys.into_iter().map(|key| (key.to_owned(), item[key].clone())).collect())
        }
        _ => None,
    };
    for (index, item) in items.iter().enumerate() {
        if let Some(id) = identity(item)
            && items[..index].iter().any(|earlier| identity(earlier).as_ref() == Some(&id))
        {
            causes.push(Cause::duplicate(format!("{path}[{index}]"), &id));
        }
    }
}

fn check_format(schema: &Value, text: &str, path: &str, value: &Value, causes: &mut Vec<Cause>) {
    let Some(format) = schema["format"].as_str() else { return };
    let good = match format {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "cidr" => text.parse::<ipnet::IpNet>().is_ok(),
        "uuid" => uuid::Uuid::parse_str(text).is_ok(),
        _ => true,
    };
    if !good {
        causes.push(Cause::invalid(path, value, &format!("{path} in body must be of type {format}: {value}")));
    }
}

fn is_of_type(wanted: &str, value: &Value) -> bool {
    match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        _ => true,
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Schema {
        Schema::new(json!({
            "type": "object",
            "required": ["spec"],
            "properties": {
                "spec": {
                    "type": "object",
                    "required": ["podUid"],
                    "properties": {
                        "podUid": { "type": "string", "minLength": 2 },
                        "count": { "type": "integer", "minimum": 1, "maximum": 3, "default": 2 },
                        "port": { "x-kubernetes-int-or-string": true },
                        "mode": { "type": "string", "enum": ["a", "b"] },
                        "maybe": { "type": "string", "nullable": true },
                        "labels": { "type": "object", "additionalProperties": { "type": "string" } },
                        "list": {
                            "type": "array",
                            "x-kubernetes-list-type": "map",
                            "x-kubernetes-list-map-keys": ["type"],
                            "items": { "type": "object", "properties": { "type": { "type": "string" } } },
                        },
                    },
                },
                "status": { "type": "object", "properties": { "vifs": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } } },
            },
        }))
    }

    #[test]
    fn unknown_fields_are_pruned_where_they_are_not_preserved() {
        let mut object = json!({
            "apiVersion": "a/v1", "kind": "K", "metadata": { "name": "n" }, "extra": 1,
            "spec": { "podUid": "ab", "x": 1, "labels": { "any": "y" }, "list": [{ "type": "t", "z": 1 }] },
            "status": { "vifs": { "eth0": { "deep": [1] } }, "w": 1 },
        });
        let pruned = schema().prune(&mut object);
        assert_eq!(pruned, ["extra", "spec.x", "spec.list[0].z", "status.w"]);
        assert_eq!(object["status"]["vifs"]["eth0"]["deep"][0], 1);
        assert_eq!(object["spec"]["labels"]["any"], "y");
        assert_eq!(object["metadata"]["name"], "n");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |spec: Value| {
            let causes = schema().validate(&json!({ "spec": spec }));
            causes.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect::<Vec<_>>()
        };
        assert!(check(json!({ "podUid": "ab", "port": "http", "maybe": null })).is_empty());
        assert_eq!(check(json!({})), ["spec.podUid: Required value"]);
        for (spec, expected) in [
            (
                json!({ "podUid": 1 }),
                "spec.podUid: Invalid value: \"integer\": spec.podUid in body must be of type string: \"integer\"",
            ),
            (
                json!({ "podUid": "a" }),
                "spec.podUid: Invalid value: \"a\": spec.podUid in body should have at least 2 chars long",
            ),
            (
                json!({ "podUid": "ab", "count": 4 }),
                "spec.count: Invalid value: 4: spec.count in body should be less than or equal to 3",
            ),
            (
                json!({ "podUid": "ab", "mode": "c" }),
                "spec.mode: Unsupported value: \"c\": supported values: \"a\", \"b\"",
            ),
            (
                json!({ "podUid": "ab", "list": [{ "type": "t" }, { "type": "t" }] }),
                "spec.list[1]: Duplicate value: {\"type\":\"t\"}",
            ),
        ] {
            assert_eq!(check(spec), [expected]);
        }
        assert_eq!(schema().validate(&json!({}))[0].field, "spec");
    }

    #[test]
    fn defaults_are_filled_in() {
        let mut object = json!({ "spec": {} });
        schema().default(&mut object);
        assert_eq!(object["spec"]["count"], 2);
    }
}
