//! What the logs say, and what they must not.

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use kuryr_openstack::CloudSettings;
use kuryr_openstack::network::NewPort;
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span;

use crate::script::*;

/// Everything anyone logs, at every level.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<String>>);

impl Visit for Everything {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        writeln!(self.0.lock().unwrap(), "{field}={value:?}").unwrap();
    }
}

impl tracing::Subscriber for Everything {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        attributes.record(&mut self.clone());
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn request_ids_are_logged_and_secrets_are_not() {
    let log = Everything::default();
    let guard = tracing::subscriber::set_default(log.clone());
    let refused = Step::Answer(
        401,
        vec![("x-openstack-request-id", "req-refused".to_owned())],
        json!({"error": {"code": 401, "title": "Unauthorized", "message": "no"}}).to_string(),
    );
    let good =
        Step::Answer(200, vec![("x-openstack-request-id", "req-good".to_owned())], r#"{"port":{"id":"p"}}"#.into());
    let script = Script::neutron([refused, Step::Lost, good]).keystone([Step::Lost, token("s3cret-token", TOKEN_LIFE)]);
    let cloud = script.cloud();
    cloud.network().port("p").await.unwrap();
    let create = Script::neutron([Step::Lost]).cloud().network().create_port(&NewPort::default()).await;
    drop(guard);
    let log = log.0.lock().unwrap().clone();
    assert!(log.contains("req-refused") && log.contains("req-good"), "{log}");
    let error = create.unwrap_err();
    assert!(log.contains(error.request_id().unwrap()), "a lost answer is logged with the id we sent: {log}");
    let shown = format!("{log} {error:?} {cloud:?} {:?}", CloudSettings { ..settings() });
    assert!(!shown.contains("s3cret") && !shown.contains("token-"), "{shown}");
}
