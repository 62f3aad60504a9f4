//! Which objects of a cluster are Kuryr's, and in which order they go.

use std::collections::BTreeSet;

use kube::ResourceExt as _;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;

use crate::reach::all;

/// Labels `kuryr install`, the chart and the manifests put on everything.
const LABELS: [&str; 2] = ["app.kubernetes.io/part-of=kuryr", "app.kubernetes.io/name=kuryr"];

/// A kind of object we install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) group: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) namespaced: bool,
    /// Names that are ours without a label, in our namespace: kuryr-kubernetes' manifests had no labels.
    pub(crate) names: &'static [&'static str],
}

const fn kind(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
    names: &'static [&'static str],
) -> Kind {
    Kind { group, kind, plural, namespaced, names }
}

/// The daemons go first: no new pod gets a network.
pub(crate) const DAEMON_SETS: Kind = kind("apps", "DaemonSet", "daemonsets", true, &["kuryr-cni", "kuryr-cni-ds"]);
/// The controller goes when it has released all ports.
pub(crate) const DEPLOYMENTS: Kind = kind("apps", "Deployment", "deployments", true, &["kuryr-controller"]);
/// Everything else, in the order it goes. Rights last: who works needs them.
pub(crate) const REST: [Kind; 11] = [
    kind("policy", "PodDisruptionBudget", "poddisruptionbudgets", true, &["kuryr-controller"]),
    kind("", "ConfigMap", "configmaps", true, &["kuryr-config"]),
    kind("", "Secret", "secrets", true, &["kuryr-credentials", "kuryr-certificates"]),
    kind("coordination.k8s.io", "Lease", "leases", true, &["kuryr-controller"]),
    kind("", "Endpoints", "endpoints", true, &["kuryr-controller"]),
    kind(
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        false,
        &[],
    ),
    kind("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", false, &[]),
    kind("rbac.authorization.k8s.io", "RoleBinding", "rolebindings", true, &[]),
    kind("rbac.authorization.k8s.io", "Role", "roles", true, &[]),
    kind(
        "rbac.authorization.k8s.io",
        "ClusterRoleBinding",
        "clusterrolebindings",
        false,
        &["kuryr-controller", "kuryr-cni"],
    ),
    kind("rbac.authorization.k8s.io", "ClusterRole", "clusterroles", false, &["kuryr-controller", "kuryr-cni"]),
];
/// Who the workloads were.
pub(crate) const ACCOUNTS: Kind =
    kind("", "ServiceAccount", "serviceaccounts", true, &["kuryr-controller", "kuryr-cni"]);
/// The definitions of our resources: only when there are none of them any more, because they take all of them along.
pub(crate) const DEFINITIONS: Kind = kind(
    "apiextensions.k8s.io",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    false,
    &["kuryrports.openstack.org", "kuryrloadbalancers.openstack.org"],
);

/// Every kind, in the order they go.
pub(crate) fn every_kind() -> Vec<Kind> {
    let mut kinds = vec![DAEMON_SETS, DEPLOYMENTS];
    kinds.extend(REST);
    kinds.extend([ACCOUNTS, DEFINITIONS]);
    kinds
}

impl Kind {
    /// Whether the installation makes objects of this kind. The others are made by what runs.
    pub(crate) fn is_made(self) -> bool {
        !matches!(self.plural, "leases" | "endpoints" | "customresourcedefinitions")
    }

    pub(crate) fn api(self, kube: &kube::Client, namespace: &str) -> Api<DynamicObject> {
        let gvk = GroupVersionKind::gvk(self.group, "v1", self.kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, self.plural);
        if self.namespaced {
            Api::namespaced_with(kube.clone(), namespace, &resource)
        } else {
            Api::all_with(kube.clone(), &resource)
        }
    }

    /// Namespaces with objects of this kind that are ours.
    ///
    /// # Errors
    /// What the API server said.
    pub(crate) async fn places(self, kube: &kube::Client) -> kube::Result<BTreeSet<String>> {
        let gvk = GroupVersionKind::gvk(self.group, "v1", self.kind);
        let api: Api<DynamicObject> =
            Api::all_with(kube.clone(), &ApiResource::from_gvk_with_plural(&gvk, self.plural));
        let is_ours = |object: &DynamicObject| {
            let labelled = |label: &&str| {
                label
                    .split_once('=')
                    .is_some_and(|(key, value)| object.labels().get(key).is_some_and(|found| found == value))
            };
            LABELS.iter().any(labelled) || self.names.contains(&object.name_any().as_str())
        };
        let objects = all(&api, ListParams::default()).await?;
        Ok(objects.iter().filter(|object| is_ours(object)).filter_map(|object| object.namespace()).collect())
    }

    /// Names of the objects of this kind that are ours.
    ///
    /// # Errors
    /// What the API server said; a kind it does not serve has no objects.
    pub(crate) async fn ours(self, kube: &kube::Client, namespace: &str) -> kube::Result<Vec<String>> {
        let api = self.api(kube, namespace);
        let mut names: Vec<String> = Vec::new();
        for label in LABELS {
            match all(&api, ListParams::default().labels(label)).await {
                Ok(objects) => names.extend(objects.iter().map(|object| object.name_any())),
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Vec::new()),
                Err(error) => return Err(error),
            }
        }
        for name in self.names {
            if api.get_opt(name).await?.is_some() {
                names.push((*name).to_owned());
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }
}
