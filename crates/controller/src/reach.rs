//! Whether the cloud answers, until it has answered once; what it can do, and what to tell those who wait.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kuryr_openstack::Cloud;
use tokio::sync::watch;

use crate::trouble::Trouble;

/// Neutron takes tags in the body of a port's creation.
const TAGS_IN_BODY: &str = "tag-ports-during-bulk-creation";
/// How long the cloud may be silent, or refuse us, before pods are told and this process becomes a candidate all the same.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How long a leader may try to learn what Neutron has before it gives the Lease back: perhaps another reaches the cloud.
pub(crate) const STEP_ASIDE_AFTER: Duration = Duration::from_secs(30);
/// How long it then leaves the Lease to others. They look for it every 1.5 s.
pub(crate) const ASIDE: Duration = Duration::from_secs(10);

/// What is known of the way to the cloud.
pub(crate) struct Reach {
    /// Whether Neutron takes tags in bodies; `None` until it was asked.
    tags_in_body: watch::Sender<Option<bool>>,
    /// What is in the way; `None` if nothing is known to be.
    trouble: Mutex<Option<Trouble>>,
}

impl Default for Reach {
    fn default() -> Self {
        Self { tags_in_body: watch::Sender::new(None), trouble: Mutex::default() }
    }
}

impl Reach {
    /// Asks until Neutron has answered once: a cloud that is down is waited for, not crashed over.
    pub(crate) async fn learn(&self, cloud: &Cloud) {
        let mut wait = Duration::from_millis(500);
        loop {
            let network = cloud.network();
            let mut answer = pin!(network.extensions());
            let answer = match tokio::time::timeout(PATIENCE, &mut answer).await {
                Ok(answer) => answer,
                Err(_) => {
                    // The call goes on: a slow answer is one.
                    let trouble = silence();
                    tracing::warn!("cannot ask Neutron for its extensions: {}", trouble.message);
                    self.met(trouble);
                    answer.await
                }
            };
            match answer {
                Ok(extensions) => {
                    self.well();
                    self.tags_in_body.send_replace(Some(extensions.contains(TAGS_IN_BODY)));
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot ask Neutron for its extensions; trying again in {wait:?}");
                    self.met(error.into());
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(15));
        }
    }

    /// Waits until Neutron has answered; returns whether it takes tags in bodies.
    pub(crate) async fn answered(&self) -> bool {
        let mut seen = self.tags_in_body.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        seen.wait_for(Option::is_some).await.ok().and_then(|answer| *answer).unwrap_or_default()
    }

    /// Whether Neutron has answered.
    pub(crate) fn has_answered(&self) -> bool {
        self.tags_in_body.borrow().is_some()
    }

    /// Something is in the way.
    pub(crate) fn met(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
    }

    /// Nothing is in the way any more.
    pub(crate) fn well(&self) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What is in the way, for whoever waits for the cloud.
    pub(crate) fn trouble(&self) -> Trouble {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_else(silence)
    }

    /// The same for `/ready`; `None` if the cloud has answered.
    pub(crate) fn reason(&self) -> Option<String> {
        if self.has_answered() {
            return None;
        }
        let known = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(known.map_or_else(|| "Neutron has not answered yet".to_owned(), |trouble| trouble.to_string()))
    }
}

fn silence() -> Trouble {
    let message = "the cloud has been silent for 10 s; Kuryr goes on waiting; check [neutron] auth_url in kuryr.conf, the load of \
                   Keystone and Neutron, and the way there from the controller's node";
    Trouble::transient("CloudUnreachable", message)
}
