//! Whether and when a failed request is sent again.

use std::time::Duration;

use tokio::time::Instant;

use crate::http::{Effect, Http};
use crate::{Error, ErrorKind};

/// The failed attempts of one call.
pub(crate) struct Retry {
    effect: Effect,
    attempts: u32,
    deadline: Instant,
}

/// Beyond this many attempts the caller knows better what to do.
const MAX_ATTEMPTS: u32 = 5;
const FIRST_DELAY: Duration = Duration::from_millis(500);
const MAX_DELAY: Duration = Duration::from_secs(10);

impl Retry {
    /// For a call that must be over at `deadline`.
    pub(crate) fn new(effect: Effect, deadline: Instant) -> Retry {
        Retry { effect, attempts: 0, deadline }
    }

    /// Time by which every attempt must have ended.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Time that did not count.
    pub(crate) fn extend(&mut self, by: Duration) {
        self.deadline += by;
    }

    /// Waits until the call may be sent again, or gives the error back if it must not or there is no time left.
    pub(crate) async fn after(&mut self, error: Error, http: &Http) -> Result<(), Error> {
        self.attempts += 1;
        if self.attempts >= MAX_ATTEMPTS || !self.is_safe(&error) {
            return Err(error);
        }
        let longest = FIRST_DELAY.saturating_mul(1 << (self.attempts - 1)).min(MAX_DELAY);
        // A service that names a time gets at least that time, and not everyone at once.
        let delay = error.retry_after().unwrap_or_default() + http.jitter(longest);
        if Instant::now() + delay >= self.deadline {
            return Err(error);
        }
        tracing::debug!(?delay, ?error, "trying again");
        tokio::time::sleep(delay).await;
        Ok(())
    }

    /// A passing failure that either cannot have had an effect, or whose effect may be had twice.
    fn is_safe(&self, error: &Error) -> bool {
        let passing = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::TooManyRequests);
        passing && (!error.outcome_unknown() || self.effect == Effect::Idempotent)
    }
}
