//! `cargo xtask fresh`: from `git clone` to answered pings, as somebody sees it who has nothing but Rust and git.
//!
//! - `lab-cold`: a clone of what is committed, its own folder for cargo's downloads, nothing built.
//! - `lab-warm`: the same command once more.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Measures both, or with `short` only the second, in this folder; a line for each.
///
/// # Errors
/// When something cannot be cloned or built, or pings are not answered.
pub(crate) fn run(short: bool) -> Result<ExitCode> {
    let here = crate::root();
    if short {
        lab(&here, None)?;
        say("lab-warm", lab(&here, None)?, "as built here");
        return Ok(ExitCode::SUCCESS);
    }
    let place = crate::bed::target_dir().join("fresh");
    clear(&place)?;
    let (clone, downloads) = (place.join("kuryr"), place.join("cargo"));
    let begun = Instant::now();
    let mut git = Command::new("git");
    quietly(git.args(["clone", "--quiet"]).arg(&here).arg(&clone))?;
    lab(&clone, Some(&downloads))?;
    say("lab-cold", begun.elapsed(), "from git clone to the end of cargo lab, downloads and builds included");
    say("lab-warm", lab(&clone, Some(&downloads))?, "cargo lab once more");
    clear(&place)?;
    Ok(ExitCode::SUCCESS)
}

fn clear(place: &Path) -> Result<()> {
    match std::fs::remove_dir_all(place) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).with_context(|| place.display().to_string()),
        _ => Ok(()),
    }
}

/// Runs the lab, which fails unless every ping is answered, and returns how long it took.
fn lab(folder: &Path, downloads: Option<&Path>) -> Result<Duration> {
    let begun = Instant::now();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.arg("lab").current_dir(folder).env_remove("CARGO_TARGET_DIR");
    quietly(downloads.iter().fold(&mut cargo, |cargo, downloads| cargo.env("CARGO_HOME", downloads)))?;
    Ok(begun.elapsed())
}

/// What it says goes to stderr: figures are alone on stdout.
fn quietly(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.stdout(std::io::stderr()).status().with_context(|| format!("{name} cannot be started"))?;
    if !status.success() {
        bail!("{name} ended with {status}");
    }
    Ok(())
}

fn say(promise: &str, took: Duration, words: &str) {
    println!("measured {promise} {:.1} s {words}", took.as_secs_f64());
}
