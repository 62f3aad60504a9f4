//! Links, addresses and routes (rtnetlink(7)). The only file that knows `netlink-packet-route`, whose interface changes
//! almost monthly.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeader, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::link::{
    BridgeStpState, InfoBridge, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo,
    LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use rustix::io::Errno;

use super::error::{KernelError, Refusal};
use super::socket::NetlinkSocket;

/// A MAC address.
pub type Mac = [u8; 6];

/// A network device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Index, unique in its namespace.
    pub index: u32,
    /// Name.
    pub name: String,
    /// MAC address, if it has one of six bytes.
    pub mac: Option<Mac>,
    /// MTU in bytes.
    pub mtu: u32,
    /// Whether it is administratively up.
    pub up: bool,
    /// Index of the bridge it is a port of.
    pub master: Option<u32>,
    /// Kind: `veth`, `bridge`, …; none for physical devices.
    pub kind: Option<String>,
    /// `ifalias`.
    pub alias: Option<String>,
}

/// A veth pair to be made, its second end in another place under its final name.
#[derive(Clone, Debug)]
pub struct Veth<'a> {
    /// The end here; it is set up.
    pub end: VethEnd<'a>,
    /// The other end; it is left down.
    pub peer: VethEnd<'a>,
    /// Namespace of the other end; this one if none.
    pub peer_netns: Option<BorrowedFd<'a>>,
    /// MTU of both ends, in bytes.
    pub mtu: u32,
}

/// One end of a veth pair.
#[derive(Clone, Copy, Debug)]
pub struct VethEnd<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its MAC address; the kernel chooses if none.
    pub mac: Option<Mac>,
}

/// What to change on a device.
#[derive(Clone, Debug, Default)]
pub struct LinkChange<'a> {
    /// Set it up.
    pub up: bool,
    /// Set it promiscuous.
    pub promiscuous: bool,
    /// Make it a port of the bridge with this index.
    pub master: Option<u32>,
    /// Set its `ifalias`.
    pub alias: Option<&'a str>,
    /// Set its MAC address; the same is as good as another one.
    pub mac: Option<Mac>,
}

/// A route in the main table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Destination; prefix length 0 for the default route.
    pub destination: IpNet,
    /// Next hop; none if the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// The next hop is reached on this link although no address's prefix covers it.
    pub onlink: bool,
}

/// A netlink socket for links, addresses and routes of one network namespace.
#[derive(Debug)]
pub struct Rtnetlink {
    socket: NetlinkSocket,
}

impl Rtnetlink {
    /// Opens a socket in the calling thread's network namespace; it stays there wherever the thread goes.
    ///
    /// # Errors
    /// If the kernel refuses a netlink socket.
    pub fn open() -> Result<Self, KernelError> {
        let socket = NetlinkSocket::open(NETLINK_ROUTE).map_err(|refusal| refusal.to("open a netlink socket"))?;
        Ok(Self { socket })
    }

    /// Makes a veth pair in one request: nothing is ever moved or renamed, and nobody sees it under another name.
    ///
    /// # Errors
    /// `EEXIST` if either name is taken in its namespace; then neither end was made.
    pub fn add_veth(&mut self, veth: &Veth<'_>) -> Result<(), KernelError> {
        let mut peer = LinkMessage::default();
        peer.attributes = veth.peer.attributes(veth.mtu);
        peer.attributes.extend(veth.peer_netns.map(|netns| LinkAttribute::NetNsFd(netns.as_raw_fd())));
        let mut message = LinkMessage::default();
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message.attributes = veth.end.attributes(veth.mtu);
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        self.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
            .map_err(|refusal| refusal.to(format!("create veth pair {} – {}", veth.end.name, veth.peer.name)))
    }

    /// Makes a bridge for one hybrid plug: it forgets addresses at once (floods, as live migration needs), speaks no
    /// spanning tree, forwards without delay and does not snoop multicast. Left down.
    ///
    /// # Errors
    /// `EEXIST` if the name is taken.
    pub fn add_flooding_bridge(&mut self, name: &str) -> Result<(), KernelError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Bridge),
            LinkInfo::Data(InfoData::Bridge(vec![
                InfoBridge::AgeingTime(0),
                InfoBridge::StpState(BridgeStpState::Disabled),
                InfoBridge::ForwardDelay(0),
                InfoBridge::MulticastSnooping(false),
            ])),
        ]));
        self.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
            .map_err(|refusal| refusal.to(format!("create bridge {name}")))
    }

    /// Changes a device, everything in one request.
    ///
    /// # Errors
    /// `ENODEV` if there is none of that name.
    pub fn change_link(&mut self, name: &str, change: &LinkChange<'_>) -> Result<(), KernelError> {
        let mut message = LinkMessage::default();
        let mut flags = LinkFlags::empty();
        flags.set(LinkFlags::Up, change.up);
        flags.set(LinkFlags::Promisc, change.promiscuous);
        message.header.flags = flags;
        message.header.change_mask = flags;
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        message.attributes.extend(change.master.map(LinkAttribute::Controller));
        message.attributes.extend(change.alias.map(|alias| LinkAttribute::IfAlias(alias.to_owned())));
        message.attributes.extend(change.mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        self.request(RouteNetlinkMessage::SetLink(message), 0)
            .map_err(|refusal| refusal.to(format!("configure {name}")))
    }

    /// The device of a name, if there is one.
    ///
    /// # Errors
    /// If the kernel could not be asked.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>, KernelError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        match self.socket.request(RouteNetlinkMessage::GetLink(message), 0) {
            Ok(replies) => Ok(replies.into_iter().find_map(into_link)),
            Err(refusal) if refusal.errno == Some(Errno::NODEV) => Ok(None),
            Err(refusal) => Err(refusal.to(format!("look up {name}"))),
        }
    }

    /// Every device of the namespace.
    ///
    /// # Errors
    /// If the kernel could not be asked.
    pub fn links(&mut self) -> Result<Vec<Link>, KernelError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let replies = self.socket.dump(&RouteNetlinkMessage::GetLink(message));
        let replies = replies.map_err(|refusal| refusal.to("list the network devices"))?;
        Ok(replies.into_iter().filter_map(into_link).collect())
    }

    /// Deletes a device; the other end of a veth pair goes with it. False if it was gone already.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn delete_link(&mut self, link: &Link) -> Result<bool, KernelError> {
        let mut message = LinkMessage::default();
        // By index: between looking and deleting the name may have passed to another device.
        message.header.index = link.index;
        match self.request(RouteNetlinkMessage::DelLink(message), 0) {
            Ok(()) => Ok(true),
            Err(refusal) if refusal.errno == Some(Errno::NODEV) => Ok(false),
            Err(refusal) => Err(refusal.to(format!("delete {}", link.name))),
        }
    }

    /// Adds an address with its subnet's prefix length. IPv6 addresses are usable at once (no duplicate address
    /// detection: Neutron has made sure).
    ///
    /// # Errors
    /// If the kernel refuses; an address that is there already is fine.
    pub fn add_address(&mut self, index: u32, address: IpNet) -> Result<(), KernelError> {
        let mut message = AddressMessage::default();
        message.header = AddressHeader {
            family: family(address.addr()),
            prefix_len: address.prefix_len(),
            flags: AddressHeaderFlags::empty(),
            scope: AddressScope::Universe,
            index,
        };
        message.attributes.push(AddressAttribute::Local(address.addr()));
        message.attributes.push(AddressAttribute::Address(address.addr()));
        match address {
            IpNet::V4(net) if net.prefix_len() < 31 => {
                message.attributes.push(AddressAttribute::Broadcast(net.broadcast()));
            }
            IpNet::V4(_) => {}
            IpNet::V6(_) => message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad)),
        }
        self.request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
            .map_err(|refusal| refusal.to(format!("add address {address}")))
    }

    /// The addresses of a device.
    ///
    /// # Errors
    /// If the kernel could not be asked.
    pub fn addresses(&mut self, index: u32) -> Result<Vec<IpNet>, KernelError> {
        let replies = self.socket.dump(&RouteNetlinkMessage::GetAddress(AddressMessage::default()));
        let replies = replies.map_err(|refusal| refusal.to("list addresses"))?;
        Ok(replies
            .into_iter()
            .filter_map(|reply| match reply {
                RouteNetlinkMessage::NewAddress(message) if message.header.index == index => {
                    message.attributes.iter().find_map(|attribute| match attribute {
                        AddressAttribute::Address(address) => IpNet::new(*address, message.header.prefix_len).ok(),
                        _ => None,
                    })
                }
                _ => None,
            })
            .collect())
    }

    /// Adds a route through a device. An equal one is replaced; `false` if `keep` was asked for and a route to the same
    /// destination was there.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn add_route(&mut self, index: u32, route: &Route, keep: bool) -> Result<bool, KernelError> {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: family(route.destination.addr()),
            destination_prefix_length: route.destination.prefix_len(),
            table: RouteHeader::RT_TABLE_MAIN,
            protocol: RouteProtocol::Static,
            scope: if route.gateway.is_some() { RouteScope::Universe } else { RouteScope::Link },
            kind: RouteType::Unicast,
            flags: if route.onlink { RouteFlags::Onlink } else { RouteFlags::empty() },
            ..RouteHeader::default()
        };
        if route.destination.prefix_len() > 0 {
            message.attributes.push(RouteAttribute::Destination(RouteAddress::from(route.destination.network())));
        }
        message.attributes.extend(route.gateway.map(|gateway| RouteAttribute::Gateway(RouteAddress::from(gateway))));
        message.attributes.push(RouteAttribute::Oif(index));
        let flags = NLM_F_CREATE | if keep { NLM_F_EXCL } else { NLM_F_REPLACE };
        match self.request(RouteNetlinkMessage::NewRoute(message), flags) {
            Ok(()) => Ok(true),
            Err(refusal) if keep && refusal.errno == Some(Errno::EXIST) => Ok(false),
            Err(refusal) => {
                let via = route.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
                Err(refusal.to(format!("add route {}{via}", route.destination)))
            }
        }
    }

    /// The unicast routes of the main table, each with the index of its device (0 if it has several).
    ///
    /// # Errors
    /// If the kernel could not be asked.
    pub fn routes(&mut self) -> Result<Vec<(u32, Route)>, KernelError> {
        let replies = self.socket.dump(&RouteNetlinkMessage::GetRoute(RouteMessage::default()));
        let replies = replies.map_err(|refusal| refusal.to("list routes"))?;
        Ok(replies.iter().filter_map(into_route).collect())
    }

    fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<(), Refusal> {
        self.socket.request(message, flags).map(drop)
    }
}

impl VethEnd<'_> {
    fn attributes(&self, mtu: u32) -> Vec<LinkAttribute> {
        let mut attributes = vec![LinkAttribute::IfName(self.name.to_owned()), LinkAttribute::Mtu(mtu)];
        attributes.extend(self.mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        attributes
    }
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn into_link(reply: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = reply else { return None };
    let mut link =
        Link { index: message.header.index, up: message.header.flags.contains(LinkFlags::Up), ..Link::default() };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Address(bytes) => link.mac = Mac::try_from(bytes).ok(),
            LinkAttribute::Controller(index) => link.master = Some(index),
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.into_iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    Some(link)
}

fn into_route(reply: &RouteNetlinkMessage) -> Option<(u32, Route)> {
    let RouteNetlinkMessage::NewRoute(message) = reply else { return None };
    let header = &message.header;
    if header.table != RouteHeader::RT_TABLE_MAIN || header.kind != RouteType::Unicast {
        return None;
    }
    let unspecified = match header.address_family {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        AddressFamily::Inet6 => IpAddr::from([0; 16]),
        _ => return None,
    };
    let (mut destination, mut gateway, mut device) = (unspecified, None, 0);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => destination = ip(address)?,
            RouteAttribute::Gateway(address) => gateway = ip(address),
            RouteAttribute::Oif(index) => device = *index,
            _ => {}
        }
    }
    let destination = IpNet::new(destination, header.destination_prefix_length).ok()?;
    Some((device, Route { destination, gateway, onlink: header.flags.contains(RouteFlags::Onlink) }))
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}
