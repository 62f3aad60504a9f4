//! `/ready`, `/alive` and `/metrics`, on the ports kuryr-kubernetes used.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::requests::{Node, status};

/// `/ready`: can this node add pods (the answer of CNI STATUS), and is its plugin installed as it should be? `/alive`: does the daemon answer at all? What is wrong
/// with one pod, with Open vSwitch or with the API server is no reason to restart the daemon.
pub(crate) fn health(node: Node) -> Router {
    Router::new().route("/ready", get(ready)).route("/alive", get(|| async { "ok" })).with_state(node)
}

/// `/metrics` for Prometheus.
pub(crate) fn metrics(node: Node) -> Router {
    Router::new().route("/metrics", get(text)).with_state(node)
}

async fn ready(State(node): State<Node>) -> impl IntoResponse {
    match status(&node).await {
        Ok(()) => match node.installation.now() {
            None => (StatusCode::OK, "ok".to_owned()),
            Some(trouble) => (StatusCode::INTERNAL_SERVER_ERROR, trouble),
        },
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

async fn text(State(node): State<Node>) -> impl IntoResponse {
    let text = node.metrics.text(node.checkpoints.len(), node.running.len());
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}
