//! What belongs to containers that are no more, found at start and every minute.
//!
//! A DEL may never come: the runtime forgot, the node lost power, kubelet gave up. An attachment is over only if nothing
//! of it can be alive: its namespace file is gone **and** the host's end of its veth pair is gone, which the kernel
//! removes exactly when it removes the namespace. The file alone proves nothing (a mount that is missing in this
//! container makes all of them vanish), and a restart must never unwire a running pod. Switch ports that carry our marks,
//! have no device and are on no record are removed too.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::error::CniError;
use crate::requests::{Node, remove_marked};

/// How often to look.
const INTERVAL: Duration = Duration::from_secs(60);

/// Sweeps at once and then every minute until told to stop.
pub(crate) async fn sweep_forever(node: Node, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        // Cut short it does no harm: a record goes last.
        let swept = tokio::select! {
            () = shutdown.cancelled() => return,
            swept = sweep(&node) => swept,
        };
        if let Err(error) = swept {
            tracing::warn!("looking for leftovers failed, next try in {} s: {error}", INTERVAL.as_secs());
        }
    }
}

/// Removes what is over.
pub(crate) async fn sweep(node: &Node) -> Result<(), CniError> {
    // Records first, devices second: a record without a device then had no device when it was already on record, and an
    // ADD that begins in between is on record before its devices exist.
    let records = node.checkpoints.all();
    let owned = node.wiring.owned().await?;
    let alive: HashSet<&str> =
        owned.iter().filter(|device| device.device).map(|device| device.port_id.as_str()).collect();
    for record in records {
        let over = node.checkpoints.is_of_earlier_boot(&record)
            || (!record.port_ids().any(|id| alive.contains(id)) && !record.netns_exists().await);
        if over && !node.running.contains(&record.id) {
            tracing::info!(container = %record.id.container_id, pod = %record.pod.name, "removing what is left of a container that is no more");
            if let Err(error) = node.release_in_turn(&record.id).await {
                tracing::warn!("{error}");
            }
        }
    }
    let dead = owned.into_iter().filter(|device| !device.device && !node.checkpoints.holds(&device.port_id)).collect();
    remove_marked(node, dead).await
}
