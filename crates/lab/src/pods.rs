//! The lab's own pods: created, awaited, pinged, deleted.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures::TryStreamExt as _;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use kuryr_api::crd::KuryrPort;
use kuryr_api::names::MAIN_INTERFACE;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::kubelet::Kubelet;
use crate::namespaces::inside_netns;
use crate::ping::ping;
use crate::runtime::POD_INTERFACE;
use crate::timeline::{Stage, Timeline};

/// Namespace of the lab's pods.
pub(crate) const NAMESPACE: &str = "default";
/// Pods have one of these in their label `colour`, so that there is something to tell apart.
pub(crate) const COLOURS: [&str; 2] = ["blue", "green"];
/// How long pods may take to start or to go.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How long a ping may take, and how often it is tried.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
const PING_TRIES: u16 = 3;
/// The kernel's table of neighbours holds 1024 for all namespaces together (`net.ipv4.neigh.default.gc_thresh3`), and
/// each ping makes two. So many pings fit without crowding out the host's own.
const PINGS: usize = 400;
/// Pings and pods together: pods are in the table besides. Seen: 200 pods and 400 pings
/// overflow it ("neighbor table overflow" in dmesg), 100 pods and 400 do not.
const ROOM: usize = 500;

/// A pod of the lab that runs.
#[derive(Clone)]
pub(crate) struct LabPod {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) colour: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) mac: String,
    /// The host's end of its interface.
    pub(crate) device: String,
    pub(crate) port: String,
    pub(crate) kubelet: Kubelet,
}

/// Creates `count` pods, in turn on every node. The UIDs by name.
pub(crate) async fn create(
    client: &Client,
    kubelets: &[Kubelet],
    count: u16,
    timeline: &Timeline,
) -> Result<BTreeMap<String, String>> {
    let pods = Api::<Pod>::namespaced(client.clone(), NAMESPACE);
    let created = try_join_all((0..usize::from(count)).map(|number| {
        let (pods, timeline) = (pods.clone(), timeline.clone());
        let node = kubelets[number % kubelets.len()].node().name().to_owned();
        // The first half and the second, so that each colour is on both nodes if it can be.
        let colour = COLOURS[number * COLOURS.len() / usize::from(count)];
        async move {
            let name = format!("pod-{}", number + 1);
            let pod: Pod = serde_json::from_value(json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": { "name": name, "labels": { "app": "kuryr-lab", "colour": colour } },
                "spec": { "nodeName": node, "containers": [{ "name": "main", "image": "lab.invalid/none" }] },
            }))?;
            let sent = Instant::now();
            let pod =
                pods.create(&PostParams::default(), &pod).await.with_context(|| format!("cannot create {name}"))?;
            let uid = pod.uid().context("the API server gave a pod no UID")?;
            timeline.reached_at(&uid, Stage::Created, sent);
            anyhow::Ok((name, uid))
        }
    }))
    .await?;
    Ok(created.into_iter().collect())
}

/// Waits until all of them run, and pings each as soon as it does: from the subnet's gateway, as a router would.
pub(crate) async fn await_running(
    client: &Client,
    kubelets: &[Kubelet],
    expected: &BTreeMap<String, String>,
    timeline: &Timeline,
) -> Result<Vec<LabPod>> {
    let pods = Api::<Pod>::namespaced(client.clone(), NAMESPACE);
    let mut changes = std::pin::pin!(
        watcher(pods.clone(), watcher::Config::default().labels("app=kuryr-lab")).default_backoff().applied_objects()
    );
    let mut running = BTreeMap::new();
    let mut first_pings = JoinSet::new();
    let all = async {
        while running.len() < expected.len() {
            let pod = changes.try_next().await?.context("the watch of pods ended")?;
            let is_running = pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"));
            if is_running && !running.contains_key(&pod.name_any()) {
                first_pings.spawn_blocking({
                    let (pod, timeline) = (pod.clone(), timeline.clone());
                    move || first_ping(&pod, &timeline)
                });
                running.insert(pod.name_any(), pod);
            }
        }
        anyhow::Ok(())
    };
    match timeout(PATIENCE, all).await {
        Ok(outcome) => outcome?,
        Err(_) => {
            let late: Vec<_> = expected.keys().filter(|name| !running.contains_key(*name)).collect();
            bail!("{}", why_late(client, &late).await);
        }
    }
    while let Some(ping) = first_pings.join_next().await {
        ping??;
    }
    let ports = Api::<KuryrPort>::namespaced(client.clone(), NAMESPACE);
    let mut lab_pods = try_join_all(running.values().map(|pod| describe(kubelets, &ports, pod))).await?;
    lab_pods.sort_by_key(|pod| (pod.name.len(), pod.name.clone()));
    Ok(lab_pods)
}

fn first_ping(pod: &Pod, timeline: &Timeline) -> Result<()> {
    ping_patiently(address_of(pod)?).with_context(|| format!("from the gateway to {}", pod.name_any()))?;
    timeline.reached(&pod.uid().unwrap_or_default(), Stage::Answered);
    Ok(())
}

fn address_of(pod: &Pod) -> Result<Ipv4Addr> {
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).unwrap_or_default();
    address.parse().with_context(|| format!("{} has the address {address:?}", pod.name_any()))
}

/// What the pods wait for, as everybody can read it in the API.
async fn why_late(client: &Client, late: &[&String]) -> String {
    let pods = Api::<Pod>::namespaced(client.clone(), NAMESPACE);
    let ports = Api::<KuryrPort>::namespaced(client.clone(), NAMESPACE);
    let mut reasons = format!("{} pods do not run after {} s:", late.len(), PATIENCE.as_secs());
    for name in late.iter().take(5) {
        let pod = match pods.get(name).await {
            Ok(pod) => {
                pod.status.and_then(|status| status.message).unwrap_or_else(|| "its node says nothing".to_owned())
            }
            Err(error) => error.to_string(),
        };
        let port = match ports.get(name).await {
            Ok(port) => match port.status {
                None => "KuryrPort without status".to_owned(),
                Some(status) => format!(
                    "KuryrPort with {} interfaces; {}",
                    status.vifs.len(),
                    status
                        .conditions
                        .iter()
                        .map(|c| format!("{}: {}", c.reason, c.message))
                        .collect::<Vec<_>>()
                        .join("; ")
                ),
            },
            Err(error) => format!("no KuryrPort: {error}"),
        };
        reasons.push_str(&format!("\n  {name}: {pod} ({port})"));
    }
    reasons
}

async fn describe(kubelets: &[Kubelet], ports: &Api<KuryrPort>, pod: &Pod) -> Result<LabPod> {
    let name = pod.name_any();
    let uid = pod.uid().unwrap_or_default();
    let (kubelet, running) = kubelets
        .iter()
        .find_map(|kubelet| Some((kubelet, kubelet.pod(&uid)?)))
        .with_context(|| format!("{name} is Running, but on no node"))?;
    let interfaces = running.result["interfaces"].as_array().map(Vec::as_slice).unwrap_or_default();
    // CNI results: an interface without `sandbox` is on the host.
    let inside =
        interfaces.iter().find(|interface| interface["name"] == POD_INTERFACE && interface["sandbox"].is_string());
    let outside = interfaces.iter().find(|interface| interface["sandbox"].as_str().unwrap_or_default().is_empty());
    let text = |value: Option<&serde_json::Value>, key: &str| {
        value
            .and_then(|value| value[key].as_str())
            .map(str::to_owned)
            .with_context(|| format!("the plugin's result for {name} has no {key}: {}", running.result))
    };
    let port = ports.get(&name).await.with_context(|| format!("{name} is Running without a KuryrPort"))?;
    let port = port
        .status
        .and_then(|status| Some(status.vifs.get(MAIN_INTERFACE)?.vif.as_ref().ok()?.id.clone()))
        .with_context(|| format!("{name} is Running, but its KuryrPort has no interface"))?;
    Ok(LabPod {
        colour: pod.labels().get("colour").cloned().unwrap_or_default(),
        address: address_of(pod)?,
        mac: text(inside, "mac")?,
        device: text(outside, "name")?,
        port,
        kubelet: kubelet.clone(),
        name,
        uid,
    })
}

/// One answered ping.
pub(crate) struct Answer {
    pub(crate) round_trip: Duration,
    /// 1 if the first try was answered.
    pub(crate) tries: u16,
}

/// Pings `target` from the calling thread's network namespace, a few times if need be.
pub(crate) fn ping_patiently(target: Ipv4Addr) -> Result<Answer> {
    let identifier = fastrand::u16(..);
    for tries in 1..=PING_TRIES {
        if let Some(round_trip) = ping(target, identifier, tries, PING_TIMEOUT)? {
            return Ok(Answer { round_trip, tries });
        }
    }
    bail!("{target} did not answer {PING_TRIES} pings")
}

/// Pings from every pod to the next ones, to all others if they are not too many. What was answered, or what was not.
pub(crate) async fn ping_each_other(pods: &[LabPod]) -> Result<Vec<Answer>> {
    let targets_each = targets_each(pods.len());
    let rounds = try_join_all(pods.iter().enumerate().map(|(index, from)| async move {
        let netns = from.kubelet.pod(&from.uid).context("the pod is gone")?.sandbox.netns;
        let targets: Vec<_> = (1..=targets_each)
            .map(|step| &pods[(index + step) % pods.len()])
            .map(|pod| (pod.name.clone(), pod.address))
            .collect();
        let name = from.name.clone();
        from.kubelet
            .node()
            .run(move || {
                inside_netns(&netns, || {
                    targets
                        .into_iter()
                        .map(|(target, address)| ping_patiently(address).with_context(|| format!("{name} → {target}")))
                        .collect::<Result<Vec<_>>>()
                })
            })
            .await
    }))
    .await?;
    Ok(rounds.into_iter().flatten().collect())
}

/// How many others each of so many pods pings.
fn targets_each(pods: usize) -> usize {
    let room = PINGS.min(ROOM.saturating_sub(pods));
    pods.saturating_sub(1).min((room / pods.max(1)).max(1))
}

/// Deletes the lab's pods and waits until the API server has forgotten them and their KuryrPorts.
pub(crate) async fn delete_all(client: &Client, names: impl Iterator<Item = &String>) -> Result<()> {
    let pods = Api::<Pod>::namespaced(client.clone(), NAMESPACE);
    try_join_all(names.map(|name| {
        let pods = pods.clone();
        async move { pods.delete(name, &DeleteParams::default()).await.with_context(|| format!("cannot delete {name}")) }
    }))
    .await?;
    let gone = async {
        await_none(pods, "app=kuryr-lab").await?;
        await_none(Api::<KuryrPort>::namespaced(client.clone(), NAMESPACE), "").await
    };
    timeout(PATIENCE, gone)
        .await
        .with_context(|| format!("pods or KuryrPorts are left after {} s", PATIENCE.as_secs()))?
}

async fn await_none<K>(api: Api<K>, labels: &str) -> Result<()>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let mut left = std::collections::BTreeSet::new();
    let mut listed = false;
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default().labels(labels)).default_backoff());
    while !listed || !left.is_empty() {
        match events.try_next().await?.context("the watch ended")? {
            watcher::Event::Apply(object) | watcher::Event::InitApply(object) => drop(left.insert(object.name_any())),
            watcher::Event::Delete(object) => drop(left.remove(&object.name_any())),
            watcher::Event::Init => left.clear(),
            watcher::Event::InitDone => listed = true,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_pods_ping_every_pair_and_many_stay_within_the_neighbour_table() {
        assert_eq!(targets_each(2), 1);
        assert_eq!(targets_each(4), 3);
        assert_eq!(targets_each(20), 19);
        for pods in 2..=200 {
            assert!((1..pods).contains(&targets_each(pods)) && pods * targets_each(pods) <= PINGS, "{pods}");
            assert!(pods * targets_each(pods) + pods <= ROOM, "{pods}");
        }
    }
}
