//! The real programs the lab runs: their command lines, logs and ends.

use std::env;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use anyhow::{Context as _, Result, bail};
use tokio::sync::watch;

/// How many lines of a log a failure quotes.
const TAIL: usize = 20;

/// The executables built by `cargo lab`.
#[derive(Clone)]
pub(crate) struct Executables {
    /// `kuryr`: controller and daemon.
    pub(crate) kuryr: PathBuf,
    /// `kuryr-cni`: the plugin.
    pub(crate) plugin: PathBuf,
}

impl Executables {
    /// They lie beside this one.
    pub(crate) fn find() -> Result<Executables> {
        let own = env::current_exe().context("cannot find our own executable")?;
        let beside = |name: &str| {
            let path = own.with_file_name(name);
            if !path.is_file() {
                bail!(
                    "{} is missing. `cargo lab` builds it; or run `cargo build -p kuryr -p kuryr-cni -p kuryr-lab`",
                    path.display()
                );
            }
            Ok(path)
        };
        Ok(Executables { kuryr: beside("kuryr")?, plugin: beside("kuryr-cni")? })
    }
}

/// A running program. It needs no stopping: it ends with the lab's PID namespace.
pub(crate) struct Program {
    name: String,
    log: PathBuf,
    ended: watch::Receiver<Option<ExitStatus>>,
}

impl fmt::Display for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl Program {
    /// Starts a program in the calling thread's namespaces, its output going to `logs/NAME.log`.
    pub(crate) fn start(name: &str, mut command: Command, logs: &Path) -> Result<Program> {
        let log = logs.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("cannot share a log file")?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let (end, ended) = watch::channel(None);
        thread::spawn(move || {
            if let Ok(status) = child.wait() {
                end.send_replace(Some(status));
            }
        });
        Ok(Program { name: name.to_owned(), log, ended })
    }

    /// Waits until the program ends, which it should not, and says so.
    pub(crate) async fn end(&self) -> anyhow::Error {
        let mut ended = self.ended.clone();
        let status = ended.wait_for(Option::is_some).await.ok().and_then(|status| *status);
        match status {
            Some(status) => anyhow::anyhow!("{} ended ({status}); see its log below", self.name),
            None => anyhow::anyhow!("{} ended, nobody knows how", self.name),
        }
    }

    /// The last lines of its log, with its path.
    pub(crate) fn tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(TAIL)..];
        let mut tail = format!("--- {}, the last of {}:\n", self.name, self.log.display());
        if last.is_empty() {
            tail.push_str("(nothing)\n");
        }
        for line in last {
            tail.push_str(line);
            tail.push('\n');
        }
        tail
    }
}
