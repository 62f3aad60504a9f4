//! What Neutron's Linux bridge agent does on a node, as far as the lab needs it: it tells Neutron which ports' devices
//! are plugged. The kernel announces them; nothing is polled.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::netlink::{Link, LinkEvent, LinkEvents, Netlink};

/// The agent of one node and network.
pub(crate) struct Agent {
    bridge: u32,
    events: LinkEvents,
    netlink: Netlink,
    plugged: BTreeSet<String>,
}

impl Agent {
    /// Runs on the node.
    pub(crate) fn start(bridge: &str) -> Result<Agent> {
        // Subscribe first: what is plugged while we look is announced.
        let events = LinkEvents::subscribe()?;
        let mut netlink = Netlink::open()?;
        let bridge = netlink.link(bridge)?.index;
        Ok(Agent { bridge, events, netlink, plugged: BTreeSet::new() })
    }

    /// Calls `report(device, plugged)` for every `tap…` device that joins or leaves the bridge. Ends only by an error.
    pub(crate) fn run(mut self, report: impl Fn(&str, bool)) -> Result<()> {
        let mut events = vec![LinkEvent::Lost];
        loop {
            for event in events {
                for (device, plugged) in self.take(event)? {
                    report(&device, plugged);
                }
            }
            events = self.events.next()?;
        }
    }

    fn take(&mut self, event: LinkEvent) -> Result<Vec<(String, bool)>> {
        Ok(match event {
            LinkEvent::Is(link) => self.set(&link, link.master == Some(self.bridge)).into_iter().collect(),
            LinkEvent::LeftBridge(link) | LinkEvent::Gone(link) => self.set(&link, false).into_iter().collect(),
            LinkEvent::Lost => {
                let links = self.netlink.links()?;
                let names: BTreeSet<_> = links.iter().map(|link| link.name.clone()).collect();
                let gone = self.plugged.iter().filter(|name| !names.contains(*name)).cloned().collect::<Vec<_>>();
                let gone = gone.into_iter().map(|name| Link { index: 0, name, master: None });
                links
                    .into_iter()
                    .chain(gone)
                    .filter_map(|link| self.set(&link, link.master == Some(self.bridge)))
                    .collect()
            }
        })
    }

    /// Remembers the device's state; the change, if it is one.
    fn set(&mut self, link: &Link, plugged: bool) -> Option<(String, bool)> {
        if !link.name.starts_with("tap") {
            return None;
        }
        let changed = if plugged { self.plugged.insert(link.name.clone()) } else { self.plugged.remove(&link.name) };
        changed.then(|| (link.name.clone(), plugged))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::netlink::VethEnd;
    use crate::node::Node;

    #[tokio::test]
    #[ignore = "needs root; run by cargo xtask test"]
    async fn devices_are_reported_when_they_join_leave_or_vanish() {
        let node = Node::start("n1", Ipv4Addr::LOCALHOST).unwrap();
        let (report, reports) = mpsc::channel();
        let plug = |netlink: &mut Netlink, device: &str, bridge: &str| {
            let far = format!("far-{device}");
            let index = netlink.create_veth(device, &VethEnd { name: &far, mac: None, netns: None }).unwrap();
            let bridge = netlink.link(bridge).unwrap().index;
            netlink.enslave(index, bridge).unwrap();
        };
        node.run(move || {
            let mut netlink = Netlink::open()?;
            netlink.create_bridge("brqours", None)?;
            netlink.create_bridge("brqother", None)?;
            plug(&mut netlink, "tapbefore", "brqours");
            Ok(())
        })
        .await
        .unwrap();
        let agent = node.run(|| Agent::start("brqours")).await.unwrap();
        node.start_job(move || {
            // Ends with the test process.
            let _ = agent.run(|device, plugged| drop(report.send((device.to_owned(), plugged))));
        })
        .unwrap();
        let next = || reports.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(next(), ("tapbefore".to_owned(), true), "plugged before the agent came");

        node.run(move || {
            let mut netlink = Netlink::open()?;
            plug(&mut netlink, "tapother", "brqother");
            plug(&mut netlink, "uplink", "brqours");
            plug(&mut netlink, "tapjoins", "brqours");
            let other = netlink.link("brqother")?.index;
            let moved = netlink.link("tapbefore")?.index;
            netlink.enslave(moved, other)?;
            netlink.delete("tapjoins")
        })
        .await
        .unwrap();
        assert_eq!(next(), ("tapjoins".to_owned(), true), "neither another network's nor another kind of device");
        assert_eq!(next(), ("tapbefore".to_owned(), false), "moved to another bridge");
        assert_eq!(next(), ("tapjoins".to_owned(), false), "deleted");
    }
}
