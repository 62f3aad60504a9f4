//! What tests do to a cluster by hand, without a request: at once, without faults, and not in the log.

use std::sync::Arc;

use serde_json::Value;

use super::delete::{DeleteOptions, Deleted};
use super::kinds::Kind;
use super::object;
use super::refusal::Refusal;
use super::state::State;
use super::write::Write;
use super::{Cluster, patch};

/// Resources are named as `kubectl` does: `pods`, `kuryrports.openstack.org`. Where there is no namespace it is empty.
impl Cluster {
    /// Creates the object, which names its `apiVersion` and `kind`. Unlike a client it may also set `status`.
    ///
    /// # Errors
    /// What a client would be refused, and kinds that are not served.
    pub fn create(&self, object: Value) -> Result<Value, Refusal> {
        self.act(|state| {
            let kind = state.kinds.of_object(&object).ok_or_else(Refusal::not_served)?;
            let namespace = match object::namespace(&object) {
                "" if kind.namespaced => "default",
                namespace => namespace,
            };
            let write = Write::by_server(kind).in_namespace(namespace);
            state.create(&write, object).map(|written| Value::clone(&written.object))
        })
    }

    /// The object, if there is one.
    #[must_use]
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let state = self.state();
        let kind = state.kinds.stored(resource)?;
        state.get(&kind, namespace, name).map(|object| Value::clone(object))
    }

    /// All objects of a resource, in one namespace or (if it is empty) in all.
    #[must_use]
    pub fn list(&self, resource: &str, namespace: &str) -> Vec<Value> {
        let state = self.state();
        let Some(kind) = state.kinds.stored(resource) else { return Vec::new() };
        let prefix = super::read::prefix(&kind, namespace);
        state.store.range(resource, &prefix).map(|(_, object)| Value::clone(object)).collect()
    }

    /// Applies a merge patch (RFC 7396), to `status` as well as to the rest.
    ///
    /// # Errors
    /// What a client would be refused, and kinds that are not served.
    pub fn patch(&self, resource: &str, namespace: &str, name: &str, change: &Value) -> Result<Value, Refusal> {
        self.act(|state| {
            let write = Write::by_server(served(state, resource)?).in_namespace(namespace);
            let written = state.revise(&write, name, |old| {
                let mut new = old.clone();
                patch::merge(&mut new, change);
                Ok(new)
            })?;
            Ok(Value::clone(&written.object))
        })
    }

    /// Deletes the object as a user would: a pod on a node gets its grace period, finalizers are waited for. Whether it is
    /// gone.
    ///
    /// # Errors
    /// There is no such object, or its kind is not served.
    pub fn delete(&self, resource: &str, namespace: &str, name: &str) -> Result<bool, Refusal> {
        self.delete_with(resource, namespace, name, &DeleteOptions::default())
    }

    /// Deletes the object without a grace period, as kubelet does when it has stopped a pod, or a user by force. Finalizers
    /// are waited for even so. Whether it is gone.
    ///
    /// # Errors
    /// There is no such object, or its kind is not served.
    pub fn delete_now(&self, resource: &str, namespace: &str, name: &str) -> Result<bool, Refusal> {
        let options = DeleteOptions { grace_period: Some(0), ..DeleteOptions::default() };
        self.delete_with(resource, namespace, name, &options)
    }

    fn delete_with(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<bool, Refusal> {
        self.act(|state| {
            let kind = served(state, resource)?;
            Ok(matches!(state.delete(&kind, namespace, name, options)?, Deleted::Gone(_)))
        })
    }
}

fn served(state: &State, resource: &str) -> Result<Arc<Kind>, Refusal> {
    state.kinds.stored(resource).ok_or_else(Refusal::not_served)
}
