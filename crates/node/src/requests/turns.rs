//! Who may act now. There is no global queue: requests wait for each other only if they are about the same attachment
//! or the same Neutron port, and only for as long as something is being wired.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use crate::checkpoint::AttachmentId;
use crate::ports::PodKey;

/// A first-come-first-served lock per key. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Turns<K: Eq + Hash + Clone>(Arc<Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>>);

/// The right to act on one key until dropped.
pub(crate) struct Turn<K: Eq + Hash + Clone> {
    guard: Option<OwnedMutexGuard<()>>,
    key: K,
    turns: Turns<K>,
}

impl<K: Eq + Hash + Clone> Turns<K> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Waits for one key.
    pub(crate) async fn wait(&self, key: K) -> Turn<K> {
        let lock = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default().clone();
        // Made first: if this future is dropped while it waits, the turn's Drop still tidies the map.
        let mut turn = Turn { guard: None, key, turns: self.clone() };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }

    /// Waits for several keys, in an order that cannot deadlock.
    pub(crate) async fn wait_all(&self, keys: impl IntoIterator<Item = K>) -> Vec<Turn<K>>
    where
        K: Ord,
    {
        let mut keys: Vec<K> = keys.into_iter().collect();
        keys.sort_unstable();
        keys.dedup();
        let mut turns = Vec::with_capacity(keys.len());
        for key in keys {
            turns.push(self.wait(key).await);
        }
        turns
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl<K: Eq + Hash + Clone> Drop for Turn<K> {
    fn drop(&mut self) {
        drop(self.guard.take());
        let mut locks = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Only the map holds it: nobody has it and nobody waits.
        if locks.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.key);
        }
    }
}

/// Why a running ADD has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The plugin has gone; nobody waits for the answer.
    Abandoned,
    /// A DEL of the same attachment came.
    Deleted,
    /// A newer sandbox of the same pod asks.
    Superseded,
    /// The daemon ends.
    ShuttingDown,
}

/// Ends one running ADD. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct StopSignal {
    token: CancellationToken,
    reason: Arc<OnceLock<Stop>>,
}

impl StopSignal {
    /// Gives the signal; only the first reason counts.
    pub(crate) fn stop(&self, reason: Stop) {
        let _ = self.reason.set(reason);
        self.token.cancel();
    }

    /// Waits for the signal.
    pub(crate) async fn stopped(&self) -> Stop {
        self.token.cancelled().await;
        self.reason.get().copied().unwrap_or(Stop::Abandoned)
    }

    /// The reason, if the signal was given.
    pub(crate) fn reason(&self) -> Option<Stop> {
        self.reason.get().copied()
    }
}

/// The ADDs at work. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Running(Arc<Mutex<Vec<RunningAdd>>>);

#[derive(Debug)]
struct RunningAdd {
    id: AttachmentId,
    pod: PodKey,
    signal: StopSignal,
}

/// Takes an ADD from the list when dropped.
pub(crate) struct RunningGuard(Running, StopSignal);

impl Running {
    /// Enters an ADD. It ends the ADDs of earlier sandboxes of the same pod.
    pub(crate) fn begin(&self, id: AttachmentId, pod: PodKey, signal: StopSignal) -> RunningGuard {
        let mut adds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for add in adds.iter().filter(|add| add.pod == pod && add.id.container_id != id.container_id) {
            add.signal.stop(Stop::Superseded);
        }
        adds.push(RunningAdd { id, pod, signal: signal.clone() });
        RunningGuard(self.clone(), signal)
    }

    /// Ends the ADDs of one attachment.
    pub(crate) fn stop(&self, id: &AttachmentId, reason: Stop) {
        let adds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        adds.iter().filter(|add| add.id == *id).for_each(|add| add.signal.stop(reason));
    }

    /// Ends all.
    pub(crate) fn stop_all(&self, reason: Stop) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|add| add.signal.stop(reason));
    }

    /// Whether an ADD of this attachment is at work.
    pub(crate) fn contains(&self, id: &AttachmentId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|add| add.id == *id)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        let mut adds = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        adds.retain(|add| !Arc::ptr_eq(&add.signal.reason, &self.1.reason));
    }
}
