//! Trunks and their subports.

use http::Method;
use serde_json::{Value, json};

use super::admit;
use super::body::parse;
use super::check::{Check, shown};
use super::kind::Kind;
use super::policy::{Caller, find, find_own};
use crate::openstack::refusal::Refusal;
use crate::openstack::request::{Answer, Ask};
use crate::openstack::world::{Attributes, Object, World};

/// `device_owner` of a port that is part of a trunk.
const SUBPORT: &str = "trunk:subport";

pub(super) fn create(world: &mut World, caller: &Caller, mut trunk: Object) -> Result<String, Refusal> {
    let parent = trunk.text("port_id").to_owned();
    find(world, caller, Kind::Port, &parent)?;
    refuse_if_trunked(world, &parent)?;
    let sub_ports = trunk.remove("sub_ports").unwrap_or_default();
    trunk.set("sub_ports", json!([]));
    trunk.set("status", "ACTIVE");
    let id = admit(world, Kind::Trunk, trunk);
    let wanted = sub_ports.as_array().cloned().unwrap_or_default();
    if !wanted.is_empty() {
        let sub_ports = attach(world, caller, &id, &wanted)?;
        if let Some(mut trunk) = world.get(Kind::Trunk, &id).cloned() {
            trunk.set("sub_ports", sub_ports);
            world.put(Kind::Trunk, trunk);
        }
    }
    Ok(id)
}

pub(super) fn update(world: &mut World, id: &str, change: Object) {
    world.revise(Kind::Trunk, id, |trunk| trunk.extend(change));
}

pub(super) fn delete(world: &mut World, id: &str) -> Result<(), Refusal> {
    let sub_ports = enabled(world, id)?.items("sub_ports").to_vec();
    sub_ports.iter().filter_map(|sub_port| sub_port["port_id"].as_str()).for_each(|port| release(world, port));
    world.remove(Kind::Trunk, id);
    Ok(())
}

/// Answers `/v2.0/trunks/<id>/{add_subports,remove_subports,get_subports}`.
pub(super) fn act(world: &mut World, caller: &Caller, id: &str, action: &str, ask: &Ask) -> Result<Answer, Refusal> {
    match (&ask.method, action) {
        (&Method::GET, "get_subports") => {
            let trunk = find(world, caller, Kind::Trunk, id)?;
            return Ok(Answer::ok(json!({"sub_ports": trunk.items("sub_ports")})));
        }
        (&Method::PUT, "add_subports" | "remove_subports") => {}
        _ => return Err(Refusal::no_such_path()),
    }
    find_own(world, caller, Kind::Trunk, id, action)?;
    let body = parse(&ask.body)?;
    let wanted = body.get("sub_ports").ok_or_else(Refusal::internal_error)?;
    let wanted = wanted.as_array().ok_or_else(|| {
        Refusal::invalid_input(format!("Invalid data format for subports: '{}' is not a list", shown(wanted)))
    })?;
    match action {
        "add_subports" => join(world, caller, id, wanted)?,
        _ => part(world, id, wanted)?,
    }
    let trunk = find(world, caller, Kind::Trunk, id)?;
    Ok(Answer::ok(Value::Object(trunk.clone())))
}

fn join(world: &mut World, caller: &Caller, id: &str, wanted: &[Value]) -> Result<(), Refusal> {
    let all = attach(world, caller, id, wanted)?;
    world.revise(Kind::Trunk, id, |trunk| trunk.set("sub_ports", all));
    follow_parent(world, id);
    Ok(())
}

/// Makes ports subports. The answer is all of the trunk's.
fn attach(world: &mut World, caller: &Caller, id: &str, wanted: &[Value]) -> Result<Vec<Value>, Refusal> {
    let mut sub_ports = Vec::new();
    for want in wanted {
        let sub_port = check(world, caller, want)?;
        if sub_ports.iter().any(|other: &Value| other["port_id"] == sub_port["port_id"]) {
            let message = format!("Non unique UUID for subport: '{}'", shown(&sub_port["port_id"]));
            return Err(Refusal::invalid_input(message));
        }
        sub_ports.push(sub_port);
    }
    let parent = enabled(world, id)?.text("port_id").to_owned();
    let mut all = enabled(world, id)?.items("sub_ports").to_vec();
    for sub_port in sub_ports {
        let (kind, number) = (&sub_port["segmentation_type"], &sub_port["segmentation_id"]);
        if all.iter().any(|other| other["segmentation_type"] == *kind && other["segmentation_id"] == *number) {
            let message =
                format!("segmentation_type {} and segmentation_id {number} already in use on trunk {id}.", shown(kind));
            return Err(Refusal::conflict("DuplicateSubPort", message));
        }
        all.push(sub_port.clone());
        if let Some(port) = sub_port["port_id"].as_str() {
            let profile = json!({"parent_name": parent, "tag": number});
            world.revise(Kind::Port, port, |port| {
                port.set("device_owner", SUBPORT);
                port.set("binding:profile", profile);
            });
        }
    }
    Ok(all)
}

fn part(world: &mut World, id: &str, wanted: &[Value]) -> Result<(), Refusal> {
    let mut left = enabled(world, id)?.items("sub_ports").to_vec();
    for want in wanted {
        let port = want["port_id"].as_str().unwrap_or_default();
        let Some(position) = left.iter().position(|sub_port| sub_port["port_id"] == port) else {
            let message = format!("SubPort {port} on trunk {id} could not be found.");
            return Err(Refusal::not_found("SubPortNotFound", message));
        };
        left.remove(position);
        release(world, port);
    }
    world.revise(Kind::Trunk, id, |trunk| trunk.set("sub_ports", left));
    follow_parent(world, id);
    Ok(())
}

/// A subport as it is kept, or what is wrong with it.
fn check(world: &World, caller: &Caller, want: &Value) -> Result<Value, Refusal> {
    let port = want["port_id"].as_str().filter(|port| uuid::Uuid::try_parse(port).is_ok());
    let port = port.ok_or_else(|| Refusal::invalid_input("A valid port UUID must be specified"))?;
    let (Some(kind), Some(number)) = (want.get("segmentation_type"), want.get("segmentation_id")) else {
        return Err(Refusal::invalid_input(format!(
            "Invalid subport details '{}': missing segmentation information. Must specify both segmentation_id and \
             segmentation_type",
            shown(want)
        )));
    };
    if kind != "vlan" {
        return Err(Refusal::invalid_input(format!("Unknown segmentation_type '{}'", shown(kind))));
    }
    let number = Check::IntOrNull.accept("segmentation_id", number.clone()).map_err(|_| {
        let message = format!("Invalid subport details: segmentation_id '{}' is not an integer", shown(number));
        Refusal::invalid_input(message)
    })?;
    if !number.as_i64().is_some_and(|number| (1..=4094).contains(&number)) {
        return Err(Refusal::invalid_input(format!("Segmentation ID '{}' is not in range", shown(&number))));
    }
    let object = find(world, caller, Kind::Port, port)?;
    refuse_if_trunked(world, port)?;
    let device = object.text("device_id");
    if !device.is_empty() {
        let message = format!(
            "Unable to complete operation on port {port} for network {}. Port already has an attached device {device}.",
            object.text("network_id")
        );
        return Err(Refusal::conflict("PortInUse", message));
    }
    Ok(json!({"port_id": port, "segmentation_type": kind, "segmentation_id": number}))
}

/// The trunk, if it takes changes.
fn enabled<'a>(world: &'a World, id: &str) -> Result<&'a Object, Refusal> {
    let trunk = world.get(Kind::Trunk, id).ok_or_else(|| Kind::Trunk.not_found(id))?;
    match trunk.flag("admin_state_up") {
        true => Ok(trunk),
        false => Err(Refusal::conflict("TrunkDisabled", format!("Trunk {id} is currently disabled."))),
    }
}

fn release(world: &mut World, port: &str) {
    world.revise(Kind::Port, port, |port| {
        port.set("device_owner", "");
        port.set("status", "DOWN");
        port.set("binding:profile", json!({}));
        port.set("binding:vif_type", "unbound");
    });
}

/// The trunk a port is part of.
fn trunk_of<'a>(world: &'a World, port: &str) -> Option<&'a Object> {
    world.all(Kind::Trunk).find(|trunk| trunk.items("sub_ports").iter().any(|sub_port| sub_port["port_id"] == port))
}

fn trunk_on<'a>(world: &'a World, port: &str) -> Option<&'a Object> {
    world.all(Kind::Trunk).find(|trunk| trunk.text("port_id") == port)
}

fn refuse_if_trunked(world: &World, port: &str) -> Result<(), Refusal> {
    if trunk_of(world, port).is_some() {
        return Err(Refusal::conflict("TrunkPortInUse", format!("Port {port} is in use by another trunk.")));
    }
    if trunk_on(world, port).is_some() {
        let message = format!("Port {port} is currently in use and is not eligible for use as a parent port.");
        return Err(Refusal::conflict("ParentPortInUse", message));
    }
    Ok(())
}

/// 409 for deleting a port that is part of a trunk.
pub(super) fn refuse_if_in_use(world: &World, port: &str) -> Result<(), Refusal> {
    if let Some(trunk) = trunk_of(world, port) {
        let message = format!("Port {port} is currently a subport for trunk {}.", trunk.text("id"));
        return Err(Refusal::conflict("PortInUseAsSubPort", message));
    }
    if let Some(trunk) = trunk_on(world, port) {
        let message = format!("Port {port} is currently a parent port for trunk {}.", trunk.text("id"));
        return Err(Refusal::conflict("PortInUseAsTrunkParent", message));
    }
    Ok(())
}

/// Subports carry traffic when their parent does: with ML2/OVN they become ACTIVE without a binding of their own.
fn follow_parent(world: &mut World, id: &str) {
    let Some(trunk) = world.get(Kind::Trunk, id) else {
        return;
    };
    let status = world.get(Kind::Port, trunk.text("port_id")).map_or("DOWN", |port| port.text("status")).to_owned();
    let sub_ports: Vec<_> =
        trunk.items("sub_ports").iter().filter_map(|sub| sub["port_id"].as_str()).map(str::to_owned).collect();
    if trunk.text("status") != status {
        let mut trunk = trunk.clone();
        trunk.set("status", status.clone());
        world.put(Kind::Trunk, trunk);
    }
    for port in sub_ports {
        if world.get(Kind::Port, &port).is_some_and(|port| port.text("status") != status) {
            world.revise(Kind::Port, &port, |port| port.set("status", status.clone()));
        }
    }
}

/// A port's status changed: its trunk and its subports follow.
pub(crate) fn port_status_changed(world: &mut World, port: &str) {
    if let Some(id) = trunk_on(world, port).map(|trunk| trunk.text("id").to_owned()) {
        follow_parent(world, &id);
    }
}
