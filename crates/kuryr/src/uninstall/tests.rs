//! Kuryr taken out of a cluster in memory, with the real controller at work in it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kuryr_controller::metrics::Metrics;
use kuryr_controller::{Config, Connections, Fence, Health, config};
use kuryr_fake::kubernetes::Cluster;
use kuryr_openstack::load_balancing::NewLoadBalancer;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::cloud::CloudSide;
use super::{Remainder, Removal};
use crate::check::fake_cloud::FakeCloud;

const NAMESPACE: &str = "kube-system";

/// An installation, labelled as ours is; `others` have neither label nor name of ours.
fn installed() -> Cluster {
    let cluster = Cluster::builder().time(Timestamp::now()).auto_namespaces().build();
    for definition in kuryr_api::crd::definitions() {
        cluster.create(serde_json::to_value(definition).unwrap()).unwrap();
    }
    let labels = json!({ "app.kubernetes.io/part-of": "kuryr" });
    for (kind, name, label) in [
        ("Deployment", "kuryr-controller", ("name", "kuryr-controller")),
        ("DaemonSet", "kuryr-cni-ds", ("app", "kuryr-cni")),
    ] {
        let pod_labels = json!({ label.0: label.1 });
        let owner = cluster
            .create(json!({
                "apiVersion": "apps/v1", "kind": kind,
                "metadata": { "name": name, "namespace": NAMESPACE, "labels": labels },
                "spec": { "selector": { "matchLabels": pod_labels },
                          "template": { "metadata": { "labels": pod_labels },
                                        "spec": { "containers": [{
                                            "name": "kuryr", "image": "kuryr:1", "command": ["/usr/bin/kuryr", "daemon"],
                                            "args": ["--config-dir", "/etc/kuryr"],
                                            "readinessProbe": { "httpGet": { "path": "/ready", "port": 8090 } },
                                        }] } } },
            }))
            .unwrap();
        cluster
            .create(json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": format!("{name}-1"), "namespace": NAMESPACE, "labels": pod_labels, "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": owner["metadata"]["uid"],
                    "controller": true, "blockOwnerDeletion": true,
                }] },
                "spec": { "hostNetwork": true, "nodeName": "n1", "containers": [{ "name": "kuryr", "image": "kuryr:1" }] },
                "status": { "phase": "Running" },
            }))
            .unwrap();
    }
    let account = |name: &str, labels: &Value| json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "namespace": NAMESPACE, "labels": labels } });
    cluster.create(account("kuryr-controller", &json!({}))).unwrap();
    cluster.create(account("kuryr-extra", &labels)).unwrap();
    cluster.create(account("somebody", &json!({}))).unwrap();
    let role = |name: &str| json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": name, "labels": labels }, "rules": [] });
    cluster.create(role("kuryr-controller")).unwrap();
    cluster
        .create(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "kuryr-config", "namespace": NAMESPACE }, "data": {} }))
        .unwrap();
    cluster
        .create(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "others", "namespace": NAMESPACE }, "data": {} }))
        .unwrap();
    cluster
}

fn pod(cluster: &Cluster, name: &str) {
    cluster
        .create(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "default" },
            "spec": { "nodeName": "n1", "containers": [{ "name": "c", "image": "i" }] },
        }))
        .unwrap();
}

fn removal(cluster: &Cluster, cloud: &FakeCloud) -> Removal {
    Removal {
        kube: kube::Client::new(cluster.clone(), "default"),
        namespace: NAMESPACE.to_owned(),
        cloud: Some(CloudSide {
            cloud: cloud.client("k8s-admin"),
            cluster: cloud.wanted.cluster.clone(),
            pod_subnets: cloud.wanted.pod_subnets.clone(),
            project: cloud.wanted.project.clone(),
            service_subnet: cloud.wanted.services.as_ref().map(|services| services.subnet.clone()),
        }),
        patience: Duration::from_secs(120),
        kinds: super::every_kind(),
    }
}

/// The controller of the installation, until `shutdown`.
async fn controller(
    cluster: Cluster,
    cloud: kuryr_openstack::Cloud,
    placement: config::Placement,
    shutdown: CancellationToken,
) {
    let config = Config { cluster: "c1".into(), placement, ovs_bridge: Some("br-int".into()), ..Config::default() };
    let metrics = Arc::new(Metrics::new(&mut prometheus_client::registry::Registry::default()));
    let kube = kube::Client::new(cluster, "default");
    let connections = Connections { lease: kube.clone(), kube, cloud, fence: Fence::default() };
    kuryr_controller::run(config, connections, metrics, Health::default(), shutdown).await;
}

fn started(cluster: &Cluster, cloud: &FakeCloud) -> CancellationToken {
    let shutdown = CancellationToken::new();
    let placement = config::Placement {
        project: cloud.wanted.project.clone(),
        pod_subnets: cloud.wanted.pod_subnets.clone(),
        pod_security_groups: cloud.wanted.security_groups.clone(),
    };
    tokio::spawn(controller(cluster.clone(), cloud.client("k8s-admin"), placement, shutdown.clone()));
    shutdown
}

/// What kubelet and the DaemonSet controller do; ends the controller when its Deployment is gone.
async fn play(cluster: Cluster, controller: Option<CancellationToken>) {
    loop {
        for pod in cluster.list("pods", "") {
            let (namespace, name) =
                (pod["metadata"]["namespace"].as_str().unwrap(), pod["metadata"]["name"].as_str().unwrap());
            if !pod["metadata"]["deletionTimestamp"].is_null() {
                cluster.delete_now("pods", namespace, name).unwrap();
            }
        }
        for set in cluster.list("daemonsets.apps", NAMESPACE) {
            let generation = &set["metadata"]["generation"];
            if set["status"]["observedGeneration"] != *generation {
                let status = json!({ "status": { "observedGeneration": generation, "desiredNumberScheduled": 1, "currentNumberScheduled": 1, "numberMisscheduled": 0, "updatedNumberScheduled": 1, "numberReady": 1, "numberAvailable": 1 } });
                cluster.patch("daemonsets.apps", NAMESPACE, "kuryr-cni-ds", &status).unwrap();
            }
        }
        if let Some(controller) = &controller
            && cluster.get("deployments.apps", NAMESPACE, "kuryr-controller").is_none()
        {
            controller.cancel();
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn work(
    removal: &Removal,
    cluster: &Cluster,
    controller: Option<CancellationToken>,
) -> (Vec<Remainder>, Vec<String>) {
    let mut lines = Vec::new();
    let mut note = |line: &str| lines.push(line.to_owned());
    let left = tokio::select! {
        left = removal.work(&mut note) => left.unwrap(),
        () = play(cluster.clone(), controller) => unreachable!(),
    };
    (left, lines)
}

/// A port in the pods' network, as `change` says.
fn port(cloud: &FakeCloud, name: &str, change: Value) -> String {
    let mut port = json!({ "network_id": cloud.network.network, "name": name, "project_id": cloud.wanted.project });
    port.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    cloud.cloud.create("ports", port)["id"].as_str().unwrap().to_owned()
}

async fn until(holds: impl Fn() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("it did not come about in 300 s");
}

#[tokio::test(start_paused = true)]
async fn nothing_of_ours_is_left_and_everything_of_others_is() {
    let (cluster, cloud) = (installed(), FakeCloud::complete());
    let controller = started(&cluster, &cloud);
    pod(&cluster, "a");
    until(|| cluster.get("kuryrports.openstack.org", "default", "a").is_some()).await;
    assert_eq!(cloud.cloud.ports().len(), 1);
    // Its pod is gone, but it was made by hand again without an owner, so only the controller lets it go.
    cluster.delete_now("pods", "default", "a").unwrap();
    let stranded = port(
        &cloud,
        "stranded",
        json!({ "device_owner": "compute:kuryr", "device_id": "nobody", "description": "pod default/x kuryr:cluster=c1" }),
    );
    let of_others = port(
        &cloud,
        "of another cluster",
        json!({ "device_owner": "compute:kuryr", "device_id": "y", "description": "pod default/y kuryr:cluster=c2" }),
    );

    let (left, lines) = work(&removal(&cluster, &cloud), &cluster, Some(controller)).await;
    assert_eq!(left, [], "{lines:#?}");
    for kind in [
        "deployments.apps",
        "daemonsets.apps",
        "customresourcedefinitions.apiextensions.k8s.io",
        "clusterroles.rbac.authorization.k8s.io",
    ] {
        assert_eq!(cluster.list(kind, ""), [] as [Value; 0], "{kind}");
    }
    let names = |kind: &str| {
        cluster
            .list(kind, NAMESPACE)
            .iter()
            .map(|object| object["metadata"]["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert!(
        names("serviceaccounts").contains(&"somebody".to_owned())
            && !names("serviceaccounts").iter().any(|name| name.starts_with("kuryr"))
    );
    assert!(
        names("configmaps").contains(&"others".to_owned()) && !names("configmaps").contains(&"kuryr-config".to_owned())
    );
    let ports: Vec<String> = cloud.cloud.ports().iter().map(|port| port["id"].as_str().unwrap().to_owned()).collect();
    assert!(!ports.contains(&stranded) && ports == [of_others], "{ports:?}");
    let place = |words: &str| {
        lines.iter().position(|line| line.contains(words)).unwrap_or_else(|| panic!("{words} is not in {lines:#?}"))
    };
    let order = [
        "DaemonSet kuryr-cni-ds: told to take Kuryr off",
        "DaemonSet kuryr-cni-ds: deleted",
        "KuryrPorts: none",
        "Deployment kuryr-controller: deleted",
        "cloud:",
        "ClusterRole kuryr-controller: deleted",
        "CustomResourceDefinition",
    ];
    assert!(order.map(place).is_sorted(), "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn load_balancers_of_gateways_and_ingresses_go_and_those_of_others_stay() {
    let (cluster, cloud) = (installed(), FakeCloud::balanced().await);
    let controller = started(&cluster, &cloud);
    let client = cloud.client("k8s-admin");
    let subnet = cloud.wanted.services.as_ref().unwrap().subnet.clone();
    let balancer = |name: &str, subnet: &str, description: &str| NewLoadBalancer {
        name: name.to_owned(),
        vip_subnet_id: Some(subnet.to_owned()),
        description: description.to_owned(),
        ..NewLoadBalancer::default()
    };
    let (ours, theirs) = ("Gateway default/web kuryr:cluster=c1", "Gateway default/web kuryr:cluster=c2");
    let stays = [
        balancer("gateway/default/web", &subnet, theirs),
        balancer("gateway/default/web", &subnet, ""),
        balancer("lb", &subnet, ours),
        balancer("gateway/default/web", &cloud.network.subnets[0], ours),
    ];
    for new in stays.iter().chain([&balancer("gateway/default/web", &subnet, ours)]) {
        client.load_balancing().create_load_balancer(new).await.unwrap();
    }
    let network = cloud.wanted.external_network.clone();
    let subnet = json!({ "network_id": network, "cidr": "172.24.4.0/24", "ip_version": 4 });
    cloud.cloud.create("subnets", subnet);
    for description in [ours, theirs] {
        let new =
            json!({ "floating_network_id": network, "description": description, "project_id": cloud.wanted.project });
        cloud.cloud.create("floatingips", new);
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (left, lines) = work(&removal(&cluster, &cloud), &cluster, Some(controller)).await;
    assert_eq!(left, [], "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("2 load balancers and floating IPs of Gateways")), "{lines:#?}");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let left: Vec<(Value, Value)> = (cloud.cloud.load_balancing("loadbalancers").iter())
        .map(|balancer| (balancer["name"].clone(), balancer["description"].clone()))
        .collect();
    let mut wanted: Vec<(Value, Value)> =
        stays.iter().map(|balancer| (json!(balancer.name), json!(balancer.description))).collect();
    let order = |pair: &(Value, Value)| format!("{pair:?}");
    let mut left = left;
    left.sort_by_key(order);
    wanted.sort_by_key(order);
    assert_eq!(left, wanted);
    let floating: Vec<Value> = cloud.cloud.list("floatingips").iter().map(|it| it["description"].clone()).collect();
    assert_eq!(floating, [json!(theirs)]);
}

#[tokio::test]
async fn a_mistyped_namespace_takes_nothing_from_the_right_one() {
    let (cluster, cloud) = (installed(), FakeCloud::complete());
    let removal = Removal { namespace: "kube-systm".to_owned(), ..removal(&cluster, &cloud) };
    let error = removal.work(&mut |line| panic!("{line}")).await.unwrap_err();
    assert!(error.to_string().contains("namespace kube-system; say --namespace kube-system"), "{error:#}");
    assert!(!cluster.list("clusterroles.rbac.authorization.k8s.io", "").is_empty());
}

#[tokio::test(start_paused = true)]
async fn pods_in_the_way_are_named_and_nothing_is_touched() {
    let (cluster, cloud) = (installed(), FakeCloud::complete());
    let controller = started(&cluster, &cloud);
    pod(&cluster, "a");
    until(|| cluster.get("kuryrports.openstack.org", "default", "a").is_some()).await;
    let version = cluster.list("daemonsets.apps", "");
    let (left, _) = work(&removal(&cluster, &cloud), &cluster, Some(controller)).await;
    assert_eq!(left.len(), 1);
    assert!(left[0].what == "pod default/a" && left[0].cure.contains("kubectl -n default delete pod a"), "{left:#?}");
    assert_eq!(cluster.list("daemonsets.apps", "")[0]["spec"], version[0]["spec"]);
    assert!(cluster.get("deployments.apps", NAMESPACE, "kuryr-controller").is_some());
}

#[tokio::test(start_paused = true)]
async fn without_a_controller_ports_are_not_stranded() {
    let (cluster, cloud) = (installed(), FakeCloud::complete());
    cluster
        .create(json!({
            "apiVersion": "openstack.org/v1", "kind": "KuryrPort",
            "metadata": { "name": "a", "namespace": "default", "finalizers": ["kuryr.openstack.org/kuryrport-finalizer"] },
            "spec": { "podUid": "gone", "podNodeName": "n1" }, "status": { "vifs": {} },
        }))
        .unwrap();
    let (left, _) = work(&removal(&cluster, &cloud), &cluster, None).await;
    assert_eq!(left.len(), 1, "{left:#?}");
    assert!(left[0].what.contains("default/a") && left[0].why.contains("the controller does not run"), "{left:#?}");
    assert!(cluster.get("deployments.apps", NAMESPACE, "kuryr-controller").is_some(), "who could release it stays");
    assert!(!cluster.list("customresourcedefinitions.apiextensions.k8s.io", "").is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_mark_is_not_enough_to_delete_a_port_and_it_is_named() {
    let (cluster, cloud) = (installed(), FakeCloud::complete());
    let of_nova =
        port(&cloud, "vm", json!({ "device_owner": "compute:nova", "device_id": "vm", "tags": ["kuryr:cluster=c1"] }));
    let controller = started(&cluster, &cloud);
    let (left, lines) = work(&removal(&cluster, &cloud), &cluster, Some(controller)).await;
    assert_eq!(left.len(), 1, "{left:#?} {lines:#?}");
    assert!(left[0].what.contains(&of_nova) && left[0].why.contains("a tag can be set by anybody"), "{left:#?}");
    assert!(cloud.cloud.get("ports", &of_nova).is_some());
}

#[test]
fn a_daemons_pod_leaves_its_node_and_is_ready_when_nothing_is_left() {
    let mut values =
        crate::install::values::Values::of(&[("test".into(), "network: {project: p, podSubnets: [s]}".into())], &[])
            .unwrap();
    values.node.health_port = 0;
    let scene = crate::install::objects::Scene { values: &values, namespace: NAMESPACE };
    let objects = crate::install::objects::all(&scene).unwrap();
    let daemons = objects.iter().find(|object| object["kind"] == "DaemonSet").unwrap();
    let change = super::nodes::leaving(daemons).unwrap();
    let container = &change["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["name"], "kuryr-cni");
    assert_eq!(container["command"], json!(["/usr/bin/kuryr", "leave-node"]));
    let looks = json!(["/usr/bin/kuryr", "leave-node", "--config-dir", "/etc/kuryr", "--look"]);
    assert_eq!(container["readinessProbe"]["exec"]["command"], looks);
    for other in [
        json!(null),
        json!({ "spec": { "template": { "spec": { "containers": [{ "name": "x", "image": "of others" }] } } } }),
    ] {
        assert_eq!(super::nodes::leaving(&other), None);
    }
}
