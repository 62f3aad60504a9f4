//! Namespaces: leaving the host's, making a node's and a pod's, doing something inside one.
//!
//! Everything the lab makes lives in namespaces that only its own processes hold. When the last of them ends, however
//! it ends, the kernel frees them with every interface, mount and process inside: cleaning up needs no code that runs.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// The calling thread's network namespace; `/proc/self` would be the main thread's.
const THIS_NETNS: &str = "/proc/thread-self/ns/net";

/// Makes the next child process the first of a new PID namespace: when it ends, the kernel kills all the others.
///
/// Without the right to do so (no root) it first makes a user namespace in which it is root. Call it before any thread
/// exists; the kernel refuses a new user namespace to a process with threads.
pub(crate) fn prepare_for_child() -> Result<()> {
    match unshare(UnshareFlags::NEWPID) {
        Err(Errno::PERM) => {}
        result => return result.context("cannot make a PID namespace"),
    }
    let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWPID).context(
        "cannot make a user namespace. Run as root, or allow it: \
         `sysctl -w kernel.unprivileged_userns_clone=1` on older Debian, \
         `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` where AppArmor restricts it",
    )?;
    let map = |file: &str, content: String| fs::write(file, content).with_context(|| format!("cannot write {file}"));
    map("/proc/self/uid_map", format!("0 {user} 1"))?;
    // An unprivileged process may map its group only after giving up setgroups(2) (`man 7 user_namespaces`).
    map("/proc/self/setgroups", "deny".to_owned())?;
    map("/proc/self/gid_map", format!("0 {group} 1"))
}

/// Whether [`prepare_for_child`] had to make a user namespace: not all users are known here, as on the host they are.
pub(crate) fn is_in_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().ne(["0", "0", "4294967295"])
}

/// Moves the process into network and mount namespaces of its own. Call it before any thread exists: threads keep
/// the namespaces they were born in.
pub(crate) fn leave_host() -> Result<()> {
    unshare(UnshareFlags::NEWNET | UnshareFlags::NEWNS).context("cannot make network and mount namespaces")?;
    keep_mounts_to_ourselves()?;
    // The old /proc shows the host's PIDs. In some containers a new one may not be mounted; the old one does, because
    // only /proc/self and /proc/thread-self are needed and they are right in both.
    let _ = mount("proc", "/proc", "proc", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, None);
    Ok(())
}

/// Moves the calling thread into a node's network and mount namespaces, with a `/run` of the node's own.
pub(crate) fn become_node() -> Result<()> {
    unshare(UnshareFlags::NEWNET | UnshareFlags::NEWNS).context("cannot make a node's namespaces")?;
    keep_mounts_to_ourselves()?;
    mount("tmpfs", "/run", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, None)
        .context("cannot mount the node's /run")?;
    fs::create_dir("/run/netns").context("cannot make the node's /run/netns")
}

/// The calling thread's network namespace, open.
pub(crate) fn this_netns() -> Result<File> {
    File::open(THIS_NETNS).with_context(|| format!("cannot open {THIS_NETNS}"))
}

/// Makes an empty network namespace and pins it to `path`, as container runtimes do; `prepare` runs inside it.
pub(crate) fn pin_new_netns(path: &Path, prepare: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    on_scratch_thread(|| {
        unshare(UnshareFlags::NEWNET).context("cannot make a network namespace")?;
        prepare()?;
        File::create_new(path).with_context(|| format!("cannot create {}", path.display()))?;
        mount_bind(THIS_NETNS, path).with_context(|| format!("cannot pin a network namespace to {}", path.display()))
    })
}

/// Lets go of a pinned network namespace. One already gone is fine.
pub(crate) fn unpin_netns(path: &Path) -> Result<()> {
    match unmount(path, UnmountFlags::DETACH) {
        // Not there, or there but not a mount point.
        Ok(()) | Err(Errno::NOENT | Errno::INVAL) => {}
        Err(errno) => return Err(errno).with_context(|| format!("cannot unmount {}", path.display())),
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Runs `work` inside the network namespace pinned to `path`.
pub(crate) fn inside_netns<T: Send>(path: &Path, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    on_scratch_thread(|| {
        let netns = File::open(path).with_context(|| format!("cannot open network namespace {}", path.display()))?;
        move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("cannot enter network namespace {}", path.display()))?;
        work()
    })
}

/// A thread that changes its namespaces must not go on with other work in the wrong place, so each gets its own.
fn on_scratch_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| scope.spawn(work).join()).map_err(|_| anyhow!("a thread in a namespace panicked"))?
}

fn keep_mounts_to_ourselves() -> Result<()> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("cannot make the mounts private")
}

#[expect(deprecated, reason = "the unsafe successor guards against UnshareFlags::FILES, which no caller here passes")]
fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    rustix::thread::unshare(flags)
}
