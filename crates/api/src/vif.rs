//! The os-vif objects inside `status.vifs` of a KuryrPort.
//!
//! kuryr-kubernetes stores [oslo.versionedobjects] primitives: every object is an envelope
//! `{"versioned_object.name", "versioned_object.namespace": "os_vif", "versioned_object.version", "versioned_object.data"}`.
//! We write the versions of os-vif 3.5.0 and read any version `1.x`; unknown data keys and
//! `versioned_object.changes` are ignored; unset fields are left out.
//!
//! [oslo.versionedobjects]: https://docs.openstack.org/oslo.versionedobjects/latest/

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value, json};

/// One network interface of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vif {
    /// Neutron port id.
    pub id: String,
    /// MAC address of the pod's interface, as Neutron writes it (`fa:16:3e:…`).
    pub address: Option<String>,
    /// The Neutron network with the subnets and addresses this interface has.
    pub network: Network,
    /// The os-vif plugin: Neutron's `binding:vif_type` (`ovs`, `bridge`), `noop` for nested kinds.
    pub plugin: String,
    /// Whether Neutron reports the port ACTIVE.
    pub active: bool,
    /// Whether something (OVS, agent) filters the traffic already.
    pub has_traffic_filtering: bool,
    /// Device name on the host (`tap…`).
    pub vif_name: String,
    /// How the interface is plugged.
    pub kind: VifKind,
}

/// How an interface is plugged; the class of the os-vif object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VifKind {
    /// `VIFOpenVSwitch`: the veth's host side is a port of the OVS integration bridge.
    OpenVSwitch {
        /// Integration bridge.
        bridge: String,
        /// `external_ids:iface-id`, the Neutron port id.
        interface_id: String,
    },
    /// `VIFBridge`: the veth's host side is a port of a Linux bridge. With plugin `ovs` this is the hybrid plug
    /// (a `qbr` bridge of its own, wired to OVS), else the bridge made by the Linux bridge agent.
    Bridge {
        /// Linux bridge.
        bridge: String,
        /// Neutron port id, where the port profile has one (hybrid plug).
        interface_id: Option<String>,
    },
    /// Any class this version does not plug, kept whole.
    Other {
        /// Class name, for example `VIFVlanNested`.
        class: String,
        /// Class version.
        version: String,
        /// Its data, whole.
        data: Map<String, Value>,
    },
}

/// A Neutron network as seen by one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Neutron network id.
    pub id: String,
    /// Network name.
    pub label: Option<String>,
    /// Bridge the interface is plugged into.
    pub bridge: Option<String>,
    /// MTU in bytes.
    pub mtu: Option<u32>,
    /// Provider VLAN id, for networks of provider type `vlan`.
    pub vlan: Option<u16>,
    /// True for provider VLAN networks.
    pub should_provide_vlan: bool,
    /// Subnets this interface has an address in.
    pub subnets: Vec<Subnet>,
}

/// A Neutron subnet with this interface's addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subnet {
    /// `10.0.0.0/24`.
    pub cidr: String,
    /// Name servers.
    pub dns: Vec<String>,
    /// Gateway, if the subnet has one.
    pub gateway: Option<IpAddr>,
    /// Fixed addresses of this interface.
    pub ips: Vec<IpAddr>,
    /// Host routes.
    pub routes: Vec<Route>,
}

/// A host route of a subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination.
    pub cidr: String,
    /// Next hop.
    pub gateway: Option<String>,
}

impl Vif {
    /// Every fixed address, in subnet order.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.network.subnets.iter().flat_map(|subnet| subnet.ips.iter().copied())
    }
}

// ---- writing -------------------------------------------------------------------------------------------------------

fn envelope(name: &str, version: &str, data: Value) -> Value {
    json!({
        "versioned_object.name": name,
        "versioned_object.namespace": "os_vif",
        "versioned_object.version": version,
        "versioned_object.data": data,
    })
}

fn list(name: &str, objects: Vec<Value>) -> Value {
    envelope(name, "1.0", json!({ "objects": objects }))
}

fn port_profile(interface_id: &str) -> Value {
    envelope("VIFPortProfileOpenVSwitch", "1.3", json!({ "interface_id": interface_id }))
}

impl Network {
    fn to_value(&self) -> Value {
        let mut data = Map::new();
        data.insert("id".into(), json!(self.id));
        if let Some(label) = &self.label {
            data.insert("label".into(), json!(label));
        }
        if let Some(bridge) = &self.bridge {
            data.insert("bridge".into(), json!(bridge));
        }
        if let Some(vlan) = self.vlan {
            data.insert("vlan".into(), json!(vlan));
        }
        data.insert("mtu".into(), json!(self.mtu));
        data.insert("multi_host".into(), json!(false));
        data.insert("should_provide_bridge".into(), json!(false));
        data.insert("should_provide_vlan".into(), json!(self.should_provide_vlan));
        data.insert("subnets".into(), list("SubnetList", self.subnets.iter().map(Subnet::to_value).collect()));
        envelope("Network", "1.1", Value::Object(data))
    }
}

impl Subnet {
    fn to_value(&self) -> Value {
        let ips = self.ips.iter().map(|ip| envelope("FixedIP", "1.0", json!({ "address": ip }))).collect();
        let routes = self.routes.iter().map(Route::to_value).collect();
        let mut data = Map::new();
        data.insert("cidr".into(), json!(self.cidr));
        data.insert("dns".into(), json!(self.dns));
        if let Some(gateway) = self.gateway {
            data.insert("gateway".into(), json!(gateway));
        }
        data.insert("ips".into(), list("FixedIPList", ips));
        data.insert("routes".into(), list("RouteList", routes));
        envelope("Subnet", "1.0", Value::Object(data))
    }
}

impl Route {
    fn to_value(&self) -> Value {
        let mut data = Map::new();
        data.insert("cidr".into(), json!(self.cidr));
        if let Some(gateway) = &self.gateway {
            data.insert("gateway".into(), json!(gateway));
        }
        envelope("Route", "1.0", Value::Object(data))
    }
}

impl Vif {
    /// Writes the envelope.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut data = match &self.kind {
            VifKind::Other { data, .. } => data.clone(),
            VifKind::OpenVSwitch { .. } | VifKind::Bridge { .. } => Map::new(),
        };
        data.insert("id".into(), json!(self.id));
        data.insert("address".into(), json!(self.address));
        data.insert("network".into(), self.network.to_value());
        data.insert("plugin".into(), json!(self.plugin));
        data.insert("active".into(), json!(self.active));
        data.insert("preserve_on_delete".into(), json!(false));
        data.insert("has_traffic_filtering".into(), json!(self.has_traffic_filtering));
        data.insert("vif_name".into(), json!(self.vif_name));
        let (class, version) = match &self.kind {
            VifKind::OpenVSwitch { bridge, interface_id } => {
                data.insert("bridge_name".into(), json!(bridge));
                data.insert("port_profile".into(), port_profile(interface_id));
                ("VIFOpenVSwitch", "1.0")
            }
            VifKind::Bridge { bridge, interface_id } => {
                data.insert("bridge_name".into(), json!(bridge));
                if let Some(interface_id) = interface_id {
                    data.insert("port_profile".into(), port_profile(interface_id));
                }
                ("VIFBridge", "1.0")
            }
            VifKind::Other { class, version, .. } => (class.as_str(), version.as_str()),
        };
        envelope(class, version, Value::Object(data))
    }
}

impl Serialize for Vif {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

// ---- reading -------------------------------------------------------------------------------------------------------

/// One envelope, opened.
struct Envelope {
    name: String,
    version: String,
    data: Map<String, Value>,
}

impl Envelope {
    fn open(value: &Value) -> Result<Self, String> {
        let object = value.as_object().ok_or("an os-vif object must be a JSON object")?;
        let text = |key: &str| {
            object
                .get(key)
                .and_then(Value::as_str)
                .map(str::to_owned)
                .ok_or_else(|| format!("os-vif object without {key:?}"))
        };
        let name = text("versioned_object.name")?;
        let namespace = text("versioned_object.namespace")?;
        if namespace != "os_vif" {
            return Err(format!("{name}: namespace {namespace:?} instead of \"os_vif\""));
        }
        let version = text("versioned_object.version")?;
        if !version.starts_with("1.") {
            return Err(format!(
                "{name} has version {version}, but only 1.x is understood; upgrade this Kuryr component"
            ));
        }
        let data = object
            .get("versioned_object.data")
            .and_then(Value::as_object)
            .cloned()
            .ok_or_else(|| format!("{name} without \"versioned_object.data\""))?;
        Ok(Self { name, version, data })
    }

    fn opt_text(&self, key: &str) -> Option<String> {
        self.data.get(key).and_then(Value::as_str).map(str::to_owned)
    }

    fn text(&self, key: &str) -> Result<String, String> {
        self.opt_text(key).ok_or_else(|| format!("{} without {key:?}", self.name))
    }

    fn flag(&self, key: &str) -> bool {
        self.data.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    fn number<T: TryFrom<u64>>(&self, key: &str) -> Option<T> {
        self.data.get(key).and_then(Value::as_u64).and_then(|number| T::try_from(number).ok())
    }

    fn address(&self, key: &str) -> Result<Option<IpAddr>, String> {
        self.opt_text(key)
            .map(|text| text.parse().map_err(|_| format!("{}: {key} {text:?} is not an IP address", self.name)))
            .transpose()
    }

    fn objects(&self, key: &str) -> Result<Vec<Envelope>, String> {
        let Some(value) = self.data.get(key).filter(|value| !value.is_null()) else { return Ok(Vec::new()) };
        let list = Envelope::open(value)?;
        list.data.get("objects").and_then(Value::as_array).into_iter().flatten().map(Envelope::open).collect()
    }
}

impl Network {
    fn from_envelope(envelope: &Envelope) -> Result<Self, String> {
        Ok(Self {
            id: envelope.text("id")?,
            label: envelope.opt_text("label"),
            bridge: envelope.opt_text("bridge"),
            mtu: envelope.number("mtu"),
            vlan: envelope.number("vlan"),
            should_provide_vlan: envelope.flag("should_provide_vlan"),
            subnets: envelope.objects("subnets")?.iter().map(Subnet::from_envelope).collect::<Result<_, _>>()?,
        })
    }
}

impl Subnet {
    fn from_envelope(envelope: &Envelope) -> Result<Self, String> {
        let dns = envelope.data.get("dns").and_then(Value::as_array).into_iter().flatten();
        let ips = envelope.objects("ips")?;
        Ok(Self {
            cidr: envelope.text("cidr")?,
            dns: dns.filter_map(Value::as_str).map(str::to_owned).collect(),
            gateway: envelope.address("gateway")?,
            ips: ips.iter().filter_map(|ip| ip.address("address").transpose()).collect::<Result<_, _>>()?,
            routes: envelope
                .objects("routes")?
                .iter()
                .map(|route| Ok(Route { cidr: route.text("cidr")?, gateway: route.opt_text("gateway") }))
                .collect::<Result<_, String>>()?,
        })
    }
}

impl Vif {
    /// Reads an envelope; the error says what is wrong with it.
    ///
    /// # Errors
    /// When a class, version or field is missing or not understood.
    pub fn from_value(value: &Value) -> Result<Self, String> {
        let envelope = Envelope::open(value)?;
        let network = envelope.data.get("network").filter(|value| !value.is_null());
        let network = match network {
            Some(value) => Network::from_envelope(&Envelope::open(value)?)?,
            None => Network::default(),
        };
        let id = envelope.text("id")?;
        let profile = envelope.data.get("port_profile").map(Envelope::open).transpose()?;
        let interface_id = profile.and_then(|profile| profile.opt_text("interface_id"));
        let bridge = envelope.opt_text("bridge_name").or_else(|| network.bridge.clone());
        let need_bridge = || bridge.clone().ok_or_else(|| format!("{} without \"bridge_name\"", envelope.name));
        let kind = match envelope.name.as_str() {
            "VIFOpenVSwitch" => VifKind::OpenVSwitch {
                bridge: need_bridge()?,
                interface_id: interface_id.unwrap_or_else(|| id.clone()),
            },
            "VIFBridge" => VifKind::Bridge { bridge: need_bridge()?, interface_id },
            _ => VifKind::Other {
                class: envelope.name.clone(),
                version: envelope.version.clone(),
                data: envelope.data.clone(),
            },
        };
        Ok(Self {
            address: envelope.opt_text("address"),
            plugin: envelope.opt_text("plugin").unwrap_or_default(),
            active: envelope.flag("active"),
            has_traffic_filtering: envelope.flag("has_traffic_filtering"),
            vif_name: envelope.opt_text("vif_name").unwrap_or_default(),
            id,
            network,
            kind,
        })
    }
}

impl<'de> Deserialize<'de> for Vif {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_value(&value).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
