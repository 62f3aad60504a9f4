//! The status of clusters in all states, asked of the fakes as `kuryr status` asks real ones.

use std::cell::RefCell;
use std::time::Duration;

use http::Method;
use jiff::{SignedDuration, Timestamp};
use kuryr_fake::faults::Rule;
use kuryr_fake::kubernetes::Cluster;
use serde_json::{Value, json};

use super::report::Status;
use super::seen::{Asked, CloudAsked, look};
use super::{judge, page, wait};
use crate::check::fake_cloud::FakeCloud;
use crate::screen::Screen;

const NAMESPACE: &str = "kube-system";
const PLAIN: Screen = Screen { width: 100, colours: false };

fn ago(seconds: i64) -> String {
    (Timestamp::now() - SignedDuration::from_secs(seconds)).to_string()
}

/// A cluster with a controller and two daemons that are ready, and one connected pod.
fn cluster() -> Cluster {
    let cluster = Cluster::builder().time(Timestamp::now()).auto_namespaces().build();
    for definition in kuryr_api::crd::definitions() {
        cluster.create(serde_json::to_value(definition).unwrap()).unwrap();
    }
    let template = |label: Value| json!({ "metadata": { "labels": label }, "spec": { "containers": [{ "name": "c", "image": "kuryr:1" }] } });
    let (controller, daemon) = (json!({ "name": "kuryr-controller" }), json!({ "app": "kuryr-cni" }));
    cluster
        .create(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "kuryr-controller", "namespace": NAMESPACE },
            "spec": { "replicas": 1, "selector": { "matchLabels": controller }, "template": template(controller.clone()) },
            "status": { "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1 },
        }))
        .unwrap();
    cluster
        .create(json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": { "name": "kuryr-cni", "namespace": NAMESPACE },
            "spec": { "selector": { "matchLabels": daemon }, "template": template(daemon.clone()) },
            "status": { "desiredNumberScheduled": 2, "numberReady": 2, "updatedNumberScheduled": 2,
                        "currentNumberScheduled": 2, "numberMisscheduled": 0 },
        }))
        .unwrap();
    own_pod(&cluster, "kuryr-controller-1", controller, true);
    own_pod(&cluster, "kuryr-cni-1", daemon.clone(), true);
    own_pod(&cluster, "kuryr-cni-2", daemon, true);
    lease(&cluster, &ago(1));
    let uid = pod(&cluster, "web", 600);
    port(&cluster, "web", &uid, Some(("True", "Connected", "the pod's Neutron ports are active")));
    cluster
}

fn own_pod(cluster: &Cluster, name: &str, labels: Value, ready: bool) {
    let state = if ready {
        json!({ "running": {} })
    } else {
        json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off" } })
    };
    cluster
        .create(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": NAMESPACE, "labels": labels },
            "spec": { "hostNetwork": true, "nodeName": "n1", "containers": [{ "name": "c", "image": "kuryr:1" }] },
            "status": { "phase": "Running", "containerStatuses": [{
                "name": "c", "image": "kuryr:1", "imageID": "", "ready": ready, "restartCount": if ready { 0 } else { 7 }, "state": state,
                "lastState": if ready { json!({}) } else {
                    json!({ "terminated": { "exitCode": 2, "reason": "Error", "message": "error: [neutron_defaults] project is not set" } })
                },
            }] },
        }))
        .unwrap();
}

fn lease(cluster: &Cluster, renewed: &str) {
    cluster
        .create(json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": { "name": "kuryr-controller", "namespace": NAMESPACE },
            "spec": { "holderIdentity": "kuryr-controller-1_ab", "leaseDurationSeconds": 600,
                      "acquireTime": renewed, "renewTime": renewed },
        }))
        .unwrap();
}

/// A pod on a node, scheduled so many seconds ago. Answers its uid.
fn pod(cluster: &Cluster, name: &str, scheduled: i64) -> String {
    let pod = cluster
        .create(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": "default" },
            "spec": { "nodeName": "n1", "containers": [{ "name": "c", "image": "i" }] },
            "status": { "phase": "Pending", "conditions": [
                { "type": "PodScheduled", "status": "True", "lastTransitionTime": ago(scheduled) },
            ] },
        }))
        .unwrap();
    pod["metadata"]["uid"].as_str().unwrap().to_owned()
}

/// Its KuryrPort, with a `Ready` condition: status, reason, message.
fn port(cluster: &Cluster, name: &str, uid: &str, ready: Option<(&str, &str, &str)>) {
    let conditions = ready.map(|(status, reason, message)| {
        json!({ "type": "Ready", "status": status, "reason": reason, "message": message, "lastTransitionTime": ago(240) })
    });
    cluster
        .create(json!({
            "apiVersion": "openstack.org/v1", "kind": "KuryrPort",
            "metadata": { "name": name, "namespace": "default" },
            "spec": { "podUid": uid, "podNodeName": "n1" },
            "status": { "vifs": {}, "conditions": conditions.into_iter().collect::<Vec<_>>() },
        }))
        .unwrap();
}

/// A Service's KuryrLoadBalancer, with a `Ready` condition: status, reason, message.
fn balancer(cluster: &Cluster, name: &str, ready: Option<(&str, &str, &str)>) {
    let conditions = ready.map(|(status, reason, message)| {
        json!({ "type": "Ready", "status": status, "reason": reason, "message": message, "lastTransitionTime": ago(600) })
    });
    cluster
        .create(json!({
            "apiVersion": "openstack.org/v1", "kind": "KuryrLoadBalancer",
            "metadata": { "name": name, "namespace": "default" }, "spec": { "ip": "10.96.0.9" },
            "status": { "conditions": conditions.into_iter().collect::<Vec<_>>() },
        }))
        .unwrap();
}

/// Where Services are off, as far as is known here.
async fn status_without_services(cluster: &Cluster) -> (Status, String) {
    let status = judge::judge(&look(&Asked { services: false, ..asked(cluster, None) }).await);
    let page = page::page(&status, PLAIN, Timestamp::now());
    (status, page)
}

fn asked(cluster: &Cluster, cloud: Option<&FakeCloud>) -> Asked {
    Asked {
        kube: kube::Client::new(cluster.clone(), "default"),
        namespace: NAMESPACE.to_owned(),
        services: true,
        cloud: cloud.map(|cloud| CloudAsked {
            address: "http://cloud.example/identity".to_owned(),
            client: Ok(cloud.client("k8s-admin")),
            project: Some(cloud.wanted.project.clone()),
        }),
    }
}

async fn status(cluster: &Cluster, cloud: Option<&FakeCloud>) -> (Status, String) {
    let status = judge::judge(&look(&asked(cluster, cloud)).await);
    let page = page::page(&status, PLAIN, Timestamp::now());
    (status, page)
}

#[track_caller]
fn says(page: &str, words: &[&str]) {
    // Lines are wrapped; words are not.
    let flat = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in words {
        assert!(flat.contains(words), "{words:?} is not in\n{page}");
    }
}

#[tokio::test]
async fn all_is_well_and_one_screen_says_so() {
    let (cluster, cloud) = (cluster(), FakeCloud::complete());
    cloud.cloud.set_quota("k8s", "port", 500);
    let (status, page) = status(&cluster, Some(&cloud)).await;
    assert!(status.well, "{page}");
    says(
        &page,
        &[
            "Kuryr well",
            "Controller 1/1 ready, kuryr:1 ×1",
            "Leader kuryr-controller-1_ab",
            "Daemon 2/2 ready, kuryr:1 ×2",
            "Pods 1 connected, 0 starting, 0 waiting",
            "http://cloud.example/identity answers in",
            "of 500 ports free",
        ],
    );
    assert!(page.lines().count() <= 24 && page.lines().all(|line| line.chars().count() <= 100), "{page}");
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(
        (&json["well"], &json["daemon"]["ready"], &json["cloud"]["ports"]["limit"]),
        (&json!(true), &json!(2), &json!(500))
    );
}

#[tokio::test]
async fn pods_that_wait_are_grouped_by_reason_with_the_cure() {
    let cluster = cluster();
    for name in ["a", "b", "c", "d"] {
        let uid = pod(&cluster, name, 300);
        port(&cluster, name, &uid, Some(("False", "QuotaExceeded", "no port is left; raise the quota")));
    }
    pod(&cluster, "lost", 300);
    pod(&cluster, "fresh", 2);
    let (status, page) = status(&cluster, None).await;
    assert!(!status.well);
    assert_eq!((status.pods.connected, status.pods.starting, status.pods.waiting.len()), (1, 1, 2), "{page}");
    says(
        &page,
        &[
            "4 pods wait, the first for 4 min: QuotaExceeded",
            "default/a, default/b, default/c, …",
            "no port is left; raise the quota",
            "→ openstack quota show --usage PROJECT; openstack quota set --ports NUMBER PROJECT",
            "1 pod waits, the first for 5 min: NoKuryrPort",
            "default/lost",
            "→ kubectl -n kube-system logs -l name=kuryr-controller",
            "the cloud: there are no credentials here",
        ],
    );
}

#[tokio::test]
async fn services_are_counted_and_what_they_wait_for_is_told_with_the_cure() {
    let cluster = cluster();
    balancer(&cluster, "web", Some(("True", "Balanced", "the load balancer is as it should be")));
    balancer(&cluster, "fresh", None);
    for name in ["a", "b"] {
        balancer(&cluster, name, Some(("False", "QuotaExceeded", "no load balancer is left; raise the quota")));
    }
    let (mut seen, page) = status(&cluster, None).await;
    assert!(!seen.well, "{page}");
    says(
        &page,
        &[
            "Kuryr Services wait",
            "Services 1 ready, 1 starting, 2 waiting",
            "2 Services wait, the first for 10 min: QuotaExceeded default/a, default/b",
            "no load balancer is left; raise the quota",
            "→ openstack loadbalancer quota show PROJECT",
        ],
    );
    assert!(page::line(&seen).contains("0 waiting, 1 Services ready, 2 waiting, 0 problems"), "{}", page::line(&seen));
    let json = serde_json::to_value(&seen).unwrap();
    assert_eq!(json["services"]["ready"], 1);
    assert_eq!(json["services"]["waiting"][0]["reason"], "QuotaExceeded");

    // Nobody works on them where Services are off; they are shown all the same.
    let (off, page) = status_without_services(&cluster).await;
    assert!(off.well, "{page}");
    says(&page, &["Kuryr well", "2 Services wait"]);
    seen.well = true;
    assert_eq!(off, seen);
}

#[tokio::test]
async fn services_that_work_and_are_not_as_asked_are_told_and_wait_for_nothing() {
    let cluster = cluster();
    balancer(&cluster, "web", Some(("True", "Balanced", "the load balancer has what the Service needs")));
    let conditions = json!([
        { "type": "Ready", "status": "True", "reason": "Balanced", "message": "", "lastTransitionTime": ago(600) },
        { "type": "Accepted", "status": "False", "reason": "NotHonoured", "message": "sessionAffinity: ovn has none",
          "lastTransitionTime": ago(600) },
    ]);
    let change = json!({ "status": { "conditions": conditions } });
    cluster.patch("kuryrloadbalancers.openstack.org", "default", "web", &change).unwrap();
    let (seen, page) = status(&cluster, None).await;
    assert!(seen.well, "{page}");
    says(
        &page,
        &[
            "Services 1 ready, 0 starting, 0 waiting; 1 not quite as they ask",
            "1 Service works, not quite as it asks, the first for 10 min: NotHonoured default/web",
            "sessionAffinity: ovn has none",
        ],
    );
    let json = serde_json::to_value(&seen).unwrap();
    assert_eq!(json["services"]["notAsAsked"][0]["reason"], "NotHonoured");
}

#[tokio::test]
async fn a_load_balancer_of_kuryr_kubernetes_is_ready_without_a_condition() {
    let cluster = cluster();
    balancer(&cluster, "old", None);
    let record = json!({ "id": "l", "ip": "10.96.0.9", "name": "default/old", "port_id": "p", "project_id": "k",
                         "provider": "amphora", "security_groups": [], "subnet_id": "s" });
    let change = json!({ "status": { "loadbalancer": record } });
    cluster.patch("kuryrloadbalancers.openstack.org", "default", "old", &change).unwrap();
    let (status, page) = status(&cluster, None).await;
    assert!(status.well, "{page}");
    says(&page, &["Services 1 ready, 0 starting, 0 waiting"]);
}

#[tokio::test]
async fn nothing_is_said_of_services_where_there_are_none() {
    let cluster = cluster();
    let (none, page) = status(&cluster, None).await;
    assert!(none.services.is_none() && !page.contains("Services"), "{page}");
    cluster.faults().script(Rule::on(Method::GET, "*/kuryrloadbalancers").status(404).times(1));
    let (undefined, page) = status(&cluster, None).await;
    assert!(undefined.services.is_none() && !page.contains("KuryrLoadBalancer"), "{page}");
    let forbidden = || cluster.faults().script(Rule::on(Method::GET, "*/kuryrloadbalancers").status(403).times(1));
    forbidden();
    says(&status(&cluster, None).await.1, &["Not seen - KuryrLoadBalancers:"]);
    forbidden();
    let (_, page) = status_without_services(&cluster).await;
    assert!(!page.contains("KuryrLoadBalancer"), "{page}");
}

#[tokio::test]
async fn what_may_not_be_seen_is_said_and_the_rest_is_shown() {
    let cluster = cluster();
    cluster.faults().script(Rule::on(Method::GET, "*/daemonsets/*").status(403).times(100));
    cluster.faults().script(Rule::on(Method::GET, "*/events").status(403).times(100));
    let (status, page) = status(&cluster, None).await;
    let unseen: Vec<&str> = status.unseen.iter().map(|unseen| unseen.what.as_str()).collect();
    assert_eq!(unseen, ["the daemon's DaemonSet", "Events", "the cloud"], "{page}");
    says(&page, &["Controller 1/1 ready", "Not seen", "1 connected"]);
    assert!(status.well, "what is not seen is not wrong: {page}");
}

#[tokio::test]
async fn a_cluster_that_cannot_be_asked_is_not_well() {
    let cluster = cluster();
    cluster.faults().script(Rule::on_any("*").status(503).times(1000));
    let (status, page) = status(&cluster, None).await;
    assert!(!status.well);
    says(&page, &["nothing can be seen of the cluster", "→ check KUBECONFIG"]);
}

#[tokio::test]
async fn a_controller_that_crashes_is_told_with_its_last_words() {
    let cluster = cluster();
    own_pod(&cluster, "kuryr-controller-2", json!({ "name": "kuryr-controller" }), false);
    cluster
        .patch("deployments.apps", NAMESPACE, "kuryr-controller", &json!({ "status": { "readyReplicas": 0 } }))
        .unwrap();
    let (status, page) = status(&cluster, None).await;
    assert!(!status.well);
    says(
        &page,
        &[
            "Deployment kuryr-controller: 0 of 1 pods ready",
            "kuryr-controller-2: CrashLoopBackOff after 7 restarts error: [neutron_defaults] project is not set",
            "→ kubectl -n kube-system logs kuryr-controller-2 --previous",
            "7 restarts",
        ],
    );
}

#[tokio::test]
async fn a_lease_nobody_renews_means_that_nobody_works() {
    let cluster = cluster();
    cluster.delete("leases.coordination.k8s.io", NAMESPACE, "kuryr-controller").unwrap();
    lease(&cluster, &ago(6000));
    let (status, page) = status(&cluster, None).await;
    assert!(!status.well && status.leader.as_ref().is_some_and(|leader| leader.expired), "{page}");
    says(&page, &["Leader nobody", "nobody works: kuryr-controller-1_ab did not renew the Lease"]);
}

#[tokio::test]
async fn the_daemonset_of_kuryr_kubernetes_counts_too() {
    let cluster = cluster();
    let mut set = cluster.get("daemonsets.apps", NAMESPACE, "kuryr-cni").unwrap();
    cluster.delete_now("daemonsets.apps", NAMESPACE, "kuryr-cni").unwrap();
    set["metadata"] = json!({ "name": "kuryr-cni-ds", "namespace": NAMESPACE });
    cluster.create(set).unwrap();
    let (status, page) = status(&cluster, None).await;
    assert!(status.well, "{page}");
    says(&page, &["2/2 ready"]);
}

#[tokio::test]
async fn a_cluster_without_kuryr_is_not_well() {
    let (status, page) = status(&Cluster::new(), None).await;
    assert!(!status.well);
    says(
        &page,
        &[
            "there is no Deployment kuryr-controller in namespace kube-system",
            "there is no DaemonSet kuryr-cni",
            "→ kuryr crds | kubectl apply -f -",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn a_cloud_that_is_away_and_a_quota_that_ends_are_problems() {
    let (cluster, cloud) = (cluster(), FakeCloud::complete());
    cloud.cloud.set_quota("k8s", "port", 5);
    let (low, page) = status(&cluster, Some(&cloud)).await;
    assert!(!low.well);
    says(&page, &["of 5 ports of the project's quota are left", "→ openstack quota set --ports NUMBER PROJECT"]);
    cloud.cloud.faults().script(Rule::on_any("*/extensions").status(503).times(1000));
    let (away, page) = status(&cluster, Some(&cloud)).await;
    assert!(!away.well);
    says(&page, &["the cloud does not answer", "503"]);
}

#[tokio::test]
async fn what_was_told_and_is_over_is_told_apart() {
    let cluster = cluster();
    let event = |name: &str, reason: &str, component: &str, when: String| {
        json!({
            "apiVersion": "v1", "kind": "Event", "metadata": { "name": name, "namespace": "default" },
            "involvedObject": { "kind": "Pod", "name": "web", "namespace": "default" },
            "type": "Warning", "reason": reason, "message": format!("{reason} it was"),
            "reportingComponent": component, "lastTimestamp": when,
        })
    };
    cluster.create(event("a", "BindingFailed", "kuryr-controller", ago(100))).unwrap();
    cluster.create(event("b", "BindingFailed", "kuryr-controller", ago(50))).unwrap();
    cluster.create(event("c", "QuotaExceeded", "kuryr-controller", ago(100_000))).unwrap();
    cluster.create(event("d", "Unhealthy", "kubelet", ago(10))).unwrap();
    let (status, page) = status(&cluster, None).await;
    assert!(status.well, "{page}");
    says(&page, &["Told in the last hour", "BindingFailed ×2: BindingFailed it was"]);
    assert!(!page.contains("QuotaExceeded") && !page.contains("Unhealthy"), "{page}");
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_when_all_is_well_and_tells_each_change_once() {
    let cluster = cluster();
    cluster.patch("daemonsets.apps", NAMESPACE, "kuryr-cni", &json!({ "status": { "numberReady": 0 } })).unwrap();
    let lines = RefCell::new(Vec::new());
    let asked = asked(&cluster, None);
    let waited = wait(&asked, Some(Duration::from_secs(3600)), |line| lines.borrow_mut().push(line.to_owned()));
    let mended = async {
        for ready in [1, 2] {
            tokio::time::sleep(Duration::from_secs(60)).await;
            let change = json!({ "status": { "numberReady": ready } });
            // The Lease is real time's; the pause must not let it expire.
            cluster.patch("daemonsets.apps", NAMESPACE, "kuryr-cni", &change).unwrap();
        }
    };
    let (status, ()) = tokio::join!(waited, mended);
    assert!(status.well, "{lines:?}");
    let lines = lines.into_inner();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("daemon 0/2") && lines[1].contains("daemon 1/2"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn services_are_waited_for_where_they_are_on() {
    let cluster = cluster();
    balancer(&cluster, "web", Some(("False", "CloudUnreachable", "Octavia does not answer")));
    let on = asked(&cluster, None);
    let waited = wait(&on, Some(Duration::from_secs(60)), |_| {});
    assert!(!waited.await.well);
    let off = Asked { services: false, ..asked(&cluster, None) };
    assert!(wait(&off, Some(Duration::from_secs(60)), |_| {}).await.well);
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_at_its_limit() {
    let asked = asked(&Cluster::new(), None);
    let start = tokio::time::Instant::now();
    let status = wait(&asked, Some(Duration::from_secs(10)), |_| {}).await;
    assert!(!status.well);
    assert!((10..13).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}
