//! Pods come up, reach each other and are reached, and leave nothing.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::world::{API_ADDRESS, NODES, Pod, World, conditions, eventually, succeeded, text};

/// More than any single pod has ever needed here; a pod that takes longer is stuck.
const POD: Duration = Duration::from_secs(60);

pub(super) fn one_pod(world: &World) -> Result<String> {
    let begun = Instant::now();
    let pod = one(world, "one-pod", None)?;
    ensure!(pod.address.starts_with("10.20."), "{} is not in the pod subnet", pod.address);
    Ok(format!("{} on {} after {:.1} s", pod.address, pod.node, begun.elapsed().as_secs_f64()))
}

pub(super) fn port_list(world: &World) -> Result<String> {
    let pod = one(world, "port-list", None)?;
    // What an operator would type. Tags come when no pod waits for a port any more.
    let port = eventually("the port is listed by its tag", POD, || {
        let listed = world.openstack(&["port", "list", "--long", "--tags", "kuryr:cluster=bed", "-f", "json"])?;
        let listed: Value = serde_json::from_str(&listed).context("openstack port list")?;
        Ok(listed.as_array().and_then(|ports| ports.first().cloned()))
    })?;
    let addresses = port["Fixed IP Addresses"].to_string();
    ensure!(addresses.contains(&format!("\"{}\"", pod.address)), "not the pod's address {}: {addresses}", pod.address);
    let (name, owner) = (text(&port["Name"]), text(&port["Device Owner"]));
    ensure!(name.contains(&pod.name), "the port's name {name:?} does not tell the pod {}", pod.name);
    ensure!(owner == "compute:kuryr", "the device owner is {owner:?}");
    let id = world.openstack(&["port", "show", text(&port["ID"]), "-f", "value", "-c", "device_id"])?;
    ensure!(id.trim() == pod.uid, "device_id is {}, the pod is {}", id.trim(), pod.uid);
    Ok(format!("{name}, {owner}, {}", port["Tags"]))
}

pub(super) fn same_node(world: &World) -> Result<String> {
    ping_between(world, "same-node", "h1", "h1")
}

pub(super) fn two_nodes(world: &World) -> Result<String> {
    ping_between(world, "two-nodes", "h1", "h2")
}

fn ping_between(world: &World, check: &str, from: &str, to: &str) -> Result<String> {
    for (name, node) in [("a", from), ("b", to)] {
        world.create(&World::pod(check, &format!("{check}-{name}"), Some(node)))?;
    }
    let pods = world.ready_pods(check, 2, POD)?;
    let [a, b] = pods.as_slice() else { bail!("two pods expected") };
    ensure!((a.node.as_str(), b.node.as_str()) == (from, to), "the pods are on {} and {}", a.node, b.node);
    world.in_pod(&a.name, &["ping", "-c", "3", "-W", "2", &b.address])?;
    world.in_pod(&b.name, &["ping", "-c", "3", "-W", "2", &a.address])?;
    let page = world.fetch(&a.name, &b.address, 8080)?;
    ensure!(page.trim().ends_with(&b.name), "{} answered {page:?}", b.name);
    Ok(format!("{} on {from} and {} on {to}, both ways, and TCP", a.address, b.address))
}

pub(super) fn reach(world: &World) -> Result<String> {
    let pod = one(world, "reach", Some("h1"))?;
    // The API server itself, through its proxy; then its host, and every node.
    let proxied =
        world.kubectl(&["get", "--raw", &format!("/api/v1/namespaces/default/pods/{}:8080/proxy/", pod.name)])?;
    ensure!(proxied.trim() == pod.name, "through the API server the pod answered {proxied:?}");
    let ping = ["ping", "-n", "-c", "2", "-W", "2", &pod.address];
    succeeded(Command::new(ping[0]).args(&ping[1..]).output()?, "ping from the API server's host")?;
    for node in NODES {
        world.on_node(node, &ping)?;
        let page = world.on_node(node, &["curl", "-sS", "-m", "5", &format!("http://{}:8080/", pod.address)])?;
        ensure!(page.trim() == pod.name, "asked from {node} the pod answered {page:?}");
    }
    for target in [API_ADDRESS, "172.24.4.201", "172.24.4.202"] {
        world.in_pod(&pod.name, &["ping", "-c", "2", "-W", "2", target])?;
    }
    world
        .in_pod(&pod.name, &["sh", "-c", &format!("nc -w 3 {API_ADDRESS} 6443 </dev/null")])
        .context("TCP to the API server")?;
    Ok(format!("{} and 3 hosts, ping and TCP", pod.address))
}

pub(super) fn probe(world: &World) -> Result<String> {
    let probe = |port| json!({"httpGet": {"path": "/", "port": port}, "periodSeconds": 1, "timeoutSeconds": 2});
    let mut good = World::pod("probe", "probe-good", Some("h2"));
    good["spec"]["containers"][0]["readinessProbe"] = probe(8080);
    let mut bad = World::pod("probe", "probe-bad", Some("h2"));
    bad["spec"]["containers"][0]["readinessProbe"] = probe(9);
    world.create(&good)?;
    world.create(&bad)?;
    world.kubectl(&["wait", "--for=condition=Ready", "pod/probe-good", "--timeout=60s"])?;
    // The other one must have been probed, and must still not be Ready.
    eventually("an Unhealthy event for the pod that does not listen", POD, || {
        let events = world.get(&["events", "--field-selector", "involvedObject.name=probe-bad,reason=Unhealthy"])?;
        Ok(events["items"].as_array().is_some_and(|e| !e.is_empty()).then_some(()))
    })?;
    let bad = world.get(&["pod", "probe-bad"])?;
    let ready = conditions(&bad).find(|c| c["type"] == "Ready").map(|c| text(&c["status"]).to_owned());
    ensure!(ready.as_deref() == Some("False"), "the pod that does not listen has Ready={ready:?}");
    Ok("one Ready, one not".to_owned())
}

pub(super) fn thirty(world: &World) -> Result<String> {
    let begun = Instant::now();
    world.create(&World::deployment("thirty", "thirty", 30))?;
    let pods = world.ready_pods("thirty", 30, Duration::from_secs(180))?;
    let running = begun.elapsed().as_secs_f64();
    all_answer(&pods)?;
    let begun = Instant::now();
    world.delete("thirty")?;
    let deleted = begun.elapsed().as_secs_f64();
    world.nothing_left(Duration::from_secs(60))?;
    let clean = begun.elapsed().as_secs_f64();
    Ok(format!("all Ready after {running:.1} s, all answered; deleted after {deleted:.1} s, clean after {clean:.1} s"))
}

/// Every pod has an address of its own in the pod subnet, and answers a ping there.
pub(super) fn all_answer(pods: &[Pod]) -> Result<()> {
    let addresses: BTreeSet<&str> = pods.iter().map(|p| p.address.as_str()).collect();
    ensure!(addresses.len() == pods.len(), "two pods share an address: {addresses:?}");
    for pod in pods {
        ensure!(pod.address.starts_with("10.20."), "{} is not in the pod subnet", pod.address);
        let out = Command::new("ping").args(["-n", "-c", "2", "-i", "0.2", "-W", "2", &pod.address]).output()?;
        succeeded(out, &format!("ping to {} on {}", pod.name, pod.node))?;
    }
    Ok(())
}

/// One Ready pod, named like its check.
pub(super) fn one(world: &World, check: &str, node: Option<&str>) -> Result<Pod> {
    world.create(&World::pod(check, check, node))?;
    world.ready_pods(check, 1, POD)?.pop().context("one pod expected")
}
