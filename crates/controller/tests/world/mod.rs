//! A world for the controller: both fakes in process on the paused clock, and hands for what scheduler, kubelet and users do.

#![allow(dead_code, unused_imports)] // each test file uses its part

pub mod outside;
mod processes;
mod rest;
pub mod routing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kuryr_controller::metrics::Metrics;
use kuryr_controller::{Config, Connections, Election, Fence, Health, Identity, config};
use kuryr_fake::kubernetes::Cluster;
use kuryr_fake::openstack::{ADMIN_PASSWORD, Cloud, Options, Seeded};
use kuryr_openstack::load_balancing::LbAlgorithm;
use kuryr_openstack::{Auth, CloudSettings, Domain, Named, Scope, Secret, Transport, TransportError};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

use self::processes::Ice;

pub use self::processes::{LEASE_NAMESPACE, LEASES, Running, Side, Wire, Witness, holder};
pub use self::rest::at_rest;

/// Namespace of every pod here.
pub const NAMESPACE: &str = "default";
/// Kind in the words of the fake.
pub const PODS: &str = "pods";
/// Kind in the words of the fake.
pub const KURYR_PORTS: &str = "kuryrports.openstack.org";

/// Settings of a controller that balances Services in this subnet with OVN, without addresses from outside.
pub fn services(subnet: String) -> config::Services {
    config::Services {
        subnet,
        second_subnet: None,
        patience: Duration::from_secs(300),
        provider: Some("ovn".to_owned()),
        algorithm: LbAlgorithm::SourceIpPort,
        member_mode: config::MemberMode::L2,
        node_subnets: Vec::new(),
        external: None,
        api_server: false,
        timeouts: (None, None),
    }
}

/// The value of a series among a controller's metrics, if it is there.
pub fn value(registry: &Registry, series: &str) -> Option<f64> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
    line.map(|value| value.parse().unwrap())
}

/// A cloud, a cluster and the settings of a controller between them.
#[derive(Clone)]
pub struct World {
    pub cloud: Cloud,
    pub cluster: Cluster,
    pub network: Seeded,
    pub security_group: String,
    pub config: Config,
    /// What the controller's requests pass on their way to the cloud.
    pub transport: Transport,
    pub password: String,
    /// Duration of the Lease; the rest follows from it.
    pub lease: Duration,
    /// For how long a holder works without a renewal, if not for its usual share of the duration.
    pub renew_deadline: Option<Duration>,
    /// Counts starts.
    starts: Arc<AtomicU64>,
    pub witness: Witness,
}

impl World {
    pub fn new(seed: u64) -> World {
        let cloud = Cloud::new(Options::seeded(seed));
        let network = cloud.seed_network("k8s", "pods", &["10.0.0.0/24"]);
        let project = cloud.project("k8s");
        let group = cloud.create("security-groups", json!({ "name": "pods", "project_id": project }));
        let security_group = group["id"].as_str().unwrap().to_owned();
        let cluster = Cluster::builder().seed(seed).build();
        for definition in kuryr_api::crd::definitions() {
            cluster.create(serde_json::to_value(definition).unwrap()).unwrap();
        }
        for node in ["n1", "n2"] {
            cluster.create(json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": node } })).unwrap();
        }
        let placement = config::Placement {
            project,
            pod_subnets: network.subnets.clone(),
            pod_security_groups: vec![security_group.clone()],
        };
        let ovs_bridge = Some("br-int".to_owned());
        let config = Config { cluster: "c1".into(), placement, ovs_bridge, seed, ..Config::default() };
        let to_transport = |lost| TransportError::Lost(Box::new(lost) as Box<dyn std::error::Error + Send + Sync>);
        let transport = BoxCloneSyncService::new(cloud.clone().into_service().map_err(to_transport));
        let password = ADMIN_PASSWORD.to_owned();
        World {
            cloud,
            cluster,
            network,
            security_group,
            config,
            transport,
            password,
            lease: Duration::from_secs(10),
            renew_deadline: None,
            starts: Arc::default(),
            witness: Witness::default(),
        }
    }

    /// A client of the cloud, as the controller has one.
    pub fn openstack(&self, transport: Transport) -> kuryr_openstack::Cloud {
        let domain = || Domain::Name("Default".into());
        let auth = Auth::Password {
            user: Named::Name { name: "k8s-admin".into(), domain: domain() },
            password: Secret::new(self.password.clone()),
            scope: Scope::Project(Named::Name { name: "k8s".into(), domain: domain() }),
        };
        let settings =
            CloudSettings { seed: Some(self.config.seed), ..CloudSettings::new(self.cloud.auth_url(), auth) };
        kuryr_openstack::Cloud::with_transport(settings, transport)
    }

    /// Starts the controller, if there is only one.
    pub fn start(&self) -> Running {
        self.start_as("controller")
    }

    /// Starts a controller in the pod of this name. Whatever ran in it before has ended.
    pub fn start_as(&self, name: &str) -> Running {
        let wire = Wire::new(name, self.witness.clone(), self.cluster.clone());
        let instance = self.starts.fetch_add(1, Ordering::Relaxed).to_string();
        let pod = name.to_owned();
        let identity = Identity::new(name, &instance, move |holder| holder.rsplit_once('_').unwrap().0 == pod);
        let mut election = Election::new(LEASE_NAMESPACE, identity, self.lease);
        election.renew_deadline = self.renew_deadline.unwrap_or(election.renew_deadline);
        let seed = self.config.seed.wrapping_add(name.bytes().map(u64::from).sum());
        let config = Config { election: Some(election), seed, ..self.config.clone() };
        let fence = Fence::default();
        let connections = Connections {
            kube: kube::client::ClientBuilder::new(wire.kubernetes(), NAMESPACE).with_layer(&fence).build(),
            cloud: self.openstack(fence.cloud(wire.cloud(self.transport.clone()))),
            lease: kube::Client::new(wire.kubernetes(), NAMESPACE),
            fence,
        };
        let (shutdown, health, ice) = (CancellationToken::new(), Health::default(), Ice::default());
        let mut registry = prometheus_client::registry::Registry::default();
        let metrics = Arc::new(Metrics::new(&mut registry));
        let run = kuryr_controller::run(config, connections, metrics, health.clone(), shutdown.clone());
        let task = tokio::spawn(ice.around(run));
        Running { name: name.to_owned(), task, shutdown, health, ice, wire, metrics: registry }
    }

    // ---- users and scheduler ---------------------------------------------------------------------------------------

    /// Creates a pod on a node; `change` is merged into it.
    pub fn create_pod(&self, name: &str, node: &str, change: Value) -> String {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": NAMESPACE },
            "spec": { "nodeName": node, "containers": [{ "name": "c", "image": "i" }] },
        });
        json_patch::merge(&mut pod, &change);
        let created = self.cluster.create(pod).unwrap();
        created["metadata"]["uid"].as_str().unwrap().to_owned()
    }

    pub fn pod(&self, name: &str) -> Option<Value> {
        self.cluster.get(PODS, NAMESPACE, name)
    }

    pub fn kuryr_port(&self, name: &str) -> Option<Value> {
        self.cluster.get(KURYR_PORTS, NAMESPACE, name)
    }

    /// Ends a pod at once, as the kubelet does when its containers are gone.
    pub fn remove_pod(&self, name: &str) {
        self.cluster.delete_now(PODS, NAMESPACE, name).unwrap();
    }

    // ---- kubelet and data plane ------------------------------------------------------------------------------------

    /// Does once what nodes do all the time: wires ports the KuryrPorts name, runs pods whose ports are active.
    pub fn play_nodes(&self) {
        for port in self.cluster.list(KURYR_PORTS, NAMESPACE) {
            let name = port["metadata"]["name"].as_str().unwrap_or_default();
            let vif = &port["status"]["vifs"]["eth0"]["vif"]["versioned_object.data"];
            let Some(id) = vif["id"].as_str() else { continue };
            self.cloud.set_port_status(id, "ACTIVE");
            let pending = self.pod(name).filter(|pod| {
                pod["metadata"]["uid"] == port["spec"]["podUid"]
                    && matches!(pod["status"]["phase"].as_str(), None | Some("Pending"))
            });
            if pending.is_some() && vif["active"] == true {
                self.cluster.patch(PODS, NAMESPACE, name, &json!({ "status": { "phase": "Running" } })).unwrap();
            }
        }
    }

    /// Lets time pass, with nodes at work.
    pub async fn pass(&self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(500)).await;
            self.play_nodes();
        }
    }

    /// Waits, with nodes at work, until `holds` says nothing is wrong any more.
    ///
    /// # Panics
    /// If it does not come about in `limit` of simulated time; says what was still wrong.
    pub async fn until(&self, limit: Duration, holds: impl Fn(&World) -> Result<(), String>) {
        let end = tokio::time::Instant::now() + limit;
        loop {
            match holds(self) {
                Ok(()) => return,
                Err(wrong) if tokio::time::Instant::now() >= end => panic!("after {limit:?}: {wrong}"),
                Err(_) => self.pass(Duration::from_millis(500)).await,
            }
        }
    }

    /// How many requests were to change objects of the cluster; leadership has no part in a pod's life.
    pub fn object_writes(&self) -> usize {
        let entries = self.cluster.log().entries();
        let about_objects = |resource: &str| resource != LEASES && resource != "endpoints";
        entries.iter().filter(|entry| entry.is_write() && about_objects(&entry.resource)).count()
    }

    // ---- looking ---------------------------------------------------------------------------------------------------

    /// Ports of this cluster's pods, by `device_id`.
    pub fn pod_ports(&self) -> BTreeMap<String, Vec<Value>> {
        let mut ports: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for port in self.cloud.ports() {
            let marked = port["description"].as_str().is_some_and(|text| text.ends_with(" kuryr:cluster=c1"));
            if port["device_owner"] == "compute:kuryr" && marked {
                ports.entry(port["device_id"].as_str().unwrap_or_default().to_owned()).or_default().push(port);
            }
        }
        ports
    }

    /// The `Ready` condition of a KuryrPort: reason and message.
    pub fn ready(&self, name: &str) -> Option<(String, String)> {
        let port = self.kuryr_port(name)?;
        let ready =
            port["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == "Ready")?.clone();
        Some((ready["reason"].as_str()?.to_owned(), ready["message"].as_str()?.to_owned()))
    }

    /// Reasons of the Events, oldest first.
    pub fn event_reasons(&self) -> Vec<String> {
        let mut events = self.cluster.list("events.events.k8s.io", "");
        if events.is_empty() {
            events = self.cluster.list("events", "");
        }
        events.iter().filter_map(|event| event["reason"].as_str()).map(str::to_owned).collect()
    }
}
