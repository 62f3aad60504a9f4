//! Which project, network, subnets and security groups a pod gets: the drivers `pod_project_driver`,
//! `pod_subnets_driver`, `pod_security_groups_driver` of kuryr.conf.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use kuryr_openstack::Cloud;
use kuryr_openstack::network::{NetworkDetails, Subnet};
use tokio::time::Instant;

use crate::config::Placement as Settings;
use crate::trouble::Trouble;

/// For how long a network or subnet is believed without asking again.
const BELIEVED: Duration = Duration::from_secs(600);

/// Where a port goes.
#[derive(Clone, Debug)]
pub struct Place {
    /// Project the port belongs to.
    pub project_id: String,
    /// Its network.
    pub network: Arc<NetworkDetails>,
    /// The subnets it gets one address each from; all in `network`.
    pub subnets: Vec<Arc<Subnet>>,
    /// Its security groups; empty: those Neutron gives by default.
    pub security_groups: Vec<String>,
}

/// Finds places, remembering what Neutron said of networks and subnets.
pub struct Placement {
    cloud: Cloud,
    settings: Settings,
    networks: Remembered<NetworkDetails>,
    subnets: Remembered<Subnet>,
}

impl Placement {
    /// With nothing remembered.
    #[must_use]
    pub fn new(cloud: Cloud, settings: Settings) -> Self {
        Self { cloud, settings, networks: Remembered::default(), subnets: Remembered::default() }
    }

    /// Where a pod's main port goes.
    ///
    /// # Errors
    /// When the configured subnets are missing or do not share a network, or the cloud cannot be asked.
    pub async fn of_pod(&self) -> Result<Place, Trouble> {
        let mut subnets = Vec::new();
        for id in &self.settings.pod_subnets {
            subnets.push(self.subnet(id, "[neutron_defaults] pod_subnet").await?);
        }
        let first = subnets.first().ok_or_else(|| {
            Trouble::mistake("SubnetNotConfigured", "set [neutron_defaults] pod_subnet in kuryr.conf to a subnet's id")
        })?;
        if let Some(other) = subnets.iter().find(|subnet| subnet.network_id != first.network_id) {
            let message = format!(
                "the pod subnets {} and {} are in different networks; [neutron_defaults] pod_subnet must name subnets of one",
                first.id, other.id
            );
            return Err(Trouble::mistake("SubnetsDiffer", message));
        }
        let network = self.network(&first.network_id).await?;
        Ok(Place {
            project_id: self.settings.project.clone(),
            network,
            security_groups: self.settings.pod_security_groups.clone(),
            subnets,
        })
    }

    /// Where members of load balancers may be: the subnets of pods, and these of nodes, with their prefixes.
    ///
    /// # Errors
    /// When one is missing, or the cloud cannot be asked.
    pub(crate) async fn of_members(&self, node_subnets: &[String]) -> Result<Vec<(String, IpNet)>, Trouble> {
        let mut subnets = Vec::new();
        let of_pods = self.settings.pod_subnets.iter().map(|id| (id, "[neutron_defaults] pod_subnet"));
        let of_nodes = node_subnets.iter().map(|id| (id, "[pod_vif_nested] worker_nodes_subnets"));
        for (id, option) in of_pods.chain(of_nodes) {
            let subnet = self.subnet(id, option).await?;
            subnets.extend(subnet.cidr.map(|prefix| (subnet.id.clone(), prefix)));
        }
        Ok(subnets)
    }

    /// A subnet that an option names.
    ///
    /// # Errors
    /// When it is missing, or the cloud cannot be asked.
    pub(crate) async fn subnet(&self, id: &str, option: &str) -> Result<Arc<Subnet>, Trouble> {
        let _turn = match self.subnets.get(id).await {
            Ok(subnet) => return Ok(subnet),
            Err(turn) => turn,
        };
        let subnet = self.cloud.network().subnet(id).await.map_err(|error| {
            let found = error.kind() != kuryr_openstack::ErrorKind::NotFound;
            let trouble = Trouble::from(error);
            if found {
                return trouble;
            }
            let message = format!("subnet {id} does not exist; set {option} in kuryr.conf to one that does");
            Trouble::mistake("SubnetNotFound", message)
        })?;
        Ok(self.subnets.put(id, subnet))
    }

    async fn network(&self, id: &str) -> Result<Arc<NetworkDetails>, Trouble> {
        let _turn = match self.networks.get(id).await {
            Ok(network) => return Ok(network),
            Err(turn) => turn,
        };
        let network = self.cloud.network().network(id).await?;
        Ok(self.networks.put(id, network))
    }
}

/// Values with the time they were learnt. One asks at a time; who waited meanwhile gets its answer.
struct Remembered<T> {
    values: Mutex<HashMap<String, (Instant, Arc<T>)>>,
    asking: tokio::sync::Mutex<()>,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self { values: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }
}

impl<T> Remembered<T> {
    /// The value, or the turn to ask for it.
    async fn get(&self, id: &str) -> Result<Arc<T>, tokio::sync::MutexGuard<'_, ()>> {
        if let Some(value) = self.known(id) {
            return Ok(value);
        }
        let turn = self.asking.lock().await;
        self.known(id).ok_or(turn)
    }

    fn known(&self, id: &str) -> Option<Arc<T>> {
        let values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.get(id).filter(|(learnt, _)| learnt.elapsed() < BELIEVED).map(|(_, value)| Arc::clone(value))
    }

    fn put(&self, id: &str, value: T) -> Arc<T> {
        let value = Arc::new(value);
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.insert(id.to_owned(), (Instant::now(), Arc::clone(&value)));
        value
    }
}
