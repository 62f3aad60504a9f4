//! What the API server has, followed for as long as the process lives, whether it leads or not: who takes over need not
//! read everything first.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kuryr_api::crd::KuryrPort;
use tokio_util::sync::CancellationToken;

use super::apply;
use super::observed::PodFacts;
use crate::cache::{Cache, Key};
use crate::work::Queue;

/// Pods and KuryrPorts, and who is to be told of changes.
#[derive(Default)]
pub(crate) struct Watched {
    pub(super) pods: Arc<Cache<PodFacts>>,
    pub(super) kuryr_ports: Arc<Cache<KuryrPort>>,
    /// The queue of the term of leadership that is under way, if one is.
    at_work: Mutex<Weak<Queue<Key>>>,
}

impl Watched {
    /// What was not seen yet, in words; `None` if everything was seen once.
    pub(crate) fn waits_for(&self) -> Option<String> {
        let kinds = [("Pods", self.pods.is_synced()), ("KuryrPorts", self.kuryr_ports.is_synced())];
        let (kind, _) = kinds.into_iter().find(|(_, synced)| !synced)?;
        Some(format!("the API server has not listed its {kind} yet; the log says why"))
    }

    /// Waits until everything was seen once.
    pub(crate) async fn synced(&self) {
        self.pods.synced().await;
        self.kuryr_ports.synced().await;
    }

    /// Keeps the caches warm until `shutdown`. Writes nothing. `server` is the API server's address, for messages.
    pub(crate) async fn follow(&self, kube: &kube::Client, server: &str, shutdown: &CancellationToken) {
        let wake = |key: Key| self.wake(key);
        let (pods, ports) = (Api::<Pod>::all(kube.clone()), Api::<KuryrPort>::all(kube.clone()));
        tokio::join!(
            self.pods.follow(pods, server, shutdown, PodFacts::from, wake),
            self.kuryr_ports.follow(ports, server, shutdown, apply::digest, wake),
        );
    }

    /// From now on this queue hears of changes; first of everything there is.
    pub(super) fn tell(&self, queue: &Arc<Queue<Key>>) {
        *self.at_work.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(queue);
        let pods = self.pods.all().into_iter().map(|(key, _)| key);
        pods.chain(self.kuryr_ports.all().into_iter().map(|(key, _)| key)).for_each(|key| queue.wake(key));
    }

    fn wake(&self, key: Key) {
        let queue = self.at_work.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(queue) = queue {
            queue.wake(key);
        }
    }
}
