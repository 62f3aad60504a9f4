//! What the lab is doing, on standard error: a spinner on a terminal, else one plain line per finished step.

use std::future::Future;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

/// Shows steps as they run and what they took.
pub(crate) struct Progress {
    terminal: bool,
    started: Instant,
}

impl Progress {
    /// Starts the clock.
    pub(crate) fn start() -> Progress {
        Progress { terminal: std::io::stderr().is_terminal(), started: Instant::now() }
    }

    /// Runs one step and shows its name, its own note about what it did, and its time.
    pub(crate) async fn step<T>(&self, name: &str, work: impl Future<Output = Result<(T, String)>>) -> Result<T> {
        let bar = self.terminal.then(|| spinner(name));
        let begun = Instant::now();
        let result = work.await;
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        let (mark, note) = match &result {
            Ok((_, note)) => ("ok", note.as_str()),
            Err(_) => ("FAILED", ""),
        };
        self.line(&format!(
            "{mark:<6} {:>6} ms  {name}{}{note}",
            begun.elapsed().as_millis(),
            if note.is_empty() { "" } else { ": " }
        ));
        result.map(|(value, _)| value)
    }

    /// Time since the lab started.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn line(&self, text: &str) {
        // Nobody reads any more: nothing to do about it.
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

fn spinner(name: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(80));
    bar
}
