//! ADD as the runtime sees it: the shipped kuryr-cni and the shipped daemon on Open vSwitch, beside the reference plugin
//! `bridge` with `host-local`, for as many pods at the same moment (SPECIFICATION.md: at most twice its median); and the
//! daemon's memory at 110 pods.
//!
//! `cargo xtask bench add-1` runs it, as root, with `KURYR`, `KURYR_CNI` and `KUBE_BIN`. Each side has a host of its own,
//! a network namespace with nothing else in it, and its pods are namespaces made alike. The KuryrPorts are there with
//! active ports before the daemon starts. All times are from a plugin's start to its end.

#![allow(clippy::expect_used, reason = "a benchmark stops where its ground gives way")]

#[path = "../../tests/kernel_world/mod.rs"]
mod kernel_world;

mod call;
mod kuryr;
mod reference;

use std::path::PathBuf;
use std::time::Duration;

use kernel_world::on_a_host;

/// As many as kubelet allows on a node by default.
const MANY: u8 = 110;

/// How many at once, and in how many rounds.
const BURSTS: [(u8, usize); 3] = [(1, 60), (10, 12), (30, 6)];

fn main() {
    // `cargo bench` passes `--bench`; `cargo test --benches` does not, and then one round shows that it works.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_given = |option: &str| arguments.iter().any(|argument| argument == option);
    let (measured, short) = (is_given("--bench"), is_given("--short"));
    let [kuryr, plugin, kube_bin] = ["KURYR", "KURYR_CNI", "KUBE_BIN"].map(|name| match std::env::var_os(name) {
        Some(path) => PathBuf::from(path),
        None => {
            eprintln!(
                "{name} is not set: run `cargo xtask bench add-1`, which builds what is measured and says where it is"
            );
            std::process::exit(2);
        }
    });
    on_a_host(move || async move {
        let ours = kuryr::Host::start(&kuryr, plugin, MANY);
        let theirs = reference::Host::start(kube_bin, 30);
        for (at_once, rounds) in BURSTS {
            let rounds = match (measured, short) {
                (true, false) => rounds,
                (true, true) => rounds.div_ceil(6),
                (false, _) => 1,
            };
            let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
            for round in 0..rounds {
                // Nobody always comes after the other.
                for turn in [round % 2, (round + 1) % 2] {
                    match turn {
                        0 => our_times.extend(ours.add_and_del(at_once)),
                        _ => their_times.extend(theirs.add_and_del(at_once)),
                    }
                }
            }
            let (our_p50, their_p50) = (report("kuryr", at_once, our_times), report("bridge", at_once, their_times));
            println!(
                "measured add-{at_once} {:.2} × {our_p50:.1} ms against {their_p50:.1} ms, medians of {}",
                our_p50 / their_p50,
                usize::from(at_once) * rounds
            );
        }
        let before = ours.memory().resident;
        ours.add_all();
        let kuryr::Memory { resident, anonymous } = ours.memory();
        println!(
            "measured daemon-memory {resident:.1} MiB resident, {anonymous:.1} of it not the executable's; {before:.1} without the {MANY} pods"
        );
    });
}

/// The median, in milliseconds.
fn report(name: &str, at_once: u8, mut times: Vec<Duration>) -> f64 {
    times.sort();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    println!("{at_once:3} at once  {name:8} p10 {:6.1} ms  p50 {:6.1} ms  p99 {:6.1} ms", at(10), at(50), at(99));
    at(50)
}
