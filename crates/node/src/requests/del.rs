//! DEL: whatever the container got is removed. Local state suffices: no API server, no Neutron.

use kuryr_api::names::{MAIN_INTERFACE, tap_name};
use kuryr_api::vif::Vif;
use tokio::time::Duration;

use super::Node;
use super::call::Call;
use super::turns::Stop;
use crate::checkpoint::AttachmentId;
use crate::error::CniError;
use crate::plug::{Attachment, Interface, OwnedDevice, PlugError, PodRef};

/// Open vSwitch answers in milliseconds or is down; a drain of many unknown containers must not wait for it.
const SEARCH_DEADLINE: Duration = Duration::from_secs(2);

pub(super) async fn del(node: &Node, call: &Call) -> Result<(), CniError> {
    node.running.stop(&call.id, Stop::Deleted);
    let _turn = node.attachment_turns.wait(call.id.clone()).await;
    if node.checkpoints.get(&call.id).is_some() {
        return release(node, &call.id).await;
    }
    // Never added, removed already, or its checkpoint is lost: then the devices still carry our marks.
    let search = tokio::time::timeout(SEARCH_DEADLINE, node.wiring.owned()).await;
    let too_late =
        |_| Err(PlugError::Timeout { what: "the search for its devices".to_owned(), after: SEARCH_DEADLINE });
    let owned = match search.unwrap_or_else(too_late) {
        Ok(owned) => owned,
        Err(error) => {
            // Success all the same: an unknown container must not keep its pod from going. The sweep looks again.
            tracing::warn!(container = %call.id.container_id, "DEL of an unknown container, and the host could not be searched: {error}");
            return Ok(());
        }
    };
    let (mine, others): (Vec<_>, Vec<_>) = owned
        .into_iter()
        .partition(|device| device.container_id == call.id.container_id && device.ifname == call.id.ifname);
    if mine.is_empty() { remove_unmarked(node, call, &others).await } else { remove_marked(node, mine).await }
}

/// Removes what kuryr-kubernetes wired before the upgrade: it left no mark and no record, so the pod's KuryrPort says what
/// there may be. Only if this very sandbox is proven to have it, since the DEL may be a late one of an older sandbox:
/// either its namespace holds the interface, or namespace and device are gone and only the switch's port is left.
async fn remove_unmarked(node: &Node, call: &Call, marked: &[OwnedDevice]) -> Result<(), CniError> {
    let Some(port) = call.pod.as_ref().and_then(|pod| node.ports.subscribe(pod).now()) else { return Ok(()) };
    if call.pod_uid.as_ref().is_some_and(|uid| *uid != port.spec.pod_uid) {
        return Ok(());
    }
    let entries = port.status.iter().flat_map(|status| &status.vifs);
    let vifs: Vec<_> = entries.filter_map(|(key, entry)| Some((key, entry.vif.as_ref().ok()?))).collect();
    let _ports = node.port_turns.wait_all(vifs.iter().map(|(_, vif)| vif.id.clone())).await;
    let ours = |vif: &Vif| node.checkpoints.holds(&vif.id) || marked.iter().any(|device| device.port_id == vif.id);
    let interfaces: Vec<Interface> = vifs
        .into_iter()
        .filter(|(_, vif)| !ours(vif))
        .map(|(key, vif)| {
            let main = key == MAIN_INTERFACE;
            Interface { ifname: if main { call.id.ifname.clone() } else { key.clone() }, main, vif: vif.clone() }
        })
        .collect();
    if interfaces.is_empty() {
        return Ok(());
    }
    let attachment = Attachment {
        container_id: call.id.container_id.clone(),
        netns: call.netns.as_ref().map(|netns| netns.path.clone()).unwrap_or_default(),
        pod: PodRef { uid: port.spec.pod_uid.clone(), ..PodRef::default() },
        interfaces,
    };
    let netns_present = call.netns.is_some() && tokio::fs::try_exists(&attachment.netns).await.unwrap_or(true);
    let mut proven = true;
    if netns_present {
        proven = node.wiring.check(&attachment).await.is_ok();
    } else {
        for interface in &attachment.interfaces {
            proven &= !node.wiring.device_exists(&tap_name(&interface.vif.id)).await;
        }
    }
    if proven {
        tracing::info!(container = %call.id.container_id, "removing what kuryr-kubernetes wired");
        node.wiring.unplug(&attachment, netns_present).await?;
    }
    Ok(())
}

/// Removes what a record names, then the record. The caller has the attachment's turn.
///
/// # Errors
/// Code 105 if something could not be removed; the record stays.
pub(crate) async fn release(node: &Node, id: &AttachmentId) -> Result<(), CniError> {
    let Some(record) = node.checkpoints.get(id) else { return Ok(()) };
    let _ports = node.port_turns.wait_all(record.port_ids().map(str::to_owned)).await;
    // Read again: a newer sandbox may have taken ports over while we waited for them.
    let Some(record) = node.checkpoints.get(id) else { return Ok(()) };
    let netns_present = !node.checkpoints.is_of_earlier_boot(&record) && record.netns_exists().await;
    node.wiring.unplug(&record.attachment(), netns_present).await?;
    node.checkpoints.remove(id).await
}

/// Removes devices that carry our marks but are on no record.
///
/// # Errors
/// Code 105 if something could not be removed.
pub(crate) async fn remove_marked(node: &Node, devices: Vec<OwnedDevice>) -> Result<(), CniError> {
    let mut outcome = Ok(());
    for device in devices {
        let _port = node.port_turns.wait_all([device.port_id.clone()]).await;
        if node.checkpoints.holds(&device.port_id) {
            continue;
        }
        if let Err(error) = node.wiring.remove(&device).await {
            outcome = Err(error.into());
        }
    }
    outcome
}
