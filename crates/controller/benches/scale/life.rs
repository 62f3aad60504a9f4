//! A cluster of thousands of pods: how soon a new pod has its KuryrPort, what the controller weighs, how it starts again.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kuryr_fake::openstack::Latency;

use crate::clouds::{Clouds, pod_name};
use crate::controller::Controller;
use crate::{Size, measured};

/// The figures from here.
pub(crate) const NAMES: [&str; 4] =
    ["controller-latency", "controller-memory", "controller-restart", "controller-restart-writes"];

/// Time between two pods, when latency is measured; as often one goes.
const EVERY: Duration = Duration::from_millis(50);
/// Longest time that anything may take here before it counts as stuck.
const STUCK: Duration = Duration::from_secs(300);

/// Measures all of [`NAMES`] in one life of a cluster.
///
/// # Errors
/// When the controller does not come as far as there is something to measure.
pub(crate) async fn measure(size: Size) -> Result<()> {
    let clouds = Clouds::start(size.pods_at_restart + size.samples + 1, Latency::default()).await?;
    let controller = Controller::start(&clouds).await?;
    let outcome = async {
        connect(&clouds, 0, size.pods).await?;
        latency(&clouds, size).await?;
        memory(&controller, size)?;
        // Latency took as many pods away as it added.
        connect(&clouds, size.pods + size.samples, size.pods_at_restart + size.samples).await
    };
    if let Err(error) = outcome.await {
        return Err(error.context(format!("the controller's log ends with: {}", controller.tail())));
    }
    controller.kill()?;
    restart(&clouds, size).await
}

/// Creates pods and waits until the KuryrPorts of all say that they are active.
async fn connect(clouds: &Clouds, first: usize, end: usize) -> Result<()> {
    let wanted = clouds.active() + end - first;
    let begun = clouds.create_pods(first, end).await?;
    let count = end - first;
    clouds.until("all pods have a KuryrPort that is active", STUCK, || clouds.active() >= wanted).await?;
    let (all, active) = clouds.kuryr_ports();
    ensure!(all == active, "{all} KuryrPorts, {active} of them active");
    let seconds = begun.elapsed().as_secs_f64();
    println!("{count} pods at once: all active after {seconds:.1} s, {:.0} pods/s", count as f64 / seconds);
    Ok(())
}

/// Pods come and go at an even pace; how long from the scheduler's word to the KuryrPort.
async fn latency(clouds: &Clouds, size: Size) -> Result<()> {
    let (active, released) = (clouds.active() + size.samples, clouds.released() + size.samples);
    let mut ticks = tokio::time::interval(EVERY);
    let mut scheduled: Vec<(String, Instant)> = Vec::new();
    for number in 0..size.samples {
        let name = pod_name(size.pods + number);
        clouds.create_pod(&name)?;
        ticks.tick().await;
        let begun = clouds.schedule(&name, size.pods + number).await?;
        scheduled.push((name, begun));
        clouds.remove_pod(&pod_name(number))?;
    }
    let all = || scheduled.iter().all(|(name, _)| clouds.connected_at(name).is_some());
    clouds.until("the last pod has a KuryrPort", STUCK, all).await?;
    let settled = || clouds.active() >= active && clouds.released() >= released;
    clouds.until("those that came are active and those that went are gone", STUCK, settled).await?;
    let mut took: Vec<Duration> = Vec::new();
    for (name, begun) in &scheduled {
        took.extend(clouds.connected_at(name).map(|done| done.saturating_duration_since(*begun)));
    }
    took.sort();
    let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)].as_secs_f64() * 1e3;
    let words = format!(
        "p99, Pod scheduled to KuryrPort written, a Neutron that answers at once, its creation of the port included; p50 {:.2} ms, longest \
         {:.2} ms; {} pods come and go, {} a second, beside {} others",
        at(50),
        at(100),
        took.len(),
        Duration::from_secs(1).as_millis() / EVERY.as_millis(),
        size.pods
    );
    measured(NAMES[0], at(99), "ms", &words);
    Ok(())
}

fn memory(controller: &Controller, size: Size) -> Result<()> {
    let (now, highest) = controller.memory()?;
    let words = format!("resident with {} pods that it connected itself; {highest:.1} MiB at its highest", size.pods);
    measured(NAMES[1], now, "MiB", &words);
    Ok(())
}

/// Started again where everything is as it should be: it must come to know everything, and change nothing.
async fn restart(clouds: &Clouds, size: Size) -> Result<()> {
    let (kuryr_ports, _) = clouds.kuryr_ports();
    ensure!(kuryr_ports == size.pods_at_restart, "{kuryr_ports} pods instead of {}", size.pods_at_restart);
    let (before, active) = (clouds.openstack.total_writes(), clouds.active());
    let controller = Controller::start(clouds).await?;
    // Who comes last in the queue has its turn after all others had theirs.
    let last = size.pods_at_restart + size.samples;
    let name = pod_name(last);
    clouds.create_pod(&name)?;
    clouds.schedule(&name, last).await?;
    clouds.until("a pod created after the restart is active", STUCK, || clouds.active() > active).await?;
    let of_the_last = 1;
    let writes = clouds.openstack.total_writes() - before - of_the_last;
    let (now, highest) = controller.memory()?;
    let words = format!(
        "from the start of the process to ready, {} pods, {:.2} s of processor time; {now:.1} MiB then, {highest:.1} MiB at its highest",
        size.pods_at_restart, controller.effort
    );
    measured(NAMES[2], controller.ready_after.as_secs_f64(), "s", &words);
    let words = format!("changing calls to Neutron by then, {} pods", size.pods_at_restart);
    measured(NAMES[3], writes as f64, "calls", &words);
    Ok(())
}
