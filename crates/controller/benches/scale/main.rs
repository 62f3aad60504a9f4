//! What the controller costs and how fast it is (SPECIFICATION.md, Speed and Cost), as `cargo xtask bench` shows it.
//!
//! `cargo bench -p kuryr-controller --bench scale [-- --short] [NAMES…]`. Both fakes are in this process; the controller, the
//! executable at `$KURYR` or the one built beside this program, is another, and so is the bare client it is compared with.
//! Everything goes over TCP. A line for each figure: `measured NAME VALUE UNIT WORDS…`.

mod bare;
mod clouds;
mod controller;
mod life;
mod services;
mod throughput;

use anyhow::Result;

/// How much of everything.
#[derive(Clone, Copy)]
struct Size {
    /// Pods there are when latency and memory are measured.
    pods: usize,
    /// Pods whose latency is measured.
    samples: usize,
    /// Pods there are at a restart.
    pods_at_restart: usize,
    /// Pods of one round of throughput.
    burst: usize,
    /// Rounds of throughput.
    rounds: usize,
    /// Services there are.
    services: usize,
    /// Changes of their endpoints.
    changes: usize,
}

/// As promised.
const FULL: Size =
    Size { pods: 5000, samples: 1500, pods_at_restart: 10_000, burst: 320, rounds: 3, services: 500, changes: 1500 };
/// To see that all is well, not to judge.
const SHORT: Size =
    Size { pods: 1000, samples: 200, pods_at_restart: 2000, burst: 96, rounds: 1, services: 100, changes: 200 };
/// To see that it runs: `cargo test --benches`.
const TINY: Size = Size { pods: 20, samples: 5, pods_at_restart: 40, burst: 16, rounds: 1, services: 6, changes: 12 };

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((count, at_once)) = bare::asked(&arguments) {
        return bare::run(count, at_once).await;
    }
    let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let size = match (given("--bench"), given("--short")) {
        (_, true) => SHORT,
        (true, false) => FULL,
        (false, false) => TINY,
    };
    let names: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |of: &[&str]| names.is_empty() || names.iter().any(|name| of.contains(&name.as_str()));
    if wanted(&throughput::NAMES) {
        throughput::measure(size).await?;
    }
    if wanted(&life::NAMES) {
        life::measure(size).await?;
    }
    if wanted(&services::NAMES) {
        services::measure(size).await?;
    }
    Ok(())
}

/// Prints one figure.
fn measured(name: &str, value: f64, unit: &str, words: &str) {
    let digits = if unit == "×" { 3 } else { 2 };
    println!("measured {name} {value:.digits$} {unit} {words}");
}
