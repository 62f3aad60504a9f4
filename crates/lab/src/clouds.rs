//! Both fake clouds, served over TCP, with the network the pods get.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result};
use ipnet::Ipv4Net;
use jiff::Timestamp;
use kube::Client;
use kuryr_api::names::DEVICE_OWNER;
use kuryr_fake::kubernetes::Cluster;
use kuryr_fake::openstack::{ADMIN_PASSWORD, BindPolicy, Cloud, Options};
use kuryr_fake::serve::serve;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::settings::CloudFacts;
use crate::sockets::Sockets;
use crate::timeline::{Stage, Timeline};

/// The pods' subnet.
const CIDR: &str = "10.11.0.0/24";
/// A project and a user every fake cloud has. Binding ports to hosts takes the right to, as it does with a real Neutron.
const PROJECT: &str = "k8s";
const USER: &str = "k8s-admin";

/// Handles to both clouds and what they were set up with.
#[derive(Clone)]
pub(crate) struct Clouds {
    /// The Kubernetes API, on the host and in the lab's namespace alike.
    pub(crate) kubernetes: SocketAddr,
    /// What the controller has to know.
    pub(crate) facts: CloudFacts,
    /// The bridge of the pods' network on every node: Neutron's name for it.
    pub(crate) bridge: String,
    /// The gateway's address in the pods' subnet.
    pub(crate) gateway: Ipv4Net,
    openstack: Cloud,
}

impl Clouds {
    /// Starts both, on the host's sockets and on the same ports in the calling thread's network namespace.
    pub(crate) fn start(seed: u64, host: Sockets) -> Result<Clouds> {
        let address = host.openstack_address()?;
        let kubernetes = host.kubernetes_address()?;
        let inside = host.inside()?;
        let url = format!("http://{address}");
        let openstack = Cloud::new(Options { seed, start: Timestamp::now(), url, ..Options::default() });
        let cluster = Cluster::builder().seed(seed).time(Timestamp::now()).build();
        for sockets in [host, inside] {
            tokio::spawn(openstack.clone().serve(TcpListener::from_std(sockets.openstack)?));
            let cluster = cluster.clone();
            tokio::spawn(serve(TcpListener::from_std(sockets.kubernetes)?, move |request| {
                let cluster = cluster.clone();
                async move { cluster.call(request).await }
            }));
        }

        // The nodes are wired by Linux bridges; the lab's agents say which ports are.
        openstack.bind_policy(None, BindPolicy::Bridge);
        let project_id = openstack.project(PROJECT);
        let seeded = openstack.seed_network(PROJECT, "pods", &[CIDR]);
        let subnet = seeded.subnets.into_iter().next().context("the pods' network has no subnet")?;
        let group = json!({ "name": "pods", "project_id": project_id, "description": "What the lab's pods are in" });
        let group = openstack.create("security-groups", group);
        Ok(Clouds {
            kubernetes,
            bridge: format!("brq{}", seeded.network.get(..11).context("the network's id is short")?),
            gateway: gateway(&openstack, &subnet)?,
            facts: CloudFacts {
                auth_url: openstack.auth_url(),
                user: USER.to_owned(),
                password: ADMIN_PASSWORD.to_owned(),
                project_id,
                subnet,
                security_group: text(&group, "id").to_owned(),
            },
            openstack,
        })
    }

    /// A client of the Kubernetes API for the lab itself.
    pub(crate) fn client(&self) -> Result<Client> {
        let uri = format!("http://{}", self.kubernetes).parse().context("the API server's address is no URI")?;
        Client::try_from(kube::Config::new(uri)).context("cannot make a client of the Kubernetes API")
    }

    /// The `OS_*` variables for the host, as shell commands.
    pub(crate) fn openrc(&self) -> String {
        let variables = self.openstack.openrc(USER, PROJECT);
        variables.iter().map(|(name, value)| format!("export {name}={value}\n")).collect()
    }

    /// An agent saw a port's device join (`plugged`) or leave the bridge of its node.
    pub(crate) fn report_device(&self, node: &str, device: &str, plugged: bool, timeline: &Timeline) {
        let Some(prefix) = device.strip_prefix("tap") else { return };
        let ports = self.openstack.ports();
        let ours = |port: &&Value| text(port, "id").starts_with(prefix) && text(port, "binding:host_id") == node;
        // A port deleted before its device is nobody's business any more.
        let Some(port) = ports.iter().find(ours) else { return };
        let (id, pod_uid) = (text(port, "id"), text(port, "device_id"));
        if plugged {
            timeline.reached(pod_uid, Stage::Plugged);
            self.openstack.set_port_status(id, "ACTIVE");
            timeline.reached(pod_uid, Stage::Active);
        } else {
            self.openstack.set_port_status(id, "DOWN");
        }
    }

    /// Waits until Neutron has no port of a pod any more.
    pub(crate) async fn await_no_pod_ports(&self) {
        // Subscribe first: a change while we look is heard.
        let mut changes = self.openstack.port_changes();
        while self.openstack.ports().iter().any(|port| text(port, "device_owner") == DEVICE_OWNER) {
            // Missed changes are a reason to look again, too; the cloud itself outlives us.
            let _ = changes.recv().await;
        }
    }
}

fn gateway(openstack: &Cloud, subnet: &str) -> Result<Ipv4Net> {
    let subnet = openstack.get("subnets", subnet).context("the pods' subnet is gone")?;
    let network: Ipv4Net = text(&subnet, "cidr").parse().context("the pods' subnet has no IPv4 prefix")?;
    let gateway: IpAddr = text(&subnet, "gateway_ip").parse().context("the pods' subnet has no gateway")?;
    match gateway {
        IpAddr::V4(gateway) => Ok(Ipv4Net::new(gateway, network.prefix_len())?),
        IpAddr::V6(_) => anyhow::bail!("the pods' subnet has the gateway {gateway}"),
    }
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_default()
}
