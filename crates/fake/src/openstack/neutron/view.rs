//! Resources as they are shown: with what is derived from others, and without what the caller may not see.

use serde_json::{Value, json};

use super::body::attributes;
use super::kind::Kind;
use super::policy::Caller;
use crate::openstack::world::{Attributes, Object, World};

/// The resource as the caller sees it. `fields` are the attributes wanted, all if there are none: what nobody wants is not
/// derived.
pub(super) fn present(world: &World, caller: &Caller, kind: Kind, object: &Object, fields: &[&str]) -> Object {
    let mut shown = object.clone();
    if kind == Kind::Network && !object.flag("router:external") {
        shown.remove("is_default");
    }
    if kind == Kind::SubnetPool {
        // Neutron answers numbers it was given as numbers as text here.
        for name in ["default_prefixlen", "min_prefixlen", "max_prefixlen"] {
            if let Some(length) = object.get(name).filter(|length| length.is_number()) {
                shown.set(name, length.to_string());
            }
        }
    }
    if kind == Kind::AddressGroup {
        ["created_at", "updated_at", "revision_number"].into_iter().for_each(|name| drop(shown.remove(name)));
    }
    let wants = |name: &str| fields.is_empty() || fields.contains(&name);
    let id = object.text("id");
    match kind {
        Kind::Network if wants("subnets") => {
            let subnets: Vec<_> = world.within(Kind::Subnet, id).map(|subnet| subnet.text("id")).collect();
            shown.set("subnets", json!(subnets));
        }
        Kind::SecurityGroup if wants("security_group_rules") => {
            let rules = world.within(Kind::SecurityGroupRule, id);
            // Only here rules show tags, which they cannot have.
            let tagged = rules.cloned().map(|mut rule| {
                rule.set("tags", json!([]));
                Value::Object(rule)
            });
            shown.set("security_group_rules", tagged.collect::<Vec<_>>());
        }
        Kind::Port if wants("trunk_details") => {
            if let Some(trunk) = world.all(Kind::Trunk).find(|trunk| trunk.text("port_id") == id) {
                shown.set("trunk_details", trunk_details(world, trunk));
            }
        }
        Kind::FloatingIp if wants("port_details") => {
            let port = world.get(Kind::Port, object.text("port_id"));
            shown.set("port_details", port.map(port_details));
        }
        _ => {}
    }
    let unseen = |name: &str| {
        attributes(kind).any(|attribute| {
            attribute.name == name && (attribute.is_invisible() || attribute.is_hidden() && !caller.admin)
        })
    };
    shown.retain(|name, _| !unseen(name));
    shown
}

/// What a port's `trunk_details` say of its trunk (extension `trunk-details`).
fn trunk_details(world: &World, trunk: &Object) -> Value {
    let sub_ports = trunk.items("sub_ports").iter().map(|sub_port| {
        let mut shown = sub_port.clone();
        let port = sub_port["port_id"].as_str().and_then(|id| world.get(Kind::Port, id));
        shown["mac_address"] = json!(port.map(|port| port.text("mac_address")));
        shown
    });
    json!({"trunk_id": trunk.text("id"), "sub_ports": sub_ports.collect::<Vec<_>>()})
}

/// What a floating IP's `port_details` say of its port (extension `fip-port-details`).
fn port_details(port: &Object) -> Value {
    let names = ["name", "network_id", "mac_address", "admin_state_up", "status", "device_id", "device_owner"];
    names
        .into_iter()
        .map(|name| (name.to_owned(), port.get(name).cloned().unwrap_or_default()))
        .collect::<Object>()
        .into()
}
