//! KuryrPorts in, wired network namespaces out: the daemon of one node.
//!
//! ```text
//!  kuryr-cni ──unix socket──► server ──► requests ──► wiring (plug, kernel, ovsdb)
//!                                          │  ▲
//!               checkpoint (what is wired) ┘  └ ports (KuryrPorts of this node, from a watch)
//! ```
//!
//! - [`plug`]: a port and a namespace in, a wired interface out; on [`kernel`] and [`ovsdb`].
//! - `requests`: ADD, DEL, CHECK, GC, STATUS.
//! - `server`, `legacy`: how the plugin reaches them. `protocol`: what it says.
//! - [`install`]: the plugin and its CNI configuration on the node.
//! - [`leave`]: when Kuryr is uninstalled.
//! - `checkpoint`, `leftovers`: what survives a restart, and what must not survive its container.
//! - `health`, `metrics`: what operators see.

mod checkpoint;
mod config;
pub mod error;
mod health;
pub mod install;
pub mod kernel;
pub mod leave;
mod leftovers;
mod legacy;
pub mod metrics;
pub mod ovsdb;
pub mod plug;
mod pods;
mod ports;
mod protocol;
mod requests;
mod result;
mod server;
mod told;
mod wiring;

use std::net::SocketAddr;

use axum::Router;
use kube::Client;
use tokio_util::sync::CancellationToken;

pub use config::Config;

use checkpoint::Checkpoints;
use plug::Plugger;
use requests::Node;
use wiring::Wiring;

/// Why the daemon could not start. The messages say all; no field is a `source`, which would be told once more.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory is not usable.
    #[error("the state directory {} cannot be used: {why}; it must be a writable directory of the host", path.display())]
    State {
        /// The directory.
        path: std::path::PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// The plugin's socket cannot be opened.
    #[error("the socket {} cannot be opened: {why}; its directory must be writable and shared with the host", path.display())]
    Socket {
        /// Its path.
        path: std::path::PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// An HTTP address cannot be listened on.
    #[error("cannot listen on {address} for {what}: {why}; another process may use it, see the option {option}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What is served there.
        what: &'static str,
        /// What to change.
        option: &'static str,
        /// Why.
        why: std::io::Error,
    },
}

/// Runs the daemon until `shutdown`. Requests at work then end within milliseconds: waiting ones with "try again later",
/// wiring ones when they are done.
///
/// The socket is open when this begins to serve, before the first list of KuryrPorts has arrived: ADD waits for its port
/// anyway, DEL needs none, STATUS says how it is.
///
/// # Errors
/// Nothing could be started; see [`StartError`].
pub async fn run(config: Config, client: Client, shutdown: CancellationToken) -> Result<(), StartError> {
    // Whoever drops this future ends everything it began.
    let shutdown = shutdown.child_token();
    let _end = shutdown.clone().drop_guard();
    let state = |why| StartError::State { path: config.state_dir.clone(), why };
    let boot_id = checkpoint::boot_id().map_err(state)?;
    let checkpoints = Checkpoints::load(&config.state_dir, &boot_id).map_err(state)?;
    let wiring = Wiring::Real(Plugger::new(config.plug.clone()));
    let health = listen(config.health_address, "health", "[cni_health_server] port").await?;
    let metrics = listen(config.metrics_address, "metrics", "[prometheus_exporter] cni_exporter_port").await?;
    let legacy = listen(config.legacy_address, "the legacy plugin", "[cni_daemon] bind_address").await?;
    // Last: from here on plugins come to us, so nothing may fail any more.
    let listener =
        server::bind(&config.socket).map_err(|why| StartError::Socket { path: config.socket.clone(), why })?;
    tracing::info!(node = %config.node_name, socket = %config.socket.display(), attachments = checkpoints.len(), "kuryr-daemon serves");
    let node = Node::new(config, client.clone(), wiring, checkpoints);
    let config = &node.config;
    let pages = [
        (health, health::health(node.clone())),
        (metrics, health::metrics(node.clone())),
        (legacy, legacy::router(node.clone())),
    ];
    let tasks = tokio_util::task::TaskTracker::new();
    for (listener, router) in pages {
        if let Some(listener) = listener {
            tasks.spawn(serve(listener, router, shutdown.clone()));
        }
    }
    let ports = node.ports.clone();
    let (name, address, stop) = (config.node_name.clone(), config.api_server.clone(), shutdown.clone());
    tasks.spawn(async move { ports.follow(client, &address, &name, stop).await });
    tasks.spawn(leftovers::sweep_forever(node.clone(), shutdown.clone()));
    if let Some(settings) = config.install.clone() {
        tasks.spawn(install::keep_on(node.clone(), settings, shutdown.clone()));
    }
    server::serve(listener, node, shutdown).await;
    tasks.close();
    tasks.wait().await;
    Ok(())
}

/// Listens where something is to be served; `None` where that is off.
async fn listen(
    address: Option<SocketAddr>,
    what: &'static str,
    option: &'static str,
) -> Result<Option<tokio::net::TcpListener>, StartError> {
    let Some(address) = address else { return Ok(None) };
    let listener = tokio::net::TcpListener::bind(address).await;
    listener.map(Some).map_err(|why| StartError::Listen { address, what, option, why })
}

async fn serve(listener: tokio::net::TcpListener, router: Router, shutdown: CancellationToken) {
    let server = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    // A client that keeps its connection open must not keep the daemon from ending.
    let grace = async {
        shutdown.cancelled().await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    };
    tokio::select! {
        _ = server.into_future() => {}
        () = grace => {}
    }
}
