//! ADD: from a pod's name to a wired sandbox.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use kuryr_api::crd::{Condition, ConditionStatus, KuryrPort};
use kuryr_api::names::MAIN_INTERFACE;
use kuryr_api::vif::Vif;
use tokio::time::{Duration, Instant, sleep_until};

use super::Node;
use super::call::{Call, Netns};
use super::turns::{Stop, StopSignal};
use crate::checkpoint::{AttachmentId, Record};
use crate::error::{CniError, code};
use crate::metrics::Phase;
use crate::plug::{Attachment, Interface, PodRef, Readiness};
use crate::pods::{self, PodFacts};
use crate::ports::{PodKey, Subscription};
use crate::result::CniResult;

/// An ADD that has waited this long for its KuryrPort asks, each time this passes, whether the pod still exists.
const DOUBT: Duration = Duration::from_secs(10);

/// What an ADD made.
#[derive(Debug)]
pub(crate) struct Added {
    /// For the plugin to print.
    pub(crate) result: CniResult,
    /// The port of the main interface.
    pub(crate) main: Vif,
}

pub(super) async fn add(node: &Node, call: &Call, signal: &StopSignal) -> Result<Added, CniError> {
    let pod = call.need_pod()?;
    let netns = call.need_netns()?;
    let previous = match call.config.get("prevResult").filter(|previous| !previous.is_null()) {
        Some(previous) => Some(CniResult::parse(previous, call.version())?),
        None => None,
    };
    let _running = node.running.begin(call.id.clone(), pod.clone(), signal.clone());
    let _turn = tokio::select! {
        stop = signal.stopped() => return Err(stopped(stop)),
        turn = node.attachment_turns.wait(call.id.clone()) => turn,
    };
    let on_record = node.checkpoints.get(&call.id).is_some();
    if on_record && call.repeated {
        // The daemon that wired it ended before the plugin had the answer. Nobody knows of it yet, so nothing runs in it,
        // and how far it came is not known either: it is made anew.
        tracing::info!(%pod, container = %call.id.container_id, "ADD goes on where an earlier daemon ended");
        super::release(node, &call.id).await?;
    } else if on_record {
        return Err(CniError::new(
            code::EXISTS,
            format!("container {} is attached as {} already; DEL it first", call.id.container_id, call.id.ifname),
        ));
    }
    let mut port = node.ports.subscribe(pod);
    let begun = Instant::now();
    let wanted = wait_for_port(node, call, pod, &mut port, signal).await?;
    node.metrics.phase(Phase::WaitPort, begun.elapsed());

    let plugged = plug(node, call, pod, netns, &wanted, signal).await?;
    let begun = Instant::now();
    let vifs: Vec<&Vif> = plugged.attachment.interfaces.iter().map(|interface| &interface.vif).collect();
    if let Err(error) = wait_until_active(node, pod, &wanted.uid, &vifs, &mut port, signal).await {
        // The runtime gets an error, so nothing may stay. What cannot be undone now stays on record for DEL.
        if let Err(undo) = super::release(node, &call.id).await {
            tracing::warn!("undoing the ADD of {pod} is left to its DEL: {undo}");
        }
        return Err(error);
    }
    node.metrics.phase(Phase::WaitActive, begun.elapsed());
    node.wiring.announce(&plugged.attachment);
    let result = match previous {
        Some(previous) => plugged.result.after(previous),
        None => plugged.result,
    };
    Ok(Added { result, main: plugged.main })
}

// ---- which ports --------------------------------------------------------------------------------------------------

/// The ports a pod has.
struct Wanted {
    /// The UID the KuryrPort was made for.
    uid: String,
    /// Key in `status.vifs` and port, the main one first.
    vifs: Vec<(String, Vif)>,
}

/// What a KuryrPort means to the pod with UID `uid`.
enum Judgement {
    /// It has every port.
    Ready(Wanted),
    /// Not yet; why, for the error if the time runs out.
    Waiting(String),
    /// It may be gone, or static: only the pod itself can tell.
    AskPod(String),
}

fn judge(port: Option<&KuryrPort>, pod: &PodKey, uid: &str, is_static: bool) -> Judgement {
    let Some(port) = port else {
        return Judgement::Waiting(format!(
            "there is no KuryrPort {pod} for this node yet; if it does not come, look at kuryr-controller's log"
        ));
    };
    let spec = &port.spec;
    if spec.pod_uid != uid && spec.pod_static != Some(true) && !is_static {
        let reason = format!("KuryrPort {pod} still belongs to an earlier pod (UID {}, not {uid})", spec.pod_uid);
        // Objects of kuryr-kubernetes before 7.0.0 do not say whether the pod is static.
        return if spec.pod_static.is_none() { Judgement::AskPod(reason) } else { Judgement::Waiting(reason) };
    }
    if port.metadata.deletion_timestamp.is_some() {
        return Judgement::AskPod(format!("KuryrPort {pod} is being deleted"));
    }
    let status = port.status.as_ref();
    let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let entries = status.map(|status| &status.vifs).filter(|vifs| !vifs.is_empty());
    let Some(entries) = entries else {
        return Judgement::Waiting(format!("KuryrPort {pod} has no Neutron port yet{}", quote(conditions)));
    };
    let mut vifs = Vec::with_capacity(entries.len());
    for (key, entry) in entries {
        match &entry.vif {
            Ok(vif) => vifs.push((key.clone(), vif.clone())),
            Err(unreadable) => {
                return Judgement::Waiting(format!(
                    "interface {key} of KuryrPort {pod} cannot be read: {}",
                    unreadable.reason
                ));
            }
        }
    }
    vifs.sort_by_key(|(key, _)| key != MAIN_INTERFACE);
    Judgement::Ready(Wanted { uid: spec.pod_uid.clone(), vifs })
}

/// The reason the controller gives, if any.
fn quote(conditions: &[Condition]) -> String {
    let mut text = String::new();
    for condition in conditions.iter().filter(|condition| condition.status != ConditionStatus::True) {
        text += &format!("; {}: {}", condition.reason, condition.message);
    }
    text
}

/// Waits until the KuryrPort of this very pod names its ports.
async fn wait_for_port(
    node: &Node,
    call: &Call,
    pod: &PodKey,
    port: &mut Subscription,
    signal: &StopSignal,
) -> Result<Wanted, CniError> {
    let limit = node.config.vif_annotation_timeout;
    let deadline = Instant::now() + limit;
    let mut is_static = false;
    let uid = match &call.pod_uid {
        Some(uid) => uid.clone(),
        None => {
            let facts = unless(signal, pods::ask(&node.client, pod)).await??.ok_or_else(|| gone(pod))?;
            is_static = facts.is_static;
            facts.uid
        }
    };
    let mut ask_at = Instant::now() + DOUBT;
    loop {
        let reason = match judge(port.now().as_deref(), pod, &uid, is_static) {
            Judgement::Ready(wanted) => return Ok(wanted),
            Judgement::Waiting(reason) => reason,
            Judgement::AskPod(reason) => {
                let facts = unless(signal, pods::ask(&node.client, pod)).await?;
                match facts.map(|facts| alive(facts, &uid)) {
                    Ok(Some(facts)) if facts.is_static && !is_static => {
                        is_static = true;
                        continue;
                    }
                    Ok(None) => return Err(gone(pod)),
                    Ok(Some(_)) | Err(_) => {}
                }
                reason
            }
        };
        tokio::select! {
            stop = signal.stopped() => return Err(stopped(stop)),
            () = port.changed() => {}
            () = sleep_until(ask_at.min(deadline)) => {
                let now = Instant::now();
                ask_at = now + DOUBT;
                // Without an answer the pod has the benefit of the doubt.
                if let Ok(facts) = unless(signal, pods::ask(&node.client, pod)).await? {
                    let facts = alive(facts, &uid).ok_or_else(|| gone(pod))?;
                    is_static |= facts.is_static;
                }
                if now >= deadline {
                    return Err(CniError::new(code::TRY_LATER, format!("after {} s: {reason}", limit.as_secs())));
                }
            }
        }
    }
}

/// The pod, if it is still the one that is being added.
fn alive(facts: Option<PodFacts>, uid: &str) -> Option<PodFacts> {
    facts.filter(|facts| !facts.terminating && (facts.uid == uid || facts.is_static))
}

// ---- wiring -------------------------------------------------------------------------------------------------------

struct Wired {
    attachment: Attachment,
    result: CniResult,
    main: Vif,
}

/// Which of the pod's ports this attachment gets, and under which names.
///
/// A name of `status.vifs` gets that port and no other. Any other name is the main interface's (kubelet's `eth0`, or
/// whatever a meta-plugin chose), and with it come all ports that no other attachment of this container has.
fn choose(vifs: &[(String, Vif)], ifname: &str, taken: &HashSet<String>) -> Result<Vec<Interface>, CniError> {
    let interface = |ifname: &str, main, vif: &Vif| Interface { ifname: ifname.to_owned(), main, vif: vif.clone() };
    let already = |vif: &Vif| {
        CniError::new(
            code::EXISTS,
            format!(
                "port {} of this pod is wired into this container already, under another name than {ifname}; additional \
                 interfaces come from the pod's annotations, not from a second call",
                vif.id
            ),
        )
    };
    let named = vifs.iter().find(|(key, _)| key == ifname && key != MAIN_INTERFACE);
    if let Some((_, vif)) = named {
        return if taken.contains(&vif.id) { Err(already(vif)) } else { Ok(vec![interface(ifname, false, vif)]) };
    }
    let Some((main_key, main)) = vifs.first() else { return Ok(Vec::new()) };
    if taken.contains(&main.id) {
        return Err(already(main));
    }
    let others = vifs.iter().filter(|(key, vif)| key != main_key && !taken.contains(&vif.id));
    Ok(std::iter::once(interface(ifname, true, main))
        .chain(others.map(|(key, vif)| interface(key, false, vif)))
        .collect())
}

/// Wires the ports. From the record on it runs to its end whatever happens to the caller.
async fn plug(
    node: &Node,
    call: &Call,
    pod: &PodKey,
    netns: &Netns,
    wanted: &Wanted,
    signal: &StopSignal,
) -> Result<Wired, CniError> {
    let begun = Instant::now();
    let _ports = node.port_turns.wait_all(wanted.vifs.iter().map(|(_, vif)| vif.id.clone())).await;
    if let Some(stop) = signal.reason() {
        return Err(stopped(stop));
    }
    let mut taken = HashSet::new();
    let mut superseded: Vec<AttachmentId> = Vec::new();
    for (_, vif) in &wanted.vifs {
        for holder in node.checkpoints.holders(&vif.id, &call.id) {
            if holder.container_id == call.id.container_id {
                taken.insert(vif.id.clone());
            } else {
                superseded.push(holder);
            }
        }
    }
    let attachment = Attachment {
        container_id: call.id.container_id.clone(),
        netns: netns.path.clone(),
        pod: PodRef { uid: wanted.uid.clone(), namespace: pod.namespace.clone(), name: pod.name.clone() },
        interfaces: choose(&wanted.vifs, &call.id.ifname, &taken)?,
    };
    let Some(main) = attachment.interfaces.first().map(|interface| interface.vif.clone()) else {
        return Err(CniError::new(code::TRY_LATER, format!("KuryrPort {pod} names no interface")));
    };

    // The record is written while the kernel works. A crash in between loses nothing: the devices carry our marks.
    let record = Record::of(&attachment, &call.id.ifname, call.network(), node.checkpoints.boot_id()).await;
    let (recorded, plugged) = tokio::join!(node.checkpoints.put(record), node.wiring.plug(&attachment));
    let plugged = match (recorded, plugged) {
        (Ok(()), Ok(plugged)) => plugged,
        (recorded, Err(error)) => {
            if recorded.is_ok() {
                node.checkpoints.remove(&call.id).await?;
            }
            return Err(error.into());
        }
        (Err(error), Ok(_)) => {
            if let Err(undo) = node.wiring.unplug(&attachment, true).await {
                tracing::warn!("undoing the ADD of {pod}: {undo}");
            }
            return Err(error);
        }
    };
    // The ports are ours now: a late DEL of the sandboxes that had them must not find them on record.
    for earlier in superseded {
        give_up(node, &earlier, &attachment).await;
    }
    node.metrics.phase(Phase::Plug, begun.elapsed());
    let result = CniResult::of(&plugged, &netns.given);
    Ok(Wired { attachment, result, main })
}

/// Takes the ports of `newer` out of an earlier attachment's record.
async fn give_up(node: &Node, earlier: &AttachmentId, newer: &Attachment) {
    let Some(mut record) = node.checkpoints.get(earlier) else { return };
    let lost = |id: &str| newer.interfaces.iter().any(|interface| interface.vif.id == id);
    record.interfaces.retain(|interface| !lost(&interface.vif.id));
    tracing::info!("sandbox {} of the pod gave way to {}", earlier.container_id, newer.container_id);
    let done = if record.interfaces.is_empty() {
        node.checkpoints.remove(earlier).await
    } else {
        node.checkpoints.put(record).await
    };
    if let Err(error) = done {
        tracing::error!("{error}");
    }
}

// ---- readiness ----------------------------------------------------------------------------------------------------

/// Waits until every port is active: the KuryrPort says so (Neutron through the controller), or the agent of this node
/// does, which is much sooner.
async fn wait_until_active(
    node: &Node,
    pod: &PodKey,
    uid: &str,
    vifs: &[&Vif],
    port: &mut Subscription,
    signal: &StopSignal,
) -> Result<(), CniError> {
    let limit = node.config.vif_annotation_timeout;
    let deadline = Instant::now() + limit;
    let mut waiting: HashSet<&str> = vifs.iter().filter(|vif| !vif.active).map(|vif| vif.id.as_str()).collect();
    let mut agents: FuturesUnordered<_> = vifs
        .iter()
        .filter(|vif| !vif.active)
        .map(|vif| async move { (vif.id.as_str(), node.wiring.wait_ready(vif).await) })
        .collect();
    let mut timeout = pin!(sleep_until(deadline));
    loop {
        let now = port.now();
        let ours = now.as_deref().filter(|port| port.spec.pod_uid == uid);
        waiting.retain(|id| !ours.is_some_and(|port| is_active(port, id)));
        if waiting.is_empty() {
            return Ok(());
        }
        // Gone or going: the pod decides. An API server that does not answer decides nothing.
        if ours.is_none_or(|port| port.metadata.deletion_timestamp.is_some())
            && let Ok(facts) = unless(signal, pods::ask(&node.client, pod)).await?
            && alive(facts, uid).is_none()
        {
            return Err(gone(pod));
        }
        tokio::select! {
            stop = signal.stopped() => return Err(stopped(stop)),
            () = port.changed() => {}
            Some((id, readiness)) = agents.next() => match readiness {
                Readiness::Ready => drop(waiting.remove(id)),
                Readiness::Unknown => {}
                Readiness::Gone => {
                    return Err(CniError::new(
                        code::TRY_LATER,
                        format!("the switch port of {id} was removed while its agent made it ready; see who did in ovsdb-server's log"),
                    ));
                }
            },
            () = &mut timeout => return Err(not_active(pod, &waiting, now, limit)),
        }
    }
}

fn is_active(port: &KuryrPort, id: &str) -> bool {
    let vifs = port.status.iter().flat_map(|status| status.vifs.values());
    vifs.filter_map(|entry| entry.vif.as_ref().ok()).any(|vif| vif.id == id && vif.active)
}

fn not_active(pod: &PodKey, waiting: &HashSet<&str>, port: Option<Arc<KuryrPort>>, limit: Duration) -> CniError {
    let mut ports: Vec<&str> = waiting.iter().copied().collect();
    ports.sort_unstable();
    let conditions = port.as_deref().and_then(|port| port.status.as_ref()).map(|status| quote(&status.conditions));
    CniError::new(
        code::TRY_LATER,
        format!(
            "Neutron port {} of pod {pod} is wired but did not become ACTIVE within {} s; look at the network agent of this \
             node (ovn-controller or neutron-openvswitch-agent){}",
            ports.join(", "),
            limit.as_secs(),
            conditions.unwrap_or_default()
        ),
    )
}

// ---- ends ---------------------------------------------------------------------------------------------------------

/// The answer, unless the ADD is stopped first.
async fn unless<T>(signal: &StopSignal, work: impl Future<Output = T>) -> Result<T, CniError> {
    tokio::select! {
        stop = signal.stopped() => Err(stopped(stop)),
        done = work => Ok(done),
    }
}

fn gone(pod: &PodKey) -> CniError {
    CniError::new(
        code::UNKNOWN_CONTAINER,
        format!("pod {pod} does not exist any more, or another has its name; nothing is left to clean up"),
    )
}

fn stopped(stop: Stop) -> CniError {
    let why = match stop {
        Stop::Abandoned => "the plugin went away before it was answered",
        Stop::Deleted => "a DEL of the same container came",
        Stop::Superseded => "a newer sandbox of the same pod is being added",
        Stop::ShuttingDown => "kuryr-daemon is being stopped",
    };
    CniError::new(code::TRY_LATER, format!("ADD given up: {why}"))
}
