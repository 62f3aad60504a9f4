//! Pods: defaults, what of them may change, grace periods, binding.

use serde_json::{Value, json};

use super::kinds::Kind;
use super::object::{self, default as set_default, field_mut};
use super::refusal::{Cause, Refusal};
use super::state::State;

/// What the API server fills in (the part clients look at).
pub(super) fn default(pod: &mut Value) {
    let spec = field_mut(pod, "spec");
    for (field, value) in [
        ("restartPolicy", json!("Always")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("dnsPolicy", json!("ClusterFirst")),
        ("securityContext", json!({})),
        ("schedulerName", json!("default-scheduler")),
        ("enableServiceLinks", json!(true)),
        ("serviceAccountName", json!("default")),
        ("preemptionPolicy", json!("PreemptLowerPriority")),
        ("priority", json!(0)),
    ] {
        set_default(spec, field, value);
    }
    let account = spec["serviceAccountName"].clone();
    set_default(spec, "serviceAccount", account);
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let Value::Object(container) = container else { continue };
            let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
            let tag = image.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
            let pull = if tag.is_none_or(|tag| tag == "latest") { "Always" } else { "IfNotPresent" };
            set_default(container, "imagePullPolicy", pull);
            set_default(container, "terminationMessagePath", "/dev/termination-log");
            set_default(container, "terminationMessagePolicy", "File");
            set_default(container, "resources", json!({}));
            for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                let Value::Object(port) = port else { continue };
                set_default(port, "protocol", "TCP");
                if host_network && let Some(number) = port.get("containerPort").cloned() {
                    set_default(port, "hostPort", number);
                }
            }
        }
    }
    let status = field_mut(pod, "status");
    set_default(status, "phase", "Pending");
    set_default(status, "qosClass", "BestEffort");
}

/// What is wrong with the pod.
pub(super) fn validate(pod: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let containers = pod["spec"]["containers"].as_array().map_or(&[][..], Vec::as_slice);
    if containers.is_empty() {
        causes.push(Cause::required("spec.containers", ""));
    }
    for (index, container) in containers.iter().enumerate() {
        let at = |field: &str| format!("spec.containers[{index}].{field}");
        for field in ["name", "image"] {
            if container[field].as_str().unwrap_or_default().is_empty() {
                causes.push(Cause::required(at(field), ""));
            }
        }
        if containers[..index].iter().any(|earlier| earlier["name"] == container["name"]) {
            causes.push(Cause::duplicate(at("name"), &container["name"]));
        }
    }
    causes
}

/// Fields of the spec that may change in a pod's life; the rest stays as it was created.
pub(super) fn forbidden_changes(old: &Value, new: &Value) -> Vec<Cause> {
    let fixed = |pod: &Value| {
        let mut spec = pod["spec"].clone();
        let fields = object::fields_mut(&mut spec);
        for field in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates"] {
            fields.remove(field);
        }
        for list in ["containers", "initContainers"] {
            for container in fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                container["image"] = Value::Null;
                container["imagePullPolicy"] = Value::Null;
            }
        }
        spec
    };
    if fixed(old) == fixed(new) {
        return Vec::new();
    }
    let why = "pod updates may not change fields other than `spec.containers[*].image`,\
               `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to \
               existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
               previously negative)";
    vec![Cause::forbidden("spec", why)]
}

/// How long kubelet may take to stop the pod, in seconds. Nobody stops a pod that runs nowhere or has ended.
pub(super) fn grace_period(pod: &Value, wished: Option<i64>) -> i64 {
    let scheduled = pod["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
    let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if !scheduled || ended {
        return 0;
    }
    let seconds = wished.or_else(|| pod["spec"]["terminationGracePeriodSeconds"].as_i64()).unwrap_or(30);
    if seconds < 0 { 1 } else { seconds }
}

impl State {
    /// The subresource `binding`: the scheduler's word.
    pub(super) fn bind(&mut self, kind: &Kind, namespace: &str, name: &str, binding: &Value) -> Result<(), Refusal> {
        let pod = self.get(kind, namespace, name).ok_or_else(|| Refusal::not_found(kind, name))?.clone();
        let node = binding["target"]["name"].as_str().unwrap_or_default();
        if node.is_empty() {
            return Err(Refusal::internal("target.name: Required value"));
        }
        if object::is_deleting(&pod) {
            let why = format!("pod {name} is being deleted, cannot be assigned to a host");
            return Err(Refusal::unbindable(name, &why));
        }
        if let Some(bound) = pod["spec"]["nodeName"].as_str().filter(|node| !node.is_empty()) {
            let why = format!("pod {name} is already assigned to node \"{bound}\"");
            return Err(Refusal::unbindable(name, &why));
        }
        let mut pod = Value::clone(&pod);
        pod["spec"]["nodeName"] = node.into();
        let condition = json!({
            "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": self.clock.text(),
        });
        let conditions = field_mut(&mut pod, "status").entry("conditions").or_insert_with(|| json!([]));
        if let Value::Array(conditions) = conditions {
            conditions.retain(|condition| condition["type"] != "PodScheduled");
            conditions.push(condition);
        }
        self.commit(kind, namespace, name, pod);
        Ok(())
    }
}
