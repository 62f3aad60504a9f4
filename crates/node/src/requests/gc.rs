//! GC: release what belongs to attachments the runtime does not list. It repeats what DEL should have done; nothing
//! depends on it.

use std::collections::HashSet;

use serde_json::Value;

use super::Node;
use super::del::remove_marked;
use crate::checkpoint::AttachmentId;
use crate::error::{CniError, code};

pub(super) async fn gc(node: &Node, config: &Value) -> Result<(), CniError> {
    let Some(valid) = valid_attachments(config)? else { return Ok(()) };
    let network = config["name"].as_str().unwrap_or_default();
    // Looked up before anything else: attachments that are made from now on are none of this call's business.
    let stale: Vec<AttachmentId> = node
        .checkpoints
        .all()
        .into_iter()
        .filter(|record| record.network == network && !valid.contains(&record.id))
        .map(|record| record.id)
        .filter(|id| !node.running.contains(id))
        .collect();
    let mut failures = Vec::new();
    for id in stale {
        tracing::info!(container = %id.container_id, ifname = %id.ifname, "GC releases an attachment that is not listed");
        if let Err(error) = node.release_in_turn(&id).await {
            failures.push(format!("{} {}: {error}", id.container_id, id.ifname));
        }
    }
    match node.wiring.owned().await {
        Ok(owned) => {
            let unlisted = owned.into_iter().filter(|device| {
                let id = AttachmentId { container_id: device.container_id.clone(), ifname: device.ifname.clone() };
                !node.checkpoints.holds(&device.port_id) && !valid.contains(&id) && !node.running.contains(&id)
            });
            for device in unlisted {
                let name = device.host_ifname.clone();
                if let Err(error) = remove_marked(node, vec![device]).await {
                    failures.push(format!("{name}: {error}"));
                }
            }
        }
        Err(error) => failures.push(format!("devices without a record could not be looked for: {error}")),
    }
    if failures.is_empty() {
        return Ok(());
    }
    Err(CniError::new(code::REMOVAL, format!("GC could not release {} things; it may be repeated", failures.len()))
        .details(failures.join("; ")))
}

/// `cni.dev/valid-attachments`, or `cni.dev/attachments` of early runtimes. Without a list (`cnitool gc`)
/// nobody can tell what is stale: nothing is done. `null` is how Go writes an empty one.
fn valid_attachments(config: &Value) -> Result<Option<HashSet<AttachmentId>>, CniError> {
    let wrong = |what: &str| {
        CniError::new(code::CONFIGURATION, format!("GC: \"cni.dev/valid-attachments\" {what}; nothing was released"))
    };
    let list = config.get("cni.dev/valid-attachments").or_else(|| config.get("cni.dev/attachments"));
    let Some(list) = list else { return Ok(None) };
    match list {
        Value::Null => Ok(Some(HashSet::new())),
        Value::Array(list) => list
            .iter()
            .map(|item| {
                let text = |key: &str| item[key].as_str().map(str::to_owned);
                let id = text("containerID").zip(text("ifname"));
                let (container_id, ifname) = id.ok_or_else(|| wrong("has an entry without containerID or ifname"))?;
                Ok(AttachmentId { container_id, ifname })
            })
            .collect::<Result<_, _>>()
            .map(Some),
        _ => Err(wrong("is not a list")),
    }
}
