//! Notes when KuryrPorts get their ports, for the timeline.

use anyhow::{Context as _, Result};
use futures::TryStreamExt as _;
use kube::Client;
use kube::api::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use kuryr_api::crd::KuryrPort;

use crate::timeline::{Stage, Timeline};

/// Watches all KuryrPorts. Ends only by an error.
pub(crate) async fn run(client: Client, timeline: Timeline) -> Result<()> {
    let ports = watcher(Api::<KuryrPort>::all(client), watcher::Config::default());
    let mut changes = std::pin::pin!(ports.default_backoff().applied_objects());
    while let Some(port) = changes.try_next().await.context("the watch of KuryrPorts failed")? {
        if port.status.as_ref().is_some_and(|status| !status.vifs.is_empty()) {
            timeline.reached(&port.spec.pod_uid, Stage::PortKnown);
        }
    }
    Ok(())
}
