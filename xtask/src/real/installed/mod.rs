//! Kuryr as it is installed: pods of its image on nodes that have no network yet, each way a user has, and everything gone afterwards.

mod leaders;
mod node;
mod rights;
mod rolling;
mod security;
mod ways;

pub(super) use leaders::frozen;
pub(super) use node::repaired;
pub(super) use rights::own_node_only;
pub(super) use rolling::rolled;
pub(super) use ways::{by_helm, by_install, by_kustomize, by_manifests, by_operator};

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::pods::all_answer;
use super::world::{API_ADDRESS, NODES, World, conditions, eventually, succeeded, text};
use crate::{bed, executables, image};

/// The image under the name that manifests give it, and once more under another tag, to roll to.
const TAGS: [&str; 2] = [concat!("docker.io/kuryr/kuryr:", env!("CARGO_PKG_VERSION")), "docker.io/kuryr/kuryr:next"];
/// Where everything goes.
const NAMESPACE: &str = "kube-system";
/// What marks everything that is installed.
const LABEL: &str = "app.kubernetes.io/name=kuryr";
/// From apply to nodes that are Ready.
const READY: Duration = Duration::from_secs(60);

/// A bed without Kuryr, whose nodes have its image.
///
/// # Errors
/// When the image cannot be built, or the nodes do not take it.
pub(super) fn prepare(world: &World) -> Result<()> {
    bed::script_quietly("kuryr/down.sh", &[], &[])?;
    world.kubectl(&[
        "delete",
        "customresourcedefinition",
        "kuryrports.openstack.org",
        "kuryrs.openstack.org",
        "--ignore-not-found",
        "--wait",
    ])?;
    let file = world.state().join("kuryr-image.tar");
    image::make(&file, Some(TAGS[0].to_owned()), None)?;
    let ctr = world.kube_bin.join("ctr").display().to_string();
    for node in NODES {
        world.on_node(node, &[&ctr, "-n", "k8s.io", "images", "import", "--local", path(&file)?])?;
        world.on_node(node, &[&ctr, "-n", "k8s.io", "images", "tag", "--force", TAGS[0], TAGS[1]])?;
    }
    not_ready(world)
}

/// Whatever a failed check left is taken away, so that the next begins with nothing.
///
/// # Errors
/// When it cannot be.
pub(super) fn clear(world: &World) -> Result<()> {
    if world.kubectl(&["get", "customresourcedefinition", "-o", "name"])?.contains("kuryrs.openstack.org") {
        ways::take_operator_out(world)?;
    }
    let there = world.kubectl(&["get", "deployments,daemonsets", "-n", NAMESPACE, "-l", LABEL, "-o", "name"])?;
    if there.trim().is_empty() { Ok(()) } else { uninstall(world) }
}

/// Until containerd has noticed that there is no network.
fn not_ready(world: &World) -> Result<()> {
    eventually("nodes NotReady without a CNI", Duration::from_secs(60), || {
        Ok(ready_nodes(world)?.is_empty().then_some(()))
    })
}

fn ready_nodes(world: &World) -> Result<Vec<String>> {
    let nodes = world.get(&["nodes"])?;
    let ready = |node: &&Value| conditions(node).any(|c| c["type"] == "Ready" && c["status"] == "True");
    let nodes = nodes["items"].as_array().into_iter().flatten().filter(ready);
    Ok(nodes.map(|node| text(&node["metadata"]["name"]).to_owned()).collect())
}

/// [`life`], ended by `kuryr uninstall`.
///
/// # Errors
/// When something is not as promised.
fn whole_life(world: &World, check: &str, install: impl FnOnce() -> Result<()>) -> Result<String> {
    life(world, check, install, || kuryr(world, &["uninstall", "--yes"]).map(drop))
}

/// Installs, waits for the nodes, starts ten pods and looks at everything; then uninstalls and looks whether anything is left.
///
/// # Errors
/// When something is not as promised.
fn life(
    world: &World,
    check: &str,
    install: impl FnOnce() -> Result<()>,
    uninstall: impl FnOnce() -> Result<()>,
) -> Result<String> {
    ensure!(ready_nodes(world)?.is_empty(), "a node is Ready before there is a network");
    let begun = Instant::now();
    install()?;
    let took = nodes_ready(world, begun)?;
    world.create(&World::deployment(check, check, 10))?;
    let pods = world.ready_pods(check, 10, Duration::from_secs(90))?;
    all_answer(&pods)?;
    let ports = world.ports()?.len();
    ensure!(ports == 10, "{ports} ports for 10 pods");
    let security = security::as_promised(world)?;
    world.delete(check)?;
    let begun = Instant::now();
    uninstall()?;
    let gone = begun.elapsed().as_secs_f64();
    nothing_left(world)?;
    Ok(format!("nodes Ready after {took:.1} s, 10 pods with ports ping; {security}; gone after {gone:.1} s"))
}

/// Seconds from the installation until both nodes are Ready.
fn nodes_ready(world: &World, begun: Instant) -> Result<f64> {
    eventually("both nodes Ready", READY, || Ok((ready_nodes(world)?.len() == NODES.len()).then_some(())))
        .or_else(|error| bail!("{error:#}; {}", why_not(world)))?;
    Ok(begun.elapsed().as_secs_f64())
}

/// What Kuryr's pods say when they do not come up.
fn why_not(world: &World) -> String {
    let pods = world.kubectl(&["get", "pods", "-n", NAMESPACE, "-l", LABEL, "-o", "wide"]).unwrap_or_default();
    let selector = ["logs", "-n", NAMESPACE, "-l", LABEL, "--tail=5", "--prefix"];
    let logs = world.kubectl(&selector).unwrap_or_else(|error| format!("{error:#}"));
    format!("{}\n{}", pods.trim(), logs.trim())
}

/// `kuryr uninstall`, and our own look for what it may have left.
fn uninstall(world: &World) -> Result<()> {
    kuryr(world, &["uninstall", "--yes"])?;
    nothing_left(world)
}

/// Whether nothing of ours is in cluster, cloud and on the nodes.
fn nothing_left(world: &World) -> Result<()> {
    world_has_none(world)?;
    for node in NODES {
        let left = "find /opt/cni/bin /etc/cni/net.d /run/kuryr /var/lib/kuryr -mindepth 1 2>/dev/null | grep -i kuryr | grep -v kuryr-bed || true";
        let left = world.on_node(node, &["sh", "-c", left])?;
        ensure!(left.trim().is_empty(), "left on {node}: {}", left.trim().replace('\n', ", "));
    }
    not_ready(world)
}

/// Whether nothing of ours is in cluster and cloud.
fn world_has_none(world: &World) -> Result<()> {
    let ports = world.ports()?;
    ensure!(ports.is_empty(), "{} Neutron ports are left", ports.len());
    let kinds = world.kubectl(&["api-resources", "--verbs=list", "-o", "name"])?;
    let kinds: Vec<&str> = kinds.split_whitespace().filter(|kind| !kind.starts_with("events")).collect();
    let left = world.kubectl(&["get", &kinds.join(","), "-A", "-l", LABEL, "-o", "name", "--ignore-not-found"])?;
    ensure!(left.trim().is_empty(), "left in the cluster: {}", left.trim().replace('\n', ", "));
    let named = kinds.iter().find(|kind| kind.ends_with("openstack.org"));
    ensure!(named.is_none(), "a custom resource is left: {}", named.unwrap_or(&""));
    Ok(())
}

/// The program people run, as it is shipped, beside the cluster and the cloud.
fn kuryr(world: &World, arguments: &[&str]) -> Result<String> {
    let out = Command::new(executables::build()?.kuryr)
        .args(arguments)
        .env("KUBECONFIG", world.state().join("kubeconfig"))
        .env("OS_CLIENT_CONFIG_FILE", world.state().join("clouds.yaml"))
        .env("OS_CLOUD", "k8s-admin")
        .stdin(Stdio::null())
        .output()
        .context("kuryr")?;
    succeeded(out, &format!("kuryr {}", arguments.join(" ")))
}

/// Values as a user would write them, in a file of the bed.
fn values(world: &World, more: &Value) -> Result<PathBuf> {
    let mut values = json!({
        "cluster": {"name": "bed"},
        "apiServer": {"host": API_ADDRESS},
        "cloud": {
            "authUrl": format!("http://{API_ADDRESS}:5000/v3"), "region": "RegionOne",
            "username": "k8s-admin", "password": "tenantpw", "projectName": "k8s",
        },
        "network": {
            "project": world.setting("PROJECT")?,
            "podSubnets": [world.setting("POD_SUBNET")?],
            "podSecurityGroups": [world.setting("SECURITY_GROUP")?],
        },
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        values[key] = value.clone();
    }
    let file = world.state().join("values.yaml");
    std::fs::write(&file, values.to_string()).with_context(|| file.display().to_string())?;
    Ok(file)
}

/// Kuryr with two controllers, for a check that is not about installing; ends with everything gone.
fn with_kuryr<T>(world: &World, check: impl FnOnce() -> Result<T>) -> Result<T> {
    let file = values(world, &json!({}))?;
    kuryr(world, &["install", "--wait", "--values", path(&file)?])?;
    let begun = Instant::now();
    nodes_ready(world, begun)?;
    let result = check();
    let log = keep_logs(world);
    if result.is_ok() {
        uninstall(world)?;
    }
    result.with_context(|| format!("logs: {log}"))
}

/// The logs of Kuryr's pods, kept where the bed keeps its own.
fn keep_logs(world: &World) -> String {
    let file = world.log("kuryr-pods");
    let said = world.kubectl(&["logs", "-n", NAMESPACE, "-l", LABEL, "--tail=-1", "--prefix"]).unwrap_or_default();
    // For people to look at; the check has its result without it.
    let _ = std::fs::write(&file, said);
    file.display().to_string()
}

fn path(file: &Path) -> Result<&str> {
    file.to_str().with_context(|| format!("{} is not UTF-8", file.display()))
}

/// One of Kuryr's pods.
struct Component {
    name: String,
    node: String,
    /// Process on this machine of its only container.
    pid: u32,
}

/// Kuryr's pods of a component (`controller`, `node`) that run.
fn components(world: &World, component: &str) -> Result<Vec<Component>> {
    let selector = format!("{LABEL},app.kubernetes.io/component={component}");
    let pods = world.get(&["pods", "-n", NAMESPACE, "-l", &selector])?;
    let mut found = Vec::new();
    for pod in pods["items"].as_array().into_iter().flatten() {
        let id = text(&pod["status"]["containerStatuses"][0]["containerID"]);
        let (Some(id), true) = (id.strip_prefix("containerd://"), pod["metadata"]["deletionTimestamp"].is_null())
        else {
            continue;
        };
        let node = text(&pod["spec"]["nodeName"]).to_owned();
        let ctr = world.kube_bin.join("ctr").display().to_string();
        let tasks = world.on_node(&node, &[&ctr, "-n", "k8s.io", "tasks", "ls"])?;
        let task =
            tasks.lines().find(|line| line.starts_with(id)).with_context(|| format!("no task {id} on {node}"))?;
        let pid = task.split_whitespace().nth(1).and_then(|pid| pid.parse().ok());
        let name = text(&pod["metadata"]["name"]).to_owned();
        found.push(Component { name, node, pid: pid.with_context(|| format!("no pid in {task:?}"))? });
    }
    Ok(found)
}
