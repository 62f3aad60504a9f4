//! What the cluster knows; everything here happens under its lock, without waiting.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;

use super::clock::Clock;
use super::collect::Task;
use super::kinds::{Kind, Kinds};
use super::store::Store;

/// The state of a cluster.
#[derive(Debug)]
pub(super) struct State {
    pub(super) store: Store,
    pub(super) kinds: Kinds,
    pub(super) random: Rng,
    pub(super) clock: Clock,
    /// Namespaces come into being when something is created in them.
    pub(super) auto_namespaces: bool,
    /// What the garbage collector and its like have yet to do.
    pub(super) tasks: VecDeque<Task>,
    /// How long they take to get to it.
    pub(super) collect_after: Duration,
    /// A request could not have had its effect before this many node ports and service addresses were given out.
    pub(super) services: u32,
}

impl State {
    pub(super) fn new(seed: u64, clock: Clock, remembers: usize) -> State {
        State {
            store: Store::new(remembers),
            kinds: Kinds::built_in(),
            random: Rng::with_seed(seed),
            clock,
            auto_namespaces: false,
            tasks: VecDeque::new(),
            collect_after: Duration::ZERO,
            services: 0,
        }
    }

    pub(super) fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Option<&Arc<Value>> {
        self.store.get(&kind.store, &kind.key(namespace, name))
    }

    /// A UUID of version 4, from the seed.
    pub(super) fn new_uid(&mut self) -> String {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    /// What the API server appends to `generateName`.
    pub(super) fn new_suffix(&mut self) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..5).map(|_| char::from(LETTERS[self.random.usize(..LETTERS.len())])).collect()
    }
}
