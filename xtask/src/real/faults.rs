//! Kuryr is killed, restarted and interfered with while pods come, live and go.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::flow::Flow;
use super::pods::{all_answer, one};
use super::world::{NODES, World, conditions, eventually, text};

/// Deaths per process while [`kills`] runs.
struct Deaths {
    stop: AtomicBool,
    controller: AtomicUsize,
    daemons: AtomicUsize,
}

pub(super) fn kills(world: &World) -> Result<String> {
    let deaths = Deaths { stop: AtomicBool::new(false), controller: AtomicUsize::new(0), daemons: AtomicUsize::new(0) };
    let result = thread::scope(|scope| {
        let murderers = [
            scope
                .spawn(|| kill_every(world, &["controller"], Duration::from_secs(5), &deaths.controller, &deaths.stop)),
            scope.spawn(|| kill_every(world, &NODES, Duration::from_secs(7), &deaths.daemons, &deaths.stop)),
        ];
        let result = thirty_lives(world);
        deaths.stop.store(true, Ordering::Relaxed);
        for murderer in murderers {
            murderer.join().map_err(|_| anyhow::anyhow!("the killing thread panicked"))??;
        }
        result
    })?;
    // A port whose creation outlived its controller is found by looking twice, which takes a controller that lives that long.
    let begun = Instant::now();
    world.nothing_left(Duration::from_secs(240))?;
    let clean = begun.elapsed().as_secs_f64();
    let (controller, daemons) = (deaths.controller.into_inner(), deaths.daemons.into_inner());
    ensure!(controller >= 2 && daemons >= 2, "too quick to be tested: {controller} and {daemons} kills");
    Ok(format!(
        "{result}; controller killed {controller} times, daemons {daemons} times; clean {clean:.1} s after the last"
    ))
}

/// Thirty pods from their creation to the end of the last KuryrPort.
fn thirty_lives(world: &World) -> Result<String> {
    let begun = Instant::now();
    world.create(&World::deployment("kills", "kills", 30))?;
    let pods = world.ready_pods("kills", 30, Duration::from_secs(300))?;
    let ready = begun.elapsed().as_secs_f64();
    all_answer(&pods)?;
    let begun = Instant::now();
    world.delete("kills")?;
    eventually("every KuryrPort ended", Duration::from_secs(300), || {
        Ok(world.get(&["kuryrports", "-A"])?["items"].as_array().is_none_or(Vec::is_empty).then_some(()))
    })?;
    Ok(format!("30 Ready after {ready:.1} s, released after {:.1} s", begun.elapsed().as_secs_f64()))
}

/// Kill these processes (-9) now and then every period, starting each again at once, as a DaemonSet would.
fn kill_every(world: &World, which: &[&str], period: Duration, deaths: &AtomicUsize, stop: &AtomicBool) -> Result<()> {
    // The first death comes early, so that a quick run sees one too.
    let mut next = Instant::now() + Duration::from_secs(1);
    while !stop.load(Ordering::Relaxed) {
        if Instant::now() < next {
            thread::sleep(Duration::from_millis(50));
            continue;
        }
        next += period;
        for process in which {
            world.kuryr("kill", process)?;
            world.kuryr("start", process)?;
            deaths.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

pub(super) fn restarts(world: &World) -> Result<String> {
    let flow = Flow::start(world, "restarts")?;
    let rounds = 3;
    let restarted = (0..rounds)
        .try_for_each(|_| ["controller", "h1", "h2"].iter().try_for_each(|process| world.kuryr("restart", process)));
    let (pods, line) = flow.end()?;
    restarted?;
    ensure!(line.contains(" 0% packet loss"), "{line}");
    all_answer(&pods)?;
    // The daemons know their pods again: deletion finds everything (checked after every check).
    Ok(format!("{rounds} restarts of each: {line}"))
}

pub(super) fn port_deleted(world: &World) -> Result<String> {
    let pod = one(world, "port-deleted", Some("h1"))?;
    let port =
        world.ports()?.into_iter().find(|p| p.addresses.contains(&pod.address)).context("the pod has no port")?;
    let log = |w: &World| std::fs::read_to_string(w.log("kuryr-controller")).map(|t| t.matches("panicked").count());
    let panics = log(world)?;
    world.openstack(&["port", "delete", &port.id])?;
    let outcome = eventually("the port is back or its loss is on the KuryrPort", Duration::from_secs(120), || {
        if let Some(new) = world.ports()?.iter().find(|p| p.name == port.name) {
            return Ok(Some(format!("port {} took the place of {}", new.id, port.id)));
        }
        let reported = world.get(&["kuryrport", &pod.name])?;
        let told =
            conditions(&reported).find(|c| text(&c["status"]) == "False").map(|c| text(&c["message"]).to_owned());
        Ok(told.filter(|m| !m.is_empty()).map(|m| format!("KuryrPort says: {m}")))
    })?;
    ensure!(log(world)? == panics, "the controller panicked");
    Ok(outcome)
}
