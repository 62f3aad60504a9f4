//! Services reach their pods by way of Octavia, whatever happens to either.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::world::{World, eventually, succeeded, text};

/// A load balancer of OVN is there after seconds.
const SOON: Duration = Duration::from_secs(120);
/// Requests within which each backend has answered.
const REQUESTS: usize = 20;

const CHECK: &str = "cluster-ip";

pub(super) fn cluster_ip(world: &World) -> Result<String> {
    world.create(&World::deployment(CHECK, CHECK, 2))?;
    world.create(&World::service(CHECK))?;
    let backends: BTreeSet<String> = world.ready_pods(CHECK, 2, SOON)?.into_iter().map(|pod| pod.name).collect();
    let begun = Instant::now();
    let balanced = || balanced(world, 2);
    eventually("the Service is balanced over both pods", SOON, balanced)?;
    let ready = begun.elapsed().as_secs_f64();
    let vip = text(&world.get(&["service", CHECK])?["spec"]["clusterIP"]).to_owned();
    // One client on each node, so that one of them shares its node with a backend wherever those are.
    for node in ["h1", "h2"] {
        world.create(&World::pod("cluster-ip-client", &format!("client-{node}"), Some(node)))?;
    }
    let seen = from_clients(world, &vip, &backends);
    let outcome = seen.and_then(|()| follows(world, &vip)).and_then(|()| is_repaired(world, &vip));
    world.delete("cluster-ip-client")?;
    outcome?;
    world.delete(CHECK)?;
    eventually("no load balancer is left", SOON, || Ok(world.load_balancers()?.is_empty().then_some(())))?;
    Ok(format!("{vip} after {ready:.1} s, from both nodes both of 2; 2, 4, 0, 3 followed; lost and made again"))
}

/// Whether the Service is balanced over so many pods.
fn balanced(world: &World, count: usize) -> Result<Option<()>> {
    world.balanced("default", CHECK, count)
}

fn from_clients(world: &World, vip: &str, backends: &BTreeSet<String>) -> Result<()> {
    world.ready_pods("cluster-ip-client", 2, SOON)?;
    for client in ["client-h1", "client-h2"] {
        let answered = answered(world, client, vip, backends.len())?;
        ensure!(answered == *backends, "{client} heard of {answered:?} instead of {backends:?}");
    }
    Ok(())
}

/// Who answers at an address: a page is the name of its pod.
pub(super) fn who(world: &World, client: &str, address: &str) -> Option<String> {
    let page = world.fetch(client, address, 80).ok()?;
    page.lines().next_back().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// Who answers at an address, in at most so many requests, until so many have.
fn answered(world: &World, client: &str, vip: &str, enough: usize) -> Result<BTreeSet<String>> {
    let mut answered = BTreeSet::new();
    for _ in 0..REQUESTS {
        answered.extend(who(world, client, vip));
        if answered.len() == enough {
            break;
        }
    }
    Ok(answered)
}

fn follows(world: &World, vip: &str) -> Result<()> {
    for count in [4, 0, 3] {
        world.kubectl(&["scale", "deployment", CHECK, &format!("--replicas={count}")])?;
        let what = format!("the Service follows to {count} pods");
        eventually(&what, SOON, || balanced(world, count))?;
        let heard = answered(world, "client-h1", vip, count)?.len();
        // Whom it hashes to is chance: with more than two, not everybody need have answered.
        ensure!(if count == 0 { heard == 0 } else { heard >= 2 }, "{heard} of {count} answered");
    }
    Ok(())
}

/// Deletes the load balancer behind the controller's back.
fn is_repaired(world: &World, vip: &str) -> Result<()> {
    let balancer = one(world)?;
    let (before, address) = (text(&balancer["id"]).to_owned(), text(&balancer["vip_address"]).to_owned());
    ensure!(address == vip, "the load balancer is at {address}, the Service at {vip}");
    world.delete_load_balancer(&before)?;
    eventually("another load balancer at the same address", SOON + SOON, || {
        let now = world.load_balancers()?;
        let another = now.iter().any(|it| it["id"] != json!(before) && it["vip_address"] == json!(vip));
        if another { balanced(world, 3) } else { Ok(None) }
    })?;
    ensure!(!answered(world, "client-h2", vip, 1)?.is_empty(), "nobody answers after the repair");
    Ok(())
}

pub(super) fn load_balancer(world: &World) -> Result<String> {
    const CHECK: &str = "load-balancer";
    world.create(&World::deployment(CHECK, CHECK, 2))?;
    let mut service = World::service(CHECK);
    service["spec"]["type"] = json!("LoadBalancer");
    world.create(&service)?;
    let begun = Instant::now();
    let address = eventually("the Service is told its address from outside", SOON, || {
        let service = world.get(&["service", CHECK])?;
        Ok(service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().map(str::to_owned))
    })?;
    let told = begun.elapsed().as_secs_f64();
    world.ready_pods(CHECK, 2, SOON)?;
    // From the provider network, where no pod is.
    let answers = || {
        let out =
            Command::new("curl").args(["--noproxy", "*", "-sS", "-m", "3", &format!("http://{address}/")]).output()?;
        Ok(Some(succeeded(out, "curl")?).filter(|page| page.trim().starts_with(CHECK)))
    };
    let page = eventually("the Service answers at its floating IP", SOON, answers)?;
    let before = one(world)?;
    world.delete_load_balancer(text(&before["id"]))?;
    eventually("another load balancer at the same addresses", SOON + SOON, || {
        let now = world.load_balancers()?;
        let another = |it: &Value| it["id"] != before["id"] && it["vip_address"] == before["vip_address"];
        if now.iter().any(another) { answers() } else { Ok(None) }
    })?;
    world.delete(CHECK)?;
    eventually("floating IP and load balancer are gone", SOON, || {
        let listed = world.openstack(&["floating", "ip", "list", "-f", "value", "-c", "Floating IP Address"])?;
        Ok((!listed.contains(&address) && world.load_balancers()?.is_empty()).then_some(()))
    })?;
    Ok(format!("{address} after {told:.1} s, answered by {}; lost and made again", page.trim()))
}

fn one(world: &World) -> Result<Value> {
    let mut all = world.load_balancers()?;
    if all.len() != 1 {
        bail!("{} load balancers instead of one", all.len());
    }
    all.pop().context("no load balancer")
}
