//! What the cloud has of what Services need: asked here, judged in [`super::service_rules`]. Creates nothing.

use kuryr_openstack::load_balancing::{
    LoadBalancerQuery, LoadBalancingQuota, LoadBalancingVersion, PoolQuery, Provider,
};
use kuryr_openstack::network::Subnet;
use kuryr_openstack::{Cloud, Error};

use super::cloud::{Answer, Failure};
use super::wanted::WantedServices;

/// What the cloud said.
#[derive(Debug)]
pub(crate) struct ServiceFacts {
    /// The subnet of Services' addresses.
    pub(crate) subnet: Answer<Subnet>,
    /// The subnet of floating IPs, if one is named.
    pub(crate) external_subnet: Option<Answer<Subnet>>,
    /// The newest version of its API that Octavia speaks.
    pub(crate) version: Answer<LoadBalancingVersion>,
    /// Asked if Octavia answers; so is what follows.
    pub(crate) providers: Option<Answer<Vec<Provider>>>,
    pub(crate) quota: Option<Answer<Room>>,
}

/// What the project may have and has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Room {
    pub(crate) limits: LoadBalancingQuota,
    /// Load balancers there are; counted only if anything is limited, as what follows.
    pub(crate) load_balancers: u64,
    pub(crate) listeners: u64,
    pub(crate) pools: u64,
    pub(crate) members: u64,
}

/// Asks for what Services in this project need.
pub(crate) async fn ask(cloud: &Cloud, wanted: &WantedServices, project: &str) -> ServiceFacts {
    let (network, octavia) = (cloud.network(), cloud.load_balancing());
    let mut facts = ServiceFacts {
        subnet: network.subnet(&wanted.subnet).await.map_err(Failure::from),
        external_subnet: None,
        version: octavia.version().await.map_err(Failure::from),
        providers: None,
        quota: None,
    };
    if !wanted.external_subnet.is_empty() {
        facts.external_subnet = Some(network.subnet(&wanted.external_subnet).await.map_err(Failure::from));
    }
    if facts.version.is_ok() {
        facts.providers = Some(octavia.list_providers().await.map_err(Failure::from));
        facts.quota = Some(room(cloud, project).await.map_err(Failure::from));
    }
    facts
}

/// Octavia does not tell how many there are, so they are counted.
async fn room(cloud: &Cloud, project: &str) -> Result<Room, Error> {
    let octavia = cloud.load_balancing();
    let limits = octavia.quota(project).await?;
    let LoadBalancingQuota { load_balancer, listener, pool, member, .. } = limits;
    let mut room = Room { limits, ..Room::default() };
    if [load_balancer, listener, pool, member].iter().all(Option::is_none) {
        return Ok(room);
    }
    let of_project = LoadBalancerQuery { project_id: Some(project.to_owned()), ..LoadBalancerQuery::default() };
    for balancer in octavia.list_load_balancers(&of_project).await? {
        room.load_balancers += 1;
        room.listeners += balancer.listeners.len() as u64;
        room.pools += balancer.pools.len() as u64;
    }
    if member.is_some() {
        let of_project = PoolQuery { project_id: Some(project.to_owned()), ..PoolQuery::default() };
        let pools = octavia.list_pools(&of_project).await?;
        room.members = pools.iter().map(|pool| pool.members.len() as u64).sum();
    }
    Ok(room)
}
