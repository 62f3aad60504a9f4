//! Subnets.

use std::net::IpAddr;

use http::StatusCode;
use ipnet::IpNet;
use serde_json::{Value, json};

use super::check::bits;
use super::kind::Kind;
use super::policy::Caller;
use super::{admit, ipam, networks, subnet_pools};
use crate::openstack::refusal::Refusal;
use crate::openstack::world::{Attributes, Object, World, fixed_ips};

pub(super) fn create(world: &mut World, caller: &Caller, mut subnet: Object) -> Result<String, Refusal> {
    let network = networks::usable(world, caller, subnet.text("network_id"))?;
    networks::refuse_strangers(network, caller, "subnet")?;
    let network_id = network.text("id").to_owned();
    if !caller.admin && network.text("project_id") != caller.project {
        return Err(Refusal::forbidden("rule:create_subnet"));
    }
    let cidr = match (subnet.text("subnetpool_id"), subnet.text("cidr")) {
        ("", "") => return Err(Refusal::bad("subnets", "a subnetpool must be specified in the absence of a cidr")),
        ("", cidr) => parse_cidr(cidr)?,
        _ => subnet_pools::carve(world, caller, &subnet)?,
    };
    subnet.set("cidr", cidr.to_string());
    check_version(&subnet, cidr)?;
    let overlaps = world.within(Kind::Subnet, &network_id).any(|other| {
        other.text("cidr").parse().is_ok_and(|other: IpNet| other.contains(&cidr) || cidr.contains(&other))
    });
    if overlaps {
        return Err(Refusal::invalid_input(format!(
            "Requested subnet with cidr: {cidr} for network: {network_id} overlaps with another subnet"
        )));
    }
    let gateway = match subnet.get("gateway_ip") {
        None => Some(default_gateway(cidr)),
        Some(given) => given.as_str().and_then(|text| text.parse().ok()),
    };
    check_gateway(cidr, gateway)?;
    subnet.set("gateway_ip", gateway.map(|gateway| gateway.to_string()));
    match subnet.get("allocation_pools") {
        None => subnet.set("allocation_pools", ipam::default_pools(cidr, gateway)),
        Some(_) => check_pools(cidr, gateway, subnet.items("allocation_pools"))?,
    }
    for name in ["subnetpool_id", "ipv6_address_mode", "ipv6_ra_mode"] {
        subnet.entry(name).or_insert(Value::Null);
    }
    for name in ["prefixlen", "use_default_subnetpool", "segment_id"] {
        subnet.remove(name);
    }
    let id = admit(world, Kind::Subnet, subnet);
    world.revise(Kind::Network, &network_id, |_| {});
    Ok(id)
}

pub(super) fn update(world: &mut World, id: &str, change: Object) -> Result<(), Refusal> {
    let Some(subnet) = world.get(Kind::Subnet, id) else {
        return Err(Kind::Subnet.not_found(id));
    };
    let mut after = subnet.clone();
    after.extend(change.clone());
    let cidr = parse_cidr(after.text("cidr"))?;
    let gateway: Option<IpAddr> = after.text("gateway_ip").parse().ok();
    if change.contains_key("gateway_ip") {
        check_gateway(cidr, gateway)?;
    }
    if change.contains_key("gateway_ip") || change.contains_key("allocation_pools") {
        check_pools(cidr, gateway, after.items("allocation_pools"))?;
    }
    world.revise(Kind::Subnet, id, |subnet| subnet.extend(change));
    Ok(())
}

/// Deletes a subnet; 409 while ports have addresses of it.
pub(super) fn delete(world: &mut World, id: &str) -> Result<(), Refusal> {
    let Some(subnet) = world.get(Kind::Subnet, id) else {
        return Err(Kind::Subnet.not_found(id));
    };
    let network = subnet.text("network_id").to_owned();
    let automatic = matches!(subnet.text("ipv6_address_mode"), "slaac" | "dhcpv6-stateless");
    let uses = |port: &Object| fixed_ips(port).any(|(subnet, _)| subnet == id);
    let is_router = |port: &Object| port.text("device_owner").starts_with("network:router");
    let (goes, stays): (Vec<_>, Vec<_>) = world
        .within(Kind::Port, &network)
        .filter(|port| uses(port))
        .partition(|port| networks::is_auto_deleted(port) || automatic && !is_router(port));
    if !stays.is_empty() {
        return Err(Refusal::conflict(
            "SubnetInUse",
            format!(
                "Unable to complete operation on subnet {id}: One or more ports have an IP allocation from this subnet."
            ),
        ));
    }
    let goes: Vec<_> = goes.into_iter().map(|port| port.text("id").to_owned()).collect();
    for port in goes {
        world.revise(Kind::Port, &port, |port| {
            let kept: Vec<_> =
                port.items("fixed_ips").iter().filter(|fixed| fixed["subnet_id"] != id).cloned().collect();
            port.set("fixed_ips", kept);
        });
    }
    world.remove(Kind::Subnet, id);
    world.revise(Kind::Network, &network, |_| {});
    Ok(())
}

fn parse_cidr(text: &str) -> Result<IpNet, Refusal> {
    text.parse().map_err(|_| Refusal::invalid_attribute("cidr", format!("'{text}' is not a valid IP subnet")))
}

fn check_version(subnet: &Object, cidr: IpNet) -> Result<(), Refusal> {
    let version = subnet.get("ip_version").and_then(Value::as_i64).unwrap_or(4);
    let agrees = |address: &str| address.parse::<IpAddr>().map_or(true, |address| address.is_ipv4() == (version == 4));
    if cidr.addr().is_ipv4() != (version == 4) {
        let message = format!("cidr '{cidr}' does not match the ip_version '{version}'");
        return Err(Refusal::invalid_input(message));
    }
    if !agrees(subnet.text("gateway_ip")) {
        let message = format!("gateway_ip '{}' does not match the ip_version '{version}'", subnet.text("gateway_ip"));
        return Err(Refusal::invalid_input(message));
    }
    let modes = [subnet.text("ipv6_ra_mode"), subnet.text("ipv6_address_mode")];
    for (name, mode) in ["ipv6_ra_mode", "ipv6_address_mode"].into_iter().zip(modes) {
        if version == 4 && !mode.is_empty() {
            return Err(Refusal::invalid_input(format!("{name} is not valid when ip_version is 4")));
        }
    }
    if !modes.contains(&"") && modes[0] != modes[1] {
        return Err(Refusal::invalid_input(format!(
            "ipv6_ra_mode set to '{}' with ipv6_address_mode set to '{}' is not valid. If both attributes are set, they \
             must be the same value",
            modes[0], modes[1]
        )));
    }
    let is_automatic = |mode: &&str| matches!(*mode, "slaac" | "dhcpv6-stateless");
    if modes.iter().any(is_automatic) && cidr.prefix_len() != 64 {
        return Err(Refusal::invalid_input(format!(
            "Invalid CIDR {cidr} for IPv6 address mode. OpenStack uses the EUI-64 address format, which requires the \
             prefix to be /64"
        )));
    }
    if subnet.flag("enable_dhcp") && cidr.prefix_len() + 1 >= cidr.max_prefix_len() {
        return Err(Refusal::invalid_input(
            "Subnet has a prefix length that is incompatible with DHCP service enabled",
        ));
    }
    Ok(())
}

/// The first address: of a host with IPv4, the prefix's own with IPv6, as the real service was seen to choose.
fn default_gateway(cidr: IpNet) -> IpAddr {
    match cidr {
        IpNet::V4(_) => ipam::hosts(cidr).0,
        IpNet::V6(_) => cidr.network(),
    }
}

fn check_gateway(cidr: IpNet, gateway: Option<IpAddr>) -> Result<(), Refusal> {
    let is_edge = |gateway: IpAddr| {
        cidr.addr().is_ipv4() && cidr.prefix_len() < 31 && (gateway == cidr.network() || gateway == cidr.broadcast())
    };
    match gateway {
        Some(gateway) if cidr.contains(&gateway) && is_edge(gateway) => {
            Err(Refusal::invalid_input("Gateway is not valid on subnet"))
        }
        _ => Ok(()),
    }
}

fn check_pools(cidr: IpNet, gateway: Option<IpAddr>, pools: &[Value]) -> Result<(), Refusal> {
    let refuse = |kind: &str, message: String| Err(Refusal::new(StatusCode::BAD_REQUEST, kind, message));
    let mut ranges: Vec<(u128, u128, String)> = Vec::new();
    let (first, last) = ipam::hosts(cidr);
    for pool in pools {
        let end = |key: &str| pool[key].as_str().and_then(|text| text.parse::<IpAddr>().ok());
        let (Some(start), Some(end)) = (end("start"), end("end")) else {
            continue;
        };
        let name = format!("{start}-{end}");
        if start.is_ipv4() != cidr.addr().is_ipv4() || end.is_ipv4() != start.is_ipv4() || bits(end) < bits(start) {
            let message = format!("The allocation pool {{'start': '{start}', 'end': '{end}'}} is not valid.");
            return refuse("InvalidAllocationPool", message);
        }
        if bits(start) < bits(first) || bits(end) > bits(last) {
            let message = format!("The allocation pool {name} spans beyond the subnet cidr {cidr}.");
            return refuse("OutOfBoundsAllocationPool", message);
        }
        if let Some(gateway) = gateway.filter(|gateway| gateway.is_ipv4() == start.is_ipv4())
            && (bits(start)..=bits(end)).contains(&bits(gateway))
        {
            let message = format!("Gateway ip {gateway} conflicts with allocation pool {name}.");
            return Err(Refusal::conflict("GatewayConflictWithAllocationPools", message));
        }
        let overlapping = ranges.iter().find(|(from, to, _)| bits(start) <= *to && *from <= bits(end));
        if let Some((_, _, other)) = overlapping {
            let message = format!("Found overlapping allocation pools: {other} {name} for subnet {cidr}.");
            return Err(Refusal::conflict("OverlappingAllocationPools", message));
        }
        ranges.push((bits(start), bits(end), name));
    }
    Ok(())
}

/// The gateway's address as JSON, for a router's interface.
pub(super) fn gateway(subnet: &Object) -> Option<Value> {
    Some(subnet.text("gateway_ip")).filter(|text| !text.is_empty()).map(|text| json!(text))
}
