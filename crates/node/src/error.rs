//! What goes wrong, as the runtime hears it (CNI specification, section "Error").

use serde::Serialize;

use crate::plug::{PlugError, UnplugErrors};

/// Error codes: below 100 the specification's meaning, from 100 on ours.
pub mod code {
    /// The container is unknown, nothing needs to be cleaned up.
    pub const UNKNOWN_CONTAINER: u32 = 3;
    /// Environment variables are missing or wrong; the message names them.
    pub const ENVIRONMENT: u32 = 4;
    /// I/O failure.
    pub const IO: u32 = 5;
    /// Content could not be decoded.
    pub const DECODE: u32 = 6;
    /// Invalid network configuration.
    pub const CONFIGURATION: u32 = 7;
    /// `CNI_NETNS` is not the pod's network namespace (of the CNI library, not in the specification's table).
    pub const NETNS: u32 = 8;
    /// Try again later.
    pub const TRY_LATER: u32 = 11;
    /// Pods cannot be added now (STATUS).
    pub const NOT_AVAILABLE: u32 = 50;
    /// Pods cannot be added now, and running ones may have no connection (STATUS).
    pub const LIMITED_CONNECTIVITY: u32 = 51;
    /// Plugin and daemon speak different protocols.
    pub const PROTOCOL: u32 = 100;
    /// The kernel refused something.
    pub const KERNEL: u32 = 101;
    /// The port is of a kind, or says something, that cannot be wired.
    pub const UNSUPPORTED_PORT: u32 = 102;
    /// The interface exists, or the pod's port is wired already.
    pub const EXISTS: u32 = 103;
    /// CHECK found a difference.
    pub const DIFFERS: u32 = 104;
    /// Something could not be removed (DEL, GC).
    pub const REMOVAL: u32 = 105;
}

/// An error for the plugin to print.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{msg} (code {code}){}{details}", if details.is_empty() { "" } else { ": " })]
pub struct CniError {
    /// One of [`code`].
    pub code: u32,
    /// One or two sentences: what is wrong and what to do.
    pub msg: String,
    /// The cause at length; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl CniError {
    /// An error without details.
    pub fn new(code: u32, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), details: String::new() }
    }

    /// The same with the cause at length.
    #[must_use]
    pub fn details(mut self, details: impl ToString) -> Self {
        self.details = details.to_string();
        self
    }
}

/// Longer messages are cut: they end in Events and in `kubectl describe`.
const MSG_LENGTH: usize = 400;

impl CniError {
    /// The same with a message of readable length; the whole text moves to the details.
    pub(crate) fn readable(mut self) -> Self {
        if let Some((end, _)) = self.msg.char_indices().nth(MSG_LENGTH) {
            let separator = if self.details.is_empty() { "" } else { ": " };
            self.details = format!("{}{separator}{}", self.msg, self.details);
            self.msg.truncate(end);
            self.msg.push('…');
        }
        self
    }
}

impl From<PlugError> for CniError {
    fn from(error: PlugError) -> Self {
        let code = match error {
            PlugError::NetnsInvalid { .. } => code::NETNS,
            PlugError::Exists { .. } => code::EXISTS,
            PlugError::BridgeMissing { .. }
            | PlugError::OvsUnavailable { .. }
            | PlugError::OvsPort { .. }
            | PlugError::Timeout { .. } => code::TRY_LATER,
            PlugError::Kernel { .. } => code::KERNEL,
            PlugError::Unsupported { .. } | PlugError::InvalidVif { .. } => code::UNSUPPORTED_PORT,
            PlugError::Differs { .. } => code::DIFFERS,
        };
        Self::new(code, error.to_string())
    }
}

impl From<UnplugErrors> for CniError {
    fn from(errors: UnplugErrors) -> Self {
        Self::new(
            code::REMOVAL,
            "not everything of this attachment could be removed; it is tried again with the next DEL",
        )
        .details(errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_cause_goes_to_the_details() {
        let short = CniError::new(code::KERNEL, "short").details("x".repeat(5000));
        assert_eq!(short.clone().readable(), short);
        let long = PlugError::Kernel { op: "add veth".into(), reason: "ü".repeat(5000) };
        let whole = long.to_string();
        let error = CniError::from(long).readable();
        assert!(error.msg.chars().count() <= MSG_LENGTH + 1 && error.msg.starts_with("add veth: ü"), "{error}");
        assert_eq!(error.details, whole);
    }
}
