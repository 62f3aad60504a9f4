//! `kuryr check` that is ended in the middle of its trial takes away what it made.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod fakes;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kuryr_fake::kubernetes::Cluster;
use serde_json::json;
use tokio::runtime::Runtime;

use fakes::serve_cluster;

/// Longest time anything here may take; far more than it does.
const LIMIT: Duration = Duration::from_secs(30);

fn trials(cluster: &Cluster) -> usize {
    let all = cluster.list("namespaces", "");
    let name = |object: &serde_json::Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    all.iter().filter(|object| name(object).starts_with("kuryr-check-")).count()
}

/// Waits for it; nothing tells us when the other process has come so far.
#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "{what} did not come about");
        std::thread::yield_now();
    }
}

#[test]
fn an_interrupted_trial_leaves_no_namespace() {
    let runtime = Runtime::new().unwrap();
    for signal in ["-INT", "-TERM"] {
        let cluster = Cluster::new();
        let ready = json!({ "conditions": [{ "type": "Ready", "status": "True" }] });
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n1" }, "status": ready });
        cluster.create(node).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        serve_cluster(&runtime, &cluster, &kubeconfig, |request| request);
        let mut kuryr = Command::new(env!("CARGO_BIN_EXE_kuryr"));
        kuryr.args(["check", "--after", "--image", "x"]).env_clear().env("HOME", "/nonexistent");
        let mut check = kuryr.env("KUBECONFIG", &kubeconfig).stdout(Stdio::piped()).spawn().unwrap();
        // The pod is made after it listens for signals.
        until("a pod of the trial", || !cluster.list("pods", "").is_empty());
        assert!(Command::new("kill").args([signal, &check.id().to_string()]).status().unwrap().success());
        until("the end of kuryr check", || check.try_wait().unwrap().is_some());
        assert_eq!(trials(&cluster), 0, "{signal}: the namespace stays");
        let out = check.wait_with_output().unwrap();
        assert!(String::from_utf8_lossy(&out.stdout).contains("told to end"), "{out:?}");
    }
}
