//! What can only be known by looking from time to time: the queue, what Services wait for, how many load balancers there are.

use std::collections::BTreeMap;
use std::time::Duration;

use kuryr_api::crd::ConditionStatus;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Services, remarks};
use crate::cache::Key;
use crate::condition;
use crate::metrics::Balanced;
use crate::work::Verdict;

/// How often it is looked; finer than anybody scrapes.
const INTERVAL: Duration = Duration::from_secs(5);

impl Services {
    /// Counts until `shutdown`.
    pub(super) async fn count(&self, shutdown: &CancellationToken) {
        loop {
            self.metrics.balanced(&self.balanced());
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    fn balanced(&self) -> Balanced {
        let (mut waiting, mut not_as_asked) = (BTreeMap::new(), BTreeMap::new());
        for (_, record) in self.watched.records.all() {
            let Some(status) = &record.status else { continue };
            let ready = condition::ready(&status.conditions).filter(|ready| ready.status == ConditionStatus::False);
            if let Some(ready) = ready {
                *waiting.entry(ready.reason.clone()).or_default() += 1;
            }
            if let Some(reason) = remarks::told(&status.conditions) {
                *not_as_asked.entry(reason.to_owned()).or_default() += 1;
            }
        }
        let (load_balancers, pending) = self.index.count();
        Balanced { queued: self.queue.depth(), waiting, not_as_asked, load_balancers, pending }
    }

    /// Looks at one Service, and at the clock before and after.
    pub(super) async fn look_and_time(&self, key: Key) -> Verdict {
        let start = Instant::now();
        let verdict = self.look_at(key).await;
        self.metrics.service_reconciled(verdict, start.elapsed());
        verdict
    }
}
