//! The wires between the nodes: a management network for Kubernetes and OpenStack calls; the provider network, a bridge
//! whose ports are the nodes' uplinks; and the network of VIPs, a bridge whose ports are those of amphorae. The lab itself
//! is the router between the last two.
//!
//! ```text
//!  lab    mgmt ── n1-mgmt          fabric ── n1-fabric      vips ── lb-…
//!                    │                          │                    │
//!  node n1         eth0                       eth1                 eth0   amphora
//!                                               │
//!                                             brq… ── tap… ── pod
//! ```

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd as _;

use anyhow::Result;
use ipnet::{IpNet, Ipv4Net};

use crate::netlink::{Behaviour, Mac, Netlink, VethEnd};
use crate::node::Node;

/// Device of a node in the management network.
pub(crate) const MANAGEMENT_DEVICE: &str = "eth0";
/// Device of a node in the provider network.
pub(crate) const UPLINK: &str = "eth1";
/// The bridge that is the provider network.
pub(crate) const FABRIC: &str = "fabric";
/// Device of an amphora in the network of VIPs.
const AMPHORA_DEVICE: &str = "eth0";
/// The bridge that is the network of VIPs.
const VIPS: &str = "vips";
const MANAGEMENT: &str = "mgmt";
/// Prefix length of the management network.
const MANAGEMENT_PREFIX: u8 = 24;

/// An address in a subnet and the hardware address that goes with it: a router's interface, or a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) address: Ipv4Net,
    pub(crate) mac: Mac,
}

/// The lab's own side of the networks.
pub(crate) struct Fabric {
    netlink: Netlink,
    management: u32,
    provider: u32,
    vips: u32,
    /// The router's address among the VIPs.
    router: Ipv4Addr,
}

impl Fabric {
    /// Builds the bridges in the calling thread's network namespace. The lab gets `management` in the first, and the
    /// router's interfaces in the others.
    pub(crate) fn build(management: Ipv4Addr, pods: Interface, vips: Interface) -> Result<Fabric> {
        let mut netlink = Netlink::open()?;
        netlink.up("lo")?;
        let management_bridge = netlink.create_bridge(MANAGEMENT, None)?;
        netlink.add_address(management_bridge, management_address(management)?)?;
        let mut network = |name: &str, router: Interface| {
            let bridge = netlink.create_bridge(name, Some(router.mac))?;
            netlink.add_address(bridge, IpNet::V4(router.address))?;
            netlink.behave(bridge, Behaviour::Forwards)?;
            anyhow::Ok(bridge)
        };
        let provider = network(FABRIC, pods)?;
        let (router, vips) = (vips.address.addr(), network(VIPS, vips)?);
        Ok(Fabric { netlink, management: management_bridge, provider, vips, router })
    }

    /// Connects a node to both networks; the node's ends are called [`MANAGEMENT_DEVICE`] and [`UPLINK`].
    pub(crate) async fn connect(&mut self, node: &Node) -> Result<()> {
        for (network, device, bridge) in
            [("mgmt", MANAGEMENT_DEVICE, self.management), ("fabric", UPLINK, self.provider)]
        {
            let far = VethEnd { name: device, mac: None, netns: Some(node.netns().as_fd()) };
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

    /// Connects an amphora to the network of VIPs, with the interface that is its VIP. `port` names the network's end.
    pub(crate) async fn connect_amphora(&mut self, amphora: &Node, port: &str, vip: Interface) -> Result<()> {
        let far = VethEnd { name: AMPHORA_DEVICE, mac: Some(vip.mac), netns: Some(amphora.netns().as_fd()) };
        let near = self.netlink.create_veth(port, &far)?;
        self.netlink.enslave(near, self.vips)?;
        let router = self.router;
        amphora
            .run(move || {
                let mut netlink = Netlink::open()?;
                netlink.up("lo")?;
                let device = netlink.link(AMPHORA_DEVICE)?.index;
                // The address may have been another amphora's a moment ago.
                netlink.behave(device, Behaviour::Announces)?;
                netlink.add_address(device, IpNet::V4(vip.address))?;
                netlink.up(AMPHORA_DEVICE)?;
                netlink.add_default_route(router)
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
    let bridge = netlink.create_bridge(bridge, None)?;
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
            let tap =
                netlink.create_veth("taptest", &VethEnd { name: "eth0", mac: None, netns: Some(netns.as_fd()) })?;
            netlink.enslave(tap, bridge)?;
            inside_netns(pod, || {
                let mut netlink = Netlink::open()?;
                let index = netlink.up("eth0")?;
                netlink.add_address(index, address.parse()?)?;
                netlink.add_default_route(Ipv4Addr::new(10, 11, 0, 1))
            })
        })
        .await
        .unwrap();
    }

    fn interface(address: &str, mac: &str) -> Interface {
        Interface { address: address.parse().unwrap(), mac: mac.parse().unwrap() }
    }

    #[tokio::test]
    #[ignore = "needs root; run by cargo xtask test"]
    async fn pods_on_two_nodes_reach_each_other_the_gateway_and_vips() {
        // The fabric, too, is built in a namespace of its own.
        let world = Node::start("world", Ipv4Addr::new(192, 168, 100, 1)).unwrap();
        let pods = interface("10.11.0.1/24", "fa:16:3e:00:00:01");
        let vips = interface("10.96.255.254/16", "fa:16:3e:00:00:02");
        let mut fabric = world.run(move || Fabric::build(Ipv4Addr::new(192, 168, 100, 1), pods, vips)).await.unwrap();
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

        for (port, mac) in [("lb-one", "fa:16:3e:00:00:03"), ("lb-other", "fa:16:3e:00:00:04")] {
            let amphora = Node::start(port, Ipv4Addr::LOCALHOST).unwrap();
            fabric.connect_amphora(&amphora, port, interface("10.96.0.7/16", mac)).await.unwrap();
            assert!(from_first([10, 96, 0, 7]).await.unwrap().is_some(), "{port} has the address now");
        }

        let links = nodes[0].run(|| Netlink::open()?.links()).await.unwrap();
        assert!(links.iter().any(|link| link.name == "taptest" && link.master.is_some()), "{links:?}");
        nodes[0].run(|| unpin_netns(Path::new("/run/netns/pod"))).await.unwrap();
        nodes[0].run(|| unpin_netns(Path::new("/run/netns/pod"))).await.expect("twice is fine");
    }
}
