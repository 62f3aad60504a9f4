//! kuryr-controller: Kubernetes objects in, OpenStack resources out.
//!
//! Every noun is a folder that reads the same way: `desired` (pure: what OpenStack should have), `plan` (pure: the next step
//! from what is there), `apply` (the only file that awaits a cloud). What they share: [`work`] (the queue), [`cache`] (what the
//! API server told us), [`placement`] (which project, subnet and groups), [`trouble`] (errors as words for their owner),
//! `own` (our custom resources written), `reach` (whether the cloud answers), `rest` (how often it is asked), and `lease` (which of several controllers works).

mod balancing;
pub mod cache;
mod condition;
pub mod config;
pub mod events;
mod lease;
pub mod metrics;
mod own;
mod placement;
mod pods;
mod reach;
mod rest;
mod routes;
mod services;
pub mod told;
pub mod trouble;
pub mod work;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kuryr_openstack::Cloud;
use tokio_util::sync::CancellationToken;

pub use config::Config;
pub use lease::{Election, Fence, Guarded, Identity, Refused};
use lease::{Elector, End};
use metrics::Metrics;
use pods::Pods;
use reach::{PATIENCE, Reach};
use routes::Routes;
pub use routes::{made_balancer, made_floating_ip};
use services::Services;

/// What probes ask. Cheap: never calls a cloud.
#[derive(Clone, Debug, Default)]
pub struct Health {
    ready: Arc<AtomicBool>,
    waits_for: Arc<Mutex<Option<String>>>,
}

impl Health {
    /// Whether everything was seen once and work goes on.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// What readiness waits for, in words; `None` if it is ready or ends.
    #[must_use]
    pub fn waits_for(&self) -> Option<String> {
        self.waits_for.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, waits_for: Option<String>) {
        self.ready.store(waits_for.is_none(), Ordering::Relaxed);
        *self.waits_for.lock().unwrap_or_else(PoisonError::into_inner) = waits_for;
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
/// and a look at every object. A cloud that does not answer keeps nobody from leading: the leader tells the pods what they wait
/// for. It gives the Lease back from time to time, for others may reach the cloud.
pub async fn run(
    config: Config,
    connections: Connections,
    metrics: Arc<Metrics>,
    health: Health,
    shutdown: CancellationToken,
) {
    let Connections { kube, cloud, lease, fence } = connections;
    cloud.observe(metrics.observer());
    let (watched, reach) = (pods::Watched::default(), Arc::new(Reach::default()));
    // Watched only where somebody is to work with it.
    let balances = config.services.is_some() || config.routes.is_some();
    let of_services = balances.then(|| Arc::new(services::Watched::default()));
    let of_routes = config.routes.as_ref().and(of_services.clone()).map(routes::Watched::new);
    let readiness = async {
        while !shutdown.is_cancelled() {
            let of_services = of_services.as_ref().and_then(|watched| watched.waits_for());
            let of_routes = of_routes.as_ref().and_then(|watched| watched.waits_for());
            health.set(watched.waits_for().or(of_services).or(of_routes).or_else(|| reach.reason()));
            let _ = shutdown.run_until_cancelled(tokio::time::sleep(Duration::from_millis(100))).await;
        }
        health.ready.store(false, Ordering::Relaxed);
    };
    let work = async {
        // Who has not seen everything is no candidate, and who does not reach the cloud lets those who do be first.
        let seen = async {
            let _ = tokio::join!(tokio::time::timeout(PATIENCE, reach.answered()), watched.synced());
        };
        if shutdown.run_until_cancelled(seen).await.is_none() {
            return;
        }
        let term = async |stop: CancellationToken| {
            let stop = stop.child_token();
            let pods = {
                let (kube, cloud, config) = (kube.clone(), cloud.clone(), config.clone());
                Pods::new(kube, cloud, config, Arc::clone(&reach), Arc::clone(&metrics), &watched)
            };
            let pods = async {
                let end = pods.work(&stop).await;
                stop.cancel();
                end
            };
            let services = async {
                if let (Some(settings), Some(watched)) = (config.services.clone(), of_services.clone()) {
                    // Pods do not wait for what only Services need.
                    if stop.run_until_cancelled(watched.synced()).await.is_none() {
                        return;
                    }
                    let (kube, cloud, config) = (kube.clone(), cloud.clone(), config.clone());
                    Services::new(kube, cloud, config, settings, Arc::clone(&metrics), watched).work(&stop).await;
                }
            };
            let routes = async {
                if let (Some(settings), Some(watched)) = (config.routes.clone(), of_routes.clone()) {
                    if stop.run_until_cancelled(watched.synced()).await.is_none() {
                        return;
                    }
                    let (kube, cloud, config) = (kube.clone(), cloud.clone(), config.clone());
                    let routes = Routes::new(kube, cloud, config, settings, Arc::clone(&metrics), watched);
                    Box::pin(routes.work(&stop)).await;
                }
            };
            tokio::join!(pods, services, routes).0
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
                while term(shutdown.clone()).await == End::NoCloud {}
                metrics.leads(false);
            }
        }
    };
    let learn = shutdown.run_until_cancelled(reach.learn(&cloud));
    let follow_services = async {
        if let Some(watched) = &of_services {
            watched.follow(&kube, &config.api_server, &shutdown).await;
        }
    };
    let follow_routes = async {
        if let Some(watched) = &of_routes {
            Box::pin(watched.follow(&kube, &config.api_server, &shutdown)).await;
        }
    };
    let follow_pods = watched.follow(&kube, &config.api_server, &shutdown);
    tokio::join!(follow_pods, follow_services, follow_routes, work, readiness, learn);
}
