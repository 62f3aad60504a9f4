//! The protocol between kuryr-cni and the daemon, version 1.
//!
//! A Unix stream socket, mode 0600. The plugin sends one JSON object on one line, the daemon answers with one JSON object
//! on one line and closes. End of file from the plugin before the answer means that nobody waits for it any more: a
//! running ADD is abandoned and undone.
//!
//! Request: `version` (1), `command`, `container_id`, `netns`, `ifname`, `args` (the CNI variables, empty where not set)
//! and `config` (the network configuration as the runtime gave it). `repeated` (true) says that a daemon that has ended
//! had this request and did not answer it. Unknown members are ignored.
//!
//! Answer: `version` (1) and either `result` (what goes to stdout; `null` for nothing) or `error` (`code`, `msg` and
//! possibly `details`). `again` (true) beside an error: this daemon is ending, the next one is to be asked.
//!
//! kuryr-cni documents the same in its `daemon` module; the two share no code on purpose.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{CniError, code};

/// The version of the protocol.
pub(crate) const VERSION: u32 = 1;
/// A network configuration has at most 1 MiB; the rest of a request is small.
pub(crate) const MAX_REQUEST: u64 = 1280 * 1024;

/// What the plugin asks.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Request {
    /// Version of the protocol.
    pub(crate) version: u32,
    /// `CNI_COMMAND`.
    pub(crate) command: String,
    /// `CNI_CONTAINERID`.
    #[serde(default)]
    pub(crate) container_id: String,
    /// `CNI_NETNS`.
    #[serde(default)]
    pub(crate) netns: String,
    /// `CNI_IFNAME`.
    #[serde(default)]
    pub(crate) ifname: String,
    /// `CNI_ARGS`.
    #[serde(default)]
    pub(crate) args: String,
    /// The network configuration.
    #[serde(default)]
    pub(crate) config: Value,
    /// A daemon that has ended had this request and did not answer it.
    #[serde(default)]
    pub(crate) repeated: bool,
}

/// What the daemon answers.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    version: u32,
    #[serde(flatten)]
    outcome: Outcome,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    again: bool,
}

impl Answer {
    /// The same; `ending` says that this daemon is, so that what may work later is for the next one to try.
    pub(crate) fn while_ending(mut self, ending: bool) -> Self {
        self.again = ending && matches!(&self.outcome, Outcome::Error(error) if error.code == code::TRY_LATER);
        self
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Result(Value),
    Error(CniError),
}

impl From<Result<Value, CniError>> for Answer {
    fn from(outcome: Result<Value, CniError>) -> Self {
        let outcome = match outcome {
            Ok(result) => Outcome::Result(result),
            Err(error) => Outcome::Error(error.readable()),
        };
        Self { version: VERSION, outcome, again: false }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_as_documented() {
        let ok = serde_json::to_value(Answer::from(Ok(json!({"ips": []})))).unwrap();
        assert_eq!(ok, json!({"version": 1, "result": {"ips": []}}));
        let nothing = serde_json::to_value(Answer::from(Ok(Value::Null))).unwrap();
        assert_eq!(nothing, json!({"version": 1, "result": null}));
        let error = serde_json::to_value(Answer::from(Err(CniError::new(11, "later").details("busy")))).unwrap();
        assert_eq!(error, json!({"version": 1, "error": {"code": 11, "msg": "later", "details": "busy"}}));
        let ending = serde_json::to_value(Answer::from(Err(CniError::new(11, "later"))).while_ending(true)).unwrap();
        assert_eq!(ending, json!({"version": 1, "error": {"code": 11, "msg": "later"}, "again": true}));
        let done = serde_json::to_value(Answer::from(Ok(Value::Null)).while_ending(true)).unwrap();
        assert_eq!(done, nothing, "what is done is done");
        let refused = Answer::from(Err(CniError::new(code::EXISTS, "attached already"))).while_ending(true);
        assert!(!refused.again, "no daemon would answer otherwise");
    }
}
