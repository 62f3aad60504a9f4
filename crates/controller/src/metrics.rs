//! Every metric of the controller, once. Names kuryr-kubernetes had keep name and meaning. No label names an object: there
//! are few values of each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kuryr_openstack::network::Quota;
use kuryr_openstack::{Exchange, Observer, Outcome};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::trouble::Class;
use crate::work::Verdict;

/// 1 ms to 60 s: a look at an object, a call to the cloud.
const BUCKETS: [f64; 14] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByClass {
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResource {
    resource: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByVersion {
    version: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCall {
    method: String,
    route: String,
    status: &'static str,
}

type Timings<L> = Family<L, Histogram, fn() -> Histogram>;

/// How many, by reason.
#[derive(Debug, Default)]
struct Reasons {
    counts: Family<ByReason, Gauge>,
    /// Reasons that were ever told, so that one that is nobody's any more goes back to 0.
    known: Mutex<BTreeSet<String>>,
}

impl Reasons {
    /// A reason that is not among these is nobody's.
    fn set(&self, by_reason: &BTreeMap<String, usize>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(by_reason.keys().cloned());
        for reason in known.iter() {
            let number = by_reason.get(reason).copied().unwrap_or(0);
            self.counts.get_or_create(&ByReason { reason: reason.clone() }).set(count(number));
        }
    }
}

/// What there is of Services.
#[derive(Debug, Default)]
pub(crate) struct Balanced {
    /// Services that wait for a free worker.
    pub(crate) queued: usize,
    /// Services whose load balancer is not as it should be, by reason.
    pub(crate) waiting: BTreeMap<String, usize>,
    /// Services that something is told of although they work, by reason.
    pub(crate) not_as_asked: BTreeMap<String, usize>,
    pub(crate) load_balancers: usize,
    /// Load balancers that Octavia is at work on.
    pub(crate) pending: usize,
}

/// The controller's metrics.
#[derive(Debug)]
pub struct Metrics {
    pod_creation_latency: Histogram,
    failures: Family<ByClass, Counter>,
    left_over: Gauge,
    leader: Gauge,
    left_over_deleted: Counter,
    reconciles: Timings<ByResult>,
    queue: Gauge,
    waiting: Reasons,
    service_reconciles: Timings<ByResult>,
    service_queue: Gauge,
    services_waiting: Reasons,
    services_not_as_asked: Reasons,
    load_balancers: Gauge,
    load_balancers_pending: Gauge,
    calls: Timings<ByCall>,
    quota_free: Family<ByResource, Gauge>,
}

fn timings<L: Clone + Eq + std::hash::Hash>() -> Timings<L> {
    Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram)
}

impl Metrics {
    /// Registers them all.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let tens = (1..=12).map(|step| f64::from(step) * 10.0);
        let metrics = Self {
            pod_creation_latency: Histogram::new(tens),
            failures: Family::default(),
            left_over: Gauge::default(),
            leader: Gauge::default(),
            left_over_deleted: Counter::default(),
            reconciles: timings(),
            queue: Gauge::default(),
            waiting: Reasons::default(),
            service_reconciles: timings(),
            service_queue: Gauge::default(),
            services_waiting: Reasons::default(),
            services_not_as_asked: Reasons::default(),
            load_balancers: Gauge::default(),
            load_balancers_pending: Gauge::default(),
            calls: timings(),
            quota_free: Family::default(),
        };
        registry.register(
            "kuryr_pod_creation_latency",
            "Time taken for a pod to have Kuryr annotations set, in seconds: from scheduled to all its ports active",
            metrics.pod_creation_latency.clone(),
        );
        registry.register(
            "kuryr_reconcile_failures",
            "Failed attempts to connect or release a pod, or to balance a Service",
            metrics.failures.clone(),
        );
        registry.register(
            "kuryr_reconcile_duration_seconds",
            "One look at a pod with all that was done for it; result is settled, again or failed",
            metrics.reconciles.clone(),
        );
        registry.register("kuryr_queue_depth", "Pods that wait for a free worker", metrics.queue.clone());
        registry.register(
            "kuryr_pods_waiting",
            "Pods whose KuryrPort is not ready, by the reason of its condition",
            metrics.waiting.counts.clone(),
        );
        metrics.register_services(registry);
        registry.register(
            "kuryr_left_over_ports",
            "Neutron ports of this cluster without an owner after the last pass",
            metrics.left_over.clone(),
        );
        registry.register(
            "kuryr_leader",
            "1 while this controller is the one that works, else 0",
            metrics.leader.clone(),
        );
        registry.register(
            "kuryr_left_over_ports_deleted",
            "Neutron ports deleted because they had no owner in two passes",
            metrics.left_over_deleted.clone(),
        );
        registry.register(
            "kuryr_cloud_call_duration_seconds",
            "Requests to OpenStack, each attempt; status is 2xx to 5xx, lost or timeout",
            metrics.calls.clone(),
        );
        registry.register(
            "kuryr_quota_free_count",
            "How many more the project may have; not reported where there is no limit",
            metrics.quota_free.clone(),
        );
        let build = Family::<ByVersion, Gauge>::default();
        build.get_or_create(&ByVersion { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("kuryr_build_info", "Always 1; the label has the version that runs", build);
        metrics
    }

    fn register_services(&self, registry: &mut Registry) {
        registry.register(
            "kuryr_service_reconcile_duration_seconds",
            "One look at a Service with all that was done for it; result is settled, again or failed",
            self.service_reconciles.clone(),
        );
        registry.register(
            "kuryr_service_queue_depth",
            "Services that wait for a free worker",
            self.service_queue.clone(),
        );
        registry.register(
            "kuryr_services_waiting",
            "Services whose KuryrLoadBalancer is not ready, by the reason of its condition",
            self.services_waiting.counts.clone(),
        );
        registry.register(
            "kuryr_services_not_as_asked",
            "Services that work and are not quite what they ask for, by the reason of the condition Accepted",
            self.services_not_as_asked.counts.clone(),
        );
        registry.register(
            "kuryr_load_balancers",
            "Load balancers of this cluster that Octavia has",
            self.load_balancers.clone(),
        );
        registry.register(
            "kuryr_load_balancers_pending",
            "Load balancers of this cluster that Octavia is at work on",
            self.load_balancers_pending.clone(),
        );
    }

    pub(crate) fn pod_connected(&self, scheduled: Timestamp, now: Timestamp) {
        self.pod_creation_latency.observe(now.duration_since(scheduled).as_secs_f64().max(0.0));
    }

    pub(crate) fn failed(&self, class: Class) {
        self.failures.get_or_create(&ByClass { class: class.name() }).inc();
    }

    pub(crate) fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    pub(crate) fn left_over(&self, found: usize) {
        self.left_over.set(count(found));
    }

    pub(crate) fn left_over_deleted(&self) {
        self.left_over_deleted.inc();
    }

    pub(crate) fn reconciled(&self, verdict: Verdict, took: Duration) {
        self.reconciles.get_or_create(&result(verdict)).observe(took.as_secs_f64());
    }

    pub(crate) fn service_reconciled(&self, verdict: Verdict, took: Duration) {
        self.service_reconciles.get_or_create(&result(verdict)).observe(took.as_secs_f64());
    }

    pub(crate) fn balanced(&self, balanced: &Balanced) {
        self.service_queue.set(count(balanced.queued));
        self.services_waiting.set(&balanced.waiting);
        self.services_not_as_asked.set(&balanced.not_as_asked);
        self.load_balancers.set(count(balanced.load_balancers));
        self.load_balancers_pending.set(count(balanced.pending));
    }

    pub(crate) fn queued(&self, depth: usize) {
        self.queue.set(count(depth));
    }

    /// How many pods wait, by reason; a reason that is not among them waits for nobody.
    pub(crate) fn waiting(&self, by_reason: &BTreeMap<String, usize>) {
        self.waiting.set(by_reason);
    }

    pub(crate) fn quota(&self, quota: &Quota) {
        let lines = [
            ("ports", quota.port),
            ("subnets", quota.subnet),
            ("networks", quota.network),
            ("security_groups", quota.security_group),
            ("security_group_rules", quota.security_group_rule),
        ];
        for (resource, line) in lines {
            if let Some(free) = line.free() {
                self.quota_free.get_or_create(&ByResource { resource }).set(i64::try_from(free).unwrap_or(i64::MAX));
            }
        }
    }

    /// Counts calls to the cloud: for [`kuryr_openstack::Cloud::observe`].
    #[must_use]
    pub fn observer(self: &Arc<Self>) -> Observer {
        let metrics = Arc::clone(self);
        Arc::new(move |exchange| metrics.called(exchange))
    }

    fn called(&self, exchange: &Exchange<'_>) {
        let labels = ByCall {
            method: exchange.method.to_owned(),
            route: exchange.route.clone(),
            status: exchange.outcome.class(),
        };
        self.calls.get_or_create(&labels).observe(exchange.took.as_secs_f64());
    }
}

fn result(verdict: Verdict) -> ByResult {
    let result = match verdict {
        Verdict::Settled => "settled",
        Verdict::Again(_) => "again",
        Verdict::Failed(_) => "failed",
    };
    ByResult { result }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// All metrics with one sample each, so that their labels show: docs/metrics.md is made from it.
#[must_use]
pub fn example() -> Registry {
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    metrics.failed(Class::Quota);
    metrics.reconciled(Verdict::Settled, Duration::from_millis(3));
    metrics.waiting(&BTreeMap::from([("QuotaExceeded".to_owned(), 1)]));
    metrics.service_reconciled(Verdict::Settled, Duration::from_millis(3));
    metrics.balanced(&Balanced {
        waiting: BTreeMap::from([("QuotaExceeded".to_owned(), 1)]),
        not_as_asked: BTreeMap::from([("NotHonoured".to_owned(), 1)]),
        ..Balanced::default()
    });
    let limited = kuryr_openstack::network::QuotaUse { limit: Some(500), used: 1, reserved: 0 };
    metrics.quota(&Quota { port: limited, ..Quota::default() });
    metrics.called(&Exchange {
        method: "GET",
        route: "/ports".to_owned(),
        outcome: Outcome::Answered(200),
        took: Duration::from_millis(40),
    });
    registry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_nobody_waits_for_any_more_goes_back_to_0() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        metrics.waiting(&BTreeMap::from([("QuotaExceeded".to_owned(), 7)]));
        metrics.waiting(&BTreeMap::from([("BindingFailed".to_owned(), 2)]));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in
            [r#"kuryr_pods_waiting{reason="QuotaExceeded"} 0"#, r#"kuryr_pods_waiting{reason="BindingFailed"} 2"#]
        {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_quota_without_limit_is_not_reported() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let limited = kuryr_openstack::network::QuotaUse { limit: Some(500), used: 495, reserved: 2 };
        metrics.quota(&Quota { port: limited, ..Quota::default() });
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains(r#"kuryr_quota_free_count{resource="ports"} 3"#), "{text}");
        assert!(!text.contains(r#"resource="subnets""#), "{text}");
    }
}
