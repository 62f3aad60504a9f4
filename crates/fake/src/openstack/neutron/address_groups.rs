//! Address groups: prefixes that rules of security groups refer to by one id.

use std::net::IpAddr;

use http::Method;
use ipnet::IpNet;
use serde_json::{Value, json};

use super::admit;
use super::body::parse;
use super::check::shown;
use super::kind::Kind;
use super::policy::{Caller, find_own};
use crate::openstack::refusal::Refusal;
use crate::openstack::request::{Answer, Ask};
use crate::openstack::world::{Attributes, Object, World};

pub(super) fn create(world: &mut World, mut group: Object) -> String {
    sort(&mut group);
    admit(world, Kind::AddressGroup, group)
}

pub(super) fn update(world: &mut World, id: &str, change: Object) {
    world.revise(Kind::AddressGroup, id, |group| group.extend(change));
}

pub(super) fn delete(world: &mut World, id: &str) -> Result<(), Refusal> {
    if world.all(Kind::SecurityGroupRule).any(|rule| rule.text("remote_address_group_id") == id) {
        let message = format!("Address group {id} is in use on one or more security group rules.");
        return Err(Refusal::conflict("AddressGroupInUse", message));
    }
    world.remove(Kind::AddressGroup, id);
    Ok(())
}

/// Answers `PUT /v2.0/address-groups/<id>/{add,remove}_addresses`.
pub(super) fn act(world: &mut World, caller: &Caller, id: &str, action: &str, ask: &Ask) -> Result<Answer, Refusal> {
    if ask.method != Method::PUT || !matches!(action, "add_addresses" | "remove_addresses") {
        return Err(Refusal::no_such_path());
    }
    let mut group = find_own(world, caller, Kind::AddressGroup, id, "update")?.clone();
    let named = parse(&ask.body)?["addresses"].take();
    let named: Vec<Value> = named.as_array().into_iter().flatten().map(prefix).collect::<Result<_, _>>()?;
    let mut addresses = group.items("addresses").to_vec();
    let known = |address: &&Value| group.items("addresses").contains(address);
    let text = |addresses: Vec<&Value>| {
        let quoted = addresses.into_iter().filter_map(Value::as_str).map(|address| format!("'{address}'"));
        format!("[{}]", quoted.collect::<Vec<_>>().join(", "))
    };
    if action == "add_addresses" {
        let twice: Vec<_> = named.iter().filter(known).collect();
        if !twice.is_empty() {
            let message = format!("Addresses {} already exist in the address group {id}.", text(twice));
            return Err(Refusal::new(http::StatusCode::BAD_REQUEST, "AddressesAlreadyExist", message));
        }
        addresses.extend(named);
    } else {
        let absent: Vec<_> = named.iter().filter(|address| !known(address)).collect();
        if !absent.is_empty() {
            let message = format!("Addresses {} not found in the address group {id}.", text(absent));
            return Err(Refusal::not_found("AddressesNotFound", message));
        }
        addresses.retain(|address| !named.contains(address));
    }
    group.set("addresses", addresses);
    sort(&mut group);
    world.revise(Kind::AddressGroup, id, |kept| *kept = group);
    let mut group = world.get(Kind::AddressGroup, id).cloned().unwrap_or_default();
    group.set("shared", false);
    Ok(Answer::ok(json!({"address_group": group})))
}

/// Other than in a POST, an address is as good as a prefix.
fn prefix(given: &Value) -> Result<Value, Refusal> {
    let text = given.as_str().unwrap_or_default();
    let prefix = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let message = format!("invalid IPNetwork {}", shown(given));
    prefix
        .map(|prefix| json!(prefix.trunc().to_string()))
        .ok_or_else(|| Refusal::new(http::StatusCode::BAD_REQUEST, "AddrFormatError", message))
}

fn sort(group: &mut Object) {
    if let Some(Value::Array(addresses)) = group.get_mut("addresses") {
        addresses.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    }
}
