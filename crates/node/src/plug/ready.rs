//! Is the network behind a port ready? On an OVN chassis the local ovn-controller says so, long before the API does.

use kuryr_api::vif::Vif;

use super::Readiness;
use super::plan::{Wiring, host_ifname};
use crate::ovsdb::{SwitchRow, Tables};

/// Key ovn-controller sets on an interface once all its flows are installed (ovn-controller(8)).
const INSTALLED: &str = "ovn-installed";

/// Integration bridge of an OVN chassis that names none.
const DEFAULT_BRIDGE: &str = "br-int";

/// What the tables say about a port, none if ovn-controller is still at work.
pub(crate) fn readiness(tables: &Tables, vif: &Vif, integration_bridge: Option<&str>) -> Option<Readiness> {
    if tables.outage.is_some() {
        return None;
    }
    let Ok(wiring) = Wiring::of(vif, integration_bridge) else { return Some(Readiness::Unknown) };
    let tap = host_ifname(vif);
    let Some((bridge, port)) = wiring.switch_port(&tap) else { return Some(Readiness::Unknown) };
    let Some((_, row)) = tables.interfaces.named(port) else { return Some(Readiness::Gone) };
    if row.external_ids.get(INSTALLED).is_some_and(|value| value == "true") {
        return Some(Readiness::Ready);
    }
    (!is_chassis(&tables.switch, bridge)).then_some(Readiness::Unknown)
}

/// Whether an ovn-controller looks after this bridge. Keys of one chassis among several carry its `system-id`.
fn is_chassis(switch: &SwitchRow, bridge: &str) -> bool {
    let ids = &switch.external_ids;
    let value = |key: &str| {
        let of_chassis = ids.get("system-id").and_then(|chassis| ids.get(&format!("{key}-{chassis}")));
        of_chassis.or_else(|| ids.get(key)).map(String::as_str)
    };
    value("ovn-remote").is_some() && value("ovn-bridge").unwrap_or(DEFAULT_BRIDGE) == bridge
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tables(switch_ids: &[(&str, &str)], port_ids: &[(&str, &str)]) -> Tables {
        let mut tables = Tables::default();
        let update = json!({
            "Open_vSwitch": {"s": {"new": {"external_ids": ["map", switch_ids]}}},
            "Interface": {"i": {"new": {"name": "tap0f8b1c1c-1a", "external_ids": ["map", port_ids]}}},
        });
        tables.update_for_test(&update);
        tables
    }

    fn vif(id: &str) -> Vif {
        super::super::plan::tests::switch_vif(id)
    }

    #[track_caller]
    fn check(switch_ids: &[(&str, &str)], port_ids: &[(&str, &str)], id: &str, expected: Option<Readiness>) {
        assert_eq!(readiness(&tables(switch_ids, port_ids), &vif(id), None), expected);
    }

    const PORT: &str = "0f8b1c1c-1a2b-4c3d-8e4f-5a6b7c8d9e0f";

    #[test]
    fn on_a_chassis_the_mark_decides() {
        for remote in ["ovn-remote", "ovn-remote-node1"] {
            let switch = [("system-id", "node1"), (remote, "ssl:…")];
            check(&switch, &[], PORT, None);
            check(&switch, &[(INSTALLED, "true")], PORT, Some(Readiness::Ready));
        }
    }

    #[test]
    fn without_ovn_nobody_here_knows() {
        check(&[], &[], PORT, Some(Readiness::Unknown));
        check(&[("ovn-remote", "x"), ("ovn-bridge", "br-other")], &[], PORT, Some(Readiness::Unknown));
        check(&[("ovn-remote-probe-interval", "1")], &[], PORT, Some(Readiness::Unknown));
    }

    #[test]
    fn a_port_that_went_away_is_gone() {
        check(&[("ovn-remote", "x")], &[], "11111111-1a2b-4c3d-8e4f-5a6b7c8d9e0f", Some(Readiness::Gone));
    }
}
