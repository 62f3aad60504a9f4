//! The kernel, spoken to directly: netlink, network namespaces, sysctl, offloads.
//!
//! Everything here is synchronous and takes microseconds to milliseconds. A netlink socket stays in the namespace it was
//! opened in, so only opening one inside a pod needs a thread that has entered the pod's namespace; such a thread is made
//! for the occasion and ends with it ([`netns`]).

pub mod error;
pub mod ethtool;
pub mod netns;
pub mod rtnetlink;
pub mod socket;
pub mod sysctl;

pub use error::KernelError;
