//! ConfigMap and Secret: kuryr.conf for everybody, credentials for the controller alone.

use std::fmt::Write as _;

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::{Scene, kuryr_object};
use crate::install::values::{CloudAccess, Values};

/// Name of the ConfigMap, as kuryr-kubernetes had it.
pub(super) const CONFIG: &str = "kuryr-config";
/// Name of the Secret that is made from the values.
const CLOUD: &str = "kuryr-cloud";

/// The Secret the controller reads its credentials from, if it is told any.
pub(super) fn secret_name(cloud: &CloudAccess) -> Option<&str> {
    if !cloud.existing_secret.is_empty() {
        return Some(&cloud.existing_secret);
    }
    (!cloud.auth_url.is_empty() || !cloud.clouds_yaml.is_empty()).then_some(CLOUD)
}

/// `kuryr-config`.
pub(super) fn config_map(scene: &Scene<'_>) -> Value {
    let mut data = json!({ "kuryr.conf": kuryr_conf(scene.values) });
    if !scene.values.cloud.ca.is_empty() {
        data["ca.crt"] = scene.values.cloud.ca.clone().into();
    }
    let mut object = kuryr_object("v1", "ConfigMap", CONFIG, Some(scene.namespace));
    object["data"] = data;
    object
}

/// `kuryr-cloud`, if the values have credentials.
pub(super) fn secret(scene: &Scene<'_>) -> Option<Value> {
    let cloud = &scene.values.cloud;
    if !cloud.existing_secret.is_empty() {
        return None;
    }
    let mut object = kuryr_object("v1", "Secret", secret_name(cloud)?, Some(scene.namespace));
    object["type"] = "Opaque".into();
    object["data"] = json!({});
    if !cloud.auth_url.is_empty() {
        object["data"]["cloud.conf"] = json!(ByteString(cloud_conf(cloud).into_bytes()));
    }
    if !cloud.clouds_yaml.is_empty() {
        object["data"]["clouds.yaml"] = json!(ByteString(cloud.clouds_yaml.clone().into_bytes()));
    }
    Some(object)
}

/// The kuryr.conf of these values.
pub(crate) fn kuryr_conf(values: &Values) -> String {
    if !values.config.is_empty() {
        return values.config.clone();
    }
    let network = &values.network;
    let mut file = File::default();
    file.section("DEFAULT");
    file.line("debug", values.log.debug);
    file.line("use_json", values.log.json);
    file.section("kuryr");
    file.line("cluster_name", &values.cluster.name);
    file.section("kubernetes");
    file.line("api_root", values.api_server.root());
    file.line("pod_vif_driver", &network.driver);
    file.line("vif_pool_driver", &values.pools.driver);
    file.section("neutron_defaults");
    file.line("project", &network.project);
    file.line("pod_subnet", network.pod_subnets.join(","));
    file.said("pod_security_groups", &network.pod_security_groups.join(","));
    file.said("service_subnet", &network.service_subnet);
    file.said("external_svc_net", &network.external_network);
    file.said("ovs_bridge", &network.bridge);
    file.line("network_device_mtu", network.mtu);
    file.said("resource_tags", &network.tags.join(","));
    if values.pools.driver != "noop" {
        file.section("vif_pool");
        file.line("ports_pool_min", values.pools.min);
        file.line("ports_pool_max", values.pools.max);
        file.line("ports_pool_batch", values.pools.batch);
    }
    // A later line wins, so these come last. Sorted, as Helm goes through mappings.
    let mut sections: Vec<_> = values.options.iter().collect();
    sections.sort_by_key(|(name, _)| *name);
    for (section, options) in sections {
        file.section(section);
        let mut options: Vec<_> = options.as_object().into_iter().flatten().collect();
        options.sort_by_key(|(name, _)| *name);
        for (name, value) in options {
            match value {
                Value::String(text) => file.line(name, text),
                other => file.line(name, other),
            }
        }
    }
    file.0
}

/// Section `[neutron]` with the credentials, for the Secret.
pub(crate) fn cloud_conf(cloud: &CloudAccess) -> String {
    let mut file = File::default();
    file.section("neutron");
    let texts =
        [("auth_url", &cloud.auth_url), ("region_name", &cloud.region), ("endpoint_type", &cloud.endpoint_type)];
    for (name, value) in texts {
        file.secret(name, value);
    }
    if cloud.application_credential_id.is_empty() {
        let texts = [
            ("username", &cloud.username),
            ("user_domain_name", &cloud.user_domain),
            ("password", &cloud.password),
            ("project_name", &cloud.project_name),
            ("project_id", &cloud.project_id),
            ("project_domain_name", &cloud.project_domain),
        ];
        for (name, value) in texts {
            file.secret(name, value);
        }
    } else {
        file.secret("application_credential_id", &cloud.application_credential_id);
        file.secret("application_credential_secret", &cloud.application_credential_secret);
    }
    file.0
}

#[derive(Default)]
struct File(String);

impl File {
    // Writing to a String cannot fail.
    fn section(&mut self, name: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.0, "{gap}[{name}]");
    }

    fn line(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name} = {value}");
    }

    /// A line unless there is nothing to say.
    fn said(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.line(name, value);
        }
    }

    /// The same for what must arrive letter by letter: quotes keep blanks and quotes, and a dollar would be a reference.
    fn secret(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.line(name, format_args!("\"{}\"", value.replace('$', "$$")));
        }
    }
}
