//! CNI error objects (specification, section "Error").

use serde_json::{Map, Value, json};

/// Error codes of the specification that the plugin itself uses; the daemon's arrive as they are.
pub(crate) mod code {
    /// Incompatible CNI version.
    pub(crate) const VERSION: u64 = 1;
    /// Invalid necessary environment variables; the message names them.
    pub(crate) const ENVIRONMENT: u64 = 4;
    /// I/O failure.
    pub(crate) const IO: u64 = 5;
    /// Failed to decode content.
    pub(crate) const DECODE: u64 = 6;
    /// Invalid network configuration.
    pub(crate) const CONFIGURATION: u64 = 7;
    /// Try again later.
    pub(crate) const TRY_LATER: u64 = 11;
    /// The plugin is not available: it cannot serve ADD (STATUS).
    pub(crate) const NOT_AVAILABLE: u64 = 50;
}

/// What goes wrong, for people and for the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Numeric code of the specification (0–99) or of kuryr-daemon (100 and above).
    pub(crate) code: u64,
    /// One sentence, with the cure.
    pub(crate) msg: String,
    /// The cause at length; empty if there is nothing to add.
    pub(crate) details: String,
}

impl Failure {
    /// A failure without details.
    pub(crate) fn new(code: u64, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), details: String::new() }
    }

    /// The same with the cause at length.
    pub(crate) fn details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    /// The error object for stdout. `version` is the input's `cniVersion`, or empty if nothing could be read.
    pub(crate) fn to_json(&self, version: &str) -> Value {
        let mut object = Map::new();
        object.insert("cniVersion".into(), json!(if version.is_empty() { "1.1.0" } else { version }));
        object.insert("code".into(), json!(self.code));
        object.insert("msg".into(), json!(self.msg));
        if !self.details.is_empty() {
            object.insert("details".into(), json!(self.details));
        }
        Value::Object(object)
    }
}
