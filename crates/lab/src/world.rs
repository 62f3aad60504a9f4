//! The first process of the lab's PID namespace.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::signal::unix::{SignalKind, signal};

use crate::sockets::Sockets;
use crate::{Arguments, namespaces, steps};

/// Runs the lab; the process must have no other thread yet.
pub(crate) fn run(arguments: &Arguments, state: &Path) -> Result<ExitCode> {
    tie_to_parent()?;
    // A socket stays in the namespace it was opened in: these are the user's way in.
    let host = Sockets::open()?;
    namespaces::leave_host()?;
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(async {
        let mut asked_to_end = signal(SignalKind::terminate()).context("cannot listen for signals")?;
        let end = async move { asked_to_end.recv().await };
        steps::run(arguments, state, host, end).await
    })
}

/// Makes the kernel kill this process, and with it the PID namespace, when the process that started it dies.
fn tie_to_parent() -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot tie the lab to its parent")?;
    // It may have died before that; then our standard input, a pipe from it, is closed already.
    let stdin = std::io::stdin();
    let mut lifeline = [PollFd::new(&stdin, PollFlags::IN)];
    poll(&mut lifeline, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).context("cannot look at standard input")?;
    if lifeline[0].revents().contains(PollFlags::HUP) {
        bail!("the process that started the lab is gone");
    }
    Ok(())
}
