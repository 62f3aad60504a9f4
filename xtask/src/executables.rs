//! The executables as they are shipped: static and optimised. The image carries them and the benchmarks measure them.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

/// What a release consists of.
pub(crate) struct Executables {
    /// Controller, daemon and everything for people.
    pub(crate) kuryr: PathBuf,
    /// The CNI plugin.
    pub(crate) plugin: PathBuf,
}

/// `cargo xtask executables`
///
/// # Errors
/// When they do not compile.
pub(crate) fn run() -> Result<ExitCode> {
    let built = build()?;
    println!("{}\n{}", built.kuryr.display(), built.plugin.display());
    Ok(ExitCode::SUCCESS)
}

/// The system they are built for: this machine's architecture with glibc, linked in.
pub(crate) fn target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Builds them where cargo builds; minutes the first time, nothing when they are there.
///
/// # Errors
/// When they do not compile.
pub(crate) fn build() -> Result<Executables> {
    // The plugin runs for half a millisecond: without relocations it starts a little sooner, and nothing listens in it.
    let kuryr = one("kuryr", "release", &[])?;
    let plugin = one("kuryr-cni", "plugin", &["-Crelocation-model=static"])?;
    Ok(Executables { kuryr, plugin })
}

fn one(package: &str, profile: &str, flags: &[&str]) -> Result<PathBuf> {
    let built = cargo("build", flags)
        .args(["--package", package, "--profile", profile])
        .status()
        .context("cargo cannot be started")?;
    if !built.success() {
        bail!("{package} could not be built for release; what is wrong is above");
    }
    let folder = crate::bed::target_dir().join(target()).join(profile);
    let path = folder.join(package);
    path.canonicalize().with_context(|| path.display().to_string())
}

/// A command of cargo that makes static executables with these additional flags.
pub(crate) fn cargo(command: &str, flags: &[&str]) -> Command {
    let target = target();
    // With a target named, these flags do not reach build scripts and macros, which cannot be static.
    let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_uppercase().replace('-', "_"));
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(crate::root()).args([command, "--locked", "--target", &target]);
    cargo.env_remove("RUSTFLAGS").env(variable, rustflags(flags).join(" "));
    cargo
}

fn rustflags(more: &[&str]) -> Vec<String> {
    let mut flags = vec![
        "-Ctarget-feature=+crt-static".to_owned(),
        // The crate would look for libc's function with dlsym, which a static executable has not.
        "--cfg=getrandom_backend=\"linux_raw\"".to_owned(),
    ];
    // The same executable wherever it was built.
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let places = [(Some(crate::root()), "/kuryr"), (cargo_home, "/cargo")];
    let remap = |place: &Path, name: &str| format!("--remap-path-prefix={}={name}", place.display());
    flags.extend(places.into_iter().filter_map(|(place, name)| Some(remap(&place?, name))));
    flags.extend(more.iter().map(|&flag| flag.to_owned()));
    flags
}
