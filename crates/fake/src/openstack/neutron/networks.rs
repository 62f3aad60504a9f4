//! Networks.

use serde_json::json;

use super::kind::Kind;
use super::{admit, policy::Caller, security_groups};
use crate::openstack::refusal::Refusal;
use crate::openstack::world::{Attributes, Object, World};

pub(super) fn create(world: &mut World, mut network: Object) -> Result<String, Refusal> {
    security_groups::default_of(world, network.text("project_id"));
    check_mtu(world, &network)?;
    if network.get("mtu") == Some(&json!(0)) {
        network.set("mtu", world.mtu);
    }
    network.set("status", "ACTIVE");
    for (name, value) in [
        ("availability_zones", json!([])),
        ("ipv4_address_scope", json!(null)),
        ("ipv6_address_scope", json!(null)),
        ("subnets", json!([])),
    ] {
        network.set(name, value);
    }
    let types = ["flat", "geneve", "local", "vlan", "vxlan"];
    if let Some(other) = network.get("provider:network_type").filter(|given| !types.iter().any(|known| *given == known))
    {
        let message = format!("network_type value '{}' not supported", super::check::shown(other));
        return Err(Refusal::invalid_input(message));
    }
    if !network.contains_key("provider:network_type") {
        network.set("provider:network_type", "geneve");
        network.set("provider:physical_network", json!(null));
        network.set("provider:segmentation_id", world.ids.segmentation_id());
    }
    network.entry("provider:physical_network").or_insert(json!(null));
    network.entry("provider:segmentation_id").or_insert(json!(null));
    Ok(admit(world, Kind::Network, network))
}

pub(super) fn update(world: &mut World, id: &str, change: Object) -> Result<(), Refusal> {
    check_mtu(world, &change)?;
    world.revise(Kind::Network, id, |network| network.extend(change));
    Ok(())
}

/// Deletes a network, its subnets and the ports Neutron itself put there; 409 while others are.
pub(super) fn delete(world: &mut World, id: &str) -> Result<(), Refusal> {
    let in_use: Vec<_> = world
        .within(Kind::Port, id)
        .filter(|port| !is_auto_deleted(port))
        .map(|port| port.text("id").to_owned())
        .collect();
    if !in_use.is_empty() {
        return Err(Refusal::conflict(
            "NetworkInUse",
            format!(
                "Unable to complete operation on network {id}. There are one or more ports still in use on the \
                 network, id for these ports is: {}.",
                in_use.join(",")
            ),
        ));
    }
    for kind in [Kind::Port, Kind::Subnet] {
        let ids: Vec<_> = world.within(kind, id).map(|object| object.text("id").to_owned()).collect();
        ids.iter().for_each(|id| world.remove(kind, id));
    }
    world.remove(Kind::Network, id);
    Ok(())
}

/// Ports that go with their network: those of the DHCP and metadata services.
pub(super) fn is_auto_deleted(port: &Object) -> bool {
    matches!(port.text("device_owner"), "network:dhcp" | "network:distributed")
}

/// The network, if the caller may put something on it.
pub(super) fn usable<'a>(world: &'a World, caller: &Caller, id: &str) -> Result<&'a Object, Refusal> {
    super::policy::find(world, caller, Kind::Network, id)
}

/// 403 for putting something on a network that is seen because it is external, but neither one's own nor shared.
pub(super) fn refuse_strangers(network: &Object, caller: &Caller, what: &str) -> Result<(), Refusal> {
    if caller.admin || network.flag("shared") || network.text("project_id") == caller.project {
        return Ok(());
    }
    let message = format!("Tenant {} not allowed to create {what} on this network", caller.project);
    Err(Refusal::new(http::StatusCode::FORBIDDEN, "HTTPForbidden", message))
}

fn check_mtu(world: &World, given: &Object) -> Result<(), Refusal> {
    let mtu = given.get("mtu").and_then(serde_json::Value::as_i64).unwrap_or(0);
    if mtu > i64::from(world.mtu) {
        return Err(Refusal::invalid_input(format!("Requested MTU is too big, maximum is {}", world.mtu)));
    }
    Ok(())
}
