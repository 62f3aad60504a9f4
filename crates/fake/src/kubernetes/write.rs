//! Creating and changing objects.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::kinds::Kind;
use super::managed::{self, Manager};
use super::metadata;
use super::object::{self, meta_mut};
use super::refusal::{Cause, Refusal};
use super::state::State;
use super::strategy;

/// Through which door an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// The resource itself: where there is a subresource `status`, that part is left alone.
    Main,
    /// The subresource `status`: the rest is left alone.
    Status,
    /// The subresource `finalize` of a namespace.
    Finalize,
    /// All of it, for tests that play several parts at once.
    Back,
}

/// What to do about unknown fields (`fieldValidation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnknownFields {
    Ignore,
    Warn,
    Refuse,
}

/// A write to come.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) kind: Arc<Kind>,
    pub(super) namespace: String,
    pub(super) door: Door,
    pub(super) dry_run: bool,
    pub(super) unknown_fields: UnknownFields,
    pub(super) manager: Manager,
}

/// A write that was done.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) object: Arc<Value>,
    pub(super) created: bool,
    pub(super) warnings: Vec<String>,
}

impl State {
    /// Creates the object.
    pub(super) fn create(&mut self, write: &Write, mut object: Value) -> Result<Written, Refusal> {
        let kind = write.kind.clone();
        let warnings = self.decode(write, &mut object)?;
        if !object::meta(&object, "resourceVersion").is_empty() {
            return Err(Refusal::internal("resourceVersion should not be set on objects to be created"));
        }
        let mut name = object::name(&object).to_owned();
        if name.is_empty() {
            let prefix = object::meta(&object, "generateName").to_owned();
            if prefix.is_empty() {
                let cause = Cause::required("metadata.name", "name or generateName is required");
                return Err(Refusal::invalid(&kind, "", vec![cause]));
            }
            // The longest prefix leaves room for the suffix (apiserver/pkg/storage/names).
            let prefix: String = prefix.chars().take(58).collect();
            name = format!("{prefix}{}", self.new_suffix());
        }
        self.check_namespace(write, &name)?;
        if write.door != Door::Back && kind.status {
            object::field_mut(&mut object, "metadata");
            if let Value::Object(fields) = &mut object {
                fields.remove("status");
            }
        }
        let uid = self.new_uid();
        let created = self.clock.text();
        let metadata = meta_mut(&mut object);
        metadata.insert("name".to_owned(), name.clone().into());
        object::set(metadata, "namespace", kind.namespaced.then(|| write.namespace.clone().into()));
        metadata.insert("uid".to_owned(), uid.into());
        metadata.insert("creationTimestamp".to_owned(), created.into());
        object::set(metadata, "generation", kind.traits.generation.then(|| 1.into()));
        for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "managedFields"] {
            metadata.remove(field);
        }
        self.default(&kind, &mut object);
        self.validate(&kind, &object)?;
        if self.get(&kind, &write.namespace, &name).is_some() {
            return Err(Refusal::already_exists(&kind, &name));
        }
        managed::record(&kind, &write.manager, &self.clock.text(), None, &mut object);
        if write.dry_run {
            return Ok(Written { object: kind.present(&Arc::new(object)), created: true, warnings });
        }
        let stored = self.commit(&kind, &write.namespace, &name, object);
        Ok(Written { object: kind.present(&stored), created: true, warnings })
    }

    /// Replaces the object by what `change` makes of it.
    pub(super) fn revise(
        &mut self,
        write: &Write,
        name: &str,
        change: impl FnOnce(&Value) -> Result<Value, Refusal>,
    ) -> Result<Written, Refusal> {
        let kind = write.kind.clone();
        let old = self.get(&kind, &write.namespace, name).ok_or_else(|| Refusal::not_found(&kind, name))?.clone();
        let mut new = change(&kind.present(&old))?;
        if object::name(&new) != name {
            return Err(Refusal::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({name})",
                object::name(&new)
            )));
        }
        let warnings = self.decode(write, &mut new)?;
        check_same(&kind, &old, &new)?;
        keep_what_only_the_server_sets(&old, &mut new);
        keep_what_the_door_hides(&kind, write.door, &old, &mut new);
        self.default(&kind, &mut new);
        if write.door == Door::Main {
            strategy::check_update(&kind, &old, &new)?;
        }
        check_finalizers(&kind, &old, &new)?;
        self.validate(&kind, &new)?;
        if kind.traits.generation && wishes_differ(&kind, &old, &new) {
            meta_mut(&mut new).insert("generation".to_owned(), (object::generation(&old) + 1).into());
        }
        managed::record(&kind, &write.manager, &self.clock.text(), Some(&old), &mut new);
        if new == *old {
            return Ok(Written { object: kind.present(&old), created: false, warnings });
        }
        if write.dry_run {
            return Ok(Written { object: kind.present(&Arc::new(new)), created: false, warnings });
        }
        if strategy::is_finished(&kind, &new) {
            let object = Arc::new(new);
            self.remove(&kind, &write.namespace, name);
            return Ok(Written { object: kind.present(&object), created: false, warnings });
        }
        let stored = self.commit(&kind, &write.namespace, name, new);
        Ok(Written { object: kind.present(&stored), created: false, warnings })
    }

    /// Brings what a client sent into the stored form; warnings about what was left out.
    fn decode(&mut self, write: &Write, object: &mut Value) -> Result<Vec<String>, Refusal> {
        let kind = &write.kind;
        check_type(kind, object)?;
        let sent = object::namespace(object);
        if kind.namespaced && !sent.is_empty() && sent != write.namespace {
            return Err(Refusal::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        metadata::check_types(kind, object)?;
        let mut unknown = metadata::prune(object);
        *object = kind.to_stored(object.take());
        if !kind.traits.custom {
            drop_nulls(object);
        }
        if let Some(schema) = &kind.schema {
            unknown.extend(schema.prune(object));
        }
        match write.unknown_fields {
            _ if unknown.is_empty() => Ok(Vec::new()),
            UnknownFields::Ignore => Ok(Vec::new()),
            UnknownFields::Warn => Ok(unknown.iter().map(|path| format!("unknown field \"{path}\"")).collect()),
            UnknownFields::Refuse => {
                let said: Vec<_> = unknown.iter().map(|path| format!("unknown field \"{path}\"")).collect();
                Err(Refusal::bad_request(format!(
                    "{} in version \"{}\" cannot be handled as a {}: strict decoding error: {}",
                    kind.kind,
                    kind.version,
                    kind.kind,
                    said.join(", ")
                )))
            }
        }
    }

    fn default(&mut self, kind: &Kind, object: &mut Value) {
        if let Some(schema) = &kind.schema {
            schema.default(object);
        }
        strategy::default(self, kind, object);
    }

    fn validate(&self, kind: &Kind, object: &Value) -> Result<(), Refusal> {
        let mut causes = metadata::validate(kind, object);
        if let Some(schema) = &kind.schema {
            let found = schema.validate(object);
            // What a built-in type cannot even hold fails before validation.
            if !kind.traits.custom
                && let Some(cause) = found.iter().find(|cause| cause.reason == "FieldValueTypeInvalid")
            {
                return Err(Refusal::bad_request(format!(
                    "{} in version \"{}\" cannot be handled as a {}: json: cannot unmarshal {}",
                    kind.kind, kind.version, kind.kind, cause.message
                )));
            }
            causes.extend(found);
        }
        causes.extend(strategy::validate(kind, object));
        if causes.is_empty() { Ok(()) } else { Err(Refusal::invalid(kind, object::name(object), causes)) }
    }

    fn check_namespace(&mut self, write: &Write, name: &str) -> Result<(), Refusal> {
        if !write.kind.namespaced {
            return Ok(());
        }
        if write.namespace.is_empty() {
            return Err(Refusal::bad_request("an empty namespace may not be set during creation"));
        }
        match self.store.get("namespaces", &write.namespace) {
            Some(namespace) if object::is_deleting(namespace) => {
                Err(Refusal::terminating(&write.kind, name, &write.namespace))
            }
            Some(_) => Ok(()),
            None if self.auto_namespaces => {
                self.create_namespace(&write.namespace);
                Ok(())
            }
            None => {
                let namespaces = self.kinds.stored("namespaces");
                Err(namespaces.map_or_else(Refusal::not_served, |kind| Refusal::not_found(&kind, &write.namespace)))
            }
        }
    }

    /// Creates a namespace unless it is there.
    pub(super) fn create_namespace(&mut self, name: &str) {
        let Some(kind) = self.kinds.stored("namespaces") else { return };
        let write = Write::by_server(kind);
        let namespace = serde_json::json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        // It may be there already, which is what is wanted.
        let _ = self.create(&write, namespace);
    }

    /// Stores the object and does what follows from it.
    pub(super) fn commit(&mut self, kind: &Kind, namespace: &str, name: &str, object: Value) -> Arc<Value> {
        let stored = self.store.put(&kind.store, &kind.key(namespace, name), object);
        self.after_write(kind, &stored);
        stored
    }

    /// Removes the object and does what follows from it.
    pub(super) fn remove(&mut self, kind: &Kind, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let removed = self.store.remove(&kind.store, &kind.key(namespace, name))?;
        self.after_removal(&removed);
        Some(removed)
    }
}

impl Write {
    /// A write of the cluster itself.
    pub(super) fn by_server(kind: Arc<Kind>) -> Write {
        Write {
            kind,
            namespace: String::new(),
            door: Door::Back,
            dry_run: false,
            unknown_fields: UnknownFields::Ignore,
            manager: Manager::nobody(),
        }
    }

    pub(super) fn in_namespace(mut self, namespace: &str) -> Write {
        self.namespace = namespace.to_owned();
        self
    }
}

/// `apiVersion` and `kind` must be those of the path, or absent.
fn check_type(kind: &Kind, object: &Value) -> Result<(), Refusal> {
    if !object.is_object() {
        return Err(Refusal::bad_request("couldn't get version/kind; json parse error: the body is not an object"));
    }
    let wanted = kind.api_version();
    let (sent_version, sent_kind) = (&object["apiVersion"], &object["kind"]);
    if kind.traits.custom && (sent_version.is_null() || sent_kind.is_null()) {
        return Err(Refusal::bad_request(format!(
            "Object 'Kind' or 'apiVersion' is missing in the body; {} needs both",
            kind.qualified()
        )));
    }
    if !(sent_kind.is_null() || *sent_kind == *kind.kind) {
        return Err(Refusal::bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}: no kind {sent_kind} is registered for this path",
            sent_kind.as_str().unwrap_or_default(),
            kind.version,
            kind.kind
        )));
    }
    if !(sent_version.is_null() || *sent_version == *wanted) {
        return Err(Refusal::bad_request(format!(
            "the API version in the data ({}) does not match the expected API version ({wanted})",
            sent_version.as_str().unwrap_or_default()
        )));
    }
    Ok(())
}

/// The new state must be meant for this object, and be based on its latest version if it names one.
fn check_same(kind: &Kind, old: &Value, new: &Value) -> Result<(), Refusal> {
    let name = object::name(old);
    let (wanted, found) = (object::uid(new), object::uid(old));
    if !wanted.is_empty() && wanted != found {
        let why = format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}");
        return Err(Refusal::conflict(kind, name, &why));
    }
    match object::meta(new, "resourceVersion") {
        "" if kind.traits.conditional_update => Err(Refusal::unconditional(kind, name)),
        "" => Ok(()),
        version if version == object::meta(old, "resourceVersion") => Ok(()),
        _ => Err(Refusal::stale(kind, name)),
    }
}

fn keep_what_only_the_server_sets(old: &Value, new: &mut Value) {
    let metadata = meta_mut(new);
    for field in [
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        let kept = &old["metadata"][field];
        object::set(metadata, field, (!kept.is_null()).then(|| kept.clone()));
    }
}

fn keep_what_the_door_hides(kind: &Kind, door: Door, old: &Value, new: &mut Value) {
    let keep = |new: &mut Value, field: &str| {
        if let Value::Object(fields) = new {
            object::set(fields, field, old.get(field).cloned());
        }
    };
    match door {
        Door::Back => {}
        Door::Main if kind.status => keep(new, "status"),
        Door::Main => {}
        Door::Finalize => keep(new, "status"),
        Door::Status => {
            let status = new.get("status").cloned();
            let mut shown = old.clone();
            object::set(object::fields_mut(&mut shown), "status", status);
            if !kind.traits.custom {
                // Labels, annotations and finalizers of built-in kinds go through this door too.
                let owners = old["metadata"]["ownerReferences"].clone();
                shown["metadata"] = new["metadata"].take();
                object::set(meta_mut(&mut shown), "ownerReferences", (!owners.is_null()).then_some(owners));
            } else if let Some(managed) = new["metadata"].get("managedFields") {
                shown["metadata"]["managedFields"] = managed.clone();
            }
            *new = shown;
        }
    }
}

/// An object that is being deleted takes no new finalizers.
fn check_finalizers(kind: &Kind, old: &Value, new: &Value) -> Result<(), Refusal> {
    if !object::is_deleting(old) {
        return Ok(());
    }
    let before = object::finalizers(old);
    let added: Vec<_> = object::finalizers(new).into_iter().filter(|finalizer| !before.contains(finalizer)).collect();
    if added.is_empty() {
        return Ok(());
    }
    let list: Vec<_> = added.iter().map(|finalizer| format!("\"{finalizer}\"")).collect();
    let why = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        list.join(", ")
    );
    Err(Refusal::invalid(kind, object::name(old), vec![Cause::forbidden("metadata.finalizers", &why)]))
}

/// Whether anything differs besides metadata and, where it has a door of its own, status.
fn wishes_differ(kind: &Kind, old: &Value, new: &Value) -> bool {
    let wishes = |object: &Value| -> Map<String, Value> {
        let fields = object.as_object().into_iter().flatten();
        fields
            .filter(|(field, _)| *field != "metadata" && !(kind.status && *field == "status"))
            .map(|(field, value)| (field.clone(), value.clone()))
            .collect()
    };
    wishes(old) != wishes(new)
}

/// A typed decoder cannot tell null from absent.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
