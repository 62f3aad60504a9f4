//! Ports.

use serde_json::{Value, json};

use super::kind::Kind;
use super::policy::Caller;
use super::{admit, floating_ips, ipam, networks, security_groups, trunks};
use crate::openstack::refusal::Refusal;
use crate::openstack::world::{Attributes, Object, World};

/// Makes the ports of one request.
///
/// Neutron takes the addresses of all ports of a request in a transaction of its own. When it cannot find one for the last,
/// it forgets to give back the others': they are lost until the subnet is deleted. So did Neutron 21 whenever it was seen
/// to refuse a list of ports because of an address; a single port, or another reason, costs nothing.
pub(super) fn create_many(world: &mut World, caller: &Caller, wanted: Vec<Object>) -> Result<Vec<String>, Refusal> {
    let mut ids: Vec<String> = Vec::new();
    for port in wanted {
        match create(world, caller, port) {
            Ok(id) => ids.push(id),
            Err(refusal) if ipam::is_about_addresses(&refusal) => {
                ids.iter().for_each(|id| world.strand_addresses(id));
                return Err(refusal);
            }
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(ids)
}

pub(super) fn create(world: &mut World, caller: &Caller, mut port: Object) -> Result<String, Refusal> {
    let network = networks::usable(world, caller, port.text("network_id"))?;
    let network_id = network.text("id").to_owned();
    networks::refuse_strangers(network, caller, "port")?;
    let is_secured = network.flag("port_security_enabled");
    let mac = match port.text("mac_address") {
        "" => free_mac(world, &network_id),
        given if world.mac_taken(&network_id, given) => return Err(mac_in_use(&network_id, given)),
        given => given.to_owned(),
    };
    port.set("mac_address", mac.clone());
    let requested = port.get("fixed_ips").and_then(Value::as_array).map(Vec::as_slice);
    let fixed = ipam::allocate(world, &network_id, requested, &[], &mac)?;
    port.set("fixed_ips", fixed);

    let of_neutron = port.text("device_owner").starts_with("network:");
    let enabled = port.get("port_security_enabled").and_then(Value::as_bool).unwrap_or(is_secured && !of_neutron);
    port.set("port_security_enabled", enabled);
    if !port.contains_key("security_groups") {
        let groups = match enabled && !of_neutron {
            true => vec![security_groups::default_of(world, port.text("project_id"))],
            false => vec![],
        };
        port.set("security_groups", groups);
    }
    settle(world, caller, &mut port)?;
    bind(world, &mut port);
    port.set("status", "DOWN");
    port.set("qos_network_policy_id", Value::Null);
    port.set("resource_request", Value::Null);
    Ok(admit(world, Kind::Port, port))
}

pub(super) fn update(world: &mut World, caller: &Caller, id: &str, change: Object) -> Result<(), Refusal> {
    let Some(before) = world.get(Kind::Port, id).cloned() else {
        return Err(Kind::Port.not_found(id));
    };
    let network = before.text("network_id").to_owned();
    let mut after = before.clone();
    after.extend(change.clone());
    if after.text("mac_address") != before.text("mac_address") {
        if is_bound(&before) {
            return Err(Refusal::conflict(
                "PortBound",
                format!(
                    "Unable to complete operation on port {id}, port is already bound, port type: {}, old_mac {}, new_mac {}.",
                    before.text("binding:vif_type"),
                    before.text("mac_address"),
                    after.text("mac_address")
                ),
            ));
        }
        if world.mac_taken(&network, after.text("mac_address")) {
            return Err(mac_in_use(&network, after.text("mac_address")));
        }
    }
    if let Some(requested) = change.get("fixed_ips").and_then(Value::as_array) {
        let own = before.items("fixed_ips");
        let fixed = ipam::allocate(world, &network, Some(requested), own, after.text("mac_address"))?;
        after.set("fixed_ips", fixed);
    }
    let names_groups = change.get("security_groups").and_then(Value::as_array).is_some_and(|groups| !groups.is_empty());
    if names_groups && !after.flag("port_security_enabled") {
        return Err(Refusal::new(
            http::StatusCode::BAD_REQUEST,
            "PortSecurityAndIPRequiredForSecurityGroups",
            "Port security must be enabled and port must have an IP address in order to use security groups.",
        ));
    }
    settle(world, caller, &mut after)?;
    if ["binding:host_id", "binding:profile", "binding:vnic_type"].iter().any(|name| change.contains_key(*name)) {
        bind(world, &mut after);
        if after.text("binding:host_id") != before.text("binding:host_id") {
            after.set("status", "DOWN");
        }
    }
    world.revise(Kind::Port, id, |port| *port = after);
    Ok(())
}

/// Deletes a port at a user's wish; 409 if it belongs to a trunk or to a router.
pub(super) fn delete(world: &mut World, id: &str) -> Result<(), Refusal> {
    trunks::refuse_if_in_use(world, id)?;
    let owner = world.get(Kind::Port, id).map(|port| port.text("device_owner").to_owned()).unwrap_or_default();
    if owner.starts_with("network:router") || owner == "network:floatingip" {
        return Err(Refusal::conflict(
            "ServicePortInUse",
            format!("Port {id} cannot be deleted directly via the port API: has device owner {owner}."),
        ));
    }
    remove(world, id);
    Ok(())
}

/// Removes a port, and the floating IPs from it.
pub(super) fn remove(world: &mut World, id: &str) {
    floating_ips::port_gone(world, id);
    world.remove(Kind::Port, id);
}

/// A port of Neutron's own (a router's interface, a floating IP).
pub(super) fn create_own(world: &mut World, network: &str, fixed: &[Value], rest: Value) -> Result<String, Refusal> {
    let mac = free_mac(world, network);
    let requested = if fixed.is_empty() { None } else { Some(fixed) };
    let fixed = ipam::allocate(world, network, requested, &[], &mac)?;
    let Value::Object(mut port) = json!({
        "name": "", "network_id": network, "admin_state_up": true, "mac_address": mac, "fixed_ips": fixed,
        "device_id": "", "device_owner": "", "security_groups": [], "allowed_address_pairs": [],
        "port_security_enabled": false, "extra_dhcp_opts": [], "description": "", "tags": [], "qos_policy_id": null,
        "qos_network_policy_id": null, "resource_request": null, "status": "DOWN", "project_id": "", "tenant_id": "",
        "binding:vnic_type": "normal", "binding:host_id": "", "binding:profile": {},
    }) else {
        return Err(Refusal::invalid_input("a port is an object"));
    };
    if let Value::Object(rest) = rest {
        port.extend(rest);
    }
    bind(world, &mut port);
    Ok(admit(world, Kind::Port, port))
}

/// Whether a host was found for the port.
pub(super) fn is_bound(port: &Object) -> bool {
    !matches!(port.text("binding:vif_type"), "" | "unbound" | "binding_failed")
}

/// Asks the mechanism drivers.
fn bind(world: &World, port: &mut Object) {
    let host = port.text("binding:host_id").to_owned();
    let (vif_type, vif_details) = world.bindings.vif(&host);
    port.set("binding:host_id", host);
    if port.get("binding:profile").is_none_or(Value::is_null) {
        port.set("binding:profile", json!({}));
    }
    port.set("binding:vif_type", vif_type);
    port.set("binding:vif_details", vif_details);
}

/// Checks groups and address pairs against each other and against port security.
fn settle(world: &World, caller: &Caller, port: &mut Object) -> Result<(), Refusal> {
    for group in port.items("security_groups") {
        let id = group.as_str().unwrap_or_default();
        super::policy::find(world, caller, Kind::SecurityGroup, id)?;
    }
    if !port.flag("port_security_enabled") {
        if !port.items("security_groups").is_empty() {
            return Err(Refusal::conflict(
                "PortSecurityPortHasSecurityGroup",
                "Port has security group associated. Cannot disable port security or IP address until security group \
                 is removed.",
            ));
        }
        if !port.items("allowed_address_pairs").is_empty() {
            return Err(Refusal::conflict(
                "AddressPairAndPortSecurityRequired",
                "Port Security must be enabled in order to have allowed address pairs on a port.",
            ));
        }
    }
    let mac = port.text("mac_address").to_owned();
    if let Some(Value::Array(pairs)) = port.get_mut("allowed_address_pairs") {
        for pair in pairs {
            if pair.get("mac_address").is_none() {
                pair["mac_address"] = json!(mac);
            }
        }
    }
    Ok(())
}

fn free_mac(world: &mut World, network: &str) -> String {
    loop {
        let mac = world.ids.mac();
        if !world.mac_taken(network, &mac) {
            return mac;
        }
    }
}

fn mac_in_use(network: &str, mac: &str) -> Refusal {
    let message = format!("Unable to complete operation for network {network}. The mac address {mac} is in use.");
    Refusal::conflict("MacAddressInUse", message)
}
