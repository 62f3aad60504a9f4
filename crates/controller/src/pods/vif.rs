//! A Neutron port as the node needs it: an os-vif object. Pure.

use std::collections::BTreeMap;

use kuryr_api::names;
use kuryr_api::vif::{Network, Route, Subnet, Vif, VifKind};
use kuryr_openstack::network::{Port, PortStatus};

use crate::placement::Place;
use crate::trouble::Trouble;

/// Translates a port that sits in `place`. `default_bridge` is `[neutron_defaults] ovs_bridge`, for clouds whose ports do
/// not name their bridge.
///
/// # Errors
/// When Neutron bound the port in a way no node can plug, or did not bind it.
pub fn translate(port: &Port, place: &Place, default_bridge: Option<&str>) -> Result<Vif, Trouble> {
    let details = &port.binding.vif_details;
    let vif_type = port.binding.vif_type.as_str();
    let port_id = port.id.clone();
    let bridge = || {
        let bridge = details.bridge_name.clone().or_else(|| default_bridge.map(str::to_owned));
        bridge.ok_or_else(|| {
            Trouble::mistake(
                "BridgeUnknown",
                "Neutron does not name the bridge of the port; set [neutron_defaults] ovs_bridge (usually br-int)",
            )
        })
    };
    let (kind, network_bridge) = match vif_type {
        "ovs" if details.ovs_hybrid_plug => {
            let kind =
                VifKind::Bridge { bridge: names::hybrid_bridge_name(&port_id), interface_id: Some(port_id.clone()) };
            (kind, bridge()?)
        }
        "ovs" => {
            let bridge = bridge()?;
            (VifKind::OpenVSwitch { bridge: bridge.clone(), interface_id: port_id.clone() }, bridge)
        }
        "bridge" => {
            let agents_bridge = || format!("brq{}", port.network_id.chars().take(11).collect::<String>());
            let bridge = details.bridge_name.clone().unwrap_or_else(agents_bridge);
            (VifKind::Bridge { bridge: bridge.clone(), interface_id: None }, bridge)
        }
        "" | "unbound" => {
            // Neutron shows a port a moment before it binds it; the next look may see it bound.
            return Err(Trouble::transient(
                "PortNotBound",
                "Neutron did not bind the port to the node: the Kuryr user must be allowed to set binding:host_id and to \
                 see binding:vif_type (role admin or service, or Neutron's policy for ports)",
            ));
        }
        "binding_failed" => {
            return Err(Trouble::mistake(
                "BindingFailed",
                "Neutron could not bind the port to the node: check that the node's name is that of its Neutron agent or OVN \
                 chassis, and that the agent is alive (openstack network agent list)",
            ));
        }
        other => {
            return Err(Trouble::mistake(
                "BindingNotSupported",
                format!("Neutron bound the port as {other:?}; Kuryr plugs ovs and bridge"),
            ));
        }
    };
    Ok(Vif {
        id: port_id,
        address: Some(port.mac_address.clone()),
        network: network(port, place, network_bridge)?,
        plugin: vif_type.to_owned(),
        active: port.status == PortStatus::Active,
        has_traffic_filtering: details.port_filter,
        vif_name: names::tap_name(&port.id),
        kind,
    })
}

fn network(port: &Port, place: &Place, bridge: String) -> Result<Network, Trouble> {
    let mut addresses: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for fixed in &port.fixed_ips {
        addresses.entry(&fixed.subnet_id).or_default().push(fixed.ip_address);
    }
    let subnet = |subnet: &kuryr_openstack::network::Subnet| {
        let ips = addresses.get(subnet.id.as_str())?.clone();
        let route = |route: &kuryr_openstack::network::HostRoute| Route {
            cidr: route.destination.to_string(),
            gateway: Some(route.nexthop.to_string()),
        };
        Some(Subnet {
            cidr: subnet.cidr?.to_string(),
            dns: subnet.dns_nameservers.iter().map(ToString::to_string).collect(),
            gateway: subnet.gateway_ip,
            ips,
            routes: subnet.host_routes.iter().map(route).collect(),
        })
    };
    let subnets: Vec<Subnet> = place.subnets.iter().filter_map(|of| subnet(of)).collect();
    if subnets.is_empty() {
        return Err(Trouble::mistake(
            "AddressMissing",
            "the Neutron port has no address in the pod subnet; delete the port to get a new one",
        ));
    }
    let network = &place.network;
    let is_vlan = network.network_type.as_deref() == Some("vlan");
    Ok(Network {
        id: network.id.clone(),
        label: Some(network.name.clone()),
        bridge: Some(bridge),
        mtu: network.mtu,
        vlan: if is_vlan { network.segmentation_id.and_then(|id| u16::try_from(id).ok()) } else { None },
        should_provide_vlan: is_vlan,
        subnets,
    })
}
