//! Merge patch (RFC 7396) and JSON patch (RFC 6902) as the API server applies them.

use serde_json::{Map, Value};

/// A patch that does not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DoesNotApply;

/// Applies a merge patch.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (field, change) in patch {
        if change.is_null() {
            target.remove(field);
        } else {
            merge(target.entry(field.clone()).or_insert(Value::Null), change);
        }
    }
}

/// Applies a JSON patch, all of it or nothing.
///
/// One leniency is deliberate: `replace` of a member that is not there adds it. The API server's library
/// (evanphx/json-patch v4) does so, and kuryr-kubernetes relies on it.
pub(super) fn apply_json_patch(target: &mut Value, patch: &Value) -> Result<(), DoesNotApply> {
    let mut patched = target.clone();
    for operation in patch.as_array().ok_or(DoesNotApply)? {
        apply_operation(&mut patched, operation)?;
    }
    *target = patched;
    Ok(())
}

fn apply_operation(target: &mut Value, operation: &Value) -> Result<(), DoesNotApply> {
    let text = |field: &str| operation[field].as_str().ok_or(DoesNotApply);
    let path = text("path")?;
    let value = || operation.get("value").cloned().ok_or(DoesNotApply);
    match text("op")? {
        "add" => add(target, path, value()?),
        "remove" => remove(target, path).map(drop),
        "replace" => replace(target, path, value()?),
        "move" => {
            let moved = remove(target, text("from")?)?;
            add(target, path, moved)
        }
        "copy" => {
            let copied = target.pointer(text("from")?).cloned().ok_or(DoesNotApply)?;
            add(target, path, copied)
        }
        "test" => {
            let expected = operation.get("value").unwrap_or(&Value::Null);
            let found = target.pointer(path).unwrap_or(&Value::Null);
            if found == expected { Ok(()) } else { Err(DoesNotApply) }
        }
        _ => Err(DoesNotApply),
    }
}

/// The container a pointer ends in, and the last token.
fn container<'a>(target: &'a mut Value, pointer: &str) -> Result<(&'a mut Value, String), DoesNotApply> {
    let (parent, last) = pointer.rsplit_once('/').ok_or(DoesNotApply)?;
    let parent = target.pointer_mut(parent).ok_or(DoesNotApply)?;
    Ok((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn add(target: &mut Value, pointer: &str, value: Value) -> Result<(), DoesNotApply> {
    if pointer.is_empty() {
        *target = value;
        return Ok(());
    }
    match container(target, pointer)? {
        (Value::Object(map), key) => drop(map.insert(key, value)),
        (Value::Array(list), key) if key == "-" => list.push(value),
        (Value::Array(list), key) => {
            let index = index(&key, list.len() + 1)?;
            list.insert(index, value);
        }
        _ => return Err(DoesNotApply),
    }
    Ok(())
}

fn remove(target: &mut Value, pointer: &str) -> Result<Value, DoesNotApply> {
    match container(target, pointer)? {
        (Value::Object(map), key) => map.remove(&key).ok_or(DoesNotApply),
        (Value::Array(list), key) => {
            let index = index(&key, list.len())?;
            Ok(list.remove(index))
        }
        _ => Err(DoesNotApply),
    }
}

fn replace(target: &mut Value, pointer: &str, value: Value) -> Result<(), DoesNotApply> {
    if pointer.is_empty() {
        *target = value;
        return Ok(());
    }
    match container(target, pointer)? {
        (Value::Object(map), key) => drop(map.insert(key, value)),
        (Value::Array(list), key) => {
            let index = index(&key, list.len())?;
            list[index] = value;
        }
        _ => return Err(DoesNotApply),
    }
    Ok(())
}

fn index(key: &str, end: usize) -> Result<usize, DoesNotApply> {
    key.parse().ok().filter(|index| *index < end).ok_or(DoesNotApply)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn merge_replaces_adds_and_removes() {
        let mut target = json!({ "a": { "b": 1, "c": 2 }, "list": [1, 2] });
        merge(&mut target, &json!({ "a": { "b": null, "d": { "e": null, "f": 1 } }, "list": [3] }));
        assert_eq!(target, json!({ "a": { "c": 2, "d": { "f": 1 } }, "list": [3] }));
    }

    #[test]
    fn operations_apply_in_order() {
        let mut target = json!({ "a": { "b": 1 }, "list": [1, 3], "x/y": 1 });
        let patch = json!([
            { "op": "test", "path": "/a/b", "value": 1 },
            { "op": "add", "path": "/list/1", "value": 2 },
            { "op": "add", "path": "/list/-", "value": 4 },
            { "op": "remove", "path": "/x~1y" },
            { "op": "move", "from": "/a/b", "path": "/c" },
            { "op": "copy", "from": "/list", "path": "/copy" },
            { "op": "replace", "path": "/copy/0", "value": 9 },
        ]);
        apply_json_patch(&mut target, &patch).unwrap();
        assert_eq!(target, json!({ "a": {}, "list": [1, 2, 3, 4], "c": 1, "copy": [9, 2, 3, 4] }));
    }

    #[test]
    fn replacing_a_missing_member_adds_it_but_not_below_a_missing_parent() {
        let mut target = json!({ "status": {} });
        let replace = |path: &str| json!([{ "op": "replace", "path": path, "value": 1 }]);
        apply_json_patch(&mut target, &replace("/status/vifs")).unwrap();
        assert_eq!(target, json!({ "status": { "vifs": 1 } }));
        assert_eq!(apply_json_patch(&mut target, &replace("/spec/x")), Err(DoesNotApply));
    }

    #[test]
    fn a_patch_applies_as_a_whole_or_not_at_all() {
        let mut target = json!({ "a": 1, "list": [] });
        for bad in [
            json!({ "op": "test", "path": "/a", "value": 2 }),
            json!({ "op": "remove", "path": "/b" }),
            json!({ "op": "remove", "path": "/list/0" }),
            json!({ "op": "replace", "path": "/list/0", "value": 1 }),
            json!({ "op": "add", "path": "/list/1", "value": 1 }),
            json!({ "op": "add", "path": "/c" }),
            json!({ "op": "jump", "path": "/c" }),
        ] {
            let patch = json!([{ "op": "add", "path": "/z", "value": 1 }, bad]);
            assert_eq!(apply_json_patch(&mut target, &patch), Err(DoesNotApply), "{bad}");
        }
        assert_eq!(target, json!({ "a": 1, "list": [] }));
    }
}
