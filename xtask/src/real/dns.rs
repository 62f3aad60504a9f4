//! Names: CoreDNS as ordinary pods behind a Service of UDP and TCP, which finds the API server by way of another Service; a Service without a
//! selector, found by its name.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::services::who;
use super::world::{World, eventually};
use crate::bed;

const CHECK: &str = "dns";
/// Whether the API server's own Service is balanced.
const OFF: &str = "api_server_service = false";
const ON: &str = "api_server_service = true";
/// As ordinary clusters install it.
const COREDNS: &str = include_str!("../../../beds/coredns/coredns.yaml");
const SOON: Duration = Duration::from_secs(120);

pub(super) fn names(world: &World) -> Result<String> {
    bed::coredns_image()?;
    world.set_option(OFF, ON)?;
    let outcome = looked_up(world);
    let removed =
        world.kubectl_reading(&["delete", "-f", "-", "--ignore-not-found", "--wait", "--timeout=60s"], COREDNS);
    let ours = || Ok(world.load_balancers()?.is_empty().then_some(()));
    let option = world.set_option(ON, OFF);
    world.delete(CHECK)?;
    option?;
    let told = outcome?;
    removed?;
    eventually("no load balancer is left", SOON, ours)?;
    Ok(told)
}

fn looked_up(world: &World) -> Result<String> {
    let begun = Instant::now();
    world.kubectl_reading(&["create", "-f", "-"], COREDNS)?;
    for node in ["h1", "h2"] {
        world.create(&World::pod(CHECK, &format!("{CHECK}-{node}"), Some(node)))?;
    }
    let pods = world.ready_pods(CHECK, 2, SOON)?;
    let rollout = ["-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s"];
    world.kubectl(&rollout).context("CoreDNS, which reads from the API server at 10.96.0.1")?;
    // Two pods, by UDP and by TCP.
    eventually("kube-dns is balanced", SOON, || world.balanced("kube-system", "kube-dns", 4))?;
    let up = begun.elapsed().as_secs_f64();

    let backend = &pods[0];
    by_hand(world, &backend.address)?;
    let mut address = String::new();
    for pod in &pods {
        address = eventually("a pod finds a Service by its name", SOON, || {
            let said = world.in_pod(&pod.name, &["nslookup", "by-hand.default.svc.cluster.local"]).unwrap_or_default();
            Ok(resolved(&said))
        })?;
        let page = eventually("it answers", SOON, || Ok(who(world, &pod.name, &address)))?;
        ensure!(page == backend.name, "{page} answers instead of {}", backend.name);
        api_server(world, &pod.name)?;
    }
    Ok(format!("after {up:.1} s; by-hand is {address} for pods on both nodes, kubernetes.default is the API server"))
}

/// A Service that says itself where it leads.
fn by_hand(world: &World, address: &str) -> Result<()> {
    let mut service = World::service(CHECK);
    service["metadata"]["name"] = json!("by-hand");
    service["spec"]["selector"] = json!(null);
    world.create(&service)?;
    world.create(&json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": "by-hand-1", "labels": { "kubernetes.io/service-name": "by-hand" } },
        "endpoints": [{ "addresses": [address], "conditions": { "ready": true } }],
        "ports": [{ "port": 8080, "protocol": "TCP" }],
    }))
}

/// The address in what nslookup says: the last one, after that of the server.
fn resolved(said: &str) -> Option<String> {
    let mut addresses = said.lines().filter_map(|line| line.strip_prefix("Address:")).map(str::trim);
    addresses.rfind(|address| !address.contains(':')).map(str::to_owned)
}

/// The API server says so itself to whoever speaks HTTP to it.
fn api_server(world: &World, pod: &str) -> Result<()> {
    let said = world.in_pod(pod, &["nslookup", "kubernetes.default.svc.cluster.local"])?;
    let address = resolved(&said).with_context(|| format!("kubernetes.default has no address:\n{said}"))?;
    let answer = world.fetch(pod, &address, 443)?;
    ensure!(answer.contains("HTTPS server"), "{address} is not the API server: {answer:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::resolved;

    #[test]
    fn an_answer_of_nslookup_is_read() {
        let said = "Server:\t\t10.96.0.10\nAddress:\t10.96.0.10:53\n\nName:\tweb.default.svc.cluster.local\nAddress: 10.96.7.7\n\n";
        assert_eq!(resolved(said).as_deref(), Some("10.96.7.7"));
        assert_eq!(
            resolved("Server:\t\t10.96.0.10\nAddress:\t10.96.0.10:53\n\n** server can't find x: NXDOMAIN\n"),
            None
        );
    }
}
