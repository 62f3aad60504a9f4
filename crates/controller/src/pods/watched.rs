//! What the API server has, followed for as long as the process lives, whether it leads or not: who takes over need not
//! read everything first.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kuryr_api::crd::KuryrPort;
use tokio_util::sync::CancellationToken;

use super::observed::PodFacts;
use crate::cache::{Cache, Key, unlisted};
use crate::own::digest;
use crate::work::{AtWork, Queue};

/// Pods and KuryrPorts, and who is to be told of changes.
#[derive(Default)]
pub(crate) struct Watched {
    pub(super) pods: Arc<Cache<PodFacts>>,
    pub(super) kuryr_ports: Arc<Cache<KuryrPort>>,
    at_work: AtWork<Key>,
}

impl Watched {
    /// What was not seen yet, in words; `None` if everything was seen once.
    pub(crate) fn waits_for(&self) -> Option<String> {
        unlisted(&[("Pods", self.pods.is_synced()), ("KuryrPorts", self.kuryr_ports.is_synced())])
    }

    /// Waits until everything was seen once.
    pub(crate) async fn synced(&self) {
        self.pods.synced().await;
        self.kuryr_ports.synced().await;
    }

    /// Keeps the caches warm until `shutdown`. Writes nothing. `server` is the API server's address, for messages.
    pub(crate) async fn follow(&self, kube: &kube::Client, server: &str, shutdown: &CancellationToken) {
        let wake = |key: Key| self.at_work.wake(key);
        let (pods, ports) = (Api::<Pod>::all(kube.clone()), Api::<KuryrPort>::all(kube.clone()));
        tokio::join!(
            self.pods.follow(pods, server, shutdown, PodFacts::from, wake),
            self.kuryr_ports.follow(ports, server, shutdown, digest, wake),
        );
    }

    /// From now on this queue hears of changes; first of everything there is.
    pub(super) fn tell(&self, queue: &Arc<Queue<Key>>) {
        self.at_work.set(queue);
        let pods = self.pods.all().into_iter().map(|(key, _)| key);
        pods.chain(self.kuryr_ports.all().into_iter().map(|(key, _)| key)).for_each(|key| queue.wake(key));
    }
}
