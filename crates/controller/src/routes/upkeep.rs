//! What Octavia and Neutron have for Gateways and Ingresses.

use std::collections::HashMap;
use std::sync::OnceLock;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use kuryr_openstack::load_balancing::{
    L7Rule, LoadBalancer, LoadBalancerQuery, LoadBalancingVersion, ProvisioningStatus,
};
use kuryr_openstack::network::{FloatingIpQuery, TagFilter};
use kuryr_openstack::{Cloud, Error, ErrorKind};

use super::Routes;
use super::owner::Owner;
use crate::balancing::children::{LISTS_AT_ONCE, with_children};
use crate::balancing::index::{Held, Index};
use crate::balancing::keeper::Keeper;
use crate::balancing::repairs::Repairs;
use crate::config::Config;
use crate::work::Queue;

impl Keeper for Routes {
    type Owner = Owner;

    const KEPT: &'static str = "the load balancers of Gateways and Ingresses";
    const WHO: &'static str = "Kuryr";

    fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    fn config(&self) -> &Config {
        &self.config
    }

    fn version(&self) -> &OnceLock<LoadBalancingVersion> {
        &self.version
    }

    fn index(&self) -> &Index<Owner> {
        &self.index
    }

    fn queue(&self) -> &Queue<Owner> {
        &self.queue
    }

    fn repairs(&self) -> &Repairs<Owner> {
        &self.repairs
    }

    fn marks(&self) -> &[String] {
        &self.tags
    }

    async fn list_all(&self) -> Result<HashMap<Owner, Held>, Error> {
        self.all(None).await
    }
}

impl Routes {
    /// All there is for one owner.
    pub(super) async fn find(&self, owner: &Owner) -> Result<Held, Error> {
        Ok(self.all(Some(owner)).await?.remove(owner).unwrap_or_default())
    }

    /// All there is, for everybody or for one.
    async fn all(&self, only: Option<&Owner>) -> Result<HashMap<Owner, Held>, Error> {
        let (octavia, project) = (self.cloud.load_balancing(), self.project());
        let name = only.map(Owner::name);
        let query = LoadBalancerQuery { project_id: Some(project.to_owned()), name, ..Default::default() };
        let listed = octavia.list_load_balancers(&query).await?;
        let ours = listed.into_iter().filter(|balancer| {
            balancer.provisioning_status != ProvisioningStatus::Deleted
                && balancer.vip_subnet_id.as_ref() == Some(&self.settings.balancing.subnet)
        });
        let ours: Vec<(Owner, LoadBalancer)> =
            ours.filter_map(|balancer| Some((Owner::of_balancer(&balancer, self.tag())?, balancer))).collect();
        let id = only.and(ours.first().map(|(_, balancer)| balancer.id.clone()));
        let mut all = with_children(octavia, project, ours, id).await?;
        self.add_policies(&mut all).await?;
        self.add_floating_ips(&mut all).await?;
        Ok(all)
    }

    async fn add_policies(&self, all: &mut HashMap<Owner, Held>) -> Result<(), Error> {
        let owners: HashMap<String, Owner> = (all.iter())
            .flat_map(|(owner, held)| held.listeners.iter().map(|listener| (listener.id.clone(), owner.clone())))
            .collect();
        if owners.is_empty() {
            return Ok(());
        }
        let octavia = self.cloud.load_balancing();
        let listed = match octavia.list_l7_policies(Some(self.project()), &TagFilter::default()).await {
            // Where no provider has them.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            listed => listed?,
        };
        let mut ids = Vec::new();
        for policy in listed {
            let Some(owner) = owners.get(&policy.listener_id) else { continue };
            ids.push((owner.clone(), policy.id.clone()));
            all.entry(owner.clone()).or_default().policies.push(policy);
        }
        let asked = ids.into_iter().map(|(owner, policy)| {
            let octavia = &octavia;
            async move {
                match octavia.list_l7_rules(&policy).await {
                    Ok(rules) => Ok((owner, policy, rules)),
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok((owner, policy, Vec::new())),
                    Err(error) => Err(error),
                }
            }
        });
        let lists: Vec<(Owner, String, Vec<L7Rule>)> =
            stream::iter(asked).buffer_unordered(LISTS_AT_ONCE).try_collect().await?;
        for (owner, policy, rules) in lists {
            all.entry(owner).or_default().rules.insert(policy, rules);
        }
        Ok(())
    }

    /// Floating IPs that were made for an owner.
    async fn add_floating_ips(&self, all: &mut HashMap<Owner, Held>) -> Result<(), Error> {
        let query = FloatingIpQuery { project_id: Some(self.project().to_owned()), ..Default::default() };
        let floating_ips = match self.cloud.network().list_floating_ips(&query).await {
            // A Neutron without routers has none.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            answer => answer?,
        };
        for floating in floating_ips {
            if let Some(owner) = Owner::of_floating_ip(&floating, self.tag()) {
                all.entry(owner).or_default().floating = Some(floating);
            }
        }
        Ok(())
    }
}
