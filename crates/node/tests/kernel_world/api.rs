//! The Kubernetes API of a node's world: a fake with our definitions, pods and KuryrPorts of `node-1` in namespace `ns`.

use std::collections::BTreeMap;

use kuryr_api::vif::Vif;
use kuryr_fake::kubernetes::Cluster;
use serde_json::json;

/// An API server that knows our custom resources and has no objects.
pub fn cluster() -> Cluster {
    let cluster = Cluster::builder().auto_namespaces().build();
    for definition in kuryr_api::crd::definitions() {
        cluster.create(serde_json::to_value(definition).unwrap()).unwrap();
    }
    cluster
}

/// A pod without a KuryrPort; returns its UID.
pub fn create_pod(cluster: &Cluster, pod: &str) -> String {
    let made = cluster.create(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "ns", "name": pod},
        "spec": {"nodeName": "node-1", "containers": [{"name": "main", "image": "image:1"}]},
    }));
    made.unwrap()["metadata"]["uid"].as_str().unwrap().to_owned()
}

/// The KuryrPort of a pod, with these interfaces, as the controller would have written it.
pub fn create_kuryr_port(cluster: &Cluster, pod: &str, uid: &str, vifs: &[(&str, Vif)]) {
    let vifs: BTreeMap<_, _> =
        vifs.iter().map(|(key, vif)| (*key, json!({"default": *key == "eth0", "vif": vif}))).collect();
    let port = cluster.create(json!({
        "apiVersion": "openstack.org/v1", "kind": "KuryrPort",
        "metadata": {"namespace": "ns", "name": pod, "labels": {"kuryr.openstack.org/nodeName": "node-1"}},
        "spec": {"podUid": uid, "podNodeName": "node-1", "podStatic": false}, "status": {"vifs": vifs},
    }));
    port.unwrap();
}

/// A pod and its KuryrPort; returns the pod's UID.
pub fn create_port(cluster: &Cluster, pod: &str, vifs: &[(&str, Vif)]) -> String {
    let uid = create_pod(cluster, pod);
    create_kuryr_port(cluster, pod, &uid, vifs);
    uid
}
