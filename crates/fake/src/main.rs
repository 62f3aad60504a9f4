//! `kuryr-fake`: an OpenStack and a Kubernetes API over TCP, for trying things out.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use jiff::Timestamp;
use kuryr_fake::kubernetes::Cluster;
use kuryr_fake::openstack::{BindPolicy, Cloud, Latency, Options};
use serde_json::json;
use tokio::net::TcpListener;

/// A fake OpenStack (Keystone, Neutron) and a fake Kubernetes API, in memory. Prints what `openstack` and `kubectl` need to
/// reach them, and serves until Ctrl-C.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where OpenStack listens; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    openstack: SocketAddr,
    /// Where the Kubernetes API listens; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    kubernetes: SocketAddr,
    /// Write the OS_* settings here instead of printing them
    #[arg(long, value_name = "FILE")]
    openrc: Option<PathBuf>,
    /// Write the kubeconfig here instead of printing it
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The user the OS_* settings are for
    #[arg(long, value_enum, default_value_t = User::K8sAdmin)]
    user: User,
    /// Ids are made from this number
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How Neutron binds ports to hosts
    #[arg(long, value_enum, default_value_t = Binding::Ovn)]
    binding: Binding,
    /// Leave bound ports DOWN, instead of playing a data plane that makes them ACTIVE
    #[arg(long)]
    no_data_plane: bool,
    /// Answer as slowly as a small real Neutron
    #[arg(long)]
    slow: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Binding {
    Ovn,
    Ovs,
    OvsHybrid,
    Bridge,
}

impl Binding {
    fn policy(self) -> BindPolicy {
        match self {
            Binding::Ovn => BindPolicy::Ovn,
            Binding::Ovs => BindPolicy::ovs(),
            Binding::OvsHybrid => BindPolicy::ovs_hybrid(),
            Binding::Bridge => BindPolicy::Bridge,
        }
    }
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum User {
    /// Administrator, in a project of its own
    Admin,
    /// Plain user in project k8s
    #[value(name = "k8s")]
    K8s,
    /// Administrator in project k8s: may bind ports to hosts
    #[value(name = "k8s-admin")]
    K8sAdmin,
    /// Plain user in another project
    #[value(name = "k8s-other")]
    K8sOther,
}

impl User {
    fn name_and_project(self) -> (&'static str, &'static str) {
        match self {
            User::Admin => ("admin", "admin"),
            User::K8s => ("k8s", "k8s"),
            User::K8sAdmin => ("k8s-admin", "k8s"),
            User::K8sOther => ("k8s-other", "k8s-other"),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        // One line: `Debug` would add a backtrace where RUST_BACKTRACE is set.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let openstack = listen(arguments.openstack, "--openstack").await?;
    let kubernetes = listen(arguments.kubernetes, "--kubernetes").await?;
    let cloud = cloud(&arguments, format!("http://{}", openstack.local_addr()?));
    let cluster = Cluster::builder().seed(arguments.seed).time(Timestamp::now()).build();

    let (user, project) = arguments.user.name_and_project();
    let settings = cloud.openrc(user, project);
    let settings: String = settings.iter().map(|(name, value)| format!("export {name}={value}\n")).collect();
    publish(&settings, arguments.openrc.as_deref())?;
    publish(&kubeconfig(kubernetes.local_addr()?), arguments.kubeconfig.as_deref())?;
    tokio::select! {
        () = cloud.serve(openstack) => Ok(()),
        () = cluster.serve(kubernetes) => Ok(()),
        stopped = tokio::signal::ctrl_c() => stopped.context("cannot wait for Ctrl-C"),
    }
}

async fn listen(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("cannot listen on {address}: choose another address with {option}"))
}

/// The cloud, with an external network to attach routers to.
fn cloud(arguments: &Arguments, url: String) -> Cloud {
    let cloud = Cloud::new(Options { seed: arguments.seed, url, ..Options::default() });
    cloud.bind_policy(None, arguments.binding.policy());
    let public = cloud.seed_network("admin", "public", &["172.24.4.0/24"]);
    cloud.update("networks", &public.network, json!({"router:external": true}));
    if !arguments.no_data_plane {
        cloud.activate_bound_ports_after(Some(Duration::from_millis(100)));
    }
    if arguments.slow {
        cloud.set_latency(Latency::of_a_small_neutron());
    }
    cloud
}

fn kubeconfig(address: SocketAddr) -> String {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "fake",
        "clusters": [{"name": "fake", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "fake", "user": {}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
    });
    // JSON is YAML.
    format!("{config:#}\n")
}

fn publish(text: &str, file: Option<&Path>) -> anyhow::Result<()> {
    match file {
        Some(file) => std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display())),
        None => {
            print!("{text}");
            Ok(())
        }
    }
}
