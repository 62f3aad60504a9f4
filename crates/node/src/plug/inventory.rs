//! What on this host carries our marks.

use std::collections::{BTreeMap, HashSet};

use super::mark::Mark;
use super::{OwnedDevice, PlugError};
use crate::kernel::rtnetlink::Rtnetlink;
use crate::ovsdb::Tables;

/// Adds up the marked devices of the host and the marked ports of the switch.
pub(crate) fn owned(devices: Vec<(String, Mark)>, tables: Option<&Tables>) -> Vec<OwnedDevice> {
    let mut found: BTreeMap<String, OwnedDevice> = BTreeMap::new();
    let alive: HashSet<String> =
        devices.iter().filter(|(name, _)| is_pods_end(name)).map(|(_, mark)| mark.port_id.clone()).collect();
    for (name, mark) in devices {
        found.insert(name.clone(), entry(name, mark, &alive));
    }
    let rows = tables.into_iter().flat_map(|tables| tables.interfaces.iter());
    for (name, row) in rows {
        let Some(mark) = Mark::from_external_ids(&row.external_ids) else { continue };
        found.entry(name.to_owned()).or_insert_with(|| entry(name.to_owned(), mark, &alive)).switch_port = true;
    }
    found.into_values().collect()
}

/// The bridge of a hybrid plug and the pair that joins it to the switch outlive the pod; only the host's end of the
/// pod's own pair goes with the pod.
fn is_pods_end(name: &str) -> bool {
    !["qbr", "qvb", "qvo"].iter().any(|prefix| name.starts_with(prefix))
}

fn entry(host_ifname: String, mark: Mark, alive: &HashSet<String>) -> OwnedDevice {
    let Mark { container_id, port_id, ifname } = mark;
    let device = alive.contains(&port_id);
    OwnedDevice { container_id, host_ifname, port_id, ifname, device, switch_port: false }
}

/// The devices of the calling thread's namespace that carry our marks.
pub(crate) fn marked_devices() -> Result<Vec<(String, Mark)>, PlugError> {
    let links = Rtnetlink::open()?.links()?;
    Ok(links.into_iter().filter_map(|link| Some((link.name, Mark::from_alias(link.alias.as_deref()?)?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(port_id: &str) -> Mark {
        Mark { container_id: "c1".to_owned(), port_id: port_id.to_owned(), ifname: "eth0".to_owned() }
    }

    #[track_caller]
    fn check(devices: &[(&str, &str)], expected: &[(&str, bool)]) {
        let devices = devices.iter().map(|(name, port)| ((*name).to_owned(), mark(port))).collect();
        let found = owned(devices, None);
        let found: Vec<_> = found.iter().map(|owned| (owned.host_ifname.as_str(), owned.device)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_hybrid_pod_is_alive_while_its_own_pair_is_there() {
        let bridge = [("qbr1", "p1"), ("qvb1", "p1"), ("qvo1", "p1")];
        check(&bridge, &[("qbr1", false), ("qvb1", false), ("qvo1", false)]);
        let alive = [bridge.as_slice(), &[("tap1", "p1"), ("qbr2", "p2")]].concat();
        check(&alive, &[("qbr1", true), ("qbr2", false), ("qvb1", true), ("qvo1", true), ("tap1", true)]);
    }
}
