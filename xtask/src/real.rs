//! `cargo xtask bed test`: Kuryr in the real bed. Each check makes its own pods on the real Kubernetes, looks at real packets, and cleans up.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

mod cnitool;
mod faults;
mod pods;
pub(crate) mod speed;
mod watch;
mod world;

use world::World;

/// A check: its name, what it promises, and how to find out. The text it returns tells what was seen.
struct Check {
    name: &'static str,
    promise: &'static str,
    run: fn(&World) -> Result<String>,
}

const CHECKS: &[Check] = &[
    Check { name: "one-pod", promise: "a pod runs with an address from Neutron", run: pods::one_pod },
    Check { name: "port-list", promise: "openstack port list tells whose a port is", run: pods::port_list },
    Check { name: "same-node", promise: "two pods on one node ping", run: pods::same_node },
    Check { name: "two-nodes", promise: "two pods on different nodes ping", run: pods::two_nodes },
    Check { name: "reach", promise: "API server and nodes reach a pod and are reached by it", run: pods::reach },
    Check { name: "probe", promise: "an HTTP readiness probe decides whether a pod is Ready", run: pods::probe },
    Check { name: "thirty", promise: "30 pods created at once all answer", run: pods::thirty },
    Check { name: "kills", promise: "the same while controller and daemons are killed", run: faults::kills },
    Check { name: "restarts", promise: "packets flow while everything of ours restarts", run: faults::restarts },
    Check {
        name: "port-deleted",
        promise: "a port deleted by hand is repaired or reported",
        run: faults::port_deleted,
    },
    Check { name: "cnitool", promise: "cnitool add, check, status, gc, del", run: cnitool::verbs },
];

/// Run the checks of these names, or all, on a bed that is up; a line for each.
///
/// # Errors
/// When there is no bed, or no such check.
pub(crate) fn run(names: &[String]) -> Result<ExitCode> {
    for name in names {
        let known = || CHECKS.iter().map(|c| c.name).collect::<Vec<_>>().join(", ");
        CHECKS.iter().find(|c| c.name == name).with_context(|| format!("no check {name}: there are {}", known()))?;
    }
    let world = World::new()?;
    world.delete_all()?;
    world.nothing_left(Duration::from_secs(60)).context("the bed is not clean before the first check")?;
    let (mut passed, mut failed) = (0, 0);
    for check in CHECKS.iter().filter(|c| names.is_empty() || names.iter().any(|n| n == c.name)) {
        let begun = Instant::now();
        let mut result = (check.run)(&world);
        // Whatever happened, the next check begins with an empty bed, and what this one left counts against it.
        let cleaned = world.delete(check.name).and_then(|()| world.nothing_left(Duration::from_secs(60)));
        if let (Ok(_), Err(error)) = (&result, cleaned) {
            result = Err(error.context("after deletion"));
        }
        let seconds = begun.elapsed().as_secs_f64();
        match result {
            Ok(seen) => {
                passed += 1;
                println!("pass {seconds:6.1} s  {:13} {}: {seen}", check.name, check.promise);
            }
            Err(error) => {
                failed += 1;
                println!("FAIL {seconds:6.1} s  {:13} {}: {error:#}", check.name, check.promise);
            }
        }
    }
    if failed > 0 {
        println!("logs: {}", world.state().join("log").display());
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
