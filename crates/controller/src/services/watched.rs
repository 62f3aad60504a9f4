//! What the API server has of Services, followed for as long as the process lives, whether it leads or not.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kuryr_api::crd::KuryrLoadBalancer;
use tokio_util::sync::CancellationToken;

use super::facts::{ServiceFacts, SliceFacts};
use crate::cache::{Cache, Key, unlisted};
use crate::own::digest;
use crate::work::{AtWork, Queue};

/// Services, their EndpointSlices and KuryrLoadBalancers, and who is to be told of changes.
#[derive(Default)]
pub(crate) struct Watched {
    pub(super) services: Arc<Cache<ServiceFacts>>,
    pub(super) records: Arc<Cache<KuryrLoadBalancer>>,
    slices: Cache<SliceFacts>,
    of_services: Mutex<OfServices>,
    at_work: AtWork<Key>,
    /// Who else hears of a Service that changed, or whose endpoints did.
    listener: OnceLock<Listener>,
}

/// Who is told of a Service.
type Listener = Box<dyn Fn(&Key) + Send + Sync>;

/// Which slices are which Service's.
#[derive(Default)]
struct OfServices {
    service_of: HashMap<Key, Key>,
    slices_of: HashMap<Key, BTreeSet<Key>>,
}

impl OfServices {
    /// Takes in whose a slice is now; returns the Services it concerns.
    fn set(&mut self, slice: &Key, service: Option<Key>) -> BTreeSet<Key> {
        let mut concerned = BTreeSet::new();
        if let Some(before) = self.service_of.remove(slice) {
            if let Some(slices) = self.slices_of.get_mut(&before) {
                slices.remove(slice);
                if slices.is_empty() {
                    self.slices_of.remove(&before);
                }
            }
            concerned.insert(before);
        }
        if let Some(service) = service {
            self.slices_of.entry(service.clone()).or_default().insert(slice.clone());
            self.service_of.insert(slice.clone(), service.clone());
            concerned.insert(service);
        }
        concerned
    }
}

impl Watched {
    /// What was not seen yet, in words; `None` if everything was seen once.
    pub(crate) fn waits_for(&self) -> Option<String> {
        unlisted(&[
            ("Services", self.services.is_synced()),
            ("EndpointSlices", self.slices.is_synced()),
            ("KuryrLoadBalancers", self.records.is_synced()),
        ])
    }

    /// Waits until everything was seen once.
    pub(crate) async fn synced(&self) {
        self.services.synced().await;
        self.slices.synced().await;
        self.records.synced().await;
    }

    /// Keeps the caches warm until `shutdown`. Writes nothing. `server` is the API server's address, for messages.
    pub(crate) async fn follow(&self, kube: &kube::Client, server: &str, shutdown: &CancellationToken) {
        let wake = |key: Key| self.at_work.wake(key);
        let changed = |key: Key| self.changed(key);
        let services = Api::<Service>::all(kube.clone());
        let (slices, records) = (Api::<EndpointSlice>::all(kube.clone()), Api::<KuryrLoadBalancer>::all(kube.clone()));
        tokio::join!(
            self.services.follow(services, server, shutdown, |service| ServiceFacts::read(&service), changed),
            self.slices.follow(slices, server, shutdown, |slice| SliceFacts::read(&slice), |slice| self.sort(&slice)),
            self.records.follow(records, server, shutdown, digest, wake),
        );
    }

    /// The slices of a Service.
    pub(crate) fn slices(&self, service: &Key) -> Vec<Arc<SliceFacts>> {
        let of_services = self.of_services.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = of_services.slices_of.get(service).into_iter().flatten();
        keys.filter_map(|slice| self.slices.get(slice)).collect()
    }

    fn sort(&self, slice: &Key) {
        let service = self.slices.get(slice).and_then(|facts| facts.service.clone());
        let service = service.map(|name| Key { namespace: slice.namespace.clone(), name });
        let concerned = self.of_services.lock().unwrap_or_else(PoisonError::into_inner).set(slice, service);
        concerned.into_iter().for_each(|service| self.changed(service));
    }

    /// A Service, or what is behind it, is another.
    fn changed(&self, service: Key) {
        if let Some(listener) = self.listener.get() {
            listener(&service);
        }
        self.at_work.wake(service);
    }

    /// From now on this is told of each Service that changes, or whose endpoints do; the first one to ask is.
    pub(crate) fn listen(&self, listener: impl Fn(&Key) + Send + Sync + 'static) {
        let _ = self.listener.set(Box::new(listener));
    }

    /// A Service.
    pub(crate) fn service(&self, key: &Key) -> Option<Arc<ServiceFacts>> {
        self.services.get(key)
    }

    /// From now on this queue hears of changes; first of everything there is.
    pub(super) fn tell(&self, queue: &Arc<Queue<Key>>) {
        self.at_work.set(queue);
        let services = self.services.all().into_iter().map(|(key, _)| key);
        services.chain(self.records.all().into_iter().map(|(key, _)| key)).for_each(|key| queue.wake(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { namespace: "default".to_owned(), name: name.to_owned() }
    }

    #[test]
    fn a_slice_that_changes_its_service_concerns_both() {
        let mut of_services = OfServices::default();
        assert_eq!(of_services.set(&key("s"), Some(key("a"))), BTreeSet::from([key("a")]));
        assert_eq!(of_services.set(&key("s"), Some(key("b"))), BTreeSet::from([key("a"), key("b")]));
        assert_eq!(of_services.set(&key("s"), None), BTreeSet::from([key("b")]));
        assert!(of_services.slices_of.is_empty() && of_services.service_of.is_empty());
    }
}
