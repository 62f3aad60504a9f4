//! Strategic merge patch: a merge patch that merges keyed lists item by item (`apimachinery/pkg/util/strategicpatch`).

use serde_json::{Map, Value};

use super::typing::{Shape, Typing};

/// Applies the patch.
pub(super) fn merge(typing: Typing<'_>, target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() || patch.get("$patch").is_some_and(|directive| directive == "replace") {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    if let Some(kept) = patch.get("$retainKeys").and_then(Value::as_array) {
        target.retain(|field, _| kept.iter().any(|name| name == field));
    }
    for (field, change) in patch {
        if let Some(list) = field.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = change.as_array().map_or(&[][..], Vec::as_slice);
            if let Some(Value::Array(items)) = target.get_mut(list) {
                items.retain(|item| !gone.contains(item));
            }
        } else if field.starts_with('$') {
            // Directives to this object were heeded above; orders belong to their lists.
        } else if change.is_null() {
            target.remove(field);
        } else if let Value::Array(items) = change {
            let order = patch.get(&format!("$setElementOrder/{field}")).and_then(Value::as_array);
            let old = target.remove(field).unwrap_or(Value::Array(Vec::new()));
            target.insert(field.clone(), merge_list(typing.field(field), old, items, order));
        } else {
            merge(typing.field(field), target.entry(field.clone()).or_insert(Value::Null), change);
        }
    }
    // An order may come without a change of its list.
    for (field, order) in patch {
        if let (Some(list), Some(order)) = (field.strip_prefix("$setElementOrder/"), order.as_array())
            && !patch.contains_key(list)
            && let Some(Value::Array(items)) = target.get_mut(list)
        {
            let typing = typing.field(list);
            let original = items.clone();
            *items = ordered(typing, std::mem::take(items), order, &original);
        }
    }
}

fn merge_list(typing: Typing<'_>, old: Value, patch: &[Value], order: Option<&Vec<Value>>) -> Value {
    let original = match old {
        Value::Array(items) => items,
        _ => Vec::new(),
    };
    let mut items = original.clone();
    let replaces =
        patch.iter().any(|item| item["$patch"] == "replace" && item.as_object().is_some_and(|i| i.len() == 1));
    let plain = || patch.iter().filter(|item| item["$patch"].is_null()).cloned();
    match typing.shape(&Value::Array(Vec::new())) {
        _ if replaces => return plain().collect(),
        Shape::Set => {
            for item in patch {
                if !items.contains(item) {
                    items.push(item.clone());
                }
            }
        }
        Shape::Keyed(keys) => {
            // A strategic merge knows one key, the first.
            let Some(key) = keys.first() else { return plain().collect() };
            for item in patch {
                let position = items.iter().position(|old| old[*key] == item[*key]);
                match (position, item["$patch"].as_str()) {
                    (Some(position), Some("delete")) => drop(items.remove(position)),
                    (None, Some("delete")) => {}
                    (Some(position), _) => merge(typing.item(), &mut items[position], item),
                    (None, _) => items.push(item.clone()),
                }
            }
        }
        Shape::Whole | Shape::Fields => return plain().collect(),
    }
    let patched: Vec<_> = plain().collect();
    Value::Array(ordered(typing, items, order.unwrap_or(&patched), &original))
}

/// The items in the order the patch names; the others between them, each before what it came before
/// (`normalizeElementOrder`).
fn ordered(typing: Typing<'_>, items: Vec<Value>, order: &[Value], original: &[Value]) -> Vec<Value> {
    let shape = typing.shape(&Value::Array(Vec::new()));
    let position = |list: &[Value], item: &Value| {
        list.iter().position(|other| match &shape {
            Shape::Keyed(keys) => keys.first().is_some_and(|key| other[*key] == item[*key]),
            _ => other == item,
        })
    };
    let (mut named, others): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| position(order, item).is_some());
    named.sort_by_key(|item| position(order, item));
    let mut result = Vec::with_capacity(named.len() + others.len());
    let mut named = named.into_iter().peekable();
    for other in others {
        let at = position(original, &other);
        while let Some(next) = named.next_if(|next| match (at, position(original, next)) {
            (Some(at), Some(next)) => next < at,
            _ => true,
        }) {
            result.push(next);
        }
        result.push(other);
    }
    result.extend(named);
    result
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::kinds::Kinds;
    use super::*;

    fn patched(mut target: Value, patch: Value) -> Value {
        let kinds = Kinds::built_in();
        let pods = kinds.find("", "v1", "pods").unwrap();
        merge(Typing::Root(&pods), &mut target, &patch);
        target
    }

    #[test]
    fn keyed_lists_merge_item_by_item() {
        let pod = json!({ "spec": { "containers": [{ "name": "a", "image": "1" }, { "name": "b", "image": "1" }] } });
        assert_eq!(
            patched(pod.clone(), json!({ "spec": { "containers": [{ "name": "b", "image": "2" }, { "name": "c" }] } })),
            json!({ "spec": { "containers": [{ "name": "a", "image": "1" }, { "name": "b", "image": "2" }, { "name": "c" }] } })
        );
        assert_eq!(
            patched(
                pod,
                json!({ "spec": {
                    "$setElementOrder/containers": [{ "name": "c" }, { "name": "b" }],
                    "containers": [{ "name": "a", "$patch": "delete" }, { "name": "c" }],
                } })
            ),
            json!({ "spec": { "containers": [{ "name": "c" }, { "name": "b", "image": "1" }] } })
        );
    }

    #[test]
    fn sets_grow_and_shrink_by_name() {
        let pod = json!({ "metadata": { "finalizers": ["a", "b"] } });
        assert_eq!(
            patched(pod.clone(), json!({ "metadata": { "finalizers": ["c", "a"] } })),
            json!({ "metadata": { "finalizers": ["c", "a", "b"] } })
        );
        assert_eq!(
            patched(pod, json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": ["a"] } })),
            json!({ "metadata": { "finalizers": ["b"] } })
        );
    }

    #[test]
    fn other_lists_and_maps_are_replaced_or_merged() {
        let pod = json!({ "spec": { "tolerations": [{ "key": "a" }], "nodeSelector": { "a": "b" } } });
        assert_eq!(
            patched(
                pod,
                json!({ "spec": { "tolerations": [{ "key": "b" }], "nodeSelector": { "c": "d", "a": null } } })
            ),
            json!({ "spec": { "tolerations": [{ "key": "b" }], "nodeSelector": { "c": "d" } } })
        );
        let map = json!({ "data": { "a": "1" }, "metadata": { "labels": { "x": "y" } } });
        assert_eq!(
            patched(map, json!({ "data": { "$patch": "replace", "b": "2" } })),
            json!({ "data": { "b": "2" }, "metadata": { "labels": { "x": "y" } } })
        );
    }
}
