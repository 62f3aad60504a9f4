//! Datagrams: all of a client go to one member, until it has been silent for a while.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::configuration::Listener;
use super::pool::Turns;

/// After so long without a datagram a client is as good as new; the kernel's connection tracking takes the same
/// (`nf_conntrack_udp_timeout`).
const SILENCE: Duration = Duration::from_secs(30);
/// The longest datagram there is.
const LONGEST: usize = 65_535;
/// So many datagrams of one client may wait; more are lost, as they may be.
const WAITING: usize = 64;

/// Passes on what comes to `socket`, and the answers.
pub(super) async fn serve(socket: UdpSocket, does: watch::Receiver<Listener>) {
    let (socket, turns) = (Arc::new(socket), Turns::default());
    let mut flows: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>> = HashMap::new();
    let mut buffer = vec![0; LONGEST];
    loop {
        // The error, if there is one, is about an answer a client did not want any more.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        let datagram = buffer[..length].to_vec();
        let sent = match flows.get(&client) {
            Some(flow) => flow.try_send(datagram),
            None => Err(TrySendError::Closed(datagram)),
        };
        if let Err(TrySendError::Closed(first)) = sent {
            let members = match &*does.borrow() {
                Listener::Plain(pool) | Listener::Http(_, pool) => turns.next(pool),
            };
            flows.retain(|_, flow| !flow.is_closed());
            let (flow, datagrams) = mpsc::channel(WAITING);
            flows.insert(client, flow);
            tokio::spawn(pass_on(first, datagrams, members, Client { socket: socket.clone(), address: client }));
        }
    }
}

/// Where answers go.
struct Client {
    socket: Arc<UdpSocket>,
    address: SocketAddr,
}

/// Lets a client talk to the first member that does not refuse.
async fn pass_on(mut last: Vec<u8>, mut datagrams: mpsc::Receiver<Vec<u8>>, members: Vec<SocketAddr>, client: Client) {
    for member in members {
        let mut answered = false;
        let ended = talk(&mut last, &mut datagrams, member, &client, &mut answered).await;
        if ended.is_ok() || answered {
            return;
        }
    }
}

/// Passes on both ways until there is silence. The kernel tells of a refusal (ICMP) as an error of the next call.
async fn talk(
    last: &mut Vec<u8>,
    datagrams: &mut mpsc::Receiver<Vec<u8>>,
    member: SocketAddr,
    client: &Client,
    answered: &mut bool,
) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect(member).await?;
    socket.send(last).await?;
    let mut buffer = vec![0; LONGEST];
    loop {
        tokio::select! {
            datagram = datagrams.recv() => {
                let Some(datagram) = datagram else { return Ok(()) };
                *last = datagram;
                socket.send(last).await?;
            }
            received = socket.recv(&mut buffer) => {
                let length = received?;
                *answered = true;
                client.socket.send_to(&buffer[..length], client.address).await?;
            }
            () = sleep(SILENCE) => return Ok(()),
        }
    }
}
