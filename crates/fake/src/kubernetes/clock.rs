//! The cluster's clock: it began at a set time and runs with tokio's, so it stops and jumps with it.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Tells what time it is in the cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: Timestamp,
    at: Instant,
}

impl Clock {
    /// A clock that now shows this time.
    pub(super) fn starting(began: Timestamp) -> Clock {
        Clock { began, at: Instant::now() }
    }

    pub(super) fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.at.elapsed()).unwrap_or(SignedDuration::MAX);
        self.began.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// `metav1.Time`: whole seconds.
    pub(super) fn text(&self) -> String {
        self.text_after(0)
    }

    pub(super) fn text_after(&self, seconds: i64) -> String {
        let time = self.now().saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
        time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

/// `metav1.Time` some seconds from another.
pub(super) fn shifted(time: &str, seconds: i64) -> Option<String> {
    let time: Timestamp = time.parse().ok()?;
    let time = time.saturating_add(SignedDuration::from_secs(seconds)).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
