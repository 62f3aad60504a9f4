//! `/proc/sys/net`, which shows the network namespace of the thread that looks.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use super::error::{KernelError, Refusal};

/// Writes one setting below `/proc/sys/net/` in the calling thread's network namespace.
///
/// Containers get `/proc/sys` read-only; there the setting is written through a procfs of our own that is mounted
/// nowhere (needs `CAP_SYS_ADMIN`, which entering namespaces needs as well).
///
/// # Errors
/// `ENOENT` if this kernel has no such setting (IPv6 switched off, for example); see [`write_if_present`].
pub fn write(setting: &str, value: &str) -> Result<(), KernelError> {
    let path = format!("/proc/sys/net/{setting}");
    let written = match OpenOptions::new().write(true).open(&path) {
        Ok(mut file) => file.write_all(value.as_bytes()).map_err(Refusal::from),
        Err(error) if error.raw_os_error() == Some(Errno::ROFS.raw_os_error()) => write_through_own(setting, value),
        Err(error) => Err(error.into()),
    };
    written.map_err(|refusal| refusal.to(format!("write {value} to {path}")))
}

/// Like [`write`], but a setting the kernel does not have is no error.
///
/// # Errors
/// If the setting exists and cannot be written.
pub fn write_if_present(setting: &str, value: &str) -> Result<(), KernelError> {
    match write(setting, value) {
        Err(error) if error.is(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// The root of a procfs that is mounted nowhere.
static OWN_PROCFS: OnceLock<Result<OwnedFd, Errno>> = OnceLock::new();

fn write_through_own(setting: &str, value: &str) -> Result<(), Refusal> {
    let root = OWN_PROCFS.get_or_init(|| {
        let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&context)?;
        let restricted =
            MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, restricted)
    });
    let root = root.as_ref().map_err(|errno| Refusal {
        errno: Some(*errno),
        words: format!("/proc/sys is read-only here, and no procfs of our own can be had ({errno})"),
    })?;
    let file = openat(root, format!("sys/net/{setting}"), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(File::from(file).write_all(value.as_bytes())?)
}
