//! What a stage needs of the machine, and how to get it where that is possible.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

/// Version of cargo-deny. Raising it rebuilds it once (minutes).
const CARGO_DENY: &str = "0.20.2";

/// Something a stage cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The user is root, with the capabilities of one.
    Root,
    /// Root, or user namespaces for everyone.
    Namespaces,
    /// Debian packages; installed if they are missing and we may.
    Packages(&'static [&'static str]),
    /// cargo-deny; built if it is missing.
    CargoDeny,
    /// Debian, for the bed, which installs what it needs itself.
    Debian,
}

/// Why a machine cannot run a stage, and what to do.
#[derive(Debug)]
pub(crate) struct Missing {
    /// What is missing.
    pub(crate) why: String,
    /// How it comes.
    pub(crate) cure: String,
}

impl Need {
    /// Makes sure of it.
    ///
    /// # Errors
    /// What is missing, with the cure.
    pub(crate) fn meet(self) -> Result<(), Missing> {
        let missing = |why: &str, cure: &str| Err(Missing { why: why.to_owned(), cure: cure.to_owned() });
        match self {
            Need::Root if !may_administer() => missing(
                "it makes network namespaces and needs root",
                "run it as root (`sudo -E cargo xtask …`) or in a privileged container",
            ),
            Need::Namespaces if !may_administer() && !user_namespaces() => missing(
                "it needs root or user namespaces",
                "run as root, or set the sysctls kernel.unprivileged_userns_clone = 1 and user.max_user_namespaces > 0",
            ),
            Need::Debian if !Path::new("/etc/debian_version").exists() => {
                missing("the bed is made of Debian's packages", "run it on Debian 12 or in its container")
            }
            Need::Packages(packages) => install(packages).map_err(|error| Missing {
                why: format!("{error:#}"),
                cure: format!("install {} (Debian's names)", packages.join(", ")),
            }),
            Need::CargoDeny => cargo_deny().map(drop).map_err(|error| Missing {
                why: format!("cargo-deny {CARGO_DENY} cannot be built: {error:#}"),
                cure: format!("cargo install cargo-deny --locked --version {CARGO_DENY}"),
            }),
            Need::Root | Need::Namespaces | Need::Debian => Ok(()),
        }
    }
}

/// CAP_NET_ADMIN and CAP_SYS_ADMIN in the effective set: uid 0 in a plain container has neither.
fn may_administer() -> bool {
    const NET_ADMIN: u64 = 1 << 12;
    const SYS_ADMIN: u64 = 1 << 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    bits & (NET_ADMIN | SYS_ADMIN) == NET_ADMIN | SYS_ADMIN
}

fn user_namespaces() -> bool {
    let quiet = |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet(Command::new("unshare").args(["--user", "--map-root-user", "--net", "true"]))
        .is_ok_and(|status| status.success())
}

/// Installs what is missing of these Debian packages.
fn install(packages: &[&str]) -> Result<()> {
    let missing: Vec<&&str> = packages.iter().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.iter().map(|name| **name).collect::<Vec<_>>().join(" ");
    if !may_administer() {
        bail!("{names} not installed, and only root can install");
    }
    // Packages must not start daemons of their own here: tests start what they need, where they need it.
    let policy = Policy::set()?;
    let apt = |arguments: &[&str]| {
        Command::new("apt-get")
            .args(["-q", "-y", "-o", "DPkg::Lock::Timeout=300"])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output()
            .context("apt-get cannot be started")
            .and_then(succeeded)
    };
    let mut arguments = vec!["--no-install-recommends", "install"];
    arguments.extend(missing);
    // A fresh machine has no package lists; one with lists need not fetch them again.
    if apt(&arguments).is_err() {
        apt(&["update"])?;
        apt(&arguments).with_context(|| format!("apt-get cannot install {names}"))?;
    }
    drop(policy);
    Ok(())
}

fn is_installed(package: &str) -> bool {
    let query = Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status}", package]).output();
    query.is_ok_and(|out| out.stdout == b"installed")
}

fn succeeded(out: Output) -> Result<()> {
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        bail!("{}", said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it failed without a word"));
    }
    Ok(())
}

/// While it lives, packages start no services. A policy that is already there stays.
struct Policy(Option<PathBuf>);

impl Policy {
    fn set() -> Result<Policy> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = PathBuf::from("/usr/sbin/policy-rc.d");
        if path.exists() {
            return Ok(Policy(None));
        }
        std::fs::write(&path, "#!/bin/sh\nexit 101\n").with_context(|| path.display().to_string())?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(Policy(Some(path)))
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Where cargo-deny is: on PATH if it is the right version, else in our cache, built once.
///
/// # Errors
/// When it cannot be built.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    let found = |program: &Path| {
        let out = Command::new(program).arg("--version").output();
        out.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).trim().ends_with(CARGO_DENY))
    };
    let on_path = PathBuf::from("cargo-deny");
    if found(&on_path) {
        return Ok(on_path);
    }
    let cache = cache()?.join(format!("cargo-deny-{CARGO_DENY}"));
    let cached = cache.join("bin/cargo-deny");
    if !found(&cached) {
        // Without optimisation and its downloader of advisories it is built in a fraction of the time, and runs as fast as we
        // need it.
        Command::new(env!("CARGO"))
            .args(["install", "cargo-deny", "--locked", "--debug", "--no-default-features", "--quiet"])
            .args(["--version", CARGO_DENY, "--root"])
            .arg(&cache)
            .env_remove("CARGO_TARGET_DIR")
            .current_dir("/")
            .output()
            .context("cargo cannot be started")
            .and_then(succeeded)?;
    }
    Ok(cached)
}

/// Where tools are kept between runs.
fn cache() -> Result<PathBuf> {
    let folder = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    Ok(folder.or_else(home).context("neither XDG_CACHE_HOME nor HOME is set")?.join("kuryr"))
}
