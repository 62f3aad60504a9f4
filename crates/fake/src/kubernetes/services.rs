//! Services: defaults, cluster IPs and node ports.

use serde_json::{Value, json};

use super::object::{default as set_default, field_mut};
use super::refusal::Cause;
use super::state::State;

/// What the API server fills in. Addresses are handed out one after the other from 10.96.0.0/16, node ports from 30000.
pub(super) fn default(state: &mut State, service: &mut Value) {
    let spec = field_mut(service, "spec");
    set_default(spec, "type", "ClusterIP");
    set_default(spec, "sessionAffinity", "None");
    let kind = spec["type"].as_str().unwrap_or_default().to_owned();
    if kind == "ExternalName" {
        return;
    }
    set_default(spec, "internalTrafficPolicy", "Cluster");
    if spec.get("clusterIP").and_then(Value::as_str).unwrap_or_default().is_empty() {
        state.services += 1;
        let [high, low] = u16::try_from(state.services).unwrap_or(u16::MAX).to_be_bytes();
        spec.insert("clusterIP".to_owned(), format!("10.96.{high}.{low}").into());
    }
    let address = spec["clusterIP"].clone();
    set_default(spec, "clusterIPs", json!([address]));
    set_default(spec, "ipFamilies", json!([if is_v6(&address) { "IPv6" } else { "IPv4" }]));
    set_default(spec, "ipFamilyPolicy", "SingleStack");
    let needs_node_port = matches!(kind.as_str(), "NodePort" | "LoadBalancer");
    if needs_node_port {
        set_default(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        set_default(spec, "allocateLoadBalancerNodePorts", true);
    }
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let Value::Object(port) = port else { continue };
        set_default(port, "protocol", "TCP");
        if let Some(number) = port.get("port").cloned() {
            set_default(port, "targetPort", number);
        }
        if needs_node_port && port.get("nodePort").is_none() {
            state.services += 1;
            port.insert("nodePort".to_owned(), (30_000 + state.services % 2768).into());
        }
    }
    set_default(field_mut(service, "status"), "loadBalancer", json!({}));
}

fn is_v6(address: &Value) -> bool {
    address.as_str().is_some_and(|address| address.contains(':'))
}

/// What is wrong with the service.
pub(super) fn validate(service: &Value) -> Vec<Cause> {
    let spec = &service["spec"];
    let mut causes = Vec::new();
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    if !kinds.contains(&spec["type"].as_str().unwrap_or_default()) {
        causes.push(Cause::unsupported("spec.type", &spec["type"], &kinds.map(Value::from)));
    }
    let ports = spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
    if ports.is_empty() && spec["type"] != "ExternalName" && spec["clusterIP"] != "None" {
        causes.push(Cause::required("spec.ports", ""));
    }
    for (index, port) in ports.iter().enumerate() {
        if !port["port"].as_u64().is_some_and(|port| (1..=65535).contains(&port)) {
            let why = "must be between 1 and 65535, inclusive";
            causes.push(Cause::invalid(format!("spec.ports[{index}].port"), &port["port"], why));
        }
        if ports.len() > 1 && port["name"].as_str().unwrap_or_default().is_empty() {
            causes.push(Cause::required(format!("spec.ports[{index}].name"), ""));
        }
    }
    causes
}

/// A cluster IP stays.
pub(super) fn forbidden_changes(old: &Value, new: &Value) -> Vec<Cause> {
    let (before, after) = (&old["spec"]["clusterIP"], &new["spec"]["clusterIP"]);
    let changed = before != after && before.is_string() && new["spec"]["type"] != "ExternalName";
    if changed && old["spec"]["type"] != "ExternalName" {
        return vec![Cause::invalid("spec.clusterIPs[0]", &json!([after]), "may not change once set")];
    }
    Vec::new()
}
