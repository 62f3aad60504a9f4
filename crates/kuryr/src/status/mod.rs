//! `kuryr status`: one screen that says how Kuryr is, and what pods and Services wait for.
//!
//! ```text
//! seen (asks the cluster and the cloud) ─► judge (pure) ─► report (one value) ─► page (pure) | JSON
//! ```

mod cures;
mod judge;
mod page;
mod report;
pub(crate) mod seen;

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::conf::ConfError;
use crate::conf::options::{kuryr, neutron_defaults};
use crate::process::Exit;
use crate::reach::{self, Target};
use crate::screen::Screen;
use report::Status;
use seen::{Asked, CloudAsked};

/// How often `--wait` looks.
const AGAIN: Duration = Duration::from_secs(2);

/// What `kuryr status` is told.
#[derive(Args, Clone, Debug)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Wait until all is well, at most so many seconds (300 if not said)
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "300")]
    wait: Option<u64>,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t = Output::Screen)]
    output: Output,
}

/// How a result is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Screen,
    /// For programs
    Json,
}

/// Shows how Kuryr is. Ends with 0 if all is well, 1 if not, 2 if the command line or the configuration must be corrected.
pub(crate) fn run(args: &StatusArgs) -> Exit {
    let conf = match args.target.conf() {
        Ok(conf) => conf,
        Err(errors) => return crate::process::refuse(&errors),
    };
    reach::run(async {
        let cloud = match reach::cloud_settings(&conf) {
            Ok(None) => None,
            Ok(Some(settings)) => Some(CloudAsked {
                address: settings.auth_url.clone(),
                client: reach::cloud(settings).map_err(|error| format!("{error:#}")),
                project: conf.some_text(&neutron_defaults::project)?,
            }),
            Err(error @ ConfError::Unusable(_)) => {
                let unusable = |why| CloudAsked { address: "the cloud".to_owned(), client: Err(why), project: None };
                Some(unusable(error.to_string()))
            }
            Err(error) => return Err(error.into()),
        };
        let asked = Asked {
            kube: args.target.kube(&conf).await?,
            namespace: args.target.namespace.clone(),
            services: conf.flag(&kuryr::services)?,
            cloud,
        };
        let limit = args.wait.map(Duration::from_secs);
        let status = wait(&asked, limit, |line| eprintln!("{line}")).await;
        show(&status, args.output)?;
        Ok(if status.well { Exit::Done } else { Exit::Failed })
    })
}

/// Looks once; or, with a limit, until all is well.
async fn wait(asked: &Asked, limit: Option<Duration>, mut progress: impl FnMut(&str)) -> Status {
    let start = Instant::now();
    let mut last = String::new();
    loop {
        let status = judge::judge(&seen::look(asked).await);
        if status.well || limit.is_none_or(|limit| start.elapsed() >= limit) {
            return status;
        }
        let line = page::line(&status);
        if line != last {
            progress(&format!("{:>4} s  {line}", start.elapsed().as_secs()));
            last = line;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn show(status: &Status, output: Output) -> Result<()> {
    let text = match output {
        Output::Screen => page::page(status, Screen::of_stdout(), Timestamp::now()),
        Output::Json => serde_json::to_string_pretty(status).context("the status cannot be written as JSON")? + "\n",
    };
    crate::print(&text);
    Ok(())
}

#[cfg(test)]
mod tests;
