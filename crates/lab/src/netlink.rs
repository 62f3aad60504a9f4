//! The few rtnetlink requests the lab needs: bridges, veth pairs, addresses, routes, and the kernel's announcements.
//!
//! A netlink socket keeps speaking for the network namespace of the thread that opened it, so who opens it decides
//! where the request acts (`man 7 rtnetlink`, `man 7 network_namespaces`).

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use ipnet::IpNet;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    AfSpecInet, AfSpecUnspec, InetDevConf, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// `RTNLGRP_LINK`: links appear, change, vanish.
const GROUP_LINK: u32 = 1;
/// The kernel never sends more than this in one datagram (`NLMSG_GOODSIZE` is at most 32 KiB).
const DATAGRAM: usize = 64 * 1024;

/// A request socket of one network namespace.
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// A device as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Interface index, unique in its namespace.
    pub(crate) index: u32,
    /// Interface name.
    pub(crate) name: String,
    /// Index of the bridge it is a port of.
    pub(crate) master: Option<u32>,
}

/// A hardware address, as Neutron writes it: `fa:16:3e:00:00:01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mac([u8; 6]);

impl FromStr for Mac {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Mac> {
        let octets: Option<Vec<u8>> = text.split(':').map(|octet| u8::from_str_radix(octet, 16).ok()).collect();
        let octets = octets.and_then(|octets| octets.try_into().ok());
        octets.map(Mac).with_context(|| format!("{text:?} is no hardware address"))
    }
}

/// What a device does with IPv4 packets besides taking its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// It passes on those of others, as a router's interface does.
    Forwards,
    /// It tells its neighbours of its address when it comes up (`arp_notify`), so that they forget who had it before.
    Announces,
}

/// The far end of a veth pair.
pub(crate) struct VethEnd<'a> {
    /// Interface name.
    pub(crate) name: &'a str,
    /// Its hardware address; `None`: the kernel's choice.
    pub(crate) mac: Option<Mac>,
    /// The namespace it is created in; `None`: the socket's own.
    pub(crate) netns: Option<BorrowedFd<'a>>,
}

impl Netlink {
    /// Opens a socket in the calling thread's network namespace.
    pub(crate) fn open() -> Result<Netlink> {
        let mut socket = Socket::new(NETLINK_ROUTE).context("cannot open a netlink socket")?;
        socket.bind_auto().context("cannot bind a netlink socket")?;
        socket.connect(&SocketAddr::new(0, 0)).context("cannot connect a netlink socket to the kernel")?;
        Ok(Netlink { socket, sequence: 0 })
    }

    /// Creates a Linux bridge that forwards at once (no spanning tree) and brings it up. Without a hardware address of its own
    /// it has that of a port, and another one when ports come and go.
    pub(crate) fn create_bridge(&mut self, name: &str, mac: Option<Mac>) -> Result<u32> {
        let mut link = named(name);
        link.attributes.extend(mac.map(address));
        link.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
        self.create(link).with_context(|| format!("cannot create bridge {name}"))?;
        self.up(name)
    }

    /// Creates a veth pair, the near end up, the far one down (the kernel refuses to open an end that has no peer yet).
    /// Returns the index of the near end.
    pub(crate) fn create_veth(&mut self, near: &str, far: &VethEnd<'_>) -> Result<u32> {
        let mut peer = named(far.name);
        peer.attributes.extend(far.mac.map(address));
        if let Some(netns) = far.netns {
            peer.attributes.push(LinkAttribute::NetNsFd(netns.as_raw_fd()));
        }
        let mut link = named(near);
        link.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        self.create(link).with_context(|| format!("cannot create the veth pair {near} – {}", far.name))?;
        self.up(near)
    }

    /// Brings a device up and returns its index.
    pub(crate) fn up(&mut self, name: &str) -> Result<u32> {
        let index = self.link(name)?.index;
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
        self.request(RouteNetlinkMessage::SetLink(link), NLM_F_ACK)
            .with_context(|| format!("cannot bring {name} up"))?;
        Ok(index)
    }

    /// Makes a device a port of a bridge.
    pub(crate) fn enslave(&mut self, port: u32, bridge: u32) -> Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = port;
        link.attributes.push(LinkAttribute::Controller(bridge));
        self.request(RouteNetlinkMessage::SetLink(link), NLM_F_ACK)
            .with_context(|| format!("cannot make device {port} a port of bridge {bridge}"))?;
        Ok(())
    }

    /// Deletes a device, for tests; the lab's own go with their namespace.
    #[cfg(test)]
    pub(crate) fn delete(&mut self, name: &str) -> Result<()> {
        self.request(RouteNetlinkMessage::DelLink(named(name)), NLM_F_ACK)?;
        Ok(())
    }

    /// Gives a device an address.
    pub(crate) fn add_address(&mut self, index: u32, address: IpNet) -> Result<()> {
        let mut message = AddressMessage::default();
        message.header.index = index;
        message.header.prefix_len = address.prefix_len();
        message.header.family = match address.addr() {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        message.attributes.push(AddressAttribute::Local(address.addr()));
        message.attributes.push(AddressAttribute::Address(address.addr()));
        self.request(RouteNetlinkMessage::NewAddress(message), NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
            .with_context(|| format!("cannot add address {address}"))?;
        Ok(())
    }

    /// Makes a device behave like this from now on. Asked by netlink, because /proc/sys is read-only in some containers.
    pub(crate) fn behave(&mut self, index: u32, behaviour: Behaviour) -> Result<()> {
        let mut configuration = InetDevConf::default();
        match behaviour {
            Behaviour::Forwards => configuration.forwarding = 1,
            Behaviour::Announces => configuration.arp_notify = 1,
        }
        let mut link = LinkMessage::default();
        link.header.index = index;
        let request = AfSpecUnspec::Inet(vec![AfSpecInet::DevConfRequest(configuration)]);
        link.attributes.push(LinkAttribute::AfSpecUnspec(vec![request]));
        self.request(RouteNetlinkMessage::SetLink(link), NLM_F_ACK)
            .with_context(|| format!("cannot configure IPv4 on device {index}"))?;
        Ok(())
    }

    /// Sends by way of `gateway` what no other route is for.
    pub(crate) fn add_default_route(&mut self, gateway: Ipv4Addr) -> Result<()> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.scope = RouteScope::Universe;
        message.header.kind = RouteType::Unicast;
        message.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet(gateway)));
        self.request(RouteNetlinkMessage::NewRoute(message), NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
            .with_context(|| format!("cannot add a default route by way of {gateway}"))?;
        Ok(())
    }

    /// The device of this name.
    pub(crate) fn link(&mut self, name: &str) -> Result<Link> {
        let answers = self
            .request(RouteNetlinkMessage::GetLink(named(name)), 0)
            .with_context(|| format!("cannot find device {name}"))?;
        answers
            .iter()
            .find_map(|answer| match answer {
                RouteNetlinkMessage::NewLink(link) => Some(described(link)),
                _ => None,
            })
            .with_context(|| format!("the kernel did not describe device {name}"))
    }

    /// Every device of the namespace.
    pub(crate) fn links(&mut self) -> Result<Vec<Link>> {
        let answers = self.request(RouteNetlinkMessage::GetLink(LinkMessage::default()), NLM_F_DUMP)?;
        Ok(answers
            .iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewLink(link) => Some(described(link)),
                _ => None,
            })
            .collect())
    }

    fn create(&mut self, link: LinkMessage) -> Result<()> {
        self.request(RouteNetlinkMessage::NewLink(link), NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)?;
        Ok(())
    }

    fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<Vec<RouteNetlinkMessage>> {
        self.sequence += 1;
        let mut packet = NetlinkMessage::from(message);
        packet.header.flags = NLM_F_REQUEST | flags;
        packet.header.sequence_number = self.sequence;
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;

        let dump = flags & NLM_F_DUMP == NLM_F_DUMP;
        let acknowledged = flags & NLM_F_ACK != 0;
        let mut answers = Vec::new();
        loop {
            for answer in receive(&self.socket)? {
                if answer.header.sequence_number != self.sequence {
                    continue;
                }
                match answer.payload {
                    NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io().into()),
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(answers),
                    NetlinkPayload::InnerMessage(inner) => {
                        answers.push(inner);
                        if !dump && !acknowledged {
                            return Ok(answers);
                        }
                    }
                    NetlinkPayload::Overrun(_) => bail!("the kernel lost netlink answers"),
                    _ => {}
                }
            }
        }
    }
}

/// What the kernel announces about devices of one namespace.
pub(crate) struct LinkEvents {
    socket: Socket,
}

/// One announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LinkEvent {
    /// The device is there and is like this.
    Is(Link),
    /// The device left its bridge. The kernel says so with a deletion in family `AF_BRIDGE`; the device itself may live.
    LeftBridge(Link),
    /// The device is gone.
    Gone(Link),
    /// Announcements were lost; look at everything again.
    Lost,
}

impl LinkEvents {
    /// Subscribes in the calling thread's network namespace.
    pub(crate) fn subscribe() -> Result<LinkEvents> {
        let mut socket = Socket::new(NETLINK_ROUTE).context("cannot open a netlink socket")?;
        socket.bind_auto().context("cannot bind a netlink socket")?;
        socket.add_membership(GROUP_LINK).context("cannot subscribe to link announcements")?;
        Ok(LinkEvents { socket })
    }

    /// Waits for the next announcements.
    pub(crate) fn next(&self) -> Result<Vec<LinkEvent>> {
        let messages = match receive(&self.socket) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                return Ok(vec![LinkEvent::Lost]);
            }
            messages => messages?,
        };
        Ok(messages
            .into_iter()
            .filter_map(|message| match message.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                    Some(LinkEvent::Is(described(&link)))
                }
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) => {
                    let event = match link.header.interface_family {
                        AddressFamily::Bridge => LinkEvent::LeftBridge,
                        _ => LinkEvent::Gone,
                    };
                    Some(event(described(&link)))
                }
                _ => None,
            })
            .collect())
    }
}

fn receive(socket: &Socket) -> io::Result<Vec<NetlinkMessage<RouteNetlinkMessage>>> {
    let mut buffer = Vec::with_capacity(DATAGRAM);
    loop {
        match socket.recv(&mut buffer, 0) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    let mut messages = Vec::new();
    let mut rest = buffer.as_slice();
    while let Ok(header) = NetlinkBuffer::new_checked(rest) {
        // The length is checked above; messages are padded to four bytes.
        let length = header.length() as usize;
        // A message this library cannot read is not one we asked for: skip it, not the rest.
        if let Ok(message) = NetlinkMessage::deserialize(&rest[..length]) {
            messages.push(message);
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(messages)
}

fn address(mac: Mac) -> LinkAttribute {
    LinkAttribute::Address(mac.0.to_vec())
}

fn named(name: &str) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.attributes.push(LinkAttribute::IfName(name.to_owned()));
    link
}

fn described(link: &LinkMessage) -> Link {
    let mut described = Link { index: link.header.index, name: String::new(), master: None };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => described.name.clone_from(name),
            LinkAttribute::Controller(master) => described.master = Some(*master),
            _ => {}
        }
    }
    described
}
