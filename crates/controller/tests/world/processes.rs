//! Controllers as processes: killed, stopped for a while (SIGSTOP), cut off from one side, with a wrong clock on the wall; and a
//! journal of whose changes arrived while the Lease was whose.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use kuryr_controller::Health;
use kuryr_fake::faults::ConnectionLost;
use kuryr_fake::kubernetes::{Body, Cluster};
use kuryr_openstack::Transport;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

/// Where the Lease is.
pub const LEASE_NAMESPACE: &str = "kube-system";
/// Kind in the words of the fake.
pub const LEASES: &str = "leases.coordination.k8s.io";

/// A running controller.
pub struct Running {
    pub name: String,
    pub(super) task: JoinHandle<()>,
    pub(super) shutdown: CancellationToken,
    pub health: Health,
    pub(super) ice: Ice,
    pub wire: Wire,
    pub metrics: prometheus_client::registry::Registry,
}

impl Running {
    /// `kill -9`: stops at whatever it awaits.
    pub fn kill(self) {
        self.task.abort();
    }

    /// By which it can be killed at any moment.
    pub fn handle(&self) -> tokio::task::AbortHandle {
        self.task.abort_handle()
    }

    /// SIGTERM: finishes what is in hand.
    pub async fn stop(self) {
        self.ask_to_end();
        self.task.await.unwrap();
    }

    /// SIGTERM, without waiting.
    pub fn ask_to_end(&self) {
        self.shutdown.cancel();
    }

    /// Whether it was told to end.
    pub fn is_ending(&self) -> bool {
        self.shutdown.is_cancelled()
    }

    /// Whether it ended.
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// SIGSTOP: nothing of it runs any more.
    pub fn freeze(&self) {
        self.ice.set(true);
    }

    /// SIGCONT: it goes on where it was.
    pub fn thaw(&self) {
        self.ice.set(false);
    }

    /// The value of a metric without labels.
    pub fn metric(&self, name: &str) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.metrics).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in:\n{text}")).to_owned()
    }
}

/// Whether a process is stopped, and whom to wake when it goes on.
#[derive(Clone, Default)]
pub(super) struct Ice(Arc<Mutex<(bool, Option<Waker>)>>);

impl Ice {
    fn set(&self, frozen: bool) {
        let mut state = self.0.lock().unwrap();
        state.0 = frozen;
        if let (false, Some(waker)) = (frozen, state.1.take()) {
            waker.wake();
        }
    }

    /// The work of a process that can be frozen.
    pub(super) fn around<F: Future + Send + 'static>(&self, work: F) -> Frozen<F> {
        Frozen { work: Box::pin(work), ice: self.clone() }
    }
}

pub(super) struct Frozen<F> {
    work: Pin<Box<F>>,
    ice: Ice,
}

impl<F: Future> Future for Frozen<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut state = self.ice.0.lock().unwrap();
        if state.0 {
            state.1 = Some(context.waker().clone());
            return Poll::Pending;
        }
        drop(state);
        self.work.as_mut().poll(context)
    }
}

/// Whose changes arrived when.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub at: Instant,
    pub process: String,
    pub what: String,
}

/// What the services saw of several controllers.
#[derive(Default)]
pub struct Journal {
    /// Changes, other than of the Lease.
    pub arrivals: Vec<Arrival>,
    /// When the Lease began to be whose; an empty name: nobody's.
    pub terms: Vec<(Instant, String)>,
    /// Changes by a process while the Lease was not its own.
    pub intrusions: Vec<String>,
    /// The last requests of a process that asked on and on without letting time pass.
    pub spins: Vec<String>,
    /// The last moment, and the requests of it.
    moment: Option<(Instant, Vec<String>)>,
}

/// So many requests in one moment nobody needs.
const SPINS: usize = 20_000;

/// The journal; clones are the same.
#[derive(Clone, Default)]
pub struct Witness(Arc<Mutex<Journal>>);

impl Witness {
    pub fn journal(&self) -> MutexGuard<'_, Journal> {
        self.0.lock().unwrap()
    }

    /// A request comes; whether it is one too many of a process that spins.
    fn counts(&self, what: String) -> bool {
        let (mut journal, now) = (self.journal(), Instant::now());
        let (moment, requests) = journal.moment.get_or_insert_with(|| (now, Vec::new()));
        if *moment != now {
            (*moment, *requests) = (now, Vec::new());
        }
        requests.push(what);
        let spins = requests.len() > SPINS;
        if spins {
            let last = requests[requests.len() - 20..].to_vec();
            journal.spins = last;
        }
        spins
    }

    /// # Panics
    /// If somebody spun: on a paused clock that would never have ended.
    pub fn nobody_spins(&self) {
        let journal = self.journal();
        assert!(journal.spins.is_empty(), "a controller spins, at last with {:#?}", journal.spins);
    }

    /// A change arrives.
    fn arrives(&self, cluster: &Cluster, process: &str, what: String) {
        let holder = holder(cluster);
        let mut journal = self.journal();
        if holder.as_deref() != Some(process) {
            journal.intrusions.push(format!("{process}: {what} while {holder:?} held the Lease"));
        }
        journal.arrivals.push(Arrival { at: Instant::now(), process: process.to_owned(), what });
    }

    /// Something may have happened to the Lease.
    fn looks(&self, cluster: &Cluster) {
        let holder = holder(cluster).unwrap_or_default();
        let mut journal = self.journal();
        if journal.terms.last().map_or("", |(_, last)| last) != holder {
            journal.terms.push((Instant::now(), holder));
        }
    }
}

/// Name of the process that holds the Lease.
pub fn holder(cluster: &Cluster) -> Option<String> {
    let lease = cluster.get(LEASES, LEASE_NAMESPACE, "kuryr-controller")?;
    let holder = lease["spec"]["holderIdentity"].as_str()?;
    Some(holder.rsplit_once('_').unwrap().0.to_owned())
}

/// One controller's ways to both services.
#[derive(Clone)]
pub struct Wire {
    process: String,
    witness: Witness,
    cluster: Cluster,
    cuts: Arc<BTreeMap<Side, watch::Sender<bool>>>,
    /// Seconds its clock on the wall is ahead.
    pub ahead: Arc<Mutex<i64>>,
}

/// What a controller can be cut off from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Kubernetes,
    Cloud,
}

impl Wire {
    pub(super) fn new(process: &str, witness: Witness, cluster: Cluster) -> Self {
        let cuts = [Side::Kubernetes, Side::Cloud].map(|side| (side, watch::Sender::new(false)));
        Self { process: process.to_owned(), witness, cluster, cuts: Arc::new(cuts.into()), ahead: Arc::default() }
    }

    /// Nothing passes any more, in no direction. What is sent waits, as a connection does.
    pub fn cut(&self, side: Side) {
        self.cuts[&side].send_replace(true);
        if side == Side::Kubernetes {
            // A watch is a connection like others. All of them are cut, so that this one is.
            self.cluster.cut_watches();
        }
    }

    /// Everything passes again, and what waited arrives now.
    pub fn mend(&self, side: Side) {
        self.cuts[&side].send_replace(false);
    }

    async fn whole(&self, side: Side) {
        self.cuts[&side].subscribe().wait_for(|cut| !cut).await.unwrap();
    }

    /// Time passes only when all wait: who spins is made to.
    async fn halts_who_spins(&self, method: &Method, uri: &http::Uri) {
        if self.witness.counts(format!("{method} {uri}")) {
            std::future::pending().await
        }
    }

    /// The way to the cloud.
    pub(super) fn cloud(&self, transport: Transport) -> Transport {
        let wire = self.clone();
        BoxCloneSyncService::new(tower::service_fn(move |request: Request<Bytes>| {
            let (wire, transport) = (wire.clone(), transport.clone());
            async move {
                wire.whole(Side::Cloud).await;
                wire.halts_who_spins(request.method(), request.uri()).await;
                if request.method() != Method::GET && !request.uri().path().ends_with("/auth/tokens") {
                    let what = format!("{} {}", request.method(), request.uri().path());
                    wire.witness.arrives(&wire.cluster, &wire.process, what);
                }
                let answer = transport.oneshot(request).await;
                wire.whole(Side::Cloud).await;
                answer
            }
        }))
    }

    /// The way to the API server.
    pub(super) fn kubernetes(
        &self,
    ) -> BoxCloneSyncService<Request<kube::client::Body>, http::Response<Body>, ConnectionLost> {
        let wire = self.clone();
        BoxCloneSyncService::new(tower::service_fn(move |request: Request<kube::client::Body>| {
            let wire = wire.clone();
            async move {
                let (head, body) = request.into_parts();
                let mut body = body.collect().await.map_or(Bytes::new(), |body| body.to_bytes());
                wire.whole(Side::Kubernetes).await;
                wire.halts_who_spins(&head.method, &head.uri).await;
                if head.method != Method::GET {
                    if head.uri.path().contains("/leases") {
                        body = wire.on_the_wall(body);
                    } else {
                        let what = format!("{} {}", head.method, head.uri.path());
                        wire.witness.arrives(&wire.cluster, &wire.process, what);
                    }
                }
                let answer = wire.cluster.call(Request::from_parts(head, body)).await;
                wire.witness.looks(&wire.cluster);
                wire.whole(Side::Kubernetes).await;
                answer
            }
        }))
    }

    /// The body of a write to the Lease with the times this process believes in.
    fn on_the_wall(&self, body: Bytes) -> Bytes {
        let ahead = *self.ahead.lock().unwrap();
        let Ok(mut lease) = serde_json::from_slice::<Value>(&body) else { return body };
        for field in ["renewTime", "acquireTime"] {
            if let Some(time) = lease["spec"][field].as_str() {
                let time: jiff::Timestamp = time.parse().unwrap();
                let time = time.checked_add(jiff::SignedDuration::from_secs(ahead)).unwrap();
                lease["spec"][field] = json!(format!("{time:.6}"));
            }
        }
        lease.to_string().into()
    }
}
