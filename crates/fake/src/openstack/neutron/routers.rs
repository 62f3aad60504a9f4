//! Routers: their interfaces and their gateways.

use http::{Method, StatusCode};
use ipnet::IpNet;
use serde_json::{Value, json};

use super::body::parse;
use super::kind::Kind;
use super::policy::{Caller, find, find_own};
use super::{admit, floating_ips, ports, subnets};
use crate::openstack::refusal::Refusal;
use crate::openstack::request::{Answer, Ask};
use crate::openstack::world::{Attributes, Object, World, fixed_ips};

const INTERFACE: &str = "network:router_interface";
const GATEWAY: &str = "network:router_gateway";

pub(super) fn create(world: &mut World, caller: &Caller, mut router: Object) -> Result<String, Refusal> {
    let gateway = router.remove("external_gateway_info").unwrap_or_default();
    for (name, value) in [
        ("external_gateway_info", Value::Null),
        ("status", json!("ACTIVE")),
        ("routes", json!([])),
        ("availability_zones", json!([])),
    ] {
        router.set(name, value);
    }
    let id = admit(world, Kind::Router, router);
    if !gateway.is_null() {
        let info = set_gateway(world, caller, &id, &gateway)?;
        if let Some(mut router) = world.get(Kind::Router, &id).cloned() {
            router.set("external_gateway_info", info);
            world.put(Kind::Router, router);
        }
    }
    Ok(id)
}

pub(super) fn update(world: &mut World, caller: &Caller, id: &str, mut change: Object) -> Result<(), Refusal> {
    if let Some(gateway) = change.get("external_gateway_info").cloned() {
        change.set("external_gateway_info", set_gateway(world, caller, id, &gateway)?);
    }
    world.revise(Kind::Router, id, |router| router.extend(change));
    Ok(())
}

pub(super) fn delete(world: &mut World, id: &str) -> Result<(), Refusal> {
    let attached: Vec<_> = interfaces(world, id).map(|port| port.text("id").to_owned()).collect();
    if !attached.is_empty() {
        let message = format!("Router {id} has ports still attached: {}", attached.join(", "));
        return Err(Refusal::conflict("RouterInUse", message));
    }
    drop_gateway(world, id);
    world.remove(Kind::Router, id);
    Ok(())
}

/// Answers `PUT /v2.0/routers/<id>/{add,remove}_router_interface`.
pub(super) fn act(world: &mut World, caller: &Caller, id: &str, action: &str, ask: &Ask) -> Result<Answer, Refusal> {
    if ask.method != Method::PUT || !matches!(action, "add_router_interface" | "remove_router_interface") {
        return Err(Refusal::no_such_path());
    }
    let router = find_own(world, caller, Kind::Router, id, action)?;
    let project = router.text("project_id").to_owned();
    let body = parse(&ask.body)?;
    let port = match action {
        "add_router_interface" => add_interface(world, caller, id, &project, &body)?,
        _ => remove_interface(world, id, &body)?,
    };
    world.revise(Kind::Router, id, |_| {});
    let subnets: Vec<_> = fixed_ips(&port).map(|(subnet, _)| subnet).collect();
    Ok(Answer::ok(json!({
        "id": id, "tenant_id": project, "port_id": port.text("id"), "network_id": port.text("network_id"),
        "subnet_id": subnets.first(), "subnet_ids": subnets,
    })))
}

fn add_interface(world: &mut World, caller: &Caller, id: &str, project: &str, body: &Value) -> Result<Object, Refusal> {
    let bad = |message: String| Err(Refusal::bad("router", message));
    for id in [&body["port_id"], &body["subnet_id"]].into_iter().filter_map(Value::as_str) {
        if uuid::Uuid::try_parse(id).is_err() {
            return bad(format!("'{id}' is not a valid UUID"));
        }
    }
    let port = match (body["port_id"].as_str(), body["subnet_id"].as_str()) {
        (Some(_), Some(_)) => return bad("Cannot specify both subnet-id and port-id".to_owned()),
        (None, None) => return bad("Either subnet_id or port_id must be specified".to_owned()),
        (Some(port), None) => {
            let object = find(world, caller, Kind::Port, port)?.clone();
            if !object.text("device_id").is_empty() {
                let message = format!(
                    "Unable to complete operation on port {port} for network {}. Port already has an attached device {}.",
                    object.text("network_id"),
                    object.text("device_id")
                );
                return Err(Refusal::conflict("PortInUse", message));
            }
            for (subnet, _) in fixed_ips(&object) {
                check_subnet(world, id, subnet)?;
            }
            world.revise(Kind::Port, port, |port| {
                port.set("device_id", id);
                port.set("device_owner", INTERFACE);
                port.set("status", "ACTIVE");
            });
            port.to_owned()
        }
        (None, Some(subnet)) => {
            let object = find(world, caller, Kind::Subnet, subnet)?.clone();
            let Some(gateway) = subnets::gateway(&object) else {
                return bad("Subnet for router interface must have a gateway IP".to_owned());
            };
            check_subnet(world, id, subnet)?;
            let fixed = json!({"subnet_id": subnet, "ip_address": gateway});
            let rest = json!({
                "device_id": id, "device_owner": INTERFACE, "status": "ACTIVE", "project_id": project,
                "tenant_id": project,
            });
            ports::create_own(world, object.text("network_id"), &[fixed], rest)?
        }
    };
    Ok(world.get(Kind::Port, &port).cloned().unwrap_or_default())
}

/// A router has one port on a subnet, and no two subnets that overlap.
fn check_subnet(world: &World, router: &str, subnet: &str) -> Result<(), Refusal> {
    let cidr_of = |id: &str| world.get(Kind::Subnet, id)?.text("cidr").parse::<IpNet>().ok();
    for other in interfaces(world, router).flat_map(|port| fixed_ips(port).map(|(subnet, _)| subnet)) {
        if other == subnet {
            return Err(Refusal::bad("router", format!("Router already has a port on subnet {subnet}")));
        }
        if let (Some(mine), Some(theirs)) = (cidr_of(subnet), cidr_of(other))
            && (mine.contains(&theirs) || theirs.contains(&mine))
        {
            let message = format!("Cidr {mine} of subnet {subnet} overlaps with cidr {theirs} of subnet {other}");
            return Err(Refusal::bad("router", message));
        }
    }
    Ok(())
}

fn remove_interface(world: &mut World, id: &str, body: &Value) -> Result<Object, Refusal> {
    let found = match (body["port_id"].as_str(), body["subnet_id"].as_str()) {
        (Some(port), _) => {
            let message = format!("Router {id} does not have an interface with id {port}");
            let found = interfaces(world, id).find(|object| object.text("id") == port);
            found.ok_or_else(|| Refusal::not_found("RouterInterfaceNotFound", message))?
        }
        (None, Some(subnet)) => {
            world.get(Kind::Subnet, subnet).ok_or_else(|| Kind::Subnet.not_found(subnet))?;
            let message = format!("Router {id} has no interface on subnet {subnet}");
            let has = |port: &&Object| fixed_ips(port).any(|(other, _)| other == subnet);
            let found = interfaces(world, id).find(has);
            found.ok_or_else(|| Refusal::not_found("RouterInterfaceNotFoundForSubnet", message))?
        }
        (None, None) => {
            let message = "Either subnet_id or port_id must be specified";
            return Err(Refusal::bad("router", message));
        }
    };
    let port = found.clone();
    if let Some(subnet) =
        fixed_ips(&port).map(|(subnet, _)| subnet).find(|subnet| floating_ips::use_router(world, id, subnet))
    {
        return Err(Refusal::conflict(
            "RouterInterfaceInUseByFloatingIP",
            format!(
                "Router interface for subnet {subnet} on router {id} cannot be deleted, as it is required by one or \
                 more floating IPs."
            ),
        ));
    }
    ports::remove(world, port.text("id"));
    Ok(port)
}

fn interfaces<'a>(world: &'a World, router: &'a str) -> impl Iterator<Item = &'a Object> {
    let attached = move |port: &&Object| port.text("device_id") == router && port.text("device_owner") == INTERFACE;
    world.all(Kind::Port).filter(attached)
}

/// Attaches a router to an external network, or to none. The answer is what `external_gateway_info` becomes.
fn set_gateway(world: &mut World, caller: &Caller, id: &str, wanted: &Value) -> Result<Value, Refusal> {
    let network = match wanted["network_id"].as_str() {
        None => {
            drop_gateway(world, id);
            return Ok(Value::Null);
        }
        Some(network) => find(world, caller, Kind::Network, network)?.clone(),
    };
    if !network.flag("router:external") {
        let message = format!("Network {} is not an external network", network.text("id"));
        return Err(Refusal::bad("router", message));
    }
    let snat = wanted.get("enable_snat").cloned().unwrap_or(json!(true));
    let current = gateway_port(world, id).cloned();
    let fixed = wanted["external_fixed_ips"].as_array().cloned().unwrap_or_default();
    let port = match current {
        Some(port) if port.text("network_id") == network.text("id") && fixed.is_empty() => port,
        _ => {
            drop_gateway(world, id);
            let rest = json!({"device_id": id, "device_owner": GATEWAY, "status": "ACTIVE"});
            let port = ports::create_own(world, network.text("id"), &fixed, rest)?;
            world.get(Kind::Port, &port).cloned().unwrap_or_default()
        }
    };
    Ok(json!({
        "network_id": network.text("id"), "enable_snat": snat, "external_fixed_ips": port.items("fixed_ips"),
    }))
}

fn gateway_port<'a>(world: &'a World, router: &str) -> Option<&'a Object> {
    let is_it = |port: &&Object| port.text("device_id") == router && port.text("device_owner") == GATEWAY;
    world.all(Kind::Port).find(is_it)
}

fn drop_gateway(world: &mut World, id: &str) {
    if let Some(port) = gateway_port(world, id).map(|port| port.text("id").to_owned()) {
        ports::remove(world, &port);
    }
}

/// The router between an external network and a subnet.
pub(super) fn between<'a>(world: &'a World, external: &str, subnet: &str) -> Option<&'a str> {
    let routers = world
        .all(Kind::Router)
        .filter(|router| router.get("external_gateway_info").is_some_and(|gateway| gateway["network_id"] == external));
    routers
        .map(|router| router.text("id"))
        .find(|router| interfaces(world, router).any(|port| fixed_ips(port).any(|(other, _)| other == subnet)))
}

/// 404 in place of a router.
pub(super) fn unreachable(external: &str, subnet: &str, port: &str) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "ExternalGatewayForFloatingIPNotFound",
        format!(
            "External network {external} is not reachable from subnet {subnet}.  Therefore, cannot associate Port \
             {port} with a Floating IP."
        ),
    )
}
