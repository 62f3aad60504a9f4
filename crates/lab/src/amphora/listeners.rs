//! Keeps open what a load balancer listens on.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::configuration::{Configuration, Listener, Place, Transport};
use super::pool::Turns;
use super::{http, tcp, udp};

/// A listener that is open; it closes with this handle. Connections through it live on.
struct Open {
    does: watch::Sender<Listener>,
    _task: AbortOnDropHandle<()>,
}

/// Keeps open on `vip` what is configured, until nobody configures any more.
pub(super) async fn keep(vip: IpAddr, mut configured: watch::Receiver<Configuration>) {
    let mut open: BTreeMap<Place, Open> = BTreeMap::new();
    loop {
        let wanted = configured.borrow_and_update().listeners.clone();
        open.retain(|place, _| wanted.contains_key(place));
        for (place, does) in wanted {
            if let Some(listener) = open.get(&place) {
                listener.does.send_replace(does);
                continue;
            }
            match listen(vip, place, does).await {
                Ok(listener) => drop(open.insert(place, listener)),
                Err(error) => tracing::warn!(%vip, ?place, %error, "an amphora cannot listen"),
            }
        }
        if configured.changed().await.is_err() {
            return;
        }
    }
}

async fn listen(vip: IpAddr, (transport, port): Place, does: Listener) -> io::Result<Open> {
    let address = SocketAddr::new(vip, port);
    let (does, done) = watch::channel(does);
    let task = match transport {
        Transport::Tcp => tokio::spawn(accept(TcpListener::bind(address).await?, done)),
        Transport::Udp => tokio::spawn(udp::serve(UdpSocket::bind(address).await?, done)),
    };
    Ok(Open { does, _task: AbortOnDropHandle::new(task) })
}

async fn accept(listener: TcpListener, does: watch::Receiver<Listener>) {
    let turns = Arc::new(Turns::default());
    loop {
        // A client that is gone before it was accepted is nobody's business.
        let Ok((client, _)) = listener.accept().await else { continue };
        let plain = match &*does.borrow() {
            Listener::Plain(pool) => Some(turns.next(pool)),
            Listener::Http(..) => None,
        };
        match plain {
            Some(members) => drop(tokio::spawn(tcp::pass_on(client, members))),
            None => drop(tokio::spawn(http::serve(client, does.clone(), turns.clone()))),
        }
    }
}
