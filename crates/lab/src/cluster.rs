//! What an installation of Kubernetes and of Kuryr brings along: namespaces, nodes, our resource definitions.

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{Namespace, Node as NodeObject};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::node::Node;

/// Installs everything in an empty cluster.
pub(crate) async fn install(client: &Client, nodes: &[Node]) -> Result<()> {
    for definition in kuryr_api::crd::definitions() {
        create(&Api::<CustomResourceDefinition>::all(client.clone()), &definition).await?;
    }
    for name in ["default", "kube-system"] {
        let namespace = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
        create(&Api::<Namespace>::all(client.clone()), &namespace).await?;
    }
    try_join_all(nodes.iter().map(|node| async move {
        let object = serde_json::from_value(json!({
            "metadata": { "name": node.name(), "labels": { "kubernetes.io/hostname": node.name() } },
        }))?;
        let nodes = Api::<NodeObject>::all(client.clone());
        create(&nodes, &object).await?;
        let status = json!({ "status": {
            "addresses": [
                { "type": "InternalIP", "address": node.address() },
                { "type": "Hostname", "address": node.name() },
            ],
            "conditions": [{ "type": "Ready", "status": "True" }],
        } });
        let patched = nodes.patch_status(node.name(), &PatchParams::default(), &Patch::Merge(status)).await;
        patched.map(drop).with_context(|| format!("cannot report the status of node {}", node.name()))
    }))
    .await?;
    Ok(())
}

/// Creates an object; one that is there already is fine.
async fn create<K>(api: &Api<K>, object: &K) -> Result<()>
where
    K: Resource + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    match api.create(&PostParams::default(), object).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => {
            Err(error).with_context(|| format!("cannot create {}", object.meta().name.as_deref().unwrap_or("it")))
        }
        Ok(_) => Ok(()),
    }
}
