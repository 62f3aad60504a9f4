//! The daemon: on every node, with what it needs of the host and no more.

use serde_json::{Value, json};

use super::{NODE, Scene, configuration, environment, field, kuryr_object, pod_annotations, pod_spec, ports, probe};

/// As kuryr-kubernetes had it: a DaemonSet of that name takes over the pods its old one leaves.
fn selector() -> Value {
    json!({ "app": NODE, "tier": "node" })
}

pub(super) fn daemon_set(scene: &Scene<'_>) -> Value {
    let node = &scene.values.node;
    let mut spec = pod_spec(scene, NODE, "system-node-critical");
    spec["nodeSelector"] = Value::Object(node.node_selector.clone());
    spec["tolerations"] = node.tolerations.clone().into();
    let (container, volumes) = container(scene);
    spec["containers"] = json!([container]);
    spec["volumes"] = volumes.into();

    let mut object = kuryr_object("apps/v1", "DaemonSet", NODE, Some(scene.namespace));
    object["metadata"]["labels"]["app"] = NODE.into();
    object["metadata"]["labels"]["tier"] = "node".into();
    object["spec"] = json!({
        "selector": { "matchLabels": selector() },
        // Ports, socket and plugin are the node's: the old daemon goes before the new one comes, and requests wait.
        "updateStrategy": {
            "type": "RollingUpdate",
            "rollingUpdate": { "maxSurge": 0, "maxUnavailable": node.max_unavailable },
        },
        "template": {
            "metadata": {
                "labels": { "app": NODE, "tier": "node", "app.kubernetes.io/name": "kuryr", "app.kubernetes.io/component": "node" },
                "annotations": pod_annotations(scene, &node.pod_annotations),
            },
            "spec": spec,
        },
    });
    object
}

fn container(scene: &Scene<'_>) -> (Value, Vec<Value>) {
    let node = &scene.values.node;
    let mut env = vec![field("KUBERNETES_NODE_NAME", "spec.nodeName")];
    env.extend(environment(
        scene,
        vec![
            ("OS_CNI_HEALTH_SERVER__PORT", node.health_port.to_string()),
            ("OS_PROMETHEUS_EXPORTER__CNI_EXPORTER_PORT", node.metrics_port.to_string()),
            ("OS_KURYR__INSTALL_PLUGIN", "true".to_owned()),
            ("OS_KURYR__PLUGIN_SOURCE", "/kuryr-cni".to_owned()),
            ("OS_KURYR__CNI_BIN_DIR", node.cni_bin_dir.clone()),
            ("OS_KURYR__CNI_CONF_DIR", node.cni_conf_dir.clone()),
            ("OS_KURYR__STATE_DIR", format!("{}/attachments", node.state_dir)),
            ("OS_KURYR__DAEMON_SOCKET", "/run/kuryr/cni.sock".to_owned()),
        ],
    ));
    let (mut mounts, mut volumes) = host_folders(scene);
    mounts.push(json!({ "name": "config", "mountPath": "/etc/kuryr", "readOnly": true }));
    volumes.push(json!({ "name": "config", "configMap": { "name": configuration::CONFIG } }));
    let mut security = json!({
        "privileged": false,
        "runAsUser": 0,
        "readOnlyRootFilesystem": true,
        "capabilities": { "drop": ["ALL"], "add": node.capabilities },
        "seccompProfile": { "type": "RuntimeDefault" },
        // The runtime's own profile forbids every write below /proc/sys, also to the settings of a pod's interfaces.
        "appArmorProfile": { "type": "Unconfined" },
    });
    if !node.se_linux_type.is_empty() {
        security["seLinuxOptions"] = json!({ "type": node.se_linux_type });
    }
    let mut container = json!({
        "name": "kuryr-cni",
        "image": scene.values.image(),
        "imagePullPolicy": scene.values.image.pull_policy,
        "command": ["/usr/bin/kuryr", "daemon"],
        "args": ["--config-dir", "/etc/kuryr"],
        "env": env,
        "ports": ports(node.health_port, node.metrics_port),
        "resources": node.resources,
        "securityContext": security,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    });
    probe(scene, &mut container, node.health_port);
    (container, volumes)
}

/// Folders of the host. Namespaces are mounts that come later, so they must come through; runtimes name them by either path.
fn host_folders(scene: &Scene<'_>) -> (Vec<Value>, Vec<Value>) {
    let node = &scene.values.node;
    let folders = [
        ("netns", "/run/netns", true),
        ("var-netns", "/var/run/netns", true),
        ("openvswitch", node.openvswitch_dir.as_str(), false),
        ("socket", "/run/kuryr", false),
        ("cni-bin", node.cni_bin_dir.as_str(), false),
        ("cni-conf", node.cni_conf_dir.as_str(), false),
        ("state", node.state_dir.as_str(), false),
    ];
    let mount = |(name, path, comes_through): (&str, &str, bool)| {
        // Open vSwitch is looked for where the options say, whatever the folder is called on the node.
        let inside = if name == "openvswitch" { "/run/openvswitch" } else { path };
        let mut mount = json!({ "name": name, "mountPath": inside });
        if comes_through {
            mount["mountPropagation"] = "HostToContainer".into();
        }
        mount
    };
    let volume = |(name, path, _): (&str, &str, bool)| json!({ "name": name, "hostPath": { "path": path, "type": "DirectoryOrCreate" } });
    (folders.into_iter().map(mount).collect(), folders.into_iter().map(volume).collect())
}
