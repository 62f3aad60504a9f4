//! Subnet pools: prefixes that subnets are cut from.

use http::StatusCode;
use ipnet::IpNet;
use serde_json::{Value, json};

use super::admit;
use super::check::{address_like, bits};
use super::kind::Kind;
use super::policy::{Caller, find};
use crate::openstack::refusal::Refusal;
use crate::openstack::world::{Attributes, Object, World};

pub(super) fn create(world: &mut World, mut pool: Object) -> Result<String, Refusal> {
    let version = check_prefixes(pool.items("prefixes"))?;
    pool.set("ip_version", version);
    for (name, default) in [("min_prefixlen", if version == 4 { 8 } else { 64 }), ("max_prefixlen", longest(version))] {
        pool.entry(name).or_insert(json!(default));
    }
    let shortest = pool.get("min_prefixlen").cloned().unwrap_or_default();
    pool.entry("default_prefixlen").or_insert(shortest);
    check_lengths(&pool)?;
    Ok(admit(world, Kind::SubnetPool, pool))
}

pub(super) fn update(world: &mut World, id: &str, change: Object) -> Result<(), Refusal> {
    let Some(mut after) = world.get(Kind::SubnetPool, id).cloned() else {
        return Err(Kind::SubnetPool.not_found(id));
    };
    after.extend(change.clone());
    check_prefixes(after.items("prefixes"))?;
    check_lengths(&after)?;
    world.revise(Kind::SubnetPool, id, |pool| pool.extend(change));
    Ok(())
}

pub(super) fn delete(world: &mut World, id: &str) -> Result<(), Refusal> {
    if world.all(Kind::Subnet).any(|subnet| subnet.text("subnetpool_id") == id) {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "SubnetPoolDeleteError",
            "Unable to delete subnet pool: Subnet pool has existing allocations.",
        ));
    }
    world.remove(Kind::SubnetPool, id);
    Ok(())
}

/// The prefix a subnet gets from its pool: the one it names, or the lowest free one of its length.
pub(super) fn carve(world: &World, caller: &Caller, subnet: &Object) -> Result<IpNet, Refusal> {
    let pool = find(world, caller, Kind::SubnetPool, subnet.text("subnetpool_id"))?;
    let version = subnet.get("ip_version").and_then(Value::as_i64).unwrap_or(4);
    if number(pool, "ip_version") != version {
        let message = format!("Cannot allocate IPv{version} subnet from IPv{} subnet pool", number(pool, "ip_version"));
        return Err(Refusal::bad("subnets", message));
    }
    let wanted: Option<IpNet> = subnet.text("cidr").parse().ok();
    let length = match (wanted, subnet.get("prefixlen").and_then(Value::as_i64)) {
        (Some(_), Some(_)) => return Err(Refusal::bad("subnets", "cidr and prefixlen must not be supplied together")),
        (Some(cidr), None) => i64::from(cidr.prefix_len()),
        (None, given) => given.unwrap_or_else(|| number(pool, "default_prefixlen")),
    };
    for (name, kind, word, wrong) in [
        ("min_prefixlen", "MinPrefixSubnetAllocationError", "minimum", length < number(pool, "min_prefixlen")),
        ("max_prefixlen", "MaxPrefixSubnetAllocationError", "maximum", length > number(pool, "max_prefixlen")),
    ] {
        if wrong {
            let message = format!(
                "Unable to allocate subnet with prefix length {length}, {word} allowed prefix is {}.",
                number(pool, name)
            );
            return Err(Refusal::new(StatusCode::BAD_REQUEST, kind, message));
        }
    }
    let cut: Vec<IpNet> = world
        .all(Kind::Subnet)
        .filter(|subnet| subnet.text("subnetpool_id") == pool.text("id"))
        .filter_map(|subnet| subnet.text("cidr").parse().ok())
        .collect();
    let prefixes = pool.items("prefixes").iter().filter_map(|prefix| prefix.as_str()?.parse::<IpNet>().ok());
    let refuse = |message: String| {
        let message = format!("Failed to allocate subnet: {message}");
        Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "SubnetAllocationError", message))
    };
    match wanted {
        Some(cidr) => {
            let fits = prefixes.into_iter().any(|prefix| prefix.contains(&cidr));
            let free = !cut.iter().any(|other| other.contains(&cidr) || cidr.contains(other));
            match fits && free {
                true => Ok(cidr),
                false => refuse("Cannot allocate requested subnet from the available set of prefixes.".to_owned()),
            }
        }
        None => {
            let length = u8::try_from(length).unwrap_or(u8::MAX);
            match prefixes.into_iter().find_map(|prefix| lowest_free(prefix, length, &cut)) {
                Some(cidr) => Ok(cidr),
                None => refuse(format!("Insufficient prefix space to allocate subnet size /{length}.")),
            }
        }
    }
}

fn lowest_free(prefix: IpNet, length: u8, cut: &[IpNet]) -> Option<IpNet> {
    if length < prefix.prefix_len() || length > prefix.max_prefix_len() {
        return None;
    }
    let mut start = bits(prefix.network());
    loop {
        let candidate = IpNet::new(address_like(prefix.network(), start), length).ok()?;
        if candidate.trunc() != candidate || !prefix.contains(&candidate) {
            return None;
        }
        match cut.iter().find(|other| other.contains(&candidate) || candidate.contains(*other)) {
            None => return Some(candidate),
            // On to the next place that is behind both.
            Some(other) => start = bits(other.broadcast()).max(bits(candidate.broadcast())).checked_add(1)?,
        }
    }
}

/// The family all prefixes are of.
fn check_prefixes(prefixes: &[Value]) -> Result<i64, Refusal> {
    let is_ipv6 = |prefix: &Value| prefix.as_str().is_some_and(|text| text.contains(':'));
    let refuse = |kind, message| Err(Refusal::new(StatusCode::BAD_REQUEST, kind, message));
    match (prefixes.iter().any(is_ipv6), prefixes.iter().all(is_ipv6)) {
        _ if prefixes.is_empty() => refuse("EmptySubnetPoolPrefixList", "Empty subnet pool prefix list."),
        (true, true) => Ok(6),
        (false, _) => Ok(4),
        _ => refuse("PrefixVersionMismatch", "Cannot mix IPv4 and IPv6 prefixes in a subnet pool."),
    }
}

fn check_lengths(pool: &Object) -> Result<(), Refusal> {
    let [shortest, default, length] =
        ["min_prefixlen", "default_prefixlen", "max_prefixlen"].map(|name| number(pool, name));
    let limit = longest(number(pool, "ip_version"));
    if length > limit {
        return Err(illegal(("max_prefixlen", length), ("ip_version_max", limit)));
    }
    if default < shortest {
        return Err(illegal(("default_prefixlen", default), ("min_prefixlen", shortest)));
    }
    if default > length {
        return Err(illegal(("default_prefixlen", default), ("max_prefixlen", length)));
    }
    Ok(())
}

fn illegal((name, length): (&str, i64), (bound, limit): (&str, i64)) -> Refusal {
    let message = format!("Illegal prefix bounds: {name}={length}, {bound}={limit}.");
    Refusal::new(StatusCode::BAD_REQUEST, "IllegalSubnetPoolPrefixBounds", message)
}

fn longest(version: i64) -> i64 {
    if version == 4 { 32 } else { 128 }
}

/// A number that may be kept as text.
fn number(object: &Object, name: &str) -> i64 {
    let value = object.get(name);
    value.and_then(|value| value.as_i64().or_else(|| value.as_str()?.parse().ok())).unwrap_or(0)
}
