//! Pods: Pod → KuryrPort → Neutron port, and back.
//!
//! ```text
//! observed   Pod, KuryrPort (caches), Neutron ports (index)      what is there
//! desired    nothing | connected | released                      what should be           pure
//! plan       the next step, with a reason                        how to get there         pure
//! apply      that step                                           the only one that writes
//! ```
//!
//! Watched: Pods, KuryrPorts. Written: KuryrPorts, Neutron ports, Events on Pods; of a Pod itself only the finalizer
//! kuryr-kubernetes left on it is removed.

mod activation;
mod apply;
mod counted;
mod desired;
mod index;
mod leftovers;
mod observed;
mod plan;
mod tagging;
mod vif;
mod watched;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use kuryr_api::crd::{KuryrPort, KuryrPortStatus};
use kuryr_api::names;
use kuryr_openstack::Cloud;
use kuryr_openstack::network::Port;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cache::{Cache, Key};
use crate::condition;
use crate::config::Config;
use crate::events::Events;
use crate::lease::End;
use crate::metrics::Metrics;
use crate::placement::Placement;
use crate::reach::{PATIENCE, Reach, STEP_ASIDE_AFTER};
use crate::trouble::Trouble;
use crate::work::{Queue, Verdict};
use activation::Activation;
use desired::Desired;
use index::PortIndex;
use observed::{Observed, PodFacts};
use plan::{Next, Report};
use tagging::Tagging;
pub(crate) use watched::Watched;

#[cfg(test)]
mod tests;

/// A port that is not active for so long is worth a word to the pod's owner.
const ACTIVATION_PATIENCE: Duration = Duration::from_secs(90);
/// No pod needs more steps than this in one look; more means that two sides undo each other's work.
const STEPS_PER_LOOK: usize = 16;
/// How often what only people can mend is looked at again.
const REPORTED_AGAIN: Duration = Duration::from_secs(60);

/// What marks our ports in Neutron, besides `device_owner`.
pub(crate) struct Marks {
    /// The cluster's tag first, then `resource_tags`.
    tags: Vec<String>,
    /// Whether Neutron takes tags in the body of a creation. Where it does not, a port may have its description only. Known
    /// before anything is asked of Neutron or made there.
    in_body: OnceLock<bool>,
}

impl Marks {
    fn in_body(&self) -> bool {
        self.in_body.get().copied().unwrap_or_default()
    }

    /// Whether the port carries this cluster's tag or description.
    fn are_on(&self, port: &Port) -> bool {
        port.tags.contains(&self.tags[0]) || port.description.ends_with(&format!(" {}", self.tags[0]))
    }

    /// The description of the port of a pod: readable, and a mark by its end.
    fn description(&self, key: &Key) -> String {
        let pod: String = key.to_string().chars().take(255 - 5 - self.tags[0].chars().count()).collect();
        format!("pod {pod} {}", self.tags[0])
    }
}

/// The reconciler of pods, for one term of leadership: what it knows of Neutron, what waits and what was told is its own, so
/// that nothing from a term before, in which others may have worked since, is believed.
pub(crate) struct Pods {
    kube: kube::Client,
    cloud: Cloud,
    config: Config,
    marks: Marks,
    placement: Placement,
    pods: Arc<Cache<PodFacts>>,
    kuryr_ports: Arc<Cache<KuryrPort>>,
    index: PortIndex,
    queue: Arc<Queue<Key>>,
    activation: Activation,
    tagging: Tagging,
    events: Events,
    reach: Arc<Reach>,
    metrics: Arc<Metrics>,
}

impl Pods {
    /// A reconciler that knows nothing of Neutron yet and will look at everything that is watched.
    pub(crate) fn new(
        kube: kube::Client,
        cloud: Cloud,
        config: Config,
        reach: Arc<Reach>,
        metrics: Arc<Metrics>,
        watched: &Watched,
    ) -> Self {
        let queue = Arc::new(Queue::new(config.seed));
        watched.tell(&queue);
        let mut tags = vec![names::cluster_tag(&config.cluster)];
        tags.extend(config.resource_tags.iter().cloned());
        Self {
            placement: Placement::new(cloud.clone(), config.placement.clone()),
            marks: Marks { tags, in_body: OnceLock::new() },
            reach,
            pods: Arc::clone(&watched.pods),
            kuryr_ports: Arc::clone(&watched.kuryr_ports),
            index: PortIndex::default(),
            queue,
            activation: Activation::default(),
            tagging: Tagging::default(),
            events: Events::new(kube.clone(), config.use_events),
            metrics,
            kube,
            cloud,
            config,
        }
    }

    /// Works until `shutdown`, once the ports in Neutron are known; ends before if they do not become known. What is watched must
    /// be synced.
    pub(crate) async fn work(self, shutdown: &CancellationToken) -> End {
        match self.prepare(shutdown).await {
            Some(true) => {}
            Some(false) => return End::NoCloud,
            None => return End::Told,
        }
        tracing::info!("pods, KuryrPorts and Neutron ports are known; working");
        let this = Arc::new(self);
        // A pass over thousands of ports takes a core for a while: no pod waits for that. Dropped, the set ends it.
        let mut aside = JoinSet::new();
        aside.spawn({
            let (this, shutdown) = (Arc::clone(&this), shutdown.clone());
            async move { tokio::join!(this.watch_drift(&shutdown), this.count(&shutdown)) }
        });
        tokio::join!(
            this.queue.work(this.config.concurrency, shutdown, |key| this.look_and_time(key)),
            this.poll_activation(shutdown),
            this.tag(shutdown),
        );
        while aside.join_next().await.is_some() {}
        End::Told
    }

    /// Learns what Neutron has, and whether that came about in time. Meanwhile pods without a port are told what they wait for.
    /// `None`: told to end.
    async fn prepare(&self, shutdown: &CancellationToken) -> Option<bool> {
        let known = CancellationToken::new();
        let learn = async {
            let learn = async {
                let tags_in_body = self.reach.answered().await;
                self.marks.in_body.get_or_init(|| tags_in_body);
                self.load_index().await;
            };
            let learnt = shutdown.run_until_cancelled(tokio::time::timeout(STEP_ASIDE_AFTER, learn)).await;
            known.cancel();
            learnt.map(|learnt| learnt.is_ok())
        };
        let tell = async {
            // Without an answer so far there was patience before the Lease was taken.
            let patience = if self.reach.has_answered() { PATIENCE } else { Duration::ZERO };
            if known.run_until_cancelled(tokio::time::sleep(patience)).await.is_some() {
                self.queue.work(self.config.concurrency, &known, |key| self.tell_of_cloud(key)).await;
            }
        };
        let (learnt, ()) = tokio::join!(learn, tell);
        // Whoever was told is to be looked at now.
        let pods = self.pods.all().into_iter().map(|(key, _)| key);
        pods.chain(self.kuryr_ports.all().into_iter().map(|(key, _)| key)).for_each(|key| self.queue.wake(key));
        learnt
    }

    /// Tells a pod without a port that the cloud is in the way.
    async fn tell_of_cloud(&self, key: Key) -> Verdict {
        let observed = self.observe(&key);
        if observed.recorded_ports().next().is_some() {
            return Verdict::Settled;
        }
        self.tell(&key, &observed, &self.reach.trouble()).await;
        Verdict::Again(REPORTED_AGAIN)
    }

    fn observe(&self, key: &Key) -> Observed {
        let (pod, kuryr_port) = (self.pods.get(key), self.kuryr_ports.get(key));
        let mut observed = Observed { pod, kuryr_port, ..Observed::default() };
        self.index.observe(key, &mut observed);
        observed
    }

    /// Looks at one pod and does what is to be done.
    async fn look_at(&self, key: Key) -> Verdict {
        for _ in 0..STEPS_PER_LOOK {
            let observed = self.observe(&key);
            let desired = desired::desired(&observed);
            match plan::next(&desired, &observed) {
                Next::Settled(reason) => {
                    tracing::trace!(%key, reason, "settled");
                    self.events.forget(&key);
                    return Verdict::Settled;
                }
                Next::AwaitActive(ids) => {
                    let waited = self.activation.wait_for(&key, &ids);
                    if waited >= ACTIVATION_PATIENCE {
                        self.tell(&key, &observed, &not_active(&ids)).await;
                        return Verdict::Again(REPORTED_AGAIN);
                    }
                    return Verdict::Again(ACTIVATION_PATIENCE - waited);
                }
                Next::Report(report) => {
                    self.tell(&key, &observed, &explain(report)).await;
                    return Verdict::Again(REPORTED_AGAIN);
                }
                Next::Do(step, reason) => {
                    tracing::debug!(%key, ?step, reason, "next step");
                    if let Err(trouble) = self.apply(&key, &observed, step).await {
                        return self.failed(&key, &trouble).await;
                    }
                }
            }
        }
        let message = "a pod needs ever more steps: something undoes Kuryr's work as it is done";
        self.failed(&key, &Trouble::bug("NoProgress", message)).await
    }

    async fn failed(&self, key: &Key, trouble: &Trouble) -> Verdict {
        self.metrics.failed(trouble.class);
        let failures = self.queue.failures(key) + 1;
        if trouble.is_worth_telling(failures) {
            tracing::warn!(%key, failures, reason = trouble.reason, message = trouble.message, "pod waits");
            self.tell(key, &self.observe(key), trouble).await;
        } else {
            tracing::debug!(%key, failures, reason = trouble.reason, message = trouble.message, "pod waits");
        }
        Verdict::Failed(trouble.backoff())
    }

    /// Tells the pod's owner what it waits for: a condition on the KuryrPort, and one Event when the reason changes.
    async fn tell(&self, key: &Key, observed: &Observed, trouble: &Trouble) {
        let Desired::Connected(pod) = desired::desired(observed) else { return };
        let status = observed.kuryr_port.as_deref().and_then(|kuryr_port| kuryr_port.status.as_ref());
        if status
            .and_then(|status| condition::ready(&status.conditions))
            .is_some_and(|known| known.reason == trouble.reason)
        {
            self.events.was_told(key, trouble.reason);
        }
        self.events.warn("Pod", key, &pod.uid, trouble).await;
        let mut status = KuryrPortStatus::default();
        let written = match observed.kuryr_port.as_deref() {
            None => {
                condition::set_ready(&mut status.conditions, false, trouble.reason, &trouble.message, Timestamp::now());
                self.create_kuryr_port(key, pod, status).await
            }
            Some(kuryr_port) => {
                status = kuryr_port.status.clone().unwrap_or_default();
                if condition::says(&status.conditions, false, trouble.reason, &trouble.message) {
                    return;
                }
                condition::set_ready(&mut status.conditions, false, trouble.reason, &trouble.message, Timestamp::now());
                self.write_status(key, kuryr_port, &status).await
            }
        };
        if let Err(error) = written {
            tracing::debug!(%key, %error, "the condition is not written yet; it will be with the next attempt");
        }
    }

    /// Keys of the pods with these uids, as far as known.
    fn keys_of(&self, uids: &BTreeSet<String>) -> Vec<Key> {
        let pods = self.pods.all();
        let of_pods = pods.iter().filter(|(_, pod)| uids.contains(&pod.uid)).map(|(key, _)| key.clone());
        let ports = self.kuryr_ports.all();
        let of_ports = ports.iter().filter(|(_, port)| uids.contains(&port.spec.pod_uid)).map(|(key, _)| key.clone());
        of_pods.chain(of_ports).collect()
    }
}

fn not_active(ids: &[String]) -> Trouble {
    let message = format!(
        "Neutron port {} does not become active: check kuryr-daemon on the node, Open vSwitch and ovn-controller (or the Neutron \
         agent) there",
        ids.join(", ")
    );
    Trouble::mistake("PortNotActive", message)
}

fn explain(report: Report) -> Trouble {
    match report {
        Report::UnreadableVif => Trouble::mistake(
            "VifUnreadable",
            "a vif of the KuryrPort cannot be read; delete the KuryrPort (kubectl delete kuryrport) and Kuryr makes it again",
        ),
        Report::PortMissing => Trouble::mistake(
            "PortMissing",
            "the pod's Neutron port was deleted outside Kuryr, so the pod has lost its network; delete the pod to get a new port",
        ),
    }
}
