//! What the API server last told us, by key. A reconcile reads from here, never from the API.
//!
//! Our own writes are put in at once ([`Cache::wrote`]), so the next reconcile sees them before the watch does; an
//! older event of the watch cannot undo them, because an object is only replaced by one with a higher
//! `resourceVersion` (comparable as numbers: Kubernetes KEP-5504).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::TryStreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource, ResourceExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::told;

/// Namespace and name of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Namespace; empty for cluster-wide kinds.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// The key of an object.
    pub fn of<K: Resource>(object: &K) -> Self {
        Self { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// How old a cached value is.
pub trait Versioned {
    /// `metadata.uid`.
    fn uid(&self) -> &str;
    /// `metadata.resourceVersion` as a number.
    fn version(&self) -> u64;
}

impl<K: Resource> Versioned for K {
    fn uid(&self) -> &str {
        self.meta().uid.as_deref().unwrap_or_default()
    }

    fn version(&self) -> u64 {
        version_of(self)
    }
}

/// What was not listed yet of these kinds, in words; `None` if all were.
pub(crate) fn unlisted(kinds: &[(&str, bool)]) -> Option<String> {
    let (kind, _) = kinds.iter().find(|(_, synced)| !synced)?;
    Some(format!("the API server has not listed its {kind} yet; the log says why"))
}

struct Inner<V> {
    values: HashMap<Key, Arc<V>>,
    /// Objects known to be gone, with the version at which they were last seen, so that a late event does not bring
    /// them back. Cleared by the next list.
    gone: BTreeMap<Key, u64>,
    /// What we wrote since the running list began: the list may have been taken before.
    written: BTreeSet<Key>,
}

/// Objects of one kind by key.
pub struct Cache<V> {
    inner: Mutex<Inner<V>>,
    synced: watch::Sender<bool>,
}

impl<V> Default for Cache<V> {
    fn default() -> Self {
        let inner = Inner { values: HashMap::new(), gone: BTreeMap::new(), written: BTreeSet::new() };
        Self { inner: Mutex::new(inner), synced: watch::Sender::new(false) }
    }
}

impl<V: Versioned> Cache<V> {
    fn lock(&self) -> MutexGuard<'_, Inner<V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The object, if there is one.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Arc<V>> {
        self.lock().values.get(key).cloned()
    }

    /// Every object, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<(Key, Arc<V>)> {
        self.lock().values.iter().map(|(key, value)| (key.clone(), Arc::clone(value))).collect()
    }

    /// Takes in the answer to a write of ours.
    pub fn wrote(&self, key: Key, value: V) {
        self.lock().written.insert(key.clone());
        self.apply(key, value);
    }

    /// Takes in an object unless a newer one is known.
    fn apply(&self, key: Key, value: V) {
        let mut inner = self.lock();
        let known = inner.values.get(&key).map(|known| known.version()).max(inner.gone.get(&key).copied());
        if known.is_none_or(|known| value.version() > known || value.version() == 0) {
            inner.gone.remove(&key);
            inner.values.insert(key, Arc::new(value));
        }
    }

    /// Takes out an object that was deleted at `version`, unless a successor of the same name is known.
    pub fn remove(&self, key: &Key, uid: &str, version: u64) {
        let mut inner = self.lock();
        if inner.values.get(key).is_some_and(|known| known.uid() == uid) {
            inner.values.remove(key);
        }
        let gone = inner.gone.entry(key.clone()).or_default();
        *gone = version.max(*gone);
    }

    /// Keeps only what a complete list contained and what we wrote meanwhile; returns the keys taken out.
    fn retain(&self, listed: &BTreeSet<Key>) -> Vec<Key> {
        let mut inner = self.lock();
        let stale = |key: &&Key| !listed.contains(key) && !inner.written.contains(key);
        let removed: Vec<Key> = inner.values.keys().filter(stale).cloned().collect();
        for key in &removed {
            inner.values.remove(key);
        }
        inner.gone.clear();
        removed
    }

    /// Waits until the first complete list was taken in.
    pub async fn synced(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Whether a complete list was taken in.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Follows a kind until `shutdown`: keeps the cache up to date and calls `changed` for every key that may have.
    /// `digest` keeps of an object only what is needed; `server` is the API server's address, for messages.
    pub async fn follow<K>(
        &self,
        api: Api<K>,
        server: &str,
        shutdown: &CancellationToken,
        digest: impl Fn(K) -> V,
        changed: impl Fn(Key),
    ) where
        K: Resource + Clone + fmt::Debug + Send + 'static + serde::de::DeserializeOwned,
        K::DynamicType: Default,
    {
        let mut listed = BTreeSet::new();
        let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
        loop {
            let event = tokio::select! {
                () = shutdown.cancelled() => return,
                event = events.try_next() => event,
            };
            match event {
                Ok(Some(watcher::Event::Init)) => {
                    listed.clear();
                    self.lock().written.clear();
                }
                Ok(Some(watcher::Event::InitApply(object))) => {
                    let key = Key::of(&object);
                    self.apply(key.clone(), digest(object));
                    listed.insert(key.clone());
                    changed(key);
                }
                Ok(Some(watcher::Event::InitDone)) => {
                    self.retain(&listed).into_iter().for_each(&changed);
                    listed.clear();
                    self.synced.send_replace(true);
                }
                Ok(Some(watcher::Event::Apply(object))) => {
                    let key = Key::of(&object);
                    self.apply(key.clone(), digest(object));
                    changed(key);
                }
                Ok(Some(watcher::Event::Delete(object))) => {
                    let key = Key::of(&object);
                    self.remove(&key, object.meta().uid.as_deref().unwrap_or_default(), version_of(&object));
                    changed(key);
                }
                Ok(None) => return,
                Err(error) => {
                    let (kind, line) = (K::kind(&K::DynamicType::default()).into_owned(), told::chain(&error));
                    let cure = told::cure_of_watch(&error, &line);
                    tracing::warn!(
                        "the watch of {kind}s at {server} is interrupted: {line}; {cure}; it resumes by itself"
                    );
                }
            }
        }
    }
}

/// `metadata.resourceVersion` as a number; 0 if it is none.
#[must_use]
pub fn version_of<K: Resource>(object: &K) -> u64 {
    object.meta().resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}
