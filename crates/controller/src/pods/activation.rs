//! One poller for every port that is not ACTIVE yet: one call for all of them, at one interval.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kuryr_openstack::network::{PortQuery, PortStatus};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Pods;
use crate::cache::Key;
use crate::rest;

struct Waiting {
    key: Key,
    since: Instant,
}

/// The ports that are waited for.
#[derive(Default)]
pub struct Activation {
    waiting: Mutex<HashMap<String, Waiting>>,
    changed: Notify,
}

impl Activation {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wait for these ports of `key`; returns for how long the longest-waited-for has been.
    pub fn wait_for(&self, key: &Key, ids: &[String]) -> Duration {
        let mut waiting = self.lock();
        let mut longest = Duration::ZERO;
        for id in ids {
            let entry = Waiting { key: key.clone(), since: Instant::now() };
            longest = longest.max(waiting.entry(id.clone()).or_insert(entry).since.elapsed());
        }
        self.changed.notify_one();
        longest
    }

    fn take(&self, id: &str) -> Option<Key> {
        self.lock().remove(id).map(|waiting| waiting.key)
    }
}

impl Pods {
    /// Polls until `shutdown`, as long as somebody waits.
    pub(super) async fn poll_activation(&self, shutdown: &CancellationToken) {
        let interval = self.config.activation_interval;
        let mut rest = interval;
        loop {
            let somebody_waits = async {
                while self.activation.lock().is_empty() {
                    self.activation.changed.notified().await;
                }
                tokio::time::sleep(rest).await;
            };
            if shutdown.run_until_cancelled(somebody_waits).await.is_none() {
                return;
            }
            let ids: Vec<String> = self.activation.lock().keys().cloned().collect();
            let asked = Instant::now();
            self.poll_once(ids).await;
            rest = rest::after(asked.elapsed(), rest::NEUTRON, interval);
        }
    }

    async fn poll_once(&self, ids: Vec<String>) {
        let query = PortQuery { id: Some(ids.clone()), fields: &["id", "status"], ..PortQuery::default() };
        let ports = match self.cloud.network().list_ports(&query).await {
            Ok(ports) => ports,
            Err(error) => {
                tracing::warn!(%error, ports = ids.len(), "cannot ask for the status of ports; asking again");
                return;
            }
        };
        let found: HashMap<&str, &PortStatus> = ports.iter().map(|port| (port.id.as_str(), &port.status)).collect();
        for id in &ids {
            let key = match found.get(id.as_str()) {
                Some(PortStatus::Active) => {
                    self.index.set_status(id, PortStatus::Active);
                    self.activation.take(id)
                }
                Some(_) => None,
                None => {
                    self.index.remove(id);
                    self.activation.take(id)
                }
            };
            key.into_iter().for_each(|key| self.queue.wake(key));
        }
        self.forget_the_released();
    }

    /// Ports whose pod went before they became active are not waited for any more.
    fn forget_the_released(&self) {
        let recorded = |waiting: &Waiting, id: &String| {
            let port = self.kuryr_ports.get(&waiting.key);
            let vifs = port.as_deref().and_then(|port| port.status.as_ref()).map(|status| &status.vifs);
            vifs.is_some_and(|vifs| vifs.values().any(|entry| entry.vif.as_ref().is_ok_and(|vif| &vif.id == id)))
        };
        self.activation.lock().retain(|id, waiting| recorded(waiting, id));
    }
}
