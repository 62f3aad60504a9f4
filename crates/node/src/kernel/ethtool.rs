//! Offloads of a device, over generic netlink (Documentation/networking/ethtool-netlink.rst): no ioctl, no `unsafe`, and
//! the kernel explains refusals in words.

use std::convert::Infallible;
use std::sync::OnceLock;

use netlink_packet_core::{NLA_F_NESTED, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable, NlasIterator};
use netlink_sys::protocols::NETLINK_GENERIC;

use super::error::{KernelError, Refusal};
use super::socket::NetlinkSocket;

/// The controller of generic netlink, `GENL_ID_CTRL`.
const CONTROLLER: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

const ETHTOOL_MSG_FEATURES_SET: u8 = 12;
const ETHTOOL_A_HEADER_DEV_INDEX: u16 = 1;
const ETHTOOL_A_HEADER_FLAGS: u16 = 3;
const ETHTOOL_FLAG_OMIT_REPLY: u32 = 1 << 1;
const ETHTOOL_A_FEATURES_HEADER: u16 = 1;
const ETHTOOL_A_FEATURES_WANTED: u16 = 3;
const ETHTOOL_A_BITSET_BITS: u16 = 3;
const ETHTOOL_A_BITSET_BITS_BIT: u16 = 1;
const ETHTOOL_A_BITSET_BIT_NAME: u16 = 2;

/// What `ethtool -K DEVICE tx off` clears on a veth: the names of its transmit checksum features.
const TX_CHECKSUMS: [&str; 2] = ["tx-checksum-ip-generic", "tx-checksum-sctp"];

/// Makes a device send finished checksums, as `ethtool -K DEVICE tx off` does. The device is in the calling thread's
/// network namespace.
///
/// # Errors
/// What the kernel says (it needs `CAP_NET_ADMIN` and Linux 5.6).
pub fn disable_tx_checksum(index: u32) -> Result<(), KernelError> {
    let bits = TX_CHECKSUMS.map(|name| {
        let name = attribute(ETHTOOL_A_BITSET_BIT_NAME, &string(name));
        attribute(ETHTOOL_A_BITSET_BITS_BIT | NLA_F_NESTED, &name)
    });
    let bits = attribute(ETHTOOL_A_BITSET_BITS | NLA_F_NESTED, &bits.concat());
    let header = [
        attribute(ETHTOOL_A_HEADER_DEV_INDEX, &index.to_ne_bytes()),
        attribute(ETHTOOL_A_HEADER_FLAGS, &ETHTOOL_FLAG_OMIT_REPLY.to_ne_bytes()),
    ];
    let body = [
        attribute(ETHTOOL_A_FEATURES_HEADER | NLA_F_NESTED, &header.concat()),
        attribute(ETHTOOL_A_FEATURES_WANTED | NLA_F_NESTED, &bits),
    ];
    let set = || -> Result<(), Refusal> {
        let mut socket = NetlinkSocket::open(NETLINK_GENERIC)?;
        let family = family(&mut socket)?;
        socket.request(Generic { family, command: ETHTOOL_MSG_FEATURES_SET, attributes: body.concat() }, 0)?;
        Ok(())
    };
    set().map_err(|refusal| refusal.to(format!("turn off transmit checksum offload of device {index}")))
}

/// The number this kernel gave to the family `ethtool`; it is the same in all namespaces and never changes.
fn family(socket: &mut NetlinkSocket) -> Result<u16, Refusal> {
    static FAMILY: OnceLock<u16> = OnceLock::new();
    if let Some(family) = FAMILY.get() {
        return Ok(*family);
    }
    let name = attribute(CTRL_ATTR_FAMILY_NAME, &string("ethtool"));
    let replies = socket.request(Generic { family: CONTROLLER, command: CTRL_CMD_GETFAMILY, attributes: name }, 0)?;
    let family = replies
        .iter()
        .flat_map(|reply| NlasIterator::new(reply.attributes.as_slice()).map_while(Result::ok).collect::<Vec<_>>())
        .find(|attribute| attribute.kind() == CTRL_ATTR_FAMILY_ID)
        .and_then(|attribute| attribute.value().try_into().ok().map(u16::from_ne_bytes))
        .ok_or_else(|| Refusal::garbled("family ethtool without a number"))?;
    Ok(*FAMILY.get_or_init(|| family))
}

fn string(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    // Attributes here are a few dozen bytes; the length field has sixteen bits.
    let length = (value.len() + 4) as u16;
    let mut bytes = Vec::with_capacity(usize::from(length.next_multiple_of(4)));
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A generic netlink message: `struct genlmsghdr` and its attributes.
#[derive(Clone, Debug)]
struct Generic {
    family: u16,
    command: u8,
    attributes: Vec<u8>,
}

/// Command, version, two reserved bytes.
const HEADER: usize = 4;

impl NetlinkSerializable for Generic {
    fn message_type(&self) -> u16 {
        self.family
    }

    fn buffer_len(&self) -> usize {
        HEADER + self.attributes.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer[..HEADER].copy_from_slice(&[self.command, 1, 0, 0]);
        buffer[HEADER..].copy_from_slice(&self.attributes);
    }
}

impl NetlinkDeserializable for Generic {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self {
            family: header.message_type,
            command: payload.first().copied().unwrap_or_default(),
            attributes: payload.get(HEADER..).unwrap_or_default().to_vec(),
        })
    }
}
