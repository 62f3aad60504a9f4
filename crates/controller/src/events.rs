//! What users see with `kubectl describe`: one Event when the reason changes, not one per attempt.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kuryr_api::names;

use crate::cache::Key;
use crate::trouble::Trouble;

/// An Event is not worth waiting longer for.
const DEADLINE: Duration = Duration::from_secs(5);
/// Kubernetes takes notes of at most 1 kB.
const LONGEST_NOTE: usize = 1000;

/// Writes an Event about an object. One that cannot be written is no trouble: what it says stands elsewhere, too.
pub async fn publish(
    recorder: &Recorder,
    about: &ObjectReference,
    kind: EventType,
    action: &str,
    reason: &str,
    message: &str,
) {
    let mut note = message.to_owned();
    note.truncate(note.floor_char_boundary(LONGEST_NOTE));
    let (action, reason) = (action.to_owned(), reason.to_owned());
    let event = Event { type_: kind, reason, note: Some(note), action, secondary: None };
    let name = about.name.as_deref();
    match tokio::time::timeout(DEADLINE, recorder.publish(&event, about)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(namespace = about.namespace, name, %error, "Event not written"),
        Err(_) => tracing::debug!(namespace = about.namespace, name, "Event not written: no answer"),
    }
}

/// Tells users about trouble.
pub(crate) struct Events {
    recorder: Option<Recorder>,
    /// What each object was told last.
    told: Mutex<HashMap<Key, &'static str>>,
}

impl Events {
    pub(crate) fn new(kube: kube::Client, enabled: bool) -> Self {
        let reporter = Reporter { controller: names::COMPONENT.to_owned(), instance: None };
        Self { recorder: enabled.then(|| Recorder::new(kube, reporter)), told: Mutex::default() }
    }

    /// A warning about an object of Kubernetes' core, unless the same was said last.
    pub(crate) async fn warn(&self, kind: &str, key: &Key, uid: &str, trouble: &Trouble) {
        self.warn_of("v1", kind, key, uid, trouble).await;
    }

    /// A warning about an object, unless the same was said last.
    pub(crate) async fn warn_of(&self, api_version: &str, kind: &str, key: &Key, uid: &str, trouble: &Trouble) {
        let Some(recorder) = &self.recorder else { return };
        let previous = self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), trouble.reason);
        if previous == Some(trouble.reason) {
            return;
        }
        let about = ObjectReference {
            api_version: Some(api_version.to_owned()),
            kind: Some(kind.to_owned()),
            namespace: Some(key.namespace.clone()),
            name: Some(key.name.clone()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
        publish(recorder, &about, EventType::Warning, "Connect", trouble.reason, &trouble.message).await;
    }

    /// It was said before, by another process or in another term: what is written on the object shows it.
    pub(crate) fn was_told(&self, key: &Key, reason: &'static str) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), reason);
    }

    /// The object is well again: the next trouble is news.
    pub(crate) fn forget(&self, key: &Key) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}
