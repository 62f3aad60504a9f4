//! kube-rs against the cluster, in process, on a paused clock.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Node, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    Api, DeleteParams, EvictParams, ListParams, Patch, PatchParams, PostParams, Preconditions, WatchEvent, WatchParams,
};
use kube::core::{ObjectMeta, PartialObjectMeta};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Client, CustomResource, CustomResourceExt as _, ResourceExt};
use kuryr_fake::faults::{Lose, Rule};
use kuryr_fake::kubernetes::Cluster;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(CustomResource, Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[kube(group = "example.org", version = "v1", kind = "Widget", namespaced, status = "WidgetStatus", shortname = "wd")]
struct WidgetSpec {
    size: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    color: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
struct WidgetStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ready: Option<bool>,
}

fn client(cluster: &Cluster) -> Client {
    Client::new(cluster.clone(), "default")
}

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "default", "labels": { "app": name } },
        "spec": { "containers": [{ "name": "main", "image": "image:1" }] },
    })
}

fn pod_on(node: &str, name: &str) -> Value {
    let mut pod = pod(name);
    pod["spec"]["nodeName"] = node.into();
    pod
}

fn typed<K: for<'de> Deserialize<'de>>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: kube::Result<T>, code: u16, reason: &str) -> String {
    match result {
        Err(kube::Error::Api(status)) => {
            assert_eq!((status.code, status.reason.as_str()), (code, reason), "{}", status.message);
            status.message.clone()
        }
        other => panic!("expected {code} {reason}, got {other:?}"),
    }
}

/// A cluster with Widgets.
async fn with_widgets() -> (Cluster, Client, Api<Widget>) {
    let cluster = Cluster::new();
    let client = client(&cluster);
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut definition = Widget::crd();
    for version in &mut definition.spec.versions {
        version.subresources = None;
    }
    definitions.create(&PostParams::default(), &definition).await.unwrap();
    let widgets = Api::default_namespaced(client.clone());
    (cluster, client, widgets)
}

fn widget(name: &str, size: u32) -> Widget {
    Widget::new(name, WidgetSpec { size, color: None })
}

#[tokio::test(start_paused = true)]
async fn an_object_lives_and_dies() {
    let cluster = Cluster::new();
    let maps: Api<ConfigMap> = Api::default_namespaced(client(&cluster));
    let map: ConfigMap = typed(json!({ "metadata": { "name": "m" }, "data": { "a": "1" } }));
    let created = maps.create(&PostParams::default(), &map).await.unwrap();
    assert!(created.uid().is_some() && created.resource_version().is_some());
    assert_eq!(created.creation_timestamp().unwrap().0.to_string(), "2026-01-01T00:00:00Z");

    let message = refused(maps.create(&PostParams::default(), &map).await, 409, "AlreadyExists");
    assert_eq!(message, "configmaps \"m\" already exists");

    let mut changed = created.clone();
    changed.data.get_or_insert_default().insert("b".to_owned(), "2".to_owned());
    let changed = maps.replace("m", &PostParams::default(), &changed).await.unwrap();
    assert!(changed.resource_version() > created.resource_version());
    let message = refused(maps.replace("m", &PostParams::default(), &created).await, 409, "Conflict");
    assert!(message.contains("the object has been modified"), "{message}");

    let same = maps.replace("m", &PostParams::default(), &changed).await.unwrap();
    assert_eq!(same.resource_version(), changed.resource_version(), "nothing changed");

    assert!(maps.delete("m", &DeleteParams::default()).await.unwrap().is_right());
    let message = refused(maps.get("m").await, 404, "NotFound");
    assert_eq!(message, "configmaps \"m\" not found");
    assert!(maps.get_opt("m").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn names_are_generated_from_the_seed() {
    let name = |seed| async move {
        let cluster = Cluster::builder().seed(seed).build();
        let maps: Api<ConfigMap> = Api::default_namespaced(client(&cluster));
        let map = ConfigMap {
            metadata: ObjectMeta { generate_name: Some("m-".to_owned()), ..ObjectMeta::default() },
            ..ConfigMap::default()
        };
        let created = maps.create(&PostParams::default(), &map).await.unwrap();
        (created.name_any(), created.uid().unwrap())
    };
    let (first, again, other) = (name(1).await, name(1).await, name(2).await);
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert!(first.0.starts_with("m-") && first.0.len() == 7, "{}", first.0);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_must_exist_and_takes_its_content_with_it() {
    let cluster = Cluster::new();
    let client = client(&cluster);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "n");
    let map: ConfigMap =
        typed(json!({ "metadata": { "name": "m", "finalizers": ["example.org/keep"] }, "data": { "a": "1" } }));
    let message = refused(maps.create(&PostParams::default(), &map).await, 404, "NotFound");
    assert_eq!(message, "namespaces \"n\" not found");

    let namespaces: Api<Namespace> = Api::all(client);
    let namespace: Namespace = typed(json!({ "metadata": { "name": "n" } }));
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();

    namespaces.delete("n", &DeleteParams::default()).await.unwrap();
    assert_eq!(namespaces.get("n").await.unwrap().status.unwrap().phase.unwrap(), "Terminating");
    let other: ConfigMap = typed(json!({ "metadata": { "name": "other" } }));
    let message = refused(maps.create(&PostParams::default(), &other).await, 403, "Forbidden");
    assert!(message.contains("because it is being terminated"), "{message}");

    assert!(maps.get("m").await.unwrap().metadata.deletion_timestamp.is_some());
    let patch = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    maps.patch("m", &PatchParams::default(), &patch).await.unwrap();
    assert!(namespaces.get_opt("n").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn namespaces_may_come_by_themselves() {
    let cluster = Cluster::builder().auto_namespaces().build();
    let mut object = pod("p");
    object["metadata"]["namespace"] = "new".into();
    cluster.create(object).unwrap();
    assert!(cluster.get("namespaces", "", "new").is_some());
}

#[tokio::test(start_paused = true)]
async fn finalizers_are_waited_for() {
    let (_, _, widgets) = with_widgets().await;
    let mut kept = widget("w", 1);
    kept.metadata.finalizers = Some(vec!["example.org/a".to_owned(), "example.org/b".to_owned()]);
    widgets.create(&PostParams::default(), &kept).await.unwrap();

    let pending = widgets.delete("w", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert!(pending.metadata.deletion_timestamp.is_some());
    assert_eq!(pending.metadata.generation, Some(2));
    let again = widgets.delete("w", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert_eq!(again.resource_version(), pending.resource_version(), "it was marked already");

    let add =
        Patch::Merge(json!({ "metadata": { "finalizers": ["example.org/a", "example.org/b", "example.org/c"] } }));
    let message = refused(widgets.patch("w", &PatchParams::default(), &add).await, 422, "Invalid");
    assert!(message.contains("no new finalizers can be added if the object is being deleted"), "{message}");

    let drop_one = Patch::Merge(json!({ "metadata": { "finalizers": ["example.org/b"] } }));
    widgets.patch("w", &PatchParams::default(), &drop_one).await.unwrap();
    let drop_all = Patch::Merge(json!({ "metadata": { "finalizers": [] } }));
    let last = widgets.patch("w", &PatchParams::default(), &drop_all).await.unwrap();
    assert!(last.finalizers().is_empty());
    assert!(widgets.get_opt("w").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn deletion_heeds_preconditions() {
    let (_, _, widgets) = with_widgets().await;
    let created = widgets.create(&PostParams::default(), &widget("w", 1)).await.unwrap();
    let with = |uid: Option<String>, resource_version: Option<String>| DeleteParams {
        preconditions: Some(Preconditions { uid, resource_version }),
        ..DeleteParams::default()
    };
    let message = refused(widgets.delete("w", &with(Some("other".to_owned()), None)).await, 409, "Conflict");
    assert!(message.contains("the UID in the precondition (other)"), "{message}");
    refused(widgets.delete("w", &with(None, Some("1".to_owned()))).await, 409, "Conflict");
    let good = with(created.uid(), created.resource_version());
    assert!(widgets.delete("w", &good).await.unwrap().is_right());
}

#[tokio::test(start_paused = true)]
async fn a_pod_on_a_node_waits_for_its_kubelet() {
    let cluster = Cluster::new();
    let pods: Api<Pod> = Api::default_namespaced(client(&cluster));
    pods.create(&PostParams::default(), &typed(pod_on("n1", "p"))).await.unwrap();
    let pending = pods.delete("p", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert_eq!(pending.metadata.deletion_grace_period_seconds, Some(30));
    assert_eq!(pending.metadata.deletion_timestamp.unwrap().0.to_string(), "2026-01-01T00:00:30Z");

    let shorter = pods.delete("p", &DeleteParams::default().grace_period(10)).await.unwrap().left().unwrap();
    assert_eq!(shorter.metadata.deletion_timestamp.unwrap().0.to_string(), "2026-01-01T00:00:10Z");
    let longer = pods.delete("p", &DeleteParams::default().grace_period(60)).await.unwrap().left().unwrap();
    assert_eq!(longer.metadata.deletion_grace_period_seconds, Some(10));

    pods.delete("p", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert!(pods.get_opt("p").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn an_unscheduled_or_ended_pod_goes_at_once() {
    let cluster = Cluster::new();
    let pods: Api<Pod> = Api::default_namespaced(client(&cluster));
    cluster.create(pod("unscheduled")).unwrap();
    let mut ended = pod_on("n1", "ended");
    ended["status"] = json!({ "phase": "Succeeded" });
    cluster.create(ended).unwrap();
    for name in ["unscheduled", "ended"] {
        pods.delete(name, &DeleteParams::default()).await.unwrap();
        assert!(pods.get_opt(name).await.unwrap().is_none(), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_with_a_finalizer_outlives_its_kubelets_word() {
    let cluster = Cluster::new();
    let mut kept = pod_on("n1", "p");
    kept["metadata"]["finalizers"] = json!(["kuryr.openstack.org/pod-finalizer"]);
    cluster.create(kept).unwrap();
    assert!(!cluster.delete("pods", "default", "p").unwrap());
    // Without the finalizer it still has its grace period.
    assert!(!cluster.delete_now("pods", "default", "p").unwrap());
    let pod = cluster.get("pods", "default", "p").unwrap();
    assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 0);
    cluster.patch("pods", "default", "p", &json!({ "metadata": { "finalizers": null } })).unwrap();
    assert!(cluster.get("pods", "default", "p").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_bound_once_and_evicted() {
    let cluster = Cluster::new();
    let client = client(&cluster);
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    cluster.create(pod("p")).unwrap();
    let bind = |node: &str| {
        let binding = json!({ "apiVersion": "v1", "kind": "Binding", "target": { "kind": "Node", "name": node } });
        http::Request::post("/api/v1/namespaces/default/pods/p/binding").body(binding.to_string().into_bytes()).unwrap()
    };
    client.request::<Value>(bind("n1")).await.unwrap();
    let message = refused(client.request::<Value>(bind("n2")).await, 409, "Conflict");
    assert!(message.contains("already assigned to node \"n1\""), "{message}");
    let bound = pods.list(&ListParams::default().fields("spec.nodeName=n1")).await.unwrap();
    assert_eq!(bound.items.len(), 1);

    pods.evict("p", &EvictParams::default()).await.unwrap();
    assert!(pods.get("p").await.unwrap().metadata.deletion_timestamp.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_spec_of_a_pod_is_fixed() {
    let cluster = Cluster::new();
    let pods: Api<Pod> = Api::default_namespaced(client(&cluster));
    cluster.create(pod_on("n1", "p")).unwrap();
    let patch = |patch: Value| {
        let pods = pods.clone();
        async move { pods.patch("p", &PatchParams::default(), &Patch::Merge(patch)).await }
    };
    let message = refused(patch(json!({ "spec": { "nodeName": "n2" } })).await, 422, "Invalid");
    assert!(message.contains("pod updates may not change fields other than"), "{message}");
    patch(json!({ "metadata": { "annotations": { "a": "b" } } })).await.unwrap();
    // `status` has a door of its own.
    let same = patch(json!({ "status": { "phase": "Running" } })).await.unwrap();
    assert_eq!(same.status.unwrap().phase.unwrap(), "Pending");
    let status =
        Patch::Merge(json!({ "status": { "phase": "Running", "podIP": "10.0.0.1" }, "spec": { "nodeName": "n2" } }));
    let running = pods.patch_status("p", &PatchParams::default(), &status).await.unwrap();
    assert_eq!(running.status.unwrap().phase.unwrap(), "Running");
    assert_eq!(running.spec.unwrap().node_name.unwrap(), "n1");
    assert_eq!(running.metadata.generation, Some(1));
}

#[tokio::test(start_paused = true)]
async fn dependents_go_with_their_last_owner() {
    let (cluster, _, widgets) = with_widgets().await;
    let owners = [cluster.create(pod("one")).unwrap(), cluster.create(pod("two")).unwrap()];
    let owned = |name: &str, owners: &[Value], finalizers: &[&str]| {
        let references: Vec<_> = owners
            .iter()
            .map(|owner| {
                let metadata = &owner["metadata"];
                json!({ "apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"] })
            })
            .collect();
        json!({
            "apiVersion": "example.org/v1", "kind": "Widget", "spec": { "size": 1 },
            "metadata": { "name": name, "ownerReferences": references, "finalizers": finalizers },
        })
    };
    cluster.create(owned("of-one", &owners[..1], &[])).unwrap();
    cluster.create(owned("of-both", &owners, &[])).unwrap();
    cluster.create(owned("kept", &owners[..1], &["example.org/keep"])).unwrap();

    assert!(cluster.delete("pods", "default", "one").unwrap());
    assert!(widgets.get_opt("of-one").await.unwrap().is_none());
    assert_eq!(widgets.get("of-both").await.unwrap().owner_references().len(), 1);
    assert!(widgets.get("kept").await.unwrap().metadata.deletion_timestamp.is_some());

    // A successor of the same name is another object.
    let successor = cluster.create(pod("one")).unwrap();
    cluster.create(owned("late", &owners[..1], &[])).unwrap();
    assert!(widgets.get_opt("late").await.unwrap().is_none(), "its owner was gone before it came");
    cluster.create(owned("heir", &[successor], &[])).unwrap();
    assert!(widgets.get_opt("heir").await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn garbage_may_take_its_time() {
    let cluster = Cluster::builder().collect_after(Duration::from_secs(5)).build();
    let owner = cluster.create(pod("p")).unwrap();
    let reference = json!({ "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": owner["metadata"]["uid"] });
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "m", "ownerReferences": [reference] },
    });
    cluster.create(map).unwrap();
    cluster.delete("pods", "default", "p").unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(cluster.get("configmaps", "default", "m").is_some());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(cluster.get("configmaps", "default", "m").is_none());
}

#[tokio::test(start_paused = true)]
async fn dependents_may_go_first_or_be_left_behind() {
    let (cluster, client, widgets) = with_widgets().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    for (policy, outlives) in [(DeleteParams::foreground(), false), (DeleteParams::orphan(), true)] {
        let owner = widgets.create(&PostParams::default(), &widget("w", 1)).await.unwrap();
        let reference = json!({
            "apiVersion": "example.org/v1", "kind": "Widget", "name": "w", "uid": owner.uid(), "blockOwnerDeletion": true,
        });
        let dependent = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "m", "ownerReferences": [reference], "finalizers": ["example.org/keep"] },
        });
        cluster.create(dependent).unwrap();
        widgets.delete("w", &policy).await.unwrap();
        let map = maps.get("m").await.unwrap();
        assert_eq!(widgets.get_opt("w").await.unwrap().is_some(), !outlives, "waits for its dependent");
        assert_eq!(map.metadata.deletion_timestamp.is_none(), outlives);
        cluster.patch("configmaps", "default", "m", &json!({ "metadata": { "finalizers": null } })).unwrap();
        assert!(widgets.get_opt("w").await.unwrap().is_none());
        assert_eq!(maps.get_opt("m").await.unwrap().is_some(), outlives);
    }
}

#[tokio::test(start_paused = true)]
async fn a_definition_makes_its_kind_served() {
    let (cluster, client, widgets) = with_widgets().await;
    let message = refused(
        client
            .request::<Value>(
                http::Request::post("/apis/example.org/v1/namespaces/default/widgets")
                    .body(json!({ "apiVersion": "example.org/v1", "kind": "Widget", "metadata": { "name": "w" }, "spec": {} }).to_string().into_bytes())
                    .unwrap(),
            )
            .await,
        422,
        "Invalid",
    );
    assert_eq!(message, "Widget.example.org \"w\" is invalid: spec.size: Required value");

    let created = cluster
        .create(json!({
            "apiVersion": "example.org/v1", "kind": "Widget", "metadata": { "name": "w" },
            "spec": { "size": 1, "colour": "blue" },
        }))
        .unwrap();
    assert_eq!(created["spec"], json!({ "size": 1 }), "unknown fields are pruned");

    // Without the subresource, status is written as any other field and counts as a generation.
    let patch = Patch::Merge(json!({ "status": { "ready": true } }));
    let patched = widgets.patch("w", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.status.unwrap().ready, Some(true));
    assert_eq!(patched.metadata.generation, Some(2));
    refused(widgets.patch_status("w", &PatchParams::default(), &patch).await, 404, "NotFound");

    let definitions: Api<CustomResourceDefinition> = Api::all(client);
    definitions.delete("widgets.example.org", &DeleteParams::default()).await.unwrap();
    assert!(definitions.get_opt("widgets.example.org").await.unwrap().is_none());
    assert!(matches!(widgets.list(&ListParams::default()).await, Err(kube::Error::Api(status)) if status.code == 404));
}

#[tokio::test(start_paused = true)]
async fn patches_apply_as_the_api_server_applies_them() {
    let (cluster, _, widgets) = with_widgets().await;
    widgets.create(&PostParams::default(), &widget("w", 1)).await.unwrap();
    let json_patch = |patch: Value| {
        let widgets = widgets.clone();
        let patch = Patch::Json::<()>(serde_json::from_value(patch).unwrap());
        async move { widgets.patch("w", &PatchParams::default(), &patch).await }
    };
    // `replace` of a member that is not there, as kuryr-kubernetes sends it.
    let patched = json_patch(json!([{ "op": "replace", "path": "/spec/color", "value": "red" }])).await.unwrap();
    assert_eq!(patched.spec.color.as_deref(), Some("red"));
    let missing_parent = json_patch(json!([{ "op": "replace", "path": "/status/ready", "value": true }])).await;
    refused(missing_parent, 422, "Invalid");
    refused(json_patch(json!([{ "op": "test", "path": "/spec/size", "value": 2 }])).await, 422, "Invalid");

    let stale = Patch::Merge(json!({ "metadata": { "resourceVersion": "1" }, "spec": { "size": 2 } }));
    refused(widgets.patch("w", &PatchParams::default(), &stale).await, 409, "Conflict");
    let removing = Patch::Merge(json!({ "spec": { "color": null } }));
    assert!(widgets.patch("w", &PatchParams::default(), &removing).await.unwrap().spec.color.is_none());

    let version = cluster.version();
    widgets.patch("w", &PatchParams::default(), &removing).await.unwrap();
    assert_eq!(cluster.version(), version, "nothing changed");
    refused(widgets.patch("absent", &PatchParams::default(), &removing).await, 404, "NotFound");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_changes_nothing() {
    let (cluster, _, widgets) = with_widgets().await;
    let version = cluster.version();
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    assert!(widgets.create(&dry, &widget("w", 1)).await.unwrap().uid().is_some());
    assert!(widgets.get_opt("w").await.unwrap().is_none());
    widgets.create(&PostParams::default(), &widget("w", 1)).await.unwrap();
    widgets.delete("w", &DeleteParams::default().dry_run()).await.unwrap();
    assert!(widgets.get_opt("w").await.unwrap().is_some());
    assert_eq!(cluster.version(), version + 1);
}

#[tokio::test(start_paused = true)]
async fn lists_are_paged_from_one_version() {
    let cluster = Cluster::new();
    let pods: Api<Pod> = Api::default_namespaced(client(&cluster));
    for name in ["a", "b", "c", "d", "e"] {
        cluster.create(pod(name)).unwrap();
    }
    let first = pods.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, Some(3));
    cluster.delete("pods", "default", "c").unwrap();
    cluster.create(pod("cc")).unwrap();
    let mut seen: Vec<_> = first.items.iter().map(ResourceExt::name_any).collect();
    let mut next = first.metadata.continue_;
    while let Some(token) = next.filter(|token| !token.is_empty()) {
        let page = pods.list(&ListParams::default().limit(2).continue_token(&token)).await.unwrap();
        seen.extend(page.items.iter().map(ResourceExt::name_any));
        next = page.metadata.continue_;
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);

    let first = pods.list(&ListParams::default().limit(2)).await.unwrap();
    cluster.create(pod("z")).unwrap();
    cluster.compact();
    let token = first.metadata.continue_.unwrap();
    refused(pods.list(&ListParams::default().limit(2).continue_token(&token)).await, 410, "Expired");
}

#[tokio::test(start_paused = true)]
async fn selectors_choose() {
    let cluster = Cluster::new();
    let pods: Api<Pod> = Api::all(client(&cluster));
    cluster.create(pod_on("n1", "a")).unwrap();
    cluster.create(pod_on("n2", "b")).unwrap();
    let names = |params: ListParams| {
        let pods = pods.clone();
        async move { pods.list(&params).await.unwrap().items.iter().map(ResourceExt::name_any).collect::<Vec<_>>() }
    };
    assert_eq!(names(ListParams::default().labels("app in (b,c)")).await, ["b"]);
    assert_eq!(names(ListParams::default().fields("spec.nodeName=n1")).await, ["a"]);
    assert_eq!(names(ListParams::default().fields("metadata.namespace=other")).await, [""; 0]);
    refused(pods.list(&ListParams::default().fields("spec.unknown=1")).await, 400, "BadRequest");
}

#[tokio::test(start_paused = true)]
async fn a_watch_shows_what_happens_from_a_version_on() {
    let cluster = Cluster::new();
    let pods: Api<Pod> = Api::all(client(&cluster));
    cluster.create(pod("before")).unwrap();
    let version = cluster.version().to_string();
    let params = WatchParams::default().labels("app=a").timeout(10);
    let events = pods.watch(&params, &version).await.unwrap();
    cluster.create(pod("a")).unwrap();
    cluster.create(pod("b")).unwrap();
    let label = |to: &str| json!({ "metadata": { "labels": { "app": to } } });
    cluster.patch("pods", "default", "b", &label("a")).unwrap();
    cluster.patch("pods", "default", "b", &json!({ "metadata": { "annotations": { "x": "y" } } })).unwrap();
    cluster.patch("pods", "default", "b", &label("c")).unwrap();
    cluster.patch("pods", "default", "b", &label("d")).unwrap();
    cluster.delete("pods", "default", "a").unwrap();
    // The clock jumps to the end of the watch when nothing else is left to do.
    let seen: Vec<_> = events
        .map_ok(|event| match event {
            WatchEvent::Added(pod) => format!("+{}", pod.name_any()),
            WatchEvent::Modified(pod) => format!("~{}", pod.name_any()),
            WatchEvent::Deleted(pod) => format!("-{}", pod.name_any()),
            other => format!("{other:?}"),
        })
        .try_collect()
        .await
        .unwrap();
    // `~a` is the mark of its deletion.
    assert_eq!(seen, ["+a", "+b", "~b", "-b", "~a", "-a"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_a_forgotten_version_is_told_so() {
    let cluster = Cluster::builder().history(3).build();
    let pods: Api<Pod> = Api::all(client(&cluster));
    let old = cluster.version().to_string();
    for name in ["a", "b", "c", "d"] {
        cluster.create(pod(name)).unwrap();
    }
    let events: Vec<_> = pods.watch(&WatchParams::default(), &old).await.unwrap().try_collect().await.unwrap();
    assert!(matches!(&events[..], [WatchEvent::Error(status)] if status.code == 410 && status.reason == "Expired"));
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_every_minute() {
    let cluster = Cluster::new();
    let pods: Api<Pod> = Api::all(client(&cluster));
    let version = cluster.version().to_string();
    let params = WatchParams::default().timeout(150);
    let events = pods.watch(&params, &version).await.unwrap();
    cluster.create(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "m" } })).unwrap();
    let seen: Vec<_> = events.try_collect().await.unwrap();
    assert_eq!(seen.len(), 2);
    for event in &seen {
        assert!(
            matches!(event, WatchEvent::Bookmark(mark) if mark.metadata.resource_version == cluster.version().to_string())
        );
    }
}

/// Feeds a reflector until its store holds these names.
async fn reflects(
    mut stream: impl futures::Stream<Item = watcher::Result<watcher::Event<Pod>>> + Unpin,
    store: &reflector::Store<Pod>,
    names: &[&str],
) {
    let held = || store.state().iter().map(|pod| pod.name_any()).collect::<std::collections::BTreeSet<_>>();
    let wanted = names.iter().map(|name| (*name).to_owned()).collect();
    while held() != wanted {
        // Errors are retried by the watcher.
        let _ = tokio::time::timeout(Duration::from_secs(3600), stream.next()).await.expect("within an hour");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reflector_keeps_up_whatever_happens_to_its_watch() {
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let cluster = Cluster::new();
        let pods: Api<Pod> = Api::all(client(&cluster));
        cluster.create(pod("a")).unwrap();
        let (store, writer) = reflector::store();
        let stream = watcher(pods, config).default_backoff().reflect(writer);
        let mut stream = std::pin::pin!(stream);
        reflects(&mut stream, &store, &["a"]).await;

        cluster.create(pod("b")).unwrap();
        reflects(&mut stream, &store, &["a", "b"]).await;

        cluster.cut_watches();
        cluster.delete("pods", "default", "a").unwrap();
        cluster.create(pod("c")).unwrap();
        reflects(&mut stream, &store, &["b", "c"]).await;

        cluster.end_watches();
        cluster.create(pod("d")).unwrap();
        reflects(&mut stream, &store, &["b", "c", "d"]).await;

        // What it missed is forgotten: it lists anew.
        cluster.cut_watches();
        cluster.delete("pods", "default", "b").unwrap();
        cluster.compact();
        cluster.create(pod("e")).unwrap();
        reflects(&mut stream, &store, &["c", "d", "e"]).await;

        // A fault on opening, and one right after the first event.
        cluster.faults().script(Rule::on(http::Method::GET, "/api/v1/pods").times(3).status(503));
        cluster.faults().script(Rule::on(http::Method::GET, "/api/v1/pods").times(1).status(410));
        cluster.faults().script(Rule::on(http::Method::GET, "/api/v1/pods").times(1).lose(Lose::AfterEffect));
        cluster.end_watches();
        cluster.create(pod("f")).unwrap();
        cluster.create(pod("g")).unwrap();
        reflects(&mut stream, &store, &["c", "d", "e", "f", "g"]).await;
        assert_eq!(cluster.faults().made(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn answers_get_lost_before_and_after_the_effect() {
    let (cluster, _, widgets) = with_widgets().await;
    cluster.log().clear();
    let path = "/apis/example.org/v1/namespaces/default/widgets";
    for (lose, exists) in [(Lose::BeforeEffect, false), (Lose::AfterEffect, true)] {
        cluster.faults().script(Rule::on(http::Method::POST, path).times(1).lose(lose));
        let result = widgets.create(&PostParams::default(), &widget("w", 1)).await;
        assert!(matches!(result, Err(kube::Error::Service(_))), "{result:?}");
        assert_eq!(cluster.get("widgets.example.org", "default", "w").is_some(), exists);
    }
    cluster.faults().script(Rule::on(http::Method::POST, path).times(1).status(429));
    refused(widgets.create(&PostParams::default(), &widget("x", 1)).await, 429, "TooManyRequests");
    assert_eq!(cluster.log().count("create", "widgets.example.org"), 3);
    assert_eq!(cluster.log().writes(), 3);
    let statuses: Vec<_> = cluster.log().entries().iter().map(|entry| entry.status).collect();
    assert_eq!(statuses, [None, None, Some(429)]);
}

#[tokio::test(start_paused = true)]
async fn events_are_one_thing_in_two_groups() {
    let cluster = Cluster::new();
    let client = client(&cluster);
    let events: Api<k8s_openapi::api::events::v1::Event> = Api::default_namespaced(client.clone());
    let event = || {
        typed(json!({
            "metadata": { "name": "e", "namespace": "default" },
            "regarding": { "kind": "Pod", "name": "p", "namespace": "default" },
            "reason": "R", "note": "n", "type": "Warning", "action": "A", "eventTime": "2026-01-01T00:00:00.000000Z",
            "reportingController": "kuryr", "reportingInstance": "kuryr-0",
        }))
    };
    events.create(&PostParams::default(), &event()).await.unwrap();
    let core: Api<Event> = Api::default_namespaced(client);
    let found = core.list(&ListParams::default().fields("involvedObject.name=p")).await.unwrap();
    assert_eq!(found.items[0].message.as_deref(), Some("n"));
    let mut incomplete: k8s_openapi::api::events::v1::Event = event();
    incomplete.metadata.name = Some("f".to_owned());
    incomplete.action = None;
    let message = refused(events.create(&PostParams::default(), &incomplete).await, 422, "Invalid");
    assert!(message.contains("action: Required value"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn metadata_alone_can_be_had() {
    let cluster = Cluster::new();
    let nodes: Api<Node> = Api::all(client(&cluster));
    let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    cluster
        .create(json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n1", "labels": labels } }))
        .unwrap();
    let one: PartialObjectMeta<Node> = nodes.get_metadata("n1").await.unwrap();
    assert_eq!(one.labels()["a"], "b");
    let all = nodes.list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(all.items.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn appliers_own_what_they_apply() {
    let (cluster, _, widgets) = with_widgets().await;
    let apply = |manager: &'static str, force: bool, spec: Value| {
        let widgets = widgets.clone();
        let applied =
            json!({ "apiVersion": "example.org/v1", "kind": "Widget", "metadata": { "name": "w" }, "spec": spec });
        let params = PatchParams { force, ..PatchParams::apply(manager) };
        async move { widgets.patch("w", &params, &Patch::Apply(applied)).await }
    };
    // Created if it is not there.
    let created = apply("one", false, json!({ "size": 1, "color": "red" })).await.unwrap();
    assert_eq!(created.metadata.generation, Some(1));
    let version = cluster.version();
    apply("one", false, json!({ "size": 1, "color": "red" })).await.unwrap();
    assert_eq!(cluster.version(), version, "nothing changed");

    let message = refused(apply("two", false, json!({ "size": 2 })).await, 409, "Conflict");
    assert_eq!(message, "Apply failed with 1 conflict: conflict with \"one\": .spec.size");
    let taken = apply("two", true, json!({ "size": 2 })).await.unwrap();
    assert_eq!((taken.spec.size, taken.spec.color.as_deref()), (2, Some("red")));

    // What it drops goes; what it lost, or shares, stays.
    apply("two", false, json!({ "size": 2, "color": "red" })).await.unwrap();
    let dropped = apply("one", false, json!({ "size": 2 })).await.unwrap();
    assert_eq!(dropped.spec.color.as_deref(), Some("red"));
    let dropped = apply("two", false, json!({ "size": 2 })).await.unwrap();
    assert_eq!(dropped.spec.color, None);

    // An update takes ownership as well.
    let patch = Patch::Merge(json!({ "spec": { "size": 3 } }));
    let editor = PatchParams { field_manager: Some("editor".to_owned()), ..PatchParams::default() };
    widgets.patch("w", &editor, &patch).await.unwrap();
    let message = refused(apply("one", false, json!({ "size": 2 })).await, 409, "Conflict");
    assert_eq!(message, "Apply failed with 1 conflict: conflict with \"editor\" using example.org/v1: .spec.size");
}

#[tokio::test(start_paused = true)]
async fn strategic_patches_merge_lists_by_key() {
    let cluster = Cluster::new();
    let pods: Api<Pod> = Api::default_namespaced(client(&cluster));
    let mut object = pod_on("n1", "p");
    object["metadata"]["finalizers"] = json!(["example.org/a"]);
    cluster.create(object).unwrap();
    let patch = Patch::Strategic(json!({
        "metadata": { "finalizers": ["example.org/b"] },
        "spec": { "containers": [{ "name": "main", "image": "image:2" }] },
    }));
    let patched = pods.patch("p", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.finalizers(), ["example.org/b", "example.org/a"]);
    assert_eq!(patched.spec.unwrap().containers[0].image.as_deref(), Some("image:2"));
}
