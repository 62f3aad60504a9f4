//! News: whatever changes of the resource or of what we made.

use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::Client;
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::sync::Notify;

use super::change::{LABEL, kinds};
use super::resource;
use crate::uninstall::ours::DEFINITIONS;

/// Tells of all news, until it is dropped.
pub(super) async fn follow(kube: &Client, namespace: &str, news: &Notify) {
    let mut all: SelectAll<BoxStream<'_, watcher::Result<()>>> = SelectAll::new();
    all.push(watcher(resource::api(kube), watcher::Config::default()).default_backoff().map_ok(drop).boxed());
    for kind in kinds().into_iter().filter(|kind| kind.is_made()) {
        let ours = watcher::Config::default().labels(LABEL);
        all.push(watcher(kind.api(kube, namespace), ours).default_backoff().map_ok(drop).boxed());
    }
    // Definitions have no label: `kubectl delete -l` must not take every KuryrPort.
    for name in DEFINITIONS.names {
        let one = watcher::Config::default().fields(&format!("metadata.name={name}"));
        all.push(watcher(DEFINITIONS.api(kube, namespace), one).default_backoff().map_ok(drop).boxed());
    }
    while let Some(event) = all.next().await {
        match event {
            Ok(()) => news.notify_one(),
            Err(error) => tracing::warn!("a watch is begun again: {error}"),
        }
    }
    // Each begins again for ever; without any there is nothing to tell.
    std::future::pending::<()>().await;
}
