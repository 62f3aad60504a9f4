//! Network namespaces: a file that names one, and threads that live in one.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{fstat, fstatfs};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Magic number of nsfs, the filesystem namespace files live on (linux/magic.h).
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// Stack of a thread that enters a namespace: netlink messages are small and its buffers are on the heap.
const STACK: usize = 256 * 1024;

/// An open file of a network namespace that is not the caller's own.
#[derive(Debug)]
pub struct Netns {
    file: File,
}

/// Why a file names no namespace we may work in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetnsError {
    /// There is no such file.
    #[error("does not exist")]
    Missing,
    /// The file could not be opened or examined.
    #[error("cannot be opened: {0}")]
    Unreadable(String),
    /// Not a namespace file, or of another kind of namespace.
    #[error("is not a network namespace")]
    Foreign,
    /// The namespace this process itself is in.
    #[error("is this daemon's own network namespace")]
    Own,
}

impl Netns {
    /// Opens a namespace file such as `/run/netns/cni-…` or `/proc/PID/ns/net`, and makes sure that it is one, of a
    /// network, and not the calling thread's own. The thread enters it for a moment, which has the kernel verify the
    /// kind (setns(2) with `CLONE_NEWNET`), so call it only on a [`scratch_thread`].
    ///
    /// # Errors
    /// See [`NetnsError`]; nothing has been changed then.
    pub fn open(path: &Path) -> Result<Self, NetnsError> {
        if path.as_os_str().is_empty() {
            return Err(NetnsError::Missing);
        }
        let unreadable = |error: Errno| NetnsError::Unreadable(std::io::Error::from(error).to_string());
        let file = File::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => NetnsError::Missing,
            _ => NetnsError::Unreadable(error.to_string()),
        })?;
        let filesystem = fstatfs(&file).map_err(unreadable)?;
        if u64::try_from(filesystem.f_type) != Ok(NSFS_MAGIC) {
            return Err(NetnsError::Foreign);
        }
        // Not /proc/self: that is the main thread, and a thread can be in a namespace of its own.
        let own_file =
            File::open("/proc/thread-self/ns/net").map_err(|error| NetnsError::Unreadable(error.to_string()))?;
        let (own, theirs) = (fstat(&own_file).map_err(unreadable)?, fstat(&file).map_err(unreadable)?);
        if (own.st_dev, own.st_ino) == (theirs.st_dev, theirs.st_ino) {
            return Err(NetnsError::Own);
        }
        let (netns, home) = (Self { file }, Self { file: own_file });
        netns.enter()?;
        home.enter()?;
        Ok(netns)
    }

    /// Moves the calling thread into this namespace, for good: call it only on a thread that ends soon.
    ///
    /// # Errors
    /// [`NetnsError::Foreign`] if it is no network namespace, [`NetnsError::Unreadable`] without `CAP_SYS_ADMIN`.
    pub fn enter(&self) -> Result<(), NetnsError> {
        move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network)).map_err(|error| match error {
            Errno::INVAL => NetnsError::Foreign,
            other => NetnsError::Unreadable(std::io::Error::from(other).to_string()),
        })
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Starts a thread that may [`Netns::enter`] a namespace: it serves one job and never returns to a pool.
///
/// # Errors
/// If the system has no thread to give.
pub fn scratch_thread(job: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name("kuryr-plug".to_owned()).stack_size(STACK).spawn(job).map(drop)
}
