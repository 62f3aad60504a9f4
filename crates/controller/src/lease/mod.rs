//! Who works: of any number of controllers the one that holds the Lease.
//!
//! ```text
//! plan      may the Lease be taken?                            pure
//! elector   takes it, keeps it, gives it back; begins terms    the only one that writes it
//! fence     nothing leaves unless it is held at that moment    in front of both clients
//! ```
//!
//! Why nobody writes in another's term. Whoever holds the Lease counts from the moment *before* it sent its last renewal that
//! was answered, and stops after the renew deadline. Everybody else counts from the moment it *saw* that renewal, which is
//! later, and waits for the duration, which is longer. Only lengths of time are compared, each on its own monotonic clock.
//! The difference (3 of 10 s by default) is for requests that are on their way, and for clocks of unequal speed.

mod elector;
mod fence;
mod identity;
mod legacy;
mod plan;

use std::time::Duration;

pub(crate) use elector::{Elector, End};
pub use fence::{Fence, Guarded, Refused};
pub use identity::Identity;

/// Settings of leadership.
#[derive(Clone, Debug)]
pub struct Election {
    /// Name of the Lease.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// This process.
    pub identity: Identity,
    /// For how long others leave the Lease alone after they saw it renewed.
    pub duration: Duration,
    /// For how long the holder works after the last renewal it began that was answered; shorter than the duration.
    pub renew_deadline: Duration,
    /// How often the holder renews the Lease and the others look at it, with jitter.
    pub retry: Duration,
}

impl Election {
    /// The Lease `kuryr-controller`, and the shares of its duration that belong together: renewed after 15 %, worked under for
    /// at most 70 %. With 10 s, another controller works 13 s after this one was killed at the latest.
    #[must_use]
    pub fn new(namespace: impl Into<String>, identity: Identity, duration: Duration) -> Self {
        Self {
            name: kuryr_api::names::COMPONENT.to_owned(),
            namespace: namespace.into(),
            identity,
            duration,
            renew_deadline: duration * 7 / 10,
            retry: duration * 3 / 20,
        }
    }
}
