//! What runs in a pod: a process of the lab's own that tells the pod's name to whoever asks, by HTTP on TCP and by UDP.
//!
//! The lab opens the sockets in the pod and hands them down as standard input (TCP) and output (UDP), the way inetd does: a
//! pod that is Running listens.

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use kuryr_fake::serve::serve;

/// The port it answers at, of TCP and of UDP.
pub(crate) const PORT: u16 = 8080;
/// More of a datagram is not looked at; it is not looked at anyway.
const DATAGRAM: usize = 512;

/// A running container.
#[derive(Debug)]
pub(crate) struct Container(Mutex<Child>);

impl Container {
    /// Starts the container of a pod in the calling thread's network namespace.
    pub(crate) fn start(pod: &str) -> Result<Container> {
        let any = (Ipv4Addr::UNSPECIFIED, PORT);
        let tcp = TcpListener::bind(any).context("cannot listen in the pod")?;
        let udp = UdpSocket::bind(any).context("cannot listen in the pod")?;
        let child = Command::new(std::env::current_exe().context("cannot find our own executable")?)
            .args(["--answer", pod])
            .stdin(Stdio::from(OwnedFd::from(tcp)))
            .stdout(Stdio::from(OwnedFd::from(udp)))
            .spawn()
            .with_context(|| format!("cannot start the container of {pod}"))?;
        Ok(Container(Mutex::new(child)))
    }

    /// Stops it; twice is fine.
    pub(crate) fn stop(&self) -> Result<()> {
        let mut child = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        child.kill().and_then(|()| child.wait()).map(drop).context("cannot stop a container")
    }
}

/// The container's process: answers until it is stopped.
pub(crate) fn answer(pod: &str) -> Result<ExitCode> {
    let tcp = TcpListener::from(handed_down(io::stdin())?);
    let udp = UdpSocket::from(handed_down(io::stdout())?);
    tcp.set_nonblocking(true).and_then(|()| udp.set_nonblocking(true)).context("cannot use the sockets handed down")?;
    let name = Bytes::from(format!("{pod}\n"));
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let datagrams = answer_datagrams(tokio::net::UdpSocket::from_std(udp)?, name.clone());
        let requests = serve(tokio::net::TcpListener::from_std(tcp)?, move |_| {
            let name = name.clone();
            async move { Ok(Response::new(Full::new(name))) }
        });
        tokio::join!(datagrams, requests);
        Ok(ExitCode::SUCCESS)
    })
}

fn handed_down(stream: impl AsFd) -> Result<OwnedFd> {
    stream.as_fd().try_clone_to_owned().context("no sockets were handed down")
}

async fn answer_datagrams(socket: tokio::net::UdpSocket, name: Bytes) {
    let mut question = [0; DATAGRAM];
    loop {
        // An error is about an answer somebody did not want any more.
        if let Ok((_, asker)) = socket.recv_from(&mut question).await {
            let _ = socket.send_to(&name, asker).await;
        }
    }
}
