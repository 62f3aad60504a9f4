//! What is put into the cluster, as plain JSON: from values to objects and nothing else.
//!
//! Helm's templates and the kustomize base say the same; tests compare them object by object. Needs Kubernetes 1.30
//! (ValidatingAdmissionPolicy, `appArmorProfile`).

mod access;
mod admission;
pub(crate) mod configuration;
mod controller;
mod node;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::values::Values;

/// ServiceAccount, roles and Deployment of the controller.
pub(crate) const CONTROLLER: &str = "kuryr-controller";
/// ServiceAccount, roles and DaemonSet of the daemon.
const NODE: &str = "kuryr-cni";

/// What the objects are made for.
pub(crate) struct Scene<'a> {
    /// What the user set.
    pub(crate) values: &'a Values,
    /// Where the objects go.
    pub(crate) namespace: &'a str,
}

/// All objects, in an order in which each finds what it needs.
///
/// # Errors
/// None that is known; the definitions could be written as JSON since they exist.
pub(crate) fn all(scene: &Scene<'_>) -> Result<Vec<Value>> {
    let values = scene.values;
    let mut objects = Vec::new();
    if values.crds.install {
        objects.extend(definitions()?);
    }
    objects.extend(access::all(scene));
    if values.admission_policy.enabled {
        objects.extend(admission::all(scene));
    }
    objects.push(configuration::config_map(scene));
    objects.extend(configuration::secret(scene));
    objects.extend(controller::all(scene));
    objects.push(node::daemon_set(scene));
    Ok(objects)
}

/// The custom resource definitions. Helm must not take them away with the chart: with them would go every KuryrPort.
///
/// # Errors
/// None that is known.
pub(crate) fn definitions() -> Result<Vec<Value>> {
    let definitions = kuryr_api::crd::definitions();
    let keep = |definition| {
        let mut object = serde_json::to_value(definition).context("a definition cannot be written as JSON")?;
        object["metadata"]["annotations"] = json!({ "helm.sh/resource-policy": "keep" });
        Ok(object)
    };
    definitions.into_iter().map(keep).collect()
}

/// What the objects grant: rules for the whole cluster, and rules in our namespace. Who makes them must hold all of that itself.
pub(crate) fn granted() -> (Vec<Value>, Vec<Value>) {
    (access::cluster_rules(), access::leadership_rules())
}

/// An object with our label.
fn kuryr_object(api_version: &str, kind: &str, name: &str, namespace: Option<&str>) -> Value {
    let mut object = json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": { "name": name, "labels": { "app.kubernetes.io/name": "kuryr" } },
    });
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = namespace.into();
    }
    object
}

/// Annotations of pods: the user's, and the sum of the configuration, so that another one starts them again.
fn pod_annotations(scene: &Scene<'_>, own: &serde_json::Map<String, Value>) -> Value {
    let text = configuration::kuryr_conf(scene.values) + &scene.values.cloud.ca;
    let sum: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut annotations = own.clone();
    annotations.insert("kuryr.openstack.org/configuration".to_owned(), sum.into());
    Value::Object(annotations)
}

/// Environment of both workloads. It wins over kuryr.conf: what the probes and mounts beside it depend on is said here, so that a
/// kuryr.conf written for other manifests works as it is.
fn environment(scene: &Scene<'_>, mut own: Vec<(&str, String)>) -> Vec<Value> {
    own.push(("OS_KURYR__LISTEN_ADDRESS", scene.values.listen_address.clone()));
    let server = &scene.values.api_server;
    // A kuryr.conf of the user's own may leave it to the pod's environment.
    if !server.host.is_empty() && !scene.values.config.is_empty() {
        // Kubelet sets all three to the Service's address, and HTTPS is looked at first.
        own.push(("KUBERNETES_SERVICE_HOST", server.host.clone()));
        own.push(("KUBERNETES_SERVICE_PORT", server.port.to_string()));
        own.push(("KUBERNETES_SERVICE_PORT_HTTPS", server.port.to_string()));
    }
    own.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

/// A variable from a field of the pod.
fn field(name: &str, path: &str) -> Value {
    json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } })
}

/// Declared ports keep two pods that need the same ones off one node.
fn ports(health: u16, metrics: u16) -> Vec<Value> {
    let ports = [("health", health), ("metrics", metrics)].into_iter().filter(|(_, port)| *port != 0);
    ports
        .map(|(name, port)| json!({ "name": name, "containerPort": port, "hostPort": port, "protocol": "TCP" }))
        .collect()
}

/// Adds `/ready` and `/alive` to a container, if they are served.
fn probe(scene: &Scene<'_>, container: &mut Value, port: u16) {
    if port == 0 {
        return;
    }
    let get = |path: &str| {
        let mut get = json!({ "path": path, "port": port });
        // Without a host kubelet asks at the node's address.
        if !matches!(scene.values.listen_address.as_str(), "" | "0.0.0.0" | "::") {
            get["host"] = scene.values.listen_address.clone().into();
        }
        get
    };
    container["readinessProbe"] =
        json!({ "httpGet": get("/ready"), "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 3 });
    container["livenessProbe"] =
        json!({ "httpGet": get("/alive"), "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6 });
}

/// What both pods have: the host's network, because there may be no other yet, and the host's name servers, because those of the
/// cluster are pods of that network.
fn pod_spec(scene: &Scene<'_>, account: &str, priority: &str) -> Value {
    let image = &scene.values.image;
    let mut spec = json!({
        "serviceAccountName": account,
        "priorityClassName": priority,
        "hostNetwork": true,
        "dnsPolicy": "Default",
        "terminationGracePeriodSeconds": 30,
    });
    if !image.pull_secrets.is_empty() {
        spec["imagePullSecrets"] = image.pull_secrets.clone().into();
    }
    spec
}

#[cfg(test)]
mod tests;
