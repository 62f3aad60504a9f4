//! `kuryr operator` as its Deployment starts it, against both fakes over TCP. The tests play the controllers of Deployment and DaemonSet.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod fakes;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::Method;
use k8s_openapi::ByteString;
use kuryr_fake::faults::Rule;
use kuryr_fake::kubernetes::Cluster;
use kuryr_fake::openstack::{ADMIN_PASSWORD, Cloud};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use fakes::{serve_cloud, serve_cluster};

/// Longest time anything here may take; far more than it does.
const LIMIT: Duration = Duration::from_secs(60);
const NAMESPACE: &str = "kube-system";
const DEPLOYMENTS: &str = "deployments.apps";
const DAEMON_SETS: &str = "daemonsets.apps";
const KURYRS: &str = "kuryrs.openstack.org";

struct World {
    cluster: Cluster,
    cloud: Cloud,
    /// What the resource says.
    spec: Value,
    folder: tempfile::TempDir,
    runtime: Runtime,
}

/// A running operator; it is killed when it goes.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl World {
    /// A cluster with the operator's objects and the Secret, and a cloud.
    fn new() -> World {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster::builder().auto_namespaces().build();
        serve_cluster(&runtime, &cluster, &folder.path().join("kubeconfig"), |request| request);
        let cloud = serve_cloud(&runtime);
        let network = cloud.seed_network("k8s", "pods", &["10.0.0.0/24"]);
        let spec = json!({
            "apiServer": { "host": "10.0.0.5" },
            "cloud": { "existingSecret": "kuryr-cloud" },
            "network": { "project": cloud.project("k8s"), "podSubnets": network.subnets },
        });
        let world = World { cluster, cloud, spec, folder, runtime };
        for object in world.objects(&["operator", "--print"]) {
            world.cluster.create(object).unwrap();
        }
        world.create_secret();
        world
    }

    fn create_secret(&self) {
        let conf = format!(
            "[neutron]\nauth_url = {}\nusername = k8s-admin\nuser_domain_name = Default\npassword = {ADMIN_PASSWORD}\nproject_name = k8s\n\
             project_domain_name = Default\n",
            self.cloud.auth_url()
        );
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "kuryr-cloud", "namespace": NAMESPACE },
            "data": { "cloud.conf": ByteString(conf.into_bytes()) },
        });
        self.cluster.create(secret).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn kuryr(&self, arguments: &[&str]) -> Command {
        let mut kuryr = Command::new(env!("CARGO_BIN_EXE_kuryr"));
        kuryr.args(arguments).env_clear().env("HOME", "/nonexistent").stdin(Stdio::null());
        kuryr
    }

    /// The objects a command prints.
    fn objects(&self, arguments: &[&str]) -> Vec<Value> {
        let out = self.kuryr(arguments).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8(out.stdout).unwrap();
        format!("\n{text}").split("\n---\n").skip(1).map(|object| serde_saphyr::from_str(object).unwrap()).collect()
    }

    /// What `kuryr install --print` makes of the same values.
    fn installed(&self) -> Vec<Value> {
        let spec = self.kuryr_resource("cluster").map_or_else(|| self.spec.clone(), |kuryr| kuryr["spec"].clone());
        std::fs::write(self.path("values.yaml"), spec.to_string()).unwrap();
        self.objects(&["install", "--print", "--values", &self.path("values.yaml").display().to_string()])
    }

    /// `kuryr install …` into this cluster: exit code and all it said.
    fn install(&self, arguments: &[&str]) -> (Option<i32>, String) {
        std::fs::write(self.path("values.yaml"), self.spec.to_string()).unwrap();
        let mut install = self.kuryr(&["install", "--kubeconfig"]);
        install.arg(self.path("kubeconfig")).arg("--values").arg(self.path("values.yaml")).args(arguments);
        let out = install.output().unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr))
    }

    fn start(&self) -> Running {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let mut operator = self.kuryr(&["operator", "--kubeconfig"]);
        Running(operator.arg(self.path("kubeconfig")).stderr(log).spawn().unwrap())
    }

    #[track_caller]
    fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !holds() {
            let log = || std::fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(begun.elapsed() < LIMIT, "not in time: {what}\n{:#?}\n{}", self.cluster.list(KURYRS, ""), log());
            self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(20)).await });
        }
    }

    fn create(&self, name: &str, spec: &Value) {
        let kuryr =
            json!({ "apiVersion": "openstack.org/v1", "kind": "Kuryr", "metadata": { "name": name }, "spec": spec });
        self.cluster.create(kuryr).unwrap();
    }

    fn edit(&self, spec: Value) {
        self.cluster.patch(KURYRS, "", "cluster", &json!({ "spec": spec })).unwrap();
    }

    fn kuryr_resource(&self, name: &str) -> Option<Value> {
        self.cluster.get(KURYRS, "", name)
    }

    /// A condition as `True/Reason` and its message, of the spec as it is now.
    fn condition(&self, name: &str, kind: &str) -> Option<(String, String)> {
        let kuryr = self.kuryr_resource(name)?;
        if kuryr["status"]["observedGeneration"] != kuryr["metadata"]["generation"] {
            return None;
        }
        let found =
            kuryr["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)?.clone();
        let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        Some((format!("{}/{}", text("status"), text("reason")), text("message")))
    }

    #[track_caller]
    fn says(&self, kind: &str, wanted: &str) -> String {
        self.until(&format!("{kind}={wanted}"), || {
            self.condition("cluster", kind).is_some_and(|(found, _)| found == wanted)
        });
        self.condition("cluster", kind).unwrap().1
    }

    /// Events about a resource, as `Type/Reason`, oldest first.
    fn events(&self, name: &str) -> Vec<String> {
        let mut events = self.cluster.list("events", "default");
        events.retain(|event| event["involvedObject"]["kind"] == "Kuryr" && event["involvedObject"]["name"] == name);
        events.sort_by_key(|event| event["eventTime"].to_string());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        events.iter().map(|event| format!("{}/{}", text(&event["type"]), text(&event["reason"]))).collect()
    }

    fn get(&self, resource: &str, name: &str) -> Option<Value> {
        self.cluster.get(resource, NAMESPACE, name)
    }

    /// The controller of Deployments: all replicas run the latest template and are ready.
    fn roll_out_controller(&self) {
        let Some(found) = self.get(DEPLOYMENTS, "kuryr-controller") else { return };
        let replicas = &found["spec"]["replicas"];
        let status = json!({
            "observedGeneration": found["metadata"]["generation"], "replicas": replicas, "updatedReplicas": replicas,
            "availableReplicas": replicas,
        });
        self.cluster.patch(DEPLOYMENTS, NAMESPACE, "kuryr-controller", &json!({ "status": status })).unwrap();
    }

    /// The controller of DaemonSets, with two nodes.
    fn roll_out_daemons(&self) {
        let Some(found) = self.get(DAEMON_SETS, "kuryr-cni") else { return };
        let status = json!({
            "observedGeneration": found["metadata"]["generation"], "desiredNumberScheduled": 2, "currentNumberScheduled": 2,
            "numberMisscheduled": 0, "numberReady": 2, "numberAvailable": 2, "updatedNumberScheduled": 2,
        });
        self.cluster.patch(DAEMON_SETS, NAMESPACE, "kuryr-cni", &json!({ "status": status })).unwrap();
    }

    /// Rolls out everything until the resource says that it is done.
    #[track_caller]
    fn roll_out(&self) {
        self.until("rolled out", || {
            self.roll_out_controller();
            self.roll_out_daemons();
            let is =
                |kind: &str, wanted: &str| self.condition("cluster", kind).is_some_and(|(found, _)| found == wanted);
            is("Progressing", "False/RolledOut") && is("Available", "True/AsExpected")
        });
    }

    /// The object that is there for one that is wanted.
    fn live(&self, wanted: &Value) -> Option<Value> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, api_version) = (text(&wanted["kind"]).to_lowercase(), text(&wanted["apiVersion"]));
        let plural = kind.strip_suffix('y').map_or_else(|| format!("{kind}s"), |stem| format!("{stem}ies"));
        let resource =
            api_version.split_once('/').map_or_else(|| plural.clone(), |(group, _)| format!("{plural}.{group}"));
        self.cluster.get(&resource, &text(&wanted["metadata"]["namespace"]), &text(&wanted["metadata"]["name"]))
    }

    /// What differs from what `kuryr install` would put there.
    fn differences(&self) -> Vec<String> {
        let mut found = Vec::new();
        for wanted in self.installed() {
            let title = format!("{} {}", wanted["kind"], wanted["metadata"]["name"]);
            match self.live(&wanted) {
                None => found.push(format!("{title} is missing")),
                Some(live) => differences(&title, &wanted, &live, &mut found),
            }
        }
        found
    }
}

/// Where the live object lacks something; what the server added does not matter.
fn differences(path: &str, wanted: &Value, live: &Value, found: &mut Vec<String>) {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            for (name, wanted) in wanted {
                differences(&format!("{path}.{name}"), wanted, live.get(name).unwrap_or(&Value::Null), found);
            }
        }
        (Value::Array(wanted), Value::Array(live)) if wanted.len() == live.len() => {
            for (index, (wanted, live)) in wanted.iter().zip(live).enumerate() {
                differences(&format!("{path}[{index}]"), wanted, live, found);
            }
        }
        // An empty mapping that nobody stores is none.
        (Value::Object(wanted), Value::Null) if wanted.is_empty() => {}
        (wanted, live) if wanted != live => found.push(format!("{path}: {wanted} is {live}")),
        _ => {}
    }
}

fn sum_of(workload: &Value) -> Value {
    workload["spec"]["template"]["metadata"]["annotations"]["kuryr.openstack.org/configuration"].clone()
}

#[test]
fn a_resource_becomes_the_objects_of_kuryr_install_the_controller_first() {
    let world = World::new();
    let _operator = world.start();
    world.create("cluster", &world.spec);
    world.says("Progressing", "True/WaitingForController");
    world.says("Upgradeable", "False/RolloutInProgress");
    assert!(world.get(DEPLOYMENTS, "kuryr-controller").is_some() && world.get(DAEMON_SETS, "kuryr-cni").is_none());
    world.roll_out_controller();
    world.says("Progressing", "True/WaitingForDaemons");
    world.says("Available", "False/DaemonsNotReady");
    world.roll_out();
    assert_eq!(world.differences(), [""; 0]);
    world.says("Upgradeable", "True/AsExpected");
    let rollout = ["Normal/WaitingForController", "Normal/WaitingForDaemons", "Normal/RolledOut"];
    world.until("the rollout is told in Events", || world.events("cluster") == rollout);
    let status = world.kuryr_resource("cluster").unwrap()["status"].clone();
    assert_eq!((&status["version"], &status["rolledOutGeneration"]), (&json!(env!("CARGO_PKG_VERSION")), &json!(1)));
    let managers = world.get(DAEMON_SETS, "kuryr-cni").unwrap()["metadata"]["managedFields"].clone();
    assert!(managers.as_array().unwrap().iter().any(|entry| entry["manager"] == "kuryr-operator"), "{managers}");

    // An edit goes the same way: the daemons keep their template until a controller of the new one works.
    let before = sum_of(&world.get(DAEMON_SETS, "kuryr-cni").unwrap());
    world.edit(json!({ "log": { "debug": true } }));
    world.says("Progressing", "True/WaitingForController");
    let controller = world.get(DEPLOYMENTS, "kuryr-controller").unwrap();
    assert_ne!(sum_of(&controller), before);
    assert_eq!(sum_of(&world.get(DAEMON_SETS, "kuryr-cni").unwrap()), before);
    world.roll_out_controller();
    world.until("the daemons follow", || sum_of(&world.get(DAEMON_SETS, "kuryr-cni").unwrap()) == sum_of(&controller));
    world.roll_out();
    assert_eq!(world.differences(), [""; 0]);
}

#[test]
fn what_others_change_or_delete_is_put_back_and_what_the_spec_drops_goes() {
    let world = World::new();
    let _operator = world.start();
    world.create("cluster", &world.spec);
    world.roll_out();
    world
        .cluster
        .patch("configmaps", NAMESPACE, "kuryr-config", &json!({ "data": { "kuryr.conf": "[DEFAULT]\n" } }))
        .unwrap();
    world.until("the ConfigMap is put back", || world.differences().is_empty());
    world.cluster.delete("clusterroles.rbac.authorization.k8s.io", "", "kuryr-controller").unwrap();
    world.until("the ClusterRole is put back", || world.differences().is_empty());
    // The daemons do not wait for a controller that does not work.
    let broken = json!({ "status": { "availableReplicas": 0 } });
    world.cluster.patch(DEPLOYMENTS, NAMESPACE, "kuryr-controller", &broken).unwrap();
    world.cluster.delete(DAEMON_SETS, NAMESPACE, "kuryr-cni").unwrap();
    world.until("the DaemonSet is put back", || world.differences().is_empty());
    world.says("Available", "False/ControllerNotReady");

    let config_map = |name: &str, labels: Value| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": NAMESPACE, "labels": labels } });
    world.cluster.create(config_map("of-others", json!({}))).unwrap();
    world.cluster.create(config_map("labelled-by-others", json!({ "app.kubernetes.io/name": "kuryr" }))).unwrap();
    let policies = "validatingadmissionpolicies.admissionregistration.k8s.io";
    assert!(
        !world.cluster.list(policies, "").is_empty()
            && world.get("poddisruptionbudgets.policy", "kuryr-controller").is_some()
    );
    world.edit(json!({ "controller": { "replicas": 1 }, "admissionPolicy": { "enabled": false } }));
    world.roll_out();
    assert!(
        world.cluster.list(policies, "").is_empty()
            && world.cluster.list("poddisruptionbudgets.policy", NAMESPACE).is_empty()
    );
    assert!(world.get("configmaps", "of-others").is_some() && world.get("configmaps", "labelled-by-others").is_some());
}

#[test]
fn a_spec_that_cannot_work_is_told_and_changes_nothing() {
    let world = World::new();
    let _operator = world.start();
    world.create("cluster", &json!({ "cloud": { "existingSecret": "kuryr-cloud" } }));
    let message = world.says("Degraded", "True/InvalidSpec");
    assert!(message.contains("network.project is not set") && message.contains("openstack project list"), "{message}");
    world.until("an Event warns", || world.events("cluster") == ["Warning/InvalidSpec"]);
    world.edit(world.spec.clone());
    world.roll_out();
    world.says("Degraded", "False/AsExpected");

    let versions = || {
        world
            .installed()
            .iter()
            .map(|object| world.live(object).unwrap()["metadata"]["resourceVersion"].clone())
            .collect::<Vec<_>>()
    };
    let before = versions();
    for (spec, reason, words) in [
        (json!({ "network": { "driver": "nested-vlan" } }), "InvalidConfiguration", "pod_vif_driver"),
        (
            json!({ "network": { "driver": null }, "options": { "neutron": { "password": "hunter2" } } }),
            "SecretInSpec",
            "existingSecret",
        ),
        (
            json!({ "options": null, "cloud": { "existingSecret": "nowhere" } }),
            "InvalidConfiguration",
            "there is no Secret nowhere",
        ),
    ] {
        world.edit(spec);
        let message = world.says("Degraded", &format!("True/{reason}"));
        assert!(message.contains(words) && !message.contains("hunter2"), "{message}");
        world.says("Available", "True/AsExpected");
    }
    let old =
        json!({ "selector": { "matchLabels": { "a": "b" } }, "template": { "metadata": { "labels": { "a": "b" } } } });
    let old = json!({ "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "kuryr-cni-ds", "namespace": NAMESPACE }, "spec": old });
    world.cluster.create(old).unwrap();
    world.edit(json!({ "cloud": { "existingSecret": "kuryr-cloud" }, "log": { "debug": true } }));
    world.says("Upgradeable", "False/LegacyDaemonSet");
    assert_eq!(versions(), before);
    world.until("an Event says what is in the way", || {
        world.events("cluster").last().is_some_and(|event| event == "Warning/LegacyDaemonSet")
    });
}

#[test]
fn a_resource_of_another_name_is_not_obeyed_and_says_so() {
    let world = World::new();
    let _operator = world.start();
    world.create("mine", &world.spec);
    world.until("it is refused", || {
        world.condition("mine", "Degraded").is_some_and(|(found, _)| found == "True/NotObeyed")
    });
    world.until("an Event says so, too", || world.events("mine") == ["Warning/NotObeyed"]);
    assert!(world.get(DEPLOYMENTS, "kuryr-controller").is_none());
    assert!(world.cluster.delete(KURYRS, "", "mine").unwrap(), "nothing holds it");
}

#[test]
fn a_plain_installation_is_taken_over_and_stays_the_operators() {
    let world = World::new();
    let (code, said) = world.install(&["--set", "listenAddress=", "--set", "cloud.ca=x"]);
    assert_eq!(code, Some(2), "a certificate that is none: {said}");
    let (code, said) =
        world.install(&["--force", "--set", "node.podAnnotations={old: x}", "--set", "cloud.cloudName=c"]);
    assert_eq!(code, Some(0), "{said}");
    let of_cloud =
        |world: &World| world.get(DEPLOYMENTS, "kuryr-controller").unwrap().to_string().contains("OS_CLOUD\"");
    assert!(of_cloud(&world));
    let _operator = world.start();
    world.create("cluster", &world.spec);
    world.roll_out();
    assert_eq!(world.differences(), [""; 0]);
    let daemon_set = world.get(DAEMON_SETS, "kuryr-cni").unwrap();
    assert!(!of_cloud(&world) && !daemon_set["spec"].to_string().contains("\"old\""), "what kuryr install set is gone");
    assert!(!daemon_set["metadata"]["managedFields"].to_string().contains("kuryr-install"));
    let (code, said) = world.install(&["--check"]);
    assert!(code == Some(2) && said.contains("kubectl edit kuryr cluster"), "{said}");
    let mut uninstall = world.kuryr(&["uninstall", "--yes", "--cluster-only"]);
    let out = uninstall.env("KUBECONFIG", world.path("kubeconfig")).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(1) && said.contains("kubectl delete kuryr cluster"), "{said}");
}

#[test]
fn deleting_it_takes_everything_out_in_order_whoever_is_killed_meanwhile_and_asks_for_no_more_than_it_may() {
    let world = World::new();
    let operator = world.start();
    world.create("cluster", &world.spec);
    world.says("Progressing", "True/WaitingForController");
    drop(operator);
    let operator = world.start();
    world.roll_out();
    // What runs makes its own.
    for (api_version, kind) in [("coordination.k8s.io/v1", "Lease"), ("v1", "Endpoints")] {
        let object = json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "kuryr-controller", "namespace": NAMESPACE } });
        world.cluster.create(object).unwrap();
    }
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "a", "namespace": "default" },
        "spec": { "nodeName": "n1", "containers": [{ "name": "c", "image": "i" }] },
    });
    let pod = world.cluster.create(pod).unwrap();
    let port = json!({
        "apiVersion": "openstack.org/v1", "kind": "KuryrPort", "metadata": { "name": "a", "namespace": "default" },
        "spec": { "podUid": pod["metadata"]["uid"], "podNodeName": "n1" }, "status": { "vifs": {} },
    });
    world.cluster.create(port).unwrap();
    assert!(!world.cluster.delete(KURYRS, "", "cluster").unwrap(), "it is held");
    let message = world.says("Progressing", "True/Uninstalling");
    assert!(message.contains("pod default/a") && message.contains("kubectl -n default delete pod a"), "{message}");
    assert_eq!(world.differences(), [""; 0], "nothing is touched");
    drop(operator);
    let _operator = world.start();
    world.cluster.delete_now("pods", "default", "a").unwrap();
    world.until("it is gone", || {
        world.roll_out_daemons();
        world.kuryr_resource("cluster").is_none()
    });

    let left: Vec<String> =
        world.installed().iter().filter(|object| world.live(object).is_some()).map(Value::to_string).collect();
    assert_eq!(left, [""; 0]);
    assert!(world.get("secrets", "kuryr-cloud").is_some(), "the user's");
    for object in world.objects(&["operator", "--print"]) {
        assert!(
            world.live(&object).is_some(),
            "the operator's own {} {} is gone",
            object["kind"],
            object["metadata"]["name"]
        );
    }
    let deleted: Vec<String> = (world.cluster.log().entries().into_iter())
        .filter(|entry| entry.verb == "delete")
        .map(|entry| entry.resource.split('.').next().unwrap_or_default().to_owned())
        .collect();
    let place = |resource: &str| {
        deleted.iter().position(|found| found == resource).unwrap_or_else(|| panic!("no {resource} in {deleted:?}"))
    };
    let order = [
        "daemonsets",
        "kuryrports",
        "deployments",
        "configmaps",
        "clusterrolebindings",
        "clusterroles",
        "serviceaccounts",
        "customresourcedefinitions",
    ];
    assert!(order.map(place).is_sorted(), "{deleted:?}");

    access(&world);
}

/// A verb, a resource and the names it is granted for, if it is for some alone.
type Grant = (String, String, Option<BTreeSet<String>>);

/// What a role grants.
fn grants(role: &Value) -> Vec<Grant> {
    let words = |value: &Value| {
        value.as_array().map(|words| words.iter().map(|word| word.as_str().unwrap().to_owned()).collect::<Vec<_>>())
    };
    let mut grants = Vec::new();
    for rule in role["rules"].as_array().unwrap() {
        let names = words(&rule["resourceNames"]).map(|names| names.into_iter().collect::<BTreeSet<_>>());
        for group in words(&rule["apiGroups"]).unwrap() {
            for resource in words(&rule["resources"]).unwrap() {
                let (base, below) = resource
                    .split_once('/')
                    .map_or((resource.as_str(), String::new()), |(base, below)| (base, format!("/{below}")));
                let resource =
                    if group.is_empty() { format!("{base}{below}") } else { format!("{base}.{group}{below}") };
                grants.extend(
                    words(&rule["verbs"]).unwrap().into_iter().map(|verb| (verb, resource.clone(), names.clone())),
                );
            }
        }
    }
    grants
}

/// Everything that was asked was granted; everything that is granted was asked, or must be held to be granted to others.
#[track_caller]
fn access(world: &World) {
    let roles = |objects: &[Value]| {
        objects.iter().filter(|object| object["rules"].is_array()).flat_map(grants).collect::<Vec<_>>()
    };
    let granted = roles(&world.objects(&["operator", "--print"]));
    let passed_on: BTreeSet<_> =
        roles(&world.installed()).into_iter().map(|(verb, resource, _)| (verb, resource)).collect();
    let mut asked = BTreeSet::new();
    for entry in world.cluster.log().entries() {
        // An apply of what is not there is a create as well.
        let verbs =
            if entry.verb == "patch" && entry.status == Some(201) { vec!["patch", "create"] } else { vec![entry.verb] };
        for verb in verbs {
            let fits = |(granted, resource, names): &Grant| {
                granted == verb
                    && *resource == entry.resource
                    && names.as_ref().is_none_or(|names| names.contains(&entry.name))
            };
            assert!(granted.iter().any(fits), "asked for and not granted: {verb} {} {:?}", entry.resource, entry.name);
            asked.insert((verb.to_owned(), entry.resource.clone()));
        }
    }
    let needless: Vec<_> = granted
        .iter()
        .map(|(verb, resource, _)| (verb.clone(), resource.clone()))
        .filter(|grant| !asked.contains(grant) && !passed_on.contains(grant))
        .collect();
    assert!(needless.is_empty(), "granted, never asked for and not passed on: {needless:?}");
}

#[test]
fn a_missing_right_is_told_and_the_secret_need_not_be_readable() {
    let world = World::new();
    let refuse = |method, path: &str| world.cluster.faults().script(Rule::on(method, path).status(403));
    refuse(Method::GET, "*/secrets/kuryr-cloud");
    refuse(Method::PATCH, "*/configmaps/kuryr-config");
    let _operator = world.start();
    world.create("cluster", &world.spec);
    let message = world.says("Degraded", "True/MissingRights");
    assert!(
        message.contains("ConfigMap kube-system/kuryr-config") && message.contains("deploy/operator/operator.yaml"),
        "{message}"
    );
    world.cluster.faults().clear();
    refuse(Method::GET, "*/secrets/kuryr-cloud");
    world.roll_out();
    world.says("Degraded", "False/AsExpected");
    world.cluster.delete(KURYRS, "", "cluster").unwrap();
    world.until("it is gone", || {
        world.roll_out_daemons();
        world.kuryr_resource("cluster").is_none()
    });
    let log = std::fs::read_to_string(world.path("log")).unwrap();
    assert!(log.contains("the cloud was not looked at"), "{log}");
}

#[test]
fn the_example_is_rolled_out_once_it_has_the_clouds_ids() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/operator/example/kuryr.yaml"))
            .unwrap();
    let read = |text: &str| serde_saphyr::from_str::<Value>(text).unwrap();
    let world = World::new();
    let _operator = world.start();
    world.create("cluster", &read(&text)["spec"]);
    world.says("Degraded", "True/InvalidConfiguration");
    let filled = text
        .replace("SECURITY-GROUP-ID", "22222222-2222-4222-8222-222222222222")
        .replace("PROJECT-ID", "84bf1d2c3e4f5a6b7c8d9e0f1a2b3c4d")
        .replace("SUBNET-ID", "11111111-1111-4111-8111-111111111111");
    world.edit(read(&filled)["spec"].clone());
    world.says("Progressing", "True/WaitingForController");
}
