//! What a user sets: the chart's values.yaml, which is compiled in, so that Helm and `kuryr install` have the same defaults.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Every value with its default and what it is for.
pub(crate) const DEFAULTS: &str = include_str!("../../../../deploy/helm/kuryr/values.yaml");

/// Everything a user sets.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Values {
    /// The container image.
    pub(crate) image: Image,
    /// This cluster.
    pub(crate) cluster: Cluster,
    /// Where the API server is.
    pub(crate) api_server: ApiServer,
    /// How the controller gets into OpenStack.
    pub(crate) cloud: CloudAccess,
    /// What pods get.
    pub(crate) network: Network,
    /// Ports kept ready.
    pub(crate) pools: Pools,
    /// Options of kuryr.conf by section.
    #[schemars(with = "std::collections::BTreeMap<String, std::collections::BTreeMap<String, Value>>")]
    pub(crate) options: Map<String, Value>,
    /// A whole kuryr.conf.
    pub(crate) config: String,
    /// Logs.
    pub(crate) log: Log,
    /// Address that health and metrics are served on; empty: all.
    pub(crate) listen_address: String,
    /// The controller's pods.
    pub(crate) controller: Controller,
    /// The daemon's pods.
    pub(crate) node: Node,
    /// Whether a daemon is held to its own node by the API server.
    pub(crate) admission_policy: Switch,
    /// Whether the custom resource definitions are installed.
    pub(crate) crds: Install,
}

/// The container image.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Image {
    /// Its name.
    pub(crate) repository: String,
    /// Its tag; empty: this version.
    pub(crate) tag: String,
    /// `IfNotPresent`, `Always` or `Never`.
    pub(crate) pull_policy: String,
    /// References to Secrets.
    pub(crate) pull_secrets: Vec<Value>,
}

/// This cluster.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cluster {
    /// Its name in the cloud.
    pub(crate) name: String,
}

/// Where the API server is.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiServer {
    /// Address or name; empty: the Service `kubernetes`.
    pub(crate) host: String,
    /// TCP port.
    pub(crate) port: u16,
}

impl ApiServer {
    /// `[kubernetes] api_root`: its address, or two quotes for what the pod's environment says.
    pub(crate) fn root(&self) -> String {
        let Self { host, port } = self;
        if host.is_empty() { r#""""#.to_owned() } else { crate::conf::cluster::address(host, port) }
    }
}

/// How the controller gets into OpenStack.
#[derive(Clone, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CloudAccess {
    /// Keystone's address.
    pub(crate) auth_url: String,
    /// Region.
    pub(crate) region: String,
    /// `public`, `internal` or `admin`.
    pub(crate) endpoint_type: String,
    /// Application credential.
    pub(crate) application_credential_id: String,
    /// Its secret.
    pub(crate) application_credential_secret: String,
    /// User's name.
    pub(crate) username: String,
    /// Domain of the user, by name.
    pub(crate) user_domain: String,
    /// User's password.
    pub(crate) password: String,
    /// Project of the token, by name.
    pub(crate) project_name: String,
    /// Project of the token, by id.
    pub(crate) project_id: String,
    /// Domain of the project, by name.
    pub(crate) project_domain: String,
    /// A whole clouds.yaml.
    pub(crate) clouds_yaml: String,
    /// Which cloud of it.
    pub(crate) cloud_name: String,
    /// Name of a Secret that is there.
    pub(crate) existing_secret: String,
    /// Certificate authorities, PEM.
    pub(crate) ca: String,
}

impl std::fmt::Debug for CloudAccess {
    /// Without secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CloudAccess").field("auth_url", &self.auth_url).finish_non_exhaustive()
    }
}

/// What pods get.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Network {
    /// Project of ports, by id.
    pub(crate) project: String,
    /// Subnets of pods, by id.
    pub(crate) pod_subnets: Vec<String>,
    /// Security groups of pods, by id.
    pub(crate) pod_security_groups: Vec<String>,
    /// Subnet of Services, by id.
    pub(crate) service_subnet: String,
    /// Network of floating IPs, by id.
    pub(crate) external_network: String,
    /// How pods get their ports.
    pub(crate) driver: String,
    /// Integration bridge.
    pub(crate) bridge: String,
    /// Upper limit of the MTU; 0: none.
    pub(crate) mtu: u32,
    /// Tags for everything we create.
    pub(crate) tags: Vec<String>,
}

/// Ports kept ready.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pools {
    /// `noop`: none.
    pub(crate) driver: String,
    /// Ports are made when fewer are free.
    pub(crate) min: u32,
    /// Free ports above it are deleted; 0: no limit.
    pub(crate) max: u32,
    /// Ports made at once.
    pub(crate) batch: u32,
}

/// Logs.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    /// In detail.
    pub(crate) debug: bool,
    /// One JSON object per line.
    pub(crate) json: bool,
}

/// The controller's pods.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Controller {
    /// How many; one works.
    pub(crate) replicas: u32,
    /// TCP port of `/ready` and `/alive`; 0: off.
    pub(crate) health_port: u16,
    /// TCP port of `/metrics`; 0: off.
    pub(crate) metrics_port: u16,
    /// Requests and limits.
    pub(crate) resources: Map<String, Value>,
    /// Labels of nodes it may run on.
    pub(crate) node_selector: Map<String, Value>,
    /// Taints it runs in spite of.
    pub(crate) tolerations: Vec<Value>,
    /// Annotations of its pods.
    pub(crate) pod_annotations: Map<String, Value>,
}

/// The daemon's pods.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Node {
    /// TCP port of `/ready` and `/alive`; 0: off.
    pub(crate) health_port: u16,
    /// TCP port of `/metrics`; 0: off.
    pub(crate) metrics_port: u16,
    /// Requests and limits.
    pub(crate) resources: Map<String, Value>,
    /// Labels of nodes it runs on.
    pub(crate) node_selector: Map<String, Value>,
    /// Taints it runs in spite of.
    pub(crate) tolerations: Vec<Value>,
    /// Annotations of its pods.
    pub(crate) pod_annotations: Map<String, Value>,
    /// How many nodes are updated at once; a number or a percentage.
    pub(crate) max_unavailable: Value,
    /// Linux capabilities.
    pub(crate) capabilities: Vec<String>,
    /// SELinux type; empty: the runtime's.
    pub(crate) se_linux_type: String,
    /// Folder of CNI plugins.
    pub(crate) cni_bin_dir: String,
    /// Folder of CNI configurations.
    pub(crate) cni_conf_dir: String,
    /// Folder of Open vSwitch's sockets.
    pub(crate) openvswitch_dir: String,
    /// Folder of what the daemon remembers.
    pub(crate) state_dir: String,
}

/// On or off.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Switch {
    /// On.
    pub(crate) enabled: bool,
}

/// Installed or not.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Install {
    /// Installed.
    pub(crate) install: bool,
}

impl Values {
    /// The defaults under files and `KEY=VALUE` settings; later ones win, as in Helm.
    ///
    /// # Errors
    /// Files that are not there or no YAML, names nobody knows, values of a wrong type, and what must be said and is not.
    pub(crate) fn read(files: &[impl AsRef<Path>], settings: &[String]) -> Result<Values> {
        let mut texts = Vec::with_capacity(files.len());
        for path in files.iter().map(AsRef::as_ref) {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("the values {} cannot be read; check the path", path.display()))?;
            texts.push((path.display().to_string(), text));
        }
        Values::of(&texts, settings)
    }

    /// The same from texts with their names.
    ///
    /// # Errors
    /// As [`Values::read`], but for reading.
    pub(crate) fn of(texts: &[(String, String)], settings: &[String]) -> Result<Values> {
        let defaults: Value = serde_saphyr::from_str(DEFAULTS).context("the compiled-in values are no YAML")?;
        let mut whole = defaults.clone();
        for (name, text) in texts {
            // The parser's own words would show the line, which may hold a password.
            let over: Value = serde_saphyr::from_str(text).map_err(|error| {
                let line = error.location().map(|at| format!(" (line {})", at.line())).unwrap_or_default();
                anyhow::anyhow!("the values {name} are no YAML{line}; correct them")
            })?;
            if over.is_null() {
                continue;
            }
            known(&defaults, &over, "").with_context(|| format!("the values {name}"))?;
            merge(&mut whole, over);
        }
        for setting in settings {
            let over = setting_of(setting, &defaults)?;
            known(&defaults, &over, "").with_context(|| format!("--set {}", name_of(setting)))?;
            merge(&mut whole, over);
        }
        // Types are known to be right by now. The words of serde would show values, and the name of what is missing is enough.
        let values: Values = serde_json::from_value(whole).map_err(|error| {
            let words = error.to_string();
            let missing = words.split('`').nth(1).filter(|_| words.starts_with("missing field"));
            match missing {
                Some(name) => {
                    anyhow::anyhow!("the value {name} was taken away with null, and there is none without it")
                }
                None => anyhow::anyhow!("a value is not of its type"),
            }
        })?;
        values.complete()?;
        Ok(values)
    }

    /// What must be said; the chart asks for the same.
    fn complete(&self) -> Result<()> {
        if self.config.is_empty() {
            if self.network.project.is_empty() {
                bail!(
                    "network.project is not set; give the id of the project that ports are made in (`openstack project list`)"
                );
            }
            if self.network.pod_subnets.is_empty() {
                bail!("network.podSubnets is not set; give the id of the pods' subnet (`openstack subnet list`)");
            }
        }
        let cloud = &self.cloud;
        let lines = [&cloud.auth_url, &cloud.username, &cloud.password, &cloud.application_credential_secret];
        if lines.iter().any(|value| value.contains('\n')) {
            bail!("a value of cloud has more than one line; only ca and cloudsYaml may have");
        }
        Ok(())
    }

    /// The image with its tag.
    pub(crate) fn image(&self) -> String {
        let tag = if self.image.tag.is_empty() { env!("CARGO_PKG_VERSION") } else { &self.image.tag };
        format!("{}:{tag}", self.image.repository)
    }
}

/// Refuses names the defaults do not have; an empty mapping there takes any.
fn known(defaults: &Value, over: &Value, above: &str) -> Result<()> {
    let (Value::Object(defaults), Value::Object(over)) = (defaults, over) else { return Ok(()) };
    // These hold names of Kubernetes, not of ours.
    let free = ["resources", "nodeSelector", "podAnnotations", "options"];
    if free.iter().any(|name| above.trim_end_matches('.').rsplit('.').next() == Some(name)) {
        return Ok(());
    }
    for (name, value) in over {
        match defaults.get(name) {
            Some(default) => {
                fits(default, value, &format!("{above}{name}"))?;
                known(default, value, &format!("{above}{name}."))?;
            }
            None => {
                let near = defaults
                    .keys()
                    .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
                let near = near.filter(|near| strsim::jaro_winkler(near, name) > 0.7);
                let hint = near.map_or_else(
                    || format!("known are {}", defaults.keys().cloned().collect::<Vec<_>>().join(", ")),
                    |near| format!("did you mean {above}{near}?"),
                );
                bail!("there is no value {above}{name}; {hint}");
            }
        }
    }
    Ok(())
}

/// Refuses a value of another type than its default's. Errors name the key alone: the value may be a password.
fn fits(default: &Value, value: &Value, key: &str) -> Result<()> {
    let name = key.rsplit('.').next().unwrap_or_default();
    let is_text = |value: &Value| value.is_string();
    let (fits, allowed) = match default {
        // null takes a key away.
        _ if value.is_null() => (true, ""),
        // A number or a percentage.
        _ if name == "maxUnavailable" => (value.is_u64() || is_text(value), "a number or a percentage"),
        Value::String(_) => (is_text(value), "a text; put numbers, true and false into quotes"),
        Value::Bool(_) => (value.is_boolean(), "true or false"),
        Value::Number(_) if name.to_ascii_lowercase().ends_with("port") => {
            (value.as_u64().is_some_and(|port| port <= u16::MAX.into()), "a port, 0 to 65535")
        }
        Value::Number(_) => {
            (value.as_u64().is_some_and(|number| number <= u32::MAX.into()), "a whole number, 0 or more")
        }
        // Tolerations and the names of Secrets are objects of Kubernetes.
        Value::Array(_) if ["tolerations", "pullSecrets"].contains(&name) => {
            (value.as_array().is_some_and(|all| all.iter().all(Value::is_object)), "a list of mappings")
        }
        Value::Array(_) => (value.as_array().is_some_and(|all| all.iter().all(is_text)), "a list of texts"),
        Value::Object(_) => (value.is_object(), "a mapping"),
        Value::Null => (true, ""),
    };
    if !fits {
        bail!("{key} must be {allowed}");
    }
    Ok(())
}

/// Mappings are merged, anything else is replaced, and null takes a key away.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                if value.is_null() {
                    base.remove(&name);
                } else {
                    merge(base.entry(name).or_insert(Value::Null), value);
                }
            }
        }
        (base, over) => *base = over,
    }
}

/// `network.podSubnets=[a, b]` → nested mappings. What is behind the sign is YAML, or as it is where a text belongs: a password
/// of digits is no number.
fn setting_of(setting: &str, defaults: &Value) -> Result<Value> {
    let Some((path, text)) = setting.split_once('=') else {
        bail!("--set {setting:?}: write KEY=VALUE, like --set network.bridge=br-int");
    };
    let default = path.trim().split('.').try_fold(defaults, |inner, name| inner.get(name));
    let value: Value = match default {
        Some(Value::String(_)) => text.into(),
        _ => serde_saphyr::from_str(text).unwrap_or_else(|_| text.into()),
    };
    let nested =
        path.trim().rsplit('.').fold(value, |inner, name| Value::Object(Map::from_iter([(name.to_owned(), inner)])));
    Ok(nested)
}

/// A setting without its value, which may be a secret.
fn name_of(setting: &str) -> &str {
    setting.split('=').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "network: {project: p, podSubnets: [s]}";

    fn of(text: &str, settings: &[&str]) -> Result<Values> {
        let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        Values::of(&[("my.yaml".to_owned(), text.to_owned())], &settings)
    }

    #[track_caller]
    fn refused(text: &str, settings: &[&str]) -> String {
        format!("{:#}", of(text, settings).unwrap_err())
    }

    #[test]
    fn files_and_settings_lie_over_the_defaults() {
        let values = of(
            &format!("{LEAST}\ncontroller: {{nodeSelector: {{disk: ssd, kubernetes.io/os: null}}, tolerations: []}}"),
            &["controller.replicas=3", "network.podSecurityGroups=[a, b]", "cloud.password=", "image.tag=7"],
        )
        .unwrap();
        assert_eq!(values.controller.replicas, 3);
        assert_eq!(values.network.pod_security_groups, ["a", "b"]);
        assert_eq!(Value::from(values.controller.node_selector.clone()), serde_json::json!({ "disk": "ssd" }));
        assert!(values.controller.tolerations.is_empty());
        assert_eq!(values.image(), "docker.io/kuryr/kuryr:7");
        assert_eq!((values.network.bridge.as_str(), values.node.health_port), ("br-int", 8090));
        assert_eq!(of(LEAST, &["image.repository=x"]).unwrap().image(), format!("x:{}", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest_one() {
        let error = refused("controller: {replica: 3}", &[]);
        assert_eq!(
            error,
            "the values my.yaml: there is no value controller.replica; did you mean controller.replicas?"
        );
        let error = refused(LEAST, &["netwrk.bridge=x"]);
        assert!(error.ends_with("there is no value netwrk; did you mean network?"), "{error}");
        assert!(of(LEAST, &["node.podAnnotations={anything: x}", "options={kuryr: {concurrency: 3}}"]).is_ok());
    }

    #[test]
    fn what_is_missing_or_of_a_wrong_type_is_told() {
        assert!(refused("", &[]).starts_with("network.project is not set"), "{}", refused("", &[]));
        assert!(refused("network: {project: p}", &[]).starts_with("network.podSubnets is not set"));
        for (setting, told) in [
            ("controller.replicas=many", "controller.replicas must be a whole number, 0 or more"),
            ("controller.replicas=-1", "controller.replicas must be a whole number"),
            ("node.healthPort=65536", "node.healthPort must be a port, 0 to 65535"),
            ("apiServer.port=-6443", "apiServer.port must be a port"),
            ("network.podSubnets=[1, 2]", "network.podSubnets must be a list of texts"),
            ("network.podSubnets=x", "network.podSubnets must be a list"),
            ("log=x", "log must be a mapping"),
            ("log.debug=perhaps", "log.debug must be true or false"),
        ] {
            let error = refused(LEAST, &[setting]);
            assert!(error.contains(told), "{setting}: {error}");
        }
        assert!(of(LEAST, &["node.maxUnavailable=10%"]).is_ok() && of(LEAST, &["node.maxUnavailable=2"]).is_ok());
        assert!(refused("network: {project: p, podSubnets: [s], bridge: null}", &[]).contains("the value bridge"));
        assert!(refused(LEAST, &["network"]).contains("write KEY=VALUE"));
        assert!(of("config: \"[DEFAULT]\\n\"", &[]).is_ok());
    }

    #[test]
    fn a_password_is_in_no_error() {
        let error = refused("cloud: {password: hunter2\n  x", &[]);
        assert!(!error.contains("hunter2") && error.contains("my.yaml"), "{error}");
        for text in ["cloud: {password: 8675309}", "cloud: {password: [8675309]}", "cloud: 8675309"] {
            let error = refused(text, &[]);
            assert!(error.contains("cloud") && !error.contains("8675309"), "{error}");
        }
        assert!(
            refused("cloud: {password: 8675309}", &[])
                .ends_with("cloud.password must be a text; put numbers, true and false into quotes")
        );
        let error = refused(LEAST, &["cloud.passwort=hunter2"]);
        assert!(!error.contains("hunter2"), "{error}");
        assert!(!format!("{:?}", of(LEAST, &["cloud.password=hunter2"]).unwrap()).contains("hunter2"));
    }
}
