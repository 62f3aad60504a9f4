//! What the shipped role grants is what the daemon asks the API server for, in both directions.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code; the lint does not see it in helpers")]

use std::collections::BTreeSet;
use std::time::Duration;

use kuryr_fake::kubernetes::Cluster;
use kuryr_node::Config;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

/// Longest time anything here may take.
const LIMIT: Duration = Duration::from_secs(30);

/// What the daemon's role in deploy/ grants, `get pods`. That it is the installed one is tested where it is made.
fn granted() -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/manifests/kuryr.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let mut objects = text.split("\n---\n").skip(1).map(|object| serde_saphyr::from_str::<Value>(object).unwrap());
    let ours = |object: &Value| object["kind"] == "ClusterRole" && object["metadata"]["name"] == "kuryr-cni";
    let role = objects.find(ours).unwrap();
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let mut granted = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        let (group, resource) = (word(&rule["apiGroups"][0]), word(&rule["resources"][0]));
        let resource = if group.is_empty() { resource } else { format!("{resource}.{group}") };
        granted.extend(rule["verbs"].as_array().unwrap().iter().map(|verb| format!("{} {resource}", word(verb))));
    }
    granted
}

#[tokio::test]
async fn the_daemon_asks_for_exactly_what_it_may() {
    let cluster = Cluster::builder().auto_namespaces().build();
    for definition in kuryr_api::crd::definitions() {
        cluster.create(serde_json::to_value(definition).unwrap()).unwrap();
    }
    // A KuryrPort of an earlier pod, from the time before it said whether pods are static: only the pod itself can tell.
    let port = json!({
        "apiVersion": "openstack.org/v1", "kind": "KuryrPort",
        "metadata": { "name": "p", "namespace": "default", "labels": { "kuryr.openstack.org/nodeName": "n1" } },
        "spec": { "podUid": "earlier", "podNodeName": "n1" }, "status": { "vifs": {} },
    });
    cluster.create(port).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        socket: folder.path().join("cni.sock"),
        state_dir: folder.path().join("state"),
        vif_annotation_timeout: Duration::from_secs(2),
        health_address: None,
        metrics_address: None,
        ..Config::new("n1")
    };
    let socket = config.socket.clone();
    let shutdown = CancellationToken::new();
    let daemon = kuryr_node::run(config, kube::Client::new(cluster.clone(), "default"), shutdown.clone());
    let daemon = tokio::spawn(daemon);
    let mut stream = tokio::time::timeout(LIMIT, async {
        loop {
            match UnixStream::connect(&socket).await {
                Ok(stream) => return stream,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await
    .unwrap();
    let add = json!({
        "version": 1, "command": "ADD", "container_id": "c1", "netns": "/run/netns/none", "ifname": "eth0",
        "args": "K8S_POD_NAMESPACE=default;K8S_POD_NAME=p;K8S_POD_UID=later",
        "config": { "cniVersion": "1.0.0", "name": "kuryr", "type": "kuryr-cni" },
    });
    stream.write_all(format!("{add}\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(LIMIT, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.contains("\"error\""), "{answer}");
    shutdown.cancel();
    tokio::time::timeout(LIMIT, daemon).await.unwrap().unwrap().unwrap();

    let entries = cluster.log().entries();
    let asked: BTreeSet<String> = entries.iter().map(|entry| format!("{} {}", entry.verb, entry.resource)).collect();
    assert_eq!(asked, granted(), "left: asked for; right: granted");
}
