//! The process the user started: it puts the lab into namespaces, hands on signals, and removes the state directory.

use std::env;
use std::fs;
use std::io::Write as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::{namespaces, program::Executables, state::StateDir};

/// Runs the lab in namespaces of its own and waits for its end.
pub(crate) fn run() -> Result<ExitCode> {
    // Before anything is set up: without them there is nothing to show.
    Executables::find()?;
    let state = StateDir::create(&state_parent()?)?;
    let status = match run_in(state.path()) {
        Ok(status) => status,
        Err(error) => {
            state.remove()?;
            return Err(error);
        }
    };
    let code = code_of(status);
    if code == FAILED && state.path().join("logs").is_dir() {
        // The report names the logs. They stay until the next run, which takes them for a dead owner's.
        // Nobody reads any more: nothing to do about it.
        let _ = writeln!(std::io::stderr(), "The logs stay in {} until the next run.", state.path().display());
    } else {
        state.remove()?;
    }
    Ok(ExitCode::from(code))
}

/// Exit code when the lab did not do what it promises.
pub(crate) const FAILED: u8 = 1;
/// Exit code after Ctrl-C (128 + SIGINT).
pub(crate) const INTERRUPTED: u8 = 130;

fn run_in(state: &Path) -> Result<ExitStatus> {
    namespaces::prepare_for_child()?;
    // From here on the kernel refuses threads to this process: the next it clones must be that child.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(supervise(state))
}

/// Starts the lab and waits for its end. A signal asks it to end; a second one ends it.
async fn supervise(state: &Path) -> Result<ExitStatus> {
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let mut child_changed = listen(SignalKind::child())?;
    let (mut interrupt, mut terminate, mut hangup) =
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?);

    let mut world = Command::new(env::current_exe().context("cannot find our own executable")?)
        .args(env::args_os().skip(1))
        .arg("--inside")
        .arg(state)
        // Its standard input tells the child whether we live; see `world::tie_to_parent`.
        .stdin(Stdio::piped())
        // Ctrl-C reaches this process only, so that the lab can end in order.
        .process_group(0)
        .spawn()
        .context("cannot start the lab")?;
    let pid = Pid::from_child(&world);
    let mut next = Signal::TERM;
    loop {
        if let Some(status) = world.try_wait().context("cannot wait for the lab")? {
            return Ok(status);
        }
        tokio::select! {
            _ = child_changed.recv() => continue,
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        // Not waited for yet, so the number is still its own.
        kill_process(pid, next).context("cannot signal the lab")?;
        next = Signal::KILL;
    }
}

fn code_of(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(FAILED),
        (None, Some(9)) => INTERRUPTED,
        _ => FAILED,
    }
}

/// The directory for temporary files. Every node has a `/run` of its own, so ours must be outside of it.
fn state_parent() -> Result<PathBuf> {
    let parent = env::temp_dir();
    let parent = if parent.starts_with("/run") { PathBuf::from("/tmp") } else { parent };
    if !parent.is_dir() {
        bail!("the directory for temporary files {} is not there; make it, or set TMPDIR to another", parent.display());
    }
    Ok(parent)
}

/// Makes a subdirectory of the state directory.
pub(crate) fn subdirectory(state: &Path, name: &str) -> Result<PathBuf> {
    let path = state.join(name);
    if let Err(error) = fs::create_dir(&path) {
        bail!("cannot make {}: {error}", path.display());
    }
    Ok(path)
}
