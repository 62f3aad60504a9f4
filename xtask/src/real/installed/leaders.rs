//! Two controllers, and the one that works is stopped.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::super::world::{World, eventually, succeeded, text};
use super::{NAMESPACE, components, with_kuryr};

const CHECK: &str = "frozen";
/// How long the leader is stopped.
const STOPPED: Duration = Duration::from_secs(60);
/// Longest time without a leader, with default timings.
const TAKEOVER: Duration = Duration::from_secs(15);

/// The leader is frozen for a minute and goes on: another takes over, and as Neutron tells it there is one writer at any time.
pub(in super::super) fn frozen(world: &World) -> Result<String> {
    with_kuryr(world, || {
        let old = leader(world)?;
        let controllers = components(world, "controller")?;
        let process = controllers.iter().find(|pod| old.contains(&pod.name));
        let process = process.with_context(|| format!("the leader {old} is none of our pods"))?;
        let from = neutron_log(world)?.len();
        world.create(&World::deployment(CHECK, CHECK, 4))?;
        // In the middle of its work.
        eventually("a first port", Duration::from_secs(30), || Ok((!world.ports()?.is_empty()).then_some(())))?;
        signal(process.pid, "STOP")?;
        let begun = Instant::now();
        let new = eventually("another leader", TAKEOVER + Duration::from_secs(10), || {
            let now = leader(world)?;
            Ok((now != old).then_some(now))
        });
        let took = begun.elapsed();
        let ready = world.ready_pods(CHECK, 4, Duration::from_secs(90));
        thread::sleep(STOPPED.saturating_sub(begun.elapsed()));
        signal(process.pid, "CONT")?;
        let new = new?;
        ready?;
        ensure!(took <= TAKEOVER, "{:.1} s without a leader", took.as_secs_f64());
        world.kubectl(&["scale", "deployment", CHECK, "--replicas=8"])?;
        world.ready_pods(CHECK, 8, Duration::from_secs(90))?;
        ensure!(leader(world)? == new, "the old leader is back");
        let ports = world.ports()?;
        let owners: BTreeSet<&str> = ports.iter().map(|port| port.name.as_str()).collect();
        ensure!(ports.len() == 8 && owners.len() == 8, "{} ports of {} pods", ports.len(), owners.len());
        let log = neutron_log(world)?;
        let writers = writers(log.get(from..).unwrap_or_default());
        ensure!(writers.len() <= 2, "those who wrote to Neutron, in turns: {}", writers.join(", "));
        world.delete(CHECK)?;
        Ok(format!(
            "another leads after {:.1} s; who wrote to Neutron, in turns: {}",
            took.as_secs_f64(),
            writers.join(", ")
        ))
    })
}

fn leader(world: &World) -> Result<String> {
    let lease = world.get(&["lease", "kuryr-controller", "-n", NAMESPACE])?;
    Ok(text(&lease["spec"]["holderIdentity"]).to_owned())
}

fn signal(pid: u32, name: &str) -> Result<()> {
    succeeded(Command::new("kill").args([format!("-{name}"), pid.to_string()]).output()?, "kill").map(drop)
}

fn neutron_log(world: &World) -> Result<String> {
    fs::read_to_string(world.log("neutron")).context("Neutron's log")
}

/// From which addresses ports were written, in the order of Neutron's log; the same one twice in a row is once.
fn writers(log: &str) -> Vec<String> {
    let mut writers: Vec<String> = Vec::new();
    for line in log.lines().filter(|line| line.contains("/v2.0/ports")) {
        // `… 172.24.4.201 "POST /v2.0/ports HTTP/1.1" status: 201 …`, as neutron's eventlet server writes it
        let Some((before, _)) = ["\"POST ", "\"PUT ", "\"DELETE "].iter().find_map(|verb| line.split_once(verb)) else {
            continue;
        };
        let Some(address) =
            before.split_whitespace().next_back().map(|last| last.split(',').next_back().unwrap_or(last))
        else {
            continue;
        };
        if writers.last().is_none_or(|last| last != address) {
            writers.push(address.to_owned());
        }
    }
    writers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_are_told_in_turns() {
        let line = |address: &str, verb: &str| {
            format!(
                "2026-01-01 INFO neutron.wsgi [req-1] {address} \"{verb} /v2.0/ports/x HTTP/1.1\" status: 201 len: 1\n"
            )
        };
        let log =
            [line("10.0.0.1", "POST"), line("10.0.0.2", "GET"), line("10.0.0.1", "PUT"), line("10.0.0.2", "DELETE")];
        assert_eq!(writers(&log.concat()), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(writers(&[log.concat(), log.concat()].concat()).len(), 4);
    }
}
