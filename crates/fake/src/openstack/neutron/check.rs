//! Checking and converting the values of attributes, with the words Neutron has for what is wrong.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use crate::openstack::refusal::Refusal;

/// What an attribute takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Check {
    Any,
    Text(usize),
    TextNotBlank(usize),
    TextOrNull(usize),
    Texts,
    Bool,
    NonNegative,
    IntOrNull,
    OneOf(&'static [&'static str]),
    OneOfNumbers(&'static [i64]),
    Uuid,
    UuidOrNull,
    UuidsOrNull,
    Mac,
    IpOrNull,
    Nameservers,
    CidrOrNull,
    Cidrs,
    Pools,
    HostRoutes,
    FixedIps,
    AddressPairs,
    PortNumber,
    Gateway,
    ObjectOrNull,
    SubPorts,
    ListOrNull,
}

impl Check {
    /// The value as it is kept, or what is wrong with it.
    pub(crate) fn accept(self, name: &str, value: Value) -> Result<Value, Refusal> {
        let wrong = |reason: String| Refusal::invalid_attribute(name, reason);
        match self {
            Check::Any => Ok(value),
            Check::TextOrNull(_) | Check::UuidOrNull | Check::IpOrNull | Check::CidrOrNull | Check::ObjectOrNull
                if value.is_null() =>
            {
                Ok(value)
            }
            Check::UuidsOrNull | Check::ListOrNull | Check::AddressPairs | Check::HostRoutes | Check::Nameservers
                if value.is_null() =>
            {
                Ok(json!([]))
            }
            Check::IntOrNull | Check::PortNumber | Check::Gateway if value.is_null() => Ok(value),
            Check::Text(longest) | Check::TextOrNull(longest) => match value.as_str() {
                None => Err(wrong(format!("'{}' is not a valid string", shown(&value)))),
                Some(text) if text.chars().count() > longest => {
                    Err(wrong(format!("'{text}' exceeds maximum length of {longest}")))
                }
                Some(_) => Ok(value),
            },
            Check::TextNotBlank(_) if value.as_str().is_some_and(|text| text.trim().is_empty()) => {
                Err(wrong(format!("'{}' Blank strings are not permitted", shown(&value))))
            }
            Check::TextNotBlank(longest) => Check::Text(longest).accept(name, value),
            Check::Texts => list(name, value, |item| match item.as_str() {
                None => Err(wrong(format!("'{}' is not a valid string", shown(&item)))),
                Some(_) => Ok(item),
            }),
            Check::Bool => boolean(&value).map(Value::Bool),
            Check::NonNegative => match number(&value)? {
                negative @ ..0 => Err(wrong(format!("'{negative}' should be non-negative"))),
                number => Ok(json!(number)),
            },
            Check::IntOrNull => number(&value).map(|number| json!(number)),
            Check::OneOf(words) => match value.as_str().is_some_and(|word| words.contains(&word)) {
                true => Ok(value),
                false => Err(wrong(format!("{} is not in valid_values", shown(&value)))),
            },
            Check::OneOfNumbers(numbers) => match number(&value)? {
                number if numbers.contains(&number) => Ok(json!(number)),
                _ => Err(wrong(format!("{} is not in valid_values", shown(&value)))),
            },
            Check::Uuid | Check::UuidOrNull => uuid(name, value),
            Check::UuidsOrNull => {
                let value = list(name, value, |item| uuid(name, item))?;
                without_duplicates(name, &value)?;
                Ok(value)
            }
            Check::Mac => mac(name, &value),
            Check::IpOrNull => address(name, &value).map(|address| json!(address.to_string())),
            Check::Nameservers => list(name, value, |item| match item.as_str().and_then(|text| text.parse().ok()) {
                Some(address) => Ok(json!(IpAddr::to_string(&address))),
                None => {
                    let item = shown(&item);
                    Err(wrong(format!("'{item}' is not a valid nameserver. '{item}' is not a valid IP address")))
                }
            }),
            Check::CidrOrNull => {
                let text = value.as_str().unwrap_or_default();
                let unreadable = || Refusal::invalid_input(format!("{} is not in a CIDR format", shown(&value)));
                let cidr: IpNet = text.parse().map_err(|_| unreadable())?;
                Ok(json!(cidr.trunc().to_string()))
            }
            Check::Cidrs => {
                let value = list(name, value, |item| strict_cidr(name, &item))?;
                without_duplicates(name, &value)?;
                Ok(value)
            }
            Check::Pools => list(name, value, |pool| {
                let end = |key: &str| address(name, &pool[key]);
                Ok(json!({"start": end("start")?.to_string(), "end": end("end")?.to_string()}))
            }),
            Check::HostRoutes => list(name, value, |route| {
                let next = address(name, &route["nexthop"])?;
                strict_cidr(name, &route["destination"])
                    .map_err(|_| wrong(format!("'{}' is not a valid CIDR", shown(&route["destination"]))))?;
                Ok(json!({"destination": route["destination"], "nexthop": next.to_string()}))
            }),
            Check::FixedIps => fixed_ips(name, value),
            Check::AddressPairs => match value {
                Value::Array(pairs) => pairs.into_iter().map(|pair| address_pair(name, pair)).collect(),
                _ => Err(Refusal::bad_request("Allowed address pairs must be a list.")),
            },
            Check::PortNumber => match number(&value) {
                Ok(number) if (0..=65535).contains(&number) => Ok(json!(number)),
                _ => {
                    let message = format!("Invalid value for port {}", shown(&value));
                    Err(Refusal::new(http::StatusCode::BAD_REQUEST, "SecurityGroupInvalidPortValue", message))
                }
            },
            Check::SubPorts => match &value {
                Value::Array(sub_ports) => {
                    let port = |sub_port: &Value| sub_port["port_id"].as_str().map(str::to_owned).unwrap_or_default();
                    let bad = sub_ports.iter().map(port).find(|port| uuid::Uuid::try_parse(port).is_err());
                    bad.map_or(Ok(value), |port| Err(wrong(format!("Invalid UUID for subport: '{port}'"))))
                }
                _ => Err(wrong(format!("Invalid data format for subports: '{}' is not a list", shown(&value)))),
            },
            Check::Gateway => match value.as_object().map(|gateway| gateway.get("network_id")) {
                None => Err(wrong(format!("'{}' is not a dictionary", shown(&value)))),
                Some(None) if value == json!({}) => Ok(Value::Null),
                Some(None) => {
                    Err(wrong("Validation of dictionary's keys failed. Expected keys: {'network_id'}".to_owned()))
                }
                Some(Some(network)) => uuid(name, network.clone()).map(|_| value),
            },
            Check::ObjectOrNull => match value.is_object() {
                true => Ok(value),
                false => Err(wrong(format!("'{}' is not a dictionary", shown(&value)))),
            },
            Check::ListOrNull => list(name, value, Ok),
        }
    }
}

/// A value inside of a message, as Python shows it.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string().replace('"', "'").replace("':", "': ").replace(",'", ", '"),
    }
}

/// `convert_to_boolean`.
pub(crate) fn boolean(value: &Value) -> Result<bool, Refusal> {
    let text = match value {
        Value::Bool(flag) => return Ok(*flag),
        other => shown(other).to_lowercase(),
    };
    match text.as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Refusal::invalid_input(format!("'{}' cannot be converted to boolean", shown(value)))),
    }
}

/// `convert_to_int`.
fn number(value: &Value) -> Result<i64, Refusal> {
    let number = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| Refusal::invalid_input(format!("'{}' is not an integer", shown(value))))
}

fn list(name: &str, value: Value, each: impl FnMut(Value) -> Result<Value, Refusal>) -> Result<Value, Refusal> {
    match value {
        Value::Array(items) => items.into_iter().map(each).collect(),
        other => Err(Refusal::invalid_attribute(name, format!("'{}' is not a list", shown(&other)))),
    }
}

fn without_duplicates(name: &str, value: &Value) -> Result<(), Refusal> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    match items.iter().enumerate().find(|(position, item)| items[..*position].contains(item)) {
        Some((_, twice)) => {
            Err(Refusal::invalid_attribute(name, format!("Duplicate items in the list: '{}'", shown(twice))))
        }
        None => Ok(()),
    }
}

fn uuid(name: &str, value: Value) -> Result<Value, Refusal> {
    let text = value.as_str().unwrap_or_default();
    match uuid::Uuid::try_parse(text) {
        Ok(_) => Ok(value),
        Err(_) => Err(Refusal::invalid_attribute(name, format!("'{}' is not a valid UUID", shown(&value)))),
    }
}

fn mac(name: &str, value: &Value) -> Result<Value, Refusal> {
    let text = value.as_str().unwrap_or_default().to_lowercase();
    let parts: Vec<_> = text.split([':', '-']).collect();
    let is_octet = |part: &&str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    if parts.len() == 6 && parts.iter().all(is_octet) && text != "00:00:00:00:00:00" {
        Ok(json!(parts.join(":")))
    } else {
        Err(Refusal::invalid_attribute(name, format!("'{}' is not a valid MAC address", shown(value))))
    }
}

fn address(name: &str, value: &Value) -> Result<IpAddr, Refusal> {
    let parsed = value.as_str().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| Refusal::invalid_attribute(name, format!("'{}' is not a valid IP address", shown(value))))
}

/// A prefix with no bits set outside of its mask.
fn strict_cidr(name: &str, value: &Value) -> Result<Value, Refusal> {
    let text = value.as_str().unwrap_or_default();
    let recommended = match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
        (Ok(cidr), _) if cidr.trunc() == cidr => return Ok(json!(cidr.to_string())),
        (Ok(cidr), _) => cidr.trunc(),
        (_, Ok(address)) => IpNet::from(address),
        _ => return Err(Refusal::invalid_attribute(name, format!("'{}' is not a valid IP subnet", shown(value)))),
    };
    let reason = format!("'{text}' isn't a recognized IP subnet cidr, '{recommended}' is recommended");
    Err(Refusal::invalid_attribute(name, reason))
}

fn fixed_ips(name: &str, value: Value) -> Result<Value, Refusal> {
    let invalid = |value: &Value| {
        Refusal::invalid_attribute(name, format!("Invalid data format for fixed IP: '{}'", shown(value)))
    };
    let Value::Array(items) = value else {
        return Err(invalid(&value));
    };
    let mut seen = Vec::new();
    let mut checked = Vec::new();
    for item in items {
        let Value::Object(mut fixed) = item else {
            return Err(invalid(&item));
        };
        if let Some(ip) = fixed.get("ip_address").filter(|ip| !ip.is_null()) {
            let ip = address(name, ip)?;
            let key = (ip, fixed.get("subnet_id").cloned());
            if seen.contains(&key) {
                return Err(Refusal::invalid_attribute(name, format!("Duplicate IP address '{ip}'")));
            }
            seen.push(key);
            fixed.insert("ip_address".to_owned(), json!(ip.to_string()));
        }
        if let Some(subnet) = fixed.get("subnet_id") {
            uuid(name, subnet.clone())?;
        }
        checked.push(Value::Object(fixed));
    }
    Ok(Value::Array(checked))
}

fn address_pair(name: &str, pair: Value) -> Result<Value, Refusal> {
    let Value::Object(pair) = pair else {
        return Err(Refusal::bad_request("Allowed address pairs must be a list."));
    };
    if let Some(unknown) = pair.keys().find(|key| !matches!(key.as_str(), "ip_address" | "mac_address")) {
        return Err(Refusal::invalid_attribute(name, format!("Unrecognized attribute(s) '{unknown}'")));
    }
    let mut checked = Map::new();
    if let Some(given) = pair.get("mac_address") {
        checked.insert("mac_address".to_owned(), mac(name, given)?);
    }
    let ip = pair.get("ip_address").and_then(Value::as_str).unwrap_or_default();
    if ip.parse::<IpAddr>().is_err() && ip.parse::<IpNet>().is_err() {
        let missing = "AllowedAddressPair must contain ip_address";
        return Err(match ip {
            "" => Refusal::new(http::StatusCode::BAD_REQUEST, "AllowedAddressPairsMissingIP", missing),
            _ => Refusal::bad_request(format!("'{ip}' is not a valid IP address")),
        });
    }
    checked.insert("ip_address".to_owned(), json!(ip));
    Ok(Value::Object(checked))
}

/// The address a host makes from its hardware address in a prefix (EUI-64, RFC 4291 appendix A).
pub(crate) fn eui64(prefix: Ipv6Addr, mac: &str) -> Ipv6Addr {
    let mut octets = mac.split(':').map(|octet| u128::from_str_radix(octet, 16).unwrap_or(0));
    let mut next = || octets.next().unwrap_or(0);
    let (a, b, c, d, e, f) = (next() ^ 2, next(), next(), next(), next(), next());
    let host = a << 56 | b << 48 | c << 40 | 0xff_fe << 24 | d << 16 | e << 8 | f;
    Ipv6Addr::from_bits(prefix.to_bits() & (u128::MAX << 64) | host)
}

/// The number of an address, for arithmetic within its family.
pub(crate) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address with a number, in the family of another.
pub(crate) fn address_like(family: IpAddr, bits: u128) -> IpAddr {
    match family {
        IpAddr::V4(_) => Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX)).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(check: Check, value: Value) -> String {
        check.accept("x", value).expect_err("to be refused").message
    }

    #[test]
    fn values_are_converted() {
        for (check, given, kept) in [
            (Check::Bool, json!("True"), json!(true)),
            (Check::Bool, json!(0), json!(false)),
            (Check::NonNegative, json!("22"), json!(22)),
            (Check::CidrOrNull, json!("10.0.0.7/24"), json!("10.0.0.0/24")),
            (Check::IpOrNull, json!("FD00:0::1"), json!("fd00::1")),
            (Check::Mac, json!("FA-16-3E-00-00-01"), json!("fa:16:3e:00:00:01")),
            (Check::UuidsOrNull, json!(null), json!([])),
        ] {
            assert_eq!(check.accept("x", given.clone()).unwrap(), kept, "{check:?} {given}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_neutrons_words() {
        assert_eq!(refused(Check::Text(255), json!(5)), "Invalid input for x. Reason: '5' is not a valid string.");
        assert_eq!(refused(Check::Uuid, json!("zz")), "Invalid input for x. Reason: 'zz' is not a valid UUID.");
        assert_eq!(
            refused(Check::Bool, json!(null)),
            "Invalid input for operation: 'None' cannot be converted to boolean."
        );
        assert_eq!(
            refused(Check::Cidrs, json!(["10.0.0.1"])),
            "Invalid input for x. Reason: '10.0.0.1' isn't a recognized IP subnet cidr, '10.0.0.1/32' is recommended."
        );
        assert_eq!(
            refused(Check::FixedIps, json!("x")),
            "Invalid input for x. Reason: Invalid data format for fixed IP: 'x'."
        );
    }

    #[test]
    fn a_host_makes_its_address_from_its_hardware_address() {
        let made = eui64("fd97::".parse().unwrap(), "fa:16:3e:c6:6e:ad");
        assert_eq!(made.to_string(), "fd97::f816:3eff:fec6:6ead");
    }
}
