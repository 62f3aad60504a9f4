//! Health and metrics of the controller over HTTP, on the ports and paths of kuryr-kubernetes. The daemon has its own.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use kuryr_controller::Health;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::conf::daemon::ControllerPages;

/// Pages being served.
pub(crate) struct Served(TaskTracker);

impl Served {
    /// Waits for their end.
    pub(crate) async fn finish(self) {
        self.0.close();
        self.0.wait().await;
    }
}

/// Serves the controller's pages until `shutdown`.
///
/// # Errors
/// An address that cannot be listened on.
pub(crate) async fn controller(
    pages: ControllerPages,
    health: Health,
    registry: Registry,
    shutdown: &CancellationToken,
) -> Result<Served> {
    let tasks = TaskTracker::new();
    let pages = [
        (pages.health, health_page(health), "[health_server] port"),
        (pages.metrics, metrics_page(registry), "[prometheus_exporter] controller_exporter_port"),
    ];
    for (address, router, option) in pages {
        if let Some(address) = address {
            tasks.spawn(serve(listen(address, option).await?, router, shutdown.clone()));
        }
    }
    Ok(Served(tasks))
}

/// `/ready`: everything was seen once and Neutron has answered, so that this controller works or could take over at once.
/// `/alive`: the process answers. A cloud that is down is no reason for a restart, so neither asks it.
fn health_page(health: Health) -> Router {
    Router::new().route("/ready", get(ready)).route("/alive", get(|| async { "ok" })).with_state(health)
}

async fn ready(State(health): State<Health>) -> impl IntoResponse {
    if health.is_ready() {
        (StatusCode::OK, "ok".to_owned())
    } else {
        let reason = health.waits_for().unwrap_or_else(|| "the controller starts or ends".to_owned());
        (StatusCode::INTERNAL_SERVER_ERROR, reason)
    }
}

fn metrics_page(registry: Registry) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(Arc::new(registry))
}

async fn metrics(State(registry): State<Arc<Registry>>) -> impl IntoResponse {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}

async fn listen(address: SocketAddr, option: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on {address}; another process may use the port, then set {option} to another one or to 0"
        )
    })
}

async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    let server = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    // A client that keeps its connection open must not keep us from ending.
    let _ = within_grace(server.into_future(), shutdown).await;
}

async fn within_grace<T>(work: impl Future<Output = T>, shutdown: CancellationToken) -> Option<T> {
    let grace = async {
        shutdown.cancelled().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    tokio::select! {
        done = work => Some(done),
        () = grace => None,
    }
}
