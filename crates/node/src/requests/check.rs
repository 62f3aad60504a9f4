//! CHECK: is what ADD made still there? Nothing is changed.

use super::Node;
use super::call::Call;
use crate::checkpoint::Record;
use crate::error::{CniError, code};
use crate::result::CniResult;

pub(super) async fn check(node: &Node, call: &Call) -> Result<(), CniError> {
    let previous = call.config.get("prevResult").filter(|previous| !previous.is_null()).ok_or_else(|| {
        CniError::new(
            code::CONFIGURATION,
            "CHECK needs \"prevResult\", the result of ADD, in the network configuration",
        )
    })?;
    let previous = CniResult::parse(previous, call.version())?;
    let _turn = node.attachment_turns.wait(call.id.clone()).await;
    let record = node.checkpoints.get(&call.id).ok_or_else(|| {
        CniError::new(
            code::UNKNOWN_CONTAINER,
            format!("container {} has no interface {} of ours", call.id.container_id, call.id.ifname),
        )
    })?;
    agree(&previous, &record, call)?;
    node.wiring.check(&record.attachment()).await?;
    Ok(())
}

/// Whether the runtime's idea of our interfaces is ours. Devices, addresses and routes of other plugins are theirs.
fn agree(previous: &CniResult, record: &Record, call: &Call) -> Result<(), CniError> {
    let differs =
        |what: String| CniError::new(code::DIFFERS, format!("prevResult differs from what was wired: {what}"));
    if let Some(netns) = call.netns.as_ref().filter(|netns| netns.path != record.netns) {
        return Err(differs(format!("CNI_NETNS is {}, was {}", netns.given.display(), record.netns.display())));
    }
    for ours in &record.interfaces {
        let in_pod =
            |interface: &&crate::result::Interface| interface.sandbox.is_some() && interface.name == ours.ifname;
        let listed = previous.interfaces.iter().find(in_pod);
        let listed = listed.ok_or_else(|| differs(format!("interface {} is not in it", ours.ifname)))?;
        if let (Some(theirs), Some(mac)) = (&listed.mac, &ours.vif.address)
            && !theirs.eq_ignore_ascii_case(mac)
        {
            return Err(differs(format!("interface {} has MAC address {mac}, not {theirs}", ours.ifname)));
        }
        let index = previous.interfaces.iter().position(|interface| interface == listed);
        for ip in previous.ips.iter().filter(|ip| ip.interface == index) {
            if !ours.vif.addresses().any(|address| address == ip.address.addr()) {
                return Err(differs(format!("address {} is not one of interface {}", ip.address, ours.ifname)));
            }
        }
    }
    Ok(())
}
