//! The sockets both clouds listen on: a pair on the host for the user, a pair inside for the programs of the lab.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context as _, Result};

/// One socket per cloud.
pub(crate) struct Sockets {
    /// For the Kubernetes API.
    pub(crate) kubernetes: TcpListener,
    /// For Keystone and Neutron.
    pub(crate) openstack: TcpListener,
}

impl Sockets {
    /// Listens on two free ports in the calling thread's network namespace, for local programs only.
    pub(crate) fn open() -> Result<Sockets> {
        Ok(Sockets { kubernetes: listen(Ipv4Addr::LOCALHOST, 0)?, openstack: listen(Ipv4Addr::LOCALHOST, 0)? })
    }

    /// Listens on the same ports in the lab's network namespace, for all its nodes. Being the same, an address of the
    /// catalog is right on the host and inside.
    pub(crate) fn inside(&self) -> Result<Sockets> {
        let listen = |port: SocketAddr| listen(Ipv4Addr::UNSPECIFIED, port.port());
        Ok(Sockets { kubernetes: listen(self.kubernetes_address()?)?, openstack: listen(self.openstack_address()?)? })
    }

    /// Where the Kubernetes API is.
    pub(crate) fn kubernetes_address(&self) -> Result<SocketAddr> {
        self.kubernetes.local_addr().context("a socket has no address")
    }

    /// Where Keystone and Neutron are.
    pub(crate) fn openstack_address(&self) -> Result<SocketAddr> {
        self.openstack.local_addr().context("a socket has no address")
    }
}

fn listen(address: Ipv4Addr, port: u16) -> Result<TcpListener> {
    let listener = TcpListener::bind((address, port)).with_context(|| format!("cannot listen on {address}:{port}"))?;
    listener.set_nonblocking(true).context("cannot make a socket non-blocking")?;
    Ok(listener)
}
