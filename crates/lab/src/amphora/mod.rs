//! What Octavia's provider `amphora` does, as far as the lab needs it: for each load balancer a machine of its own, here a
//! namespace with the VIP, in which connections, datagrams and requests are passed on to members.
//!
//! What is to be passed on where is read from the fake Octavia each time it has taken a change. Timeouts, limits, persistence
//! of sessions, TLS and health monitors are not played: a member that refuses is passed over, which is what clients see of a
//! monitor.

mod configuration;
mod http;
mod listeners;
mod pool;
mod rules;
mod tcp;
mod udp;

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::sync::watch;

use self::configuration::Configuration;
use crate::clouds::Clouds;
use crate::fabric::{Fabric, Interface};
use crate::node::Node;

/// A load balancer's machine. It ends with this handle.
struct Amphora {
    configuration: watch::Sender<Configuration>,
    _machine: Node,
}

/// Keeps an amphora for each load balancer. Ends only by an error.
pub(crate) async fn run(clouds: Clouds, mut fabric: Fabric) -> Result<()> {
    let mut amphorae: BTreeMap<String, Amphora> = BTreeMap::new();
    let mut changes = clouds.load_balancing_changes();
    loop {
        // What changes while we look is looked at next.
        changes.borrow_and_update();
        let balancers = clouds.load_balancing("loadbalancers");
        let id = |balancer: &Value| balancer["id"].as_str().unwrap_or_default().to_owned();
        amphorae.retain(|known, _| balancers.iter().any(|balancer| id(balancer) == *known));
        for balancer in &balancers {
            let configuration = Configuration::read(balancer, |collection| clouds.load_balancing(collection));
            match amphorae.get(&id(balancer)) {
                Some(amphora) => drop(amphora.configuration.send_if_modified(|known| {
                    let differs = *known != configuration;
                    *known = configuration;
                    differs
                })),
                None => {
                    let Some(vip) = clouds.vip(balancer)? else { continue };
                    let started = Amphora::start(&id(balancer), vip, &mut fabric, configuration).await;
                    let started = started.with_context(|| format!("no amphora for load balancer {}", id(balancer)))?;
                    amphorae.insert(id(balancer), started);
                }
            }
        }
        changes.changed().await.context("the cloud is gone")?;
    }
}

impl Amphora {
    async fn start(id: &str, vip: Interface, fabric: &mut Fabric, configuration: Configuration) -> Result<Amphora> {
        // Names of devices have 15 characters.
        let port = format!("lb-{id:.11}");
        let address = vip.address.addr();
        let machine = Node::start(&port, address)?;
        fabric.connect_amphora(&machine, &port, vip).await?;
        let (configuration, configured) = watch::channel(configuration);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        machine.start_job(move || runtime.block_on(listeners::keep(IpAddr::V4(address), configured)))?;
        Ok(Amphora { configuration, _machine: machine })
    }
}
