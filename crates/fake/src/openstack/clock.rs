//! The cloud's clock: a starting time, and tokio's clock from there, so that a paused clock pauses the cloud.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The time of day in the cloud.
pub(crate) struct Clock {
    start: Timestamp,
    origin: Instant,
}

impl Clock {
    pub(crate) fn starting_at(start: Timestamp) -> Clock {
        Clock { start, origin: Instant::now() }
    }

    /// How long the cloud has been there.
    pub(crate) fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    pub(crate) fn now(&self) -> Timestamp {
        SignedDuration::try_from(self.elapsed()).map_or(self.start, |age| self.start + age)
    }

    /// The time as Neutron writes it, to the second.
    pub(crate) fn stamp(&self) -> String {
        self.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// A time as Keystone writes it.
    pub(crate) fn micros(time: Timestamp) -> String {
        time.strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string()
    }

    /// The time as HTTP writes it (RFC 9110, section 5.6.7).
    pub(crate) fn http_date(&self) -> String {
        self.now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }
}
