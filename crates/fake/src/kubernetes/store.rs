//! The objects, their versions and what lately happened to them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use serde_json::Value;

use super::object::{self, meta_mut, uid};

/// Where an object is: store and key.
pub(super) type Place = (Arc<str>, String);

/// One change of one object.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// The version it made.
    pub(super) version: u64,
    pub(super) store: Arc<str>,
    pub(super) key: String,
    /// The object before; none if it was created.
    pub(super) before: Option<Arc<Value>>,
    /// The object after; if it was deleted, its last state with the version of the deletion.
    pub(super) object: Arc<Value>,
    pub(super) deleted: bool,
}

/// All objects. Every change makes one new version of the whole.
#[derive(Debug)]
pub(super) struct Store {
    version: u64,
    objects: BTreeMap<Arc<str>, BTreeMap<String, Arc<Value>>>,
    by_uid: BTreeMap<String, Place>,
    /// UID of an owner → what names it as owner.
    dependents: BTreeMap<String, BTreeSet<Place>>,
    history: VecDeque<Change>,
    remembers: usize,
    /// Changes up to this version are forgotten.
    forgotten: u64,
}

impl Store {
    /// An empty store that remembers so many changes.
    pub(super) fn new(remembers: usize) -> Store {
        Store {
            // 0 has a meaning of its own in requests, and clients take 1 for an empty cluster's version.
            version: 1,
            objects: BTreeMap::new(),
            by_uid: BTreeMap::new(),
            dependents: BTreeMap::new(),
            history: VecDeque::new(),
            remembers,
            forgotten: 0,
        }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(super) fn get(&self, store: &str, key: &str) -> Option<&Arc<Value>> {
        self.objects.get(store)?.get(key)
    }

    /// The objects whose key begins like this, in the order of their keys.
    pub(super) fn range<'a>(
        &'a self,
        store: &str,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a Arc<Value>)> {
        self.objects
            .get(store)
            .into_iter()
            .flat_map(move |objects| objects.range::<str, _>((Bound::Included(prefix), Bound::Unbounded)))
            .take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// The same as it was at a version; none if that is forgotten.
    pub(super) fn range_at(&self, version: u64, store: &str, prefix: &str) -> Option<BTreeMap<String, Arc<Value>>> {
        if version < self.forgotten {
            return None;
        }
        let mut objects: BTreeMap<_, _> =
            self.range(store, prefix).map(|(key, object)| (key.clone(), object.clone())).collect();
        for change in self.history.iter().rev().take_while(|change| change.version > version) {
            if *change.store == *store && change.key.starts_with(prefix) {
                match &change.before {
                    Some(before) => drop(objects.insert(change.key.clone(), before.clone())),
                    None => drop(objects.remove(&change.key)),
                }
            }
        }
        Some(objects)
    }

    /// The stores that hold anything, by name.
    pub(super) fn stores(&self) -> impl Iterator<Item = &Arc<str>> {
        self.objects.iter().filter(|(_, objects)| !objects.is_empty()).map(|(store, _)| store)
    }

    pub(super) fn place_of(&self, uid: &str) -> Option<&Place> {
        self.by_uid.get(uid)
    }

    pub(super) fn dependents_of(&self, uid: &str) -> Vec<Place> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    /// Changes after a version, oldest first; none if some of them are forgotten.
    pub(super) fn since(&self, version: u64) -> Option<impl Iterator<Item = &Change>> {
        if version < self.forgotten {
            return None;
        }
        let first = self.history.partition_point(|change| change.version <= version);
        Some(self.history.range(first..))
    }

    /// Creates or replaces an object, giving it the next version.
    pub(super) fn put(&mut self, store: &Arc<str>, key: &str, mut object: Value) -> Arc<Value> {
        self.version += 1;
        meta_mut(&mut object).insert("resourceVersion".to_owned(), self.version.to_string().into());
        let object = Arc::new(object);
        let before = self.objects.entry(store.clone()).or_default().insert(key.to_owned(), object.clone());
        if let Some(before) = &before {
            self.unlink(before, store, key);
        }
        self.by_uid.insert(uid(&object).to_owned(), (store.clone(), key.to_owned()));
        for reference in object::owner_references(&object) {
            let owner = reference["uid"].as_str().unwrap_or_default();
            self.dependents.entry(owner.to_owned()).or_default().insert((store.clone(), key.to_owned()));
        }
        self.remember(Change {
            version: self.version,
            store: store.clone(),
            key: key.to_owned(),
            before,
            object: object.clone(),
            deleted: false,
        });
        object
    }

    /// Removes an object; its last state.
    pub(super) fn remove(&mut self, store: &Arc<str>, key: &str) -> Option<Arc<Value>> {
        let before = self.objects.get_mut(store)?.remove(key)?;
        self.unlink(&before, store, key);
        self.by_uid.remove(uid(&before));
        self.version += 1;
        let mut object = Value::clone(&before);
        meta_mut(&mut object).insert("resourceVersion".to_owned(), self.version.to_string().into());
        let object = Arc::new(object);
        self.remember(Change {
            version: self.version,
            store: store.clone(),
            key: key.to_owned(),
            before: Some(before),
            object: object.clone(),
            deleted: true,
        });
        Some(object)
    }

    /// Forgets all changes so far, as etcd's compaction does.
    pub(super) fn compact(&mut self) {
        self.history.clear();
        self.forgotten = self.version;
    }

    fn unlink(&mut self, object: &Value, store: &Arc<str>, key: &str) {
        for reference in object::owner_references(object) {
            let owner = reference["uid"].as_str().unwrap_or_default();
            if let Some(dependents) = self.dependents.get_mut(owner) {
                dependents.remove(&(store.clone(), key.to_owned()));
                if dependents.is_empty() {
                    self.dependents.remove(owner);
                }
            }
        }
    }

    fn remember(&mut self, change: Change) {
        self.history.push_back(change);
        while self.history.len() > self.remembers {
            if let Some(change) = self.history.pop_front() {
                self.forgotten = change.version;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(count: usize) -> (Store, Arc<str>) {
        let (mut store, pods) = (Store::new(count), Arc::from("pods"));
        for (key, label) in [("a/1", "x"), ("b/1", "x"), ("a/1", "y"), ("a/2", "x")] {
            store.put(&pods, key, json!({ "metadata": { "uid": key, "label": label } }));
        }
        (store, pods)
    }

    #[test]
    fn an_older_state_can_be_read_while_it_is_remembered() {
        let (mut store, pods) = with(10);
        store.remove(&pods, "a/1");
        let keys = |version| {
            let objects = store.range_at(version, "pods", "a/").unwrap();
            objects.values().map(|o| format!("{}{}", object::uid(o), object::meta(o, "label"))).collect::<Vec<_>>()
        };
        assert_eq!(keys(2), ["a/1x"]);
        assert_eq!(keys(4), ["a/1y"]);
        assert_eq!(keys(5), ["a/1y", "a/2x"]);
        assert_eq!(keys(6), ["a/2x"]);
        store.compact();
        assert!(store.range_at(5, "pods", "a/").is_none());
        assert!(store.range_at(6, "pods", "a/").is_some());
    }

    #[test]
    fn changes_are_forgotten_beyond_the_limit() {
        let (store, _) = with(2);
        assert_eq!(store.forgotten(), 3);
        assert!(store.since(2).is_none());
        assert_eq!(store.since(3).unwrap().count(), 2);
        assert_eq!(store.since(5).unwrap().count(), 0);
    }

    #[test]
    fn dependents_follow_their_references() {
        let (mut store, pods) = with(10);
        let owned = |by: &str| json!({ "metadata": { "uid": "d", "ownerReferences": [{ "uid": by }] } });
        store.put(&pods, "a/d", owned("a/1"));
        assert_eq!(store.dependents_of("a/1").len(), 1);
        store.put(&pods, "a/d", owned("b/1"));
        assert!(store.dependents_of("a/1").is_empty());
        store.remove(&pods, "a/d");
        assert!(store.dependents_of("b/1").is_empty());
    }
}
