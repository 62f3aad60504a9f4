//! The wires between the nodes: a management network for Kubernetes and OpenStack calls, and the provider network, a
//! bridge whose ports are the nodes' uplinks.
//!
//! ```text
//!  lab    mgmt ── n1-mgmt          fabric ── n1-fabric
//!                    │                          │
//!  node n1         eth0                       eth1 ── brq… ── tap… ── pod
//! ```

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd as _;

use anyhow::Result;
use ipnet::{IpNet, Ipv4Net};

use crate::netlink::{Netlink, VethEnd};
use crate::node::Node;

/// Device of a node in the management network.
pub(crate) const MANAGEMENT_DEVICE: &str = "eth0";
/// Device of a node in the provider network.
pub(crate) const UPLINK: &str = "eth1";
/// The bridge that is the provider network.
pub(crate) const FABRIC: &str = "fabric";
const MANAGEMENT: &str = "mgmt";
/// Prefix length of the management network.
const MANAGEMENT_PREFIX: u8 = 24;

/// The lab's own side of both networks.
pub(crate) struct Fabric {
    netlink: Netlink,
    management: u32,
    provider: u32,
}

impl Fabric {
    /// Builds both bridges in the calling thread's network namespace. The lab gets `management` in the one and
    /// `gateway` (the router's address of the pods' subnet) in the other.
    pub(crate) fn build(management: Ipv4Addr, gateway: Ipv4Net) -> Result<Fabric> {
        let mut netlink = Netlink::open()?;
        netlink.up("lo")?;
        let management_bridge = netlink.create_bridge(MANAGEMENT)?;
        netlink.add_address(management_bridge, management_address(management)?)?;
        let provider = netlink.create_bridge(FABRIC)?;
        netlink.add_address(provider, IpNet::V4(gateway))?;
        Ok(Fabric { netlink, management: management_bridge, provider })
    }

    /// Connects a node to both networks; the node's ends are called [`MANAGEMENT_DEVICE`] and [`UPLINK`].
    pub(crate) async fn connect(&mut self, node: &Node) -> Result<()> {
        for (network, device, bridge) in
            [("mgmt", MANAGEMENT_DEVICE, self.management), ("fabric", UPLINK, self.provider)]
        {
            let far = VethEnd { name: device, netns: Some(node.netns().as_fd()) };
            let near = self.netlink.create_veth(&format!("{}-{network}", node.name()), &far)?;
            self.netlink.enslave(near, bridge)?;
        }
        let address = management_address(node.address())?;
        node.run(move || {
            let mut netlink = Netlink::open()?;
            netlink.up("lo")?;
            let management = netlink.up(MANAGEMENT_DEVICE)?;
            netlink.add_address(management, address)
        })
        .await
    }
}

/// The fabric's port a node hangs on.
#[must_use]
pub(crate) fn fabric_port(node: &str) -> String {
    format!("{node}-fabric")
}

/// Makes the bridge of a Neutron network on the node, as the Linux bridge agent does for a flat provider network:
/// the uplink becomes one of its ports. Runs on the node.
pub(crate) fn bridge_network(bridge: &str) -> Result<()> {
    let mut netlink = Netlink::open()?;
    let bridge = netlink.create_bridge(bridge)?;
    let uplink = netlink.up(UPLINK)?;
    netlink.enslave(uplink, bridge)
}

fn management_address(address: Ipv4Addr) -> Result<IpNet> {
    Ok(IpNet::new(IpAddr::V4(address), MANAGEMENT_PREFIX)?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::namespaces::{inside_netns, pin_new_netns, this_netns, unpin_netns};
    use crate::ping::ping;

    /// A pod wired by hand: no daemon, no plugin.
    async fn wire(node: &Node, address: &'static str) {
        node.run(move || {
            let pod = Path::new("/run/netns/pod");
            pin_new_netns(pod, || Netlink::open()?.up("lo").map(drop))?;
            let netns = inside_netns(pod, this_netns)?;
            let mut netlink = Netlink::open()?;
            let bridge = netlink.link("brqtest")?.index;
            let tap = netlink.create_veth("taptest", &VethEnd { name: "eth0", netns: Some(netns.as_fd()) })?;
            netlink.enslave(tap, bridge)?;
            inside_netns(pod, || {
                let mut netlink = Netlink::open()?;
                let index = netlink.up("eth0")?;
                netlink.add_address(index, address.parse()?)
            })
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    #[ignore = "needs root; run by cargo xtask test"]
    async fn pods_on_two_nodes_reach_each_other_and_the_gateway() {
        // The fabric, too, is built in a namespace of its own.
        let world = Node::start("world", Ipv4Addr::new(192, 168, 100, 1)).unwrap();
        let gateway = "10.11.0.1/24".parse().unwrap();
        let mut fabric = world.run(move || Fabric::build(Ipv4Addr::new(192, 168, 100, 1), gateway)).await.unwrap();
        let mut nodes = Vec::new();
        for (name, host, address) in [("n1", 11, "10.11.0.5/24"), ("n2", 12, "10.11.0.6/24")] {
            let node = Node::start(name, Ipv4Addr::new(192, 168, 100, host)).unwrap();
            fabric.connect(&node).await.unwrap();
            node.run(|| bridge_network("brqtest")).await.unwrap();
            wire(&node, address).await;
            nodes.push(node);
        }
        let from_first = |target: [u8; 4]| {
            nodes[0].run(move || {
                inside_netns(Path::new("/run/netns/pod"), || ping(target.into(), 7, 1, Duration::from_secs(2)))
            })
        };
        assert!(from_first([10, 11, 0, 6]).await.unwrap().is_some(), "the pod on the other node answers");
        assert!(from_first([10, 11, 0, 1]).await.unwrap().is_some(), "the gateway answers");
        assert!(from_first([10, 11, 0, 77]).await.unwrap().is_none(), "nobody has this address");

        let links = nodes[0].run(|| Netlink::open()?.links()).await.unwrap();
        assert!(links.iter().any(|link| link.name == "taptest" && link.master.is_some()), "{links:?}");
        nodes[0].run(|| unpin_netns(Path::new("/run/netns/pod"))).await.unwrap();
        nodes[0].run(|| unpin_netns(Path::new("/run/netns/pod"))).await.expect("twice is fine");
    }
}
