//! A Kubernetes API in memory.
//!
//! [`Cluster`] answers what a kube-apiserver would, for the kinds this project meets: discovery, get, list, watch, create,
//! update, all kinds of patch, delete, custom resource definitions. It also plays the controllers without which deletion
//! does not end: garbage collector, namespace controller, finalizer of definitions. Nothing schedules or runs pods;
//! tests and the lab play scheduler and kubelet.
//!
//! A fault that loses the answer of a watch after its effect cuts the watch after its first event.
//!
//! Time is tokio's, randomness comes from a seed, and all that happens to the state happens under one lock: on a paused
//! clock a test runs the same way every time.

mod apply;
mod body;
mod built_in_schemas;
mod clock;
mod collect;
mod convert;
mod crd;
mod delete;
mod discovery;
mod events;
mod fields;
mod form;
mod gateway_api;
mod hands;
mod jsonpath;
mod kinds;
mod log;
mod managed;
mod metadata;
mod object;
mod openapi;
mod patch;
mod pods;
mod read;
mod refusal;
mod request;
mod respond;
mod schema;
mod selector;
mod service;
mod services;
mod state;
mod store;
mod strategic;
mod strategy;
mod table;
mod typing;
mod watch;
mod write;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;

pub use self::body::Body;
pub use self::log::{Entry, Log};
pub use self::refusal::Refusal;

use self::clock::Clock;
use self::state::State;
use self::watch::Orders;
use crate::faults::{ConnectionLost, Faults};

/// The time in a cluster that was told none.
const BEGINNING: i64 = 1_767_225_600; // 2026-01-01T00:00:00Z

/// So many changes are remembered, unless told otherwise.
const REMEMBERS: usize = 100_000;

/// A cluster's API; clones are the same cluster.
#[derive(Clone)]
pub struct Cluster(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// The latest version, for those who wait for changes.
    changed: tokio::sync::watch::Sender<u64>,
    orders: tokio::sync::watch::Sender<Orders>,
    faults: Faults,
    log: Log,
}

/// What kind of cluster to make.
#[derive(Clone, Debug)]
pub struct Builder {
    seed: u64,
    began: Timestamp,
    remembers: usize,
    auto_namespaces: bool,
    collect_after: Duration,
    faults: Faults,
}

impl Builder {
    /// UIDs and generated names come from this seed (0 unless told otherwise).
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Builder {
        self.seed = seed;
        self
    }

    /// It is this time in the cluster now (the beginning of 2026 unless told otherwise); from here on the time goes by on
    /// tokio's clock.
    #[must_use]
    pub fn time(mut self, now: Timestamp) -> Builder {
        self.began = now;
        self
    }

    /// How many changes are remembered for watches to start from (100,000 unless told otherwise).
    #[must_use]
    pub fn history(mut self, changes: usize) -> Builder {
        self.remembers = changes;
        self
    }

    /// Namespaces come into being when something is created in them.
    #[must_use]
    pub fn auto_namespaces(mut self) -> Builder {
        self.auto_namespaces = true;
        self
    }

    /// How long garbage collector and namespace controller take to notice; nothing unless told otherwise, and then they act
    /// before the request that made the garbage is answered. Needs a tokio runtime.
    #[must_use]
    pub fn collect_after(mut self, delay: Duration) -> Builder {
        self.collect_after = delay;
        self
    }

    /// What goes wrong.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Builder {
        self.faults = faults;
        self
    }

    /// The cluster, with the namespaces every cluster has.
    #[must_use]
    pub fn build(self) -> Cluster {
        let mut state = State::new(self.seed, Clock::starting(self.began), self.remembers);
        state.auto_namespaces = self.auto_namespaces;
        state.collect_after = self.collect_after;
        for namespace in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            state.create_namespace(namespace);
        }
        let version = state.store.version();
        Cluster(Arc::new(Shared {
            state: Mutex::new(state),
            changed: tokio::sync::watch::Sender::new(version),
            orders: tokio::sync::watch::Sender::new(Orders::default()),
            faults: self.faults,
            log: Log::default(),
        }))
    }
}

impl Default for Cluster {
    fn default() -> Cluster {
        Cluster::new()
    }
}

impl Cluster {
    /// A cluster with nothing in it but its four namespaces.
    #[must_use]
    pub fn new() -> Cluster {
        Cluster::builder().build()
    }

    /// A cluster made to measure.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            seed: 0,
            began: Timestamp::from_second(BEGINNING).unwrap_or_default(),
            remembers: REMEMBERS,
            auto_namespaces: false,
            collect_after: Duration::ZERO,
            faults: Faults::none(),
        }
    }

    /// Answers a request.
    ///
    /// # Errors
    /// The connection is lost, because a fault was asked for.
    pub async fn call(&self, request: Request<Bytes>) -> Result<Response<Body>, ConnectionLost> {
        respond::respond(self, request).await
    }

    /// What goes wrong; may be changed at any time.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// What was asked for so far.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.0.log
    }

    /// Forgets all changes so far, as etcd's compaction does: a watch that starts before now, or has not kept up, is told
    /// `410 Gone`.
    pub fn compact(&self) {
        self.state().store.compact();
    }

    /// Ends all open watches in good order, as the API server does when their time is up.
    pub fn end_watches(&self) {
        self.0.orders.send_modify(|orders| orders.end += 1);
    }

    /// Cuts the connections of all open watches.
    pub fn cut_watches(&self) {
        self.0.orders.send_modify(|orders| orders.cut += 1);
    }

    /// The latest resource version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.state().store.version()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    fn orders(&self) -> tokio::sync::watch::Receiver<Orders> {
        self.0.orders.subscribe()
    }

    /// Lets `act` change the state, then does what follows and tells those who wait.
    fn act<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let (result, version, later) = {
            let mut state = self.state();
            let result = act(&mut state);
            let later = (!state.tasks.is_empty() && !state.collect_after.is_zero()).then_some(state.collect_after);
            if later.is_none() {
                state.collect();
            }
            (result, state.store.version(), later)
        };
        self.announce(version);
        if let Some(delay) = later {
            let cluster = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                let version = {
                    let mut state = cluster.state();
                    state.collect();
                    state.store.version()
                };
                cluster.announce(version);
            });
        }
        result
    }

    fn announce(&self, version: u64) {
        self.0.changed.send_if_modified(|announced| {
            let news = *announced < version;
            *announced = version.max(*announced);
            news
        });
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("version", &self.version()).finish_non_exhaustive()
    }
}
