//! What can go wrong between a Neutron port and a wired interface, each with its cure.

use std::path::PathBuf;
use std::time::Duration;

/// Why plugging, checking or asking failed.
#[derive(Debug, thiserror::Error)]
pub enum PlugError {
    /// The namespace file is no network namespace, or is the daemon's own.
    #[error(
        "network namespace {path:?} {reason}; nothing was changed. The runtime must pass the pod's own network namespace, visible to this daemon (mount its directory with HostToContainer propagation)"
    )]
    NetnsInvalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it: "does not exist", …
        reason: String,
    },
    /// The pod already has a device of that name which is not ours.
    #[error(
        "the pod already has an interface {ifname:?}, which was left as it is; remove it, or let the runtime start a new sandbox"
    )]
    Exists {
        /// Name inside the pod.
        ifname: String,
    },
    /// A bridge that somebody else has to make is not there.
    #[error("bridge {bridge:?} does not exist on this node; {cure}")]
    BridgeMissing {
        /// Its name.
        bridge: String,
        /// Who makes it.
        cure: &'static str,
    },
    /// OVSDB does not answer, or refused.
    #[error(
        "Open vSwitch at {address}: {reason}; check that ovsdb-server and ovs-vswitchd run and that this daemon can reach that socket ([os_vif_ovs] ovsdb_connection)"
    )]
    OvsUnavailable {
        /// Where we asked.
        address: String,
        /// What happened.
        reason: String,
    },
    /// Open vSwitch took the port but cannot use it.
    #[error("Open vSwitch cannot use port {port}: {reason}; see the log of ovs-vswitchd")]
    OvsPort {
        /// Port name.
        port: String,
        /// `Interface.error`.
        reason: String,
    },
    /// Something took longer than allowed.
    #[error(
        "{what} took longer than {after:?}; it is retried with the next attempt, look at the load of this node and at ovs-vswitchd's log if it repeats"
    )]
    Timeout {
        /// What was waited for.
        what: String,
        /// The time allowed.
        after: Duration,
    },
    /// The kernel refused.
    #[error("{op}: {reason}; check the daemon's capabilities (NET_ADMIN, SYS_ADMIN) and the kernel's log")]
    Kernel {
        /// What was asked of it.
        op: String,
        /// Its words.
        reason: String,
    },
    /// A VIF class this version cannot plug.
    #[error(
        "interfaces of class {class} (plugin {plugin:?}) are not supported by this version; use a driver that makes VIFOpenVSwitch or VIFBridge ([kuryr] pod_vif_driver = neutron-vif)"
    )]
    Unsupported {
        /// Class name of the os-vif object.
        class: String,
        /// os-vif plugin.
        plugin: String,
    },
    /// The VIF says something that cannot be wired.
    #[error("port {port_id} cannot be wired: {reason}; correct the port or its subnet in Neutron and delete the pod")]
    InvalidVif {
        /// Neutron port id.
        port_id: String,
        /// What is wrong.
        reason: String,
    },
    /// CHECK found a difference between what was wired and what is there.
    #[error("interface {ifname}: {difference}; delete the pod to have it wired again")]
    Differs {
        /// Name inside the pod.
        ifname: String,
        /// What differs.
        difference: String,
    },
}

/// Everything that went wrong while unplugging; the rest was done.
#[derive(Debug, Default)]
pub struct UnplugErrors(pub Vec<PlugError>);

impl std::fmt::Display for UnplugErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (n, error) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { "; and " };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for UnplugErrors {}
