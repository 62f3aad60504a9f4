//! The HTTP protocol of kuryr-kubernetes' plugin, for nodes whose plugin and daemon are not exchanged at the same moment.
//!
//! `POST /addNetwork` → 202 with the main interface's os-vif object; `POST /delNetwork` → 204. Failures: 400 (code 4),
//! 410 (code 3), 504 (code 11), 500 (anything else), with `{"code", "msg", "details"}`. The body carries the `CNI_*`
//! variables and, as `config_kuryr`, the network configuration.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{CniError, code};
use crate::protocol::Request;
use crate::requests::Node;
use crate::requests::turns::{Stop, StopSignal};

/// The two paths.
pub(crate) fn router(node: Node) -> Router {
    Router::new().route("/addNetwork", post(add)).route("/delNetwork", post(del)).with_state(node)
}

#[derive(Deserialize)]
struct Params {
    #[serde(rename = "CNI_CONTAINERID")]
    container_id: String,
    #[serde(rename = "CNI_IFNAME")]
    ifname: String,
    #[serde(rename = "CNI_NETNS", default)]
    netns: String,
    #[serde(rename = "CNI_ARGS")]
    args: String,
    config_kuryr: Value,
}

/// Gives the signal when the HTTP server drops the handler: the plugin has gone.
struct StopOnDrop(StopSignal);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop(Stop::Abandoned);
    }
}

async fn add(State(node): State<Node>, body: Bytes) -> Response {
    let signal = StopSignal::default();
    let watch = StopOnDrop(signal.clone());
    // A task of its own, so that the work can undo itself after the handler is dropped.
    let work = tokio::spawn(async move {
        let call = node.read(&request(&body)?)?;
        call.need_pod()?;
        node.add(&call, &signal).await
    });
    let outcome =
        work.await.unwrap_or_else(|error| Err(CniError::new(INTERNAL, "Error processing request").details(error)));
    drop(watch);
    match outcome {
        Ok(added) => json_response(StatusCode::ACCEPTED, json!(added.main)),
        Err(error) => failure(&error),
    }
}

async fn del(State(node): State<Node>, body: Bytes) -> Response {
    let work = tokio::spawn(async move {
        let call = node.read(&request(&body)?)?;
        node.del(&call).await
    });
    match work.await.unwrap_or_else(|error| Err(CniError::new(INTERNAL, "Error processing request").details(error))) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failure(&error),
    }
}

/// The code kuryr-kubernetes used for everything unexpected.
const INTERNAL: u32 = 999;

fn request(body: &[u8]) -> Result<Request, CniError> {
    let params: Params = serde_json::from_slice(body)
        .map_err(|error| CniError::new(code::ENVIRONMENT, "Required CNI params missing.").details(error))?;
    Ok(Request {
        version: crate::protocol::VERSION,
        command: String::new(),
        container_id: params.container_id,
        netns: params.netns,
        ifname: params.ifname,
        args: params.args,
        config: params.config_kuryr,
        repeated: false,
    })
}

fn failure(error: &CniError) -> Response {
    let status = match error.code {
        code::ENVIRONMENT => StatusCode::BAD_REQUEST,
        code::UNKNOWN_CONTAINER => StatusCode::GONE,
        code::TRY_LATER => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    // The old plugin expects all three members.
    json_response(status, json!({ "code": error.code, "msg": error.msg, "details": error.details }))
}

fn json_response(status: StatusCode, body: Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json"), (header::CONNECTION, "close")], body.to_string())
        .into_response()
}
