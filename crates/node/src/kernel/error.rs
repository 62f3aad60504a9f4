//! A request the kernel refused.

use std::io;

use rustix::io::Errno;

/// What was asked of the kernel and what it answered, in its own words where it has some (netlink extended ACK).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{op}: {words}")]
pub struct KernelError {
    /// What was asked: "create veth pair tap… – eth0".
    pub op: String,
    /// The error code, if the kernel gave one.
    pub errno: Option<Errno>,
    /// The answer.
    pub words: String,
}

impl KernelError {
    /// Whether the kernel's answer was this error code.
    #[must_use]
    pub fn is(&self, errno: Errno) -> bool {
        self.errno == Some(errno)
    }
}

/// The kernel's answer alone, before anybody said what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub(crate) errno: Option<Errno>,
    pub(crate) words: String,
}

impl Refusal {
    /// An answer with a code and, where the kernel added them, words of its own.
    pub(crate) fn answer(errno: Errno, extended: Option<String>) -> Self {
        let code = io::Error::from(errno);
        let words = match extended {
            Some(words) => format!("{words} ({code})"),
            None => code.to_string(),
        };
        Self { errno: Some(errno), words }
    }

    /// An answer that made no sense.
    pub(crate) fn garbled(what: impl std::fmt::Display) -> Self {
        Self { errno: None, words: format!("unexpected answer: {what}") }
    }

    /// Adds what was asked.
    pub(crate) fn to(self, op: impl Into<String>) -> KernelError {
        KernelError { op: op.into(), errno: self.errno, words: self.words }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self { errno: error.raw_os_error().map(Errno::from_raw_os_error), words: error.to_string() }
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::answer(errno, None)
    }
}
