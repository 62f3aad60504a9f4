//! Services: Service + EndpointSlices → KuryrLoadBalancer → load balancer in Octavia, and back.
//!
//! ```text
//! observed   Service, EndpointSlices, KuryrLoadBalancer (caches), Octavia (index)    what is there
//! desired    nothing, with a reason | a balancer                                     what should be           pure
//! record     the KuryrLoadBalancer                                                   what is written down     pure
//! plan       the next step, with a reason                                            how to get there         pure
//! apply      that step; public for addresses from outside                            the only ones that write
//! upkeep     states that are waited for, and all there is from time to time          one list for all
//! ```
//!
//! A load balancer is found by its name, `namespace/name` of its Service, and by this cluster's tag, or by the KuryrLoadBalancer
//! that names it, if kuryr-kubernetes made it.

mod apply;
pub(crate) mod desired;
pub(crate) mod facts;
pub(crate) mod index;
mod marks;
mod plan;
pub(crate) mod provider;
mod public;
mod record;
pub(crate) mod repairs;
pub(crate) mod upkeep;
mod watched;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use kuryr_openstack::Cloud;
use kuryr_openstack::load_balancing::LoadBalancingVersion;
use kuryr_openstack::network::FloatingIp;
use tokio_util::sync::CancellationToken;

use crate::cache::Key;
use crate::condition;
use crate::config::{self, Config};
use crate::events::Events;
use crate::metrics::Metrics;
use crate::placement::Placement;
use crate::trouble::Trouble;
use crate::work::{Queue, Verdict};
use desired::{Desired, Setting};
use facts::ServiceType;
use index::Index;
use marks::Marks;
use plan::{Next, Observed, Step, Way};
use provider::Provider;
use repairs::Repairs;
pub(crate) use watched::Watched;

#[cfg(test)]
mod tests;

/// No Service needs more steps than this in one look; more means that two sides undo each other's work.
const STEPS_PER_LOOK: usize = 32;
/// A load balancer that Octavia does not finish for so long is worth a word to the Service's owner.
const OCTAVIA_PATIENCE: Duration = Duration::from_secs(300);

/// The reconciler of Services, for one term of leadership.
pub(crate) struct Services {
    kube: kube::Client,
    cloud: Cloud,
    settings: config::Services,
    config: Config,
    placement: Placement,
    watched: Arc<Watched>,
    index: Index<Key>,
    queue: Arc<Queue<Key>>,
    events: Events,
    metrics: Arc<Metrics>,
    marks: Marks,
    repairs: Repairs<Key>,
    provider: Provider,
    /// What this Octavia knows; asked before anything else.
    version: OnceLock<LoadBalancingVersion>,
}

impl Services {
    /// A reconciler that knows nothing of Octavia yet and will look at everything that is watched.
    pub(crate) fn new(
        kube: kube::Client,
        cloud: Cloud,
        config: Config,
        settings: config::Services,
        metrics: Arc<Metrics>,
        watched: Arc<Watched>,
    ) -> Self {
        let queue = Arc::new(Queue::new(config.seed));
        watched.tell(&queue);
        Self {
            placement: Placement::new(cloud.clone(), config.placement.clone()),
            events: Events::new(kube.clone(), config.use_events),
            marks: Marks::new(&config.cluster, &config.resource_tags),
            index: Index::default(),
            repairs: Repairs::default(),
            provider: Provider::default(),
            version: OnceLock::new(),
            kube,
            cloud,
            settings,
            config,
            watched,
            queue,
            metrics,
        }
    }

    /// Works until `shutdown`, once the load balancers in Octavia are known. What is watched must be synced.
    pub(crate) async fn work(self, shutdown: &CancellationToken) {
        if shutdown.run_until_cancelled(self.load_index()).await.is_none() {
            return;
        }
        tracing::info!("Services, KuryrLoadBalancers and load balancers are known; working");
        self.index.keys().into_iter().for_each(|key| self.queue.wake(key));
        tokio::join!(
            self.queue.work(self.config.concurrency, shutdown, |key| self.look_at(key)),
            self.poll_pending(shutdown),
            self.watch_drift(shutdown),
        );
    }

    fn observe(&self, key: &Key) -> Observed {
        let (mut held, uncertain) = self.index.of(key);
        let (service, record) = (self.watched.services.get(key), self.watched.records.get(key));
        let is_public = service.as_ref().is_some_and(|service| service.kind == ServiceType::LoadBalancer);
        let recorded = record.as_ref().and_then(|record| record.status.as_ref()?.service_pub_ip_info.as_ref());
        let of_others = |floating: &FloatingIp| {
            let recorded = recorded.filter(|recorded| recorded.ip_id == floating.id);
            !is_public && recorded.is_none() && !self.marks.made(floating, None)
        };
        // What somebody lets lead to the VIP of a Service that asks for nothing is not ours to judge.
        if held.floating.as_ref().is_some_and(of_others) {
            Arc::make_mut(&mut held).floating = None;
        }
        Observed { service, record, held, uncertain }
    }

    /// Looks at one Service and does what is to be done.
    async fn look_at(&self, key: Key) -> Verdict {
        let setting = match self.setting().await {
            Ok(setting) => setting,
            Err(trouble) => return self.failed(&key, &trouble).await,
        };
        let mut way = self.way();
        // When to look again, where the owner was told of something that waits while everything else goes on.
        let mut waits: Option<Duration> = None;
        for _ in 0..STEPS_PER_LOOK {
            let observed = self.observe(&key);
            let (service, slices) = (observed.service.as_deref(), self.watched.slices(&key));
            let desired = match observed.record.as_deref() {
                Some(record) if plan::leaves_us(record) => Desired::Nothing("Kuryr is being taken out"),
                _ => desired::desired(&key.to_string(), service, &slices, &setting),
            };
            if matches!(desired, Desired::Balanced(_))
                && way.provider.is_some()
                && observed.held.balancer.as_ref().is_none_or(|there| !plan::is_provided(there, &way))
                && let Err(trouble) = self.provider_is_there().await
            {
                if observed.held.balancer.is_none() || observed.record.is_none() {
                    return self.failed(&key, &trouble).await;
                }
                // What another provider made goes on.
                self.tell(&key, &trouble).await;
                way.provider = None;
                waits = Some(provider::AGAIN);
                continue;
            }
            let before = observed.record.as_ref().map(|record| record.spec.clone()).unwrap_or_default();
            let spec = service.map(|service| record::spec(service, &self.settings, self.project(), &before));
            match plan::next(&desired, &spec.unwrap_or(before), &observed, &way) {
                Next::Settled(_) | Next::Do(Step::RecordStatus, _) if let Some(again) = waits => {
                    return Verdict::Again(again);
                }
                Next::Settled(reason) => {
                    tracing::trace!(%key, reason, "settled");
                    self.remark(&key, &observed, &desired).await;
                    return Verdict::Settled;
                }
                Next::Await(id) => {
                    tracing::trace!(%key, id, "Octavia is at work");
                    return Verdict::Again(OCTAVIA_PATIENCE);
                }
                Next::Do(step, reason) => {
                    tracing::debug!(%key, ?step, reason, "next step");
                    if let Err(trouble) = self.apply(&key, &observed, &desired, step).await {
                        return self.failed(&key, &trouble).await;
                    }
                }
                Next::Repair(call, reason) => {
                    if let Some(left) = self.repairs.left(&key, reason) {
                        self.tell(&key, &not_repaired(reason)).await;
                        way.repairs = false;
                        waits = Some(left);
                        continue;
                    }
                    tracing::info!(%key, ?call, reason, "repairing");
                    if let Err(trouble) = self.apply(&key, &observed, &desired, Step::Cloud(call)).await {
                        return self.failed(&key, &trouble).await;
                    }
                    self.repairs.begun(&key, reason);
                }
            }
        }
        let message = "a Service needs ever more steps: something undoes Kuryr's work as it is done";
        self.failed(&key, &Trouble::bug("NoProgress", message)).await
    }

    /// Says what of a Service could not be read or was left out, once.
    async fn remark(&self, key: &Key, observed: &Observed, desired: &Desired) {
        let Some(service) = observed.service.as_deref() else {
            self.repairs.forget(key);
            return self.events.forget(key);
        };
        let Desired::Balanced(balancer) = desired else { return self.events.forget(key) };
        let trouble = if !balancer.refused.is_empty() {
            let refused: Vec<String> = balancer.refused.iter().take(5).map(ToString::to_string).collect();
            Trouble::mistake(
                "EndpointRefused",
                format!(
                    "{} of its endpoints are neither in the pods' nor in the nodes' subnets and get no traffic: {}; a member must \
                     not be anybody's address (CVE-2021-25740). If they are nodes, name their subnets in [pod_vif_nested] \
                     worker_nodes_subnets",
                    balancer.refused.len(),
                    refused.join(", "),
                ),
            )
        } else if service.kind == ServiceType::LoadBalancer
            && self.settings.external.is_none()
            && service.class.is_none()
        {
            Trouble::mistake(
                "ExternalNetworkNotConfigured",
                "the LoadBalancer is reached inside the cluster only: set [neutron_defaults] external_svc_net to the network that \
                 addresses from outside come from, or spec.loadBalancerClass if somebody else serves it",
            )
        } else if !service.wrong.is_empty() {
            Trouble::mistake("ServiceNotUnderstood", format!("{}; correct it", service.wrong.join("; ")))
        } else {
            return self.events.forget(key);
        };
        self.events.warn("Service", key, &service.uid, &trouble).await;
    }

    async fn failed(&self, key: &Key, trouble: &Trouble) -> Verdict {
        self.metrics.failed(trouble.class);
        let failures = self.queue.failures(key) + 1;
        if trouble.is_worth_telling(failures) {
            tracing::warn!(%key, failures, reason = trouble.reason, message = trouble.message, "Service waits");
            self.tell(key, trouble).await;
        } else {
            tracing::debug!(%key, failures, reason = trouble.reason, message = trouble.message, "Service waits");
        }
        Verdict::Failed(trouble.backoff())
    }

    /// Tells the Service's owner what it waits for: a condition on the KuryrLoadBalancer, and one Event when the reason changes.
    async fn tell(&self, key: &Key, trouble: &Trouble) {
        let observed = self.observe(key);
        let Some(service) = observed.service.as_deref() else { return };
        let before = observed.record.as_ref().and_then(|record| record.status.clone()).unwrap_or_default();
        let known = condition::ready(&before.conditions).is_some_and(|known| known.reason == trouble.reason);
        if known {
            self.events.was_told(key, trouble.reason);
        }
        self.events.warn("Service", key, &service.uid, trouble).await;
        let Some(record) = observed.record.as_deref() else { return };
        // The cloud's words can differ each time; a write for each would wake us each time.
        if known {
            return;
        }
        let mut status = record::status(&observed.held, &before, &self.marks);
        status.conditions = before.conditions;
        condition::set_ready(&mut status.conditions, false, trouble.reason, &trouble.message, Timestamp::now());
        if let Err(error) = self.write_status(key, record, &status).await {
            tracing::debug!(%key, %error, "the condition is not written yet; it will be with the next attempt");
        }
    }

    fn project(&self) -> &str {
        &self.config.placement.project
    }

    fn way(&self) -> Way {
        Way {
            provider: self.settings.provider.clone(),
            marks: self.marks.clone(),
            algorithm: self.settings.algorithm,
            source_ranges: self.has_ranges(),
            repairs: true,
        }
    }

    /// Whether listeners know whom they let in.
    fn has_ranges(&self) -> bool {
        self.version.get().is_some_and(|version| version.has_allowed_cidrs())
    }

    /// What holds for all Services.
    async fn setting(&self) -> Result<Setting, Trouble> {
        let subnets = self.placement.of_members(&self.settings.node_subnets).await?;
        let Services { settings, .. } = self;
        Ok(Setting {
            subnets,
            mode: settings.member_mode,
            public: settings.external.is_some(),
            api_server: settings.api_server,
            timeouts: settings.timeouts,
        })
    }
}

fn not_repaired(reason: &str) -> Trouble {
    let message = format!(
        "{reason}, and was repaired in vain; it is tried again, ever later. openstack loadbalancer status show tells which part \
         failed, Octavia's log why"
    );
    Trouble::mistake("NotRepaired", message)
}
