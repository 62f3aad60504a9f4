//! The project's own commands: `cargo xtask …`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bed;
mod bench;
mod executables;
mod fresh;
mod image;
mod lab;
mod needs;
mod programs;
mod real;
mod stages;
mod test;
mod tidy;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Test everything, from the quick to the slow; `quick` for the inner loop, or names of stages
    Test(test::Test),
    /// Measure what SPECIFICATION.md promises in figures, and say which promises are kept
    Bench(bench::Bench),
    /// The whole system on this machine, without OpenStack or Kubernetes (also `cargo lab`)
    #[command(disable_help_flag = true)]
    Lab(lab::Lab),
    /// The real OpenStack and Kubernetes that tests run against, on this machine
    Bed(bed::Bed),
    /// The container image, without a container engine: an OCI archive that is a docker archive too, and its bill of materials
    Image(image::Image),
    /// The executables as they are shipped, static and optimised: builds them and says where they are
    Executables,
    /// From `git clone` to answered pings; `cargo xtask bench lab-cold lab-warm` judges it
    Fresh {
        /// Only what is built already
        #[arg(long)]
        short: bool,
    },
    /// Check the rules of the house: arrows between crates, names, sizes, links
    Tidy,
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Task::Test(test) => test::run(&test),
        Task::Bench(bench) => bench::run(&bench),
        Task::Lab(lab) => lab::run(&lab),
        Task::Bed(bed) => bed::run(&bed),
        Task::Image(image) => image::run(&image),
        Task::Executables => executables::run(),
        Task::Fresh { short } => fresh::run(short),
        Task::Tidy => tidy::run(),
    }
}

/// The workspace.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
