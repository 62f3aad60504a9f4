//! CNI CHECK: is everything still as it was wired?

use std::path::Path;

use tokio::sync::oneshot;

use super::plan::{HostStep, Plan, PodStep, format_mac};
use super::switch::{PortState, Switch, state};
use super::{Attachment, PlugError};
use crate::kernel::netns::{Netns, scratch_thread};
use crate::kernel::rtnetlink::Rtnetlink;

/// Compares the kernel with the plans, on a thread of its own.
pub(crate) async fn check_kernel(plans: Vec<Plan>, attachment: &Attachment) -> Result<(), PlugError> {
    let path = attachment.netns.clone();
    let (report, outcome) = oneshot::channel();
    let failed = |reason: String| PlugError::Kernel { op: "look into the pod's namespace".to_owned(), reason };
    scratch_thread(move || {
        // The receiver waits below for as long as this runs.
        let _ = report.send(compare(&plans, &path));
    })
    .map_err(|error| failed(error.to_string()))?;
    outcome.await.unwrap_or_else(|_| Err(failed("the thread ended without a result".to_owned())))
}

fn compare(plans: &[Plan], path: &Path) -> Result<(), PlugError> {
    let invalid = |error: crate::kernel::netns::NetnsError| PlugError::NetnsInvalid {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let netns = Netns::open(path).map_err(invalid)?;
    let mut host = Rtnetlink::open()?;
    netns.enter().map_err(invalid)?;
    let mut pod = Rtnetlink::open()?;
    for plan in plans {
        compare_host(&mut host, plan)?;
        compare_pod(&mut pod, plan)?;
    }
    Ok(())
}

fn compare_host(host: &mut Rtnetlink, plan: &Plan) -> Result<(), PlugError> {
    let name = &plan.host_ifname;
    let tap = host.link(name)?.ok_or_else(|| differs(plan, format!("its host end {name} is gone")))?;
    if !tap.up {
        return Err(differs(plan, format!("its host end {name} is down")));
    }
    let bridge = plan.host.iter().find_map(|step| match step {
        HostStep::Mark { bridge, .. } => bridge.as_deref(),
        _ => None,
    });
    let Some(bridge) = bridge else { return Ok(()) };
    let index = host.link(bridge)?.map(|link| link.index);
    if index.is_none() || tap.master != index {
        return Err(differs(plan, format!("its host end {name} is not a port of bridge {bridge}")));
    }
    Ok(())
}

fn compare_pod(pod: &mut Rtnetlink, plan: &Plan) -> Result<(), PlugError> {
    let expected = &plan.result;
    let link = pod.link(&expected.ifname)?.ok_or_else(|| differs(plan, "it is gone from the pod".to_owned()))?;
    let mac = link.mac.map(|mac| format_mac(&mac)).unwrap_or_default();
    if mac != expected.mac {
        return Err(differs(plan, format!("its MAC address is {mac} instead of {}", expected.mac)));
    }
    // Its MTU is no matter: a plugin after us in the chain may have changed it.
    if !link.up {
        return Err(differs(plan, "it is down".to_owned()));
    }
    let addresses = pod.addresses(link.index)?;
    if let Some((lost, _)) = expected.addresses.iter().find(|(address, _)| !addresses.contains(address)) {
        return Err(differs(plan, format!("address {lost} is gone")));
    }
    let routes = pod.routes()?;
    for step in &plan.pod {
        let PodStep::Route { route, keep } = step else { continue };
        // One that was only wanted if there was none may be anybody's.
        let there = routes.iter().any(|(device, there)| {
            let same = *device == link.index && there.gateway == route.gateway;
            there.destination == route.destination && (*keep || same)
        });
        if !there {
            return Err(differs(plan, format!("the route to {} is gone", route.destination)));
        }
    }
    Ok(())
}

/// Compares the switch with the plans.
pub(crate) async fn check_switch(plans: &[Plan], switch: &Switch) -> Result<(), PlugError> {
    if plans.iter().all(|plan| plan.switch.is_none()) {
        return Ok(());
    }
    switch.connected(switch.deadline).await?;
    let tables = switch.ovsdb.tables();
    let tables = tables.borrow();
    for plan in plans {
        let Some(port) = &plan.switch else { continue };
        let name = &port.name;
        let Some((_, row)) = tables.interfaces.named(name) else {
            return Err(differs(plan, format!("Open vSwitch has no port {name}")));
        };
        let wanted = port.external_ids.iter().find(|(key, _)| *key == "iface-id").map(|(_, value)| value);
        if row.external_ids.get("iface-id") != wanted {
            return Err(differs(plan, format!("port {name} of Open vSwitch serves another Neutron port")));
        }
        match state(row) {
            PortState::Working => {}
            PortState::Waiting => return Err(differs(plan, format!("Open vSwitch has not taken up port {name}"))),
            PortState::Failed(reason) => return Err(PlugError::OvsPort { port: name.clone(), reason }),
        }
    }
    Ok(())
}

fn differs(plan: &Plan, difference: String) -> PlugError {
    PlugError::Differs { ifname: plan.result.ifname.clone(), difference }
}
