//! What controllers of a real cluster do after a deletion: the garbage collector, the namespace controller and the
//! finalizer of custom resource definitions.

use std::sync::Arc;

use serde_json::Value;

use super::crd;
use super::delete::{DeleteOptions, FOREGROUND, ORPHAN, Propagation};
use super::kinds::Kind;
use super::object;
use super::state::State;
use super::store::Place;
use super::strategy;

/// Something left to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// An owner with this UID is gone: so go those it was the last owner of.
    OwnerGone(String),
    /// This object names owners: one of them at least must exist.
    CheckOwners(String),
    /// This object waits for its dependents.
    Propagate(String),
    /// The namespace is being deleted: so is what is in it, and then it goes.
    EmptyNamespace(String),
    /// The definition is being deleted: so are its objects, and then it goes.
    EmptyResource(String),
}

const CRDS: &str = "customresourcedefinitions.apiextensions.k8s.io";

impl State {
    /// What follows from an object having been written.
    pub(super) fn after_write(&mut self, kind: &Kind, object: &Arc<Value>) {
        if !object::owner_references(object).is_empty() && !object::is_deleting(object) {
            self.tasks.push_back(Task::CheckOwners(object::uid(object).to_owned()));
        }
        if kind.is(CRDS) {
            crd::serve(self, object);
        }
    }

    /// What follows from an object having been removed.
    pub(super) fn after_removal(&mut self, object: &Value) {
        let uid = object::uid(object);
        if !self.store.dependents_of(uid).is_empty() {
            self.tasks.push_back(Task::OwnerGone(uid.to_owned()));
        }
        for reference in object::owner_references(object) {
            self.tasks.push_back(Task::Propagate(reference["uid"].as_str().unwrap_or_default().to_owned()));
        }
        let namespace = object::namespace(object);
        if self.store.get("namespaces", namespace).is_some_and(|namespace| object::is_deleting(namespace)) {
            self.tasks.push_back(Task::EmptyNamespace(namespace.to_owned()));
        }
        let Some(kind) = self.kinds.of_object(object) else { return };
        if kind.is(CRDS) {
            self.kinds.remove_store(object::name(object));
        } else if kind.traits.custom
            && self.store.get(CRDS, &kind.store).is_some_and(|definition| object::is_deleting(definition))
        {
            self.tasks.push_back(Task::EmptyResource(kind.store.to_string()));
        }
    }

    /// Does all that is left to do.
    pub(super) fn collect(&mut self) {
        while let Some(task) = self.tasks.pop_front() {
            match task {
                Task::OwnerGone(uid) => {
                    for place in self.store.dependents_of(&uid) {
                        self.check_owners(&place);
                    }
                }
                Task::CheckOwners(uid) => {
                    if let Some(place) = self.store.place_of(&uid).cloned() {
                        self.check_owners(&place);
                    }
                }
                Task::Propagate(uid) => self.propagate(&uid),
                Task::EmptyNamespace(name) => self.empty_namespace(&name),
                Task::EmptyResource(name) => self.empty_resource(&name),
            }
        }
    }

    /// Deletes the object if none of its owners exists, else drops its references to those that do not.
    fn check_owners(&mut self, place: &Place) {
        let Some((kind, object)) = self.at(place) else { return };
        let exists = |reference: &Value| {
            let owner = reference["uid"].as_str().and_then(|uid| self.store.place_of(uid));
            // An owner in another namespace is none.
            owner.is_some_and(|(_, key)| match key.split_once('/') {
                Some((namespace, _)) => namespace == object::namespace(&object),
                None => true,
            })
        };
        let references = object::owner_references(&object);
        let existing: Vec<_> = references.iter().filter(|reference| exists(reference)).cloned().collect();
        if existing.len() == references.len() {
            return;
        }
        let (namespace, name) = (object::namespace(&object).to_owned(), object::name(&object).to_owned());
        if existing.is_empty() {
            let options = DeleteOptions {
                propagation: Some(Propagation::Background),
                uid: Some(object::uid(&object).to_owned()),
                ..DeleteOptions::default()
            };
            // Gone in the meantime is as good.
            let _ = self.delete(&kind, &namespace, &name, &options);
        } else {
            let mut object = Value::clone(&object);
            object::meta_mut(&mut object).insert("ownerReferences".to_owned(), existing.into());
            self.commit(&kind, &namespace, &name, object);
        }
    }

    /// Goes on with an object that is deleted in the foreground, or leaves its dependents behind.
    fn propagate(&mut self, uid: &str) {
        let Some((kind, object)) = self.store.place_of(uid).cloned().and_then(|place| self.at(&place)) else { return };
        if !object::is_deleting(&object) {
            return;
        }
        let finalizers = object::finalizers(&object);
        let dependents = self.store.dependents_of(uid);
        if finalizers.contains(&ORPHAN) {
            for place in dependents {
                let Some((kind, dependent)) = self.at(&place) else { continue };
                let mut dependent = Value::clone(&dependent);
                let kept: Vec<_> =
                    object::owner_references(&dependent).iter().filter(|owner| owner["uid"] != *uid).cloned().collect();
                let metadata = object::meta_mut(&mut dependent);
                object::set(metadata, "ownerReferences", (!kept.is_empty()).then(|| kept.into()));
                let (namespace, name) = (object::namespace(&dependent).to_owned(), object::name(&dependent).to_owned());
                self.commit(&kind, &namespace, &name, dependent);
            }
            self.lift_finalizer(&kind, &object, ORPHAN);
        } else if finalizers.contains(&FOREGROUND) {
            let blocks = |state: &State, place: &Place| {
                state.at(place).is_some_and(|(_, dependent)| {
                    object::owner_references(&dependent)
                        .iter()
                        .any(|owner| owner["uid"] == *uid && owner["blockOwnerDeletion"] == true)
                })
            };
            for place in &dependents {
                let Some((kind, dependent)) = self.at(place) else { continue };
                if !object::is_deleting(&dependent) {
                    let (namespace, name) = (object::namespace(&dependent), object::name(&dependent));
                    let options =
                        DeleteOptions { propagation: Some(Propagation::Foreground), ..DeleteOptions::default() };
                    let _ = self.delete(&kind, namespace, name, &options);
                }
            }
            if !dependents.iter().any(|place| blocks(self, place)) {
                self.lift_finalizer(&kind, &object, FOREGROUND);
            }
        }
    }

    fn empty_namespace(&mut self, name: &str) {
        let Some(namespace) = self.store.get("namespaces", name).cloned() else { return };
        if !object::is_deleting(&namespace) {
            return;
        }
        let prefix = format!("{name}/");
        let stores: Vec<_> = self.store.stores().cloned().collect();
        let mut left = false;
        for store in stores {
            let Some(kind) = self.kinds.stored(&store).filter(|kind| kind.namespaced) else { continue };
            let objects: Vec<_> = self.store.range(&store, &prefix).map(|(_, object)| object.clone()).collect();
            for object in objects {
                if !object::is_deleting(&object) {
                    let options =
                        DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
                    let _ = self.delete(&kind, name, object::name(&object), &options);
                }
            }
            left |= self.store.range(&store, &prefix).next().is_some();
        }
        if left {
            return;
        }
        let mut namespace = Value::clone(&namespace);
        object::field_mut(&mut namespace, "spec").remove("finalizers");
        let Some(kind) = self.kinds.stored("namespaces") else { return };
        if strategy::is_finished(&kind, &namespace) {
            self.remove(&kind, "", name);
        } else {
            self.commit(&kind, "", name, namespace);
        }
    }

    fn empty_resource(&mut self, name: &str) {
        let Some(definition) = self.store.get(CRDS, name).cloned() else { return };
        if !object::is_deleting(&definition) {
            return;
        }
        if let Some(kind) = self.kinds.stored(name) {
            let objects: Vec<_> = self.store.range(name, "").map(|(_, object)| object.clone()).collect();
            for object in objects {
                if !object::is_deleting(&object) {
                    let (namespace, name) = (object::namespace(&object), object::name(&object));
                    let _ = self.delete(&kind, namespace, name, &DeleteOptions::default());
                }
            }
        }
        if self.store.range(name, "").next().is_none()
            && let Some(kind) = self.kinds.stored(CRDS)
        {
            self.lift_finalizer(&kind, &definition, crd::FINALIZER);
        }
    }

    /// Removes a finalizer, and the object with the last one.
    fn lift_finalizer(&mut self, kind: &Kind, object: &Value, finalizer: &str) {
        let (namespace, name) = (object::namespace(object), object::name(object));
        let Some(current) = self.get(kind, namespace, name).cloned() else { return };
        let mut object = Value::clone(&current);
        object::remove_finalizer(&mut object, finalizer);
        if strategy::is_finished(kind, &object) {
            self.remove(kind, namespace, name);
        } else if object::finalizers(&object).len() != object::finalizers(&current).len() {
            self.commit(kind, namespace, name, object);
        }
    }

    fn at(&self, (store, key): &Place) -> Option<(Arc<Kind>, Arc<Value>)> {
        Some((self.kinds.stored(store)?, self.store.get(store, key)?.clone()))
    }
}
