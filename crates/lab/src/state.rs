//! The one directory of a running lab: configuration files and logs.
//!
//! The directory is locked (flock) by the process the user started. The kernel drops the lock with the process, so a
//! directory that can be locked has lost its owner, and the next run removes it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// A state directory, locked.
pub(crate) struct StateDir {
    path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Removes what dead labs of this user left under `parent` and makes a new directory there.
    pub(crate) fn create(parent: &Path) -> Result<StateDir> {
        let prefix = format!("kuryr-lab-{}-", rustix::process::getuid().as_raw());
        remove_abandoned(parent, &prefix)?;
        for number in 1..1000 {
            let path = parent.join(format!("{prefix}{number}"));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("cannot make {}", path.display())),
                // Between making and locking it, another run may have taken it for an abandoned one: then try the next.
                Ok(()) => {
                    if let Some(lock) = lock(&path)? {
                        return Ok(StateDir { path, _lock: lock });
                    }
                }
            }
        }
        anyhow::bail!("{} holds the directories of 1000 running labs; end some", parent.display())
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it.
    pub(crate) fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.path).with_context(|| format!("cannot remove {}", self.path.display()))
    }
}

/// Locks a directory; `None` if somebody else holds it or it is not there any more.
fn lock(path: &Path) -> Result<Option<File>> {
    let directory = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        directory => directory.with_context(|| format!("cannot open {}", path.display()))?,
    };
    match directory.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", path.display()));
        }
        Ok(()) => {}
    }
    let still_there =
        fs::metadata(path).is_ok_and(|now| directory.metadata().is_ok_and(|then| now.ino() == then.ino()));
    Ok(still_there.then_some(directory))
}

fn remove_abandoned(parent: &Path, prefix: &str) -> Result<()> {
    for entry in fs::read_dir(parent).with_context(|| format!("cannot list {}", parent.display()))? {
        let Ok(entry) = entry else { continue };
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix))
            && entry.metadata().is_ok_and(|data| data.is_dir() && data.uid() == rustix::process::getuid().as_raw());
        if ours && let Some(_lock) = lock(&entry.path())? {
            fs::remove_dir_all(entry.path()).with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_owners_directory_is_removed_and_a_living_owners_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let alive = StateDir::create(parent.path()).unwrap();
        let dead = StateDir::create(parent.path()).unwrap();
        let dead_path = dead.path().to_owned();
        fs::write(dead_path.join("file"), "content").unwrap();
        drop(dead);
        fs::write(parent.path().join("bystander"), "").unwrap();

        let next = StateDir::create(parent.path()).unwrap();
        assert!(alive.path().is_dir());
        assert!(!dead_path.join("file").exists());
        assert_ne!(next.path(), alive.path());
        assert!(parent.path().join("bystander").exists());

        next.remove().unwrap();
        alive.remove().unwrap();
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }
}
