//! What the plugger is asked to wire, and what it wired.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use kuryr_api::vif::Vif;

/// The pod a sandbox belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodRef {
    /// Kubernetes UID.
    pub uid: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// One sandbox and the interfaces it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_NETNS`: the file of the pod's network namespace.
    pub netns: PathBuf,
    /// The pod.
    pub pod: PodRef,
    /// Interfaces, the main one first.
    pub interfaces: Vec<Interface>,
}

/// One interface of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name inside the pod.
    pub ifname: String,
    /// Whether it carries the default route.
    pub main: bool,
    /// The Neutron port it is wired to.
    pub vif: Vif,
}

/// What was wired; holds what a CNI result needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plugged {
    /// In the order of [`Attachment::interfaces`].
    pub interfaces: Vec<PluggedInterface>,
}

/// One wired interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluggedInterface {
    /// Name inside the pod.
    pub ifname: String,
    /// Name of the device at the host's end (`tap…`).
    pub host_ifname: String,
    /// MAC address of the device at the host's end, as the kernel prints it.
    pub host_mac: String,
    /// MAC address inside the pod, as the kernel prints it (lower case).
    pub mac: String,
    /// MTU in bytes.
    pub mtu: u32,
    /// Addresses with the subnet's prefix length, each with its subnet's gateway, in subnet order.
    pub addresses: Vec<(IpNet, Option<IpAddr>)>,
    /// Routes as installed, the default route included.
    pub routes: Vec<PluggedRoute>,
    /// Name servers of all subnets, in order, each once. Reported, not written anywhere.
    pub dns: Vec<String>,
}

/// One route inside the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluggedRoute {
    /// Destination.
    pub destination: IpNet,
    /// Next hop; none for an on-link destination.
    pub gateway: Option<IpAddr>,
}

/// A device on this host, or a port of its switch, that carries our marks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnedDevice {
    /// The sandbox it was made for.
    pub container_id: String,
    /// Its name: `tap…`, or one of `qbr…`, `qvb…`, `qvo…` of a hybrid plug.
    pub host_ifname: String,
    /// The Neutron port.
    pub port_id: String,
    /// Name inside the pod.
    pub ifname: String,
    /// Whether the host's end of the port's pair is there. The kernel removes it with the pod's namespace: without it no
    /// pod uses the port any more.
    pub device: bool,
    /// Whether Open vSwitch has a port of this name.
    pub switch_port: bool,
}

/// Whether the network behind an interface is known to be ready for traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The local network agent says so (`external_ids:ovn-installed`).
    Ready,
    /// Nothing on this node will ever say: not an OVN chassis, or not an Open vSwitch port. Ask the API instead.
    Unknown,
    /// The switch port went away while we waited.
    Gone,
}
