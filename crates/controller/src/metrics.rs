//! Every metric of the controller, once. Names kuryr-kubernetes had keep name and meaning.

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::trouble::Class;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByClass {
    class: &'static str,
}

/// The controller's metrics.
#[derive(Debug)]
pub struct Metrics {
    pod_creation_latency: Histogram,
    failures: Family<ByClass, Counter>,
    left_over: Gauge,
    leader: Gauge,
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
        };
        registry.register(
            "kuryr_pod_creation_latency",
            "Time taken for a pod to have Kuryr annotations set, in seconds: from scheduled to all its ports active",
            metrics.pod_creation_latency.clone(),
        );
        registry.register(
            "kuryr_reconcile_failures",
            "Failed attempts to connect or release a pod",
            metrics.failures.clone(),
        );
        registry.register(
            "kuryr_left_over_ports",
            "Neutron ports of this cluster found without an owner in the last pass",
            metrics.left_over.clone(),
        );
        registry.register(
            "kuryr_leader",
            "1 while this controller is the one that works, else 0",
            metrics.leader.clone(),
        );
        metrics
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
        self.left_over.set(i64::try_from(found).unwrap_or(i64::MAX));
    }
}
