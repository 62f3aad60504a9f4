//! Both fake clouds, served over TCP, with the networks of pods and of Services, and the router between them.

use std::net::SocketAddr;
use std::time::Duration;

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
use tokio::sync::watch;

use crate::fabric::Interface;
use crate::settings::CloudFacts;
use crate::sockets::Sockets;
use crate::timeline::{Stage, Timeline};

/// The pods' subnet.
const CIDR: &str = "10.11.0.0/24";
/// The subnet of VIPs. The API server gives out the Services' addresses, from the bottom of it; Octavia takes others from the pool.
const VIPS: &str = "10.96.0.0/16";
const VIPS_POOL: [&str; 2] = ["10.96.128.1", "10.96.255.253"];
const VIPS_ROUTER: &str = "10.96.255.254";
/// What Octavia needs for a change: not the seconds of a real one, but not nothing.
const OCTAVIA_STEP: Duration = Duration::from_millis(5);
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
    /// The router's interface in the pods' subnet.
    pub(crate) pods_router: Interface,
    /// The router's interface among the VIPs.
    pub(crate) vips_router: Interface,
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
        let vips = openstack.create("networks", json!({ "name": "services", "project_id": project_id }));
        let vips = openstack.create(
            "subnets",
            json!({
                "network_id": vips["id"], "project_id": project_id, "name": "services", "cidr": VIPS, "ip_version": 4,
                "gateway_ip": VIPS_ROUTER, "allocation_pools": [{ "start": VIPS_POOL[0], "end": VIPS_POOL[1] }],
            }),
        );
        let vips = text(&vips, "id").to_owned();
        let router = openstack.create("routers", json!({ "name": "kuryr", "project_id": project_id }));
        for subnet in [&subnet, &vips] {
            openstack.add_router_interface(text(&router, "id"), subnet);
        }
        openstack.set_load_balancer_step(OCTAVIA_STEP);
        cluster.install_gateway_api().context("cannot install the definitions of Gateway API")?;
        let group = json!({ "name": "pods", "project_id": project_id, "description": "What the lab's pods are in" });
        let group = openstack.create("security-groups", group);
        Ok(Clouds {
            kubernetes,
            bridge: format!("brq{}", seeded.network.get(..11).context("the network's id is short")?),
            pods_router: router_interface(&openstack, &subnet)?,
            vips_router: router_interface(&openstack, &vips)?,
            facts: CloudFacts {
                auth_url: openstack.auth_url(),
                user: USER.to_owned(),
                password: ADMIN_PASSWORD.to_owned(),
                project_id,
                subnet,
                service_subnet: vips,
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

    /// Tells of every change of load balancers.
    pub(crate) fn load_balancing_changes(&self) -> watch::Receiver<u64> {
        self.openstack.load_balancing_changes()
    }

    /// All of a collection of Octavia's, but for what is being deleted.
    pub(crate) fn load_balancing(&self, collection: &str) -> Vec<Value> {
        let mut all = self.openstack.load_balancing(collection);
        all.retain(|object| text(object, "provisioning_status") != "PENDING_DELETE");
        all
    }

    /// The interface that is the VIP of a load balancer, unless that is gone by now.
    pub(crate) fn vip(&self, load_balancer: &Value) -> Result<Option<Interface>> {
        let port = self.openstack.get("ports", text(load_balancer, "vip_port_id"));
        port.map(|port| interface(&self.openstack, &port)).transpose()
    }

    /// Waits until Neutron has no port of a pod any more.
    pub(crate) async fn await_no_pod_ports(&self) {
        self.await_no_ports(DEVICE_OWNER).await;
    }

    /// Waits until Octavia has no load balancer any more, and Neutron no port of one.
    pub(crate) async fn await_no_load_balancers(&self) {
        self.await_no_ports("Octavia").await;
    }

    async fn await_no_ports(&self, owner: &str) {
        // Subscribe first: a change while we look is heard.
        let mut changes = self.openstack.port_changes();
        while self.openstack.ports().iter().any(|port| text(port, "device_owner") == owner) {
            // Missed changes are a reason to look again, too; the cloud itself outlives us.
            let _ = changes.recv().await;
        }
    }
}

/// The interface of the router in a subnet.
fn router_interface(openstack: &Cloud, subnet: &str) -> Result<Interface> {
    let ports = openstack.ports();
    let port = ports.iter().find(|port| {
        text(port, "device_owner") == "network:router_interface" && port["fixed_ips"][0]["subnet_id"] == subnet
    });
    interface(openstack, port.context("the router has no interface in a subnet")?)
}

/// The interface a port is for.
fn interface(openstack: &Cloud, port: &Value) -> Result<Interface> {
    let fixed = &port["fixed_ips"][0];
    let subnet = openstack.get("subnets", text(fixed, "subnet_id")).context("the subnet of a port is gone")?;
    let network: Ipv4Net = text(&subnet, "cidr").parse().context("a subnet has no IPv4 prefix")?;
    let address = text(fixed, "ip_address").parse().context("a port has no IPv4 address")?;
    Ok(Interface {
        address: Ipv4Net::new(address, network.prefix_len())?,
        mac: text(port, "mac_address").parse().context("a port has no hardware address")?,
    })
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_default()
}
