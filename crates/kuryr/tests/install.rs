//! `kuryr install` as people start it, against both fakes over TCP.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod fakes;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use kuryr_fake::kubernetes::Cluster;
use kuryr_fake::openstack::{ADMIN_PASSWORD, Cloud};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use fakes::{serve_cloud, serve_cluster};

/// Longest time anything here may take; far more than it does.
const LIMIT: Duration = Duration::from_secs(30);

struct World {
    cluster: Cluster,
    cloud: Cloud,
    folder: tempfile::TempDir,
    _runtime: Runtime,
}

impl World {
    fn new() -> World {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster::new();
        serve_cluster(&runtime, &cluster, &folder.path().join("kubeconfig"), |request| request);
        let cloud = serve_cloud(&runtime);
        let network = cloud.seed_network("k8s", "pods", &["10.0.0.0/24"]);
        let router = cloud.create("routers", json!({ "name": "r", "project_id": cloud.project("k8s") }));
        cloud.add_router_interface(router["id"].as_str().unwrap(), &network.subnets[0]);
        let values = json!({
            "cloud": {
                "authUrl": cloud.auth_url(), "username": "k8s-admin", "password": ADMIN_PASSWORD, "projectName": "k8s",
            },
            "network": { "project": cloud.project("k8s"), "podSubnets": network.subnets },
        });
        std::fs::write(folder.path().join("values.yaml"), values.to_string()).unwrap();
        World { cluster, cloud, folder, _runtime: runtime }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut kuryr = Command::new(env!("CARGO_BIN_EXE_kuryr"));
        kuryr
            .arg("install")
            .arg("--kubeconfig")
            .arg(self.path("kubeconfig"))
            .arg("--values")
            .arg(self.path("values.yaml"));
        kuryr.args(arguments).env_clear().env("HOME", "/nonexistent");
        kuryr
    }

    fn install(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let out = self.command(arguments).output().unwrap();
        (out.status.code(), String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap())
    }

    fn get(&self, resource: &str, name: &str) -> Option<Value> {
        self.cluster.get(resource, "kube-system", name)
    }
}

/// Without the breaks of its lines.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn everything_is_put_there_and_a_second_time_nothing_changes() {
    let world = World::new();
    let (code, stdout, stderr) = world.install(&[]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("ok    credentials     k8s-admin in k8s"), "{stdout}");
    assert!(stdout.contains("created   Deployment kube-system/kuryr-controller"), "{stdout}");
    let deployment = world.get("deployments.apps", "kuryr-controller").unwrap();
    assert_eq!(deployment["metadata"]["managedFields"][0]["manager"], "kuryr-install");
    assert_eq!(deployment["spec"]["replicas"], 2);
    for (resource, name) in
        [("daemonsets.apps", "kuryr-cni"), ("secrets", "kuryr-cloud"), ("configmaps", "kuryr-config")]
    {
        assert!(world.get(resource, name).is_some(), "{resource} {name}");
    }
    assert!(!stdout.contains(ADMIN_PASSWORD) && !stderr.contains(ADMIN_PASSWORD));

    let (code, stdout, _) = world.install(&[]);
    assert!(code == Some(0) && !stdout.contains("created ") && !stdout.contains("changed  "), "{stdout}");
    let (_, stdout, _) = world.install(&["--set", "controller.replicas=3"]);
    let changed: Vec<_> = stdout.lines().filter(|line| line.trim_start().starts_with("changed ")).collect();
    assert_eq!(changed, ["  changed   Deployment kube-system/kuryr-controller"]);
}

#[test]
fn nothing_is_changed_where_something_is_missing() {
    let world = World::new();
    let (before, writes) = (world.cluster.version(), world.cloud.total_writes());
    let (code, stdout, stderr) = world.install(&["--set", "network.podSubnets=[00000000-0000-0000-0000-000000000000]"]);
    assert_eq!(code, Some(2), "{stdout}{stderr}");
    assert!(
        flat(&stdout).contains("FAIL pod subnet subnet 0000") && stdout.contains("→ openstack subnet list"),
        "{stdout}"
    );
    assert!(stderr.contains("nothing was changed"), "{stderr}");
    assert_eq!((world.cluster.version(), world.cluster.log().writes()), (before, 0));

    let old =
        json!({ "selector": { "matchLabels": { "a": "b" } }, "template": { "metadata": { "labels": { "a": "b" } } } });
    let old = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "kuryr-cni-ds", "namespace": "kube-system" }, "spec": old,
    });
    world.cluster.create(old).unwrap();
    let (code, stdout, _) = world.install(&["--check"]);
    assert!(code == Some(2) && flat(&stdout).contains("delete daemonset kuryr-cni-ds --cascade=orphan"), "{stdout}");
    let old = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "kuryr-controller", "namespace": "kube-system" },
        "spec": world.get("daemonsets.apps", "kuryr-cni-ds").unwrap()["spec"],
    });
    world.cluster.create(old).unwrap();
    let (code, stdout, _) = world.install(&["--check"]);
    let cure = "delete deployment kuryr-controller --cascade=foreground";
    assert!(code == Some(2) && flat(&stdout).contains(cure), "{stdout}");
    let (code, stdout, _) = world.install(&["--namespace", "net", "--check"]);
    assert!(code == Some(2) && flat(&stdout).contains("kubectl create namespace net"), "{stdout}");
    assert_eq!((world.cloud.total_writes(), world.cluster.log().writes()), (writes, 0));
}

#[test]
fn it_waits_until_both_are_ready() {
    let world = World::new();
    let mut installing = world.command(&["--wait", "--timeout", "30"]).spawn().unwrap();
    let begun = Instant::now();
    let deployed = || world.get("deployments.apps", "kuryr-controller").zip(world.get("daemonsets.apps", "kuryr-cni"));
    while deployed().is_none() {
        assert!(begun.elapsed() < LIMIT, "nothing is deployed");
        std::thread::yield_now();
    }
    assert!(installing.try_wait().unwrap().is_none(), "it did not wait");
    let ready =
        json!({ "status": { "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1 } });
    world.cluster.patch("deployments.apps", "kube-system", "kuryr-controller", &ready).unwrap();
    let ready = json!({ "status": {
        "observedGeneration": 1, "desiredNumberScheduled": 2, "currentNumberScheduled": 2, "numberMisscheduled": 0,
        "numberReady": 2, "numberAvailable": 2, "updatedNumberScheduled": 2,
    } });
    world.cluster.patch("daemonsets.apps", "kube-system", "kuryr-cni", &ready).unwrap();
    assert_eq!(installing.wait().unwrap().code(), Some(0));
}

#[test]
fn a_wait_that_ends_says_what_is_in_the_way() {
    let world = World::new();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "kuryr-controller-1", "namespace": "kube-system", "labels": { "app.kubernetes.io/name": "kuryr" } },
        "spec": { "containers": [{ "name": "c", "image": "i" }] },
        "status": { "conditions": [{ "type": "PodScheduled", "status": "False", "message": "no free ports" }] },
    });
    world.cluster.create(pod).unwrap();
    let (code, _, stderr) = world.install(&["--wait", "--timeout", "1"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("kuryr-controller-1: no free ports") && stderr.contains("what to do"), "{stderr}");
}
