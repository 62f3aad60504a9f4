//! The way back: ports off the switch, then devices off the host. It goes on past errors and is harmless to repeat.

use super::mark::Mark;
use super::plan::{Wiring, host_ifname};
use super::switch::{Switch, Unwanted};
use super::{OwnedDevice, PlugError};
use crate::kernel::rtnetlink::{Link, Rtnetlink};

/// What an interface may have left on this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Remains {
    switch_ports: Vec<String>,
    /// Devices with their kind. Deleting one end of a pair deletes the other, in the pod as well: the pod's namespace
    /// need not be there, and is never entered.
    devices: Vec<(String, &'static str)>,
}

impl Remains {
    /// What plugging an interface makes; nothing for a class that was never plugged.
    pub(crate) fn of(vif: &kuryr_api::vif::Vif, integration_bridge: Option<&str>) -> Self {
        let Ok(wiring) = Wiring::of(vif, integration_bridge) else { return Self::default() };
        let tap = host_ifname(vif);
        let switch_ports = wiring.switch_port(&tap).map(|(_, name)| name.to_owned()).into_iter().collect();
        let mut devices = vec![(tap, "veth")];
        if let Wiring::Hybrid { qbr, qvb, .. } = wiring {
            devices.push((qvb, "veth"));
            // Never a bridge that serves others.
            if qbr == kuryr_api::names::hybrid_bridge_name(&vif.id) {
                devices.push((qbr, "bridge"));
            }
        }
        Self { switch_ports, devices }
    }

    /// One device or switch port that carries our marks.
    pub(crate) fn marked(device: &OwnedDevice) -> Self {
        let name = device.host_ifname.clone();
        let kind = if name.starts_with("qbr") { "bridge" } else { "veth" };
        Self {
            switch_ports: device.switch_port.then(|| name.clone()).into_iter().collect(),
            devices: vec![(name, kind)],
        }
    }
}

/// Removes what is left of a sandbox's interfaces and returns everything that went wrong.
pub(crate) async fn unwire(switch: &Switch, container_id: &str, remains: Vec<Remains>) -> Vec<PlugError> {
    let mut errors = Vec::new();
    let unwanted: Vec<Unwanted> = remains
        .iter()
        .flat_map(|remains| &remains.switch_ports)
        .map(|name| Unwanted { name: name.clone(), container_id: Some(container_id.to_owned()) })
        .collect();
    if !unwanted.is_empty() {
        // If the switch is down, the devices must not wait for it long.
        match switch.connected(switch.deadline.min(super::SHORT_PATIENCE)).await {
            Ok(()) => errors.extend(switch.remove(&unwanted).await.err()),
            Err(error) => errors.push(error),
        }
    }
    let devices = remains.into_iter().flat_map(|remains| remains.devices).collect();
    let container_id = container_id.to_owned();
    let deleted = tokio::task::spawn_blocking(move || delete(devices, &container_id)).await;
    errors.extend(deleted.unwrap_or_else(|panic| {
        vec![PlugError::Kernel { op: "delete the pod's devices".to_owned(), reason: panic.to_string() }]
    }));
    errors
}

fn delete(devices: Vec<(String, &'static str)>, container_id: &str) -> Vec<PlugError> {
    let mut host = match Rtnetlink::open() {
        Ok(host) => host,
        Err(error) => return vec![error.into()],
    };
    let mut errors = Vec::new();
    for (name, kind) in devices {
        match host.link(&name) {
            Ok(Some(link)) if is_ours(&link, kind, container_id) => {
                errors.extend(host.delete_link(&link).err().map(PlugError::from));
            }
            Ok(_) => {}
            Err(error) => errors.push(error.into()),
        }
    }
    errors
}

/// A device of the same port that a newer sandbox uses is not ours to delete: this may be a late DEL. One without a mark
/// was made by an older Kuryr; its name carries the port's id.
fn is_ours(link: &Link, kind: &str, container_id: &str) -> bool {
    let mark = link.alias.as_deref().map(Mark::from_alias);
    let sandbox = match mark {
        None => true,
        Some(Some(mark)) => mark.container_id == container_id,
        Some(None) => false,
    };
    sandbox && link.kind.as_deref() == Some(kind)
}
