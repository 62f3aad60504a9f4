//! Questions about single pods to the API server. Asked only where the watch of KuryrPorts leaves a doubt, never in the
//! ordinary course of an ADD.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::core::PartialObjectMeta;
use kube::{Api, Client, ResourceExt as _};
use kuryr_api::names::ANNOTATION_CONFIG_SOURCE;

use crate::error::{CniError, code};
use crate::ports::PodKey;

/// An answer later than this is of no use.
const DEADLINE: Duration = Duration::from_secs(5);

/// What the API server knows about a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodFacts {
    /// Its UID; of a static pod that of the mirror.
    pub(crate) uid: String,
    /// Deletion was requested.
    pub(crate) terminating: bool,
    /// Kubelet runs it from a file: its UID differs from the API's.
    pub(crate) is_static: bool,
}

/// Asks for the metadata of one pod; `None` if there is none.
///
/// # Errors
/// Code 11: the API server does not answer.
pub(crate) async fn ask(client: &Client, key: &PodKey) -> Result<Option<PodFacts>, CniError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &key.namespace);
    let failed = |reason: String| {
        CniError::new(
            code::TRY_LATER,
            format!("the Kubernetes API cannot say whether pod {key} exists; try again later"),
        )
        .details(reason)
    };
    let answer = tokio::time::timeout(DEADLINE, api.get_metadata_opt(&key.name)).await;
    let pod: Option<PartialObjectMeta<Pod>> = answer
        .map_err(|_| failed(format!("no answer within {} s", DEADLINE.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    Ok(pod.map(|pod| PodFacts {
        uid: pod.uid().unwrap_or_default(),
        terminating: pod.metadata.deletion_timestamp.is_some(),
        is_static: pod.annotations().get(ANNOTATION_CONFIG_SOURCE).is_some_and(|source| source != "api"),
    }))
}
