//! What was asked of the API, for tests that count.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// So many requests are kept whole; the counters count all.
const KEEPS: usize = 100_000;

/// One request.
#[derive(Clone, Debug)]
pub struct Entry {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: &'static str,
    /// `pods`, `kuryrports.openstack.org`, with the subresource behind a slash if there is one.
    pub resource: String,
    /// The namespace; empty if there is none.
    pub namespace: String,
    /// The name; empty if the request had none in its path.
    pub name: String,
    /// The status of the answer; none if the connection was lost instead.
    pub status: Option<u16>,
    /// When the answer was made, on tokio's clock.
    pub at: Instant,
}

impl Entry {
    /// Whether the request was to change something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !matches!(self.verb, "get" | "list" | "watch")
    }
}

/// All requests so far; clones are the same log.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Requests>>);

#[derive(Debug, Default)]
struct Requests {
    entries: VecDeque<Entry>,
    counts: BTreeMap<(&'static str, String), u64>,
}

impl Log {
    /// The latest requests, oldest first.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.requests().entries.iter().cloned().collect()
    }

    /// How many requests there were with this verb for this resource.
    #[must_use]
    pub fn count(&self, verb: &str, resource: &str) -> u64 {
        let requests = self.requests();
        let found = requests.counts.iter().filter(|((v, r), _)| *v == verb && r == resource);
        found.map(|(_, count)| *count).sum()
    }

    /// How many requests were to change something.
    #[must_use]
    pub fn writes(&self) -> u64 {
        let requests = self.requests();
        let writes = requests.counts.iter().filter(|((verb, _), _)| !matches!(*verb, "get" | "list" | "watch"));
        writes.map(|(_, count)| *count).sum()
    }

    /// How many requests there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.requests().counts.values().sum()
    }

    /// Begins anew.
    pub fn clear(&self) {
        *self.requests() = Requests::default();
    }

    pub(super) fn note(&self, entry: Entry) {
        let mut requests = self.requests();
        *requests.counts.entry((entry.verb, entry.resource.clone())).or_default() += 1;
        requests.entries.push_back(entry);
        if requests.entries.len() > KEEPS {
            requests.entries.pop_front();
        }
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
