//! Floating IPs.

use serde_json::{Value, json};

use super::kind::Kind;
use super::policy::{Caller, find};
use super::{admit, ports, routers};
use crate::openstack::refusal::Refusal;
use crate::openstack::world::{Attributes, Object, World, fixed_ips};

const OWNER: &str = "network:floatingip";

pub(super) fn create(world: &mut World, caller: &Caller, mut floating: Object) -> Result<String, Refusal> {
    let network = find(world, caller, Kind::Network, floating.text("floating_network_id"))?.text("id").to_owned();
    if !world.get(Kind::Network, &network).is_some_and(|network| network.flag("router:external")) {
        let message = format!("Network {network} is not a valid external network");
        return Err(Refusal::bad("floatingip", message));
    }
    let mut wanted = Object::new();
    for (from, to) in [("subnet_id", "subnet_id"), ("floating_ip_address", "ip_address")] {
        if let Some(value) = floating.get(from).filter(|value| !value.is_null()) {
            wanted.set(to, value.clone());
        }
    }
    let fixed: Vec<Value> = if wanted.is_empty() { vec![] } else { vec![Value::Object(wanted)] };
    let port = ports::create_own(world, &network, &fixed, json!({"device_owner": OWNER, "status": "N/A"}))?;
    let address = world.get(Kind::Port, &port).and_then(|port| port.items("fixed_ips").first()).cloned();
    let Some(address) = address else {
        ports::remove(world, &port);
        let message = format!("Unable to find any IP address on external network {network}.");
        return Err(Refusal::new(http::StatusCode::BAD_REQUEST, "ExternalIpAddressExhausted", message));
    };
    floating.remove("subnet_id");
    floating.set("floating_ip_address", address["ip_address"].clone());
    floating.set("status", "DOWN");
    floating.set("router_id", Value::Null);
    floating.set("port_forwardings", json!([]));
    let target = floating.text("port_id").to_owned();
    if !target.is_empty() {
        associate(world, caller, &mut floating, &target)?;
    }
    let id = admit(world, Kind::FloatingIp, floating);
    if let Some(mut port) = world.get(Kind::Port, &port).cloned() {
        port.set("device_id", id.clone());
        world.put(Kind::Port, port);
    }
    Ok(id)
}

/// Associates a floating IP, or frees it: a change that does not name a port frees it, too.
pub(super) fn update(world: &mut World, caller: &Caller, id: &str, change: Object) -> Result<(), Refusal> {
    let Some(mut after) = world.get(Kind::FloatingIp, id).cloned() else {
        return Err(Kind::FloatingIp.not_found(id));
    };
    let touches_port = change.is_empty() || change.contains_key("port_id") || change.contains_key("fixed_ip_address");
    let target = change.text("port_id").to_owned();
    if touches_port && !change.contains_key("fixed_ip_address") {
        after.set("fixed_ip_address", Value::Null);
    }
    after.extend(change);
    if touches_port {
        match target.as_str() {
            "" => free(&mut after),
            target => associate(world, caller, &mut after, target)?,
        }
    }
    world.revise(Kind::FloatingIp, id, |floating| *floating = after);
    Ok(())
}

pub(super) fn delete(world: &mut World, id: &str) {
    let is_it = |port: &&Object| port.text("device_id") == id && port.text("device_owner") == OWNER;
    let own = world.all(Kind::Port).find(is_it).map(|port| port.text("id").to_owned());
    if let Some(port) = own {
        world.remove(Kind::Port, &port);
    }
    world.remove(Kind::FloatingIp, id);
}

fn associate(world: &World, caller: &Caller, floating: &mut Object, target: &str) -> Result<(), Refusal> {
    let port = find(world, caller, Kind::Port, target)?;
    let wanted = floating.text("fixed_ip_address").to_owned();
    let mut candidates = fixed_ips(port).filter(|(_, address)| address.is_ipv4());
    let fixed = match wanted.as_str() {
        "" => candidates.next(),
        wanted => candidates.find(|(_, address)| address.to_string() == wanted),
    };
    let Some((subnet, address)) = fixed else {
        let message = match wanted.as_str() {
            "" => format!("Cannot add floating IP to port {target} that has no fixed IPv4 addresses"),
            wanted => format!("Port {target} does not have fixed ip {wanted}"),
        };
        return Err(Refusal::bad("floatingip", message));
    };
    let network = floating.text("floating_network_id");
    let router =
        routers::between(world, network, subnet).ok_or_else(|| routers::unreachable(network, subnet, target))?;
    let address = address.to_string();
    let taken = world.all(Kind::FloatingIp).any(|other| {
        other.text("id") != floating.text("id")
            && other.text("port_id") == target
            && other.text("fixed_ip_address") == address
            && other.text("floating_network_id") == network
    });
    if taken {
        return Err(Refusal::conflict(
            "FloatingIPPortAlreadyAssociated",
            format!(
                "Cannot associate floating IP {} ({}) with port {target} using fixed IP {address}, as that fixed IP \
                 already has a floating IP on external network {network}.",
                floating.text("floating_ip_address"),
                floating.text("id")
            ),
        ));
    }
    let router = router.to_owned();
    floating.set("port_id", target);
    floating.set("fixed_ip_address", address);
    floating.set("router_id", router);
    floating.set("status", "ACTIVE");
    Ok(())
}

fn free(floating: &mut Object) {
    for name in ["port_id", "fixed_ip_address", "router_id"] {
        floating.set(name, Value::Null);
    }
    floating.set("status", "DOWN");
}

/// Frees the floating IPs of a port that goes.
pub(super) fn port_gone(world: &mut World, port: &str) {
    let associated = world.all(Kind::FloatingIp).filter(|floating| floating.text("port_id") == port);
    let ids: Vec<_> = associated.map(|floating| floating.text("id").to_owned()).collect();
    ids.iter().for_each(|id| world.revise(Kind::FloatingIp, id, free));
}

/// Whether a floating IP needs a router's interface on a subnet.
pub(super) fn use_router(world: &World, router: &str, subnet: &str) -> bool {
    world.all(Kind::FloatingIp).filter(|floating| floating.text("router_id") == router).any(|floating| {
        let port = world.get(Kind::Port, floating.text("port_id"));
        port.is_some_and(|port| fixed_ips(port).any(|(other, _)| other == subnet))
    })
}
