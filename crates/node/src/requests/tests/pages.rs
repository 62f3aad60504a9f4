//! The pages: the protocol of kuryr-kubernetes' plugin, health and metrics.

use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::plug::Readiness;

async fn ask(router: Router, method: &str, path: &str, body: &Value) -> (u16, String) {
    let request = HttpRequest::builder().method(method).uri(path).header("content-type", "application/json");
    let response = router.oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

async fn legacy(world: &World, path: &str, body: &Value) -> (u16, Value) {
    let (status, text) = ask(crate::legacy::router(world.node.clone()), "POST", path, body).await;
    (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
}

/// As the old plugin sends it.
fn params(world: &World) -> Value {
    json!({"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_NETNS": world.netns("netns-of-c1"), "CNI_IFNAME": "eth0",
        "CNI_PATH": "", "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=p;K8S_POD_UID=u",
        "config_kuryr": {"cniVersion": "0.3.1", "name": "kuryr", "type": "kuryr-cni", "kuryr_conf": "/etc/kuryr/kuryr.conf", "debug": true}})
}

#[tokio::test(start_paused = true)]
async fn the_old_plugin_gets_the_vif_and_204() {
    let world = World::new();
    world.port("p", "u", |_| {});
    let (status, vif) = legacy(&world, "/addNetwork", &params(&world)).await;
    assert_eq!((status, &vif["versioned_object.data"]["id"]), (202, &json!("port-of-u")));
    assert_eq!(vif["versioned_object.name"], "VIFOpenVSwitch");
    assert_eq!(world.files(), ["c1@eth0.json"]);
    for _ in 0..2 {
        assert_eq!(legacy(&world, "/delNetwork", &params(&world)).await, (204, Value::Null));
    }
    assert!(world.script.wired().is_empty());
}

#[tokio::test(start_paused = true)]
async fn its_failures_have_the_old_statuses() {
    let world = World::new();
    for path in ["/addNetwork", "/delNetwork"] {
        for missing in ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_ARGS", "config_kuryr"] {
            let mut params = params(&world);
            params.as_object_mut().unwrap().remove(missing);
            let (status, error) = legacy(&world, path, &params).await;
            assert_eq!((status, &error["code"]), (400, &json!(4)), "{path} without {missing}");
            assert!(error["details"].as_str().unwrap().contains(missing), "{error}");
        }
    }
    let (status, error) = legacy(&world, "/addNetwork", &params(&world)).await;
    assert_eq!((status, &error["code"]), (410, &json!(3)), "the pod does not exist");
    world.pod("p", "u");
    let (status, error) = legacy(&world, "/addNetwork", &params(&world)).await;
    assert_eq!((status, &error["code"]), (504, &json!(11)), "no KuryrPort");
    world.port("p", "u", |_| {});
    world.script.fail_plug(PlugError::Kernel { op: "add veth".into(), reason: "no".into() });
    let (status, error) = legacy(&world, "/addNetwork", &params(&world)).await;
    assert_eq!((status, &error["code"]), (500, &json!(101)));
    let old = crate::legacy::router(world.node.clone());
    assert_eq!(ask(old.clone(), "GET", "/addNetwork", &json!({})).await.0, 405);
    assert_eq!(ask(old, "POST", "/other", &json!({})).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn a_request_the_old_plugin_gives_up_is_undone() {
    let world = World::new();
    world.pod("p", "u");
    world.port("p", "u", inactive);
    let (router, params) = (crate::legacy::router(world.node.clone()), params(&world));
    let request = tokio::spawn(async move { ask(router, "POST", "/addNetwork", &params).await });
    world.settle().await;
    assert_eq!(world.script.wired().len(), 1);
    // What the HTTP server does when the connection closes.
    request.abort();
    while world.node.running.len() > 0 {
        world.settle().await;
    }
    assert!(world.script.wired().is_empty() && world.files().is_empty());
}

#[tokio::test(start_paused = true)]
async fn health_and_metrics_answer() {
    let world = World::new();
    let page = |path| {
        let router = crate::health::health(world.node.clone()).merge(crate::health::metrics(world.node.clone()));
        async move { ask(router, "GET", path, &Value::Null).await }
    };
    assert_eq!(page("/alive").await, (200, "ok".to_owned()));
    let (status, text) = page("/ready").await;
    assert!(status == 500 && text.contains("KuryrPorts"), "{text}");

    world.port("p", "u", |_| {});
    world.script.agent_says(Readiness::Ready);
    world.ask(&world.request("ADD", "c1", "p", "u")).await.unwrap();
    let (status, text) = page("/metrics").await;
    assert_eq!(status, 200);
    assert!(text.contains("kuryr_cni_attachments 1"), "{text}");
    assert!(text.contains(r#"kuryr_cni_request_duration_seconds_count{command="ADD",error="False"} 1"#), "{text}");
    assert!(text.contains(r#"kuryr_cni_add_phase_duration_seconds_count{phase="Plug"} 1"#), "{text}");
}
