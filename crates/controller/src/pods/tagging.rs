//! Tags of ports, where Neutron takes none when a port is made (without its extension `tag-ports-during-bulk-creation`). They are for
//! people: a port without is known by its description. So they wait while pods wait for ports, which Neutron makes no sooner for
//! being asked for something else.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kuryr_openstack::ErrorKind;
use kuryr_openstack::network::Taggable;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Pods;

/// A tag waits no longer than this for the end of a burst of ports.
const PATIENCE: Duration = Duration::from_secs(60);
/// What Neutron did not take is tried again after so long.
const AGAIN: Duration = Duration::from_secs(5);

/// A port that lacks its tags.
#[derive(Debug)]
struct Untagged {
    id: String,
    /// It waits no longer than until then.
    until: Instant,
}

/// Ports that lack their tags.
#[derive(Default)]
pub struct Tagging {
    /// In turn: one that Neutron does not take is not in the way of others.
    untagged: Mutex<VecDeque<Untagged>>,
    /// Ports that are being made.
    making: AtomicUsize,
    changed: Notify,
}

impl Tagging {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Untagged>> {
        self.untagged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A port is being made for as long as what this returns lives.
    pub fn making(&self) -> Making<'_> {
        self.making.fetch_add(1, Ordering::Relaxed);
        Making(self)
    }

    /// This port lacks its tags.
    pub fn add(&self, id: &str) {
        let mut untagged = self.lock();
        if !untagged.iter().any(|known| known.id == id) {
            untagged.push_back(Untagged { id: id.to_owned(), until: Instant::now() + PATIENCE });
        }
        drop(untagged);
        self.changed.notify_one();
    }

    /// Waits for a port to tag, and for its turn.
    async fn next(&self) -> String {
        loop {
            let Some(until) = self.lock().front().map(|first| first.until) else {
                self.changed.notified().await;
                continue;
            };
            let nobody_waits = async {
                while self.making.load(Ordering::Relaxed) > 0 {
                    self.changed.notified().await;
                }
            };
            let _ = tokio::time::timeout_at(until, nobody_waits).await;
            let next = self.lock().pop_front();
            if let Some(Untagged { id, .. }) = next {
                return id;
            }
        }
    }
}

/// A port that is being made.
pub struct Making<'a>(&'a Tagging);

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.0.making.fetch_sub(1, Ordering::Relaxed);
        self.0.changed.notify_one();
    }
}

impl Pods {
    /// Tags until `shutdown`.
    pub(super) async fn tag(&self, shutdown: &CancellationToken) {
        while let Some(id) = shutdown.run_until_cancelled(self.tagging.next()).await {
            match self.cloud.network().replace_tags(Taggable::Port, &id, &self.marks.tags).await {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::debug!(%error, port = id, "port not tagged yet");
                    self.tagging.add(&id);
                    let _ = shutdown.run_until_cancelled(tokio::time::sleep(AGAIN)).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_tag_waits_while_ports_are_made_but_not_for_ever() {
        let tagging = Tagging::default();
        let begun = Instant::now();
        let making = tagging.making();
        tagging.add("1");
        tagging.add("2");
        assert_eq!(tagging.next().await, "1");
        assert_eq!(tagging.next().await, "2");
        assert_eq!(begun.elapsed(), PATIENCE);
        tagging.add("3");
        drop(making);
        assert_eq!(tagging.next().await, "3");
        assert_eq!(begun.elapsed(), PATIENCE);
    }
}
