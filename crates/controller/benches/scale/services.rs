//! A cluster of hundreds of Services: how soon a change of endpoints is in Octavia, and how the controller starts again.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kuryr_fake::openstack::Latency;

use crate::clouds::{Clouds, service_name};
use crate::controller::Controller;
use crate::{Size, measured};

/// The figures from here.
pub(crate) const NAMES: [&str; 3] = ["services-latency", "services-restart", "services-restart-writes"];

/// What Octavia takes for each change.
const STEP: Duration = Duration::from_millis(300);
/// Time between two changes of endpoints. Each is of another Service: one that Octavia is at work for would wait for it.
const EVERY: Duration = Duration::from_millis(50);
/// Pods of each Service.
const ENDPOINTS: usize = 10;
/// Services whose endpoints change while no controller is there.
const MEANWHILE: usize = 5;
/// Longest time that anything may take here before it counts as stuck.
const STUCK: Duration = Duration::from_secs(300);

/// Measures all of [`NAMES`] in one life of a cluster.
///
/// # Errors
/// When the controller does not come as far as there is something to measure.
pub(crate) async fn measure(size: Size) -> Result<()> {
    let mut clouds = Clouds::start(1, Latency::default()).await?;
    clouds.balances = true;
    let controller = Controller::start(&clouds).await?;
    for number in 0..size.services {
        clouds.create_service(number, ENDPOINTS)?;
        // The fakes live on this thread, too.
        tokio::task::yield_now().await;
    }
    let outcome = async {
        let balanced = || clouds.balanced() == size.services;
        clouds.until("all Services are balanced", STUCK, balanced).await?;
        clouds.openstack.set_load_balancer_step(STEP);
        latency(&clouds, size).await
    };
    if let Err(error) = outcome.await {
        return Err(error.context(format!("the controller's log ends with: {}", controller.tail())));
    }
    controller.kill()?;
    restart(&clouds, size).await
}

/// Endpoints come and go at an even pace; how long until Octavia has done what the controller asked for.
async fn latency(clouds: &Clouds, size: Size) -> Result<()> {
    let pools = clouds.pools();
    let mut ticks = tokio::time::interval(EVERY);
    let mut took: Vec<Duration> = Vec::new();
    let mut changed: Vec<(&String, Instant)> = Vec::new();
    for change in 0..size.changes {
        ticks.tick().await;
        let number = change % size.services;
        let pool = pools.get(&service_name(number)).with_context(|| format!("no pool of Service {number}"))?;
        // One pod more or less, in turns.
        changed.push((pool, clouds.set_endpoints(number, ENDPOINTS - 1 + change / size.services % 2)?));
        if number + 1 == size.services || change + 1 == size.changes {
            took.extend(applied(clouds, &changed).await?);
            changed.clear();
        }
    }
    took.sort();
    let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)].as_secs_f64() * 1e3;
    let words = format!(
        "p99 of {:.1} ms, endpoint changed to member applied, Octavia's {} ms included; p50 {:.1} ms, longest {:.1} ms; {} changes, {} a \
         second, {} Services",
        at(99),
        STEP.as_millis(),
        at(50),
        at(100),
        took.len(),
        Duration::from_secs(1).as_millis() / EVERY.as_millis(),
        size.services
    );
    measured(NAMES[0], at(99) / (STEP.as_secs_f64() * 1e3), "×", &words);
    Ok(())
}

/// How long each change took, until Octavia had taken the members and its step was over.
async fn applied(clouds: &Clouds, changed: &[(&String, Instant)]) -> Result<Vec<Duration>> {
    let done = |(pool, begun): &(&String, Instant)| clouds.members_set_at(pool).filter(|at| at >= begun);
    clouds.until("the members follow", STUCK, || changed.iter().all(|change| done(change).is_some())).await?;
    tokio::time::sleep(STEP).await;
    Ok(changed.iter().filter_map(|change| Some(done(change)? + STEP - change.1)).collect())
}

/// Started again where almost everything is as it should be: what is not is found, and nothing else is changed.
async fn restart(clouds: &Clouds, size: Size) -> Result<()> {
    let pools = clouds.pools();
    let count = MEANWHILE.min(size.services);
    let mut changed = Vec::new();
    for number in (0..count).map(|index| index * size.services / count) {
        let pool = pools.get(&service_name(number)).with_context(|| format!("no pool of Service {number}"))?;
        changed.push((pool, clouds.set_endpoints(number, ENDPOINTS + 1)?));
    }
    let (before, begun) = (clouds.openstack.total_writes(), Instant::now());
    let controller = Controller::start(clouds).await?;
    let done = || changed.iter().all(|(pool, begun)| clouds.members_set_at(pool).is_some_and(|at| at >= *begun));
    clouds.until("what changed meanwhile is set", STUCK, done).await?;
    let steady = begun.elapsed();
    // All others have had their turn when two comparisons with Octavia could have been made.
    tokio::time::sleep(Duration::from_secs(if size.services < 100 { 1 } else { 10 })).await;
    let writes = clouds.openstack.total_writes() - before;
    ensure!(writes >= count as u64, "{writes} changing calls for {count} Services");
    let words = format!(
        "from the start of the process until what changed meanwhile is in Octavia, {} Services with {ENDPOINTS} endpoints, {:.2} s of \
         processor time",
        size.services,
        controller.processor_time()?
    );
    measured(NAMES[1], steady.as_secs_f64(), "s", &words);
    let words = format!("changing calls for what had not changed, {} Services", size.services - count);
    measured(NAMES[2], (writes - count as u64) as f64, "calls", &words);
    Ok(())
}
