//! kuryr-controller: Kubernetes objects in, OpenStack resources out.
//!
//! Every noun is a folder that reads the same way: `desired` (pure: what OpenStack should have), `plan` (pure: the next step
//! from what is there), `apply` (the only file that awaits a cloud). What they share: [`work`] (the queue), [`cache`] (what the
//! API server told us), [`placement`] (which project, subnet and groups), [`trouble`] (errors as words for their owner), and
//! `lease` (which of several controllers works).

pub mod cache;
pub mod config;
mod events;
mod lease;
pub mod metrics;
mod placement;
mod pods;
pub mod trouble;
pub mod work;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kuryr_openstack::Cloud;
use tokio_util::sync::CancellationToken;

pub use config::Config;
use lease::Elector;
pub use lease::{Election, Fence, Guarded, Identity, Refused};
use metrics::Metrics;
use pods::{Pods, Watched};

/// Neutron takes tags in the body of a port's creation.
const TAGS_IN_BODY: &str = "tag-ports-during-bulk-creation";

/// What probes ask. Cheap: never calls a cloud.
#[derive(Clone, Debug, Default)]
pub struct Health {
    ready: Arc<AtomicBool>,
}

impl Health {
    /// Whether everything was seen once and work goes on.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
}

/// How the controller reaches others. What changes something goes through the fence, whatever its way.
#[derive(Clone)]
pub struct Connections {
    /// The API server, behind the fence ([`Fence`] as a layer).
    pub kube: kube::Client,
    /// The cloud, behind the fence ([`Fence::cloud`]).
    pub cloud: Cloud,
    /// The API server, for the Lease itself: not behind the fence.
    pub lease: kube::Client,
    /// The fence in front of the first two, shut.
    pub fence: Fence,
}

/// Runs the controller until `shutdown`; finishes the step in hand of every object first, then gives the Lease back.
///
/// What is in Kubernetes is followed all the time. Work is done in terms of leadership: each begins with what Neutron has now
/// and a look at every object.
pub async fn run(
    config: Config,
    connections: Connections,
    metrics: Arc<Metrics>,
    health: Health,
    shutdown: CancellationToken,
) {
    let Connections { kube, cloud, lease, fence } = connections;
    cloud.observe(metrics.observer());
    let (watched, asked) = (Watched::default(), AtomicBool::new(false));
    let readiness = async {
        while !shutdown.is_cancelled() {
            health.ready.store(watched.is_synced() && asked.load(Ordering::Relaxed), Ordering::Relaxed);
            let _ = shutdown.run_until_cancelled(tokio::time::sleep(Duration::from_millis(100))).await;
        }
        health.ready.store(false, Ordering::Relaxed);
    };
    let work = async {
        // Who has not seen everything, or cannot reach the cloud, is no candidate: it would only keep others from working.
        let seen = async { tokio::join!(probe(&cloud), watched.synced()).0 };
        let Some(tags_in_body) = shutdown.run_until_cancelled(seen).await else { return };
        asked.store(true, Ordering::Relaxed);
        let term = async |stop: CancellationToken| {
            let (kube, cloud, config) = (kube.clone(), cloud.clone(), config.clone());
            Pods::new(kube, cloud, config, tags_in_body, Arc::clone(&metrics), &watched).work(&stop).await;
        };
        match config.election.clone() {
            Some(election) => {
                let metrics = Arc::clone(&metrics);
                let elector = Elector::new(election, lease, kube.clone(), fence, metrics, config.seed);
                elector.run(&shutdown, term).await;
            }
            None => {
                fence.open();
                metrics.leads(true);
                term(shutdown.clone()).await;
                metrics.leads(false);
            }
        }
    };
    tokio::join!(watched.follow(&kube, &shutdown), work, readiness);
}

/// What this Neutron can do. Tries until it answers: a cloud that is down is waited for, not crashed over.
async fn probe(cloud: &Cloud) -> bool {
    let mut wait = Duration::from_millis(500);
    loop {
        match cloud.network().extensions().await {
            Ok(extensions) => return extensions.contains(TAGS_IN_BODY),
            Err(error) => tracing::warn!(%error, "cannot ask Neutron for its extensions; trying again in {wait:?}"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(15));
    }
}
