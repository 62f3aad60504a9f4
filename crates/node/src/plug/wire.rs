//! The kernel's part of plugging: carries out the steps of plans on one thread, first in the host's namespace, then in
//! the pod's.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::io::Errno;
use tokio::sync::oneshot;

use super::PlugError;
use super::plan::{HostStep, Plan, PodStep};
use crate::kernel::netns::{Netns, scratch_thread};
use crate::kernel::rtnetlink::{Link, LinkChange, Rtnetlink, Veth, VethEnd};
use crate::kernel::{KernelError, ethtool, sysctl};

/// What became of the kernel's part.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How many plans, from the first, left something behind in the host's namespace.
    pub(crate) begun: usize,
    /// What went wrong, if anything did.
    pub(crate) wired: Result<(), PlugError>,
}

/// Carries out every plan on a thread of its own.
pub(crate) async fn wire(plans: Vec<Plan>, netns: &Path) -> Outcome {
    let path = netns.to_owned();
    let (report, outcome) = oneshot::channel();
    let started = scratch_thread(move || {
        let mut begun = 0;
        let wired = work(&plans, &path, &mut begun);
        // The receiver waits below for as long as this runs.
        let _ = report.send(Outcome { begun, wired });
    });
    let failed = |reason: String| {
        let error = PlugError::Kernel { op: "run a thread for the pod's namespace".to_owned(), reason };
        Outcome { begun: 0, wired: Err(error) }
    };
    match started {
        Ok(()) => outcome.await.unwrap_or_else(|_| failed("it ended without a result".to_owned())),
        Err(error) => failed(error.to_string()),
    }
}

fn work(plans: &[Plan], path: &Path, begun: &mut usize) -> Result<(), PlugError> {
    let invalid = |error: crate::kernel::netns::NetnsError| PlugError::NetnsInvalid {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let netns = Netns::open(path).map_err(invalid)?;
    let mut host = Rtnetlink::open()?;
    for plan in plans {
        for step in &plan.host {
            host_step(&mut host, &netns, step)?;
            if matches!(step, HostStep::Veth { .. }) {
                *begun += 1;
            }
        }
    }
    netns.enter().map_err(invalid)?;
    let mut pod = Rtnetlink::open()?;
    for plan in plans {
        let ifname = &plan.result.ifname;
        let link = pod.link(ifname)?.ok_or_else(|| missing(ifname))?;
        for step in &plan.pod {
            pod_step(&mut pod, &link, step)?;
        }
    }
    Ok(())
}

fn host_step(host: &mut Rtnetlink, netns: &Netns, step: &HostStep) -> Result<(), PlugError> {
    match step {
        HostStep::RequireBridge { bridge } => {
            linux_bridge(host, bridge)?;
        }
        HostStep::Veth { host: name, host_mac, ifname, mac, mtu } => {
            let end = VethEnd { name, mac: Some(*host_mac) };
            let peer = VethEnd { name: ifname, mac: Some(*mac) };
            add_veth(host, &Veth { end, peer, peer_netns: Some(netns.as_fd()), mtu: *mtu })?;
        }
        HostStep::Mark { device, mark, bridge } => {
            let alias = mark.alias();
            let master = bridge.as_ref().map(|bridge| linux_bridge(host, bridge)).transpose()?;
            host.change_link(device, &LinkChange { alias: Some(&alias), master, ..LinkChange::default() })?;
        }
        HostStep::OwnBridge { bridge, mark } => {
            match host.add_flooding_bridge(bridge) {
                Err(error) if error.is(Errno::EXIST) => {
                    linux_bridge(host, bridge)?;
                }
                other => other?,
            }
            // The bridge must not answer for the host.
            sysctl::write_if_present(&format!("ipv6/conf/{bridge}/disable_ipv6"), "1")?;
            sysctl::write_if_present(&format!("ipv4/conf/{bridge}/arp_ignore"), "1")?;
            sysctl::write_if_present(&format!("ipv4/conf/{bridge}/arp_announce"), "2")?;
            let alias = mark.alias();
            host.change_link(bridge, &LinkChange { up: true, alias: Some(&alias), ..LinkChange::default() })?;
        }
        HostStep::Join { bridge, qvb, qvo, mtu, mark } => {
            let (end, peer) = (VethEnd { name: qvb, mac: None }, VethEnd { name: qvo, mac: None });
            add_veth(host, &Veth { end, peer, peer_netns: None, mtu: *mtu })?;
            let alias = mark.alias();
            let change = LinkChange { up: true, promiscuous: true, alias: Some(&alias), ..LinkChange::default() };
            host.change_link(qvo, &change)?;
            let master = Some(linux_bridge(host, bridge)?);
            host.change_link(qvb, &LinkChange { master, ..change })?;
        }
    }
    Ok(())
}

/// Makes a veth pair. What an earlier attempt for the same port left here is cleared (the name carries the port's id);
/// what is in the way at the other end is somebody else's.
fn add_veth(host: &mut Rtnetlink, veth: &Veth<'_>) -> Result<(), PlugError> {
    match host.add_veth(veth) {
        Err(error) if error.is(Errno::EXIST) => {}
        other => return Ok(other?),
    }
    let exists = || PlugError::Exists { ifname: veth.peer.name.to_owned() };
    let leftover = host.link(veth.end.name)?.ok_or_else(exists)?;
    if leftover.kind.as_deref() != Some("veth") {
        return Err(PlugError::Kernel {
            op: format!("create veth pair {} – {}", veth.end.name, veth.peer.name),
            reason: format!("this node has another device named {}, remove it", veth.end.name),
        });
    }
    host.delete_link(&leftover)?;
    match host.add_veth(veth) {
        Err(error) if error.is(Errno::EXIST) => Err(exists()),
        other => Ok(other?),
    }
}

/// The index of a Linux bridge that has to be there.
fn linux_bridge(host: &mut Rtnetlink, bridge: &str) -> Result<u32, PlugError> {
    match host.link(bridge)? {
        Some(link) if link.kind.as_deref() == Some("bridge") => Ok(link.index),
        Some(_) => Err(PlugError::BridgeMissing {
            bridge: bridge.to_owned(),
            cure: "a device of that name is there but is no Linux bridge; rename it",
        }),
        None => Err(PlugError::BridgeMissing {
            bridge: bridge.to_owned(),
            cure: "the Neutron agent of this node makes it when it serves the network; check that the agent runs",
        }),
    }
}

fn pod_step(pod: &mut Rtnetlink, link: &Link, step: &PodStep) -> Result<(), PlugError> {
    match step {
        PodStep::Sysctl { setting, value } => sysctl::write_if_present(setting, value)?,
        PodStep::FinishChecksums => ethtool::disable_tx_checksum(link.index)?,
        PodStep::Up => pod.change_link(&link.name, &LinkChange { up: true, ..LinkChange::default() })?,
        PodStep::Address(address) => pod.add_address(link.index, *address)?,
        PodStep::Route { route, keep } => {
            pod.add_route(link.index, route, *keep)?;
        }
    }
    Ok(())
}

fn missing(ifname: &str) -> PlugError {
    PlugError::Kernel {
        op: format!("configure {ifname}"),
        reason: "somebody removed it from the pod while it was being wired".to_owned(),
    }
}

impl From<KernelError> for PlugError {
    fn from(error: KernelError) -> Self {
        Self::Kernel { op: error.op, reason: error.words }
    }
}
