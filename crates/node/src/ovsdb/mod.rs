//! Open vSwitch's database (OVSDB, RFC 7047): one persistent connection, transactions, and a copy of the rows we look at.
//!
//! The copy is kept current by the server's update notifications, so nothing is ever polled: whoever waits for a row
//! waits on the copy.

mod address;
mod session;
mod tables;

pub use address::{AddressError, OvsdbAddress};
pub use tables::{BridgeRow, InterfaceRow, PortRow, SwitchRow, Table, Tables};

use std::sync::{Arc, OnceLock};

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

/// Why a transaction has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OvsdbError {
    /// The connection broke after the request was sent: it may or may not have been done.
    #[error("the connection was lost before the answer came: {0}")]
    Lost(String),
    /// The server did not do it; nothing was changed (RFC 7047 §4.1.3: transactions are atomic).
    #[error("{error} ({details}) in operation {operation}")]
    Refused {
        /// Index of the operation that failed; the number of operations if the commit as a whole failed.
        operation: usize,
        /// `constraint violation`, `timed out`, …
        error: String,
        /// More words, possibly none.
        details: String,
    },
    /// The server answered something that is no answer.
    #[error("unexpected answer: {0}")]
    Garbled(String),
}

/// A client of one OVSDB server. Cheap to clone; it connects at first use, again whenever the connection breaks, and
/// lets go when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Ovsdb {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    address: OvsdbAddress,
    session: OnceLock<Session>,
}

#[derive(Debug)]
struct Session {
    requests: mpsc::UnboundedSender<session::Request>,
    tables: watch::Receiver<Tables>,
}

impl Ovsdb {
    /// A client for the server at `address`; does not connect yet.
    #[must_use]
    pub fn new(address: OvsdbAddress) -> Self {
        Self { shared: Arc::new(Shared { address, session: OnceLock::new() }) }
    }

    /// The server's address.
    #[must_use]
    pub fn address(&self) -> &OvsdbAddress {
        &self.shared.address
    }

    /// The copy of the tables, for reading and waiting. See [`Tables::outage`] for its validity. Needs a tokio runtime.
    #[must_use]
    pub fn tables(&self) -> watch::Receiver<Tables> {
        self.session().tables.clone()
    }

    /// Waits until the connection is up and the copy complete. Waits for ever if it never is: set a deadline.
    pub async fn connected(&self) {
        // The sender lives as long as `self` does.
        let _ = self.tables().wait_for(|tables| tables.outage.is_none()).await;
    }

    /// Runs one transaction (RFC 7047 §4.1.3) on the database `Open_vSwitch` and returns one result per operation.
    ///
    /// While there is no connection it waits for one; a transaction whose caller has gone meanwhile is never sent. The
    /// copy of the tables contains the transaction's effects when this returns. Set a deadline.
    ///
    /// # Errors
    /// See [`OvsdbError`].
    pub async fn transact(&self, operations: Vec<Value>) -> Result<Vec<Value>, OvsdbError> {
        let count = operations.len();
        let (reply, answer) = oneshot::channel();
        let ended = || OvsdbError::Lost("the session has ended".to_owned());
        self.session().requests.send(session::Request { operations, reply }).map_err(|_| ended())?;
        let answer = answer.await.map_err(|_| ended())??;
        results(answer, count)
    }

    fn session(&self) -> &Session {
        self.shared.session.get_or_init(|| {
            let (requests, queue) = mpsc::unbounded_channel();
            let (publish, tables) = watch::channel(Tables::default());
            tokio::spawn(session::run(self.shared.address.clone(), queue, publish));
            Session { requests, tables }
        })
    }
}

/// Checks a transaction's results: a failed operation is reported inside the array, not as the call's error, and one
/// more element stands for the commit.
fn results(answer: Value, count: usize) -> Result<Vec<Value>, OvsdbError> {
    let Value::Array(mut results) = answer else { return Err(OvsdbError::Garbled(answer.to_string())) };
    let failure = results.iter().enumerate().find(|(_, result)| result.get("error").is_some_and(|e| !e.is_null()));
    if let Some((operation, result)) = failure {
        let text = |key: &str| result.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        return Err(OvsdbError::Refused { operation, error: text("error"), details: text("details") });
    }
    if results.len() < count {
        return Err(OvsdbError::Garbled(format!("{} results for {count} operations", results.len())));
    }
    results.truncate(count);
    Ok(results)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failed_operation_is_found_inside_the_results() {
        let answer = json!([{}, {"error": "timed out", "details": "\"wait\" timed out"}, null]);
        let error = results(answer, 3).unwrap_err();
        assert_eq!(error.to_string(), "timed out (\"wait\" timed out) in operation 1");
    }

    #[test]
    fn a_failed_commit_is_an_element_of_its_own() {
        let answer = json!([{"uuid": ["uuid", "x"]}, {"error": "constraint violation", "details": "identical names"}]);
        assert!(matches!(results(answer, 1), Err(OvsdbError::Refused { operation: 1, .. })));
    }

    #[test]
    fn too_few_results_are_no_success() {
        assert!(matches!(results(json!([{}]), 2), Err(OvsdbError::Garbled(_))));
        assert!(matches!(results(json!("x"), 0), Err(OvsdbError::Garbled(_))));
        assert_eq!(results(json!([{"count": 1}]), 1).unwrap(), [json!({"count": 1})]);
    }
}
