//! The operator's own objects: deploy/operator/operator.yaml.
//!
//! It may do what it does and no more; a test compares. Who grants rights must hold them, so it holds those of controller and daemon: with
//! `escalate` on their roles it could give itself everything. Whatever has a fixed name is named.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::change::kinds;
use super::definition::definition;
use super::resource::PLURAL;
use crate::install::objects::{self, Scene};
use crate::install::print;
use crate::install::values::{DEFAULTS, Values};
use crate::uninstall::ours::{DAEMON_SETS, DEPLOYMENTS, Kind};

/// Name of everything of the operator.
const OPERATOR: &str = "kuryr-operator";
/// Variable with the operator's own image.
pub(super) const IMAGE: &str = "KURYR_IMAGE";
/// The Secret it may read without being given more rights.
const SECRET: &str = "kuryr-cloud";
/// User and group, as in the image.
const USER: u32 = 65532;
const RBAC: &str = "rbac.authorization.k8s.io";

/// What the manifest is made for.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// Where the operator and Kuryr are.
    pub(super) namespace: &'a str,
    /// The operator's image, and so Kuryr's; without it this version's.
    pub(super) image: Option<&'a str>,
    /// `HOST:PORT` of the API server; without it the Service `kubernetes`.
    pub(super) api_server: Option<&'a str>,
}

/// The manifest.
///
/// # Errors
/// An address of the API server that is none.
pub(super) fn yaml(place: &Place<'_>) -> Result<String> {
    print::yaml(&all(place)?)
}

/// All objects.
fn all(place: &Place<'_>) -> Result<Vec<Value>> {
    let namespace = place.namespace;
    let defaults: Value = serde_saphyr::from_str(DEFAULTS).context("the compiled-in values are no YAML")?;
    // Values without which there are none; nothing of them is looked at here.
    let least = json!({ "network": { "project": "p", "podSubnets": ["s"] } }).to_string();
    let values = Values::of(&[("least".to_owned(), least)], &[])?;
    let made = objects::all(&Scene { values: &values, namespace })?;
    let (cluster_rules, own_rules) = rules(&made);
    let image = place.image.map_or_else(|| values.image(), str::to_owned);
    Ok(vec![
        definition(),
        object("v1", "ServiceAccount", Some(namespace)),
        with(object(&format!("{RBAC}/v1"), "ClusterRole", None), "rules", cluster_rules.into()),
        binding("ClusterRole", namespace),
        with(object(&format!("{RBAC}/v1"), "Role", Some(namespace)), "rules", own_rules.into()),
        binding("Role", namespace),
        deployment(&defaults, &image, &environment(place, &image)?, namespace),
    ])
}

fn object(api_version: &str, kind: &str, namespace: Option<&str>) -> Value {
    // Another label than Kuryr's: it neither looks after itself nor takes itself out.
    let labels = json!({ "app.kubernetes.io/name": OPERATOR });
    let mut object =
        json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": OPERATOR, "labels": labels } });
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = namespace.into();
    }
    object
}

fn with(mut object: Value, field: &str, value: Value) -> Value {
    object[field] = value;
    object
}

fn binding(role: &str, namespace: &str) -> Value {
    let scope = (role == "Role").then_some(namespace);
    let mut binding = object(&format!("{RBAC}/v1"), &format!("{role}Binding"), scope);
    binding["roleRef"] = json!({ "apiGroup": RBAC, "kind": role, "name": OPERATOR });
    binding["subjects"] = json!([{ "kind": "ServiceAccount", "name": OPERATOR, "namespace": namespace }]);
    binding
}

fn rule(group: &str, resource: &str, verbs: &[&str], names: &[String]) -> Value {
    let mut rule = json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs });
    if !names.is_empty() {
        rule["resourceNames"] = json!(names);
    }
    rule
}

/// Rules for the whole cluster, and for the own namespace.
fn rules(made: &[Value]) -> (Vec<Value>, Vec<Value>) {
    let group = kuryr_api::names::GROUP;
    let (mut cluster, mut own) = objects::granted();
    cluster.push(rule(group, PLURAL, &["list", "watch", "patch"], &[]));
    cluster.push(rule(group, &format!("{PLURAL}/status"), &["patch"], &[]));
    // Kuryr in another namespace is looked for.
    for kind in [DAEMON_SETS, DEPLOYMENTS] {
        cluster.push(rule(kind.group, kind.plural, &["list"], &[]));
    }
    own.push(rule("", "secrets", &["get"], &[SECRET.to_owned()]));
    for kind in kinds() {
        let rules = if kind.namespaced { &mut own } else { &mut cluster };
        rules.extend(rules_of(kind, made));
    }
    (cluster, own)
}

/// A create that is a server-side apply has a name, so it can be held to it.
fn rules_of(kind: Kind, made: &[Value]) -> [Value; 2] {
    let ours = made.iter().filter(|object| object["kind"] == kind.kind);
    let mut names: Vec<String> =
        ours.filter_map(|object| object["metadata"]["name"].as_str().map(str::to_owned)).collect();
    let is_made = !names.is_empty();
    names.extend(kind.names.iter().map(|&name| name.to_owned()));
    names.sort();
    names.dedup();
    let (all, named): (&[&str], &[&str]) = if is_made {
        (&["list", "watch"], &["get", "create", "patch", "delete"])
    } else {
        (&["list"], &["get", "delete"])
    };
    [rule(kind.group, kind.plural, all, &[]), rule(kind.group, kind.plural, named, &names)]
}

fn environment(place: &Place<'_>, image: &str) -> Result<Value> {
    let namespace =
        json!({ "name": "POD_NAMESPACE", "valueFrom": { "fieldRef": { "fieldPath": "metadata.namespace" } } });
    let mut environment = vec![namespace, json!({ "name": IMAGE, "value": image })];
    if let Some(address) = place.api_server {
        let parted = address.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
        let (host, port) = parted.with_context(|| format!("{address:?} is no address; write it like 10.0.0.5:6443"))?;
        let host = host.trim_matches(['[', ']']);
        environment.push(json!({ "name": "KUBERNETES_SERVICE_HOST", "value": host }));
        environment.push(json!({ "name": "KUBERNETES_SERVICE_PORT", "value": port }));
    }
    Ok(environment.into())
}

fn deployment(defaults: &Value, image: &str, environment: &Value, namespace: &str) -> Value {
    let selector = json!({ "app.kubernetes.io/name": OPERATOR });
    let container = json!({
        "name": "operator",
        "image": image,
        "imagePullPolicy": defaults["image"]["pullPolicy"],
        "command": ["/usr/bin/kuryr", "operator"],
        "env": environment,
        "resources": { "requests": { "cpu": "20m", "memory": "32Mi" }, "limits": { "memory": "128Mi" } },
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        // Certificates of the cloud are written there to be read.
        "volumeMounts": [{ "name": "tmp", "mountPath": "/tmp" }],
    });
    let spec = json!({
        "serviceAccountName": OPERATOR,
        "priorityClassName": "system-cluster-critical",
        // It makes the network of pods, so it cannot wait for it.
        "hostNetwork": true,
        "dnsPolicy": "Default",
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER, "seccompProfile": { "type": "RuntimeDefault" },
        },
        "nodeSelector": defaults["controller"]["nodeSelector"],
        "tolerations": defaults["controller"]["tolerations"],
        "containers": [container],
        "volumes": [{ "name": "tmp", "emptyDir": { "medium": "Memory", "sizeLimit": "1Mi" } }],
    });
    let mut object = object("apps/v1", "Deployment", Some(namespace));
    object["spec"] = json!({
        "replicas": 1,
        // The old one ends before the new one begins; see change.rs for why that is enough.
        "strategy": { "type": "Recreate" },
        "selector": { "matchLabels": selector },
        "template": { "metadata": { "labels": selector }, "spec": spec },
    });
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "\
# The operator of Kuryr: kubectl apply --server-side -f operator.yaml, then a Secret with credentials and a resource like example/kuryr.yaml
# Written by `UPDATE=1 cargo test -p kuryr manifest`; change crates/kuryr/src/operator instead.
";

    const USUAL: Place<'_> = Place { namespace: "kube-system", image: None, api_server: None };

    fn there(name: &str) -> std::path::PathBuf {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/operator").join(name)
    }

    #[test]
    fn deploy_has_the_manifest() {
        let text = format!("{HEADER}{}", yaml(&USUAL).unwrap());
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(there("")).unwrap();
            std::fs::write(there("operator.yaml"), &text).unwrap();
        }
        let found = std::fs::read_to_string(there("operator.yaml")).unwrap_or_default();
        assert!(
            found == text,
            "deploy/operator/operator.yaml is not what the code makes; run: UPDATE=1 cargo test -p kuryr manifest"
        );
    }

    #[test]
    fn the_example_is_one_the_definition_and_the_values_take() {
        let example: Value =
            serde_saphyr::from_str(&std::fs::read_to_string(there("example/kuryr.yaml")).unwrap()).unwrap();
        let cluster = kuryr_fake::kubernetes::Cluster::new();
        cluster.create(definition()).unwrap();
        let made = cluster.create(example.clone()).unwrap();
        assert_eq!(made["spec"], example["spec"], "nothing is pruned");
        Values::of(&[("example".to_owned(), example["spec"].to_string())], &[]).unwrap();
    }

    #[test]
    fn it_may_neither_read_all_secrets_nor_give_itself_rights() {
        for role in all(&USUAL).unwrap().iter().filter(|object| object["rules"].is_array()) {
            for rule in role["rules"].as_array().unwrap() {
                let has = |field: &str, word: &str| rule[field].as_array().unwrap().iter().any(|found| found == word);
                assert!(!["escalate", "bind", "impersonate", "*"].iter().any(|verb| has("verbs", verb)), "{rule}");
                if has("resources", "secrets") {
                    assert!(rule["verbs"] == json!(["get"]) && rule["resourceNames"] == json!([SECRET]), "{rule}");
                }
                let writes = ["create", "patch", "delete"].iter().any(|verb| has("verbs", verb));
                if has("apiGroups", RBAC) && writes {
                    assert!(rule["resourceNames"].is_array(), "{rule}");
                }
            }
        }
    }

    #[test]
    fn another_place_is_said_in_it() {
        let place = Place { namespace: "net", image: Some("registry:5000/k:7"), api_server: Some("[fd00::5]:6444") };
        let text = yaml(&place).unwrap();
        assert!(text.contains("fd00::5") && text.contains("6444"));
        assert!(yaml(&Place { api_server: Some("10.0.0.5"), ..USUAL }).is_err());
        assert_eq!(text.matches("registry:5000/k:7").count(), 2);
        assert!(!text.contains("kube-system") && !text.contains("docker.io/kuryr"));
    }
}
