//! A burst of pods against a Neutron that takes its time, beside a bare client that does the same.

use std::time::{Duration, Instant};

use anyhow::Result;
use kuryr_fake::openstack::Latency;

use crate::clouds::{Clouds, pod_name};
use crate::controller::Controller;
use crate::{Size, bare, measured};

/// The figures from here.
pub(crate) const NAMES: [&str; 2] = ["controller-throughput", "controller-calls"];

/// Requests to Neutron under way at once: the default of `[kuryr] cloud_concurrency`, so that is what the bare client does, too.
const AT_ONCE: usize = 16;
/// Longest time that anything may take here before it counts as stuck.
const STUCK: Duration = Duration::from_secs(300);

/// Measures all of [`NAMES`].
///
/// # Errors
/// When the controller or the bare client gives up.
pub(crate) async fn measure(size: Size) -> Result<()> {
    let clouds = Clouds::start(size.burst * size.rounds, Latency::of_a_small_neutron()).await?;
    let controller = Controller::start(&clouds).await?;
    let (mut ours, mut bare) = (Duration::ZERO, Duration::ZERO);
    let mut calls = 0;
    for round in 0..size.rounds {
        // In turns, so that neither is always first.
        if round % 2 == 0 {
            bare += bare::against(&clouds, size.burst, AT_ONCE).await?;
        }
        let before = clouds.openstack.total_writes();
        match lives(&clouds, round * size.burst, (round + 1) * size.burst).await {
            Ok(took) => ours += took,
            Err(error) => return Err(error.context(format!("the controller's log ends with: {}", controller.tail()))),
        }
        calls += clouds.openstack.total_writes() - before;
        if round % 2 == 1 {
            bare += bare::against(&clouds, size.burst, AT_ONCE).await?;
        }
    }
    let pods = (size.burst * size.rounds) as f64;
    let rate = |took: Duration| pods / took.as_secs_f64();
    let words = format!(
        "{:.1} pods/s against {:.1} ports/s of a bare client, {AT_ONCE} at once, 300 ms each, {} rounds of {}",
        rate(ours),
        rate(bare),
        size.rounds,
        size.burst
    );
    measured(NAMES[0], bare.as_secs_f64() / ours.as_secs_f64(), "×", &words);
    measured(
        NAMES[1],
        calls as f64 / pods,
        "calls",
        &format!("changing calls to Neutron in a pod's life, {pods} pods"),
    );
    Ok(())
}

/// Pods are scheduled, all at once, connected, and go. How long from the first scheduled to the last KuryrPort.
async fn lives(clouds: &Clouds, first: usize, end: usize) -> Result<Duration> {
    let begun = clouds.create_pods(first, end).await?;
    clouds.until("all pods have a KuryrPort", STUCK, || clouds.connected() >= end).await?;
    let last = (first..end).filter_map(|number| clouds.connected_at(&pod_name(number))).max();
    let took = last.unwrap_or_else(Instant::now).saturating_duration_since(begun);
    clouds.until("all pods are active", STUCK, || clouds.active() >= end).await?;
    for number in first..end {
        clouds.remove_pod(&pod_name(number))?;
        tokio::task::yield_now().await;
    }
    clouds.until("all ports are gone", STUCK, || clouds.released() >= end).await?;
    Ok(took)
}
