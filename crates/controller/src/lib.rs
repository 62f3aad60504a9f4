//! kuryr-controller: Kubernetes objects in, OpenStack resources out.
//!
//! Every noun is a folder that reads the same way: `desired` (pure: what OpenStack should have), `plan` (pure: the next step
//! from what is there), `apply` (the only file that awaits a cloud). What they share: [`work`] (the queue), [`cache`] (what the
//! API server told us), [`placement`] (which project, subnet and groups), [`trouble`] (errors as words for their owner).

pub mod cache;
pub mod config;
mod events;
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
use metrics::Metrics;
use pods::Pods;

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

/// Runs the controller until `shutdown`; finishes the step in hand of every object first.
pub async fn run(
    config: Config,
    kube: kube::Client,
    cloud: Cloud,
    metrics: Arc<Metrics>,
    health: Health,
    shutdown: CancellationToken,
) {
    cloud.observe(metrics.observer());
    let Some(tags_in_body) = shutdown.run_until_cancelled(probe(&cloud)).await else { return };
    let pods = Pods::new(kube, cloud, config, tags_in_body, metrics);
    let readiness = async {
        while !shutdown.is_cancelled() {
            health.ready.store(pods.is_ready(), Ordering::Relaxed);
            let _ = shutdown.run_until_cancelled(tokio::time::sleep(Duration::from_millis(100))).await;
        }
        health.ready.store(false, Ordering::Relaxed);
    };
    tokio::join!(pods.follow(&shutdown), pods.work(&shutdown), readiness);
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
