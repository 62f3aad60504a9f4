//! CNI results of every version from 0.1.0 to 1.1.0 (specification, section "Success"; older shapes in its tags).

use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use crate::error::{CniError, code};
use crate::plug::Plugged;

/// A result, independent of its version. What we do not interpret is kept as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CniResult {
    /// Devices in the pod and on the host.
    pub(crate) interfaces: Vec<Interface>,
    /// Addresses.
    pub(crate) ips: Vec<Ip>,
    /// Routes inside the pod, as the objects of version 1.1.0.
    pub(crate) routes: Vec<Map<String, Value>>,
    /// `nameservers`, `domain`, `search`, `options`.
    pub(crate) dns: Map<String, Value>,
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) mac: Option<String>,
    pub(crate) mtu: Option<u64>,
    /// The network namespace; none for a device of the host.
    pub(crate) sandbox: Option<String>,
    pub(crate) socket_path: Option<String>,
    pub(crate) pci_id: Option<String>,
}

/// One address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ip {
    /// With prefix length.
    pub(crate) address: IpNet,
    pub(crate) gateway: Option<IpAddr>,
    /// Index into [`CniResult::interfaces`].
    pub(crate) interface: Option<usize>,
}

/// The versions' shapes differ in three places only.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// 0.1.0, 0.2.0: one address per family, no interfaces.
    FirstOfEachFamily,
    /// 0.3.0 to 0.4.0: `ips[].version`.
    VersionedIps,
    /// 1.0.0.
    Plain,
    /// 1.1.0: `mtu`, `socketPath`, `pciID`, more members of routes.
    Extended,
}

impl Shape {
    fn of(version: &str) -> Option<Self> {
        match version {
            "0.1.0" | "0.2.0" => Some(Self::FirstOfEachFamily),
            "0.3.0" | "0.3.1" | "0.4.0" => Some(Self::VersionedIps),
            "1.0.0" => Some(Self::Plain),
            "1.1.0" => Some(Self::Extended),
            _ => None,
        }
    }
}

impl CniResult {
    /// What was wired: the pod's devices first, so that runtimes find `CNI_IFNAME` and its addresses in front, then the
    /// host's ends in the same order.
    pub(crate) fn of(plugged: &Plugged, netns: &Path) -> Self {
        let mut result = Self::default();
        let sandbox = netns.display().to_string();
        let device = |name: &str, mac: &str, mtu: u32, sandbox: Option<String>| Interface {
            name: name.to_owned(),
            mac: Some(mac.to_owned()).filter(|mac| !mac.is_empty()),
            mtu: Some(u64::from(mtu)),
            sandbox,
            socket_path: None,
            pci_id: None,
        };
        let mut nameservers: Vec<&str> = Vec::new();
        for (index, interface) in plugged.interfaces.iter().enumerate() {
            result.interfaces.push(device(&interface.ifname, &interface.mac, interface.mtu, Some(sandbox.clone())));
            result.ips.extend(interface.addresses.iter().map(|(address, gateway)| Ip {
                address: *address,
                gateway: *gateway,
                interface: Some(index),
            }));
            result.routes.extend(interface.routes.iter().map(|route| {
                let mut object = Map::new();
                object.insert("dst".into(), json!(route.destination));
                if let Some(gateway) = route.gateway {
                    object.insert("gw".into(), json!(gateway));
                }
                object
            }));
            for server in &interface.dns {
                if !nameservers.contains(&server.as_str()) {
                    nameservers.push(server);
                }
            }
        }
        for interface in &plugged.interfaces {
            result.interfaces.push(device(&interface.host_ifname, &interface.host_mac, interface.mtu, None));
        }
        if !nameservers.is_empty() {
            result.dns.insert("nameservers".into(), json!(nameservers));
        }
        result
    }

    /// Puts ours behind what earlier plugins of the chain did (`prevResult`), which is passed through.
    pub(crate) fn after(self, previous: Self) -> Self {
        let mut joined = previous;
        let shift = joined.interfaces.len();
        joined.interfaces.extend(self.interfaces);
        joined
            .ips
            .extend(self.ips.into_iter().map(|ip| Ip { interface: ip.interface.map(|index| index + shift), ..ip }));
        joined.routes.extend(self.routes);
        if joined.dns.is_empty() {
            joined.dns = self.dns;
        }
        joined
    }

    /// The result as version `version` shapes it. The plugin has refused versions that do not exist.
    pub(crate) fn to_value(&self, version: &str) -> Value {
        let shape = Shape::of(version).unwrap_or(Shape::Extended);
        let mut object = Map::new();
        object.insert("cniVersion".into(), json!(version));
        if shape == Shape::FirstOfEachFamily {
            for (key, v4) in [("ip4", true), ("ip6", false)] {
                if let Some(ip) = self.ips.iter().find(|ip| ip.address.addr().is_ipv4() == v4) {
                    object.insert(key.into(), self.family(ip, v4));
                }
            }
        } else {
            let interfaces: Vec<Value> = self.interfaces.iter().map(|interface| interface.to_value(shape)).collect();
            object.insert("interfaces".into(), Value::Array(interfaces));
            object.insert("ips".into(), self.ips.iter().map(|ip| ip.to_value(shape)).collect());
            if !self.routes.is_empty() {
                object.insert("routes".into(), self.routes.iter().map(|route| route_value(route, shape)).collect());
            }
        }
        if !self.dns.is_empty() {
            object.insert("dns".into(), Value::Object(self.dns.clone()));
        }
        Value::Object(object)
    }

    fn family(&self, ip: &Ip, v4: bool) -> Value {
        let mut object = Map::new();
        object.insert("ip".into(), json!(ip.address));
        if let Some(gateway) = ip.gateway {
            object.insert("gateway".into(), json!(gateway));
        }
        let same_family = |route: &&Map<String, Value>| {
            route.get("dst").and_then(Value::as_str).is_some_and(|dst| dst.contains(':') != v4)
        };
        let shape = Shape::FirstOfEachFamily;
        let routes: Vec<Value> =
            self.routes.iter().filter(same_family).map(|route| route_value(route, shape)).collect();
        if !routes.is_empty() {
            object.insert("routes".into(), Value::Array(routes));
        }
        Value::Object(object)
    }

    /// Reads a `prevResult` by the version it declares, else by the configuration's.
    ///
    /// # Errors
    /// Code 7 naming the member that is wrong.
    pub(crate) fn parse(value: &Value, config_version: &str) -> Result<Self, CniError> {
        let wrong = |what: String| CniError::new(code::CONFIGURATION, format!("prevResult: {what}"));
        if !value.is_object() {
            return Err(wrong(format!("{value} is not an object")));
        }
        let version = value.get("cniVersion").and_then(Value::as_str).unwrap_or(config_version);
        let shape = Shape::of(version).ok_or_else(|| wrong(format!("cniVersion {version:?} is not supported")))?;
        let mut result = Self { dns: value["dns"].as_object().cloned().unwrap_or_default(), ..Self::default() };
        if shape == Shape::FirstOfEachFamily {
            for family in ["ip4", "ip6"].into_iter().filter_map(|key| value.get(key)).filter(|family| !family.is_null())
            {
                result.ips.push(Ip::parse(family, "ip").map_err(wrong)?);
                result.routes.extend(objects(family, "routes"));
            }
            return Ok(result);
        }
        let interfaces = value["interfaces"].as_array().into_iter().flatten();
        result.interfaces = interfaces.map(Interface::parse).collect::<Result<_, _>>().map_err(wrong)?;
        let ips = value["ips"].as_array().into_iter().flatten();
        result.ips = ips.map(|ip| Ip::parse(ip, "address")).collect::<Result<_, _>>().map_err(wrong)?;
        if let Some(index) = result.ips.iter().filter_map(|ip| ip.interface).find(|i| *i >= result.interfaces.len()) {
            return Err(wrong(format!("ips refer to interface {index}, which does not exist")));
        }
        result.routes = objects(value, "routes").collect();
        Ok(result)
    }
}

fn objects<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = Map<String, Value>> + 'a {
    value[key].as_array().into_iter().flatten().filter_map(Value::as_object).cloned()
}

fn route_value(route: &Map<String, Value>, shape: Shape) -> Value {
    let known = |key: &String| shape == Shape::Extended || matches!(key.as_str(), "dst" | "gw");
    Value::Object(route.iter().filter(|(key, _)| known(key)).map(|(k, v)| (k.clone(), v.clone())).collect())
}

impl Interface {
    fn to_value(&self, shape: Shape) -> Value {
        let mut object = Map::new();
        object.insert("name".into(), json!(self.name));
        let texts = [("mac", &self.mac, true), ("sandbox", &self.sandbox, true)];
        let new = shape == Shape::Extended;
        let newer = [("socketPath", &self.socket_path, new), ("pciID", &self.pci_id, new)];
        for (key, text, _) in texts.into_iter().chain(newer).filter(|(_, _, known)| *known) {
            if let Some(text) = text {
                object.insert(key.into(), json!(text));
            }
        }
        if let (true, Some(mtu)) = (new, self.mtu) {
            object.insert("mtu".into(), json!(mtu));
        }
        Value::Object(object)
    }

    fn parse(value: &Value) -> Result<Self, String> {
        let text = |key: &str| value[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        Ok(Self {
            name: text("name").ok_or_else(|| format!("interface without name: {value}"))?,
            mac: text("mac"),
            mtu: value["mtu"].as_u64(),
            sandbox: text("sandbox"),
            socket_path: text("socketPath"),
            pci_id: text("pciID"),
        })
    }
}

impl Ip {
    fn to_value(&self, shape: Shape) -> Value {
        let mut object = Map::new();
        object.insert("address".into(), json!(self.address));
        if let Some(gateway) = self.gateway {
            object.insert("gateway".into(), json!(gateway));
        }
        if let Some(interface) = self.interface {
            object.insert("interface".into(), json!(interface));
        }
        if shape == Shape::VersionedIps {
            object.insert("version".into(), json!(if self.address.addr().is_ipv4() { "4" } else { "6" }));
        }
        Value::Object(object)
    }

    fn parse(value: &Value, key: &str) -> Result<Self, String> {
        let text = value[key].as_str().unwrap_or_default();
        let address = text.parse().map_err(|_| format!("{key} {text:?} is not an address with prefix length"))?;
        let gateway = match value["gateway"].as_str().filter(|text| !text.is_empty()) {
            Some(text) => Some(text.parse().map_err(|_| format!("gateway {text:?} is not an IP address"))?),
            None => None,
        };
        // -1 or nothing: no interface.
        let interface = value["interface"].as_u64().and_then(|index| usize::try_from(index).ok());
        Ok(Self { address, gateway, interface })
    }
}

#[cfg(test)]
mod tests;
