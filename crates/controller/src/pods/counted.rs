//! What can only be known by looking from time to time: the queue, and what pods wait for.

use std::collections::BTreeMap;
use std::time::Duration;

use kuryr_api::crd::ConditionStatus;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Pods;
use crate::cache::Key;
use crate::condition;
use crate::work::Verdict;

/// How often it is looked; finer than anybody scrapes.
const INTERVAL: Duration = Duration::from_secs(5);

impl Pods {
    /// Counts until `shutdown`.
    pub(super) async fn count(&self, shutdown: &CancellationToken) {
        loop {
            self.metrics.queued(self.queue.depth());
            self.metrics.waiting(&self.waiting());
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    fn waiting(&self) -> BTreeMap<String, usize> {
        let mut waiting = BTreeMap::new();
        for (_, port) in self.kuryr_ports.all() {
            let ready = port.status.as_ref().and_then(|status| condition::ready(&status.conditions));
            if let Some(condition) = ready.filter(|ready| ready.status == ConditionStatus::False) {
                *waiting.entry(condition.reason.clone()).or_default() += 1;
            }
        }
        waiting
    }

    /// Looks at one pod, and at the clock before and after.
    pub(super) async fn look_and_time(&self, key: Key) -> Verdict {
        let start = Instant::now();
        let verdict = self.look_at(key).await;
        self.metrics.reconciled(verdict, start.elapsed());
        verdict
    }

    /// What is left of the project's quota. Nothing depends on it, so a failure is no more than a line in the log.
    pub(super) async fn note_quota(&self) {
        match self.cloud.network().quota(&self.config.placement.project).await {
            Ok(quota) => self.metrics.quota(&quota),
            Err(error) => tracing::debug!(%error, "the project's quota is not known"),
        }
    }
}
