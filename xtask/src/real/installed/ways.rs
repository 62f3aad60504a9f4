//! The ways to install, as docs/installing.md has them.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::super::world::{API_ADDRESS, World, succeeded, text};
use super::{NAMESPACE, kuryr, life, path, values, whole_life};
use crate::bed;

/// `kubectl apply` of the plain manifests, its words in capitals replaced, with an application credential.
pub(in super::super) fn by_manifests(world: &World) -> Result<String> {
    let credential = Credential::new(world)?;
    let text = std::fs::read_to_string(crate::root().join("deploy/manifests/kuryr.yaml"))?;
    let filled = credential.fill(world, &text)?;
    let result = whole_life(world, "manifests", || apply(world, &["-f", "-"], &filled));
    credential.delete(world)?;
    result
}

/// `kubectl apply -k` of an overlay with a kuryr.conf and a cloud.conf of its own.
pub(in super::super) fn by_kustomize(world: &World) -> Result<String> {
    let credential = Credential::new(world)?;
    let base = crate::root().join("deploy/kustomize/base");
    let folder = world.state().join("overlay");
    // kustomize takes folders by their relative paths only.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("base"))?;
    for entry in std::fs::read_dir(&base)? {
        let entry = entry?;
        std::fs::copy(entry.path(), folder.join("base").join(entry.file_name()))?;
    }
    for file in ["kuryr.conf", "cloud.conf"] {
        let filled = credential.fill(world, &std::fs::read_to_string(base.join(file))?)?;
        std::fs::write(folder.join(file), filled)?;
    }
    let overlay = json!({
        "resources": ["base"],
        "generatorOptions": {"disableNameSuffixHash": true},
        "configMapGenerator": [{"name": "kuryr-config", "namespace": NAMESPACE, "behavior": "replace", "files": ["kuryr.conf"]}],
        "secretGenerator": [{"name": "kuryr-cloud", "namespace": NAMESPACE, "behavior": "replace", "files": ["cloud.conf"]}],
    });
    std::fs::write(folder.join("kustomization.yaml"), overlay.to_string())?;
    let result = whole_life(world, "kustomize", || apply(world, &["-k", path(&folder)?], ""));
    credential.delete(world)?;
    result
}

/// The chart, with the real Helm, which also takes away what it remembers.
pub(in super::super) fn by_helm(world: &World) -> Result<String> {
    let helm = bed::helm()?;
    let helm = |arguments: &[&str]| {
        let mut command = Command::new(&helm);
        command.args(arguments).args(["--namespace", NAMESPACE, "--kubeconfig"]).arg(world.state().join("kubeconfig"));
        // What it keeps for a user is not this machine's.
        command.env("HOME", world.state()).env("XDG_CACHE_HOME", world.state().join("helm"));
        succeeded(command.output().context("helm")?, &format!("helm {}", arguments.join(" ")))
    };
    let file = values(world, &json!({}))?;
    let chart = crate::root().join("deploy/helm/kuryr");
    let result =
        whole_life(world, "helm", || helm(&["install", "kuryr", path(&chart)?, "--values", path(&file)?]).map(drop))?;
    // The order docs/uninstalling.md has: what Kuryr took away Helm does not miss.
    helm(&["uninstall", "kuryr"])?;
    Ok(result)
}

/// `kuryr install`, asking cluster and cloud first.
pub(in super::super) fn by_install(world: &World) -> Result<String> {
    let file = values(world, &json!({"apiServer": {}}))?;
    whole_life(world, "install", || {
        let said = kuryr(world, &["install", "--values", path(&file)?])?;
        ensure!(said.contains("OpenStack") && said.contains("created"), "{said}");
        Ok(())
    })
}

/// The operator, told by a `Kuryr`, of which the deletion uninstalls.
pub(in super::super) fn by_operator(world: &World) -> Result<String> {
    let credential = Credential::new(world)?;
    let cloud = world.state().join("cloud.conf");
    let text = std::fs::read_to_string(crate::root().join("deploy/kustomize/base/cloud.conf"))?;
    std::fs::write(&cloud, credential.fill(world, &text)?)?;
    let kuryr_resource = json!({
        "apiVersion": "openstack.org/v1", "kind": "Kuryr", "metadata": {"name": "cluster"},
        "spec": {
            "cluster": {"name": "bed"},
            "apiServer": {"host": API_ADDRESS},
            "cloud": {"existingSecret": "kuryr-cloud"},
            "network": {
                "project": world.setting("PROJECT")?,
                "podSubnets": [world.setting("POD_SUBNET")?],
                "podSecurityGroups": [world.setting("SECURITY_GROUP")?],
            },
        },
    });
    let install = || {
        let secret = ["create", "secret", "generic", "kuryr-cloud", "-n", NAMESPACE, "--from-file"];
        world.kubectl(&[&secret[..], &[path(&cloud)?]].concat())?;
        apply(world, &["-f", "-"], &operator(world)?)?;
        world.kubectl(&["wait", "crd/kuryrs.openstack.org", "--for=condition=Established", "--timeout=30s"])?;
        apply(world, &["-f", "-"], &kuryr_resource.to_string())?;
        world.kubectl(&["wait", "kuryr/cluster", "--for=condition=Available", "--timeout=90s"]).map(drop)
    };
    let result = life(world, "operator", install, || take_operator_out(world))?;
    credential.delete(world)?;
    Ok(result)
}

/// As docs/installing.md has it: the resource first, then the operator, then what is the user's own.
pub(super) fn take_operator_out(world: &World) -> Result<()> {
    world.kubectl(&["delete", "kuryr", "cluster", "--ignore-not-found", "--timeout=120s"])?;
    world.kubectl_reading(&["delete", "--ignore-not-found", "-f", "-"], &operator(world)?)?;
    world.kubectl(&["delete", "secret", "kuryr-cloud", "-n", NAMESPACE, "--ignore-not-found"]).map(drop)
}

/// The operator's own objects, for nodes without kube-proxy.
fn operator(world: &World) -> Result<String> {
    kuryr(world, &["operator", "--print", "--api-server", &format!("{API_ADDRESS}:6443")])
}

fn apply(world: &World, what: &[&str], stdin: &str) -> Result<()> {
    world.kubectl_reading(&[&["apply", "--server-side"], what].concat(), stdin).map(drop)
}

/// An application credential of Kuryr's user.
struct Credential {
    id: String,
    secret: String,
}

impl Credential {
    const NAME: &str = "kuryr-check";

    fn new(world: &World) -> Result<Self> {
        // One that an interrupted check left.
        let _ = world.openstack(&["application", "credential", "delete", Self::NAME]);
        let made = world.openstack(&["application", "credential", "create", Self::NAME, "-f", "json"])?;
        let made: Value = serde_json::from_str(&made).context("openstack application credential create")?;
        Ok(Self { id: text(&made["id"]).to_owned(), secret: text(&made["secret"]).to_owned() })
    }

    /// A file with words in capitals, as the bed has them.
    fn fill(&self, world: &World, file: &str) -> Result<String> {
        let words = [
            ("https://KEYSTONE:5000/v3", format!("http://{API_ADDRESS}:5000/v3")),
            ("API_SERVER", API_ADDRESS.to_owned()),
            ("CREDENTIAL_ID", self.id.clone()),
            ("CREDENTIAL_SECRET", self.secret.clone()),
            ("PROJECT_ID", world.setting("PROJECT")?),
            ("POD_SUBNET_ID", world.setting("POD_SUBNET")?),
            ("SECURITY_GROUP_ID", world.setting("SECURITY_GROUP")?),
        ];
        Ok(words.iter().fold(file.to_owned(), |file, (word, value)| file.replace(word, value)))
    }

    fn delete(&self, world: &World) -> Result<()> {
        world.openstack(&["application", "credential", "delete", &self.id]).map(drop)
    }
}
