//! `cargo xtask bed test`: Kuryr in the real bed. Each check makes its own pods on the real Kubernetes, looks at real packets, and cleans up.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

mod cnitool;
mod dns;
mod faults;
mod flow;
mod installed;
mod pods;
mod services;
pub(crate) mod speed;
mod watch;
mod world;

use crate::{bed, executables};
use world::World;

/// How Kuryr runs while a check looks at it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Setting {
    /// As processes of the bed, from a quick build: for what pods get.
    Processes,
    /// As pods, from the image that is shipped, which the check installs itself.
    Image,
}

impl Setting {
    const ALL: [Self; 2] = [Self::Processes, Self::Image];

    /// What stands for all checks of it on the command line.
    const fn name(self) -> &'static str {
        match self {
            Self::Processes => "processes",
            Self::Image => "image",
        }
    }
}

/// A check: its name, what it promises, and how to find out. The text it returns tells what was seen.
pub(crate) struct Check {
    name: &'static str,
    setting: Setting,
    promise: &'static str,
    run: fn(&World) -> Result<String>,
}

const CHECKS: &[Check] = &[
    on_processes("one-pod", "a pod runs with an address from Neutron", pods::one_pod),
    on_processes("port-list", "openstack port list tells whose a port is", pods::port_list),
    on_processes("same-node", "two pods on one node ping", pods::same_node),
    on_processes("two-nodes", "two pods on different nodes ping", pods::two_nodes),
    on_processes("reach", "API server and nodes reach a pod and are reached by it", pods::reach),
    on_processes("probe", "an HTTP readiness probe decides whether a pod is Ready", pods::probe),
    on_processes("thirty", "30 pods created at once all answer", pods::thirty),
    on_processes("kills", "the same while controller and daemons are killed", faults::kills),
    on_processes("restarts", "packets flow while everything of ours restarts", faults::restarts),
    on_processes("port-deleted", "a port deleted by hand is repaired or reported", faults::port_deleted),
    on_processes(
        "cluster-ip",
        "a Service is balanced over its pods, follows them and is repaired",
        services::cluster_ip,
    ),
    on_processes("load-balancer", "a LoadBalancer is reached at its floating IP", services::load_balancer),
    on_processes("dns", "CoreDNS in pods, Services by name, kubernetes.default is the API server", dns::names),
    on_processes("cnitool", "cnitool add, check, status, gc, del", cnitool::verbs),
    on_image("manifests", "plain manifests on nodes without a network", installed::by_manifests),
    on_image("kustomize", "an overlay of the kustomize base", installed::by_kustomize),
    on_image("helm", "Helm's chart", installed::by_helm),
    on_image("install", "kuryr install", installed::by_install),
    on_image("operator", "the operator and a Kuryr", installed::by_operator),
    on_image("rolled", "no packet lost, no ADD failed while Kuryr's pods are replaced", installed::rolled),
    on_image("frozen", "one writer, whatever becomes of the leader", installed::frozen),
    on_image("repaired", "what is put on a node is repaired, and withdrawn", installed::repaired),
    on_image("own-node", "a daemon writes its own node's KuryrPorts only", installed::own_node_only),
];

const fn on_processes(name: &'static str, promise: &'static str, run: fn(&World) -> Result<String>) -> Check {
    Check { name, setting: Setting::Processes, promise, run }
}

const fn on_image(name: &'static str, promise: &'static str, run: fn(&World) -> Result<String>) -> Check {
    Check { name, setting: Setting::Image, promise, run }
}

/// The checks of these names, or settings, or all of [`Setting::Processes`].
///
/// # Errors
/// When there is no such check.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<&'static Check>> {
    for name in names {
        let known: Vec<&str> = Setting::ALL.iter().map(|s| s.name()).chain(CHECKS.iter().map(|c| c.name)).collect();
        ensure!(known.contains(&name.as_str()), "no check {name}: there are {}", known.join(", "));
    }
    // Those of the image build everything for release first: they must be asked for.
    let wanted = |c: &&Check| match names {
        [] => c.setting == Setting::Processes,
        names => names.iter().any(|name| name == c.name || name == c.setting.name()),
    };
    Ok(CHECKS.iter().filter(wanted).collect())
}

/// Builds what takes minutes, before the bed is up: it keeps half of the machine busy.
///
/// # Errors
/// When it does not compile.
pub(crate) fn build(checks: &[&Check]) -> Result<()> {
    if checks.iter().any(|c| c.setting == Setting::Image) {
        executables::build()?;
    }
    Ok(())
}

/// Runs checks on a bed that is up; a line for each.
///
/// # Errors
/// When there is no bed, or Kuryr cannot be built or started.
pub(crate) fn run(chosen: &[&Check]) -> Result<ExitCode> {
    let world = World::new()?;
    let (mut passed, mut failed) = (0, 0);
    for setting in Setting::ALL {
        let checks: Vec<&Check> = chosen.iter().copied().filter(|c| c.setting == setting).collect();
        if checks.is_empty() {
            continue;
        }
        set(&world, setting)?;
        for check in checks {
            if one(&world, check) { passed += 1 } else { failed += 1 }
        }
    }
    if failed > 0 {
        println!("logs: {}", world.state().join("log").display());
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes the bed what the checks of a setting begin with.
fn set(world: &World, setting: Setting) -> Result<()> {
    match setting {
        Setting::Processes => {
            bed::kuryr_up()?;
            world.delete_all()?;
            world.nothing_left(Duration::from_secs(60)).context("the bed is not clean before the first check")
        }
        Setting::Image => installed::prepare(world).context("the bed cannot be made ready for the image"),
    }
}

/// Runs one check and tells; whether it passed.
fn one(world: &World, check: &Check) -> bool {
    let begun = Instant::now();
    let mut result = (check.run)(world);
    // Whatever happened, the next check begins with an empty bed, and what this one left counts against it.
    let cleaned = world.delete(check.name).and_then(|()| match check.setting {
        Setting::Processes => world.nothing_left(Duration::from_secs(60)),
        Setting::Image => installed::clear(world),
    });
    if let (Ok(_), Err(error)) = (&result, cleaned) {
        result = Err(error.context("after deletion"));
    }
    let (verdict, told) = match &result {
        Ok(seen) => ("pass", seen.clone()),
        Err(error) => ("FAIL", format!("{error:#}")),
    };
    println!("{verdict} {:6.1} s  {:13} {}: {told}", begun.elapsed().as_secs_f64(), check.name, check.promise);
    result.is_ok()
}
