//! `cargo xtask bed`: the real OpenStack and the real Kubernetes that tests run against, on this machine.
//!
//! The scripts in `beds/` do the work, and each of them can be read and run on its own; this file chooses which of them run, with what.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use comfy_table::{Table, presets};

use crate::executables::Executables;
use crate::{executables, real};

/// `cargo xtask bed …`
#[derive(Args, Debug)]
pub(crate) struct Bed {
    #[command(subcommand)]
    command: BedCommand,
}

#[derive(Subcommand, Debug)]
enum BedCommand {
    /// Start what is not running yet; without a part, everything
    Up {
        #[arg(default_value = "kubernetes")]
        part: Part,
    },
    /// End it and leave nothing behind; without a part, everything
    Down {
        #[arg(default_value = "openstack")]
        part: Part,
    },
    /// Show what runs
    Status,
    /// Run a command inside a node: its network, its /run, /etc/cni, /opt/cni, /var/lib/kubelet and so on
    Exec {
        /// h1 or h2
        node: String,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Print the folder with the Kubernetes executables, building them first if need be ($KUBE_BIN wins)
    Executables,
    /// Run Kuryr in the bed and check what it promises, with real packets; brings up what is not up, and down again what it brought up
    Test {
        /// Checks to run, or `processes` or `image` for all of a kind; without any, all that need no image
        checks: Vec<String>,
        /// Leave everything up afterwards
        #[arg(long)]
        keep: bool,
    },
    /// Measure Kuryr in the bed (part of `cargo xtask bench`); brings up what is not up, and down again what it brought up
    #[command(hide = true)]
    Bench {
        /// Few rounds, to see that all is well
        #[arg(long)]
        short: bool,
        /// Leave everything up afterwards
        #[arg(long)]
        keep: bool,
    },
    /// Kuryr itself in the bed: a controller beside the API server, a daemon and the plugin on every node
    Kuryr {
        #[command(subcommand)]
        action: KuryrAction,
    },
}

#[derive(Subcommand, Debug)]
enum KuryrAction {
    /// Build, install and start it
    Up,
    /// End it; pods stay as they are
    Down,
}

/// Kubernetes stands on OpenStack (its nodes are OVN chassis): up starts what is below, down ends what is above.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Openstack,
    Kubernetes,
}

/// Carry out one `bed` command; the exit code is that of the program it ran.
///
/// # Errors
/// When a script or program cannot be started, or the bed is not in the state the command needs.
pub(crate) fn run(bed: &Bed) -> Result<ExitCode> {
    match &bed.command {
        BedCommand::Up { part } => up(*part),
        BedCommand::Down { part: Part::Kubernetes } => script("kubernetes/down.sh", &[]),
        BedCommand::Down { part: Part::Openstack } => script("openstack/down.sh", &[]),
        BedCommand::Status => status(),
        BedCommand::Exec { node, command } => Ok(code(node_command(node, command)?.status().context("nsenter")?)),
        BedCommand::Executables => {
            println!("{}", kube_bin()?.display());
            Ok(ExitCode::SUCCESS)
        }
        BedCommand::Test { checks, keep } => {
            let checks = real::chosen(checks)?;
            real::build(&checks)?;
            with_bed(|| real::run(&checks), *keep)
        }
        BedCommand::Bench { short, keep } => {
            // Before the bed is up, which keeps half of the machine busy.
            let executables = executables::build()?;
            let measure = || {
                kuryr_up_as_shipped(&executables)?;
                real::speed::run(*short)
            };
            with_bed(measure, *keep)
        }
        BedCommand::Kuryr { action: KuryrAction::Up } => kuryr_up().map(|()| ExitCode::SUCCESS),
        BedCommand::Kuryr { action: KuryrAction::Down } => script("kuryr/down.sh", &[]),
    }
}

fn up(part: Part) -> Result<ExitCode> {
    // One clock for the steps of both scripts.
    let begun = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs_f64();
    let begun = begun.to_string();
    let clock = ("BED_T0", begun.as_ref());
    let started = script("openstack/up.sh", &[clock])?;
    if part == Part::Openstack || started != ExitCode::SUCCESS {
        return Ok(started);
    }
    script("kubernetes/up.sh", &[clock, ("KUBE_BIN", kube_bin()?.as_os_str())])
}

/// Builds Kuryr quickly, and starts it as processes of the bed.
///
/// # Errors
/// When it does not compile or does not come up.
pub(crate) fn kuryr_up() -> Result<()> {
    let built = Command::new(env!("CARGO"))
        .args(["build", "-p", "kuryr", "-p", "kuryr-cni"])
        .status()
        .context("cargo build")?;
    if !built.success() {
        bail!("Kuryr does not compile; what is wrong is above");
    }
    kuryr_up_from(&target_dir().join("debug"))
}

/// Kuryr as it is shipped: what is measured.
fn kuryr_up_as_shipped(executables: &Executables) -> Result<()> {
    // The bed takes them from one folder.
    let folder = target_dir().join("xtask/shipped");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for (executable, name) in [(&executables.kuryr, "kuryr"), (&executables.plugin, "kuryr-cni")] {
        fs::copy(executable, folder.join(name)).with_context(|| executable.display().to_string())?;
    }
    kuryr_up_from(&folder)
}

fn kuryr_up_from(folder: &Path) -> Result<()> {
    if !state_dir().join("kubeconfig").exists() {
        bail!("there is no Kubernetes in {}: run `cargo xtask bed up` first", state_dir().display());
    }
    let started = script("kuryr/up.sh", &[("KUBE_BIN", kube_bin()?.as_os_str()), ("KURYR_BIN", folder.as_os_str())])?;
    if started != ExitCode::SUCCESS {
        bail!("Kuryr did not come up; what is wrong is above");
    }
    Ok(())
}

/// Does something in a bed; down goes what was not up before.
fn with_bed(work: impl FnOnce() -> Result<ExitCode>, keep: bool) -> Result<ExitCode> {
    let was_up = state_dir().join("kubeconfig").exists();
    let started = up(Part::Kubernetes)?;
    // A failure is told after the bed is down, too.
    let worked = if started == ExitCode::SUCCESS { work() } else { Ok(started) };
    if !was_up && !keep {
        script("openstack/down.sh", &[])?;
    }
    worked
}

/// Where the bed keeps everything it writes: `$KURYR_BED_DIR`, by default /var/lib/kuryr-bed.
pub(crate) fn state_dir() -> PathBuf {
    std::env::var_os("KURYR_BED_DIR").map_or_else(|| PathBuf::from("/var/lib/kuryr-bed"), PathBuf::from)
}

/// The folder with kubectl, cnitool and the rest; builds them on first use.
///
/// # Errors
/// When the build fails; what to do is on standard error.
pub(crate) fn kube_bin() -> Result<PathBuf> {
    built_by("kubernetes/build.sh")
}

/// The real `helm`, built if it is not there yet.
///
/// # Errors
/// When it cannot be built.
pub(crate) fn helm() -> Result<PathBuf> {
    built_by("helm/build.sh")
}

/// CoreDNS on every node, as an image; built if it is not there yet.
///
/// # Errors
/// When it cannot be built or imported.
pub(crate) fn coredns_image() -> Result<()> {
    let coredns = built_by("coredns/build.sh")?;
    script_quietly("coredns/up.sh", &[], &[("COREDNS", coredns.as_os_str()), ("KUBE_BIN", kube_bin()?.as_os_str())])
}

/// The path a script of `beds/` prints when it has built what it is about.
fn built_by(script: &str) -> Result<PathBuf> {
    let out = Command::new(beds().join(script))
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("beds/{script}"))?;
    if !out.status.success() {
        bail!("beds/{script} could not build its executables");
    }
    Ok(PathBuf::from(String::from_utf8(out.stdout)?.trim()))
}

/// A command that will run inside a node's network and mount namespaces.
///
/// # Errors
/// When the node is not up.
pub(crate) fn node_command(node: &str, command: &[String]) -> Result<Command> {
    let pin = state_dir().join("nodes").join(node).join("pin/mnt");
    if !pin.exists() {
        bail!("node {node} is not up: run `cargo xtask bed up`, or see `cargo xtask bed status`");
    }
    let mut nsenter = Command::new("nsenter");
    nsenter
        .arg(format!("--mount={}", pin.display()))
        .arg(format!("--net=/run/netns/bed-{node}"))
        .arg("--")
        .args(command);
    Ok(nsenter)
}

/// The checkout's root: what cargo says now, so that a checkout can be moved.
fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&manifest).join("..")
}

fn beds() -> PathBuf {
    root().join("beds")
}

/// Where cargo builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Run one of the scripts of `beds/`.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn script(name: &str, settings: &[(&str, &OsStr)]) -> Result<ExitCode> {
    let path = beds().join(name);
    let status =
        Command::new(&path).envs(settings.iter().copied()).status().with_context(|| format!("{}", path.display()))?;
    Ok(code(status))
}

/// Run one of the scripts of `beds/` without its output; a failure carries what it said.
///
/// # Errors
/// When it cannot be started or fails.
pub(crate) fn script_quietly(name: &str, arguments: &[&str], settings: &[(&str, &OsStr)]) -> Result<()> {
    let mut command = Command::new(beds().join(name));
    let out = command.args(arguments).envs(settings.iter().copied()).output().with_context(|| name.to_owned())?;
    if !out.status.success() {
        bail!("{name} {}: {}", arguments.join(" "), String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}

fn code(status: std::process::ExitStatus) -> ExitCode {
    ExitCode::from(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1))
}

fn status() -> Result<ExitCode> {
    let run = state_dir().join("run");
    let Ok(entries) = fs::read_dir(&run) else {
        println!("nothing is up in {}", state_dir().display());
        return Ok(ExitCode::SUCCESS);
    };
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let mut rows = BTreeMap::new();
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(".pid")) else {
            continue;
        };
        let record = fs::read_to_string(&path)?;
        rows.insert((part_of(name), name.to_owned()), Process::from_record(&record, boot.trim()));
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["part", "process", "pid", "state", "since", "RSS MiB"]);
    let mut dead = 0;
    for ((part, name), process) in &rows {
        match process {
            Some(p) => table.add_row([
                *part,
                name,
                &p.pid.to_string(),
                "runs",
                &format!("{} s", p.age_s),
                &format!("{}", p.rss_kib / 1024),
            ]),
            None => {
                dead += 1;
                table.add_row([*part, name, "-", "DEAD", "-", "-"])
            }
        };
    }
    println!("{table}");
    if dead > 0 {
        println!(
            "{dead} dead; logs are in {}; `cargo xtask bed up` starts what is missing",
            state_dir().join("log").display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn part_of(name: &str) -> &'static str {
    match name {
        n if n.starts_with("kuryr") || n.ends_with("-daemon") => "kuryr",
        n if n.starts_with("kube") || n == "etcd" || n.ends_with("-kubelet") || n.ends_with("-containerd") => {
            "kubernetes"
        }
        _ => "openstack",
    }
}

/// A process of the bed that runs, as its record and /proc tell.
struct Process {
    pid: u32,
    age_s: u64,
    rss_kib: u64,
}

impl Process {
    /// `None` when the process that the record ("pid start-time boot") names has ended, even if its pid is in use again.
    fn from_record(record: &str, boot: &str) -> Option<Self> {
        let mut fields = record.split_whitespace();
        let pid: u32 = fields.next()?.parse().ok()?;
        let (ticks, recorded_boot) = (fields.next()?, fields.next()?);
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, after_name) = stat.rsplit_once(") ")?;
        let started: u64 = after_name.split(' ').nth(19).filter(|t| *t == ticks)?.parse().ok()?;
        if recorded_boot != boot {
            return None;
        }
        let uptime: f64 = fs::read_to_string("/proc/uptime").ok()?.split(' ').next()?.parse().ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let rss_kib = status
            .lines()
            .find_map(|l| l.strip_prefix("VmRSS:"))
            .and_then(|v| v.split_whitespace().next()?.parse().ok())
            .unwrap_or(0);
        // Clock ticks are 1/100 s on every Linux this runs on (USER_HZ).
        let age_s = (uptime as u64).saturating_sub(started / 100);
        Some(Self { pid, age_s, rss_kib })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record_of(pid: u32) -> (String, String) {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let ticks = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().to_owned();
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned();
        (ticks, boot)
    }

    #[test]
    fn a_record_is_believed_only_if_pid_start_and_boot_agree() {
        let pid = std::process::id();
        let (ticks, boot) = record_of(pid);
        assert!(Process::from_record(&format!("{pid} {ticks} {boot}\n"), &boot).is_some());
        assert!(Process::from_record(&format!("{pid} 1 {boot}"), &boot).is_none());
        assert!(Process::from_record(&format!("{pid} {ticks} another"), &boot).is_none());
        assert!(Process::from_record("", &boot).is_none());
    }

    #[test]
    fn every_process_belongs_to_a_part() {
        assert_eq!(part_of("h1-kubelet"), "kubernetes");
        assert_eq!(part_of("kuryr-controller"), "kuryr");
        assert_eq!(part_of("h2-daemon"), "kuryr");
        assert_eq!(part_of("h1-vswitchd"), "openstack");
    }
}
