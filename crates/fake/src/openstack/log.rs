//! Who asked what: for counting calls.

use std::time::Duration;

use http::{Method, StatusCode};

/// One request the cloud saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When it came, counted from the start of the cloud.
    pub at: Duration,
    /// Its method.
    pub method: Method,
    /// Its path as the service has it (`/v2.0/ports`).
    pub path: String,
    /// Its query, as sent.
    pub query: String,
    /// The status of the answer; `None` if the answer was lost.
    pub status: Option<StatusCode>,
}

impl Seen {
    /// Whether it asked for a change.
    pub fn is_write(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD)
    }
}

/// How many requests the log keeps; older ones are dropped, the counters go on.
const KEPT: usize = 100_000;

#[derive(Default)]
pub(crate) struct Log {
    pub(crate) seen: std::collections::VecDeque<Seen>,
    pub(crate) total: u64,
    pub(crate) writes: u64,
}

impl Log {
    pub(crate) fn push(&mut self, seen: Seen) {
        self.total += 1;
        self.writes += u64::from(seen.is_write() && !seen.path.starts_with("/v3/auth/"));
        if self.seen.len() == KEPT {
            self.seen.pop_front();
        }
        self.seen.push_back(seen);
    }
}
