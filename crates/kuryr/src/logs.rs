//! Where log lines go and which there are.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::program_name;
use crate::conf::options::{Reader, default, kuryr};
use crate::conf::{Conf, ConfError};

/// What to log, and where.
#[derive(Debug)]
pub(crate) struct Logs {
    levels: Targets,
    json: bool,
    colour: bool,
    file: Option<File>,
    stderr: bool,
}

impl Logs {
    /// Reads the options and opens the log file.
    ///
    /// # Errors
    /// Levels that are none; a file that cannot be written.
    pub(crate) fn read(conf: &Conf, program: Reader) -> Result<Logs, ConfError> {
        let levels = targets(conf)?;
        let file = match path(conf, program)? {
            None => None,
            Some(path) => Some(open(&path).map_err(|error| unwritable(&path, &error))?),
        };
        Ok(Logs {
            levels,
            json: conf.flag(&default::use_json)?,
            colour: conf.flag(&default::log_color)? || io::stderr().is_terminal(),
            stderr: file.is_none() || conf.flag(&default::use_stderr)?,
            file,
        })
    }

    /// Reads the options as a start would, and leaves no log file behind.
    ///
    /// # Errors
    /// As [`Logs::read`].
    pub(crate) fn look(conf: &Conf, program: Reader) -> Result<(), ConfError> {
        targets(conf)?;
        let Some(path) = path(conf, program)? else { return Ok(()) };
        let looked = if path.exists() {
            OpenOptions::new().append(true).open(&path).map(drop)
        } else {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            std::fs::read_dir(folder).map(drop)
        };
        looked.map_err(|error| unwritable(&path, &error))
    }

    /// From now on everything goes there.
    pub(crate) fn start(self) {
        let file = self.file.map(|file| layer(Arc::new(file), self.json, false));
        let stderr = self.stderr.then(|| layer(io::stderr, self.json, self.colour));
        tracing_subscriber::registry().with(self.levels).with(file).with(stderr).init();
    }
}

fn targets(conf: &Conf) -> Result<Targets, ConfError> {
    match conf.some_text(&kuryr::log_levels)? {
        None => Ok(levels(conf.flag(&default::debug)?)),
        Some(text) => text
            .parse()
            .map_err(|_| conf.refuse(&kuryr::log_levels, &text, "write levels like kuryr_controller=debug,info")),
    }
}

fn unwritable(path: &Path, error: &io::Error) -> ConfError {
    let shown = path.display();
    ConfError::Unusable(format!(
        "the log file {shown} cannot be written: {error}; correct [DEFAULT] log_file and log_dir"
    ))
}

/// In detail means ours in detail; libraries would drown it.
fn levels(debug: bool) -> Targets {
    let ours = ["kuryr", "kuryr_controller", "kuryr_node", "kuryr_openstack", "kuryr_api"];
    let level = if debug { LevelFilter::DEBUG } else { LevelFilter::INFO };
    let levels = Targets::new().with_default(LevelFilter::INFO).with_targets(ours.map(|target| (target, level)));
    // It repeats as an error what the caller gets, judges and tells.
    levels.with_target("kube_client::client::builder", LevelFilter::OFF)
}

fn path(conf: &Conf, program: Reader) -> Result<Option<PathBuf>, ConfError> {
    let folder = conf.some_text(&default::log_dir)?;
    let file = conf.some_text(&default::log_file)?;
    Ok(match (folder, file) {
        (Some(folder), Some(file)) => Some(Path::new(&folder).join(file)),
        (Some(folder), None) => Some(Path::new(&folder).join(format!("{}.log", program_name(program)))),
        (None, file) => file.map(PathBuf::from),
    })
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn layer<S, W>(writer: W, json: bool, colour: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer).with_ansi(colour && !json);
    if json { layer.json().flatten_event(true).boxed() } else { layer.boxed() }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn debug_is_for_our_own_parts() {
        assert!(levels(true).would_enable("kuryr_node::plug", &Level::DEBUG));
        assert!(!levels(true).would_enable("hyper::client", &Level::DEBUG));
        assert!(!levels(false).would_enable("kuryr_node::plug", &Level::DEBUG));
        assert!(levels(false).would_enable("hyper::client", &Level::INFO));
        assert!(!levels(true).would_enable("kube_client::client::builder", &Level::ERROR), "told twice");
    }
}
