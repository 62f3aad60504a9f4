//! The cloud, asked before anything is changed: whether the configuration that the controller would get can work there. It is
//! read by the code that reads it there.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use kuryr_controller::config::Placement;
use kuryr_openstack::network::SecurityGroupQuery;
use kuryr_openstack::{Cloud, CloudSettings, ErrorKind};

use super::finding::Finding;
use super::objects::configuration::{cloud_conf, kuryr_conf};
use super::values::Values;
use crate::conf::options::{Reader, neutron};
use crate::conf::{Conf, secrets_on_a_node};
use crate::process::line;

/// Extensions without which pods get no port of ours.
const NEEDED: [(&str, &str); 3] = [
    ("binding", "ports are bound to the pod's node with it"),
    ("security-group", "pods are protected with it"),
    ("standard-attr-description", "ports are found again by their description"),
];
/// Extensions that save calls.
const USEFUL: [(&str, &str); 2] = [
    ("standard-attr-tag", "ports are tagged with the cluster's name"),
    ("tag-ports-during-bulk-creation", "without it a port takes two calls, not one"),
];
/// Ports below which a small cluster soon stands still.
const FEW_PORTS: u64 = 50;

/// Everything that was found out; it ends at what makes further questions pointless.
pub(crate) async fn ask(client: &Client, values: &Values, namespace: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    match prepare(client, values, namespace).await {
        Ok((placement, cloud, warnings, _folder)) => {
            findings.extend(warnings);
            examine(&cloud, &placement, values, &mut findings).await;
        }
        Err(error) => findings.push(Finding::missing(line(&error), "correct the values")),
    }
    findings
}

/// The configuration as the controller would have it, and a client of its cloud; the folder has the files that client was made from.
///
/// # Errors
/// What cannot work, and a Secret that is not there or may not be read.
pub(crate) async fn prepare(
    client: &Client,
    values: &Values,
    namespace: &str,
) -> Result<(Placement, Cloud, Vec<Finding>, Option<Folder>)> {
    let credentials = Credentials::of(client, values, namespace).await?;
    let mut texts = vec![("kuryr.conf", kuryr_conf(values))];
    let on_nodes = secrets_on_a_node(&Conf::of(Reader::Daemon, &texts)?);
    texts.extend(credentials.conf.map(|conf| ("cloud.conf", conf)));
    let conf = Conf::of(Reader::Controller, &texts)?;
    let wrong: Vec<String> = conf.check().iter().map(ToString::to_string).collect();
    if !wrong.is_empty() {
        bail!("the configuration cannot work: {}", wrong.join("; "));
    }
    let placement = conf.controller(0)?.placement;
    let ca = &values.cloud.ca;
    let folder = if ca.is_empty() && credentials.clouds_yaml.is_none() { None } else { Some(Folder::new()?) };
    let put = |name: &str, text: &str| folder.as_ref().context("no folder").and_then(|folder| folder.put(name, text));
    let mut settings = if conf.is_said(&neutron::auth_url) {
        conf.cloud()?
    } else if let Some(yaml) = &credentials.clouds_yaml {
        let name = Some(values.cloud.cloud_name.as_str()).filter(|name| !name.is_empty());
        CloudSettings::from_clouds_yaml(&put("clouds.yaml", yaml)?, name)?
    } else {
        bail!(
            "no way into the cloud is said; set cloud.authUrl with cloud.applicationCredentialId and …Secret (or username and \
             password), cloud.cloudsYaml or cloud.existingSecret"
        );
    };
    if !ca.is_empty() && settings.cafile.is_none() {
        settings.cafile = Some(put("ca.crt", ca)?);
    }
    let cloud = Cloud::new(settings)?;
    let warned = conf.warnings().iter().map(|warning| Finding::warning(warning, "correct it, or leave it"));
    let on_nodes = on_nodes.iter().map(|secret| Finding::warning(secret, "move it from config to cloud"));
    let warnings = warned.chain(on_nodes).collect();
    Ok((placement, cloud, warnings, folder))
}

/// What the Secret has, or will have.
struct Credentials {
    conf: Option<String>,
    clouds_yaml: Option<String>,
}

impl Credentials {
    async fn of(client: &Client, values: &Values, namespace: &str) -> Result<Credentials> {
        let cloud = &values.cloud;
        let name = &cloud.existing_secret;
        if name.is_empty() {
            let conf = (!cloud.auth_url.is_empty()).then(|| cloud_conf(cloud));
            let clouds_yaml = (!cloud.clouds_yaml.is_empty()).then(|| cloud.clouds_yaml.clone());
            return Ok(Credentials { conf, clouds_yaml });
        }
        let secret = Api::<Secret>::namespaced(client.clone(), namespace).get_opt(name).await;
        let secret = secret.with_context(|| format!("the Secret {name} cannot be read"))?;
        let data = secret.with_context(|| format!("there is no Secret {name} in namespace {namespace}"))?.data;
        let data = data.unwrap_or_default();
        let text = |key: &str| Some(String::from_utf8_lossy(&data.get(key)?.0).into_owned());
        let files = data.keys().filter(|key| key.ends_with(".conf")).filter_map(|key| text(key));
        let conf = Some(files.collect::<Vec<_>>().join("\n")).filter(|conf| !conf.is_empty());
        let found = Credentials { conf, clouds_yaml: text("clouds.yaml") };
        if found.conf.is_none() && found.clouds_yaml.is_none() {
            bail!("the Secret {name} has neither cloud.conf nor clouds.yaml");
        }
        Ok(found)
    }
}

/// Puts the questions. All of them read; none takes longer for a large cloud.
async fn examine(cloud: &Cloud, placement: &Placement, values: &Values, findings: &mut Vec<Finding>) {
    match cloud.authenticate().await {
        Ok(who) => {
            let project = who.project_name.or(who.project_id).unwrap_or_else(|| "no project".to_owned());
            findings.push(Finding::fine(format!(
                "user {} in {project}, roles: {}",
                who.user_name,
                who.roles.join(", ")
            )));
        }
        Err(error) => {
            findings.push(of_error(&error, "Keystone gives no token"));
            return;
        }
    }
    extensions(cloud, findings).await;
    project(cloud, placement, findings).await;
    subnets(cloud, placement, findings).await;
    security_groups(cloud, placement, findings).await;
    let id = &values.network.external_network;
    if !id.is_empty() {
        findings.push(match cloud.network().network(id).await {
            Ok(network) if network.external => {
                Finding::fine(format!("network of floating IPs {} ({id})", network.name))
            }
            Ok(network) => Finding::missing(
                format!("network {} ({id}) does not lead out of the cloud", network.name),
                "set network.externalNetwork to one of: openstack network list --external",
            ),
            Err(error) => of_error(&error, &format!("the network of floating IPs {id} cannot be looked at")),
        });
    }
}

async fn extensions(cloud: &Cloud, findings: &mut Vec<Finding>) {
    let loaded = match cloud.network().extensions().await {
        Ok(loaded) => loaded,
        Err(error) => return findings.push(of_error(&error, "Neutron does not say what it can do")),
    };
    let before = findings.len();
    for (alias, why) in NEEDED.iter().filter(|(alias, _)| !loaded.contains(*alias)) {
        findings.push(Finding::missing(
            format!("this Neutron has no extension {alias}: {why}"),
            "ask the cloud's operator to turn it on",
        ));
    }
    for (alias, why) in USEFUL.iter().filter(|(alias, _)| !loaded.contains(*alias)) {
        findings.push(Finding::warning(
            format!("this Neutron has no extension {alias}: {why}"),
            "ask the cloud's operator to turn it on, or go on without",
        ));
    }
    if findings.len() == before {
        findings.push(Finding::fine("Neutron has the extensions that are needed"));
    }
}

async fn project(cloud: &Cloud, placement: &Placement, findings: &mut Vec<Finding>) {
    let id = &placement.project;
    findings.push(match cloud.project(id).await {
        Ok(project) if project.id == *id => Finding::fine(format!("project {} ({id})", project.name)),
        Ok(project) => Finding::missing(
            format!("network.project is {id}, the name of a project; Neutron wants its id"),
            format!("set network.project to {}", project.id),
        ),
        Err(error) if error.kind() == ErrorKind::Forbidden => Finding::warning(
            format!("the user may not look at project {id}, so nobody knows whether it exists"),
            "compare it with: openstack project list",
        ),
        Err(error) => of_error(&error, &format!("project {id} cannot be looked at")),
    });
    match cloud.network().quota(id).await {
        Ok(quota) => match quota.port.free() {
            Some(0) => findings.push(Finding::missing(
                format!("the project's quota of ports is used up ({} of {})", quota.port.used, quota.port.used),
                format!("openstack quota set --ports NUMBER {id}"),
            )),
            Some(free) if free < FEW_PORTS => findings.push(Finding::warning(
                format!("the project may have {free} more ports, and every pod takes one"),
                format!("openstack quota set --ports NUMBER {id}"),
            )),
            Some(free) => findings.push(Finding::fine(format!("quota: {free} more ports"))),
            None => findings.push(Finding::fine("quota: ports without limit")),
        },
        Err(error) => findings.push(Finding::warning(
            format!("the project's quota cannot be looked at: {error}"),
            "see that there are enough ports: every pod takes one",
        )),
    }
}

async fn subnets(cloud: &Cloud, placement: &Placement, findings: &mut Vec<Finding>) {
    let mut networks = Vec::new();
    for id in &placement.pod_subnets {
        match cloud.network().subnet(id).await {
            Ok(subnet) => {
                let cidr = subnet.cidr.map_or_else(|| "without a range".to_owned(), |cidr| cidr.to_string());
                findings.push(Finding::fine(format!("pods' subnet {} {cidr} ({id})", subnet.name)));
                if subnet.gateway_ip.is_none() {
                    findings.push(Finding::warning(
                        format!("subnet {} has no gateway: pods reach nothing outside it", subnet.name),
                        format!("openstack subnet set --gateway ADDRESS {id}, and put a router there"),
                    ));
                }
                networks.push(subnet.network_id);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => findings.push(Finding::missing(
                format!("there is no subnet {id} for pods, or the user may not see it"),
                "set network.podSubnets to an id of: openstack subnet list",
            )),
            Err(error) => findings.push(of_error(&error, &format!("subnet {id} cannot be looked at"))),
        }
    }
    networks.dedup();
    if networks.len() > 1 {
        findings.push(Finding::missing(
            "the pods' subnets are in different networks; one port cannot be in two",
            "take two subnets of one network",
        ));
    }
    if let Some(id) = networks.first() {
        findings.push(match cloud.network().network(id).await {
            Ok(network) if network.admin_state_up == Some(false) => Finding::missing(
                format!("network {} is switched off", network.name),
                format!("openstack network set --enable {id}"),
            ),
            Ok(network) => {
                let mtu = network.mtu.map_or_else(String::new, |mtu| format!(", MTU {mtu}"));
                Finding::fine(format!("pods' network {} ({id}){mtu}", network.name))
            }
            Err(error) => of_error(&error, &format!("network {id} cannot be looked at")),
        });
    }
}

async fn security_groups(cloud: &Cloud, placement: &Placement, findings: &mut Vec<Finding>) {
    let wanted = &placement.pod_security_groups;
    if wanted.is_empty() {
        findings.push(Finding::warning(
            "pods get the project's group `default`, which lets in only members of the group",
            "set network.podSecurityGroups, if nodes or virtual machines are to reach pods",
        ));
        return;
    }
    let query =
        SecurityGroupQuery { id: Some(wanted.clone()), fields: &["id", "name"], ..SecurityGroupQuery::default() };
    match cloud.network().list_security_groups(&query).await {
        Ok(found) => {
            for id in wanted {
                findings.push(match found.iter().find(|group| group.id == *id) {
                    Some(group) => Finding::fine(format!("security group {} ({id})", group.name)),
                    None => Finding::missing(
                        format!("there is no security group {id}, or the user may not see it"),
                        "set network.podSecurityGroups to ids of: openstack security group list",
                    ),
                });
            }
        }
        Err(error) => findings.push(of_error(&error, "security groups cannot be looked at")),
    }
}

/// An error of the client, which brings its own cure.
fn of_error(error: &kuryr_openstack::Error, what: &str) -> Finding {
    let cure = error.cure().unwrap_or("see the message").to_owned();
    Finding::missing(format!("{what}: {}", error.message()), cure)
}

/// A folder only this user can look into, gone with this value: credentials are in it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Folder> {
        let path = std::env::temp_dir().join(format!("kuryr-install-{}-{:x}", std::process::id(), fastrand::u64(..)));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("{} cannot be made; set TMPDIR to a folder that can be written", path.display()))?;
        Ok(Folder(path))
    }

    fn put(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path: PathBuf = Path::new(&self.0).join(name);
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests;
