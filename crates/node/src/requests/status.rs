//! STATUS: can pods be added now? Runtimes ask every few seconds and wait for the answer, so only this node is asked.

use tokio::time::{Duration, timeout};

use super::Node;
use crate::error::{CniError, code};
use crate::plug::PlugError;
use crate::ports::Contact;

/// Open vSwitch answers in a millisecond or not at all.
const DEADLINE: Duration = Duration::from_secs(1);

pub(crate) async fn status(node: &Node) -> Result<(), CniError> {
    let wiring = timeout(DEADLINE, node.wiring.status()).await;
    let wiring = wiring
        .unwrap_or_else(|_| Err(PlugError::Timeout { what: "Open vSwitch's answer".to_owned(), after: DEADLINE }));
    // Without the switch running pods are cut off as well.
    wiring.map_err(|error| match error {
        PlugError::OvsUnavailable { .. } | PlugError::Timeout { .. } | PlugError::BridgeMissing { .. } => {
            CniError::new(code::LIMITED_CONNECTIVITY, error.to_string())
        }
        _ => CniError::new(code::NOT_AVAILABLE, error.to_string()),
    })?;
    match node.ports.contact() {
        Contact::Synced => Ok(()),
        Contact::Starting => Err(CniError::new(
            code::NOT_AVAILABLE,
            "kuryr-daemon has not read its KuryrPorts yet; if this lasts, check that it reaches the Kubernetes API and that the CRDs are installed",
        )),
        Contact::Lost(error) => Err(CniError::new(
            code::NOT_AVAILABLE,
            "kuryr-daemon has lost the Kubernetes API; pods keep running, new ones wait",
        )
        .details(error)),
    }
}
