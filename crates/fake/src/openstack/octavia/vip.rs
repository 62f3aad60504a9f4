//! A load balancer's address: a port in Neutron.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::tables::Gone;
use super::{invalid, octavia};
use crate::openstack::neutron::{self, Caller, Kind};
use crate::openstack::refusal::Refusal;
use crate::openstack::request::Ask;
use crate::openstack::world::{Attributes, Object, World};

/// Where the address is to be: checked, with what follows from it filled in.
pub(super) fn place(world: &World, wanted: &mut Object) -> Result<(), Refusal> {
    if let Some(id) = given(wanted, "vip_port_id") {
        let port = world.get(Kind::Port, &id).ok_or_else(|| sub_resource("Port", &id))?;
        let device = port.text("device_id");
        if !device.is_empty() {
            return Err(invalid(format!("Port {id} is already used by device {device} ")));
        }
        let fixed = port.items("fixed_ips").first().cloned().unwrap_or_default();
        let network = port.text("network_id").to_owned();
        wanted.set("vip_subnet_id", fixed["subnet_id"].clone());
        wanted.set("vip_address", fixed["ip_address"].clone());
        wanted.set("vip_network_id", network);
        return Ok(());
    }
    if let Some(id) = given(wanted, "vip_subnet_id") {
        let subnet = world.get(Kind::Subnet, &id).ok_or_else(|| sub_resource("Subnet", &id))?;
        check_more(world, wanted, &id, subnet.text("network_id"))?;
        wanted.set("vip_network_id", subnet.text("network_id"));
        return Ok(());
    }
    let Some(id) = given(wanted, "vip_network_id") else {
        return Err(invalid("VIP must contain one of: vip_port_id, vip_network_id, vip_subnet_id."));
    };
    world.get(Kind::Network, &id).ok_or_else(|| sub_resource("Network", &id))?;
    let subnets = world.within(Kind::Subnet, &id);
    // IPv4 is preferred.
    let subnet = subnets.min_by_key(|subnet| subnet.get("ip_version").and_then(Value::as_i64));
    let subnet = subnet.ok_or_else(|| invalid("Supplied network does not contain a subnet."))?;
    wanted.set("vip_subnet_id", subnet.text("id"));
    Ok(())
}

/// Whether all further addresses are from other subnets of the same network.
fn check_more(world: &World, wanted: &Object, first: &str, network: &str) -> Result<(), Refusal> {
    let mut used = vec![first];
    for more in wanted.items("additional_vips") {
        let id = more["subnet_id"].as_str().unwrap_or_default();
        if used.contains(&id) {
            return Err(invalid("Duplicate VIP subnet(s) specified. Only one IP can be bound per subnet."));
        }
        let subnet = world.get(Kind::Subnet, id).ok_or_else(|| sub_resource("Subnet", id))?;
        if subnet.text("network_id") != network {
            return Err(invalid("All VIP subnets must belong to the same network."));
        }
        used.push(id);
    }
    Ok(())
}

/// Makes the port, unless one was given.
pub(super) fn allocate(world: &mut World, provider: &str, id: &str, wanted: &mut Object) -> Result<(), Refusal> {
    if given(wanted, "vip_port_id").is_some() {
        wanted.set("own_port", false);
        return Ok(());
    }
    let mut fixed = vec![fixed_ip(&given(wanted, "vip_subnet_id"), &given(wanted, "vip_address"))];
    // OVN of Zed takes no notice of more than one.
    let heeded = provider != "ovn" || world.lbaas.newest > 26;
    for more in wanted.items("additional_vips").iter().filter(|_| heeded) {
        let text = |key: &str| more[key].as_str().map(str::to_owned);
        fixed.push(fixed_ip(&text("subnet_id"), &text("ip_address")));
    }
    let port = match provider {
        "ovn" => json!({"name": format!("ovn-lb-vip-{id}")}),
        _ => {
            json!({"name": format!("octavia-lb-{id}"), "device_id": format!("lb-{id}"), "device_owner": "Octavia", "admin_state_up": false})
        }
    };
    let mut port = port;
    port["network_id"] = json!(wanted.text("vip_network_id"));
    port["project_id"] = json!(wanted.text("project_id"));
    port["fixed_ips"] = fixed.into();
    let ask = Ask::internal(Method::POST, "/v2.0/ports", json!({"port": port}).to_string().into_bytes());
    let made = neutron::answer_as(world, &Caller::nobody(), &ask).map_err(|refusal| match provider {
        "ovn" => {
            octavia(StatusCode::INTERNAL_SERVER_ERROR, format!("Provider 'ovn' reports error: {}", refusal.message))
        }
        _ => octavia(refusal.status, refusal.message),
    })?;
    let port = &made.body.unwrap_or_default()["port"];
    wanted.set("vip_port_id", port["id"].clone());
    wanted.set("vip_address", port["fixed_ips"][0]["ip_address"].clone());
    wanted.set("own_port", true);
    Ok(())
}

/// What becomes of the port of a load balancer that is gone: one that was made for it goes, too.
pub(super) fn release(world: &mut World, gone: &Gone) {
    if gone.own_port {
        let ask = Ask::internal(Method::DELETE, &format!("/v2.0/ports/{}", gone.vip_port), Vec::new());
        // Somebody may have deleted it already.
        let _ = neutron::answer_as(world, &Caller::nobody(), &ask);
    }
}

/// An attribute that has a value.
pub(super) fn given(object: &Object, key: &str) -> Option<String> {
    object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// 400 for something in Neutron that is not there.
pub(super) fn sub_resource(noun: &str, id: &str) -> Refusal {
    octavia(StatusCode::BAD_REQUEST, format!("{noun} {id} not found."))
}

fn fixed_ip(subnet: &Option<String>, address: &Option<String>) -> Value {
    let mut fixed = json!({});
    if let Some(subnet) = subnet {
        fixed["subnet_id"] = json!(subnet);
    }
    if let Some(address) = address {
        fixed["ip_address"] = json!(address);
    }
    fixed
}
