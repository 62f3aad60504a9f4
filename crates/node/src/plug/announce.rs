//! Tells a pod's neighbours who has its addresses now: a gratuitous ARP (RFC 5227, section 3) and an unsolicited neighbour
//! advertisement (RFC 4861, section 7.2.6) for each.
//!
//! Neutron gives addresses out again, each time with another hardware address, and a router that has just talked to the pod
//! before goes on sending there for up to a minute. The kernel tells, if it is asked to (`arp_notify`, `ndisc_notify`) and
//! takes the hardware address for changed, also if it is set to what it is.

use std::path::PathBuf;

use super::PlugError;
use super::attachment::Attachment;
use crate::kernel::netns::{Netns, scratch_thread};
use crate::kernel::rtnetlink::{LinkChange, Rtnetlink};
use crate::kernel::sysctl;

/// Announces the addresses of every interface, on a thread of its own; nobody waits for it. Without it the pod works, too.
pub(crate) fn announce(attachment: &Attachment) {
    let (netns, pod) = (attachment.netns.clone(), attachment.pod.clone());
    let ifnames: Vec<String> = attachment.interfaces.iter().map(|interface| interface.ifname.clone()).collect();
    let (namespace, name) = (pod.namespace, pod.name);
    let job = move || {
        if let Err(error) = work(netns, &ifnames) {
            tracing::warn!("the neighbours of {namespace}/{name} were not told of its addresses: {error}");
        }
    };
    if let Err(error) = scratch_thread(job) {
        tracing::warn!("no thread to tell a pod's neighbours of its addresses: {error}");
    }
}

fn work(path: PathBuf, ifnames: &[String]) -> Result<(), PlugError> {
    let invalid = |reason: String| PlugError::NetnsInvalid { path: path.clone(), reason };
    let netns = Netns::open(&path).map_err(|error| invalid(error.to_string()))?;
    netns.enter().map_err(|error| invalid(error.to_string()))?;
    let mut pod = Rtnetlink::open()?;
    for ifname in ifnames {
        // Gone with the pod, which needs no neighbours then.
        let Some(mac) = pod.link(ifname)?.and_then(|link| link.mac) else { continue };
        sysctl::write_if_present(&format!("ipv4/conf/{ifname}/arp_notify"), "1")?;
        sysctl::write_if_present(&format!("ipv6/conf/{ifname}/ndisc_notify"), "1")?;
        pod.change_link(ifname, &LinkChange { mac: Some(mac), ..LinkChange::default() })?;
    }
    Ok(())
}
