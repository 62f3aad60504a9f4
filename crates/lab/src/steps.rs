//! The lab, step by step: build the world, start our programs, let pods be born and ping, ask load balancers, show it, take it
//! down.

use std::cell::Cell;
use std::future::Future;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, anyhow};
use futures::future::{pending, select_all, try_join_all};
use kube::Client;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::agent::Agent;
use crate::clouds::Clouds;
use crate::fabric::{Fabric, bridge_network};
use crate::kubelet::Kubelet;
use crate::netlink::Netlink;
use crate::node::Node;
use crate::pods::{self, LabPod};
use crate::program::{Executables, Program};
use crate::progress::Progress;
use crate::sockets::Sockets;
use crate::timeline::Timeline;
use crate::{
    Arguments, amphora, asking, cluster, endpoints, front, ready, report, scheduler, settings, showcase, watching,
};

/// The lab's own address in the management network.
const MANAGEMENT: Ipv4Addr = Ipv4Addr::new(192, 168, 100, 1);
/// The nodes and their addresses there.
const NODES: [(&str, Ipv4Addr); 2] =
    [("n1", Ipv4Addr::new(192, 168, 100, 11)), ("n2", Ipv4Addr::new(192, 168, 100, 12))];
/// `[health_server] port`, default.
const CONTROLLER_HEALTH: u16 = 8082;
/// `[cni_health_server] port`, default.
const DAEMON_HEALTH: u16 = 8090;

/// Does everything; ends early at `end`.
pub(crate) async fn run(arguments: &Arguments, state: &Path, host: Sockets, end: impl Future) -> Result<ExitCode> {
    let lab = Lab {
        progress: Progress::start(),
        state: state.to_owned(),
        logs: front::subdirectory(state, "logs")?,
        timeline: Timeline::default(),
        executables: Executables::find()?,
        shown: Cell::new(false),
    };
    let mut programs = Vec::new();
    let outcome = tokio::select! {
        outcome = lab.run(arguments, host, &mut programs) => outcome,
        // Whoever keeps the lab ends it this way.
        _ = end => return Ok(ExitCode::from(if lab.shown.get() { 0 } else { front::INTERRUPTED })),
    };
    if outcome.is_err() {
        for program in &programs {
            // Nobody reads any more: the exit code still says it.
            let _ = write!(std::io::stderr(), "{}", program.tail());
        }
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

struct Lab {
    progress: Progress,
    state: PathBuf,
    logs: PathBuf,
    timeline: Timeline,
    executables: Executables,
    /// Everything the lab promises has been shown.
    shown: Cell<bool>,
}

/// What pods are born into.
struct World {
    clouds: Clouds,
    client: Client,
    kubelets: Vec<Kubelet>,
    /// What plays the parts that are not ours. None of it ends but by an error.
    actors: JoinSet<Result<()>>,
}

impl Lab {
    async fn run(&self, arguments: &Arguments, host: Sockets, programs: &mut Vec<Program>) -> Result<()> {
        let mut world = self.build(arguments.seed, host).await?;
        self.start_programs(&world, programs).await?;
        let mut actors = std::mem::take(&mut world.actors);
        let ends = programs.iter().map(|program| Box::pin(program.end()));
        tokio::select! {
            outcome = self.live(arguments, &world) => outcome,
            (error, ..) = select_all(ends) => Err(error),
            Some(ended) = actors.join_next() => {
                Err(ended?.err().unwrap_or_else(|| anyhow!("a part of the lab ended"))).context("the lab itself failed")
            }
        }
    }

    /// Everything that is not ours.
    async fn build(&self, seed: u64, host: Sockets) -> Result<World> {
        let clouds = self
            .progress
            .step("fake OpenStack and Kubernetes", async {
                let clouds = Clouds::start(seed, host)?;
                let note =
                    format!("pods {}, VIPs {}", clouds.pods_router.address.trunc(), clouds.vips_router.address.trunc());
                Ok((clouds, note))
            })
            .await?;
        let mut actors = JoinSet::new();
        let nodes = self
            .progress
            .step("provider network and nodes", async {
                let mut fabric = Fabric::build(MANAGEMENT, clouds.pods_router, clouds.vips_router)?;
                let mut nodes = Vec::new();
                for (name, address) in NODES {
                    let node = Node::start(name, address)?;
                    fabric.connect(&node).await?;
                    let bridge = clouds.bridge.clone();
                    node.run(move || bridge_network(&bridge)).await?;
                    actors.spawn(run_agent(node.clone(), clouds.clone(), self.timeline.clone()));
                    nodes.push(node);
                }
                actors.spawn(amphora::run(clouds.clone(), fabric));
                Ok((nodes, format!("bridge {} on {} nodes", clouds.bridge, NODES.len())))
            })
            .await?;
        let (client, kubelets) = self
            .progress
            .step("kubelets and resource definitions", async {
                let client = clouds.client()?;
                cluster::install(&client, &nodes).await?;
                let names = nodes.iter().map(|node| node.name().to_owned()).collect();
                actors.spawn(scheduler::run(client.clone(), names));
                actors.spawn(endpoints::run(client.clone()));
                actors.spawn(watching::run(client.clone(), self.timeline.clone()));
                let plugin = &self.executables.plugin;
                let kubelets: Vec<_> = nodes
                    .into_iter()
                    .map(|node| Kubelet::new(node, client.clone(), plugin.clone(), self.timeline.clone()))
                    .collect();
                for kubelet in &kubelets {
                    actors.spawn(kubelet.clone().run());
                }
                Ok(((client, kubelets), String::new()))
            })
            .await?;
        Ok(World { clouds, client, kubelets, actors })
    }

    /// Everything that is ours: one controller, a daemon on every node.
    async fn start_programs(&self, world: &World, programs: &mut Vec<Program>) -> Result<()> {
        let port = world.clouds.kubernetes.port();
        let controller = settings::controller(&self.state, world.clouds.kubernetes, &world.clouds.facts)?;
        let daemon = settings::daemon(&self.state, SocketAddr::from((MANAGEMENT, port)))?;
        self.progress
            .step("kuryr controller and daemons", async {
                let command = self.kuryr("controller", &controller);
                programs.push(Program::start("controller", command, &self.logs)?);
                let mut probes = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, CONTROLLER_HEALTH))];
                for node in world.kubelets.iter().map(Kubelet::node) {
                    let mut command = self.kuryr("daemon", &daemon);
                    command.env("KUBERNETES_NODE_NAME", node.name());
                    let (name, logs) = (format!("daemon-{}", node.name()), self.logs.clone());
                    programs.push(node.run(move || Program::start(&name, command, &logs)).await?);
                    probes.push(SocketAddr::from((node.address(), DAEMON_HEALTH)));
                }
                try_join_all(programs.iter().zip(probes).map(|(program, probe)| ready::ready(program, probe))).await?;
                Ok(((), "ready".to_owned()))
            })
            .await
    }

    fn kuryr(&self, role: &str, configuration: &Path) -> Command {
        let mut command = Command::new(&self.executables.kuryr);
        // The lab's programs obey the lab's files, not what the caller has set for other clouds and clusters.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["OS_", "KUBE", "POD_"].iter().any(|start| text.starts_with(start)) || text == "K8S_API" {
                command.env_remove(&name);
            }
        }
        command.arg(role).arg("--config-file").arg(configuration);
        command
    }

    /// The pods' lives.
    async fn live(&self, arguments: &Arguments, world: &World) -> Result<()> {
        let World { client, kubelets, .. } = world;
        let pods = self
            .progress
            .step("pods", async {
                let uids = pods::create(client, kubelets, arguments.pods, &self.timeline).await?;
                let pods = pods::await_running(client, kubelets, &uids, &self.timeline).await?;
                let note = format!("{} Running", pods.len());
                Ok((pods, note))
            })
            .await?;
        let answers = self
            .progress
            .step("pings", async {
                let answers = pods::ping_each_other(&pods).await?;
                let note = format!("{} answered", answers.len());
                Ok((answers, note))
            })
            .await?;

        let asked = self
            .progress
            .step("load balancers", async {
                showcase::create(client).await?;
                let asked = showcase::await_ready(client, &pods).await?;
                Ok((asked, "a Service, an Ingress and a Gateway are ready".to_owned()))
            })
            .await?;
        let first = pods.first().context("there are no pods")?;
        let heard = self
            .progress
            .step("requests", async {
                let heard = asking::ask_from(first, &asked).await?;
                let count: usize = heard.iter().flat_map(|answers| answers.values()).sum();
                Ok((heard, format!("{count} answered, by every pod behind each")))
            })
            .await?;

        let fabric = Netlink::open()?.links()?;
        let mut shown = format!(
            "\n{}\n{}\n{}\n{}\n\n{}",
            report::pods(&pods),
            report::way(&pods, &fabric).await?,
            report::birth(&first.name, &self.timeline.birth(&first.uid)),
            report::pings(pods.len(), &answers),
            report::balanced(&first.name, &asked, &heard),
        );
        if arguments.keep {
            let kubeconfig = settings::kubeconfig(&self.state, world.clouds.kubernetes)?;
            shown.push_str(&report::how_to_reach(&kubeconfig, &world.clouds.openrc(), &first.name, &asked));
            print(&shown)?;
            self.shown.set(true);
            return pending().await;
        }
        print(&shown)?;
        self.take_down(world, &pods).await?;
        print(&format!("\nDone in {:.1} s.\n", self.progress.elapsed().as_secs_f64()))
    }

    async fn take_down(&self, world: &World, pods: &[LabPod]) -> Result<()> {
        self.progress
            .step("load balancers deleted", async {
                showcase::delete(&world.client).await?;
                timeout(pods::PATIENCE, world.clouds.await_no_load_balancers())
                    .await
                    .context("Octavia still has load balancers")?;
                Ok(((), "0 load balancers in Octavia, 0 ports of VIPs in Neutron".to_owned()))
            })
            .await?;
        self.progress
            .step("pods deleted", async {
                pods::delete_all(&world.client, pods.iter().map(|pod| &pod.name)).await?;
                timeout(pods::PATIENCE, world.clouds.await_no_pod_ports())
                    .await
                    .context("Neutron still has ports of pods")?;
                for node in world.kubelets.iter().map(Kubelet::node) {
                    let links = node.run(|| Netlink::open()?.links()).await?;
                    let left: Vec<_> = links.iter().filter(|link| link.name.starts_with("tap")).collect();
                    anyhow::ensure!(left.is_empty(), "devices are left on {}: {left:?}", node.name());
                }
                Ok(((), "0 ports in Neutron, 0 devices on the nodes".to_owned()))
            })
            .await
    }
}

/// Plays the Neutron agent of a node until it fails.
async fn run_agent(node: Node, clouds: Clouds, timeline: Timeline) -> Result<()> {
    let name = node.name().to_owned();
    node.run(move || {
        let agent = Agent::start(&clouds.bridge)?;
        agent.run(|device, plugged| clouds.report_device(&name, device, plugged, &timeline))
    })
    .await
}

fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // Nobody reads any more, as in `cargo lab | head`: the lab goes on to its end, and takes everything away.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write the result"),
    }
}
