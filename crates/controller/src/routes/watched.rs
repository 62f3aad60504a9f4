//! What the API server has of Ingresses and of Gateway API, followed for as long as the process lives, whether it leads or not.
//!
//! The definitions of Gateway API may come and go: whether a kind is served is asked from time to time, and it is followed while
//! it is. Without them there is nothing to follow, and nothing to wait for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroup, APIResourceList};
use kube::Api;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::backends::Sources;
use super::ingress::owner_of;
use super::kinds::{
    CONTROLLER, GROUP, Gateway, GatewayClass, HttpRoute, Kind, Object, ReferenceGrant, Route, RouteKind, Served,
    TcpRoute, UdpRoute,
};
use super::owner::{Owner, OwnerKind};
use crate::cache::{Cache, Key, Versioned, unlisted, version_of};
use crate::own::digest;
use crate::services;
use crate::services::facts::{ServiceFacts, SliceFacts};
use crate::work::{AtWork, Queue};

/// How often it is asked which kinds are served.
const DISCOVERY: Duration = Duration::from_secs(30);

/// How soon it is asked again what was not answered.
const SOON: Duration = Duration::from_secs(1);

/// Of a Namespace what is read here.
#[derive(Debug)]
pub(crate) struct Labels {
    uid: String,
    version: u64,
    labels: BTreeMap<String, String>,
}

impl Versioned for Labels {
    fn uid(&self) -> &str {
        &self.uid
    }

    fn version(&self) -> u64 {
        self.version
    }
}

/// Kinds of Gateway API that are served, with the version of each; `None` until that was asked.
type Serving = Option<BTreeMap<&'static str, Served>>;

/// Ingresses, Gateways and routes, and who is to be told of changes.
pub(crate) struct Watched {
    /// Services and their endpoints, which others follow.
    services: Arc<services::Watched>,
    pub(super) ingresses: Cache<Ingress>,
    pub(super) ingress_classes: Cache<IngressClass>,
    namespaces: Cache<Labels>,
    pub(super) gateway_classes: Cache<Object<GatewayClass>>,
    pub(super) gateways: Cache<Object<Gateway>>,
    pub(super) http_routes: Cache<Route>,
    pub(super) tcp_routes: Cache<Route>,
    pub(super) udp_routes: Cache<Route>,
    grants: Cache<Object<ReferenceGrant>>,
    serving: watch::Sender<Serving>,
    /// Whose load balancer an Ingress was part of when it was last seen.
    owners: Mutex<HashMap<Key, Owner>>,
    /// Which Services matter to an owner.
    used: Mutex<HashMap<Owner, BTreeSet<Key>>>,
    at_work: AtWork<Owner>,
}

impl Watched {
    /// With nothing known yet.
    pub(crate) fn new(services: Arc<services::Watched>) -> Arc<Watched> {
        let watched = Arc::new(Watched {
            services: Arc::clone(&services),
            ingresses: Cache::default(),
            ingress_classes: Cache::default(),
            namespaces: Cache::default(),
            gateway_classes: Cache::default(),
            gateways: Cache::default(),
            http_routes: Cache::default(),
            tcp_routes: Cache::default(),
            udp_routes: Cache::default(),
            grants: Cache::default(),
            serving: watch::Sender::new(None),
            owners: Mutex::default(),
            used: Mutex::default(),
            at_work: AtWork::default(),
        });
        let told = Arc::downgrade(&watched);
        services.listen(move |service| {
            if let Some(watched) = told.upgrade() {
                watched.service_changed(service);
            }
        });
        watched
    }

    /// What was not seen yet, in words; `None` if everything was seen once.
    pub(crate) fn waits_for(&self) -> Option<String> {
        let unseen = self.unseen_kind();
        unlisted(&[
            ("Ingresses", self.ingresses.is_synced()),
            ("IngressClasses", self.ingress_classes.is_synced()),
            ("Namespaces", self.namespaces.is_synced()),
            (unseen.unwrap_or_default(), unseen.is_none()),
        ])
    }

    /// Waits until everything was seen once that Ingresses need.
    pub(crate) async fn synced(&self) {
        self.services.synced().await;
        self.ingresses.synced().await;
        self.ingress_classes.synced().await;
        self.namespaces.synced().await;
    }

    /// Whether Gateways are served and all that they need was seen.
    pub(super) fn knows_gateways(&self) -> bool {
        let served = self.serving.borrow().as_ref().is_some_and(|serving| serving.contains_key(Gateway::PLURAL));
        served && self.unseen_kind().is_none()
    }

    /// When it makes sense to ask again whether they are known.
    pub(super) fn knows_gateways_after(&self) -> Duration {
        let serving = self.serving.borrow();
        let absent = serving.as_ref().is_some_and(|serving| !serving.contains_key(Gateway::PLURAL));
        if absent { DISCOVERY } else { SOON }
    }

    /// A kind that is served and was not listed yet.
    fn unseen_kind(&self) -> Option<&'static str> {
        let serving = self.serving.borrow();
        let Some(serving) = serving.as_ref() else { return Some("kinds of Gateway API") };
        let kinds = [
            (GatewayClass::PLURAL, "GatewayClasses", self.gateway_classes.is_synced()),
            (Gateway::PLURAL, "Gateways", self.gateways.is_synced()),
            (HttpRoute::PLURAL, "HTTPRoutes", self.http_routes.is_synced()),
            (TcpRoute::PLURAL, "TCPRoutes", self.tcp_routes.is_synced()),
            (UdpRoute::PLURAL, "UDPRoutes", self.udp_routes.is_synced()),
            (ReferenceGrant::PLURAL, "ReferenceGrants", self.grants.is_synced()),
        ];
        kinds.into_iter().find(|(plural, _, synced)| serving.contains_key(plural) && !synced).map(|(_, name, _)| name)
    }

    /// The version of a kind that is served, or the usual one.
    pub(super) fn served<K: Kind>(&self) -> Served {
        self.serving.borrow().as_ref().and_then(|serving| serving.get(K::PLURAL).cloned()).unwrap_or_default()
    }

    /// Keeps the caches warm until `shutdown`. Writes nothing. `server` is the API server's address, for messages.
    pub(crate) async fn follow(&self, kube: &kube::Client, server: &str, shutdown: &CancellationToken) {
        let labels = |namespace: Namespace| Labels {
            uid: namespace.metadata.uid.clone().unwrap_or_default(),
            version: version_of(&namespace),
            labels: namespace.metadata.labels.unwrap_or_default(),
        };
        let gateways = |_: Key| self.wake_gateways();
        let class = |key: Key| {
            self.at_work.wake(Owner::new(OwnerKind::GatewayClass, key));
            self.wake_gateways();
        };
        // The owner of one is woken also if it was listed before all that it needs.
        let gateway = |key: Key| self.at_work.wake(Owner::new(OwnerKind::Gateway, key));
        let ingress_class = |_: Key| self.wake_ingresses();
        let ingress = |key: Key| self.sort(&key);
        let (ingresses, classes) = (Api::<Ingress>::all(kube.clone()), Api::<IngressClass>::all(kube.clone()));
        let namespaces = Api::<Namespace>::all(kube.clone());
        let of_http = |object| Route::read::<HttpRoute>(RouteKind::Http, object);
        let of_tcp = |object| Route::read::<TcpRoute>(RouteKind::Tcp, object);
        let of_udp = |object| Route::read::<UdpRoute>(RouteKind::Udp, object);
        let way = Way { kube, server, shutdown, serving: &self.serving };
        tokio::join!(
            self.discover(kube, shutdown),
            self.ingress_classes.follow(classes, server, shutdown, digest, ingress_class),
            self.ingresses.follow(ingresses, server, shutdown, digest, ingress),
            self.namespaces.follow(namespaces, server, shutdown, labels, gateways),
            way.while_served(&self.gateway_classes, &digest::<Object<GatewayClass>>, &class),
            way.while_served(&self.gateways, &digest::<Object<Gateway>>, &gateway),
            way.while_served::<HttpRoute, _>(&self.http_routes, &of_http, &gateways),
            way.while_served::<TcpRoute, _>(&self.tcp_routes, &of_tcp, &gateways),
            way.while_served::<UdpRoute, _>(&self.udp_routes, &of_udp, &gateways),
            way.while_served(&self.grants, &digest::<Object<ReferenceGrant>>, &gateways),
        );
    }

    /// Finds out which kinds are served, from time to time.
    async fn discover(&self, kube: &kube::Client, shutdown: &CancellationToken) {
        loop {
            match shutdown.run_until_cancelled(served_kinds(kube)).await {
                None => return,
                Some(Ok(found)) => {
                    let changed = self.serving.send_if_modified(|serving| {
                        let changed = serving.as_ref() != Some(&found);
                        *serving = Some(found);
                        changed
                    });
                    if changed {
                        self.wake_gateways();
                    }
                }
                Some(Err(error)) => tracing::debug!(%error, "cannot ask which kinds of Gateway API are served"),
            }
            // What was never answered is asked again soon.
            let rest = if self.serving.borrow().is_some() { DISCOVERY } else { SOON };
            if shutdown.run_until_cancelled(tokio::time::sleep(rest)).await.is_none() {
                return;
            }
        }
    }

    /// From now on this queue hears of changes; first of everything there is.
    pub(super) fn tell(&self, queue: &Arc<Queue<Owner>>) {
        self.at_work.set(queue);
        let classes = self.gateway_classes.all().into_iter().map(|(key, _)| key);
        classes.for_each(|key| queue.wake(Owner::new(OwnerKind::GatewayClass, key)));
        self.wake_gateways();
        self.wake_ingresses();
    }

    fn wake_gateways(&self) {
        let gateways = self.gateways.all().into_iter().map(|(key, _)| key);
        gateways.for_each(|key| self.at_work.wake(Owner::new(OwnerKind::Gateway, key)));
    }

    fn wake_ingresses(&self) {
        let owners: BTreeSet<Owner> = self.ingresses.all().iter().map(|(_, ingress)| owner_of(ingress)).collect();
        owners.into_iter().for_each(|owner| self.at_work.wake(owner));
    }

    /// An Ingress is another: it concerns whose it was and whose it is.
    fn sort(&self, key: &Key) {
        let now = self.ingresses.get(key).map(|ingress| owner_of(&ingress));
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match &now {
            Some(owner) => owners.insert(key.clone(), owner.clone()),
            None => owners.remove(key),
        };
        drop(owners);
        before.into_iter().chain(now).collect::<BTreeSet<_>>().into_iter().for_each(|owner| self.at_work.wake(owner));
    }

    fn service_changed(&self, service: &Key) {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let owners: Vec<Owner> =
            used.iter().filter(|(_, services)| services.contains(service)).map(|(owner, _)| owner.clone()).collect();
        drop(used);
        owners.into_iter().for_each(|owner| self.at_work.wake(owner));
    }

    /// From now on an owner hears of these Services.
    pub(super) fn uses(&self, owner: &Owner, services: BTreeSet<Key>) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if services.is_empty() {
            used.remove(owner);
        } else {
            used.insert(owner.clone(), services);
        }
    }

    /// Whether a class of Gateways is ours; `None` if there is no such class.
    pub(super) fn is_our_class(&self, name: &str) -> Option<bool> {
        let class = self.gateway_classes.get(&Key { namespace: String::new(), name: name.to_owned() })?;
        Some(class.spec.controller_name == CONTROLLER)
    }

    /// A class of Ingresses.
    pub(super) fn ingress_class(&self, name: &str) -> Option<Arc<IngressClass>> {
        self.ingress_classes.get(&Key { namespace: String::new(), name: name.to_owned() })
    }

    /// Routes of all kinds.
    pub(super) fn routes(&self) -> Vec<Arc<Route>> {
        let caches = [&self.http_routes, &self.tcp_routes, &self.udp_routes];
        caches.into_iter().flat_map(Cache::all).map(|(_, route)| route).collect()
    }

    pub(super) fn grants(&self) -> Vec<Arc<Object<ReferenceGrant>>> {
        self.grants.all().into_iter().map(|(_, grant)| grant).collect()
    }

    /// The labels of a namespace.
    pub(super) fn labels(&self, namespace: &str) -> Option<BTreeMap<String, String>> {
        let key = Key { namespace: String::new(), name: namespace.to_owned() };
        self.namespaces.get(&key).map(|namespace| namespace.labels.clone())
    }

    /// Ingresses whose load balancer is this owner's.
    pub(super) fn ingresses_of(&self, owner: &Owner) -> Vec<(Key, Arc<Ingress>)> {
        let found = match owner.kind {
            OwnerKind::Ingress => {
                self.ingresses.get(&owner.key).map(|it| (owner.key.clone(), it)).into_iter().collect()
            }
            _ => self.ingresses.all(),
        };
        let mut found: Vec<_> = found.into_iter().filter(|(_, ingress)| owner_of(ingress) == *owner).collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }
}

/// How kinds of Gateway API are followed.
struct Way<'a> {
    kube: &'a kube::Client,
    server: &'a str,
    shutdown: &'a CancellationToken,
    serving: &'a watch::Sender<Serving>,
}

impl Way<'_> {
    /// Follows a kind while it is served, until `shutdown`. On the heap: one of these for each kind is too much for a stack.
    fn while_served<'a, K: Kind, V: Versioned + Send + Sync>(
        &'a self,
        cache: &'a Cache<V>,
        digest: &'a (dyn Fn(Object<K>) -> V + Sync),
        changed: &'a (dyn Fn(Key) + Sync),
    ) -> BoxFuture<'a, ()> {
        let version = |serving: &Serving| serving.as_ref().and_then(|serving| serving.get(K::PLURAL)).cloned();
        Box::pin(async move {
            let mut serving = self.serving.subscribe();
            while !self.shutdown.is_cancelled() {
                let begins = serving.wait_for(|serving| version(serving).is_some());
                let Some(Ok(now)) = self.shutdown.run_until_cancelled(begins).await.map(|it| it.map(|it| version(&it)))
                else {
                    return;
                };
                let api = Api::<Object<K>>::all_with(self.kube.clone(), &now.clone().unwrap_or_default());
                tokio::select! {
                    () = cache.follow(api, self.server, self.shutdown, digest, changed) => {}
                    _ = serving.wait_for(|serving| version(serving) != now) => {}
                }
            }
        })
    }
}

impl Sources for Watched {
    fn service(&self, key: &Key) -> Option<Arc<ServiceFacts>> {
        self.services.service(key)
    }

    fn slices(&self, key: &Key) -> Vec<Arc<SliceFacts>> {
        self.services.slices(key)
    }
}

/// The kinds that are served, each in the best version that is understood.
async fn served_kinds(kube: &kube::Client) -> Result<BTreeMap<&'static str, Served>, kube::Error> {
    let mut found = BTreeMap::new();
    let Some(group) = get::<APIGroup>(kube, &format!("/apis/{GROUP}")).await? else { return Ok(found) };
    let understood: [(&'static str, &[&str]); 6] = [
        (GatewayClass::PLURAL, GatewayClass::VERSIONS),
        (Gateway::PLURAL, Gateway::VERSIONS),
        (HttpRoute::PLURAL, HttpRoute::VERSIONS),
        (TcpRoute::PLURAL, TcpRoute::VERSIONS),
        (UdpRoute::PLURAL, UdpRoute::VERSIONS),
        (ReferenceGrant::PLURAL, ReferenceGrant::VERSIONS),
    ];
    let mut served: HashMap<String, BTreeSet<String>> = HashMap::new();
    for version in group.versions.iter().map(|version| &version.version) {
        if understood.iter().any(|(_, versions)| versions.contains(&version.as_str())) {
            let list = get::<APIResourceList>(kube, &format!("/apis/{GROUP}/{version}")).await?;
            let names = list.into_iter().flat_map(|list| list.resources).map(|resource| resource.name);
            served.insert(version.clone(), names.collect());
        }
    }
    for (plural, versions) in understood {
        let best = versions.iter().find(|version| served.get(**version).is_some_and(|names| names.contains(plural)));
        found.extend(best.map(|version| (plural, Served((*version).to_owned()))));
    }
    Ok(found)
}

/// What is at a path, if there is anything.
async fn get<T: serde::de::DeserializeOwned>(kube: &kube::Client, path: &str) -> Result<Option<T>, kube::Error> {
    let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    match kube.request(request).await {
        Ok(found) => Ok(Some(found)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}
