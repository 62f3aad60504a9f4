//! What a container runtime does about networking: it makes a pod's network namespace and executes the plugin
//! (CNI specification 1.1.0, section 2; the environment is that of containerd's CRI plugin).

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Value, json};

use crate::namespaces::{pin_new_netns, unpin_netns};
use crate::netlink::Netlink;

/// The interface inside every pod.
pub(crate) const POD_INTERFACE: &str = "eth0";

/// A pod's network namespace, and what the plugin is told about it.
#[derive(Clone, Debug)]
pub(crate) struct Sandbox {
    /// Container id of the sandbox.
    pub(crate) id: String,
    /// Where the network namespace is pinned, on the node.
    pub(crate) netns: PathBuf,
    pod: PodIdentity,
    plugin: PathBuf,
}

/// What `CNI_ARGS` says about a pod.
#[derive(Clone, Debug)]
pub(crate) struct PodIdentity {
    /// Kubernetes namespace.
    pub(crate) namespace: String,
    /// Name.
    pub(crate) name: String,
    /// UID.
    pub(crate) uid: String,
}

impl Sandbox {
    /// Makes an empty sandbox; its loopback is up. Runs on the node.
    pub(crate) fn create(id: String, pod: PodIdentity, plugin: PathBuf) -> Result<Sandbox> {
        let netns = Path::new("/run/netns").join(format!("cni-{}", &id[..12]));
        pin_new_netns(&netns, || Netlink::open()?.up("lo").map(drop))?;
        Ok(Sandbox { id, netns, pod, plugin })
    }

    /// Executes the plugin with ADD; its result. Runs on the node.
    pub(crate) fn add(&self) -> Result<Value> {
        let output = self.execute("ADD", None)?;
        serde_json::from_slice(&output).context("the plugin's result is not JSON")
    }

    /// Executes the plugin with DEL and lets go of the namespace. Runs on the node.
    pub(crate) fn remove(&self, result: Option<&Value>) -> Result<()> {
        self.execute("DEL", result)?;
        unpin_netns(&self.netns)
    }

    fn execute(&self, command: &str, previous: Option<&Value>) -> Result<Vec<u8>> {
        let mut configuration = json!({ "cniVersion": "1.1.0", "name": "kuryr", "type": "kuryr-cni" });
        if let Some(previous) = previous {
            configuration["prevResult"] = previous.clone();
        }
        let arguments = format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={};K8S_POD_INFRA_CONTAINER_ID={};K8S_POD_UID={}",
            self.pod.namespace, self.pod.name, self.id, self.pod.uid
        );
        let mut plugin = Command::new(&self.plugin)
            .env_clear()
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", &self.id)
            .env("CNI_NETNS", &self.netns)
            .env("CNI_IFNAME", POD_INTERFACE)
            .env("CNI_ARGS", arguments)
            .env("CNI_PATH", self.plugin.parent().unwrap_or(Path::new("/")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot execute {}", self.plugin.display()))?;
        if let Some(mut stdin) = plugin.stdin.take() {
            // A plugin that ends without reading has its reason on stdout.
            let _ = stdin.write_all(configuration.to_string().as_bytes());
        }
        let output = plugin.wait_with_output().context("cannot wait for the plugin")?;
        if !output.status.success() {
            bail!(plugin_error(command, &output.stdout, &output.stderr));
        }
        Ok(output.stdout)
    }
}

/// The plugin's error object in words (CNI specification, section 5, "Error").
fn plugin_error(command: &str, stdout: &[u8], stderr: &[u8]) -> anyhow::Error {
    match serde_json::from_slice::<Value>(stdout) {
        Ok(error) => anyhow!(
            "kuryr-cni {command} failed with code {}: {} {}",
            error["code"],
            error["msg"].as_str().unwrap_or_default(),
            error["details"].as_str().unwrap_or_default()
        ),
        Err(_) => anyhow!("kuryr-cni {command} failed without an error object: {}", String::from_utf8_lossy(stderr)),
    }
}
