//! What the world must look like when nothing goes wrong any more.

use std::collections::BTreeSet;

use serde_json::json;

use super::{KURYR_PORTS, NAMESPACE, PODS, World};

/// Whether all is as it should be; else what is not.
pub fn at_rest(world: &World, sabotaged: &BTreeSet<String>) -> Result<(), String> {
    let mut ports = world.pod_ports();
    for pod in world.cluster.list(PODS, NAMESPACE) {
        let (name, uid) = (pod["metadata"]["name"].as_str().unwrap(), pod["metadata"]["uid"].as_str().unwrap());
        let spec = &pod["spec"];
        let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        let never_started = matches!(pod["status"]["phase"].as_str(), None | Some("Pending"))
            && !pod["metadata"]["deletionTimestamp"].is_null();
        if pod["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty()) {
            return Err(format!("{name} still has the legacy finalizer"));
        }
        let mine = ports.remove(uid).unwrap_or_default();
        if spec["hostNetwork"] == true || spec["nodeName"].is_null() || ended {
            if !mine.is_empty() {
                return Err(format!("{name} needs no port and has {}", mine.len()));
            }
            continue;
        }
        if sabotaged.contains(uid) {
            let told = world.ready(name).is_some_and(|(reason, _)| reason == "PortMissing");
            // If the port went before it was recorded, there is a new one. If somebody deleted the KuryrPort, too, while the pod
            // ran or was ending, nothing is left to tell it on, and no new port can help containers that run.
            let untold = world.kuryr_port(name).is_none();
            if (told || untold) && mine.is_empty() || mine.len() == 1 {
                continue;
            }
            return Err(format!("{name} lost its port and was told {:?}", world.ready(name)));
        }
        if never_started && mine.is_empty() {
            continue;
        }
        let [port] = mine.as_slice() else { return Err(format!("{name} ({uid}) has {} ports", mine.len())) };
        if port["security_groups"] != json!([world.security_group]) {
            return Err(format!("{name} has groups {}", port["security_groups"]));
        }
        let Some(kuryr_port) = world.kuryr_port(name) else { return Err(format!("{name} has no KuryrPort")) };
        let vif = &kuryr_port["status"]["vifs"]["eth0"]["vif"]["versioned_object.data"];
        if kuryr_port["spec"]["podUid"] != uid || vif["id"] != port["id"] || vif["active"] != true {
            return Err(format!("{name} ({uid}), port {}: its KuryrPort says {kuryr_port:#}", port["id"]));
        }
    }
    if let Some((uid, left)) = ports.first_key_value() {
        return Err(format!("{} ports are left of {uid}, which is no pod", left.len()));
    }
    for port in world.cluster.list(KURYR_PORTS, NAMESPACE) {
        let owner = world.pod(port["metadata"]["name"].as_str().unwrap_or_default());
        if owner.is_none_or(|pod| pod["metadata"]["uid"] != port["spec"]["podUid"]) {
            return Err(format!("KuryrPort {} is left", port["metadata"]["name"]));
        }
    }
    Ok(())
}
