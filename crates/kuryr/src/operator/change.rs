//! Changes of the cluster: making an object as it should be, and taking away what a former spec made.
//!
//! Every change is bound to the version that was looked at just before. An operator that was stopped in between and goes on, or a second one
//! on a node that was cut off, therefore overwrites nothing that was written meanwhile: it is refused and looks again. That, and one
//! replica with `strategy: Recreate`, is why there is no Lease: all steps can be repeated, and two operators of one version want the same.
//!
//! Nothing we make is owned by the `Kuryr` resource. The garbage collector would take all of it away at once when that is deleted, the
//! rights before the controller that uses them, and with the definitions every KuryrPort. What is ours is found by label and manager,
//! and goes in order, held by a finalizer.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::install::cluster::{self, title};
use crate::reach::all;
use crate::uninstall::ours::{Kind, every_kind};

/// Whose fields the applied ones are.
pub(super) const MANAGER: &str = "kuryr-operator";
/// Label of everything we install.
pub(super) const LABEL: &str = "app.kubernetes.io/name=kuryr";

/// Makes an object be as it is here, whoever set its fields before. Whether it was different.
///
/// # Errors
/// What the API server says, also that it was changed by others at this moment.
pub(super) async fn apply(kube: &Client, object: &Value) -> Result<bool> {
    let (api, name) = cluster::api(kube, object);
    let title = title(object);
    let before = api.get_opt(&name).await.with_context(|| format!("{title} cannot be looked for"))?;
    let version = before.as_ref().and_then(|before| before.metadata.resource_version.clone());
    let mut wanted = object.clone();
    if let Some(version) = &version {
        wanted["metadata"]["resourceVersion"] = version.as_str().into();
    }
    let applied = api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&wanted)).await;
    let after = applied.with_context(|| format!("{title} cannot be applied"))?;
    if before.is_some_and(|before| is_managed_by(&before, cluster::MANAGER)) {
        // `kuryr install` made it: what it set and we do not want goes with its claim.
        let nothing = json!({
            "apiVersion": object["apiVersion"], "kind": object["kind"],
            "metadata": { "name": name, "resourceVersion": after.metadata.resource_version },
        });
        let given_up = api.patch(&name, &PatchParams::apply(cluster::MANAGER), &Patch::Apply(&nothing)).await;
        given_up.with_context(|| format!("{title} cannot be taken over from kuryr install"))?;
        return Ok(true);
    }
    Ok(version.is_none() || version != after.metadata.resource_version)
}

/// Takes away what was made by us or by `kuryr install`, carries our label and is not wanted any more. Answers what that was.
///
/// # Errors
/// What the API server says.
pub(super) async fn remove_leftovers(kube: &Client, namespace: &str, wanted: &[Value]) -> Result<Vec<String>> {
    let key = |kind: &str, name: &str| format!("{kind} {name}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let wanted: BTreeSet<String> =
        wanted.iter().map(|object| key(&text(&object["kind"]), &text(&object["metadata"]["name"]))).collect();
    let mut removed = Vec::new();
    for kind in kinds().into_iter().filter(|kind| kind.is_made()) {
        let api = kind.api(kube, namespace);
        let found = all(&api, ListParams::default().labels(LABEL)).await;
        for object in found.with_context(|| format!("{} cannot be listed", kind.plural))? {
            let name = object.name_any();
            let is_ours = is_managed_by(&object, MANAGER) || is_managed_by(&object, cluster::MANAGER);
            if !is_ours || object.metadata.deletion_timestamp.is_some() || wanted.contains(&key(kind.kind, &name)) {
                continue;
            }
            let version = Preconditions { resource_version: object.resource_version(), uid: None };
            let params = DeleteParams::background().preconditions(version);
            match api.delete(&name, &params).await {
                Ok(_) => removed.push(key(kind.kind, &name)),
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error).with_context(|| format!("{} {name} cannot be deleted", kind.kind)),
            }
        }
    }
    Ok(removed)
}

/// Every kind the operator has to do with. Secrets are not among them: the one with credentials is the user's, and to list Secrets is
/// to read them all.
pub(super) fn kinds() -> Vec<Kind> {
    every_kind().into_iter().filter(|kind| kind.plural != "secrets").collect()
}

fn is_managed_by(object: &DynamicObject, manager: &str) -> bool {
    let applied = |entry: &ManagedFieldsEntry| {
        entry.manager.as_deref() == Some(manager) && entry.operation.as_deref() == Some("Apply")
    };
    object.managed_fields().iter().any(applied)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;
    use kuryr_fake::faults::Rule;
    use kuryr_fake::kubernetes::Cluster;

    use super::*;

    fn config_map(text: &str) -> Value {
        let metadata = json!({ "name": "c", "namespace": "default" });
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { "a": text } })
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_stopped_between_look_and_change_overwrites_nothing() {
        let cluster = Cluster::builder().auto_namespaces().build();
        let kube = Client::new(cluster.clone(), "default");
        cluster.create(config_map("old")).unwrap();
        cluster.faults().script(Rule::on(Method::PATCH, "*").times(1).delay(Duration::from_secs(60)));
        let wanted = config_map("mine");
        let (stopped, ()) = tokio::join!(apply(&kube, &wanted), async {
            tokio::time::sleep(Duration::from_secs(30)).await;
            cluster.patch("configmaps", "default", "c", &json!({ "data": { "a": "of the next operator" } })).unwrap();
        });
        let refused = stopped.unwrap_err();
        let conflict = |cause: &kube::Error| matches!(cause, kube::Error::Api(status) if status.code == 409);
        assert!(refused.chain().filter_map(|cause| cause.downcast_ref()).any(conflict), "{refused:#}");
        assert_eq!(cluster.get("configmaps", "default", "c").unwrap()["data"]["a"], "of the next operator");
        assert!(apply(&kube, &wanted).await.unwrap() && !apply(&kube, &wanted).await.unwrap());
    }
}
