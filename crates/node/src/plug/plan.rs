//! From a VIF to steps: pure, no kernel, no database.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use kuryr_api::names;
use kuryr_api::vif::{Subnet, Vif, VifKind};

use super::mark::Mark;
use super::{Attachment, Interface, PlugError, PluggedInterface, PluggedRoute};
use crate::kernel::rtnetlink::{Mac, Route};

/// MTU of a network that does not say (Ethernet's).
const DEFAULT_MTU: u32 = 1500;

/// Longest device name (`IFNAMSIZ` less its NUL).
const LONGEST_NAME: usize = 15;

/// How an interface is wired, by the VIF's class and os-vif plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wiring {
    /// The host's end is a port of an Open vSwitch bridge.
    Switch { bridge: String, interface_id: String },
    /// The host's end is a port of a Linux bridge somebody else made.
    Bridge { bridge: String },
    /// The host's end is a port of a Linux bridge of its own, which a veth pair joins to Open vSwitch.
    Hybrid { qbr: String, qvb: String, qvo: String, integration: String, interface_id: String },
}

impl Wiring {
    pub(crate) fn of(vif: &Vif, integration_bridge: Option<&str>) -> Result<Self, PlugError> {
        match &vif.kind {
            VifKind::OpenVSwitch { bridge, interface_id } => {
                Ok(Self::Switch { bridge: bridge.clone(), interface_id: interface_id.clone() })
            }
            VifKind::Bridge { bridge, interface_id } if vif.plugin == "ovs" => {
                let cut = names::hybrid_bridge_name(&vif.id);
                let id = cut.strip_prefix("qbr").unwrap_or_default();
                let integration = vif.network.bridge.as_deref().or(integration_bridge);
                let integration = integration.ok_or_else(|| PlugError::InvalidVif {
                    port_id: vif.id.clone(),
                    reason: "it is to be plugged into Open vSwitch, but names no integration bridge".to_owned(),
                })?;
                Ok(Self::Hybrid {
                    qbr: bridge.clone(),
                    qvb: format!("qvb{id}"),
                    qvo: format!("qvo{id}"),
                    integration: integration.to_owned(),
                    interface_id: interface_id.clone().unwrap_or_else(|| vif.id.clone()),
                })
            }
            VifKind::Bridge { bridge, .. } => Ok(Self::Bridge { bridge: bridge.clone() }),
            VifKind::Other { class, .. } => {
                Err(PlugError::Unsupported { class: class.clone(), plugin: vif.plugin.clone() })
            }
        }
    }

    /// The Open vSwitch bridge and the name of our port on it.
    pub(crate) fn switch_port<'a>(&'a self, host_ifname: &'a str) -> Option<(&'a str, &'a str)> {
        match self {
            Self::Switch { bridge, .. } => Some((bridge, host_ifname)),
            Self::Hybrid { integration, qvo, .. } => Some((integration, qvo)),
            Self::Bridge { .. } => None,
        }
    }
}

/// Everything there is to do for one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Neutron port.
    pub(crate) port_id: String,
    /// Device at the host's end.
    pub(crate) host_ifname: String,
    /// Steps in the host's namespace; the first makes the veth pair.
    pub(crate) host: Vec<HostStep>,
    /// The port on the switch, added once the host steps are done.
    pub(crate) switch: Option<SwitchPort>,
    /// Steps in the pod's namespace, on its end of the pair.
    pub(crate) pod: Vec<PodStep>,
    /// What will have been wired.
    pub(crate) result: PluggedInterface,
}

/// A step in the host's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostStep {
    /// Make sure a bridge somebody else makes is there.
    RequireBridge { bridge: String },
    /// Make the pair: `host` here, `ifname` in the pod.
    Veth { host: String, host_mac: Mac, ifname: String, mac: Mac, mtu: u32 },
    /// Write our mark on the host's end and make it a port of a bridge, if any.
    Mark { device: String, mark: Mark, bridge: Option<String> },
    /// Make the Linux bridge of a hybrid plug, or take the one that is there.
    OwnBridge { bridge: String, mark: Mark },
    /// Join that bridge to the switch.
    Join { bridge: String, qvb: String, qvo: String, mtu: u32, mark: Mark },
}

/// A port of an Open vSwitch bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SwitchPort {
    pub(crate) bridge: String,
    pub(crate) name: String,
    pub(crate) external_ids: Vec<(&'static str, String)>,
}

/// A step inside the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PodStep {
    /// Write a setting below `/proc/sys/net`, if this kernel has it.
    Sysctl { setting: String, value: &'static str },
    /// Make the pod finish its checksums.
    FinishChecksums,
    /// Set the device up.
    Up,
    /// Add an address.
    Address(IpNet),
    /// Add a route. With `keep`, one to the same destination that is there already stays.
    Route { route: Route, keep: bool },
}

/// What a plan depends on beside the VIF.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Circumstances<'a> {
    /// Upper limit for MTUs.
    pub(crate) mtu_cap: Option<u32>,
    /// The integration bridge of VIFs that name none.
    pub(crate) integration_bridge: Option<&'a str>,
    /// Whether the switch forwards in user space (`datapath_type=netdev`). Such a switch reads whole frames from the
    /// device and hands them on as they are, so the pod must finish its checksums itself, or TCP between pods fails.
    /// The host's end needs nothing: what the switch writes there is complete. With the kernel's datapath and with
    /// Linux bridges the offload is harmless and saves work, so it stays.
    pub(crate) userspace_datapath: bool,
}

/// Plans one interface of an attachment.
///
/// # Errors
/// [`PlugError::Unsupported`] and [`PlugError::InvalidVif`].
pub(crate) fn plan(
    attachment: &Attachment,
    interface: &Interface,
    circumstances: Circumstances<'_>,
) -> Result<Plan, PlugError> {
    let vif = &interface.vif;
    let invalid = |reason: String| PlugError::InvalidVif { port_id: vif.id.clone(), reason };
    let wiring = Wiring::of(vif, circumstances.integration_bridge)?;
    let host_ifname = host_ifname(vif);
    let ifname = interface.ifname.clone();
    for name in [&host_ifname, &ifname] {
        check_name(name).map_err(invalid)?;
    }
    let address = vif.address.as_deref().unwrap_or_default();
    let mac = parse_mac(address).ok_or_else(|| invalid(format!("{address:?} is no MAC address")))?;
    let mtu = vif.network.mtu.unwrap_or(DEFAULT_MTU);
    let mtu = circumstances.mtu_cap.filter(|cap| *cap > 0).map_or(mtu, |cap| mtu.min(cap));
    let mark = Mark { container_id: attachment.container_id.clone(), port_id: vif.id.clone(), ifname: ifname.clone() };

    let host_mac = host_end(mac);
    let veth = HostStep::Veth { host: host_ifname.clone(), host_mac, ifname: ifname.clone(), mac, mtu };
    let tap = host_ifname.clone();
    let (host, switch) = match &wiring {
        Wiring::Switch { interface_id, .. } => {
            let port = switch_port(&wiring, &host_ifname, interface_id, attachment, &mark, &mac);
            (vec![veth, HostStep::Mark { device: tap, mark, bridge: None }], port)
        }
        Wiring::Bridge { bridge } => {
            let require = HostStep::RequireBridge { bridge: bridge.clone() };
            let enslave = HostStep::Mark { device: tap, mark, bridge: Some(bridge.clone()) };
            (vec![require, veth, enslave], None)
        }
        Wiring::Hybrid { qbr, qvb, qvo, interface_id, .. } => {
            for name in [qbr, qvb, qvo] {
                check_name(name).map_err(invalid)?;
            }
            let port = switch_port(&wiring, &host_ifname, interface_id, attachment, &mark, &mac);
            let own = HostStep::OwnBridge { bridge: qbr.clone(), mark: mark.clone() };
            let enslave = HostStep::Mark { device: tap, mark: mark.clone(), bridge: Some(qbr.clone()) };
            let join = HostStep::Join { bridge: qbr.clone(), qvb: qvb.clone(), qvo: qvo.clone(), mtu, mark };
            (vec![veth, own, enslave, join], port)
        }
    };
    let finish_checksums = circumstances.userspace_datapath && switch.is_some();
    let (pod, addresses, routes) = inside(interface, finish_checksums).map_err(invalid)?;

    let mut seen = HashSet::new();
    let servers = vif.network.subnets.iter().flat_map(|subnet| subnet.dns.iter());
    let result = PluggedInterface {
        ifname,
        host_ifname: host_ifname.clone(),
        host_mac: format_mac(&host_mac),
        mac: format_mac(&mac),
        mtu,
        addresses,
        routes: routes
            .into_iter()
            .map(|route| PluggedRoute { destination: route.destination, gateway: route.gateway })
            .collect(),
        dns: servers.filter(|server| seen.insert(server.as_str())).cloned().collect(),
    };
    Ok(Plan { port_id: vif.id.clone(), host_ifname, host, switch, pod, result })
}

/// Name of the device at the host's end: the one the VIF was published with, else the usual one.
pub(crate) fn host_ifname(vif: &Vif) -> String {
    if vif.vif_name.is_empty() { names::tap_name(&vif.id) } else { vif.vif_name.clone() }
}

type Addresses = Vec<(IpNet, Option<IpAddr>)>;

/// The pod's side: steps, addresses and routes.
fn inside(interface: &Interface, finish_checksums: bool) -> Result<(Vec<PodStep>, Addresses, Vec<Route>), String> {
    let ifname = &interface.ifname;
    let subnets = &interface.vif.network.subnets;
    let mut addresses = Vec::new();
    let mut nets = Vec::new();
    for subnet in subnets {
        let net: IpNet = subnet.cidr.parse().map_err(|_| format!("subnet {:?} is no CIDR", subnet.cidr))?;
        nets.push(net);
        for ip in &subnet.ips {
            let address = IpNet::new(*ip, net.prefix_len()).ok().filter(|_| same_family(*ip, net.addr()));
            let address = address.ok_or_else(|| format!("address {ip} is not of the family of subnet {net}"))?;
            addresses.push((address, subnet.gateway));
        }
    }

    // Router advertisements are not for pods: Neutron says what is on the network, and an address the port does not
    // have would be dropped by port security.
    let mut steps = vec![sysctl(format!("ipv6/conf/{ifname}/accept_ra"), "0")];
    if addresses.iter().any(|(address, _)| address.addr().is_ipv6()) {
        // Some runtimes switch IPv6 off in new sandboxes.
        steps.push(sysctl("ipv6/conf/all/disable_ipv6".to_owned(), "0"));
        steps.push(sysctl(format!("ipv6/conf/{ifname}/disable_ipv6"), "0"));
        // The link-local address too is usable at once.
        steps.push(sysctl(format!("ipv6/conf/{ifname}/accept_dad"), "0"));
    }
    if finish_checksums {
        steps.push(PodStep::FinishChecksums);
    }
    steps.push(PodStep::Up);
    steps.extend(addresses.iter().map(|(address, _)| PodStep::Address(*address)));

    let mut routes: Vec<(Route, bool)> = Vec::new();
    for subnet in subnets {
        for (route, keep) in subnet_routes(subnet, interface.main, &nets)? {
            if !routes.iter().any(|(known, _)| known.destination == route.destination) {
                routes.push((route, keep));
            }
        }
    }
    steps.extend(routes.iter().map(|(route, keep)| PodStep::Route { route: route.clone(), keep: *keep }));
    Ok((steps, addresses, routes.into_iter().map(|(route, _)| route).collect()))
}

/// Host routes, then the default route. As in Neutron's own DHCP answers, a host route for everything takes the place of
/// the subnet's gateway; on an interface that is not the main one neither is wanted.
fn subnet_routes(subnet: &Subnet, main: bool, nets: &[IpNet]) -> Result<Vec<(Route, bool)>, String> {
    let mut routes = Vec::new();
    for host_route in &subnet.routes {
        let text = &host_route.cidr;
        let destination: IpNet = text.parse().map_err(|_| format!("host route {text:?} is no CIDR"))?;
        let gateway = host_route.gateway.as_deref();
        let gateway: Option<IpAddr> = gateway
            .map(|hop| hop.parse().map_err(|_| format!("next hop {hop:?} of host route {text} is no address")))
            .transpose()?
            .filter(|hop: &IpAddr| !hop.is_unspecified());
        if gateway.is_some_and(|hop| !same_family(hop, destination.addr())) {
            return Err(format!("host route {text} has a next hop of the other family"));
        }
        let default = destination.prefix_len() == 0;
        if default && !main {
            continue;
        }
        routes.push((route(destination.trunc(), gateway, nets), default));
    }
    if let Some(gateway) = subnet.gateway.filter(|_| main && !subnet.ips.is_empty()) {
        // A default route that is there already stays: a delegate of multus or another subnet of the family made it.
        routes.push((route(everything(gateway)?, Some(gateway), nets), true));
    }
    Ok(routes)
}

fn route(destination: IpNet, gateway: Option<IpAddr>, nets: &[IpNet]) -> Route {
    let onlink = gateway.is_some_and(|hop| !is_link_local(hop) && !nets.iter().any(|net| net.contains(&hop)));
    Route { destination, gateway, onlink }
}

/// A link-local IPv6 next hop is on the link by definition.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

fn everything(family_of: IpAddr) -> Result<IpNet, String> {
    let unspecified = match family_of {
        IpAddr::V4(_) => IpAddr::from([0; 4]),
        IpAddr::V6(_) => IpAddr::from([0; 16]),
    };
    IpNet::new(unspecified, 0).map_err(|error| error.to_string())
}

fn same_family(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4()
}

fn sysctl(setting: String, value: &'static str) -> PodStep {
    PodStep::Sysctl { setting, value }
}

fn switch_port(
    wiring: &Wiring,
    host_ifname: &str,
    interface_id: &str,
    attachment: &Attachment,
    mark: &Mark,
    mac: &Mac,
) -> Option<SwitchPort> {
    let (bridge, name) = wiring.switch_port(host_ifname)?;
    let mut external_ids = vec![
        ("attached-mac", format_mac(mac)),
        ("iface-id", interface_id.to_owned()),
        ("iface-status", "active".to_owned()),
        ("vm-uuid", attachment.pod.uid.clone()),
        ("kuryr-pod", format!("{}/{}", attachment.pod.namespace, attachment.pod.name)),
    ];
    external_ids.extend(mark.external_ids());
    Some(SwitchPort { bridge: bridge.to_owned(), name: name.to_owned(), external_ids })
}

/// What the kernel takes as a device name (`dev_valid_name`), and nothing that would leave a sysctl's directory.
fn check_name(name: &str) -> Result<(), String> {
    let wrong = name.is_empty()
        || name.len() > LONGEST_NAME
        || name == "."
        || name == ".."
        || name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control());
    if wrong { Err(format!("{name:?} cannot be the name of a device")) } else { Ok(()) }
}

/// `fa:16:3e:12:34:56`, or with hyphens.
fn parse_mac(text: &str) -> Option<Mac> {
    let mut mac = Mac::default();
    let mut parts = text.split([':', '-']);
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    // A group address cannot be a device's.
    (parts.next().is_none() && mac[0] & 1 == 0).then_some(mac)
}

/// MAC address of the host's end: the pod's with its first byte 0xfe, as libvirt does for its taps. A chosen address is
/// left alone by udev, and the highest possible one never becomes the address of a bridge.
fn host_end(mut mac: Mac) -> Mac {
    mac[0] = 0xfe;
    mac
}

/// As the kernel prints it.
pub(crate) fn format_mac(mac: &Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

impl fmt::Display for Plan {
    /// One step per line, for logs and golden tests.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.host {
            writeln!(f, "host    {step}")?;
        }
        if let Some(port) = &self.switch {
            write!(f, "switch  add port {} to {}", port.name, port.bridge)?;
            for (key, value) in &port.external_ids {
                write!(f, " {key}={value}")?;
            }
            writeln!(f)?;
        }
        for step in &self.pod {
            writeln!(f, "pod     {step}")?;
        }
        Ok(())
    }
}

impl fmt::Display for HostStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RequireBridge { bridge } => write!(f, "require bridge {bridge}"),
            Self::Veth { host, ifname, mac, mtu, .. } => {
                write!(f, "veth {host} – {ifname} in the pod, mac {}, mtu {mtu}", format_mac(mac))
            }
            Self::Mark { device, mark, bridge } => {
                write!(f, "mark {device} {:?}", mark.alias())?;
                bridge.as_ref().map_or(Ok(()), |bridge| write!(f, ", port of {bridge}"))
            }
            Self::OwnBridge { bridge, .. } => write!(f, "own bridge {bridge}"),
            Self::Join { bridge, qvb, qvo, mtu, .. } => write!(f, "join {bridge} by veth {qvb} – {qvo}, mtu {mtu}"),
        }
    }
}

impl fmt::Display for PodStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sysctl { setting, value } => write!(f, "sysctl {setting} = {value}"),
            Self::FinishChecksums => f.write_str("finish checksums"),
            Self::Up => f.write_str("up"),
            Self::Address(address) => write!(f, "address {address}"),
            Self::Route { route, keep } => {
                write!(f, "route {}", route.destination)?;
                if let Some(gateway) = route.gateway {
                    write!(f, " via {gateway}")?;
                }
                let onlink = if route.onlink { " onlink" } else { "" };
                let keep = if *keep { ", unless there is one" } else { "" };
                write!(f, "{onlink}{keep}")
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
