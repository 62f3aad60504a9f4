//! The controller: a Deployment of any number of replicas, one of which works, and its disruption budget.

use serde_json::{Value, json};

use super::{
    CONTROLLER, Scene, configuration, environment, field, kuryr_object, pod_annotations, pod_spec, ports, probe,
};

/// User and group, as in the image.
const USER: u32 = 65532;
/// Where the Secret with credentials is seen.
const CLOUD_DIR: &str = "/etc/kuryr-cloud";

pub(super) fn all(scene: &Scene<'_>) -> Vec<Value> {
    let mut objects = vec![deployment(scene)];
    if scene.values.controller.replicas > 1 {
        let mut budget = kuryr_object("policy/v1", "PodDisruptionBudget", CONTROLLER, Some(scene.namespace));
        budget["spec"] = json!({ "maxUnavailable": 1, "selector": { "matchLabels": selector() } });
        objects.push(budget);
    }
    objects
}

/// As kuryr-kubernetes had it, so that its Deployment can be updated.
fn selector() -> Value {
    json!({ "name": CONTROLLER })
}

fn deployment(scene: &Scene<'_>) -> Value {
    let controller = &scene.values.controller;
    let mut spec = pod_spec(scene, CONTROLLER, "system-cluster-critical");
    spec["securityContext"] = json!({
        "runAsNonRoot": true,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    spec["nodeSelector"] = Value::Object(controller.node_selector.clone());
    spec["tolerations"] = controller.tolerations.clone().into();
    let spread = |key: &str| {
        json!({
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": selector() },
        })
    };
    spec["topologySpreadConstraints"] =
        json!([spread("kubernetes.io/hostname"), spread("topology.kubernetes.io/zone")]);
    let (container, volumes) = container(scene);
    spec["containers"] = json!([container]);
    spec["volumes"] = volumes.into();

    let mut object = kuryr_object("apps/v1", "Deployment", CONTROLLER, Some(scene.namespace));
    object["metadata"]["labels"]["name"] = CONTROLLER.into();
    object["spec"] = json!({
        "replicas": controller.replicas,
        "selector": { "matchLabels": selector() },
        // A new pod needs the ports of an old one. That there are never two writers is the Lease's work, at all times.
        "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 1 } },
        "template": {
            "metadata": {
                "labels": { "name": CONTROLLER, "app.kubernetes.io/name": "kuryr", "app.kubernetes.io/component": "controller" },
                "annotations": pod_annotations(scene, &controller.pod_annotations),
            },
            "spec": spec,
        },
    });
    object
}

fn container(scene: &Scene<'_>) -> (Value, Vec<Value>) {
    let (controller, cloud) = (&scene.values.controller, &scene.values.cloud);
    let mut args = vec!["--config-dir", "/etc/kuryr"];
    let mut own = vec![
        ("OS_HEALTH_SERVER__PORT", controller.health_port.to_string()),
        ("OS_PROMETHEUS_EXPORTER__CONTROLLER_EXPORTER_PORT", controller.metrics_port.to_string()),
    ];
    let mut mounts = vec![json!({ "name": "config", "mountPath": "/etc/kuryr", "readOnly": true })];
    let mut volumes = vec![json!({ "name": "config", "configMap": { "name": configuration::CONFIG } })];
    if let Some(secret) = configuration::secret_name(cloud) {
        args.extend(["--config-dir", CLOUD_DIR]);
        mounts.push(json!({ "name": "cloud", "mountPath": CLOUD_DIR, "readOnly": true }));
        volumes.push(json!({ "name": "cloud", "secret": { "secretName": secret, "defaultMode": 0o440 } }));
        // Read only if no `[neutron] auth_url` is there.
        own.push(("OS_CLIENT_CONFIG_FILE", format!("{CLOUD_DIR}/clouds.yaml")));
        if !cloud.cloud_name.is_empty() {
            own.push(("OS_CLOUD", cloud.cloud_name.clone()));
        }
    }
    if !cloud.ca.is_empty() {
        own.push(("SSL_CERT_FILE", "/etc/kuryr/ca.crt".to_owned()));
    }
    let mut env = vec![field("POD_NAME", "metadata.name"), field("POD_NAMESPACE", "metadata.namespace")];
    env.extend(environment(scene, own));
    let mut container = json!({
        "name": "controller",
        "image": scene.values.image(),
        "imagePullPolicy": scene.values.image.pull_policy,
        "command": ["/usr/bin/kuryr", "controller"],
        "args": args,
        "env": env,
        "ports": ports(controller.health_port, controller.metrics_port),
        "resources": controller.resources,
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    });
    probe(scene, &mut container, controller.health_port);
    (container, volumes)
}
