//! The way of a packet from one pod to another, read from the kernel: which device is a port of which bridge.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use crate::fabric::{FABRIC, UPLINK, fabric_port};
use crate::netlink::{Link, Netlink};
use crate::node::Node;

/// A pod and the host's end of its interface.
pub(crate) struct End<'a> {
    /// The pod's name.
    pub(crate) pod: &'a str,
    /// Its address.
    pub(crate) address: &'a str,
    /// Its interface.
    pub(crate) interface: &'a str,
    /// The device on the node.
    pub(crate) device: &'a str,
    /// The node.
    pub(crate) node: &'a Node,
}

/// Draws the way, one line per place. `fabric` are the devices of the provider network.
pub(crate) async fn draw(from: &End<'_>, to: &End<'_>, fabric: &[Link]) -> Result<String> {
    let there = links(from.node).await?;
    let here = links(to.node).await?;
    let mut drawing = String::new();
    let mut line = |place: &str, what: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(drawing, "  {place:<18} {what}");
    };
    line(&format!("pod {}", from.pod), format!("{} {}", from.interface, from.address));
    line("", "│ veth pair".to_owned());
    let bridge = master(&there, from.device)?;
    if from.node.name() == to.node.name() {
        shared_bridge(&here, to.device, &bridge)?;
        line(&format!("node {}", from.node.name()), format!("{} → bridge {bridge} → {}", from.device, to.device));
    } else {
        shared_bridge(&there, UPLINK, &bridge)?;
        line(&format!("node {}", from.node.name()), format!("{} → bridge {bridge} → {UPLINK}", from.device));
        line("", "│ veth pair".to_owned());
        let (near, far) = (fabric_port(from.node.name()), fabric_port(to.node.name()));
        shared_bridge(fabric, &near, FABRIC)?;
        shared_bridge(fabric, &far, FABRIC)?;
        line("provider network", format!("{near} → bridge {FABRIC} → {far}"));
        line("", "│ veth pair".to_owned());
        let bridge = master(&here, to.device)?;
        shared_bridge(&here, UPLINK, &bridge)?;
        line(&format!("node {}", to.node.name()), format!("{UPLINK} → bridge {bridge} → {}", to.device));
    }
    line("", "│ veth pair".to_owned());
    line(&format!("pod {}", to.pod), format!("{} {}", to.interface, to.address));
    Ok(drawing)
}

async fn links(node: &Node) -> Result<Vec<Link>> {
    node.run(|| Netlink::open()?.links()).await
}

/// The bridge a device is a port of.
fn master(links: &[Link], device: &str) -> Result<String> {
    let link = links.iter().find(|link| link.name == device).with_context(|| format!("there is no device {device}"))?;
    links
        .iter()
        .find(|bridge| Some(bridge.index) == link.master)
        .map(|bridge| bridge.name.clone())
        .with_context(|| format!("{device} is not a port of any bridge"))
}

fn shared_bridge(links: &[Link], device: &str, bridge: &str) -> Result<()> {
    let actual = master(links, device)?;
    anyhow::ensure!(actual == bridge, "{device} is a port of bridge {actual}, not of {bridge}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, master: Option<u32>) -> Link {
        Link { index, name: name.to_owned(), master }
    }

    #[test]
    fn a_broken_way_is_not_drawn() {
        let links = [link(1, "brq", None), link(2, "tap1", Some(1)), link(3, "tap2", None), link(4, "tap3", Some(9))];
        assert_eq!(master(&links, "tap1").unwrap(), "brq");
        assert_eq!(master(&links, "tap2").unwrap_err().to_string(), "tap2 is not a port of any bridge");
        assert_eq!(master(&links, "tap3").unwrap_err().to_string(), "tap3 is not a port of any bridge");
        assert_eq!(master(&links, "tap4").unwrap_err().to_string(), "there is no device tap4");
        assert_eq!(
            shared_bridge(&links, "tap1", "other").unwrap_err().to_string(),
            "tap1 is a port of bridge brq, not of other"
        );
    }
}
