//! What Octavia, Neutron and KuryrLoadBalancers must say in the end, from the Kubernetes objects alone: none of the controller's code is
//! asked. In lines, so that a difference can be read.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{SERVICES, SLICES};
use crate::world::{NAMESPACE, World};

/// Lines for all Services there are.
pub fn expected(world: &World) -> BTreeSet<String> {
    world.cluster.list(SERVICES, NAMESPACE).iter().flat_map(|service| of(world, service)).collect()
}

fn of(world: &World, service: &Value) -> Vec<String> {
    let (name, spec) = (service["metadata"]["name"].as_str().unwrap(), &service["spec"]);
    let Some(address) = spec["clusterIP"].as_str().filter(|address| *address != "None") else { return Vec::new() };
    if spec["type"] == "ExternalName" {
        return Vec::new();
    }
    let settings = world.config.services.as_ref().unwrap();
    let (provider, algorithm) = match settings.provider.as_deref() {
        Some("ovn") => ("ovn", "SOURCE_IP_PORT"),
        _ => ("amphora", "ROUND_ROBIN"),
    };
    let mut lines = vec![format!("{name}: load balancer of {provider} at {address}"), format!("port at {address}")];
    let mut count = 0;
    for port in spec["ports"].as_array().unwrap() {
        let (protocol, number) = (port["protocol"].as_str().unwrap(), &port["port"]);
        let affinity = affinity(spec, protocol);
        lines.push(format!("{name}: {protocol}:{number} by {algorithm}, {affinity}"));
        for (host, port) in endpoints(world, name, port) {
            lines.push(format!("{name}: {protocol}:{number} has {host}:{port}"));
            count += 1;
        }
    }
    lines.push(format!("{name}: recorded as Balanced, {count} members"));
    if spec["type"] == "LoadBalancer" {
        let asked = spec["loadBalancerIP"].as_str().filter(|asked| !asked.is_empty()).unwrap_or("any address");
        lines.push(format!("{name}: is reached at {asked}, and told so"));
    }
    lines
}

fn affinity(spec: &Value, protocol: &str) -> String {
    if spec["sessionAffinity"] != "ClientIP" {
        return "no affinity".to_owned();
    }
    let seconds = spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"].as_u64().unwrap_or(10_800);
    // Octavia has a time for packets, not for connections.
    if protocol == "TCP" { "SOURCE_IP".to_owned() } else { format!("SOURCE_IP for {seconds} s") }
}

/// Addresses and ports of those that are ready; of those that end, if nobody is. Only pods' addresses.
fn endpoints(world: &World, service: &str, port: &Value) -> BTreeSet<(String, u64)> {
    let slices = world.cluster.list(SLICES, NAMESPACE);
    let of_it = |slice: &&Value| slice["metadata"]["labels"]["kubernetes.io/service-name"] == service;
    let slices: Vec<&Value> = slices.iter().filter(of_it).collect();
    let all = || slices.iter().flat_map(|slice| slice["endpoints"].as_array().unwrap());
    let is_ready = |endpoint: &&Value| endpoint["conditions"]["ready"] != false;
    let ends =
        |endpoint: &&Value| endpoint["conditions"]["serving"] == true && endpoint["conditions"]["terminating"] == true;
    let taken: Vec<&Value> = match all().any(|endpoint| is_ready(&endpoint)) {
        true => all().filter(is_ready).collect(),
        false => all().filter(ends).collect(),
    };
    let target = port["targetPort"].as_u64().unwrap();
    let addresses = taken.iter().flat_map(|endpoint| endpoint["addresses"].as_array().unwrap());
    let pods = addresses.map(|address| address.as_str().unwrap()).filter(|address| address.starts_with("10.0.0."));
    pods.map(|address| (address.to_owned(), target)).collect()
}
