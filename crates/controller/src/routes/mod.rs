//! Ingresses and Gateway API: what requests and connections are routed by → load balancers with layer 7 in Octavia, and back.
//!
//! ```text
//! watched    Ingresses, Gateways, routes, … (caches); Services and endpoints          what is there
//! ingress    Ingresses → a balancer, and what to tell of them                         what should be           pure
//! gateway    a Gateway, its routes → a balancer, and their conditions                 what should be           pure
//! rules      hosts, paths, headers → L7 rules, in order                                                        pure
//! backends   Services → members with weights                                                                   pure
//! plan       the next call, with a reason                                             how to get there         pure
//! apply      that call; public for addresses from outside; status for Kubernetes      the only ones that write
//! upkeep     all there is of ours in Octavia; balancing asks for it                   one list for all
//! ```
//!
//! **Who has a load balancer** ([`owner::Owner`]): a Gateway, an Ingress, or the Ingresses of a namespace that name the same group.
//! It is found by its name (`gateway/namespace/name`), by this cluster's tag or its description, and by the subnet of its VIP;
//! a floating IP by its description. Nothing is written down in Kubernetes besides: an owner that is not there any more is one
//! whose load balancer is found in Octavia and which the caches do not have, so that no finalizer holds anybody's object. That is
//! only believed of kinds that were listed; what Gateway API's definitions took along when they went stays until they come back.
//!
//! **What is on it**: a listener for each port; for requests one policy for each host and path, in the order they are asked in; a
//! pool for each Service (`namespace/service:port`) that rules share, or for each rule with several Services, whose weights become
//! weights of members; for TCP and UDP one pool, the listener's default (`TCP:5432`). Only the names of pools mean something.
//!
//! **What is said**: Ingresses get `status.loadBalancer` and Events; Gateways and routes get Gateway API's conditions, with its
//! reasons. Whatever Octavia or its provider has nothing for is said and left out, and the rest goes on.

mod apply;
mod backends;
mod desired;
mod gateway;
mod ingress;
mod kinds;
mod owner;
mod plan;
mod public;
mod rules;
mod status;
mod upkeep;
mod watched;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use kuryr_api::names;
use kuryr_openstack::Cloud;
use kuryr_openstack::load_balancing::{LoadBalancer, LoadBalancingVersion};
use kuryr_openstack::network::FloatingIp;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::balancing::index::{Held, Index};
use crate::balancing::keeper::Keeper as _;
use crate::balancing::provider::{AGAIN, Provider, is_provided};
use crate::balancing::repairs::Repairs;
use crate::cache::Key;
use crate::config::{self, Config};
use crate::events::Events;
use crate::metrics::Metrics;
use crate::own::digest;
use crate::placement::Placement;
use crate::services;
use crate::trouble::{Class, Trouble};
use crate::work::{Queue, Verdict};
use desired::{Desired, Setting};
use gateway::{Around, Said};
use kinds::{Gateway, GatewayClass, Object};
use owner::{Owner, OwnerKind};
use plan::{Next, Way};
pub(crate) use watched::Watched;

#[cfg(test)]
mod tests;

/// Whether a load balancer was made for a Gateway or Ingresses of the cluster with this tag, by its name and by tag or description.
#[must_use]
pub fn made_balancer(balancer: &LoadBalancer, tag: &str) -> bool {
    Owner::of_balancer(balancer, tag).is_some()
}

/// Whether a floating IP was made for a Gateway or Ingresses of the cluster with this tag.
#[must_use]
pub fn made_floating_ip(floating: &FloatingIp, tag: &str) -> bool {
    Owner::of_floating_ip(floating, tag).is_some()
}

/// No owner needs more steps than this in one look; more means that two sides undo each other's work.
const STEPS_PER_LOOK: usize = 32;
/// A load balancer that Octavia does not finish for so long is looked at again.
const OCTAVIA_PATIENCE: Duration = Duration::from_secs(300);

/// The reconciler of Ingresses and Gateways, for one term of leadership.
pub(crate) struct Routes {
    kube: kube::Client,
    cloud: Cloud,
    settings: config::Routes,
    config: Config,
    placement: Placement,
    watched: Arc<Watched>,
    index: Index<Owner>,
    queue: Arc<Queue<Owner>>,
    events: Events,
    metrics: Arc<Metrics>,
    /// The cluster's tag first, then `resource_tags`.
    tags: Vec<String>,
    repairs: Repairs<Owner>,
    provider: Provider,
    /// What this Octavia knows; asked before anything else.
    version: OnceLock<LoadBalancingVersion>,
}

/// What should be for an owner, and of whom something is to be said.
enum Wanted {
    /// A Gateway of ours; `None` if it is gone or another's.
    Gateway(Option<(Arc<Object<Gateway>>, Box<gateway::Outcome>)>),
    /// Ingresses, and which of them are ours.
    Ingresses(Vec<(Key, Arc<Ingress>, bool)>, ingress::Outcome),
    /// It cannot be told whose the objects are: what is there stays.
    Unknown,
}

impl Routes {
    /// A reconciler that knows nothing of Octavia yet and will look at everything that is watched.
    pub(crate) fn new(
        kube: kube::Client,
        cloud: Cloud,
        config: Config,
        settings: config::Routes,
        metrics: Arc<Metrics>,
        watched: Arc<Watched>,
    ) -> Self {
        let queue = Arc::new(Queue::new(config.seed));
        watched.tell(&queue);
        let mut tags = vec![names::cluster_tag(&config.cluster)];
        tags.extend(config.resource_tags.iter().cloned());
        Self {
            placement: Placement::new(cloud.clone(), config.placement.clone()),
            events: Events::new(kube.clone(), config.use_events),
            tags,
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
        tracing::info!("Ingresses, Gateways and their load balancers are known; working");
        self.index.keys().into_iter().for_each(|owner| self.queue.wake(owner));
        tokio::join!(
            self.queue.work(self.config.concurrency, shutdown, |owner| self.look_at(owner)),
            self.poll_pending(shutdown),
            self.watch_drift(shutdown),
        );
    }

    /// The tag of what is this cluster's.
    fn tag(&self) -> &str {
        self.tags.first().map(String::as_str).unwrap_or_default()
    }

    /// Looks at one owner and does what is to be done.
    async fn look_at(&self, owner: Owner) -> Verdict {
        match owner.kind {
            OwnerKind::GatewayClass => return self.greet(&owner.key).await,
            OwnerKind::Gateway if !self.watched.knows_gateways() => {
                return Verdict::Again(self.watched.knows_gateways_after());
            }
            _ => {}
        }
        let mut provider = self.settings.provider.clone();
        // When to look again, where something waits while everything else goes on.
        let mut waits: Option<Duration> = None;
        let mut repairs = true;
        for _ in 0..STEPS_PER_LOOK {
            let (held, uncertain) = self.index.of(&owner);
            let (setting, way) = match self.setting(&held, provider.clone(), repairs).await {
                Ok(setting) => setting,
                Err(trouble) => return self.failed(&owner, &Setting::default(), &trouble).await,
            };
            let wanted = self.wanted(&owner, &setting, &held);
            let nothing = Desired::Nothing("there is no such Gateway of ours");
            let desired = match &wanted {
                Wanted::Gateway(Some((_, outcome))) => &outcome.desired,
                Wanted::Gateway(None) => &nothing,
                Wanted::Ingresses(_, outcome) => &outcome.desired,
                Wanted::Unknown => return Verdict::Settled,
            };
            if let (Desired::Balanced(_), Some(name)) = (desired, way.provider.as_deref())
                && held.balancer.as_ref().is_none_or(|there| !is_provided(there, way.provider.as_deref()))
                && let Err(trouble) = self.provider.is_there(&self.cloud, name, "[kuryr] ingress_provider").await
            {
                if held.balancer.is_none() {
                    return self.failed(&owner, &setting, &trouble).await;
                }
                // What another provider made goes on.
                tracing::warn!(%owner, message = trouble.message, "the provider is not there");
                provider = None;
                waits = Some(AGAIN);
                continue;
            }
            match plan::next(desired, &held, uncertain, &way) {
                Next::Settled(_) if let Some(again) = waits => return Verdict::Again(again),
                Next::Settled(reason) => {
                    tracing::trace!(%owner, reason, "settled");
                    let programmed = match desired {
                        Desired::Balanced(_) => Said::yes("Programmed"),
                        Desired::Nothing(why) => Said::no("Invalid", *why),
                    };
                    if let Err(trouble) = self.say(&owner, &wanted, Some(programmed), &held).await {
                        return self.failed(&owner, &setting, &trouble).await;
                    }
                    self.remark(&owner, &wanted).await;
                    return Verdict::Settled;
                }
                Next::Await(id) => {
                    tracing::trace!(%owner, id, "Octavia is at work");
                    return match self.say(&owner, &wanted, None, &held).await {
                        Ok(()) => Verdict::Again(OCTAVIA_PATIENCE),
                        Err(trouble) => self.failed(&owner, &setting, &trouble).await,
                    };
                }
                Next::Find => match self.find(&owner).await {
                    Ok(held) => self.index.settle(&owner, held),
                    Err(error) => return self.failed(&owner, &setting, &error.into()).await,
                },
                Next::Do(call, reason) => {
                    tracing::debug!(%owner, ?call, reason, "next call");
                    let kept = kept(&wanted, &setting);
                    if let Err(trouble) = self.apply(&owner, desired, call, &way, kept).await {
                        return self.failed(&owner, &setting, &trouble).await;
                    }
                }
                Next::Repair(call, reason) => {
                    if let Some(left) = self.repairs.left(&owner, reason) {
                        let message = format!("{reason}, and was repaired in vain; it is tried again, ever later");
                        self.tell(&owner, &setting, &Trouble::mistake("NotRepaired", message)).await;
                        repairs = false;
                        waits = Some(left);
                        continue;
                    }
                    tracing::info!(%owner, ?call, reason, "repairing");
                    let kept = kept(&wanted, &setting);
                    if let Err(trouble) = self.apply(&owner, desired, call, &way, kept).await {
                        return self.failed(&owner, &setting, &trouble).await;
                    }
                    self.repairs.begun(&owner, reason);
                }
            }
        }
        let message = "it needs ever more steps: something undoes Kuryr's work as it is done";
        self.failed(&owner, &Setting::default(), &Trouble::bug("NoProgress", message)).await
    }

    /// What should be, by what is known now.
    fn wanted(&self, owner: &Owner, setting: &Setting, held: &Held) -> Wanted {
        if owner.kind == OwnerKind::Gateway {
            let Some(gateway) = self.watched.gateways.get(&owner.key) else {
                self.watched.uses(owner, Default::default());
                return Wanted::Gateway(None);
            };
            match self.watched.is_our_class(&gateway.spec.gateway_class_name) {
                // A class that is gone says nothing about whose it was.
                None => return Wanted::Unknown,
                Some(false) => return Wanted::Gateway(None),
                Some(true) => {}
            }
            let around = Around {
                routes: &self.watched.routes(),
                grants: &self.watched.grants(),
                labels: &|namespace| self.watched.labels(namespace),
                sources: self.watched.as_ref(),
                setting,
            };
            let outcome = gateway::desired(&gateway, &around);
            self.watched.uses(owner, outcome.services.clone());
            return Wanted::Gateway(Some((gateway, Box::new(outcome))));
        }
        let mut all = Vec::new();
        for (key, ingress) in self.watched.ingresses_of(owner) {
            match ingress::is_ours(&ingress, |name| self.watched.ingress_class(name)) {
                // A class that is gone says nothing about whose it was.
                None if held.balancer.is_some() => return Wanted::Unknown,
                ours => all.push((key, ingress, ours == Some(true))),
            }
        }
        let ours: Vec<&Ingress> = all.iter().filter(|(_, _, ours)| *ours).map(|(_, it, _)| it.as_ref()).collect();
        let outcome = ingress::desired(&ours, self.watched.as_ref(), setting);
        self.watched.uses(owner, outcome.services.clone());
        Wanted::Ingresses(all, outcome)
    }

    /// Writes what is to be said of Gateways, routes and Ingresses.
    async fn say(&self, owner: &Owner, wanted: &Wanted, programmed: Option<Said>, held: &Held) -> Result<(), Trouble> {
        let address = address(held);
        match wanted {
            Wanted::Gateway(gateway) => {
                let public = match gateway {
                    Some((_, outcome)) => {
                        matches!(&outcome.desired, Desired::Balanced(balancer) if balancer.public)
                    }
                    None => false,
                };
                let gateway = gateway.as_ref().map(|(gateway, outcome)| (gateway.as_ref(), outcome.as_ref()));
                // Its address from outside comes last; until then it has none.
                let address = address.filter(|_| !public || held.floating.is_some());
                self.say_of_gateway(owner, gateway, programmed, address).await
            }
            Wanted::Ingresses(all, outcome) => {
                let is_there = match &outcome.desired {
                    Desired::Balanced(balancer) => {
                        Some(address.is_some() && (!balancer.public || held.floating.is_some()))
                    }
                    Desired::Nothing(_) => None,
                };
                for (key, ingress, ours) in all {
                    let refused = matches!(outcome.remarks.get(key), Some(it) if it.reason == "TlsNotSupported");
                    match is_there.filter(|_| *ours && !refused) {
                        Some(true) => self.tell_ingress(key, ingress, address).await?,
                        // What was told stays until there is something else to tell.
                        Some(false) => {}
                        // Another controller's word stays.
                        None if *ours || address.is_some_and(|address| status::told(ingress) == [address]) => {
                            self.tell_ingress(key, ingress, None).await?;
                        }
                        None => {}
                    }
                }
                Ok(())
            }
            Wanted::Unknown => Ok(()),
        }
    }

    /// Says what of an Ingress is not served, once.
    async fn remark(&self, owner: &Owner, wanted: &Wanted) {
        match wanted {
            Wanted::Ingresses(all, outcome) => {
                if all.is_empty() {
                    self.repairs.forget(owner);
                    self.events.forget(&owner.key);
                }
                for (key, ingress, _) in all {
                    match outcome.remarks.get(key) {
                        Some(trouble) => self.warn(key, ingress, trouble).await,
                        None => self.events.forget(key),
                    }
                }
            }
            Wanted::Gateway(None) => self.repairs.forget(owner),
            Wanted::Gateway(Some(_)) | Wanted::Unknown => {}
        }
    }

    async fn warn(&self, key: &Key, ingress: &Ingress, trouble: &Trouble) {
        let uid = ingress.uid().unwrap_or_default();
        self.events.warn_of("networking.k8s.io/v1", "Ingress", key, &uid, trouble).await;
    }

    async fn failed(&self, owner: &Owner, setting: &Setting, trouble: &Trouble) -> Verdict {
        self.metrics.failed(trouble.class);
        let failures = self.queue.failures(owner) + 1;
        if trouble.is_worth_telling(failures) {
            tracing::warn!(%owner, failures, reason = trouble.reason, message = trouble.message, "waits");
            self.tell(owner, setting, trouble).await;
        } else {
            tracing::debug!(%owner, failures, reason = trouble.reason, message = trouble.message, "waits");
        }
        Verdict::Failed(trouble.backoff())
    }

    /// Tells the owner what it waits for: a condition of the Gateway, an Event of each Ingress.
    async fn tell(&self, owner: &Owner, setting: &Setting, trouble: &Trouble) {
        let held = self.index.of(owner).0;
        let wanted = self.wanted(owner, setting, &held);
        if let Wanted::Ingresses(all, _) = &wanted {
            for (key, ingress, _) in all.iter().filter(|(_, _, ours)| *ours) {
                self.warn(key, ingress, trouble).await;
            }
            return;
        }
        let reason = match trouble.class {
            Class::Quota => "NoResources",
            Class::Mistake | Class::Bug => "Invalid",
            Class::Transient | Class::Conflict => "Pending",
        };
        let said = Said::no(reason, trouble.to_string());
        if let Err(error) = self.say(owner, &wanted, Some(said), &held).await {
            tracing::debug!(%owner, %error, "the condition is not written yet; it will be with the next attempt");
        }
    }

    /// Accepts a GatewayClass that names us.
    async fn greet(&self, key: &Key) -> Verdict {
        let Some(class) = self.watched.gateway_classes.get(key) else { return Verdict::Settled };
        if self.watched.is_our_class(&key.name) != Some(true) || class.metadata.deletion_timestamp.is_some() {
            return Verdict::Settled;
        }
        let generation = class.metadata.generation.unwrap_or_default();
        let said = [("Accepted", Some(&Said::yes("Accepted")))];
        let conditions = status::conditions(&class.status["conditions"], &said, generation, Timestamp::now());
        if class.status["conditions"] == conditions {
            return Verdict::Settled;
        }
        let patch = json!({ "metadata": { "uid": class.uid() }, "status": { "conditions": conditions } });
        let api = Api::<Object<GatewayClass>>::all_with(self.kube.clone(), &self.watched.served::<GatewayClass>());
        match api.patch_status(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(patched) => {
                self.watched.gateway_classes.wrote(key.clone(), digest(patched));
                Verdict::Settled
            }
            Err(error) => Verdict::Failed(Trouble::from(error).backoff()),
        }
    }

    /// What holds for all owners, and how their load balancers are to be made.
    async fn setting(&self, held: &Held, provider: Option<String>, repairs: bool) -> Result<(Setting, Way), Trouble> {
        let balancing = &self.settings.balancing;
        let vips = self.placement.subnet(&balancing.subnet, "[neutron_defaults] service_subnet").await?;
        let there = held.balancer.as_ref().map(|balancer| balancer.provider.as_str());
        // Octavia's default is only known by what it has made.
        let is_ovn = provider.as_deref().or(there) == Some("ovn");
        let members = services::desired::Setting {
            subnets: self.placement.of_members(&balancing.node_subnets).await?,
            mode: balancing.member_mode,
            ..services::desired::Setting::default()
        };
        let setting = Setting {
            members,
            is_ipv4: vips.cidr.is_none_or(|cidr| cidr.addr().is_ipv4()),
            has_l7: !is_ovn,
            has_public: balancing.external.is_some(),
        };
        Ok((setting, Way { provider, algorithm: plan::algorithm(is_ovn, balancing.algorithm), repairs }))
    }
}

/// The address clients use: from outside, if there is one.
fn address(held: &Held) -> Option<IpAddr> {
    let outside = held.floating.as_ref().and_then(|floating| floating.floating_ip_address);
    outside.or_else(|| held.balancer.as_ref().and_then(|balancer| balancer.vip_address))
}

/// The VIP that clients were told, for a load balancer that is made anew.
fn kept(wanted: &Wanted, setting: &Setting) -> Option<IpAddr> {
    if setting.has_public {
        return None;
    }
    match wanted {
        Wanted::Gateway(Some((gateway, _))) => {
            gateway.status["addresses"][0]["value"].as_str().and_then(|address| address.parse().ok())
        }
        Wanted::Ingresses(all, _) => {
            all.iter().filter(|(_, _, ours)| *ours).find_map(|(_, ingress, _)| status::told(ingress).first().copied())
        }
        Wanted::Gateway(None) | Wanted::Unknown => None,
    }
}
