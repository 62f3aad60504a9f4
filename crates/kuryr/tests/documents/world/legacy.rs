//! kuryr-kubernetes 2024.1, as its own generator of manifests left it in a cluster, with one pod that runs. The manifests are in the
//! reader's folder kuryr-kubernetes.

use kuryr_fake::openstack::ADMIN_PASSWORD;
use serde_json::{Value, json};

use super::World;

/// Puts it there. The pod has this port.
pub(super) fn is_there(world: &World, port: &str) {
    let folder = world.path().join("kuryr-kubernetes");
    std::fs::create_dir(&folder).unwrap();
    for (number, manifest) in manifests(world).into_iter().enumerate() {
        std::fs::write(folder.join(format!("{number}.yml")), manifest.to_string()).unwrap();
        world.put(manifest);
    }
    world.put(definition());
    let pod = world.put(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "web", "namespace": "default", "finalizers": ["kuryr.openstack.org/pod-finalizer"] },
        "spec": { "nodeName": "n1", "containers": [{ "name": "c", "image": "i" }] },
        "status": { "phase": "Running" },
    }));
    world.put(json!({
        "apiVersion": "openstack.org/v1", "kind": "KuryrPort", "metadata": { "name": "web", "namespace": "default" },
        "spec": { "podUid": pod["metadata"]["uid"], "podNodeName": "n1" },
        "status": { "vifs": { "eth0": { "default": true, "vif": vif(port) } } },
    }));
}

fn manifests(world: &World) -> Vec<Value> {
    let (project, subnet) = (world.cloud.project("k8s"), &world.network.subnets[0]);
    let conf = format!(
        "[kubernetes]\napi_root = https://10.0.0.1:6443\n[neutron]\nauth_url = {}\nusername = k8s-admin\n\
         user_domain_name = Default\npassword = {ADMIN_PASSWORD}\nproject_name = k8s\nproject_domain_name = Default\n\
         [neutron_defaults]\nproject = {project}\npod_subnet = {subnet}\n",
        world.cloud.auth_url()
    );
    let mut manifests = Vec::new();
    let named = |name: &str| json!({ "name": name, "namespace": "kube-system" });
    manifests.push(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": named("kuryr-config"), "data": { "kuryr.conf": conf } }));
    manifests.push(json!({ "apiVersion": "v1", "kind": "Secret", "metadata": named("kuryr-certificates"), "data": { "kuryr-ca-bundle.crt": "" } }));
    for account in ["kuryr-controller", "kuryr-cni"] {
        let rules = json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["*"] },
                           { "apiGroups": ["openstack.org"], "resources": ["kuryrports"], "verbs": ["*"] }]);
        let (group, role) = ("rbac.authorization.k8s.io", json!({ "name": account }));
        let api_version = format!("{group}/v1");
        manifests.push(json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": named(account) }));
        manifests.push(json!({ "apiVersion": api_version, "kind": "ClusterRole", "metadata": role, "rules": rules }));
        manifests.push(json!({
            "apiVersion": api_version, "kind": "ClusterRoleBinding", "metadata": role,
            "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": account },
            "subjects": [{ "kind": "ServiceAccount", "name": account, "namespace": "kube-system" }],
        }));
    }
    manifests.push(workload(
        "Deployment",
        "kuryr-controller",
        &json!({ "name": "kuryr-controller" }),
        &json!([
            { "name": "controller", "image": "kuryr/controller:latest", "args": ["--config-dir", "/etc/kuryr"] },
            { "name": "leader-elector", "image": "gcr.io/google_containers/leader-elector:0.5" },
        ]),
    ));
    manifests.push(workload(
        "DaemonSet",
        "kuryr-cni-ds",
        &json!({ "app": "kuryr-cni", "tier": "node" }),
        &json!([{ "name": "kuryr-cni", "image": "kuryr/cni:latest", "command": ["cni_ds_init"] }]),
    ));
    manifests
}

fn workload(kind: &str, name: &str, labels: &Value, containers: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": name, "namespace": "kube-system", "labels": labels },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": { "hostNetwork": true, "containers": containers } },
        },
    })
}

/// It knew no conditions.
fn definition() -> Value {
    let open = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "kuryrports.openstack.org" },
        "spec": {
            "group": "openstack.org", "scope": "Namespaced",
            "names": { "plural": "kuryrports", "singular": "kuryrport", "kind": "KuryrPort", "shortNames": ["kp"] },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object",
                "properties": {
                    "spec": { "type": "object", "required": ["podUid", "podNodeName"], "properties": {
                        "podUid": { "type": "string" }, "podNodeName": { "type": "string" }, "podStatic": { "type": "boolean" },
                    } },
                    "status": { "type": "object", "required": ["vifs"], "properties": { "vifs": open } },
                },
            } } }],
        },
    })
}

fn vif(port: &str) -> Value {
    let object = |name: &str, data: Value| {
        json!({ "versioned_object.name": name, "versioned_object.namespace": "os_vif",
                "versioned_object.version": "1.0", "versioned_object.data": data })
    };
    let network = object("Network", json!({ "id": "n", "subnets": object("SubnetList", json!({ "objects": [] })) }));
    object(
        "VIFOpenVSwitch",
        json!({
            "id": port, "address": "fa:16:3e:00:00:01", "network": network, "plugin": "ovs", "active": true,
            "vif_name": "tap", "has_traffic_filtering": true, "bridge_name": "br-int",
            "port_profile": object("VIFPortProfileOpenVSwitch", json!({ "interface_id": port })),
        }),
    )
}
