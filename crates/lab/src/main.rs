//! `kuryr-lab`: the whole of Kuryr on one machine in one command, without OpenStack, Kubernetes or containers.
//!
//! The clouds are fake ([`kuryr_fake`]); everything of ours is the real program, and so are the packets: a bridge as
//! provider network, two nodes as network and mount namespaces with a `kuryr daemon` each, one `kuryr controller`, and
//! pods whose network namespaces the real `kuryr-cni` wires. The lab itself plays what is not ours: scheduler,
//! kubelet, container runtime, the controller of endpoints, Neutron's agent on the nodes, and Octavia's amphorae.
//!
//! Processes: the one the user starts ([`front`]) makes a second one, first of a PID namespace ([`world`]), which runs
//! everything else, a process for each pod among it ([`container`]). When either ends, however it ends, the kernel takes
//! away all the rest.

mod agent;
mod amphora;
mod asking;
mod clouds;
mod cluster;
mod container;
mod endpoints;
mod fabric;
mod front;
mod kubelet;
mod namespaces;
mod netlink;
mod node;
mod ping;
mod pods;
mod program;
mod progress;
mod ready;
mod report;
mod runtime;
mod scheduler;
mod settings;
mod showcase;
mod sockets;
mod state;
mod steps;
mod timeline;
mod watching;
mod way;
mod world;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Run Kuryr with a fake cloud and real packets: two nodes, pods on both, every pair pinging, load balancers in front of them.
///
/// Needs root or unprivileged user namespaces, and nothing else. Nothing is left behind.
#[derive(Clone, Debug, Parser)]
#[command(name = "kuryr-lab", version)]
struct Arguments {
    /// Pods to create, spread over both nodes.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(2..=200))]
    pods: u16,
    /// Leave everything up until Ctrl-C and print how to reach it.
    #[arg(long)]
    keep: bool,
    /// Seed of the ids the clouds give out; the same seed, the same ids.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The state directory, for the process inside the namespaces.
    #[arg(long, hide = true)]
    inside: Option<PathBuf>,
    /// The pod's name, for the process that is its container.
    #[arg(long, hide = true)]
    answer: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match (&arguments.inside, &arguments.answer) {
        (_, Some(pod)) => container::answer(pod),
        (Some(state), _) => world::run(&arguments, state),
        (None, None) => front::run(),
    };
    outcome.unwrap_or_else(|error| {
        // Nobody reads any more: the exit code still says it.
        let _ = writeln!(std::io::stderr(), "kuryr-lab: {error:#}");
        ExitCode::from(front::FAILED)
    })
}
