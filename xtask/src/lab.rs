//! `cargo lab`: builds what the lab runs and becomes the lab.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::Args;

/// `cargo lab …`
#[derive(Args, Debug)]
pub(crate) struct Lab {
    /// Passed on to kuryr-lab; see `cargo lab --help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds and runs it.
///
/// # Errors
/// When the build fails or the lab cannot be started.
pub(crate) fn run(lab: &Lab) -> Result<ExitCode> {
    // Cargo shows its own progress; nothing is hidden from the one who waits.
    let built = Command::new(env!("CARGO"))
        .current_dir(crate::root())
        .args(["build", "--locked", "-p", "kuryr", "-p", "kuryr-cni", "-p", "kuryr-lab"])
        .status()
        .context("cannot start cargo")?;
    if !built.success() {
        bail!("the lab could not be built; what is wrong is above");
    }
    let program = crate::bed::target_dir().join("debug/kuryr-lab");
    // Becoming the lab, not its parent, leaves Ctrl-C and the exit code to it.
    let error = Command::new(&program).args(&lab.arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", program.display()))
}
