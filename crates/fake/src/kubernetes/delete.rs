//! Deleting objects: grace periods, finalizers, what becomes of dependents (`apiserver/pkg/registry/rest`).

use std::sync::Arc;

use serde_json::Value;

use super::clock::shifted;
use super::collect::Task;
use super::kinds::Kind;
use super::object::{self, meta_mut};
use super::refusal::Refusal;
use super::request::Query;
use super::state::State;
use super::strategy;

pub(super) const FOREGROUND: &str = "foregroundDeletion";
pub(super) const ORPHAN: &str = "orphan";

/// What becomes of dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Propagation {
    /// They go after it.
    Background,
    /// It stays until those that block it are gone.
    Foreground,
    /// They stay.
    Orphan,
}

/// `metav1.DeleteOptions`.
#[derive(Clone, Debug, Default)]
pub(super) struct DeleteOptions {
    pub(super) grace_period: Option<i64>,
    pub(super) propagation: Option<Propagation>,
    pub(super) uid: Option<String>,
    pub(super) version: Option<String>,
    pub(super) dry_run: bool,
}

impl DeleteOptions {
    /// From the body, or from the query if there is none.
    pub(super) fn parse(body: &Value, query: &Query) -> Result<DeleteOptions, Refusal> {
        let text = |field: &str| body[field].as_str().or_else(|| query.get(field));
        let grace_period = match body["gracePeriodSeconds"].as_i64() {
            Some(seconds) => Some(seconds),
            None => query.number("gracePeriodSeconds")?.and_then(|seconds| i64::try_from(seconds).ok()),
        };
        let propagation = match text("propagationPolicy") {
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some("Orphan") => Some(Propagation::Orphan),
            Some(other) => {
                return Err(Refusal::bad_request(format!(
                    "propagationPolicy: Unsupported value: \"{other}\": supported values: \"Foreground\", \
                     \"Background\", \"Orphan\", \"nil\""
                )));
            }
            None => match body["orphanDependents"].as_bool() {
                Some(true) => Some(Propagation::Orphan),
                Some(false) => Some(Propagation::Background),
                None => None,
            },
        };
        let precondition = |field: &str| body["preconditions"][field].as_str().map(str::to_owned);
        Ok(DeleteOptions {
            grace_period,
            propagation,
            uid: precondition("uid"),
            version: precondition("resourceVersion"),
            dry_run: query.get("dryRun").is_some() || body["dryRun"].as_array().is_some_and(|list| !list.is_empty()),
        })
    }
}

/// What a deletion came to.
#[derive(Clone, Debug)]
pub(super) enum Deleted {
    /// The object is gone; its last state.
    Gone(Arc<Value>),
    /// It is marked, and waits for its grace period or finalizers.
    Pending(Arc<Value>),
}

impl State {
    pub(super) fn delete(
        &mut self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted, Refusal> {
        let old = self.get(kind, namespace, name).ok_or_else(|| Refusal::not_found(kind, name))?.clone();
        check_preconditions(kind, &old, options)?;
        let mut new = Value::clone(&old);
        set_propagation(&mut new, options.propagation);
        strategy::prepare_deletion(kind, &mut new);
        let graceful = self.mark(kind, &old, &mut new, options);
        let waits = graceful == Some(Grace::Waits) || !strategy::pending_finalizers(kind, &new).is_empty();
        if waits && graceful != Some(Grace::Waits) && !object::is_deleting(&new) {
            let now = self.clock.text();
            mark_deleting(kind, &mut new, &now, 0);
        }
        if waits {
            strategy::mark_terminating(kind, &mut new, &self.clock.text());
        }
        if options.dry_run {
            let object = kind.present(&Arc::new(new));
            return Ok(if waits { Deleted::Pending(object) } else { Deleted::Gone(object) });
        }
        // A graceful deletion is written even if it has nothing to wait for.
        let stored =
            if new != *old && (waits || graceful.is_some()) { self.commit(kind, namespace, name, new) } else { old };
        if waits {
            self.after_mark(kind, &stored);
            return Ok(Deleted::Pending(kind.present(&stored)));
        }
        let removed = self.remove(kind, namespace, name).unwrap_or(stored);
        Ok(Deleted::Gone(kind.present(&removed)))
    }

    /// Marks an object of a kind that knows grace periods. None: the kind does not.
    fn mark(&self, kind: &Kind, old: &Value, new: &mut Value, options: &DeleteOptions) -> Option<Grace> {
        let wished = strategy::grace_period(kind, old, options.grace_period)?;
        let grace = if object::is_deleting(old) {
            let running = object::grace_period(old).unwrap_or_default();
            // Only a shorter period than the running one changes anything.
            match options.grace_period {
                _ if running == 0 => 0,
                Some(_) if wished < running => {
                    let time = shifted(object::meta(old, "deletionTimestamp"), wished - running);
                    let metadata = meta_mut(new);
                    object::set(metadata, "deletionTimestamp", time.map(Value::from));
                    metadata.insert("deletionGracePeriodSeconds".to_owned(), wished.into());
                    wished
                }
                _ => running,
            }
        } else {
            mark_deleting(kind, new, &self.clock.text_after(wished), wished);
            wished
        };
        Some(if grace > 0 { Grace::Waits } else { Grace::Over })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grace {
    Waits,
    Over,
}

fn check_preconditions(kind: &Kind, object: &Value, options: &DeleteOptions) -> Result<(), Refusal> {
    let name = object::name(object);
    let refuse = |what: &str, wanted: &str, found: &str, fate: &str| {
        let why = format!(
            "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). The object might \
             have been {fate}"
        );
        Err(Refusal::precondition(kind, name, &why))
    };
    let (uid, version) = (object::uid(object), object::meta(object, "resourceVersion"));
    match (&options.uid, &options.version) {
        (Some(wanted), _) if wanted != uid => refuse("UID", wanted, uid, "deleted and then recreated"),
        (_, Some(wanted)) if wanted != version => refuse("ResourceVersion", wanted, version, "modified"),
        _ => Ok(()),
    }
}

fn set_propagation(object: &mut Value, propagation: Option<Propagation>) {
    let Some(propagation) = propagation else { return };
    for (finalizer, wanted) in [(FOREGROUND, Propagation::Foreground), (ORPHAN, Propagation::Orphan)] {
        if propagation == wanted {
            object::add_finalizer(object, finalizer);
        } else {
            object::remove_finalizer(object, finalizer);
        }
    }
}

fn mark_deleting(kind: &Kind, object: &mut Value, time: &str, grace: i64) {
    let generation = object::generation(object);
    let metadata = meta_mut(object);
    metadata.insert("deletionTimestamp".to_owned(), time.into());
    if matches!(&*kind.store, "namespaces" | "customresourcedefinitions.apiextensions.k8s.io") {
        return;
    }
    metadata.insert("deletionGracePeriodSeconds".to_owned(), grace.into());
    if generation > 0 {
        metadata.insert("generation".to_owned(), (generation + 1).into());
    }
}

impl State {
    /// What follows from an object having been marked.
    fn after_mark(&mut self, kind: &Kind, object: &Value) {
        match &*kind.store {
            "namespaces" => self.tasks.push_back(Task::EmptyNamespace(object::name(object).to_owned())),
            "customresourcedefinitions.apiextensions.k8s.io" => {
                self.tasks.push_back(Task::EmptyResource(object::name(object).to_owned()));
            }
            _ => {}
        }
        if object::finalizers(object).iter().any(|finalizer| matches!(*finalizer, FOREGROUND | ORPHAN)) {
            self.tasks.push_back(Task::Propagate(object::uid(object).to_owned()));
        }
    }
}
