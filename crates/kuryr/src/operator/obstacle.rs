//! What must be cured before anything is changed: the spec is read and judged as `kuryr install` and the programs themselves would.

use anyhow::Result;
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::{Api, Client};

use crate::conf::options::Reader;
use crate::conf::{Conf, secrets_on_a_node};
use crate::install::objects::configuration::kuryr_conf;
use crate::install::values::Values;
use crate::install::{cluster, openstack, sense};
use crate::status::seen::LEGACY_DAEMON_SET;
use crate::uninstall::ours::{DAEMON_SETS, DEPLOYMENTS};

/// Why nothing is changed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Obstacle {
    /// One word, for programs.
    pub(super) reason: &'static str,
    /// What is wrong and what to do.
    pub(super) message: String,
}

impl Obstacle {
    pub(super) fn new(reason: &'static str, message: impl Into<String>) -> Obstacle {
        Obstacle { reason, message: message.into() }
    }
}

/// What is in the way, if anything is.
///
/// # Errors
/// An API server that does not answer, or rights that are missing.
pub(super) async fn find(kube: &Client, namespace: &str, values: &Values) -> Result<Option<Obstacle>> {
    if let Some(obstacle) = of_values(values) {
        return Ok(Some(obstacle));
    }
    let sets = Api::<DaemonSet>::namespaced(kube.clone(), namespace);
    if sets.get_opt(LEGACY_DAEMON_SET).await?.is_some() {
        return Ok(Some(Obstacle::new(
            "LegacyDaemonSet",
            format!(
                "the DaemonSet {LEGACY_DAEMON_SET} of kuryr-kubernetes is there: two daemons would work on each node; kubectl -n {namespace} \
                 delete daemonset {LEGACY_DAEMON_SET} --cascade=orphan"
            ),
        )));
    }
    if let Some((what, cure)) = cluster::legacy_controller(kube, namespace).await? {
        return Ok(Some(Obstacle::new("LegacyController", format!("{what}; {cure}"))));
    }
    let mut places = DAEMON_SETS.places(kube).await?;
    places.extend(DEPLOYMENTS.places(kube).await?);
    places.remove(namespace);
    if let Some(place) = places.first() {
        return Ok(Some(Obstacle::new(
            "OtherNamespace",
            format!(
                "Kuryr is also installed in namespace {place}; take that out (kuryr uninstall --namespace {place}), or run the operator there"
            ),
        )));
    }
    match openstack::prepare(kube, values, namespace).await {
        Ok(_) => Ok(None),
        // The controller gets the Secret from kubelet; the operator needs no right to read it.
        Err(error) if is_forbidden(&error) => Ok(None),
        Err(error) if error.chain().any(|cause| cause.is::<kube::Error>()) => Err(error),
        Err(error) => Ok(Some(Obstacle::new("InvalidConfiguration", format!("{error:#}; nothing was changed")))),
    }
}

/// Whether the API server refused it for want of rights.
pub(super) fn is_forbidden(error: &anyhow::Error) -> bool {
    let refused = |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.code == 403);
    error.chain().filter_map(|cause| cause.downcast_ref::<kube::Error>()).any(refused)
}

/// What is wrong with these values and the kuryr.conf they make, without asking anybody.
fn of_values(values: &Values) -> Option<Obstacle> {
    let wrong = sense::refused(values);
    if !wrong.is_empty() {
        return Some(Obstacle::new("InvalidConfiguration", format!("{}; nothing was changed", wrong.join("; "))));
    }
    let texts = [("kuryr.conf", kuryr_conf(values))];
    let secrets = Conf::of(Reader::Daemon, &texts).map(|conf| secrets_on_a_node(&conf)).unwrap_or_default();
    (!secrets.is_empty()).then(|| {
        Obstacle::new(
            "SecretInSpec",
            "spec.config or spec.options has credentials of the cloud, which everybody may read who may read this resource; put them into \
             a Secret, name it in spec.cloud.existingSecret, and change them",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(spec: &str) -> Option<&'static str> {
        let least = "{network: {project: 84bf1d2c3e4f5a6b7c8d9e0f1a2b3c4d, podSubnets: [11111111-1111-4111-8111-111111111111]}}";
        let texts = [("least".to_owned(), least.to_owned()), ("spec".to_owned(), spec.to_owned())];
        of_values(&Values::of(&texts, &[]).unwrap()).map(|obstacle| obstacle.reason)
    }

    #[test]
    fn what_the_programs_would_refuse_is_an_obstacle() {
        assert_eq!(judged("{}"), None);
        assert_eq!(judged("{network: {project: a-name}}"), Some("InvalidConfiguration"));
        assert_eq!(judged("{network: {driver: sriov}}"), Some("InvalidConfiguration"));
        assert_eq!(judged("{options: {kuryr: {concurrency: many}}}"), Some("InvalidConfiguration"));
        assert_eq!(
            judged("{options: {os_vif_ovs: {ovsdb_connection: nonsense}}}"),
            Some("InvalidConfiguration"),
            "the daemon's"
        );
        assert_eq!(judged("{options: {neutron: {password: hunter2}}}"), Some("SecretInSpec"));
    }
}
