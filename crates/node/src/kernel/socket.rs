//! A synchronous netlink socket: one request, its replies, its acknowledgement (RFC 3549; netlink(7)).

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_OVERRUN, NetlinkBuffer, NetlinkDeserializable,
    NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable, NlasIterator,
};
use netlink_sys::{Socket, SocketAddr};
use rustix::io::Errno;
use tracing::debug;

use super::error::Refusal;

/// The kernel fills at most 32 KiB per datagram of a dump; a single object can be larger.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// How often a dump is begun again because the tables changed under it (`NLM_F_DUMP_INTR`).
const DUMP_ATTEMPTS: usize = 16;

/// Header of the request as echoed in an acknowledgement; the extended ACK's attributes follow it (`NETLINK_CAP_ACK`).
const ECHOED_HEADER: usize = 16;

/// `NLMSGERR_ATTR_MSG`: the kernel's own words, a NUL-terminated string.
const EXTENDED_ACK_WORDS: u16 = 1;

/// What to do with a reply we cannot decode. A table also has entries of others, and one odd device among them, of a kind
/// newer than our decoder, must not hide all the rest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unreadable {
    Fails,
    IsSkipped,
}

/// A netlink socket; stays in the network namespace the thread was in when it was opened.
#[derive(Debug)]
pub(crate) struct NetlinkSocket {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl NetlinkSocket {
    /// Opens a socket for one protocol (`NETLINK_ROUTE`, …) in the calling thread's network namespace.
    pub(crate) fn open(protocol: isize) -> Result<Self, Refusal> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(RECEIVE_BUFFER) })
    }

    /// Sends one request and waits for its acknowledgement; returns what came before it.
    pub(crate) fn request<M>(&mut self, message: M, flags: u16) -> Result<Vec<M>, Refusal>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
    {
        self.send(message, NLM_F_REQUEST | NLM_F_ACK | flags)?;
        Ok(self.receive(Unreadable::Fails)?.0)
    }

    /// Lists a table. A dump the kernel marks as interrupted is begun again.
    pub(crate) fn dump<M>(&mut self, message: &M) -> Result<Vec<M>, Refusal>
    where
        M: NetlinkSerializable + NetlinkDeserializable + Clone,
    {
        for _ in 0..DUMP_ATTEMPTS {
            self.send(message.clone(), NLM_F_REQUEST | NLM_F_DUMP)?;
            match self.receive(Unreadable::IsSkipped) {
                Ok((replies, false)) => return Ok(replies),
                Ok((_, true)) => {}
                Err(refusal) if refusal.errno == Some(Errno::INTR) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Err(Refusal { errno: Some(Errno::INTR), words: format!("the table changed during {DUMP_ATTEMPTS} readings") })
    }

    fn send<M: NetlinkSerializable>(&mut self, message: M, flags: u16) -> Result<(), Refusal> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        let sent = retry(|| self.socket.send(&bytes, 0))?;
        if sent != bytes.len() {
            return Err(Refusal::garbled(format!("{sent} of {} bytes sent", bytes.len())));
        }
        Ok(())
    }

    /// Replies up to the end of the current request, and whether a dump was interrupted.
    fn receive<M: NetlinkDeserializable>(&mut self, unreadable: Unreadable) -> Result<(Vec<M>, bool), Refusal> {
        let mut replies = Vec::new();
        let mut interrupted = false;
        loop {
            self.buffer.clear();
            let received = retry(|| self.socket.recv(&mut self.buffer, 0))?;
            if received > self.buffer.len() {
                return Err(Refusal::garbled(format!("a message of {received} bytes")));
            }
            let mut rest = self.buffer.as_slice();
            while !rest.is_empty() {
                let length = NetlinkBuffer::new_checked(rest).map_err(Refusal::garbled)?.length() as usize;
                let (this, next) = rest.split_at(length.min(rest.len()));
                // Messages are aligned to four bytes.
                rest = next.get((4 - length % 4) % 4..).unwrap_or_default();
                let header = NetlinkBuffer::new(this);
                if header.sequence_number() != self.sequence {
                    // The tail of an earlier request we gave up on.
                    continue;
                }
                interrupted |= header.flags() & NLM_F_DUMP_INTR != 0;
                let message = match NetlinkMessage::<M>::deserialize(this) {
                    Ok(message) => message,
                    Err(error) if unreadable == Unreadable::IsSkipped && header.message_type() > NLMSG_OVERRUN => {
                        debug!(%error, "skipped an entry of a netlink table");
                        continue;
                    }
                    Err(error) => return Err(Refusal::garbled(error)),
                };
                match message.payload {
                    NetlinkPayload::InnerMessage(reply) => replies.push(reply),
                    NetlinkPayload::Error(error) => {
                        return match error.code {
                            None => Ok((replies, interrupted)),
                            Some(code) => Err(refusal(code.get(), error.header.get(ECHOED_HEADER..))),
                        };
                    }
                    NetlinkPayload::Done(done) if done.code != 0 => {
                        return Err(refusal(done.code, Some(&done.extended_ack)));
                    }
                    NetlinkPayload::Done(_) => return Ok((replies, interrupted)),
                    NetlinkPayload::Overrun(_) => return Err(Refusal::from(Errno::NOBUFS)),
                    _ => {}
                }
            }
        }
    }
}

fn refusal(code: i32, attributes: Option<&[u8]>) -> Refusal {
    let words = NlasIterator::new(attributes.unwrap_or_default())
        .map_while(Result::ok)
        .find(|attribute| attribute.kind() == EXTENDED_ACK_WORDS)
        .map(|attribute| String::from_utf8_lossy(attribute.value()).trim_end_matches('\0').to_owned());
    Refusal::answer(Errno::from_raw_os_error(code.saturating_abs()), words)
}

fn retry<T>(mut call: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
