//! What the provider of a load balancer can do. Pure: Octavia tells its version, and of a provider no more than its name.

use kuryr_openstack::load_balancing::{HealthMonitorType, LbAlgorithm, LoadBalancingVersion};

use super::annotations::Proxy;
use super::facts::Protocol;

/// What can be asked of a load balancer. Of providers that are neither OVN nor Octavia's own it is taken that they can all; what they
/// refuse is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Abilities {
    ovn: bool,
    version: LoadBalancingVersion,
}

impl Default for Abilities {
    fn default() -> Abilities {
        Abilities { ovn: false, version: LoadBalancingVersion::new(26) }
    }
}

impl Abilities {
    /// Of a provider, by name, in an Octavia of this version.
    pub(crate) fn of(provider: Option<&str>, version: LoadBalancingVersion) -> Abilities {
        Abilities { ovn: provider == Some("ovn"), version }
    }

    /// Octavia's version, for messages.
    pub(crate) fn version(self) -> LoadBalancingVersion {
        self.version
    }

    /// Ports that let in only some.
    pub(crate) fn source_ranges(self) -> bool {
        !self.ovn && self.version.has_allowed_cidrs()
    }

    /// Clients that come back to their pod. OVN takes the word since ever and does it since 2023.2 (ovn-octavia-provider 5).
    pub(crate) fn affinity(self) -> bool {
        !self.ovn || self.version.is_of_2023_2()
    }

    /// Pods that see their client's own address.
    pub(crate) fn client_addresses(self) -> bool {
        self.ovn
    }

    /// Timeouts and limits of connections, which OVN takes and does not know.
    pub(crate) fn limits(self) -> bool {
        !self.ovn
    }

    pub(crate) fn algorithm(self, algorithm: LbAlgorithm) -> bool {
        self.ovn == (algorithm == LbAlgorithm::SourceIpPort)
    }

    pub(crate) fn proxy(self, proxy: Proxy) -> bool {
        !self.ovn && (proxy == Proxy::V1 || self.version.has_proxy_v2())
    }

    /// How members of this protocol are tried.
    pub(crate) fn monitors(self, protocol: Protocol) -> Option<HealthMonitorType> {
        match protocol {
            Protocol::Tcp => Some(HealthMonitorType::Tcp),
            Protocol::Udp => Some(HealthMonitorType::UdpConnect),
            Protocol::Sctp => (!self.ovn).then_some(HealthMonitorType::Sctp),
        }
    }

    pub(crate) fn flavors(self) -> bool {
        !self.ovn && self.version.has_flavors()
    }

    pub(crate) fn zones(self) -> bool {
        !self.ovn && self.version.has_availability_zones()
    }

    /// Why Octavia is too old for a port, if it is; `taken`: another protocol has the same port.
    pub(crate) fn lacks(self, protocol: Protocol, taken: bool) -> Option<&'static str> {
        if protocol == Protocol::Sctp && !self.version.has_sctp() {
            return Some("has no SCTP, which came with 2.23");
        }
        (taken && !self.version.shares_ports()).then_some("has one protocol for each port, until 2.13")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(provider: &str, minor: u32) -> Abilities {
        Abilities::of(Some(provider), LoadBalancingVersion::new(minor))
    }

    #[test]
    fn ovn_knows_packets_and_keeps_clients_since_2023() {
        let (zed, later) = (of("ovn", 26), of("ovn", 27));
        assert!(zed.client_addresses() && !zed.affinity() && later.affinity());
        assert!(!later.source_ranges() && !later.limits() && !later.flavors() && !later.proxy(Proxy::V1));
        assert!(zed.algorithm(LbAlgorithm::SourceIpPort) && !zed.algorithm(LbAlgorithm::RoundRobin));
        assert_eq!(
            (zed.monitors(Protocol::Udp), zed.monitors(Protocol::Sctp)),
            (Some(HealthMonitorType::UdpConnect), None)
        );
    }

    #[test]
    fn an_old_octavia_lacks_what_came_later() {
        let (old, new) = (of("amphora", 10), of("amphora", 26));
        assert!(old.lacks(Protocol::Sctp, false).is_some() && new.lacks(Protocol::Sctp, true).is_none());
        assert!(old.lacks(Protocol::Udp, true).is_some() && old.lacks(Protocol::Udp, false).is_none());
        assert!(!old.source_ranges() && !old.proxy(Proxy::V2) && new.source_ranges() && new.proxy(Proxy::V2));
    }
}
