//! The table of rights in docs/installing.md is what `kuryr status` and `kuryr check` ask of the API server, in both directions.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kuryr_fake::kubernetes::{Cluster, Entry};
use serde_json::json;

use super::root;
use super::scene::Scene;
use super::world::World;

/// Where Kuryr is installed here.
const NAMESPACE: &str = "kube-system";

/// A verb and a resource, and where: `list pods everywhere`.
type Rights = BTreeSet<String>;

/// The rows of the table: where, for `kuryr status`, for `kuryr check`.
fn table() -> Vec<[String; 3]> {
    let text = std::fs::read_to_string(root().join("docs/installing.md")).unwrap();
    let lines = text.lines().skip_while(|line| !line.starts_with("| Rights in Kubernetes |")).skip(2);
    let rows = lines.take_while(|line| line.starts_with('|')).map(|line| {
        let mut cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
        std::array::from_fn(|_| cells.next().unwrap_or_default())
    });
    rows.collect()
}

/// `list: pods, nodes; get: leases` as single rights.
fn rights(column: usize) -> Rights {
    let mut rights = Rights::new();
    for row in table() {
        for group in row[column].split("; ").filter(|group| *group != "–") {
            let (verbs, resources) = group.split_once(": ").unwrap_or_else(|| panic!("`{group}` has no verbs"));
            for verb in verbs.split(", ") {
                rights.extend(resources.split(", ").map(|resource| format!("{verb} {resource} {}", row[0])));
            }
        }
    }
    rights
}

/// What was asked, in the words of the table.
fn asked(entries: &[Entry]) -> Rights {
    let right = |entry: &Entry| {
        // The table names resources as people do, without their group.
        let (resource, below) = entry.resource.split_once('/').unwrap_or((&entry.resource, ""));
        let resource = resource.split('.').next().unwrap_or_default();
        let slash = if below.is_empty() { "" } else { "/" };
        let place = match entry.namespace.as_str() {
            "" => "everywhere",
            NAMESPACE => "in Kuryr's namespace",
            _ => "in the namespace of the trial",
        };
        format!("{} {resource}{slash}{below} {place}", entry.verb)
    };
    entries.iter().map(right).collect()
}

/// The nodes' part of the trial: what serves runs, and what calls has called; but the one that asks for a name fails, and says nothing.
fn run_pods(cluster: &Cluster) {
    for pod in cluster.list("pods", "").iter().filter(|pod| pod["status"]["phase"] == "Pending") {
        let name = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
        let status = match name("name") {
            server if server.ends_with("server") => json!({ "phase": "Running", "podIP": "10.0.0.77" }),
            "caller-dns" => json!({ "phase": "Failed" }),
            _ => json!({ "phase": "Succeeded" }),
        };
        // It may be gone by now.
        let _ = cluster.patch("pods", name("namespace"), name("name"), &json!({ "status": status }));
    }
}

/// Runs a command where Kuryr is installed, and returns what it asked.
fn asked_by(command: &str) -> Rights {
    let world = World::new(Scene::Installed);
    world.prepare().unwrap();
    let cluster = world.cluster();
    let dns = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "kube-dns", "namespace": NAMESPACE },
        "spec": { "ports": [{ "port": 53, "protocol": "UDP" }] },
    });
    cluster.create(dns).unwrap();
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "endpoints": [{ "addresses": ["10.0.0.53"] }],
        "metadata": { "name": "dns", "namespace": NAMESPACE, "labels": { "kubernetes.io/service-name": "kube-dns" } },
    });
    cluster.create(slice).unwrap();
    let before = cluster.log().entries().len();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                run_pods(cluster);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        // What it finds is no matter of this test; that it went through all of it is, and shows in what it asked.
        let _ = world.run(command);
        done.store(true, Ordering::Relaxed);
    });
    asked(&cluster.log().entries()[before..])
}

#[test]
fn those_who_look_need_exactly_the_rights_of_the_table() {
    for (column, command) in [(1, "kuryr status"), (2, "kuryr check")] {
        let (needed, told) = (asked_by(command), rights(column));
        let untold: Vec<_> = needed.difference(&told).collect();
        let unneeded: Vec<_> = told.difference(&needed).collect();
        assert!(
            untold.is_empty() && unneeded.is_empty(),
            "{command}: asked and not in the table: {untold:?}; in the table and never asked: {unneeded:?}"
        );
    }
}
