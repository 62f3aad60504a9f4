//! Services: Service + EndpointSlices → KuryrLoadBalancer → load balancer in Octavia, and back.
//!
//! ```text
//! observed   Service, EndpointSlices, KuryrLoadBalancer (caches), Octavia (index)    what is there
//! desired    nothing, with a reason | a balancer                                     what should be           pure
//! record     the KuryrLoadBalancer                                                   what is written down     pure
//! remarks    what its owner is to know although it works                             what is not as asked     pure
//! plan       the next step, with a reason                                            how to get there         pure
//! apply      that step; public for addresses from outside, vip for those inside       the only ones that write
//! counted    what there is, for metrics
//! upkeep     all there is of ours in Octavia; balancing asks for it                  one list for all
//! ```
//!
//! A load balancer is found by its name, `namespace/name` of its Service, and by this cluster's tag, or by the KuryrLoadBalancer
//! that names it, if kuryr-kubernetes made it.

mod abilities;
mod annotations;
mod apply;
mod bodies;
mod counted;
pub(crate) mod desired;
mod differs;
pub(crate) mod facts;
mod marks;
mod pending;
mod plan;
mod public;
mod record;
mod refused;
mod remarks;
mod upkeep;
mod vip;
mod watched;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use kuryr_openstack::Cloud;
use kuryr_openstack::load_balancing::LoadBalancingVersion;
use kuryr_openstack::network::FloatingIp;
use tokio_util::sync::CancellationToken;

use crate::balancing::index::Index;
use crate::balancing::keeper::Keeper as _;
use crate::balancing::provider::{AGAIN, Provider, is_provided};
use crate::balancing::repairs::Repairs;
use crate::cache::Key;
use crate::condition;
use crate::config::{self, Config};
use crate::events::Events;
use crate::metrics::Metrics;
use crate::placement::Placement;
use crate::trouble::Trouble;
use crate::work::{Queue, Verdict};
use abilities::Abilities;
use annotations::Timeouts;
use desired::{Desired, Setting};
use facts::ServiceType;
use marks::Marks;
use pending::Pending;
use plan::{Next, Observed, Step, Way};
pub(crate) use watched::Watched;

#[cfg(test)]
mod tests;

/// No Service needs more steps than this in one look; more means that two sides undo each other's work.
const STEPS_PER_LOOK: usize = 32;
/// How often what waits for people is looked at again.
const REPORTED_AGAIN: Duration = Duration::from_secs(300);

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
    pending: Pending,
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
            pending: Pending::new(settings.patience),
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
            self.queue.work(self.config.concurrency, shutdown, |key| self.look_and_time(key)),
            self.poll_pending(shutdown),
            self.watch_drift(shutdown),
            self.count(shutdown),
        );
    }

    fn observe(&self, key: &Key) -> Observed {
        let (mut held, uncertain) = self.index.of(key);
        let (service, record) = (self.watched.services.get(key), self.watched.records.get(key));
        let is_public = service.as_ref().is_some_and(|service| service.kind == ServiceType::LoadBalancer);
        let recorded = record.as_ref().and_then(|record| record.status.as_ref()?.service_pub_ip_info.as_ref());
        let told = service.as_ref().map(|service| service.told.as_slice()).unwrap_or_default();
        let of_others = |floating: &FloatingIp| {
            let recorded = recorded.filter(|recorded| recorded.ip_id == floating.id);
            let is_told = floating.floating_ip_address.is_some_and(|address| told.contains(&address));
            !is_public && recorded.is_none() && !is_told && !self.marks.made(floating, None)
        };
        // What somebody lets lead to the VIP of a Service that asks for nothing is not ours to judge.
        if held.floating.as_ref().is_some_and(of_others) {
            Arc::make_mut(&mut held).floating = None;
        }
        Observed { service, record, held, uncertain }
    }

    /// Looks at one Service and does what is to be done.
    async fn look_at(&self, key: Key) -> Verdict {
        let mut setting = match self.setting().await {
            Ok(setting) => setting,
            Err(trouble) => return self.failed(&key, &trouble).await,
        };
        let mut way = self.way();
        // When to look again, where the owner was told of something that waits while everything else goes on.
        let mut waits: Option<Duration> = None;
        for _ in 0..STEPS_PER_LOOK {
            let observed = self.observe(&key);
            let (service, slices) = (observed.service.as_deref(), self.watched.slices(&key));
            setting.abilities = self.abilities(&way, &observed);
            setting.vip_addresses.clone_from(&observed.held.vip_addresses);
            let mut desired = match observed.record.as_deref() {
                Some(record) if plan::leaves_us(record) => Desired::Nothing("Kuryr is being taken out"),
                _ => desired::desired(&key.to_string(), service, &slices, &setting),
            };
            if let (Desired::Balanced(balancer), Some(service)) = (&mut desired, service) {
                balancer.remarks = remarks::of(service, balancer, &setting, &observed.held);
            }
            if matches!(desired, Desired::Balanced(_))
                && way.provider.is_some()
                && observed.held.balancer.as_ref().is_none_or(|there| !is_provided(there, way.provider.as_deref()))
                && let Err(trouble) = self.provider_is_there().await
            {
                if observed.held.balancer.is_none() || observed.record.is_none() {
                    return self.failed(&key, &trouble).await;
                }
                // What another provider made goes on.
                self.tell(&key, &trouble).await;
                way.provider = None;
                waits = Some(AGAIN);
                continue;
            }
            let before = observed.record.as_ref().map(|record| record.spec.clone()).unwrap_or_default();
            let spec = service.map(|service| record::spec(service, &self.settings, self.project(), &before));
            let next = plan::next(&desired, &spec.unwrap_or(before), &observed, &way);
            if !matches!(next, Next::Await(_)) {
                self.pending.is_over(&key);
            }
            match next {
                Next::Settled(_) | Next::Do(Step::RecordStatus, _) if let Some(again) = waits => {
                    return Verdict::Again(again);
                }
                Next::Settled(reason) => {
                    tracing::trace!(%key, reason, "settled");
                    self.settled(&key, &observed, &desired);
                    return Verdict::Settled;
                }
                Next::Await(id) => {
                    tracing::trace!(%key, id, "Octavia is at work");
                    return self.awaits(&key, &observed).await;
                }
                Next::Do(step, reason) => {
                    tracing::debug!(%key, ?step, reason, "next step");
                    let part = refused::part_of(&step);
                    let Err(trouble) = self.apply(&key, &observed, &desired, step).await else { continue };
                    match part.filter(|_| refused::is_refusal(&trouble)) {
                        Some(part) if way.refused.insert(part) => {
                            self.metrics.failed(trouble.class);
                            self.tell(&key, &trouble).await;
                            waits = Some(waits.map_or(refused::AGAIN, |waits| waits.min(refused::AGAIN)));
                        }
                        _ => return self.failed(&key, &trouble).await,
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

    /// Refuses a provider that Octavia does not have, or may not have.
    async fn provider_is_there(&self) -> Result<(), Trouble> {
        let Some(name) = self.settings.provider.as_deref() else { return Ok(()) };
        self.provider.is_there(&self.cloud, name, "[kubernetes] endpoints_driver_octavia_provider").await
    }

    /// Octavia is at work: whoever waits is woken when it is done, and told if that lasts.
    async fn awaits(&self, key: &Key, observed: &Observed) -> Verdict {
        let lasted = match self.pending.goes_on(key) {
            Err(left) => return Verdict::Again(left),
            Ok(lasted) => lasted,
        };
        if let Some(balancer) = &observed.held.balancer {
            let trouble = pending::lasts(&balancer.id, balancer.provisioning_status.as_str(), lasted);
            tracing::warn!(%key, balancer = balancer.id, message = trouble.message, "Octavia does not finish");
            self.tell(key, &trouble).await;
        }
        Verdict::Again(REPORTED_AGAIN)
    }

    /// Nothing is to be done: what was told is over, unless there is something to know all the same.
    fn settled(&self, key: &Key, observed: &Observed, desired: &Desired) {
        if observed.service.is_none() {
            self.repairs.forget(key);
        }
        match desired {
            Desired::Balanced(balancer) if !balancer.remarks.is_empty() => {}
            _ => self.events.forget(key),
        }
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
        let mut status = record::status(&observed.held, &before, &self.marks, None);
        status.conditions = before.conditions;
        condition::set_ready(&mut status.conditions, false, trouble.reason, &trouble.message, Timestamp::now());
        if let Err(error) = self.write_status(key, record, &status).await {
            tracing::debug!(%key, %error, "the condition is not written yet; it will be with the next attempt");
        }
    }

    fn way(&self) -> Way {
        Way {
            provider: self.settings.provider.clone(),
            marks: self.marks.clone(),
            algorithm: self.settings.algorithm,
            source_ranges: self.version.get().is_some_and(|version| version.has_allowed_cidrs()),
            repairs: true,
            refused: BTreeSet::new(),
        }
    }

    /// What the load balancer can do that is there, or is to be.
    fn abilities(&self, way: &Way, observed: &Observed) -> Abilities {
        let there = observed.held.balancer.as_ref().map(|balancer| balancer.provider.as_str());
        let version = self.version.get().copied().unwrap_or_else(|| LoadBalancingVersion::new(0));
        Abilities::of(way.provider.as_deref().or(there), version)
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
            timeouts: Timeouts {
                client_data: settings.timeouts.0,
                member_data: settings.timeouts.1,
                ..Timeouts::default()
            },
            algorithm: settings.algorithm,
            abilities: Abilities::default(),
            vip_addresses: Vec::new(),
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
