//! The cluster: how to reach it, whether it can take Kuryr, and putting objects there.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use kube::{Api, Client, Config, ResourceExt as _};
use serde_json::Value;

use crate::check::cloud::NodeFacts;
use crate::check::cluster_rules;
use crate::check::finding::Finding;
use crate::kubeconfig;
use crate::operator;
use crate::status::seen::{CONTROLLER, LEGACY_DAEMON_SET};

/// Whose fields the applied ones are.
pub(crate) const MANAGER: &str = "kuryr-install";

/// Where the cluster is, from a kubeconfig.
///
/// # Errors
/// A file that is not there, cannot be read or lacks the context.
pub(crate) async fn config(file: Option<&Path>, context: Option<&str>) -> Result<Config> {
    let files = file.map_or_else(kubeconfig::usual, |file| vec![file.to_owned()]);
    let config = kubeconfig::config(&files, context).await;
    config.context("no cluster is known; name its kubeconfig with --kubeconfig or KUBECONFIG")
}

/// Host and port that the nodes can use too; `None` for an address of this machine alone.
pub(crate) fn api_server(address: &http::Uri) -> Option<(String, u16)> {
    let host = address.host()?.trim_matches(['[', ']']);
    let own = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified());
    let port = address.port_u16().unwrap_or(if address.scheme_str() == Some("http") { 80 } else { 443 });
    (!own).then(|| (host.to_owned(), port))
}

/// What the cluster is and whether it can take us; and its nodes, as far as they may be seen.
///
/// # Errors
/// A cluster that does not answer.
pub(crate) async fn ask(client: &Client, namespace: &str) -> Result<(Vec<Finding>, Vec<NodeFacts>)> {
    let facts = crate::check::cluster::ask(client, namespace).await;
    if let Err(error) = &facts.version {
        bail!("the API server does not answer: {error}; check kubeconfig and network");
    }
    let mut findings = vec![cluster_rules::version(&facts), cluster_rules::networks(&facts)];
    let found = Api::<Namespace>::all(client.clone()).get_opt(namespace).await;
    if found.with_context(|| format!("cannot look for the namespace {namespace}"))?.is_none() {
        findings.push(Finding::error(
            "namespace",
            format!("there is no namespace {namespace}"),
            format!("kubectl create namespace {namespace}"),
        ));
    }
    if operator::is_in_charge(client).await.context("cannot look for a Kuryr resource")? {
        findings.push(Finding::error(
            "operator",
            "the operator looks after Kuryr in this cluster: it would take back what is changed here",
            "kubectl edit kuryr cluster",
        ));
    }
    let old = Api::<DaemonSet>::namespaced(client.clone(), namespace).get_opt(LEGACY_DAEMON_SET).await;
    if old.with_context(|| format!("cannot look for the DaemonSet {LEGACY_DAEMON_SET}"))?.is_some() {
        findings.push(Finding::error(
            "legacy",
            format!("the DaemonSet {LEGACY_DAEMON_SET} of kuryr-kubernetes is there: two daemons would work on each node"),
            format!(
                "kubectl -n {namespace} delete daemonset {LEGACY_DAEMON_SET} --cascade=orphan; the new DaemonSet then replaces its \
                 pods node by node"
            ),
        ));
    }
    if let Some((what, cure)) = legacy_controller(client, namespace).await? {
        findings.push(Finding::error("legacy", what, cure));
    }
    Ok((findings, facts.nodes.unwrap_or_default()))
}

/// What is wrong with a Deployment of kuryr-kubernetes that is there, and the cure. Its controller does not know our Lease, and what an
/// apply does not name stays in its template: the container leader-elector, a mount over the authorities the image has.
///
/// # Errors
/// What the API server says.
pub(crate) async fn legacy_controller(client: &Client, namespace: &str) -> Result<Option<(String, String)>> {
    let found = Api::<Deployment>::namespaced(client.clone(), namespace).get_opt(CONTROLLER).await;
    let found = found.with_context(|| format!("cannot look for the Deployment {CONTROLLER}"))?;
    let is_ours = |found: &Deployment| found.labels().get("app.kubernetes.io/name").is_some_and(|name| name == "kuryr");
    Ok(found.filter(|found| !is_ours(found)).map(|_| {
        (
            format!(
                "the Deployment {CONTROLLER} is of other manifests, like those of kuryr-kubernetes: its controller must have ended before \
                 ours begins, and its template would not go whole"
            ),
            format!("kubectl -n {namespace} delete deployment {CONTROLLER} --cascade=foreground"),
        )
    }))
}

/// What an apply did to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// It was not there.
    Created,
    /// It was different.
    Changed,
    /// It was there.
    Unchanged,
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Done::Created => "created",
            Done::Changed => "changed",
            Done::Unchanged => "unchanged",
        })
    }
}

/// Makes an object be as it is here, whoever set its fields before.
///
/// # Errors
/// What the API server says.
pub(crate) async fn apply(client: &Client, object: &Value) -> Result<Done> {
    let (api, name) = api(client, object);
    let title = title(object);
    let before = api.get_opt(&name).await.with_context(|| format!("{title} cannot be looked for"))?;
    let applied = api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(object)).await;
    let after = applied.with_context(|| {
        format!(
            "{title} cannot be applied; what was applied before it stays, and a repeated `kuryr install` goes on here"
        )
    })?;
    Ok(match before {
        None => Done::Created,
        Some(before) if before.metadata.resource_version == after.metadata.resource_version => Done::Unchanged,
        Some(_) => Done::Changed,
    })
}

/// Where an object is or will be, and its name.
pub(crate) fn api(client: &Client, object: &Value) -> (Api<DynamicObject>, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
    let api_version = text(&object["apiVersion"]);
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
    let api = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    (api, name)
}

/// `DaemonSet kube-system/kuryr-cni`.
pub(crate) fn title(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let namespace = object["metadata"]["namespace"].as_str().map(|namespace| format!("{namespace}/"));
    format!("{} {}{}", text(&object["kind"]), namespace.unwrap_or_default(), text(&object["metadata"]["name"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_machine_is_none_for_nodes() {
        let server = |address: &str| api_server(&address.parse().unwrap());
        assert_eq!(server("https://10.0.0.5:6443"), Some(("10.0.0.5".to_owned(), 6443)));
        assert_eq!(server("https://[fd00::1]:6443/"), Some(("fd00::1".to_owned(), 6443)));
        assert_eq!(server("https://api.example.org"), Some(("api.example.org".to_owned(), 443)));
        for own in ["https://127.0.0.1:6443", "https://localhost:8443", "https://[::1]:6443", "http://0.0.0.0:80"] {
            assert_eq!(server(own), None, "{own}");
        }
    }
}
