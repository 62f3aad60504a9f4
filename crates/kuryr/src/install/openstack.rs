//! The cloud, asked before anything is changed: whether the configuration that the controller would get can work there. It is
//! read by the code that reads it there, and the questions are those of `kuryr check`.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use kuryr_controller::config::Placement;
use kuryr_openstack::{Cloud, CloudSettings};

use super::objects::configuration::{cloud_conf, kuryr_conf};
use super::values::Values;
use crate::check;
use crate::check::cloud::NodeFacts;
use crate::check::finding::Finding;
use crate::check::wanted::{Names, Wanted};
use crate::conf::options::{Reader, neutron};
use crate::conf::{Conf, secrets_on_a_node};
use crate::process::line;

/// Everything that was found out; it ends at what makes further questions pointless.
pub(crate) async fn ask(client: &Client, values: &Values, namespace: &str, nodes: &[NodeFacts]) -> Vec<Finding> {
    match prepare(client, values, namespace).await {
        Ok((_, cloud, about)) => {
            let mut findings = about.warnings;
            findings.extend(check::about(&cloud, &about.address, &about.wanted, nodes, &[]).await);
            findings
        }
        Err(error) => vec![Finding::error(CONFIGURATION, line(&error), "correct the values")],
    }
}

/// What findings about the configuration itself are called.
const CONFIGURATION: &str = "configuration";

/// What is asked of a cloud, and what is known before.
pub(crate) struct About {
    /// Keystone's.
    address: String,
    wanted: Wanted,
    warnings: Vec<Finding>,
    /// Has the files its client was made from.
    _folder: Option<Folder>,
}

/// The configuration as the controller would have it, and a client of its cloud.
///
/// # Errors
/// What cannot work, and a Secret that is not there or may not be read.
pub(crate) async fn prepare(client: &Client, values: &Values, namespace: &str) -> Result<(Placement, Cloud, About)> {
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
    let address = settings.auth_url.clone();
    let cloud = Cloud::new(settings)?;
    let warned = conf.warnings().iter().map(|text| Finding::warning(CONFIGURATION, text, "correct it, or leave it"));
    let on_nodes = on_nodes.iter().map(|text| Finding::warning(CONFIGURATION, text, "move it from config to cloud"));
    let warnings = warned.chain(on_nodes).collect();
    let names = if values.config.is_empty() { Names::Values } else { Names::KuryrConf };
    let wanted = Wanted::of(&conf, names)?;
    Ok((placement, cloud, About { address, wanted, warnings, _folder: folder }))
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

/// A folder only this user can look into, gone with this value: credentials are in it.
struct Folder(PathBuf);

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
