//! Rules of security groups.

use std::net::IpAddr;

use http::StatusCode;
use ipnet::IpNet;
use serde_json::{Value, json};

use super::admit;
use super::check::shown;
use super::kind::Kind;
use super::policy::{Caller, find, find_own};
use crate::openstack::refusal::Refusal;
use crate::openstack::world::{Attributes, Object, World};

/// Names of protocols and their numbers, as Neutron knows them.
const PROTOCOLS: [(&str, u8); 25] = [
    ("ah", 51),
    ("dccp", 33),
    ("egp", 8),
    ("esp", 50),
    ("gre", 47),
    ("hopopt", 0),
    ("icmp", 1),
    ("igmp", 2),
    ("ip", 0),
    ("ipip", 4),
    ("ipv6-encap", 41),
    ("ipv6-frag", 44),
    ("ipv6-icmp", 58),
    ("icmpv6", 58),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("ipv6-route", 43),
    ("ospf", 89),
    ("pgm", 113),
    ("rsvp", 46),
    ("sctp", 132),
    ("tcp", 6),
    ("udp", 17),
    ("udplite", 136),
    ("vrrp", 112),
];

/// The rules of one request: all of one group, and no two the same.
pub(super) fn check_bulk(rules: &[Object]) -> Result<(), Refusal> {
    let groups = |rule: &Object| rule.text("security_group_id").to_owned();
    if rules.windows(2).any(|pair| groups(&pair[0]) != groups(&pair[1])) {
        return Err(bad(
            "SecurityGroupNotSingleGroupRules",
            "Only allowed to update rules for one security profile at a time",
        ));
    }
    let twice =
        rules.iter().enumerate().any(|(position, rule)| rules[..position].iter().any(|other| same(rule, other)));
    match twice {
        true => Err(Refusal::conflict("DuplicateSecurityGroupRuleInPost", "Duplicate Security Group Rule in POST.")),
        false => Ok(()),
    }
}

pub(super) fn create(world: &mut World, caller: &Caller, mut rule: Object) -> Result<String, Refusal> {
    check(&mut rule)?;
    let group = rule.text("security_group_id").to_owned();
    find_own(world, caller, Kind::SecurityGroup, &group, "update")?;
    for (name, kind) in [("remote_group_id", Kind::SecurityGroup), ("remote_address_group_id", Kind::AddressGroup)] {
        if let Some(remote) = rule.get(name).and_then(Value::as_str) {
            find(world, caller, kind, remote)?;
        }
    }
    let twin = world.within(Kind::SecurityGroupRule, &group).find(|other| same(&rule, other));
    if let Some(twin) = twin {
        let message = format!("Security group rule already exists. Rule id is {}.", twin.text("id"));
        return Err(Refusal::conflict("SecurityGroupRuleExists", message));
    }
    let id = admit(world, Kind::SecurityGroupRule, rule);
    world.revise(Kind::SecurityGroup, &group, |_| {});
    Ok(id)
}

pub(super) fn delete(world: &mut World, id: &str) {
    let group = world.get(Kind::SecurityGroupRule, id).map(|rule| rule.text("security_group_id").to_owned());
    world.remove(Kind::SecurityGroupRule, id);
    if let Some(group) = group {
        world.revise(Kind::SecurityGroup, &group, |_| {});
    }
}

fn check(rule: &mut Object) -> Result<(), Refusal> {
    let ethertype = rule.get("ethertype").map(shown).unwrap_or_default();
    let ethertype = match ethertype.to_lowercase().as_str() {
        "ipv4" => "IPv4",
        "ipv6" => "IPv6",
        _ => {
            let message = format!(
                "Security group rule for ethertype '{ethertype}' not supported. Allowed values are ['IPv4', 'IPv6']."
            );
            return Err(bad("SecurityGroupRuleInvalidEtherType", message));
        }
    };
    rule.set("ethertype", ethertype);
    let number = protocol(rule)?;
    check_range(rule, number)?;
    let remotes = ["remote_ip_prefix", "remote_group_id", "remote_address_group_id"];
    if remotes.iter().filter(|name| !rule.text(name).is_empty()).count() > 1 {
        return Err(bad(
            "SecurityGroupMultipleRemoteEntites",
            "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.",
        ));
    }
    check_prefix(rule, ethertype)
}

/// The protocol's number; its name is kept in lower case.
fn protocol(rule: &mut Object) -> Result<Option<u8>, Refusal> {
    let given = match rule.get("protocol") {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => shown(value).to_lowercase(),
    };
    let named = PROTOCOLS.iter().find(|(name, _)| *name == given).map(|(_, number)| *number);
    let Some(number) = named.or_else(|| given.parse().ok()) else {
        let names: Vec<_> = PROTOCOLS.iter().map(|(name, _)| format!("'{name}'")).collect();
        let message = format!(
            "Security group rule protocol {given} not supported. Only protocol values [None, {}] and integer \
             representations [0 to 255] are supported.",
            names.join(", ")
        );
        return Err(bad("SecurityGroupRuleInvalidProtocol", message));
    };
    // Of ICMP there are two, and the family says which one is meant.
    let of_ipv6 = rule.text("ethertype") == "IPv6";
    let name = if of_ipv6 && matches!(given.as_str(), "icmp" | "icmpv6") { "ipv6-icmp" } else { &given };
    rule.set("protocol", name);
    Ok(Some(if name == "ipv6-icmp" { 58 } else { number }))
}

fn check_range(rule: &mut Object, protocol: Option<u8>) -> Result<(), Refusal> {
    let bound = |name: &str| rule.get(name).and_then(Value::as_i64);
    match (protocol, bound("port_range_min"), bound("port_range_max")) {
        (_, None, None) => Ok(()),
        (None, ..) => {
            Err(bad("SecurityGroupProtocolRequiredWithPorts", "Must also specify protocol if port range is given."))
        }
        (Some(1 | 58), kind, code) => {
            for (field, name, value) in [("port_range_min", "ICMP type", kind), ("port_range_max", "ICMP code", code)] {
                if let Some(value) = value.filter(|value| *value > 255) {
                    let message = format!("Invalid value for {name} ({field}) {value}. It must be 0 to 255.");
                    return Err(bad("SecurityGroupInvalidIcmpValue", message));
                }
            }
            match (kind, code) {
                (None, Some(code)) => {
                    let message = format!(
                        "ICMP code (port-range-max) {code} is provided but ICMP type (port-range-min) is missing."
                    );
                    Err(bad("SecurityGroupMissingIcmpType", message))
                }
                _ => Ok(()),
            }
        }
        (Some(6 | 17 | 33 | 132 | 136), from, to) => {
            if let Some(zero) = [from, to].into_iter().flatten().find(|port| *port == 0) {
                return Err(bad("SecurityGroupInvalidPortValue", format!("Invalid value for port {zero}")));
            }
            match (from, to) {
                // All ports are the same as none named.
                (Some(1), Some(65535)) => {
                    rule.set("port_range_min", Value::Null);
                    rule.set("port_range_max", Value::Null);
                    Ok(())
                }
                (Some(from), Some(to)) if from <= to => Ok(()),
                _ => Err(bad(
                    "SecurityGroupInvalidPortRange",
                    "For TCP/UDP protocols, port_range_min must be <= port_range_max",
                )),
            }
        }
        (Some(number), ..) => Err(bad(
            "SecurityGroupInvalidProtocolForPort",
            format!(
                "Ports cannot be specified for protocol {number}. Ports are only supported for DCCP, SCTP, TCP, UDP, \
                 UDPLITE."
            ),
        )),
    }
}

/// The prefix keeps how it was written, with a length; what it means is `normalized_cidr`.
fn check_prefix(rule: &mut Object, ethertype: &str) -> Result<(), Refusal> {
    let given = rule.text("remote_ip_prefix").to_owned();
    if given.is_empty() {
        rule.set("remote_ip_prefix", Value::Null);
        rule.set("normalized_cidr", Value::Null);
        return Ok(());
    }
    let (written, cidr) = match (given.parse::<IpNet>(), given.parse::<IpAddr>()) {
        (Ok(cidr), _) => (cidr.to_string(), cidr),
        (_, Ok(address)) => (IpNet::from(address).to_string(), IpNet::from(address)),
        _ => return Err(bad("InvalidCIDR", format!("Invalid CIDR {given} given as IP prefix."))),
    };
    if cidr.addr().is_ipv4() != (ethertype == "IPv4") {
        let message = format!("Conflicting value ethertype {ethertype} for CIDR {written}");
        return Err(bad("SecurityGroupRuleParameterConflict", message));
    }
    rule.set("remote_ip_prefix", written);
    rule.set("normalized_cidr", cidr.trunc().to_string());
    Ok(())
}

/// Whether two rules say the same.
fn same(a: &Object, b: &Object) -> bool {
    let number = |rule: &Object| {
        let name = rule.get("protocol").map(shown).unwrap_or_default();
        let named = PROTOCOLS.iter().find(|(known, _)| *known == name);
        named.map_or(name, |(_, number)| number.to_string())
    };
    // The whole of a family is the same as no prefix.
    let prefix = |rule: &Object| {
        rule.get("remote_ip_prefix")
            .filter(|prefix| !matches!(prefix.as_str(), Some("0.0.0.0/0" | "::/0") | None))
            .cloned()
    };
    let plain = [
        "security_group_id",
        "direction",
        "port_range_min",
        "port_range_max",
        "remote_group_id",
        "remote_address_group_id",
    ];
    let ethertype = |rule: &Object| rule.get("ethertype").map(|value| shown(value).to_lowercase());
    plain.iter().all(|name| a.get(*name).unwrap_or(&json!(null)) == b.get(*name).unwrap_or(&json!(null)))
        && ethertype(a) == ethertype(b)
        && number(a) == number(b)
        && prefix(a) == prefix(b)
}

fn bad(kind: &str, message: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, kind, message)
}
