//! Connections, passed on whole.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a member may take to accept a connection. In the lab that is one round trip, or never.
const PATIENCE: Duration = Duration::from_secs(1);

/// Connects a client with the first member that accepts, for as long as both want.
pub(super) async fn pass_on(mut client: TcpStream, members: Vec<SocketAddr>) {
    if let Some(mut member) = connect(members).await {
        // Whoever hung up knows why.
        let _ = copy_bidirectional(&mut client, &mut member).await;
    }
}

/// A connection to the first member that accepts one.
pub(super) async fn connect(members: Vec<SocketAddr>) -> Option<TcpStream> {
    for member in members {
        if let Ok(Ok(stream)) = timeout(PATIENCE, TcpStream::connect(member)).await {
            return Some(stream);
        }
    }
    None
}
