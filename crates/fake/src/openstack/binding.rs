//! How ports are bound to hosts: what Neutron's mechanism drivers decide.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// What `binding:vif_type` and `binding:vif_details` a port on a host gets.
#[derive(Clone, Debug, PartialEq)]
pub enum BindPolicy {
    /// ML2/OVN, as Zed has it: `ovs`, and no word on the bridge.
    Ovn,
    /// ML2/OVS with the firewall in Open vSwitch: `ovs`, with the integration bridge's name.
    Ovs {
        /// `br-int` on most hosts.
        bridge: String,
    },
    /// ML2/OVS with the iptables firewall: `ovs` with `ovs_hybrid_plug`.
    OvsHybrid {
        /// `br-int` on most hosts.
        bridge: String,
    },
    /// The Linux bridge agent: `bridge`; the bridge is named after the network.
    Bridge,
    /// No mechanism driver can bind there: `binding_failed`.
    Fails,
    /// Anything else.
    Other {
        /// `binding:vif_type`.
        vif_type: String,
        /// `binding:vif_details`.
        vif_details: Value,
    },
}

impl BindPolicy {
    /// Open vSwitch with the usual integration bridge.
    pub fn ovs() -> BindPolicy {
        BindPolicy::Ovs { bridge: "br-int".to_owned() }
    }

    /// Open vSwitch, hybrid, with the usual integration bridge.
    pub fn ovs_hybrid() -> BindPolicy {
        BindPolicy::OvsHybrid { bridge: "br-int".to_owned() }
    }

    /// The type and the details.
    pub(crate) fn vif(&self) -> (&str, Value) {
        match self {
            BindPolicy::Ovn => {
                ("ovs", json!({"port_filter": true, "connectivity": "l2", "bound_drivers": {"0": "ovn"}}))
            }
            BindPolicy::Ovs { bridge } => (
                "ovs",
                json!({"port_filter": true, "connectivity": "l2", "bridge_name": bridge, "datapath_type": "system", "ovs_hybrid_plug": false}),
            ),
            BindPolicy::OvsHybrid { bridge } => (
                "ovs",
                json!({"port_filter": true, "connectivity": "l2", "bridge_name": bridge, "datapath_type": "system", "ovs_hybrid_plug": true}),
            ),
            BindPolicy::Bridge => ("bridge", json!({"port_filter": true, "connectivity": "l2"})),
            BindPolicy::Fails => ("binding_failed", json!({})),
            BindPolicy::Other { vif_type, vif_details } => (vif_type, vif_details.clone()),
        }
    }
}

/// The policies of all hosts.
pub(crate) struct Bindings {
    /// For hosts that are not named.
    pub(crate) default: BindPolicy,
    pub(crate) hosts: BTreeMap<String, BindPolicy>,
}

impl Default for Bindings {
    fn default() -> Bindings {
        Bindings { default: BindPolicy::Ovn, hosts: BTreeMap::new() }
    }
}

impl Bindings {
    /// The type and the details for a port on a host; without a host it is `unbound`.
    pub(crate) fn vif(&self, host: &str) -> (String, Value) {
        if host.is_empty() {
            return ("unbound".to_owned(), json!({}));
        }
        let (vif_type, details) = self.hosts.get(host).unwrap_or(&self.default).vif();
        (vif_type.to_owned(), details)
    }
}
