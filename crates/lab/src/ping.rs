//! ICMP echo (RFC 792), so that the lab needs no `ping` on the machine.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, connect, ipproto, recv, send, socket};

const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;
const PAYLOAD: &[u8] = b"kuryr-lab says hello to a neighbour";

/// Sends one echo request to `target` from the calling thread's network namespace and waits for its answer.
///
/// Needs CAP_NET_RAW there. Returns the round-trip time, or `None` if nothing came back in time.
pub(crate) fn ping(target: Ipv4Addr, identifier: u16, sequence: u16, timeout: Duration) -> Result<Option<Duration>> {
    let socket =
        socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP)).context("cannot open an ICMP socket")?;
    connect(&socket, &SocketAddrV4::new(target, 0)).with_context(|| format!("no route to {target}"))?;
    let request = echo_request(identifier, sequence);
    let sent = Instant::now();
    send(&socket, &request, SendFlags::empty()).with_context(|| format!("cannot send to {target}"))?;

    let mut buffer = [0; 1500];
    loop {
        let left = timeout.saturating_sub(sent.elapsed());
        if left.is_zero() {
            return Ok(None);
        }
        set_socket_timeout(&socket, Timeout::Recv, Some(left)).context("cannot set a deadline")?;
        match recv(&socket, &mut buffer, RecvFlags::empty()) {
            Ok((_, length)) if is_answer(&buffer[..length.min(buffer.len())], &request) => {
                return Ok(Some(sent.elapsed()));
            }
            // A raw socket gets a copy of every ICMP message from the target.
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::HOSTUNREACH) => return Ok(None),
            Err(errno) => bail!(io::Error::from(errno)),
        }
    }
}

fn echo_request(identifier: u16, sequence: u16) -> Vec<u8> {
    let mut message = vec![ECHO_REQUEST, 0, 0, 0];
    message.extend(identifier.to_be_bytes());
    message.extend(sequence.to_be_bytes());
    message.extend(PAYLOAD);
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// Whether an IPv4 packet carries the answer to `request`: same identifier, sequence and payload.
fn is_answer(packet: &[u8], request: &[u8]) -> bool {
    let Some(first) = packet.first() else { return false };
    let header = usize::from(first & 0x0f) * 4;
    let Some(message) = packet.get(header..) else { return false };
    message.len() == request.len() && message[0] == ECHO_REPLY && checksum(message) == 0 && message[4..] == request[4..]
}

/// The Internet checksum (RFC 1071).
fn checksum(message: &[u8]) -> u16 {
    let mut sum: u32 =
        message.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(message: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45; 20];
        packet.extend(message);
        packet
    }

    fn answer_to(request: &[u8]) -> Vec<u8> {
        let mut answer = request.to_vec();
        answer[0] = ECHO_REPLY;
        answer[2..4].fill(0);
        let sum = checksum(&answer);
        answer[2..4].copy_from_slice(&sum.to_be_bytes());
        answer
    }

    #[test]
    fn checksum_is_that_of_rfc_1071() {
        // The example of RFC 1071 §3: the sum is ddf2, its complement 220d.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0x220d);
        assert_eq!(checksum(&[0xff]), 0x00ff);
    }

    #[test]
    fn only_the_answer_to_the_question_counts() {
        let request = echo_request(7, 1);
        assert!(is_answer(&packet(&answer_to(&request)), &request));
        assert!(!is_answer(&packet(&request), &request), "our own request, looped back");
        assert!(!is_answer(&packet(&answer_to(&echo_request(7, 2))), &request), "another sequence number");
        assert!(!is_answer(&packet(&answer_to(&echo_request(8, 1))), &request), "somebody else's");
        let mut damaged = answer_to(&request);
        damaged[9] ^= 1;
        assert!(!is_answer(&packet(&damaged), &request));
        assert!(!is_answer(&[], &request));
        assert!(!is_answer(&[0x4f], &request));
    }
}
