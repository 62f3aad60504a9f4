//! What Octavia and Neutron have for Services.

use std::collections::{BTreeSet, HashMap};
use std::sync::OnceLock;

use kuryr_openstack::load_balancing::{LoadBalancer, LoadBalancerQuery, LoadBalancingVersion, ProvisioningStatus};
use kuryr_openstack::network::FloatingIpQuery;
use kuryr_openstack::{Cloud, Error, ErrorKind};

use super::Services;
use super::marks::{MADE, key};
use crate::balancing::children::with_children;
use crate::balancing::index::{Held, Index};
use crate::balancing::keeper::Keeper;
use crate::balancing::repairs::Repairs;
use crate::cache::Key;
use crate::config::Config;
use crate::work::Queue;

impl Keeper for Services {
    type Owner = Key;

    const KEPT: &'static str = "our load balancers";
    const WHO: &'static str = "the Service";

    fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    fn config(&self) -> &Config {
        &self.config
    }

    fn version(&self) -> &OnceLock<LoadBalancingVersion> {
        &self.version
    }

    fn index(&self) -> &Index<Key> {
        &self.index
    }

    fn queue(&self) -> &Queue<Key> {
        &self.queue
    }

    fn repairs(&self) -> &Repairs<Key> {
        &self.repairs
    }

    fn marks(&self) -> &[String] {
        &self.marks.tags
    }

    async fn list_all(&self) -> Result<HashMap<Key, Held>, Error> {
        self.with_all(self.list(None).await?, None).await
    }
}

impl Services {
    /// All there is for one Service.
    pub(super) async fn find(&self, key: &Key) -> Result<Held, Error> {
        let balancers = self.list(Some(key.to_string())).await?;
        let id = balancers.first().map(|(_, balancer)| balancer.id.clone());
        Ok(self.with_all(balancers, id).await?.remove(key).unwrap_or_default())
    }

    /// These load balancers with what is on them and floating IPs; `only` is the one that is meant.
    async fn with_all(
        &self,
        balancers: Vec<(Key, LoadBalancer)>,
        only: Option<String>,
    ) -> Result<HashMap<Key, Held>, Error> {
        let mut all = with_children(self.cloud.load_balancing(), self.project(), balancers, only).await?;
        self.add_floating_ips(&mut all).await?;
        Ok(all)
    }

    /// Floating IPs that were made for a Service, or lead to its load balancer.
    async fn add_floating_ips(&self, all: &mut HashMap<Key, Held>) -> Result<(), Error> {
        let query = FloatingIpQuery { project_id: Some(self.project().to_owned()), ..Default::default() };
        let floating_ips = match self.cloud.network().list_floating_ips(&query).await {
            // A Neutron without routers has none.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            answer => answer?,
        };
        let recorded: HashMap<String, Key> = (self.watched.records.all().into_iter())
            .filter_map(|(key, record)| {
                let info = record.status.as_ref()?.service_pub_ip_info.as_ref()?;
                (info.alloc_method == MADE).then(|| (info.ip_id.clone(), key))
            })
            .collect();
        let vips: HashMap<String, Key> =
            (all.iter()).filter_map(|(key, held)| Some((held.vip_port()?.clone(), key.clone()))).collect();
        for floating in floating_ips {
            let led = floating.port_id.as_ref().and_then(|port| vips.get(port)).cloned();
            let made = self.marks.service_of(&floating).or_else(|| recorded.get(&floating.id).cloned());
            let Some(key) = made.or(led) else { continue };
            let recorded = recorded.get(&floating.id).filter(|of| **of == key).is_some();
            let held = all.entry(key).or_default();
            let leads = floating.port_id.is_some() && floating.port_id.as_ref() == held.vip_port();
            let (first, second) = match held.floating.take() {
                None => (floating, None),
                Some(known) if leads || recorded => (floating, Some(known)),
                Some(known) => (known, Some(floating)),
            };
            held.floating = Some(first);
            // Of somebody else's nothing is to be taken away.
            held.spare.extend(second.filter(|second| self.marks.service_of(second).is_some()));
        }
        Ok(())
    }

    /// Our load balancers, all or those of one name.
    async fn list(&self, name: Option<String>) -> Result<Vec<(Key, LoadBalancer)>, Error> {
        let query = LoadBalancerQuery { project_id: Some(self.project().to_owned()), name, ..Default::default() };
        let listed = self.cloud.load_balancing().list_load_balancers(&query).await?;
        // What kuryr-kubernetes made has no tag, but its KuryrLoadBalancer names it.
        let recorded: BTreeSet<String> = (self.watched.records.all().iter())
            .filter_map(|(_, record)| Some(record.status.as_ref()?.loadbalancer.as_ref()?.id.clone()))
            .collect();
        let ours = listed.into_iter().filter(|balancer| {
            balancer.provisioning_status != ProvisioningStatus::Deleted
                && self.is_of_services(balancer.vip_subnet_id.as_ref())
                && (self.marks.are_on(balancer) || recorded.contains(&balancer.id))
        });
        let mut ours: Vec<(Key, LoadBalancer)> =
            ours.filter_map(|balancer| Some((key(&balancer.name)?, balancer))).collect();
        // Of two with one name, the one that is written down is meant, else the one that has the Service's address, else the older id.
        ours.sort_by_cached_key(|(key, balancer)| {
            let vip = self.watched.services.get(key).and_then(|service| service.cluster_ips.first().copied());
            let is_meant = (recorded.contains(&balancer.id), vip.is_some() && balancer.vip_address == vip);
            (std::cmp::Reverse(is_meant), balancer.id.clone())
        });
        Ok(ours)
    }
}
