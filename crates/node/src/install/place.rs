//! One file of ours on the host, and how it is looked at and exchanged while others execute and read it.
//!
//! An installed file is never opened for writing: whoever executes it would get "text file busy", and whoever reads it
//! half a file. The new one is written aside in the same folder (so that it inherits the label SELinux wants there),
//! synced, and renamed over the old one, which lives on for those who have it open. The name aside begins with a dot and
//! ends in nothing a runtime reads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Read};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::plan::Found;

/// A file aside that is older than this is not being written any more. Two daemons may be at work at once while a
/// DaemonSet is updated.
const ABANDONED: Duration = Duration::from_secs(60);

/// Nobody but the owner may write.
const OTHERS_WRITE: u32 = 0o022;

/// Where a file of ours belongs.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    dir: PathBuf,
    name: &'static str,
    /// Mode it is made with.
    mode: u32,
    /// What its owner must be permitted.
    needed: u32,
    /// The option that names the folder, for errors.
    option: &'static str,
}

/// What could not be done, why, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot {tried} {}: {source}; {cure}", path.display())]
pub(crate) struct InstallError {
    /// The operation, an infinitive.
    pub(crate) tried: &'static str,
    /// On this file or folder.
    pub(crate) path: PathBuf,
    /// Why.
    pub(crate) source: io::Error,
    /// What to do.
    pub(crate) cure: String,
}

impl Place {
    /// The plugin, in the runtime's folder of plugins.
    pub(crate) fn plugin(dir: &Path) -> Self {
        Self { dir: dir.into(), name: "kuryr-cni", mode: 0o755, needed: 0o500, option: "[kuryr] cni_bin_dir" }
    }

    /// The CNI configuration, in the runtime's folder of configurations.
    pub(crate) fn conflist(dir: &Path) -> Self {
        Self {
            dir: dir.into(),
            name: super::conflist::NAME,
            mode: 0o600,
            needed: 0o400,
            option: "[kuryr] cni_conf_dir",
        }
    }

    /// The whole path.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join(self.name)
    }

    /// The folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is there, compared with what should be.
    ///
    /// # Errors
    /// The folder is missing, or one of the two cannot be read.
    pub(crate) fn compare(&self, wanted: &mut dyn Read) -> Result<Found, InstallError> {
        let path = self.path();
        let failed = |error| self.failed("look at", &path, error);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Missing from a folder that is there, or is the folder missing?
                fs::metadata(&self.dir).map_err(|error| self.failed("look into", &self.dir, error))?;
                return Ok(Found::Missing);
            }
            Err(error) => return Err(failed(error)),
        };
        if !metadata.is_file() {
            return Ok(Found::NotAFile);
        }
        let mut there = BufReader::with_capacity(64 * 1024, File::open(&path).map_err(failed)?);
        if !same(&mut there, wanted).map_err(failed)? {
            return Ok(Found::Different);
        }
        let mode = metadata.permissions().mode() & 0o7777;
        Ok(if mode & self.needed == self.needed && mode & OTHERS_WRITE == 0 { Found::Same } else { Found::Mode(mode) })
    }

    /// Puts `content` there, whole or not at all, also across a loss of power.
    ///
    /// # Errors
    /// The step that failed; what was there is still there.
    pub(crate) fn put(&self, content: &mut dyn Read) -> Result<(), InstallError> {
        let aside = self.aside();
        let path = self.path();
        let written = self.write(&aside, content).map_err(|error| self.failed("write", &aside, error)).and_then(|()| {
            fs::rename(&aside, &path).map_err(|error| self.failed("put the new file in the place of", &path, error))
        });
        if written.is_err() {
            // Whatever is left is removed when it is found again.
            let _ = fs::remove_file(&aside);
        }
        written?;
        self.sync()
    }

    /// Takes the file away.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn remove(&self) -> Result<(), InstallError> {
        remove(&self.path()).map_err(|error| self.failed("remove", &self.path(), error))?;
        self.sync()
    }

    /// Removes one of [`Self::abandoned`].
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn remove_abandoned(&self, path: &Path) -> Result<(), InstallError> {
        remove(path).map_err(|error| self.failed("remove", path, error))
    }

    /// Files aside that nobody is writing any more.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub(crate) fn abandoned(&self) -> Result<Vec<PathBuf>, InstallError> {
        let list = || {
            let mut found = Vec::new();
            for entry in fs::read_dir(&self.dir)? {
                let entry = entry?;
                let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(&self.prefix()));
                if !ours {
                    continue;
                }
                let written = entry.metadata().and_then(|metadata| metadata.modified());
                // One that vanished meanwhile was being written. A clock that was set back makes none old.
                if written.is_ok_and(|written| written.elapsed().is_ok_and(|age| age >= ABANDONED)) {
                    found.push(entry.path());
                }
            }
            Ok(found)
        };
        list().map_err(|error| self.failed("list", &self.dir, error))
    }

    fn write(&self, aside: &Path, content: &mut dyn Read) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(aside)?;
        io::copy(content, &mut file)?;
        // Not left to the process' umask.
        file.set_permissions(fs::Permissions::from_mode(self.mode))?;
        file.sync_all()
    }

    fn sync(&self) -> Result<(), InstallError> {
        let synced = File::open(&self.dir).and_then(|dir| dir.sync_all());
        synced.map_err(|error| self.failed("sync", &self.dir, error))
    }

    fn prefix(&self) -> String {
        format!(".{}.new-", self.name)
    }

    /// A name no other daemon has: in containers all of them are process 1.
    fn aside(&self) -> PathBuf {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.dir.join(format!("{}{}-{}", self.prefix(), std::process::id(), now.as_nanos()))
    }

    /// An error about this place, with its cure.
    pub(crate) fn failed(&self, tried: &'static str, path: &Path, source: io::Error) -> InstallError {
        let option = self.option;
        let cure = match source.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => {
                format!("mount the host's folder at {} or set {option} to where it is", self.dir.display())
            }
            ErrorKind::ReadOnlyFilesystem => format!(
                "mount {} writable; if the host itself keeps it read-only, have the runtime use another folder and set {option} to it",
                self.dir.display()
            ),
            ErrorKind::PermissionDenied => {
                format!("the daemon must be root and permitted to write to {} (SELinux, AppArmor)", self.dir.display())
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make space on the node's disk".to_owned(),
            ErrorKind::IsADirectory => "something else has the name; remove it".to_owned(),
            _ => format!("check {} on the node", self.dir.display()),
        };
        InstallError { tried, path: path.into(), source, cure }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether both give the same bytes, without having them all in memory.
fn same(one: &mut dyn Read, other: &mut dyn Read) -> io::Result<bool> {
    let mut chunks = ([0; 16 * 1024], [0; 16 * 1024]);
    loop {
        let length = fill(one, &mut chunks.0)?;
        if fill(other, &mut chunks.1)? != length || chunks.0[..length] != chunks.1[..length] {
            return Ok(false);
        }
        if length < chunks.0.len() {
            return Ok(true);
        }
    }
}

/// Reads until the chunk is full or there is no more.
fn fill(from: &mut dyn Read, chunk: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < chunk.len() {
        match from.read(&mut chunk[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests;
