//! The kinds that are served: built in, and defined by custom resource definitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::schema::Schema;
use super::table::Column;

/// One resource in one group and version.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) plural: String,
    pub(super) singular: String,
    pub(super) kind: String,
    pub(super) list_kind: String,
    pub(super) short_names: Vec<String>,
    pub(super) categories: Vec<String>,
    pub(super) namespaced: bool,
    /// Has the subresource `status`: then the main resource ignores `status`.
    pub(super) status: bool,
    /// Under which name its objects are stored; versions of one resource share it.
    pub(super) store: Arc<str>,
    /// The API version its objects are stored in.
    pub(super) stored_version: String,
    /// What its objects look like, if known.
    pub(super) schema: Option<Arc<Schema>>,
    /// What `kubectl get` prints besides the name.
    pub(super) columns: Option<Vec<Column>>,
    pub(super) selectable_fields: Vec<String>,
    pub(super) traits: Traits,
}

/// How the API server treats objects of a kind, where kinds differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traits {
    /// Counts changes of what is wished for in `metadata.generation`.
    pub(super) generation: bool,
    /// An update must name the version it is based on.
    pub(super) conditional_update: bool,
    /// Deleting answers with the object that was deleted, not with a `Status`.
    pub(super) returns_deleted: bool,
    /// Defined by a custom resource definition.
    pub(super) custom: bool,
}

impl Kind {
    /// `pods`, `kuryrports.openstack.org`: as error messages and `kubectl` name it.
    pub(super) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `v1`, `openstack.org/v1`.
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The key of an object in its store; sorts as in etcd.
    pub(super) fn key(&self, namespace: &str, name: &str) -> String {
        if self.namespaced { format!("{namespace}/{name}") } else { name.to_owned() }
    }

    pub(super) fn is(&self, store: &str) -> bool {
        *self.store == *store
    }

    pub(super) fn selects_field(&self, path: &str) -> bool {
        matches!(path, "metadata.name")
            || (path == "metadata.namespace" && self.namespaced)
            || self.selectable_fields.iter().any(|field| field == path)
    }
}

/// All kinds, by group, version and plural.
#[derive(Clone, Debug)]
pub(super) struct Kinds(BTreeMap<(String, String, String), Arc<Kind>>);

impl Kinds {
    pub(super) fn built_in() -> Kinds {
        let mut kinds = Kinds(BTreeMap::new());
        for row in BUILT_IN {
            kinds.add(row.kind());
        }
        kinds
    }

    pub(super) fn add(&mut self, kind: Kind) {
        self.0.insert((kind.group.clone(), kind.version.clone(), kind.plural.clone()), Arc::new(kind));
    }

    pub(super) fn remove_store(&mut self, store: &str) {
        self.0.retain(|_, kind| !kind.is(store));
    }

    pub(super) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Kind>> {
        self.0.get(&(group.to_owned(), version.to_owned(), plural.to_owned())).cloned()
    }

    /// By `apiVersion` and `kind`, as objects name them.
    pub(super) fn of(&self, api_version: &str, kind: &str) -> Option<Arc<Kind>> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.iter().find(|known| known.group == group && known.version == version && known.kind == kind).cloned()
    }

    pub(super) fn of_object(&self, object: &Value) -> Option<Arc<Kind>> {
        self.of(object["apiVersion"].as_str()?, object["kind"].as_str()?)
    }

    /// By the name of the store, which is `plural` or `plural.group`, in the version that is stored.
    pub(super) fn stored(&self, store: &str) -> Option<Arc<Kind>> {
        self.iter().find(|kind| kind.is(store) && kind.api_version() == kind.stored_version).cloned()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.0.values()
    }
}

/// What built-in kinds may do besides being stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Can {
    /// Nothing more.
    Plain,
    /// Count generations, without `status`.
    Count,
    /// Have the subresource `status`.
    Status,
    /// Have it, and count generations.
    CountStatus,
}

/// A built-in kind: group, version, plural, kind, short names, namespaced, what it can do.
struct Row(&'static str, &'static str, &'static str, &'static str, &'static [&'static str], bool, Can);

use Can::{Count, CountStatus, Plain, Status};

const BUILT_IN: &[Row] = &[
    Row("", "v1", "configmaps", "ConfigMap", &["cm"], true, Plain),
    Row("", "v1", "endpoints", "Endpoints", &["ep"], true, Plain),
    Row("", "v1", "events", "Event", &["ev"], true, Plain),
    Row("", "v1", "limitranges", "LimitRange", &["limits"], true, Plain),
    Row("", "v1", "namespaces", "Namespace", &["ns"], false, Status),
    Row("", "v1", "nodes", "Node", &["no"], false, Status),
    Row("", "v1", "pods", "Pod", &["po"], true, CountStatus),
    Row("", "v1", "resourcequotas", "ResourceQuota", &["quota"], true, Status),
    Row("", "v1", "secrets", "Secret", &[], true, Plain),
    Row("", "v1", "serviceaccounts", "ServiceAccount", &["sa"], true, Plain),
    Row("", "v1", "services", "Service", &["svc"], true, Status),
    Row(
        "admissionregistration.k8s.io",
        "v1",
        "validatingadmissionpolicies",
        "ValidatingAdmissionPolicy",
        &[],
        false,
        CountStatus,
    ),
    Row(
        "admissionregistration.k8s.io",
        "v1",
        "validatingadmissionpolicybindings",
        "ValidatingAdmissionPolicyBinding",
        &[],
        false,
        Count,
    ),
    Row(
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        &["crd", "crds"],
        false,
        CountStatus,
    ),
    Row("apps", "v1", "daemonsets", "DaemonSet", &["ds"], true, CountStatus),
    Row("apps", "v1", "deployments", "Deployment", &["deploy"], true, CountStatus),
    Row("apps", "v1", "replicasets", "ReplicaSet", &["rs"], true, CountStatus),
    Row("apps", "v1", "statefulsets", "StatefulSet", &["sts"], true, CountStatus),
    Row("coordination.k8s.io", "v1", "leases", "Lease", &[], true, Plain),
    Row("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", &[], true, Count),
    Row("events.k8s.io", "v1", "events", "Event", &["ev"], true, Plain),
    Row("networking.k8s.io", "v1", "ingressclasses", "IngressClass", &[], false, Count),
    Row("networking.k8s.io", "v1", "ingresses", "Ingress", &["ing"], true, CountStatus),
    Row("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", &["netpol"], true, Count),
    Row("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", &["pdb"], true, CountStatus),
    Row("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", &[], false, Plain),
    Row("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", &[], false, Plain),
    Row("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", &[], true, Plain),
    Row("rbac.authorization.k8s.io", "v1", "roles", "Role", &[], true, Plain),
    Row("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", &["pc"], false, Count),
];

impl Row {
    fn kind(&self) -> Kind {
        let Row(group, version, plural, kind, short_names, namespaced, can) = *self;
        let qualified = if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") };
        // Events are one store behind two groups.
        let (store, stored_version) = match (group, plural) {
            ("events.k8s.io", "events") => ("events".to_owned(), "v1".to_owned()),
            ("", _) => (qualified, version.to_owned()),
            _ => (qualified, format!("{group}/{version}")),
        };
        let categories = match plural {
            "pods" | "services" | "daemonsets" | "deployments" | "replicasets" | "statefulsets" => {
                vec!["all".to_owned()]
            }
            "customresourcedefinitions" | "validatingadmissionpolicies" | "validatingadmissionpolicybindings" => {
                vec!["api-extensions".to_owned()]
            }
            _ => Vec::new(),
        };
        let selectable: &[&str] = match plural {
            "pods" => &[
                "spec.nodeName",
                "spec.restartPolicy",
                "spec.schedulerName",
                "spec.serviceAccountName",
                "spec.hostNetwork",
                "status.phase",
                "status.podIP",
                "status.nominatedNodeName",
            ],
            "nodes" => &["spec.unschedulable"],
            "namespaces" => &["status.phase"],
            "secrets" => &["type"],
            "services" => &["spec.clusterIP", "spec.type"],
            "events" => &[
                "involvedObject.kind",
                "involvedObject.namespace",
                "involvedObject.name",
                "involvedObject.uid",
                "involvedObject.apiVersion",
                "involvedObject.resourceVersion",
                "involvedObject.fieldPath",
                "reason",
                "reportingComponent",
                "source",
                "type",
            ],
            _ => &[],
        };
        Kind {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: plural.to_owned(),
            singular: kind.to_lowercase(),
            kind: kind.to_owned(),
            list_kind: format!("{kind}List"),
            short_names: short_names.iter().map(|&name| name.to_owned()).collect(),
            categories,
            namespaced,
            status: matches!(can, Status | CountStatus),
            store: store.into(),
            stored_version,
            schema: Schema::built_in(group, plural),
            columns: None,
            selectable_fields: selectable.iter().map(|&field| field.to_owned()).collect(),
            traits: Traits {
                generation: matches!(can, Count | CountStatus),
                conditional_update: matches!(plural, "leases" | "customresourcedefinitions" | "endpointslices"),
                returns_deleted: matches!(plural, "pods" | "services" | "serviceaccounts"),
                custom: false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_by_resource_and_by_object() {
        let kinds = Kinds::built_in();
        assert_eq!(kinds.find("apps", "v1", "daemonsets").unwrap().kind, "DaemonSet");
        assert_eq!(kinds.of("networking.k8s.io/v1", "NetworkPolicy").unwrap().plural, "networkpolicies");
        assert_eq!(kinds.of("v1", "Pod").unwrap().key("a", "b"), "a/b");
        assert!(kinds.find("apps", "v2", "daemonsets").is_none());
    }

    #[test]
    fn events_of_both_groups_are_one_store() {
        let kinds = Kinds::built_in();
        let (core, new) =
            (kinds.find("", "v1", "events").unwrap(), kinds.find("events.k8s.io", "v1", "events").unwrap());
        assert_eq!(core.store, new.store);
        assert_eq!(kinds.stored("events").unwrap().group, "");
    }
}
