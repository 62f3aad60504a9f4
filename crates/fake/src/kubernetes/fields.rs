//! Sets of fields (`FieldsV1`): the unit in which managers own an object.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::typing::{Shape, Typing, item_key};

/// A set of fields, as a tree. Branches are named as in `FieldsV1`: `f:` field, `k:` item by key, `v:` item by value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    /// The root of this tree belongs to the set.
    own: bool,
    below: BTreeMap<String, Fields>,
}

impl Fields {
    fn leaf() -> Fields {
        Fields { own: true, below: BTreeMap::new() }
    }

    /// `fieldsV1`.
    pub(super) fn parse(value: &Value) -> Fields {
        let Some(map) = value.as_object() else { return Fields::default() };
        let own = map.is_empty() || map.contains_key(".");
        let below = map.iter().filter(|(name, _)| *name != ".");
        Fields { own, below: below.map(|(name, value)| (name.clone(), Fields::parse(value))).collect() }
    }

    pub(super) fn to_value(&self) -> Value {
        let mut map: Map<String, Value> =
            self.below.iter().map(|(name, fields)| (name.clone(), fields.to_value())).collect();
        if self.own && !map.is_empty() {
            map.insert(".".to_owned(), json!({}));
        }
        Value::Object(map)
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.own && self.below.values().all(Fields::is_empty)
    }

    /// All fields an object sets: what its applier owns.
    pub(super) fn of(typing: Typing<'_>, value: &Value) -> Fields {
        let mut fields = Fields::default();
        match (typing.shape(value), value) {
            (Shape::Fields, Value::Object(map)) if !map.is_empty() => {
                for (name, value) in map {
                    fields.below.insert(format!("f:{name}"), Fields::of(typing.field(name), value));
                }
            }
            (Shape::Set, Value::Array(items)) if !items.is_empty() => {
                fields.below.extend(items.iter().map(|item| (format!("v:{item}"), Fields::leaf())));
            }
            (Shape::Keyed(keys), Value::Array(items)) if !items.is_empty() => {
                for item in items {
                    let mut inner = Fields::of(typing.item(), item);
                    inner.own = true;
                    fields.below.insert(format!("k:{}", item_key(&keys, item)), inner);
                }
            }
            _ => fields.own = true,
        }
        fields
    }

    /// What differs: (new or changed, gone).
    pub(super) fn diff(typing: Typing<'_>, old: &Value, new: &Value) -> (Fields, Fields) {
        let (mut changed, mut gone) = (Fields::default(), Fields::default());
        diff(typing, old, new, &mut changed, &mut gone);
        (changed, gone)
    }

    /// Without a field of the root.
    pub(super) fn without_field(mut self, name: &str) -> Fields {
        self.below.remove(&format!("f:{name}"));
        self
    }

    /// With nothing but one field of the root.
    pub(super) fn only_field(mut self, name: &str) -> Fields {
        let name = format!("f:{name}");
        self.below.retain(|field, _| *field == name);
        self
    }

    /// Without what the server sets or what names the object.
    pub(super) fn without_identity(mut self) -> Fields {
        for name in ["f:apiVersion", "f:kind"] {
            self.below.remove(name);
        }
        if let Some(metadata) = self.below.get_mut("f:metadata") {
            metadata.own = false;
            for name in [
                "name",
                "generateName",
                "namespace",
                "uid",
                "resourceVersion",
                "creationTimestamp",
                "generation",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
                "managedFields",
                "selfLink",
            ] {
                metadata.below.remove(&format!("f:{name}"));
            }
        }
        self.pruned()
    }

    pub(super) fn union(mut self, other: &Fields) -> Fields {
        self.own |= other.own;
        for (name, fields) in &other.below {
            let mine = self.below.remove(name).unwrap_or_default();
            self.below.insert(name.clone(), mine.union(fields));
        }
        self
    }

    pub(super) fn intersection(&self, other: &Fields) -> Fields {
        let both = self.below.iter().filter_map(|(name, fields)| {
            let other = other.below.get(name)?;
            Some((name.clone(), fields.intersection(other)))
        });
        Fields { own: self.own && other.own, below: both.collect() }.pruned()
    }

    pub(super) fn difference(&self, other: &Fields) -> Fields {
        let left = self.below.iter().map(|(name, fields)| {
            let left = other.below.get(name).map_or_else(|| fields.clone(), |other| fields.difference(other));
            (name.clone(), left)
        });
        Fields { own: self.own && !other.own, below: left.collect() }.pruned()
    }

    /// Takes the fields out of an object, and what is empty without them.
    pub(super) fn remove_from(&self, typing: Typing<'_>, value: &mut Value) {
        match (typing.shape(value), value) {
            (Shape::Fields, Value::Object(map)) => {
                for (name, fields) in &self.below {
                    let Some(name) = name.strip_prefix("f:") else { continue };
                    let Some(inner) = map.get_mut(name) else { continue };
                    if !fields.own {
                        fields.remove_from(typing.field(name), inner);
                    }
                    if fields.own || is_hollow(inner) {
                        map.remove(name);
                    }
                }
            }
            (Shape::Set, Value::Array(items)) => {
                items.retain(|item| !self.below.contains_key(&format!("v:{item}")));
            }
            (Shape::Keyed(keys), Value::Array(items)) => {
                items.retain_mut(|item| {
                    let Some(fields) = self.below.get(&format!("k:{}", item_key(&keys, item))) else { return true };
                    if !fields.own {
                        fields.remove_from(typing.item(), item);
                    }
                    !fields.own
                });
            }
            _ => {}
        }
    }

    /// The fields as error messages name them: `.spec.containers[name="a"].image`.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.collect_names(String::new(), &mut names);
        names
    }

    fn collect_names(&self, path: String, names: &mut Vec<String>) {
        for (branch, fields) in &self.below {
            let step = match branch.split_at(2) {
                ("f:", name) => format!(".{name}"),
                ("v:", value) => format!("[={value}]"),
                (_, key) => {
                    let key: Map<String, Value> = serde_json::from_str(key).unwrap_or_default();
                    let pairs: Vec<_> = key.iter().map(|(name, value)| format!("{name}={value}")).collect();
                    format!("[{}]", pairs.join(","))
                }
            };
            fields.collect_names(format!("{path}{step}"), names);
        }
        if self.own {
            names.push(path);
        }
    }

    fn pruned(mut self) -> Fields {
        self.below.retain(|_, fields| !fields.is_empty());
        self
    }
}

fn is_hollow(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

fn diff(typing: Typing<'_>, old: &Value, new: &Value, changed: &mut Fields, gone: &mut Fields) {
    if old == new {
        return;
    }
    match (typing.shape(old), typing.shape(new), old, new) {
        (Shape::Fields, Shape::Fields, Value::Object(before), Value::Object(after)) => {
            for (name, old) in before {
                let branch = format!("f:{name}");
                match after.get(name) {
                    None => drop(gone.below.insert(branch, whole(typing.field(name), old))),
                    Some(new) => diff_below(branch, typing.field(name), old, new, changed, gone),
                }
            }
            for (name, new) in after {
                if !before.contains_key(name) {
                    changed.below.insert(format!("f:{name}"), whole(typing.field(name), new));
                }
            }
        }
        (Shape::Set, Shape::Set, Value::Array(before), Value::Array(after)) => {
            let branch = |item: &&Value| (format!("v:{item}"), Fields::leaf());
            gone.below.extend(before.iter().filter(|item| !after.contains(item)).map(|item| branch(&item)));
            changed.below.extend(after.iter().filter(|item| !before.contains(item)).map(|item| branch(&item)));
        }
        (Shape::Keyed(keys), Shape::Keyed(_), Value::Array(before), Value::Array(after)) => {
            let find = |list: &[Value], key: &Value| list.iter().find(|item| item_key(&keys, item) == *key).cloned();
            for old in before {
                let key = item_key(&keys, old);
                let branch = format!("k:{key}");
                match find(after, &key) {
                    None => drop(gone.below.insert(branch, whole(typing.item(), old))),
                    Some(new) => diff_below(branch, typing.item(), old, &new, changed, gone),
                }
            }
            for new in after {
                let key = item_key(&keys, new);
                if find(before, &key).is_none() {
                    changed.below.insert(format!("k:{key}"), whole(typing.item(), new));
                }
            }
        }
        _ => {
            // One whole in place of another, or of a tree.
            if matches!(typing.shape(old), Shape::Whole) {
                changed.own = true;
            } else {
                *gone = whole(typing, old);
            }
            *changed = std::mem::take(changed).union(&Fields::of(typing, new));
        }
    }
}

fn diff_below(branch: String, typing: Typing<'_>, old: &Value, new: &Value, changed: &mut Fields, gone: &mut Fields) {
    let (inner_changed, inner_gone) = Fields::diff(typing, old, new);
    if !inner_changed.is_empty() {
        changed.below.insert(branch.clone(), inner_changed);
    }
    if !inner_gone.is_empty() {
        gone.below.insert(branch, inner_gone);
    }
}

/// Everything in a value that came or went as a whole, itself included.
fn whole(typing: Typing<'_>, value: &Value) -> Fields {
    let mut fields = Fields::of(typing, value);
    fields.own = true;
    for (branch, inner) in &mut fields.below {
        if let (Some(name), Value::Object(map)) = (branch.strip_prefix("f:"), value)
            && let Some(value) = map.get(name)
        {
            *inner = whole(typing.field(name), value);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::super::kinds::Kinds;
    use super::*;

    fn pod(image: &str, labels: Value, finalizers: Value) -> Value {
        json!({
            "metadata": { "name": "p", "labels": labels, "finalizers": finalizers },
            "spec": { "containers": [{ "name": "a", "image": image }], "tolerations": [{ "key": "x" }] },
        })
    }

    #[test]
    fn a_set_reads_as_the_api_server_writes_it() {
        let kinds = Kinds::built_in();
        let pods = kinds.find("", "v1", "pods").unwrap();
        let fields =
            Fields::of(Typing::Root(&pods), &pod("i", json!({ "app": "x" }), json!(["f/a"]))).without_identity();
        let value = fields.to_value();
        assert_eq!(
            value,
            json!({
                "f:metadata": { "f:labels": { "f:app": {} }, "f:finalizers": { "v:\"f/a\"": {} } },
                "f:spec": {
                    "f:containers": { "k:{\"name\":\"a\"}": { ".": {}, "f:name": {}, "f:image": {} } },
                    "f:tolerations": {},
                },
            })
        );
        assert_eq!(Fields::parse(&value), fields);
        assert_eq!(
            fields.names(),
            [
                ".metadata.finalizers[=\"f/a\"]",
                ".metadata.labels.app",
                ".spec.containers[name=\"a\"].image",
                ".spec.containers[name=\"a\"].name",
                ".spec.containers[name=\"a\"]",
                ".spec.tolerations",
            ]
        );
    }

    #[test]
    fn a_difference_names_what_changed_and_what_went() {
        let kinds = Kinds::built_in();
        let pods = kinds.find("", "v1", "pods").unwrap();
        let old = pod("1", json!({ "a": "x", "b": "y" }), json!(["f/a"]));
        let new = pod("2", json!({ "a": "z" }), json!(["f/b"]));
        let (changed, gone) = Fields::diff(Typing::Root(&pods), &old, &new);
        assert_eq!(
            changed.names(),
            [".metadata.finalizers[=\"f/b\"]", ".metadata.labels.a", ".spec.containers[name=\"a\"].image"]
        );
        assert_eq!(gone.names(), [".metadata.finalizers[=\"f/a\"]", ".metadata.labels.b"]);
    }

    #[test]
    fn fields_are_taken_out_with_what_they_leave_empty() {
        let kinds = Kinds::built_in();
        let pods = kinds.find("", "v1", "pods").unwrap();
        let typing = Typing::Root(&pods);
        let mut object = pod("1", json!({ "a": "x" }), json!(["f/a", "f/b"]));
        Fields::of(typing, &json!({ "metadata": { "labels": { "a": "" }, "finalizers": ["f/b"] } }))
            .remove_from(typing, &mut object);
        assert_eq!(object["metadata"], json!({ "name": "p", "finalizers": ["f/a"] }));
    }
}
