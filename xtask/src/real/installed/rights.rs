//! A daemon's credentials do not reach the KuryrPorts of another node, whatever its role says.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use super::super::pods::one;
use super::super::world::{API_ADDRESS, World, eventually};
use super::{NAMESPACE, NODES, components, with_kuryr};

const CHECK: &str = "own-node";

/// With its role alone a daemon writes no KuryrPort at all; with a larger one, bound for this check, its own node's and no other.
pub(in super::super) fn own_node_only(world: &World) -> Result<String> {
    with_kuryr(world, || {
        let pod = one(world, CHECK, Some(NODES[0]))?;
        let tokens: Vec<(String, String)> = components(world, "node")?
            .iter()
            .map(|daemon| {
                let arguments = ["create", "token", "kuryr-cni", "-n", NAMESPACE, "--bound-object-kind", "Pod"];
                let token = world.kubectl(&[&arguments[..], &["--bound-object-name", &daemon.name]].concat())?;
                Ok((daemon.node.clone(), token.trim().to_owned()))
            })
            .collect::<Result<_>>()?;
        let of = |node: &str| tokens.iter().find(|(name, _)| name == node).map(|(_, token)| token.as_str());
        let (own, other) = (of(NODES[0]).context("no daemon")?, of(NODES[1]).context("no daemon")?);
        for token in [own, other] {
            let said = annotate(world, token, &pod.name)?;
            ensure!(said.contains("forbidden"), "a daemon could write a KuryrPort: {said}");
        }
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": CHECK},
            "rules": [{"apiGroups": ["openstack.org"], "resources": ["kuryrports"], "verbs": ["get", "patch"]}],
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": CHECK},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": CHECK},
            "subjects": [{"kind": "ServiceAccount", "name": "kuryr-cni", "namespace": NAMESPACE}],
        });
        world.create(&role)?;
        world.create(&binding)?;
        let result = with_larger_role(world, own, other, &pod.name);
        for kind in ["clusterrolebinding", "clusterrole"] {
            world.kubectl(&["delete", kind, CHECK])?;
        }
        let said = result?;
        world.delete(CHECK)?;
        Ok(format!("refused by role; with a larger role: {said}"))
    })
}

fn with_larger_role(world: &World, own: &str, other: &str, port: &str) -> Result<String> {
    // A new role is known to the API server a moment later.
    eventually("a daemon may write its own node's KuryrPort", Duration::from_secs(30), || {
        let said = annotate(world, own, port)?;
        Ok(said.contains("annotated").then_some(()))
    })?;
    let said = annotate(world, other, port)?;
    if !said.contains("ValidatingAdmissionPolicy") {
        bail!("the other node's daemon was not refused by the policy: {said}");
    }
    Ok(said.trim().lines().next_back().unwrap_or_default().to_owned())
}

/// What kubectl says to a change of a KuryrPort with this token.
fn annotate(world: &World, token: &str, port: &str) -> Result<String> {
    let out = std::process::Command::new(world.kube_bin.join("kubectl"))
        .args(["--kubeconfig", "/dev/null", "--server", &format!("https://{API_ADDRESS}:6443"), "--token", token])
        .arg("--certificate-authority")
        .arg(world.state().join("pki/ca.crt"))
        .args(["annotate", "kuryrport", port, "example.org/checked=yes", "--overwrite"])
        .output()
        .context("kubectl")?;
    Ok([String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)].concat())
}
