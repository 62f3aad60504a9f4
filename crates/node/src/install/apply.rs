//! Looks at the host's files and carries out the plan. Blocking: files, nothing else.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use super::Settings;
use super::conflist;
use super::place::{InstallError, Place};
use super::plan::{Conflist, Seen, Step, plan};

/// What one pass did and found.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    /// Each change with its reason.
    pub(crate) done: Vec<String>,
    /// Configurations of others that the runtime reads instead of ours.
    pub(crate) before_ours: Vec<String>,
    /// What could not be done or looked at.
    pub(crate) errors: Vec<String>,
}

/// The files of one node.
#[derive(Debug)]
pub(crate) struct Installer {
    source: PathBuf,
    socket: PathBuf,
    plugin: Place,
    conflist: Place,
}

impl Installer {
    pub(crate) fn new(settings: Settings, socket: PathBuf) -> Self {
        let Settings { plugin_source, bin_dir, conf_dir, .. } = settings;
        Self { source: plugin_source, socket, plugin: Place::plugin(&bin_dir), conflist: Place::conflist(&conf_dir) }
    }

    /// Looks, and does what is to be done.
    pub(crate) fn bring_about(&self, wanted: &Conflist) -> Pass {
        let mut pass = Pass::default();
        let content = note(&mut pass, self.content());
        // One that cannot be made does not replace one that is there; it can still be taken away.
        let wanted = match wanted {
            Conflist::Present if content.is_none() => &Conflist::AsItIs,
            wanted => wanted,
        };
        let content = content.unwrap_or_default();
        let plugin = self.source().and_then(|mut source| self.plugin.compare(&mut source));
        let seen = Seen {
            plugin: note(&mut pass, plugin),
            conflist: note(&mut pass, self.conflist.compare(&mut content.as_slice())),
            abandoned: self.abandoned(),
        };
        pass.before_ours = conflist::before_ours(self.names());
        for (step, reason) in plan(&seen, wanted) {
            match self.carry_out(&step, &content) {
                Ok(what) => pass.done.push(format!("{what}: {reason}")),
                Err(error) => {
                    pass.errors.push(error.to_string());
                    break;
                }
            }
        }
        pass
    }

    /// Takes the CNI configuration away, for good.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn remove_conflist(&self) -> Result<(), InstallError> {
        self.conflist.remove()
    }

    /// Takes the plugin away, for good. Pods that run need it to end.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn remove_plugin(&self) -> Result<(), InstallError> {
        self.plugin.remove()
    }

    /// What of ours is there, whatever it holds.
    pub(crate) fn there(&self) -> Vec<PathBuf> {
        let places = [self.conflist.path(), self.plugin.path()].into_iter();
        places.filter(|path| fs::symlink_metadata(path).is_ok()).chain(self.abandoned()).collect()
    }

    fn carry_out(&self, step: &Step, content: &[u8]) -> Result<String, InstallError> {
        match step {
            Step::Withdraw => {
                self.conflist.remove()?;
                Ok(format!("{} is taken away, so the node gets no new pods", self.conflist.path().display()))
            }
            Step::Plugin => {
                self.plugin.put(&mut self.source()?)?;
                Ok(format!("{} is installed", self.plugin.path().display()))
            }
            Step::Conflist => {
                self.conflist.put(&mut &*content)?;
                Ok(format!("{} is installed", self.conflist.path().display()))
            }
            Step::Remove(path) => {
                let place = if path.starts_with(self.conflist.dir()) { &self.conflist } else { &self.plugin };
                place.remove_abandoned(path)?;
                Ok(format!("{} is removed", path.display()))
            }
        }
    }

    fn source(&self) -> Result<File, InstallError> {
        File::open(&self.source).map_err(|source| InstallError {
            tried: "open the plugin to install,",
            path: self.source.clone(),
            source,
            cure: "set [kuryr] plugin_source to kuryr-cni's executable (/kuryr-cni in the image)".to_owned(),
        })
    }

    fn content(&self) -> Result<Vec<u8>, InstallError> {
        let path = self.conflist.dir().join(conflist::TEMPLATE);
        let template = match fs::read(&path) {
            Ok(bytes) => Some(bytes),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
            Err(error) => return Err(self.conflist.failed("read", &path, error)),
        };
        conflist::content(template.as_deref(), &self.socket).map_err(|reason| InstallError {
            tried: "use",
            path,
            source: io::Error::new(ErrorKind::InvalidData, reason),
            cure: format!("correct or remove it; until then {} stays as it is", conflist::NAME),
        })
    }

    /// A folder that cannot be listed is told about by the looks at the files in it.
    fn abandoned(&self) -> Vec<PathBuf> {
        [&self.plugin, &self.conflist].into_iter().flat_map(|place| place.abandoned().unwrap_or_default()).collect()
    }

    fn names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.conflist.dir()) else { return Vec::new() };
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
    }
}

fn note<T>(pass: &mut Pass, outcome: Result<T, InstallError>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(error) => {
            pass.errors.push(error.to_string());
            None
        }
    }
}
