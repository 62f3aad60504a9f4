//! What the scheduler does, as simply as can be: pods without a node get one in turn.

use anyhow::{Context as _, Result};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

/// Binds pods to `nodes`. Ends only by an error.
pub(crate) async fn run(client: Client, nodes: Vec<String>) -> Result<()> {
    let unscheduled = watcher::Config::default().fields("spec.nodeName=");
    let mut pods =
        std::pin::pin!(watcher(Api::<Pod>::all(client.clone()), unscheduled).default_backoff().applied_objects());
    let mut turn = nodes.iter().cycle();
    while let Some(pod) = pods.try_next().await.context("the watch of unscheduled pods failed")? {
        let (Some(namespace), Some(node)) = (pod.namespace(), turn.next()) else { continue };
        if pod.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": { "name": pod.name_any(), "namespace": namespace, "uid": pod.uid() },
            "target": { "apiVersion": "v1", "kind": "Node", "name": node },
        });
        let pods = Api::<Pod>::namespaced(client.clone(), &namespace);
        let bound: Result<Value, _> =
            pods.create_subresource("binding", &pod.name_any(), &PostParams::default(), &binding).await;
        if let Err(error) = bound {
            // Deleted or bound meanwhile; anything else comes again with the pod's next change.
            tracing::warn!(pod = pod.name_any(), "cannot bind: {error}");
        }
    }
    Ok(())
}
