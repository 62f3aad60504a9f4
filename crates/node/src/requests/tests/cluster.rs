//! With the fake Kubernetes API, which answers as the real one does: the watch in its good and bad hours.

use http::Method;
use kuryr_fake::faults::{Lose, Rule};
use kuryr_fake::kubernetes::Cluster;
use tokio_util::sync::CancellationToken;

use super::*;

const KURYRPORTS: &str = "/apis/openstack.org/v1/kuryrports";

/// A node whose daemon watches the cluster.
fn node(cluster: &Cluster) -> World {
    let client = Client::new(cluster.clone(), "default");
    let world = World::with(client.clone(), Arc::default(), TempDir::new().unwrap(), Script::new(), BOOT);
    let ports = world.node.ports.clone();
    tokio::spawn(async move { ports.follow(client, "", "n1", CancellationToken::new()).await });
    world
}

fn cluster() -> Cluster {
    let cluster = Cluster::builder().auto_namespaces().build();
    for definition in kuryr_api::crd::definitions() {
        cluster.create(serde_json::to_value(definition).unwrap()).unwrap();
    }
    cluster
}

/// A pod on this node; returns its UID.
fn pod(cluster: &Cluster, name: &str) -> String {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "ns", "name": name},
        "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "image:1"}]},
    });
    cluster.create(pod).unwrap()["metadata"]["uid"].as_str().unwrap().to_owned()
}

fn kuryrport(cluster: &Cluster, name: &str, uid: &str, node: &str, vifs: Value) {
    let port = json!({
        "apiVersion": "openstack.org/v1", "kind": "KuryrPort",
        "metadata": {"namespace": "ns", "name": name, "labels": {"kuryr.openstack.org/nodeName": node}},
        "spec": {"podUid": uid, "podNodeName": node, "podStatic": false}, "status": {"vifs": vifs},
    });
    cluster.create(port).unwrap();
}

fn vifs(port: &str, active: bool) -> Value {
    json!({"eth0": {"default": true, "vif": vif(port, active)}})
}

fn set_vifs(cluster: &Cluster, name: &str, vifs: Value) {
    cluster.patch("kuryrports.openstack.org", "ns", name, &json!({"status": {"vifs": vifs}})).unwrap();
}

#[tokio::test(start_paused = true)]
async fn from_nothing_to_active_without_a_moment_lost() {
    let cluster = cluster();
    let world = node(&cluster);
    let uid = pod(&cluster, "p");
    let (add, _) = world.begin(world.request("ADD", "c1", "p", &uid));
    world.settle().await;
    kuryrport(&cluster, "p", &uid, "n1", json!({}));
    world.settle().await;
    set_vifs(&cluster, "p", vifs("port", false));
    world.settle().await;
    assert_eq!(world.script.wired().len(), 1, "wired while Neutron works");
    let begun = Instant::now();
    set_vifs(&cluster, "p", vifs("port", true));
    add.await.unwrap().unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(
        world.ask(&Request { command: "STATUS".into(), ..world.request("", "x", "p", "") }).await,
        Ok(Value::Null)
    );
}

#[tokio::test(start_paused = true)]
async fn an_add_whose_port_is_known_asks_the_api_nothing() {
    let cluster = cluster();
    let world = node(&cluster);
    let uid = pod(&cluster, "p");
    kuryrport(&cluster, "p", &uid, "n1", vifs("port", true));
    world.node.ports.synced().await;
    world.settle().await;
    let before = cluster.log().entries().len();
    world.ask(&world.request("ADD", "c1", "p", &uid)).await.unwrap();
    world.ask(&world.request("DEL", "c1", "p", &uid)).await.unwrap();
    assert_eq!(cluster.log().entries().len(), before);
}

#[tokio::test(start_paused = true)]
async fn other_nodes_ports_are_not_seen() {
    let cluster = cluster();
    let world = node(&cluster);
    let uid = pod(&cluster, "p");
    kuryrport(&cluster, "p", &uid, "n2", vifs("port", true));
    let error = world.ask(&world.request("ADD", "c1", "p", &uid)).await.unwrap_err();
    assert!(error.msg.contains("no KuryrPort"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_happens_while_the_watch_is_cut_is_not_missed() {
    let disturbances: [fn(&Cluster); 4] = [
        |cluster| cluster.cut_watches(),
        |cluster| cluster.end_watches(),
        |cluster| {
            cluster.cut_watches();
            cluster.compact();
        },
        |cluster| {
            cluster.faults().script(Rule::on(Method::GET, KURYRPORTS).status(503).times(3));
            cluster.faults().script(Rule::on(Method::GET, KURYRPORTS).lose(Lose::AfterEffect).times(2));
            cluster.cut_watches();
        },
    ];
    for (n, disturb) in disturbances.into_iter().enumerate() {
        let cluster = cluster();
        let world = node(&cluster);
        let uid = pod(&cluster, "p");
        kuryrport(&cluster, "p", &uid, "n1", json!({}));
        kuryrport(&cluster, "gone", "u", "n1", json!({}));
        world.node.ports.synced().await;
        let (add, _) = world.begin(world.request("ADD", "c1", "p", &uid));
        world.settle().await;
        disturb(&cluster);
        set_vifs(&cluster, "p", vifs("port", true));
        cluster.delete("kuryrports.openstack.org", "ns", "gone").unwrap();
        if n == 2 {
            cluster.compact();
        }
        add.await.unwrap().unwrap_or_else(|error| panic!("disturbance {n}: {error}"));
        let mut gone = world.node.ports.subscribe(&key("gone"));
        let noticed = async {
            while gone.now().is_some() {
                gone.changed().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), noticed).await.unwrap_or_else(|_| panic!("disturbance {n}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_deleted_while_it_waits_ends_its_add_with_code_3() {
    let cluster = cluster();
    let world = node(&cluster);
    let uid = pod(&cluster, "p");
    kuryrport(&cluster, "p", &uid, "n1", vifs("port", false));
    let (add, _) = world.begin(world.request("ADD", "c1", "p", &uid));
    world.settle().await;
    cluster.delete_now("pods", "ns", "p").unwrap();
    cluster.delete("kuryrports.openstack.org", "ns", "p").unwrap();
    let error = add.await.unwrap().unwrap_err();
    assert_eq!(error.code, code::UNKNOWN_CONTAINER);
    assert!(world.script.wired().is_empty() && world.files().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_statefulsets_next_pod_waits_for_its_own_port() {
    let cluster = cluster();
    let world = node(&cluster);
    let old = pod(&cluster, "web-0");
    kuryrport(&cluster, "web-0", &old, "n1", vifs("old", true));
    world.node.ports.synced().await;
    cluster.delete_now("pods", "ns", "web-0").unwrap();
    let new = pod(&cluster, "web-0");
    let (add, _) = world.begin(world.request("ADD", "c2", "web-0", &new));
    world.settle().await;
    assert!(!add.is_finished());
    cluster.delete("kuryrports.openstack.org", "ns", "web-0").unwrap();
    world.settle().await;
    kuryrport(&cluster, "web-0", &new, "n1", vifs("new", true));
    add.await.unwrap().unwrap();
    assert_eq!(world.script.wired(), [("c2".into(), "new".into())]);
}

#[tokio::test(start_paused = true)]
async fn the_plugin_is_installed_while_the_daemon_serves_and_ready_tells() {
    let cluster = cluster();
    let client = Client::new(cluster.clone(), "default");
    let world = World::with(client.clone(), Arc::default(), TempDir::new().unwrap(), Script::new(), BOOT);
    let path = |name: &str| world.dir.path().join(name);
    std::fs::create_dir(path("net.d")).unwrap();
    std::fs::write(path("source"), "the plugin").unwrap();
    let settings = crate::install::Settings {
        plugin_source: path("source"),
        bin_dir: path("bin"),
        conf_dir: path("net.d"),
        withdraw_after: Some(Duration::from_secs(10)),
        remove_on_shutdown: false,
    };
    tokio::spawn(crate::install::keep_on(world.node.clone(), settings, CancellationToken::new()));
    let ready = async || {
        let request = HttpRequest::builder().uri("/ready").body(axum::body::Body::empty()).unwrap();
        let response = tower::ServiceExt::oneshot(crate::health::health(world.node.clone()), request).await.unwrap();
        response.status().as_u16()
    };
    let (ports, node) = (world.node.ports.clone(), "n1");
    tokio::spawn(async move { ports.follow(client, "", node, CancellationToken::new()).await });
    world.node.ports.synced().await;
    world.settle().await;
    assert!(!path("net.d/10-kuryr.conflist").exists(), "without a plugin");
    assert_eq!(ready().await, 500, "there is no folder for the plugin");
    std::fs::create_dir(path("bin")).unwrap();
    tokio::time::sleep(Duration::from_secs(16)).await;
    assert!(path("bin/kuryr-cni").exists() && path("net.d/10-kuryr.conflist").exists());
    assert_eq!(ready().await, 200);
}
