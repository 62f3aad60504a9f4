//! Who may do what: the verbs that are used and no other. A test compares them with the requests of the real programs.

use serde_json::{Value, json};

use super::{CONTROLLER, NODE, Scene, kuryr_object};

pub(super) fn all(scene: &Scene<'_>) -> Vec<Value> {
    let account = |name| kuryr_object("v1", "ServiceAccount", name, Some(scene.namespace));
    let mut objects = vec![account(CONTROLLER), account(NODE)];
    let cluster_wide = |name, rules: Vec<Value>| {
        let mut role = kuryr_object(RBAC, "ClusterRole", name, None);
        role["rules"] = rules.into();
        [role, binding(scene, "ClusterRole", name)]
    };
    objects.extend(cluster_wide(CONTROLLER, controller_rules()));
    objects.extend(cluster_wide(NODE, node_rules()));
    let mut role = kuryr_object(RBAC, "Role", CONTROLLER, Some(scene.namespace));
    role["rules"] = leadership_rules().into();
    objects.push(role);
    objects.push(binding(scene, "Role", CONTROLLER));
    objects
}

const GATEWAY_API: &str = "gateway.networking.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io/v1";

fn rule(group: &str, resource: &str, verbs: &[&str]) -> Value {
    json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs })
}

/// What both may do in the whole cluster.
pub(super) fn cluster_rules() -> Vec<Value> {
    let mut rules = controller_rules();
    rules.extend(node_rules());
    rules
}

fn controller_rules() -> Vec<Value> {
    vec![
        // The patch takes finalizers of kuryr-kubernetes away.
        rule("", "pods", &["list", "watch", "get", "patch"]),
        rule("openstack.org", "kuryrports", &["list", "watch", "get", "create", "patch", "delete"]),
        // What is read of Services where they are balanced; the patch takes kuryr-kubernetes' finalizer away.
        rule("", "services", &["list", "watch", "get", "patch"]),
        // Its address from outside.
        rule("", "services/status", &["patch"]),
        rule("discovery.k8s.io", "endpointslices", &["list", "watch"]),
        // Ingresses and Gateways, where they are balanced, and what is said of them.
        rule("", "namespaces", &["list", "watch"]),
        rule("networking.k8s.io", "ingresses", &["list", "watch"]),
        rule("networking.k8s.io", "ingressclasses", &["list", "watch"]),
        rule("networking.k8s.io", "ingresses/status", &["patch"]),
        rule(GATEWAY_API, "gatewayclasses", &["list", "watch"]),
        rule(GATEWAY_API, "gateways", &["list", "watch"]),
        rule(GATEWAY_API, "httproutes", &["list", "watch"]),
        rule(GATEWAY_API, "tcproutes", &["list", "watch"]),
        rule(GATEWAY_API, "udproutes", &["list", "watch"]),
        rule(GATEWAY_API, "referencegrants", &["list", "watch"]),
        rule(GATEWAY_API, "gatewayclasses/status", &["patch"]),
        rule(GATEWAY_API, "gateways/status", &["patch"]),
        rule(GATEWAY_API, "httproutes/status", &["patch"]),
        rule(GATEWAY_API, "tcproutes/status", &["patch"]),
        rule(GATEWAY_API, "udproutes/status", &["patch"]),
        rule("openstack.org", "kuryrloadbalancers", &["list", "watch", "get", "create", "patch", "delete"]),
        // A repeated event is counted by a patch.
        rule("events.k8s.io", "events", &["create", "patch"]),
    ]
}

fn node_rules() -> Vec<Value> {
    vec![rule("openstack.org", "kuryrports", &["list", "watch"]), rule("", "pods", &["get"])]
}

/// The Lease, and the record that kuryr-kubernetes' leader elector kept. A create cannot be held to a name.
pub(super) fn leadership_rules() -> Vec<Value> {
    let named = |group, resource, verbs: &[&str]| {
        let mut rule = rule(group, resource, verbs);
        rule["resourceNames"] = json!([CONTROLLER]);
        rule
    };
    vec![
        rule("coordination.k8s.io", "leases", &["create"]),
        named("coordination.k8s.io", "leases", &["get", "patch"]),
        rule("", "endpoints", &["create"]),
        named("", "endpoints", &["patch"]),
    ]
}

fn binding(scene: &Scene<'_>, role: &str, name: &str) -> Value {
    let namespace = (role == "Role").then_some(scene.namespace);
    let mut binding = kuryr_object(RBAC, &format!("{role}Binding"), name, namespace);
    binding["roleRef"] = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": name });
    binding["subjects"] = json!([{ "kind": "ServiceAccount", "name": name, "namespace": scene.namespace }]);
    binding
}
