//! `kuryr install`: the objects of Helm's chart without Helm, after asking the cloud and the cluster whether they can work.
//!
//! ```text
//! values ─► objects (pure) ─► --print
//!                │
//!                └─► questions to cluster and cloud ─► server-side apply ─► --wait
//! ```

pub(crate) mod cluster;
#[cfg(test)]
mod deployed;
pub(crate) mod objects;
pub(crate) mod openstack;
pub(crate) mod print;
pub(crate) mod rollout;
pub(crate) mod sense;
pub(crate) mod values;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::check::finding::{Finding, Severity, lines};
use crate::process::{Exit, line};
use crate::screen::Screen;
use objects::Scene;
use values::Values;

/// `kuryr install …`
#[derive(Args, Clone, Debug)]
pub(crate) struct Install {
    /// Values in YAML, as for Helm's chart; can be repeated, later ones win
    #[arg(short = 'f', long, value_name = "FILE")]
    values: Vec<PathBuf>,
    /// One value; what is behind the sign is YAML. Can be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Namespace of everything that has one; it must exist
    #[arg(short, long, default_value = "kube-system")]
    namespace: String,
    /// Print the objects instead; asks nobody
    #[arg(long, conflicts_with_all = ["check", "wait"])]
    print: bool,
    /// Ask the cloud and the cluster, and stop there
    #[arg(long, conflicts_with = "wait")]
    check: bool,
    /// Go on although something is missing
    #[arg(long)]
    force: bool,
    /// Wait until controller and daemons are ready
    #[arg(long)]
    wait: bool,
    /// Seconds to wait
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
    /// File that says where the cluster is; without one $KUBECONFIG, then ~/.kube/config
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of that file
    #[arg(long)]
    context: Option<String>,
    /// Print the schema of the values
    #[arg(long, hide = true, exclusive = true)]
    schema: bool,
}

/// Does it; the exit code is 2 where the user must do something first.
pub(crate) fn run(install: &Install) -> Exit {
    if install.schema {
        return told(print::schema().map(|schema| crate::print(&schema)));
    }
    let values = match Values::read(&install.values, &install.set) {
        Ok(values) => values,
        Err(error) => {
            eprintln!("error: {error:#}");
            return Exit::Refused;
        }
    };
    let refused = sense::refused(&values);
    for line in &refused {
        eprintln!("{}: {line}", if install.force { "warning" } else { "error" });
    }
    if !refused.is_empty() && !install.force {
        return Exit::Refused;
    }
    if install.print {
        let scene = Scene { values: &values, namespace: &install.namespace };
        return told(objects::all(&scene).and_then(|objects| print::yaml(&objects)).map(|yaml| crate::print(&yaml)));
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start");
    told(runtime.and_then(|runtime| runtime.block_on(install_into_cluster(install, values))))
}

fn told(outcome: Result<Exit>) -> Exit {
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {}", line(&error));
        Exit::Failed
    })
}

async fn install_into_cluster(install: &Install, mut values: Values) -> Result<Exit> {
    let config = cluster::config(install.kubeconfig.as_deref(), install.context.as_deref()).await?;
    let server = cluster::api_server(&config.cluster_url);
    let address = config.cluster_url.clone();
    let client = kube::Client::try_from(config).with_context(|| format!("no client for {address} can be made"))?;

    println!("Cluster {address}");
    let (mut findings, nodes) = cluster::ask(&client, &install.namespace).await?;
    if values.api_server.host.is_empty() {
        match server {
            Some((host, port)) => (values.api_server.host, values.api_server.port) = (host, port),
            None => findings.push(Finding::warning(
                "api server",
                format!("the API server is {address} here, an address only this machine has"),
                "set apiServer.host and apiServer.port to what nodes reach it at, unless kube-proxy serves the Service kubernetes",
            )),
        }
    }
    tell(&findings);
    println!("OpenStack");
    let about_cloud = openstack::ask(&client, &values, &install.namespace, &nodes).await;
    tell(&about_cloud);
    findings.extend(about_cloud);
    let missing = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    if missing > 0 && !install.force {
        eprintln!(
            "error: nothing was changed: {missing} of the above must be cured first (--force goes on in spite of it)"
        );
        return Ok(Exit::Refused);
    }
    if install.check {
        return Ok(Exit::Done);
    }

    println!("Objects");
    let scene = Scene { values: &values, namespace: &install.namespace };
    for object in &objects::all(&scene)? {
        let done = cluster::apply(&client, object).await?;
        println!("  {done:<9} {}", cluster::title(object));
    }
    if install.wait {
        println!("Waiting");
        rollout::wait(&client, &install.namespace, Duration::from_secs(install.timeout)).await?;
    } else {
        println!("  see how it comes up: kubectl -n {} get pods -l app.kubernetes.io/name=kuryr", install.namespace);
    }
    Ok(Exit::Done)
}

fn tell(findings: &[Finding]) {
    crate::print(&lines(findings, Screen::of_stdout()));
}
