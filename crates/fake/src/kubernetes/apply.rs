//! Server-side apply.

use std::sync::Arc;

use serde_json::Value;

use super::fields::Fields;
use super::kinds::Kind;
use super::managed::{self, Claim};
use super::object::{self, meta_mut};
use super::refusal::{Cause, Refusal};
use super::state::State;
use super::typing::{Shape, Typing, item_key};
use super::write::{Door, Write, Written};

impl State {
    /// Makes the object have what is applied, and no more of what the same manager applied before.
    pub(super) fn apply(
        &mut self,
        mut write: Write,
        name: &str,
        applied: Value,
        force: bool,
    ) -> Result<Written, Refusal> {
        let kind = write.kind.clone();
        if write.manager.name.is_empty() {
            let cause = Cause::required("fieldManager", "is required for apply patch");
            return Err(Refusal::patch_options(cause));
        }
        if !applied["metadata"]["managedFields"].is_null() {
            return Err(Refusal::bad_request("metadata.managedFields must be nil"));
        }
        if applied["apiVersion"].is_null() || applied["kind"].is_null() {
            return Err(Refusal::bad_request("Object 'Kind' and 'apiVersion' must be set in an apply patch"));
        }
        let mut applied = applied;
        object::default(meta_mut(&mut applied), "name", name);
        let stored = kind.to_stored(applied.clone());
        check_declared(&kind, &stored)?;
        let fields = Fields::of(Typing::Root(&kind), &stored).without_identity();
        let fields = match write.door {
            Door::Status => fields.only_field("status"),
            Door::Main if kind.status => fields.without_field("status"),
            _ => fields,
        };
        write.manager.claim = Claim::Applied(fields.clone());
        if self.get(&kind, &write.namespace, name).is_none() {
            if write.door == Door::Status {
                return Err(Refusal::not_found(&kind, name));
            }
            return self.create(&write, applied);
        }
        let manager = write.manager.clone();
        self.revise(&write, name, |old| {
            let old = kind.to_stored(old.clone());
            let typing = Typing::Root(&kind);
            let mut new = merge(typing, &old, &stored);
            let others = managed::others(&manager, &old);
            if !force {
                let (changed, _) = Fields::diff(typing, &old, &new);
                let conflicts: Vec<_> = others
                    .iter()
                    .flat_map(|(called, owned)| {
                        let names = changed.intersection(owned).names();
                        names.into_iter().map(|field| (called.clone(), field))
                    })
                    .collect();
                if !conflicts.is_empty() {
                    return Err(Refusal::apply_conflicts(&conflicts));
                }
            }
            let dropped = managed::applied_before(&manager, &old).difference(&fields);
            let dropped = others.iter().fold(dropped, |dropped, (_, owned)| dropped.difference(owned));
            dropped.remove_from(typing, &mut new);
            Ok(Value::clone(&kind.present(&Arc::new(new))))
        })
    }
}

/// Refuses fields the schema does not know: nobody could own them.
fn check_declared(kind: &Kind, applied: &Value) -> Result<(), Refusal> {
    let Some(schema) = &kind.schema else { return Ok(()) };
    let unknown = schema.prune(&mut applied.clone());
    let Some(field) = unknown.first() else { return Ok(()) };
    Err(Refusal::internal(format!(
        "failed to create typed patch object ({}/{}; {}, Kind={}): .{field}: field not declared in schema",
        object::namespace(applied),
        object::name(applied),
        kind.api_version(),
        kind.kind
    )))
}

/// The live object with what is applied in it.
fn merge(typing: Typing<'_>, live: &Value, applied: &Value) -> Value {
    match (typing.shape(live), typing.shape(applied), live, applied) {
        (Shape::Fields, Shape::Fields, Value::Object(live), Value::Object(applied)) => {
            let mut merged = live.clone();
            for (name, value) in applied {
                let value = match merged.get(name) {
                    Some(live) => merge(typing.field(name), live, value),
                    None => value.clone(),
                };
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Shape::Set, Shape::Set, Value::Array(live), Value::Array(applied)) => {
            let new = applied.iter().filter(|item| !live.contains(item));
            live.iter().chain(new).cloned().collect()
        }
        (Shape::Keyed(keys), Shape::Keyed(_), Value::Array(live), Value::Array(applied)) => {
            let mut merged = live.clone();
            for item in applied {
                let key = item_key(&keys, item);
                match merged.iter_mut().find(|live| item_key(&keys, live) == key) {
                    Some(live) => *live = merge(typing.item(), live, item),
                    None => merged.push(item.clone()),
                }
            }
            Value::Array(merged)
        }
        _ => applied.clone(),
    }
}
