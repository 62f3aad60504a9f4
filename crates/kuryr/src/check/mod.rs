//! `kuryr check`: what cloud and cluster lack, each with its cure; and, where Kuryr runs, whether pods reach each other.
//!
//! ```text
//! cloud, services, cluster (ask) ─► cloud_rules, service_rules, cluster_rules (pure) ─► findings ─► page (pure) | JSON
//! after (pods of its own, for a moment) ──────────────────────────────────────────────────┘
//! ```

mod after;
pub(crate) mod cloud;
mod cloud_rules;
pub(crate) mod cluster;
pub(crate) mod cluster_rules;
#[cfg(test)]
pub(crate) mod fake_cloud;
pub(crate) mod finding;
mod service_rules;
mod services;
pub(crate) mod wanted;

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use clap::Args;
use kuryr_openstack::Cloud;

use crate::conf::Conf;
use crate::process::Exit;
use crate::reach::{self, Target};
use crate::screen::Screen;
use crate::status::Output;
use cloud::NodeFacts;
use finding::{Finding, Severity};
use wanted::{Names, Wanted};

/// What `kuryr check` is told.
#[derive(Args, Clone, Debug)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Look at the cloud only
    #[arg(long, conflicts_with = "after")]
    cloud_only: bool,
    /// Make a port bound to each node for a moment: proves the rights, and that nodes and Neutron's agents have the same names
    #[arg(long)]
    try_ports: bool,
    /// Make pods for a moment and see whether they reach each other, their nodes and DNS; done by itself where Kuryr is installed
    #[arg(long)]
    after: bool,
    /// Do not make pods
    #[arg(long, conflicts_with = "after")]
    before: bool,
    /// Image of those pods, with `sleep` and `ping`; the one of kuryr-controller if not said
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// A TCP service outside that pods are to reach
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with_all = ["before", "cloud_only"])]
    external: Option<SocketAddr>,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t = Output::Screen)]
    output: Output,
}

/// Checks. Ends with 0 if nothing is to be mended, 1 if something is, 2 if the command line or the configuration is wrong.
pub(crate) fn run(args: &CheckArgs) -> Exit {
    let conf = match args.target.conf() {
        Ok(conf) => conf,
        Err(errors) => return crate::process::refuse(&errors),
    };
    reach::run(async {
        let mut findings = Vec::new();
        let mut nodes: Vec<NodeFacts> = Vec::new();
        let mut running = None;
        if !args.cloud_only {
            let kube = args.target.kube(&conf).await?;
            let facts = cluster::ask(&kube, &args.target.namespace).await;
            findings.extend(cluster_rules::findings(&facts));
            nodes = facts.nodes.clone().unwrap_or_default();
            running = Some((kube, facts));
        }
        findings.extend(the_cloud(&conf, &nodes, args.try_ports).await?);
        if let Some((kube, facts)) = running {
            findings.extend(if args.after || args.external.is_some() || (facts.installed && !args.before) {
                let image = after::image(args.image.as_deref(), facts.controller_image.as_deref());
                after::findings(&kube, &nodes, image, args.external).await
            } else {
                vec![Finding::skipped(
                    "pods",
                    "Kuryr is not installed as a workload here; --after makes pods all the same",
                )]
            });
        }
        show(&findings, args.output)?;
        let worst = findings.iter().map(|finding| finding.severity).max();
        Ok(if worst == Some(Severity::Error) { Exit::Failed } else { Exit::Done })
    })
}

async fn the_cloud(conf: &Conf, nodes: &[NodeFacts], try_ports: bool) -> Result<Vec<Finding>> {
    let settings = match reach::cloud_settings(conf) {
        Ok(Some(settings)) => settings,
        Ok(None) => {
            return Ok(vec![Finding::skipped(
                "cloud",
                "there are no credentials here; name kuryr.conf with --config-file, or set OS_CLOUD or OS_AUTH_URL",
            )]);
        }
        Err(error) => {
            return Ok(vec![Finding::error(
                "credentials",
                error.to_string(),
                "correct [neutron] in kuryr.conf, or OS_* and clouds.yaml",
            )]);
        }
    };
    let wanted = Wanted::of(conf, Names::KuryrConf)?;
    let mut findings = Vec::new();
    for (missing, title, cure) in [
        (wanted.project.is_empty(), "[neutron_defaults] project", "openstack project list; write its id"),
        (wanted.pod_subnets.is_empty(), "[neutron_defaults] pod_subnet", "openstack subnet list; write its id"),
    ] {
        if missing {
            findings.push(Finding::error(
                "kuryr.conf",
                format!("{title} is not set"),
                format!("{cure} into kuryr.conf"),
            ));
        }
    }
    let address = settings.auth_url.clone();
    let cloud = reach::cloud(settings)?;
    let trials = if try_ports { nodes } else { &[] };
    findings.extend(about(&cloud, &address, &wanted, nodes, trials).await);
    Ok(findings)
}

/// Everything there is to say about a cloud at this address. `trials`: nodes to which a port is bound for a moment.
pub(crate) async fn about(
    cloud: &Cloud,
    address: &str,
    wanted: &Wanted,
    nodes: &[NodeFacts],
    trials: &[NodeFacts],
) -> Vec<Finding> {
    let facts = cloud::ask(cloud, address, wanted, trials).await;
    cloud_rules::findings(&facts, wanted, nodes)
}

fn show(findings: &[Finding], output: Output) -> Result<()> {
    let text = match output {
        Output::Screen => finding::page(findings, Screen::of_stdout()),
        Output::Json => {
            serde_json::to_string_pretty(findings).context("the findings cannot be written as JSON")? + "\n"
        }
    };
    crate::print(&text);
    Ok(())
}

#[cfg(test)]
mod tests;
