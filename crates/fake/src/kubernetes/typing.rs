//! How lists and maps of a kind merge: as a whole, or item by item.
//!
//! Custom kinds say so in their schema (`x-kubernetes-list-type`, `x-kubernetes-map-type`), built-in ones in the markers of
//! their Go types, of which the ones this project meets are listed here.

use serde_json::Value;

use super::kinds::Kind;
use super::object::strings;
use super::schema::Schema;

/// How a value merges with another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape<'a> {
    /// One replaces the other: scalars, atomic lists and maps.
    Whole,
    /// Field by field.
    Fields,
    /// A list of scalars, each at most once.
    Set,
    /// A list of objects, told apart by these fields.
    Keyed(Vec<&'a str>),
}

/// What is known about one place in an object.
#[derive(Clone, Copy, Debug)]
pub(super) enum Typing<'a> {
    /// The root of an object.
    Root(&'a Kind),
    /// Below `metadata`, at the field with this name.
    Metadata(&'a str),
    /// In a custom kind.
    Schema(&'a Value),
    /// In a built-in kind, at the field with this name.
    BuiltIn { store: &'a str, field: &'a str },
    /// An item of a list.
    Item { store: &'a str },
}

impl<'a> Typing<'a> {
    /// The field of this place.
    pub(super) fn field(self, name: &'a str) -> Typing<'a> {
        match self {
            Typing::Root(_) if name == "metadata" => Typing::Metadata(""),
            Typing::Root(kind) => match &kind.schema {
                Some(schema) if kind.traits.custom => Typing::Schema(Schema::descend(schema.value(), name)),
                _ => Typing::BuiltIn { store: &kind.store, field: name },
            },
            Typing::Metadata("") => Typing::Metadata(name),
            Typing::Metadata(_) => Typing::Metadata("other"),
            Typing::Schema(schema) => Typing::Schema(Schema::descend(schema, name)),
            Typing::BuiltIn { store, .. } | Typing::Item { store } => Typing::BuiltIn { store, field: name },
        }
    }

    /// An item of the list that is at this place.
    pub(super) fn item(self) -> Typing<'a> {
        match self {
            Typing::Schema(schema) => Typing::Schema(&schema["items"]),
            Typing::BuiltIn { store, .. } => Typing::Item { store },
            Typing::Root(_) | Typing::Metadata(_) => Typing::Metadata("other"),
            item @ Typing::Item { .. } => item,
        }
    }

    /// How the value at this place merges.
    pub(super) fn shape(self, value: &Value) -> Shape<'a> {
        match value {
            Value::Object(_) if self.is_atomic_map() => Shape::Whole,
            Value::Object(_) => Shape::Fields,
            Value::Array(_) => self.list_shape(),
            _ => Shape::Whole,
        }
    }

    fn is_atomic_map(self) -> bool {
        match self {
            Typing::Schema(schema) => schema["x-kubernetes-map-type"] == "atomic",
            Typing::BuiltIn { field, .. } => matches!(
                field,
                "selector" | "nodeSelector" | "podSelector" | "namespaceSelector" | "involvedObject" | "related"
            ),
            Typing::Root(_) | Typing::Metadata(_) | Typing::Item { .. } => false,
        }
    }

    fn list_shape(self) -> Shape<'a> {
        match self {
            Typing::Metadata("finalizers") => Shape::Set,
            Typing::Metadata("ownerReferences") => Shape::Keyed(vec!["uid"]),
            Typing::Schema(schema) => match schema["x-kubernetes-list-type"].as_str() {
                Some("set") => Shape::Set,
                Some("map") => Shape::Keyed(strings(&schema["x-kubernetes-list-map-keys"])),
                _ => Shape::Whole,
            },
            Typing::BuiltIn { store, field } => built_in_list(store, field),
            Typing::Root(_) | Typing::Metadata(_) | Typing::Item { .. } => Shape::Whole,
        }
    }
}

fn built_in_list<'a>(store: &str, field: &str) -> Shape<'a> {
    match (store, field) {
        ("endpointslices.discovery.k8s.io" | "endpoints" | "networkpolicies.networking.k8s.io", _) => Shape::Whole,
        (
            _,
            "containers"
            | "initContainers"
            | "ephemeralContainers"
            | "volumes"
            | "env"
            | "imagePullSecrets"
            | "secrets",
        ) => Shape::Keyed(vec!["name"]),
        (_, "volumeMounts") => Shape::Keyed(vec!["mountPath"]),
        ("services", "ports") => Shape::Keyed(vec!["port", "protocol"]),
        (_, "ports") => Shape::Keyed(vec!["containerPort", "protocol"]),
        (_, "conditions") | ("nodes", "addresses") => Shape::Keyed(vec!["type"]),
        (_, "podIPs" | "hostIPs" | "hostAliases") => Shape::Keyed(vec!["ip"]),
        (_, "topologySpreadConstraints") => Shape::Keyed(vec!["topologyKey", "whenUnsatisfiable"]),
        ("nodes", "podCIDRs") | ("namespaces", "finalizers") => Shape::Set,
        _ => Shape::Whole,
    }
}

/// What tells an item of a keyed list from others. A protocol that is not named is TCP.
pub(super) fn item_key(keys: &[&str], item: &Value) -> Value {
    keys.iter()
        .filter_map(|key| {
            let value = match &item[*key] {
                Value::Null if *key == "protocol" => "TCP".into(),
                Value::Null => return None,
                value => value.clone(),
            };
            Some(((*key).to_owned(), value))
        })
        .collect()
}
