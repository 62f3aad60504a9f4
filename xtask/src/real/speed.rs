//! `cargo xtask bed bench`: Kuryr's speed in the real bed, beside what it cannot be faster than, in the same run.
//!
//! - `neutron-throughput`: pods that are only scheduled (no kubelet runs), against a bare client making as many ports.
//! - `thirty-pods`: a deployment from its creation until all its pods run, against the sum of as many ports bare and the same deployment with
//!   the reference plugins `bridge` and `host-local`.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::watch::Watch;
use super::world::{NODES, World, text};
use crate::{bed, executables, programs};

/// Pods of one round.
const PODS: usize = 30;
/// As many requests at once as the controller makes by default.
const AT_ONCE: usize = 16;
/// Longest time a round may take; several times what it does.
const ROUND: Duration = Duration::from_secs(180);
/// Label of everything here, as for checks.
const NAME: &str = "speed";
/// Network of the reference plugins.
const BRIDGE: &str = "bridge-beside-kuryr";

/// Measures both; a line for each.
///
/// # Errors
/// When there is no bed, or pods do not come up in it.
pub(crate) fn run(short: bool) -> Result<ExitCode> {
    let rounds = if short { 1 } else { 3 };
    let world = World::new()?;
    world.delete_all()?;
    world.nothing_left(Duration::from_secs(60)).context("the bed is not clean before measuring")?;
    let bare = Bare::build(&world)?;
    kubelets(&world, "stop")?;
    let throughput = neutron_throughput(&world, &bare, rounds);
    kubelets(&world, "start")?;
    throughput?;
    thirty_pods(&world, &bare, rounds)?;
    Ok(ExitCode::SUCCESS)
}

fn neutron_throughput(world: &World, bare: &Bare, rounds: usize) -> Result<()> {
    let (mut ours, mut theirs) = (0.0, 0.0);
    for round in 0..rounds {
        // In turns, so that neither is always first.
        if round % 2 == 0 {
            theirs += bare.ports(PODS)?;
        }
        ours += scheduled_pods(world)?;
        if round % 2 == 1 {
            theirs += bare.ports(PODS)?;
        }
    }
    let ports = (rounds * PODS) as f64;
    println!(
        "measured neutron-throughput {:.3} × {:.2} pods/s against {:.2} ports/s of a bare client, {AT_ONCE} at once, {rounds} rounds of {PODS}",
        theirs / ours,
        ports / ours,
        ports / theirs
    );
    Ok(())
}

/// Pods that are on a node and never start: from the first of them to the last KuryrPort, in seconds.
fn scheduled_pods(world: &World) -> Result<f64> {
    let watch = Watch::start(world, "kuryrports")?;
    let pods: Vec<Value> = (0..PODS)
        .map(|number| {
            let mut pod = World::pod(NAME, &format!("{NAME}-{number}"), None);
            pod["spec"]["nodeName"] = json!(NODES[number % NODES.len()]);
            pod
        })
        .collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": pods });
    let mut kubectl =
        world.kubectl_command(&["create", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    kubectl.stdin.take().context("kubectl has no stdin")?.write_all(list.to_string().as_bytes())?;
    let mut said = BufReader::new(kubectl.stdout.take().context("kubectl has no stdout")?).lines();
    said.next().context("kubectl created nothing")??;
    let begun = Instant::now();
    let _rest: Vec<String> = said.collect::<std::io::Result<_>>()?;
    ensure!(kubectl.wait()?.success(), "kubectl create failed");
    let done =
        watch.until(PODS, ROUND, |port| port["status"]["vifs"]["eth0"].is_object()).context("KuryrPorts with a vif")?;
    let selector = format!("kuryr-real={NAME}");
    world.kubectl(&["delete", "pods", "-l", &selector, "--force", "--grace-period=0", "--wait"])?;
    world.nothing_left(ROUND)?;
    Ok(done.saturating_duration_since(begun).as_secs_f64())
}

fn thirty_pods(world: &World, bare: &Bare, rounds: usize) -> Result<()> {
    let (mut ours, mut ports, mut bridge) = (0.0, 0.0, 0.0);
    for round in 0..rounds {
        if round % 2 == 0 {
            ports += bare.ports(PODS)?;
            bridge += with_bridge(world)?;
        }
        warm(world, "10.20.")?;
        ours += deployment(world, "10.20.")?;
        world.nothing_left(ROUND)?;
        if round % 2 == 1 {
            bridge += with_bridge(world)?;
            ports += bare.ports(PODS)?;
        }
    }
    let each = |seconds: f64| seconds / rounds as f64;
    println!(
        "measured thirty-pods {:.3} × {:.2} s from created to all Running, against {:.2} s for {PODS} ports bare and {:.2} s for {PODS} pods \
         with the bridge plugin, {rounds} rounds",
        ours / (ports + bridge),
        each(ours),
        each(ports),
        each(bridge)
    );
    Ok(())
}

/// The same with the reference plugins instead of Kuryr, in seconds.
fn with_bridge(world: &World) -> Result<f64> {
    // The controller would make ports for these pods, too.
    world.kuryr("stop", "controller")?;
    let took = Reference::install(world).and_then(|()| {
        warm(world, "10.99.")?;
        deployment(world, "10.99.")
    });
    let cleaned = world.delete(NAME);
    let removed = Reference::remove(world);
    let restarted = world.kuryr("restart", "controller");
    // Everything is put back, whatever happened; what happened first is told.
    let took = took?;
    cleaned?;
    removed?;
    restarted?;
    Ok(took)
}

/// A pod on each node: the runtime has read its configuration, and the next pods are not the first.
fn warm(world: &World, prefix: &str) -> Result<()> {
    for node in NODES {
        world.create(&World::pod(NAME, &format!("{NAME}-{node}"), Some(node)))?;
    }
    let pods = world.ready_pods(NAME, NODES.len(), Duration::from_secs(60))?;
    world.delete(NAME)?;
    of_network(pods.iter().map(|pod| pod.address.as_str()), prefix)
}

/// A deployment, from before it is created until all its pods run, in seconds.
fn deployment(world: &World, prefix: &str) -> Result<f64> {
    let watch = Watch::start(world, "pods")?;
    let begun = Instant::now();
    world.create(&World::deployment(NAME, NAME, PODS))?;
    let done = watch.until(PODS, ROUND, |pod| pod["status"]["phase"] == "Running").context("running pods")?;
    let pods = world.get(&["pods", "-l", &format!("kuryr-real={NAME}")])?;
    let pods = pods["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure!(pods.len() == PODS, "{} pods instead of {PODS}", pods.len());
    of_network(pods.iter().map(|pod| text(&pod["status"]["podIP"])), prefix)?;
    world.delete(NAME)?;
    Ok(done.saturating_duration_since(begun).as_secs_f64())
}

/// Whether the pods are on the network that is being measured.
fn of_network<'a>(mut addresses: impl Iterator<Item = &'a str>, prefix: &str) -> Result<()> {
    match addresses.find(|address| !address.starts_with(prefix)) {
        Some(other) => bail!("a pod has the address {other:?}, not {prefix}…: another plugin has wired it"),
        None => Ok(()),
    }
}

/// Stops or starts the kubelets of all nodes.
fn kubelets(world: &World, action: &str) -> Result<()> {
    bed::script_quietly("kubernetes/kubelets.sh", &[action], &[("KUBE_BIN", world.kube_bin.as_os_str())])
}

/// The reference plugins on all nodes, before Kuryr's in the order of file names, which decides.
struct Reference;

impl Reference {
    fn install(world: &World) -> Result<()> {
        for node in NODES {
            let folder = world.state().join("nodes").join(node);
            for plugin in ["bridge", "host-local"] {
                fs::copy(world.kube_bin.join(plugin), folder.join("opt/cni/bin").join(plugin))?;
            }
            let configuration = json!({
                "cniVersion": "1.0.0", "name": BRIDGE,
                "plugins": [{
                    "type": "bridge", "bridge": "speed0", "isGateway": true,
                    "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.99.0.0/24" }]], "routes": [{ "dst": "0.0.0.0/0" }] },
                }],
            });
            // Whole or not at all: the runtime reads it at once.
            let file = folder.join("etc/cni/net.d/00-bridge.conflist");
            fs::write(file.with_extension("new"), configuration.to_string())?;
            fs::rename(file.with_extension("new"), &file)?;
        }
        Ok(())
    }

    fn remove(world: &World) -> Result<()> {
        for node in NODES {
            let folder = world.state().join("nodes").join(node);
            fs::remove_file(folder.join("etc/cni/net.d/00-bridge.conflist"))?;
            for plugin in ["bridge", "host-local"] {
                fs::remove_file(folder.join("opt/cni/bin").join(plugin))?;
            }
            world.on_node(node, &["ip", "link", "delete", "speed0"])?;
            fs::remove_dir_all(folder.join("var/lib/cni/networks").join(BRIDGE))?;
        }
        Ok(())
    }
}

/// The bare client: the benchmark of the controller knows how to be one.
struct Bare {
    program: PathBuf,
    variables: Vec<(&'static str, String)>,
}

impl Bare {
    fn build(world: &World) -> Result<Self> {
        let env = fs::read_to_string(world.state().join("env")).context("the bed has no env file")?;
        let of_bed = |name: &str| {
            let line = env.lines().find_map(|line| line.strip_prefix("export ")?.strip_prefix(name)?.strip_prefix('='));
            line.map(|value| value.trim_matches(['"', '\'']).to_owned())
                .with_context(|| format!("no {name} in the bed's env file"))
        };
        let variables = vec![
            ("OS_CLIENT_CONFIG_FILE", world.state().join("clouds.yaml").display().to_string()),
            ("OS_CLOUD", "k8s-admin".to_owned()),
            ("BARE_NETWORK", of_bed("BED_POD_NETWORK")?),
            ("BARE_SUBNET", of_bed("BED_POD_SUBNET")?),
            ("BARE_SECURITY_GROUP", of_bed("BED_SECURITY_GROUP")?),
            ("BARE_PROJECT", of_bed("BED_PROJECT")?),
            ("BARE_HOSTS", NODES.join(",")),
        ];
        Ok(Self { program: program()?, variables })
    }

    /// How long it takes to create so many ports, in seconds; they are gone afterwards.
    fn ports(&self, count: usize) -> Result<f64> {
        let out = Command::new(&self.program)
            .args(["--bare", &count.to_string(), &AT_ONCE.to_string()])
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .output()
            .with_context(|| self.program.display().to_string())?;
        let said = super::world::succeeded(out, "the bare client")?;
        let seconds = said.lines().find_map(|line| line.strip_prefix("bare ")?.parse().ok());
        seconds.with_context(|| format!("the bare client does not tell its time: {said:?}"))
    }
}

/// The benchmark of the controller, built as it is measured.
fn program() -> Result<PathBuf> {
    let mut cargo = executables::cargo("bench", &[]);
    cargo.args(["--package", "kuryr-controller", "--bench", "scale", "--no-run"]);
    cargo.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let (_, program) =
        programs::benches(cargo, &["scale"])?.pop().context("cargo built no benchmark of the controller")?;
    Ok(program.path)
}
