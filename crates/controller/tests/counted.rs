//! What is counted is what happened: metrics of a controller at work, read as Prometheus reads them.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod world;

use std::time::Duration;

use kuryr_fake::faults::{Lose, Rule};
use serde_json::json;
use world::{World, value};

#[tokio::test(start_paused = true)]
async fn a_pod_that_waits_and_a_cloud_that_fails_are_counted() {
    let world = World::new(3);
    let controller = world.start();
    let registry = &controller.metrics;
    world.cloud.set_quota("k8s", "port", 0);
    world.create_pod("a", "n1", json!({}));
    let waits = |world: &World| match world.ready("a") {
        Some((reason, _)) if reason == "QuotaExceeded" => Ok(()),
        other => Err(format!("{other:?}")),
    };
    world.until(Duration::from_secs(60), waits).await;
    world.pass(Duration::from_secs(70)).await;
    assert_eq!(value(registry, r#"kuryr_pods_waiting{reason="QuotaExceeded"}"#), Some(1.0));
    assert_eq!(value(registry, r#"kuryr_quota_free_count{resource="ports"}"#), Some(0.0));
    assert_eq!(value(registry, "kuryr_queue_depth"), Some(0.0));
    let quota = value(registry, r#"kuryr_reconcile_failures_total{class="quota"}"#).unwrap();
    let failed = value(registry, r#"kuryr_reconcile_duration_seconds_count{result="failed"}"#).unwrap();
    let refused =
        value(registry, r#"kuryr_cloud_call_duration_seconds_count{method="POST",route="/ports",status="4xx"}"#)
            .unwrap();
    assert!(quota >= 1.0 && quota == failed && quota == refused, "{quota} {failed} {refused}");

    world.cloud.faults().script(Rule::on(http::Method::POST, "*/v2.0/ports").lose(Lose::BeforeEffect).times(1));
    world.cloud.set_quota("k8s", "port", 100);
    let connected = |world: &World| match world.ready("a") {
        Some((reason, _)) if reason == "Connected" => Ok(()),
        other => Err(format!("{other:?}")),
    };
    world.until(Duration::from_secs(300), connected).await;
    world.pass(Duration::from_secs(70)).await;
    assert_eq!(value(registry, r#"kuryr_pods_waiting{reason="QuotaExceeded"}"#), Some(0.0));
    assert_eq!(value(registry, r#"kuryr_quota_free_count{resource="ports"}"#), Some(99.0));
    for (status, times) in [("lost", 1.0), ("2xx", 1.0)] {
        let series =
            format!(r#"kuryr_cloud_call_duration_seconds_count{{method="POST",route="/ports",status="{status}"}}"#);
        assert_eq!(value(registry, &series), Some(times), "{series}");
    }
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_port_nobody_has_is_found_and_its_deletion_counted() {
    let world = World::new(4);
    world.cloud.create(
        "ports",
        json!({
            "network_id": world.network.network, "device_owner": "compute:kuryr", "device_id": "nobody",
            "project_id": world.config.placement.project, "description": "pod default/x kuryr:cluster=c1",
            "tags": ["kuryr:cluster=c1"],
        }),
    );
    let controller = world.start();
    let registry = &controller.metrics;
    world.pass(Duration::from_secs(30)).await;
    assert_eq!(value(registry, "kuryr_left_over_ports"), Some(1.0));
    assert_eq!(value(registry, "kuryr_left_over_ports_deleted_total"), Some(0.0), "once is not enough");
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(value(registry, "kuryr_left_over_ports_deleted_total"), Some(1.0));
    assert_eq!(value(registry, "kuryr_left_over_ports"), Some(0.0));
    controller.stop().await;
}
