//! Everything Kuryr needs is taken away in turn, and must be named with its cure.

use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kuryr_fake::faults::Rule;
use kuryr_fake::kubernetes::Cluster;
use kuryr_fake::openstack::BindPolicy;
use serde_json::{Value, json};

use super::after::{self, Image};
use super::cloud::{self, NodeFacts};
use super::cluster::{self, ClusterFacts};
use super::fake_cloud::FakeCloud;
use super::finding::{Finding, Severity, page};
use super::{cloud_rules, cluster_rules};
use crate::screen::Screen;

mod services;

fn nodes() -> Vec<NodeFacts> {
    let node = |name: &str, address: &str| NodeFacts {
        name: name.to_owned(),
        addresses: vec![address.parse().unwrap()],
        usable: true,
    };
    vec![node("n1", "192.0.2.1"), node("n2", "192.0.2.2")]
}

async fn asked(cloud: &FakeCloud, user: &str, password: &str, try_ports: bool) -> Vec<Finding> {
    let client = cloud.client_with(user, password);
    let nodes = nodes();
    let trials = if try_ports { nodes.as_slice() } else { &[] };
    let facts = cloud::ask(&client, "http://cloud.example/identity", &cloud.wanted, trials).await;
    cloud_rules::findings(&facts, &cloud.wanted, &nodes)
}

/// What is not in order.
fn troubles(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.severity >= Severity::Warning).collect()
}

/// Takes something away from a cloud that has everything; the trouble must be of this check and severity, and its words and
/// its cure's must be these.
async fn without(
    take: impl FnOnce(&mut FakeCloud),
    (check, severity): (&str, Severity),
    what: &[&str],
    cure: &[&str],
) -> Vec<Finding> {
    missing_from(FakeCloud::routed().await, take, (check, severity), what, cure).await
}

async fn missing_from(
    mut cloud: FakeCloud,
    take: impl FnOnce(&mut FakeCloud),
    (check, severity): (&str, Severity),
    what: &[&str],
    cure: &[&str],
) -> Vec<Finding> {
    take(&mut cloud);
    let found = asked(&cloud, "k8s-admin", "secret", false).await;
    expect(&found, (check, severity), what, cure);
    found
}

#[track_caller]
fn expect(found: &[Finding], (check, severity): (&str, Severity), what: &[&str], cure: &[&str]) {
    let fits = |finding: &&Finding| {
        finding.check == check
            && finding.severity == severity
            && what.iter().all(|words| finding.what.contains(words))
            && cure.iter().all(|words| finding.cure.as_deref().unwrap_or_default().contains(words))
    };
    assert!(
        found.iter().any(|finding| fits(&finding)),
        "no {severity:?} of {check} with {what:?} and {cure:?} in {found:#?}"
    );
}

use Severity::{Error, Warning};

const MISSING: &str = "00000000-1111-2222-3333-444444444444";

#[tokio::test]
async fn a_complete_cloud_is_in_order_and_nothing_is_left_in_it() {
    let cloud = FakeCloud::routed().await;
    let before = cloud.cloud.ports();
    let found = asked(&cloud, "k8s-admin", "secret", true).await;
    assert!(troubles(&found).is_empty(), "{found:#?}");
    for check in [
        "credentials",
        "neutron",
        "extension",
        "project",
        "pod subnet",
        "router",
        "mtu",
        "security group",
        "port quota",
        "node",
        "rights",
    ] {
        assert!(found.iter().any(|finding| finding.check == check), "{check} was not looked at: {found:#?}");
    }
    assert_eq!(cloud.cloud.ports(), before);
    let bound = cloud
        .cloud
        .requests()
        .iter()
        .filter(|seen| seen.method == Method::POST && seen.path.ends_with("/ports"))
        .count();
    assert_eq!(bound, 2, "one port for each node");
}

#[tokio::test]
async fn without_try_ports_nothing_is_written() {
    let cloud = FakeCloud::routed().await;
    let writes = cloud.cloud.total_writes();
    asked(&cloud, "k8s-admin", "secret", false).await;
    assert_eq!(cloud.cloud.total_writes(), writes);
}

#[tokio::test]
async fn credentials_that_are_refused() {
    let cloud = FakeCloud::routed().await;
    let found = asked(&cloud, "k8s-admin", "wrong", false).await;
    expect(&found, ("credentials", Error), &["no token", "401"], &["username", "openstack token issue"]);
    assert_eq!(found.len(), 1, "nothing else can be said");
}

#[tokio::test(start_paused = true)]
async fn a_neutron_that_is_away() {
    let take =
        |cloud: &mut FakeCloud| cloud.cloud.faults().script(Rule::on_any("*/extensions").status(503).times(10_000));
    without(take, ("neutron", Error), &["503"], &["openstack catalog show network"]).await;
}

#[tokio::test]
async fn extensions() {
    for (alias, severity) in [
        ("binding", Error),
        ("security-group", Error),
        ("standard-attr-tag", Error),
        ("standard-attr-description", Error),
        ("tag-ports-during-bulk-creation", Warning),
        ("net-mtu", Warning),
        ("quota_details", Warning),
        ("router", Warning),
    ] {
        let take = |cloud: &mut FakeCloud| cloud.cloud.set_extension(alias, false);
        let cure = format!("openstack extension show {alias}");
        without(take, ("extension", severity), &[alias], &[&cure]).await;
    }
}

#[tokio::test]
async fn a_project_that_does_not_exist() {
    let take = |cloud: &mut FakeCloud| cloud.wanted.project = MISSING.to_owned();
    without(take, ("project", Error), &[MISSING], &["openstack project list", "[neutron_defaults] project"]).await;

    let take = |cloud: &mut FakeCloud| cloud.wanted.project = "k8s".to_owned();
    let cloud = FakeCloud::complete();
    without(take, ("project", Error), &["k8s is the name of a project"], &[&cloud.wanted.project]).await;
}

#[tokio::test]
async fn without_a_project_the_credentials_own_is_looked_at() {
    let mut cloud = FakeCloud::routed().await;
    // Another project's group of the same name is none of ours.
    cloud.cloud.seed_network("k8s-other", "theirs", &["10.7.0.0/24"]);
    cloud.wanted.project.clear();
    cloud.wanted.security_groups.clear();
    let found = asked(&cloud, "k8s-admin", "secret", false).await;
    expect(&found, ("project", Severity::Good), &["k8s", "the credentials' own"], &[]);
    expect(&found, ("port quota", Severity::Good), &["without limit"], &[]);
    assert!(found.iter().any(|finding| finding.check == "security group" && finding.what == "default"), "{found:#?}");
}

#[tokio::test]
async fn subnets() {
    let take = |cloud: &mut FakeCloud| cloud.wanted.pod_subnets = vec![MISSING.to_owned()];
    without(take, ("pod subnet", Error), &[MISSING, "does not exist"], &["openstack subnet list", "pod_subnet"]).await;

    let take = |cloud: &mut FakeCloud| {
        let other = cloud.cloud.seed_network("k8s", "other", &["10.9.0.0/16"]);
        cloud.wanted.pod_subnets = vec![cloud.network.subnets[0].clone(), other.subnets[0].clone()];
    };
    without(take, ("pod subnet", Error), &["different networks"], &["openstack subnet list --network"]).await;

    let take = |cloud: &mut FakeCloud| {
        let id = cloud.network.subnets[0].clone();
        let subnet = json!({ "network_id": cloud.network.network, "cidr": "10.8.0.0/16", "ip_version": 4, "project_id": cloud.wanted.project });
        let second = cloud.cloud.create("subnets", subnet)["id"].as_str().unwrap().to_owned();
        cloud.wanted.pod_subnets = vec![id, second];
    };
    without(take, ("pod subnet", Error), &["same family"], &["pod_subnet"]).await;

    let take = |cloud: &mut FakeCloud| {
        let small = cloud.cloud.seed_network("k8s", "small", &["10.9.0.0/28"]);
        cloud.wanted.pod_subnets = small.subnets;
    };
    without(take, ("pod subnet", Warning), &["13 addresses", "220 pods"], &["openstack subnet set --allocation-pool"])
        .await;
}

#[tokio::test]
async fn gateway_and_router() {
    let take = |cloud: &mut FakeCloud| {
        let subnet = json!({
            "network_id": cloud.network.network, "cidr": "10.8.0.0/16", "ip_version": 4, "gateway_ip": null,
            "project_id": cloud.wanted.project,
        });
        cloud.wanted.pod_subnets = vec![cloud.cloud.create("subnets", subnet)["id"].as_str().unwrap().to_owned()];
    };
    without(
        take,
        ("gateway", Error),
        &["has no gateway"],
        &["openstack subnet set --gateway", "openstack router add subnet"],
    )
    .await;

    let cloud = FakeCloud::complete();
    let found = asked(&cloud, "k8s-admin", "secret", false).await;
    expect(
        &found,
        ("router", Error),
        &["10.0.0.1", "no router"],
        &["openstack router add subnet ROUTER", &cloud.network.subnets[0]],
    );
    assert!(
        found.iter().any(|finding| finding.check == "rights" && finding.severity == Severity::Skipped),
        "{found:#?}"
    );
}

#[tokio::test]
async fn a_physical_router_is_none_of_neutrons() {
    let cloud = FakeCloud::complete();
    cloud.cloud.update("networks", &cloud.network.network, json!({ "provider:network_type": "vlan" }));
    let found = asked(&cloud, "k8s-admin", "secret", false).await;
    expect(&found, ("router", Warning), &["10.0.0.1", "does not know"], &["openstack router add subnet ROUTER"]);
}

#[tokio::test]
async fn the_network_of_floating_ips() {
    let mut cloud = FakeCloud::routed().await;
    let outside = cloud.cloud.create("networks", json!({ "name": "outside", "router:external": true }));
    cloud.wanted.external_network = outside["id"].as_str().unwrap().to_owned();
    let found = asked(&cloud, "k8s-admin", "secret", false).await;
    expect(&found, ("floating ips", Severity::Good), &["outside"], &[]);
    let cure = ["openstack network list --external", "[neutron_defaults] external_svc_net"];
    let take = |cloud: &mut FakeCloud| cloud.wanted.external_network = MISSING.to_owned();
    without(take, ("floating ips", Error), &[MISSING, "does not exist"], &cure).await;
    let take = |cloud: &mut FakeCloud| cloud.wanted.external_network = cloud.network.network.clone();
    without(take, ("floating ips", Error), &["does not lead out of the cloud"], &cure).await;
}

#[tokio::test]
async fn the_network() {
    let change = |change: Value| {
        move |cloud: &mut FakeCloud| {
            cloud.cloud.update("networks", &cloud.network.network, change);
        }
    };
    without(change(json!({ "mtu": 1200 })), ("mtu", Error), &["1200", "1280"], &["openstack network set --mtu 1280"])
        .await;
    without(
        change(json!({ "admin_state_up": false })),
        ("network", Error),
        &["switched off"],
        &["openstack network set --enable"],
    )
    .await;
    let take = |cloud: &mut FakeCloud| cloud.wanted.mtu = 9000;
    without(take, ("mtu", Warning), &["network_device_mtu = 9000"], &["remove the option"]).await;
}

#[tokio::test]
async fn security_groups() {
    let take = |cloud: &mut FakeCloud| cloud.wanted.security_groups = vec![MISSING.to_owned()];
    without(take, ("security group", Error), &[MISSING], &["openstack security group list", "pod_security_groups"])
        .await;

    fn rules_removed(direction: &'static str) -> impl FnOnce(&mut FakeCloud) {
        move |cloud| {
            for rule in cloud.cloud.list("security-group-rules") {
                if rule["security_group_id"] == cloud.wanted.security_groups[0].as_str()
                    && rule["direction"] == direction
                {
                    cloud.cloud.delete("security-group-rules", rule["id"].as_str().unwrap());
                }
            }
        }
    }
    without(rules_removed("egress"), ("security group", Error), &["out of a pod"], &["rule create --egress"]).await;
    let cure = ["rule create --ingress", "--remote-ip 192.0.2.2"];
    without(rules_removed("ingress"), ("probes", Warning), &["192.0.2.2", "node n2"], &cure).await;

    let take = |cloud: &mut FakeCloud| cloud.wanted.security_groups.clear();
    let found = without(take, ("probes", Warning), &["192.0.2.1"], &["--remote-ip 192.0.2.1"]).await;
    expect(&found, ("security group", Warning), &["`default`"], &["[neutron_defaults] pod_security_groups"]);
}

#[tokio::test]
async fn the_quota_of_ports() {
    let limit = |limit: i64| move |cloud: &mut FakeCloud| cloud.cloud.set_quota("k8s", "port", limit);
    without(limit(0), ("port quota", Error), &["all 0 ports"], &["openstack quota set --ports"]).await;
    without(limit(100), ("port quota", Warning), &["of 100 ports", "220 pods"], &["openstack quota set --ports 222"])
        .await;
    let found = without(limit(-1), ("port quota", Severity::Good), &["without limit"], &[]).await;
    assert!(troubles(&found).is_empty(), "{found:#?}");
}

#[tokio::test]
async fn a_user_without_the_rights() {
    let cloud = FakeCloud::routed().await;
    let found = asked(&cloud, "k8s", "secret", false).await;
    expect(&found, ("rights", Error), &["hides from us"], &["openstack role add", "binding:host_id"]);
    let found = asked(&cloud, "k8s", "secret", true).await;
    expect(&found, ("rights", Error), &["403"], &["openstack role add", "binding:host_id"]);
}

#[tokio::test]
async fn a_node_neutron_does_not_know() {
    let cloud = FakeCloud::routed().await;
    cloud.cloud.bind_policy(Some("n2"), BindPolicy::Fails);
    let found = asked(&cloud, "k8s-admin", "secret", true).await;
    expect(&found, ("node", Error), &["cannot bind a port to n2"], &["openstack network agent list --host n2"]);
    assert_eq!(troubles(&found).len(), 1, "{found:#?}");
    assert!(cloud.cloud.ports().iter().all(|port| port["name"] != "kuryr-check"), "the port that failed is gone too");
}

// ---- the cluster ---------------------------------------------------------------------------------------------------

fn kuryr_cluster() -> Cluster {
    let cluster = Cluster::builder().time(Timestamp::now()).auto_namespaces().build();
    for definition in kuryr_api::crd::definitions() {
        cluster.create(serde_json::to_value(definition).unwrap()).unwrap();
    }
    for (name, address) in [("n1", "192.0.2.1"), ("n2", "192.0.2.2")] {
        cluster
            .create(json!({
                "apiVersion": "v1", "kind": "Node", "metadata": { "name": name },
                "status": {
                    "addresses": [{ "type": "InternalIP", "address": address }, { "type": "Hostname", "address": name }],
                    "conditions": [{ "type": "Ready", "status": "True" }],
                },
            }))
            .unwrap();
    }
    cluster
}

async fn of_cluster(cluster: &Cluster) -> ClusterFacts {
    cluster::ask(&kube::Client::new(cluster.clone(), "default"), "kube-system").await
}

#[tokio::test]
async fn a_cluster_that_is_ready() {
    let facts = of_cluster(&kuryr_cluster()).await;
    assert_eq!(facts.nodes.as_ref().unwrap(), &nodes());
    let found = cluster_rules::findings(&facts);
    assert!(troubles(&found).is_empty(), "{found:#?}");
    assert!(!facts.installed);
}

#[tokio::test]
async fn what_a_cluster_can_lack() {
    let cluster = Cluster::builder().auto_namespaces().build();
    cluster
        .create(json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "kube-flannel-ds", "namespace": "kube-flannel" },
            "spec": { "selector": { "matchLabels": { "a": "b" } },
                      "template": { "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } } },
        }))
        .unwrap();
    let mut facts = of_cluster(&cluster).await;
    let found = cluster_rules::findings(&facts);
    expect(&found, ("nodes", Error), &["no nodes"], &["kubeadm join"]);
    expect(&found, ("crds", Warning), &["KuryrPort"], &["kuryr crds | kubectl apply -f -"]);
    expect(&found, ("other networks", Warning), &["kube-flannel/kube-flannel-ds"], &["/etc/cni/net.d"]);
    facts.version = Ok((1, 28, "v1.28.2".to_owned()));
    expect(&cluster_rules::findings(&facts), ("kubernetes", Error), &["v1.28.2", "1.30"], &["kubeadm upgrade"]);
}

#[test]
fn a_definition_of_kuryr_kubernetes_would_lose_what_we_write() {
    let ours = kuryr_api::crd::definitions().into_iter().next().unwrap();
    assert_eq!(cluster_rules::outdated(&ours), None);
    let mut old = serde_json::to_value(&ours).unwrap();
    let schema = &mut old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    schema["spec"]["properties"].as_object_mut().unwrap().remove("podStatic");
    schema["status"]["properties"].as_object_mut().unwrap().remove("conditions");
    let read = |value: &Value| serde_json::from_value::<CustomResourceDefinition>(value.clone()).unwrap();
    let why = cluster_rules::outdated(&read(&old)).unwrap();
    assert!(why.contains("spec.podStatic, status.conditions"), "{why}");
    old["spec"]["versions"][0]["subresources"] = json!({ "status": {} });
    assert!(cluster_rules::outdated(&read(&old)).unwrap().contains("subresource"));
}

// ---- pods of our own -----------------------------------------------------------------------------------------------

/// Plays kubelet until the namespace is gone again: gives pods an address, and lets `ends` say how callers end.
async fn play_kubelet(cluster: &Cluster, ends: impl Fn(&Value) -> Option<&'static str>) {
    let mut seen = false;
    loop {
        let pods: Vec<Value> = cluster.list("pods", "");
        seen |= !pods.is_empty();
        let open = cluster.list("namespaces", "").iter().any(|namespace| {
            namespace["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("kuryr-check-"))
                && namespace["metadata"]["deletionTimestamp"].is_null()
        });
        if seen && !open {
            return;
        }
        for pod in pods.iter().filter(|pod| matches!(pod["status"]["phase"].as_str(), None | Some("Pending"))) {
            let Some(phase) = ends(pod) else { continue };
            let status = json!({ "phase": phase, "podIP": "10.0.0.9", "containerStatuses": [{
                "name": "probe", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                "state": if phase == "Failed" { json!({ "terminated": { "exitCode": 1, "message": "error: 10.0.0.9:8099 does not answer: timed out" } }) } else { json!({}) },
            }] });
            let (namespace, name) =
                (pod["metadata"]["namespace"].as_str().unwrap(), pod["metadata"]["name"].as_str().unwrap());
            cluster.patch("pods", namespace, name, &json!({ "status": status })).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn after_with(cluster: &Cluster, ends: impl Fn(&Value) -> Option<&'static str>) -> Vec<Finding> {
    let kube = kube::Client::new(cluster.clone(), "default");
    let nodes = nodes();
    let outside = Some("198.51.100.1:443".parse().unwrap());
    let work = after::findings(&kube, &nodes, Some(Image::Ours("kuryr:1".to_owned())), outside);
    tokio::join!(work, play_kubelet(cluster, ends)).0
}

#[tokio::test(start_paused = true)]
async fn pods_that_reach_each_other_and_are_gone_afterwards() {
    let cluster = kuryr_cluster();
    serve_dns(&cluster, true);
    let called = std::cell::RefCell::new(Vec::new());
    let found = after_with(&cluster, |pod| {
        if serves(pod) {
            return Some("Running");
        }
        let arguments: Vec<&str> = pod["spec"]["containers"][0]["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|word| word.as_str().unwrap())
            .collect();
        let node = pod["spec"]["nodeName"].as_str().unwrap();
        let who = if pod["spec"]["hostNetwork"] == true { "host" } else { "pod" };
        called.borrow_mut().push(format!("{who} on {node}: {}", arguments[..3].join(" ")));
        Some("Succeeded")
    })
    .await;
    assert!(troubles(&found).is_empty(), "{found:#?}");
    let expected = [
        "host on n1: probe connect 10.0.0.9:8099",
        "pod on n2: probe connect 10.0.0.9:8099",
        "host on n2: probe connect 10.0.0.9:8099",
        "pod on n2: probe connect 10.0.0.9:8099",
        "pod on n2: probe resolve kubernetes.default.svc",
        "pod on n2: probe reach 198.51.100.1:443",
    ];
    assert_eq!(*called.borrow(), expected);
    for check in ["pod network", "host to pod", "pod to pod", "pod to host", "dns", "outside"] {
        expect(&found, (check, Severity::Good), &[], &[]);
    }
    assert!(cluster.list("pods", "").is_empty());
}

#[tokio::test(start_paused = true)]
async fn hosts_that_do_not_reach_pods() {
    let found = after_with(&kuryr_cluster(), |pod| match pod["spec"]["hostNetwork"] == true {
        _ if serves(pod) => Some("Running"),
        true => Some("Failed"),
        false => Some("Succeeded"),
    })
    .await;
    expect(&found, ("host to pod", Error), &["node n1", "does not answer"], &["security group rule create --ingress"]);
    assert!(
        found.iter().any(|finding| finding.check == "pod to pod" && finding.severity == Severity::Good),
        "{found:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn nodes_names_and_the_world_that_pods_do_not_reach() {
    let cluster = kuryr_cluster();
    serve_dns(&cluster, true);
    let found = after_with(&cluster, |pod| {
        let calls_beyond =
            ["caller-node", "caller-dns", "caller-outside"].iter().any(|name| pod["metadata"]["name"] == *name);
        Some(if serves(pod) {
            "Running"
        } else if calls_beyond {
            "Failed"
        } else {
            "Succeeded"
        })
    })
    .await;
    expect(
        &found,
        ("pod to host", Warning),
        &["a pod on n2 → node n1, port 8099"],
        &["firewall", "openstack router show"],
    );
    expect(&found, ("dns", Error), &["kubernetes.default.svc"], &["get endpointslices", "kuryrloadbalancer kube-dns"]);
    expect(&found, ("outside", Error), &["198.51.100.1:443"], &["openstack router set --external-gateway"]);
    assert_eq!(troubles(&found).len(), 3, "{found:#?}");
}

#[tokio::test(start_paused = true)]
async fn names_nobody_answers_for_are_not_asked_for() {
    let works = |pod: &Value| Some(if serves(pod) { "Running" } else { "Succeeded" });
    let cluster = kuryr_cluster();
    let found = after_with(&cluster, works).await;
    expect(&found, ("dns", Severity::Skipped), &["no Service kube-system/kube-dns"], &[]);
    serve_dns(&cluster, false);
    let found = after_with(&cluster, works).await;
    expect(&found, ("dns", Severity::Skipped), &["no ready endpoint", "k8s-app=kube-dns"], &[]);
}

/// Whether it runs until it is taken away.
fn serves(pod: &Value) -> bool {
    pod["metadata"]["name"].as_str().unwrap().ends_with("server")
}

/// The Service of DNS, with an endpoint.
fn serve_dns(cluster: &Cluster, ready: bool) {
    cluster
        .create(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "kube-dns", "namespace": "kube-system" },
            "spec": { "clusterIP": "10.96.0.10", "ports": [{ "port": 53, "protocol": "UDP" }] },
        }))
        .unwrap();
    cluster
        .create(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "name": "kube-dns-1", "namespace": "kube-system",
                          "labels": { "kubernetes.io/service-name": "kube-dns" } },
            "endpoints": [{ "addresses": ["10.0.0.53"], "conditions": { "ready": ready } }],
        }))
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pod_without_a_network_is_told_with_what_it_waits_for() {
    let cluster = kuryr_cluster();
    let found = after_with(&cluster, |pod| {
        let namespace = pod["metadata"]["namespace"].as_str().unwrap();
        let port = json!({
            "apiVersion": "openstack.org/v1", "kind": "KuryrPort", "metadata": { "name": "server", "namespace": namespace },
            "spec": { "podUid": pod["metadata"]["uid"], "podNodeName": "n1" },
            "status": { "vifs": {}, "conditions": [{
                "type": "Ready", "status": "False", "reason": "QuotaExceeded", "message": "no port is left",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }] },
        });
        // Once is enough; the second time it is there.
        let _ = cluster.create(port);
        None
    })
    .await;
    expect(&found, ("pod network", Error), &["QuotaExceeded: no port is left"], &["kuryr status"]);
}

#[tokio::test]
async fn what_cannot_be_tried_is_said() {
    let kube = kube::Client::new(kuryr_cluster(), "default");
    assert_eq!(after::image(Some("busybox"), Some("kuryr:1")), Some(Image::Other("busybox".to_owned())));
    let found = after::findings(&kube, &nodes(), after::image(None, None), None).await;
    assert!(found[0].severity == Severity::Skipped && found[0].what.contains("--image"), "{found:#?}");
    let found = after::findings(&kube, &[], Some(Image::Ours("kuryr:1".to_owned())), None).await;
    expect(&found, ("pods", Error), &["no node"], &["kubectl get nodes"]);
}

#[test]
fn a_page_has_what_and_cure_and_the_sum() {
    let found = [
        Finding::good("mtu", "1442"),
        Finding::error("port quota", "all 10 ports are used", "openstack quota set --ports 20 P"),
    ];
    let text = page(&found, Screen { width: 80, colours: false });
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        flat.contains("ok mtu 1442 FAIL port quota all 10 ports are used → openstack quota set --ports 20 P"),
        "{text}"
    );
    assert!(text.ends_with("1 to mend, 0 to know, 1 in order\n"), "{text}");
}
