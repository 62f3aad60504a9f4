//! What the daemon counts. The names kuryr-kubernetes used are kept, with its labels and buckets, so that existing alerts
//! go on; whatever they cannot show (everything below 10 s) is in metrics of our own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// 10, 20, …, 180 s, as kuryr-kubernetes had them.
fn legacy_buckets() -> impl Iterator<Item = f64> {
    (1..=18).map(|n| f64::from(n) * 10.0)
}

/// 1 ms to 2 min.
const PHASE_BUCKETS: [f64; 14] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 15.0, 60.0, 120.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Command {
    command: &'static str,
    error: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Step {
    phase: Phase,
}

/// The parts of an ADD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Phase {
    /// Until the KuryrPort names its ports.
    WaitPort,
    /// Checkpoint, kernel and Open vSwitch.
    Plug,
    /// Until every port is active.
    WaitActive,
}

/// All metrics of the daemon. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    requests: Family<Command, Histogram, fn() -> Histogram>,
    phases: Family<Step, Histogram, fn() -> Histogram>,
    attachments: Gauge,
    waiting: Gauge,
    registry: Arc<Mutex<Registry>>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let requests = Family::new_with_constructor((|| Histogram::new(legacy_buckets())) as fn() -> Histogram);
        let phases = Family::new_with_constructor((|| Histogram::new(PHASE_BUCKETS)) as fn() -> Histogram);
        let (attachments, waiting) = (Gauge::default(), Gauge::default());
        let mut registry = Registry::default();
        registry.register("kuryr_cni_request_duration_seconds", "The duration of CNI requests", requests.clone());
        registry.register_with_unit(
            "kuryr_cni_add_phase_duration",
            "How long the parts of ADD took",
            Unit::Seconds,
            phases.clone(),
        );
        registry.register("kuryr_cni_attachments", "Wired containers on this node", attachments.clone());
        registry.register("kuryr_cni_running_adds", "ADD requests at work", waiting.clone());
        Self { requests, phases, attachments, waiting, registry: Arc::new(Mutex::new(registry)) }
    }

    /// A request was answered.
    pub(crate) fn request(&self, command: &'static str, failed: bool, took: Duration) {
        // Python's spelling, which existing alerts match.
        let error = if failed { "True" } else { "False" };
        self.requests.get_or_create(&Command { command, error }).observe(took.as_secs_f64());
    }

    /// One part of an ADD is over.
    pub(crate) fn phase(&self, phase: Phase, took: Duration) {
        self.phases.get_or_create(&Step { phase }).observe(took.as_secs_f64());
    }

    /// The text for Prometheus (OpenMetrics), with the gauges as they are now.
    pub(crate) fn text(&self, attachments: usize, waiting: usize) -> String {
        self.attachments.set(i64::try_from(attachments).unwrap_or(i64::MAX));
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        text
    }
}

/// All metrics with one sample each, so that their labels show: docs/metrics.md is made from it.
#[must_use]
pub fn example() -> String {
    let metrics = Metrics::new();
    metrics.request("ADD", false, Duration::from_millis(60));
    metrics.phase(Phase::Plug, Duration::from_millis(2));
    metrics.text(1, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_legacy_histogram_keeps_its_name_labels_and_buckets() {
        let metrics = Metrics::new();
        metrics.request("ADD", false, Duration::from_secs(12));
        metrics.request("DEL", true, Duration::from_millis(3));
        let text = metrics.text(2, 1);
        for line in [
            r#"kuryr_cni_request_duration_seconds_bucket{le="10.0",command="ADD",error="False"} 0"#,
            r#"kuryr_cni_request_duration_seconds_bucket{le="20.0",command="ADD",error="False"} 1"#,
            r#"kuryr_cni_request_duration_seconds_bucket{le="+Inf",command="DEL",error="True"} 1"#,
            r#"kuryr_cni_request_duration_seconds_count{command="ADD",error="False"} 1"#,
            "kuryr_cni_attachments 2",
            "kuryr_cni_running_adds 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(text.contains(r#"le="180.0""#) && !text.contains(r#"le="190.0""#));
        assert_eq!(
            text.matches(r#"command="ADD",error="False"} "#).count(),
            18 + 1 + 2,
            "buckets, +Inf, sum and count"
        );
    }
}
