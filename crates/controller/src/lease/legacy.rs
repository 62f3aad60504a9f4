//! The record of kuryr-kubernetes' leader elector: an annotation of the Endpoints `kuryr-controller`, where tools and its
//! test suite look for the leader's name. Written when leadership changes, never read, and nothing depends on it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Endpoints;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kuryr_api::names;
use serde_json::json;

use super::Election;

/// The record is not worth waiting longer for.
const DEADLINE: Duration = Duration::from_secs(5);

/// Writes who leads. What goes wrong is told and forgotten.
pub(super) async fn record(kube: kube::Client, election: &Election, transitions: i32) {
    match tokio::time::timeout(DEADLINE, write(kube, election, transitions)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the old leader record (Endpoints {}) is not written", election.name),
        Err(_) => tracing::debug!("the old leader record (Endpoints {}) is not written: no answer", election.name),
    }
}

async fn write(kube: kube::Client, election: &Election, transitions: i32) -> kube::Result<()> {
    let api: Api<Endpoints> = Api::namespaced(kube, &election.namespace);
    let now = Time(Timestamp::now());
    // The old holders were hostnames: the name alone, as whoever reads this compares it with pods or hosts.
    let record = json!({
        "holderIdentity": election.identity.name(),
        "leaseDurationSeconds": election.duration.as_secs(),
        "acquireTime": now,
        "renewTime": now,
        "leaderTransitions": transitions,
    });
    let annotation = (names::LEGACY_LEADER_ANNOTATION.to_owned(), record.to_string());
    let patch = json!({ "metadata": { "annotations": { (annotation.0.as_str()): annotation.1 } } });
    match api.patch(&election.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        done => return done.map(drop),
    }
    let metadata = ObjectMeta {
        name: Some(election.name.clone()),
        annotations: Some([annotation].into()),
        ..ObjectMeta::default()
    };
    api.create(&PostParams::default(), &Endpoints { metadata, subsets: None }).await.map(drop)
}
