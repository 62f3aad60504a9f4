//! What Octavia has: loaded once, asked for the states somebody waits for in one call for all, and compared from time to time.

use std::collections::HashMap;
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use kuryr_openstack::load_balancing::{L7Rule, LoadBalancer, LoadBalancerQuery, ProvisioningStatus};
use kuryr_openstack::network::{FloatingIpQuery, TagFilter};
use kuryr_openstack::{Error, ErrorKind};
use tokio_util::sync::CancellationToken;

use super::Routes;
use super::owner::Owner;
use crate::services::index::Held;
use crate::services::upkeep::with_children;

/// Lists of rules asked for at once.
const LISTS_AT_ONCE: usize = 8;

impl Routes {
    /// Loads the index; tries until it succeeds.
    pub(super) async fn load_index(&self) {
        let mut wait = Duration::from_millis(500);
        loop {
            let loaded = async {
                let version = self.cloud.load_balancing().version().await?;
                self.version.get_or_init(|| version);
                self.compare_with_octavia().await
            };
            let Err(error) = loaded.await else { return };
            tracing::warn!(%error, "cannot list the load balancers of Gateways and Ingresses; trying again in {wait:?}");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(15));
        }
    }

    /// Compares with Octavia until `shutdown`.
    pub(super) async fn watch_drift(&self, shutdown: &CancellationToken) {
        loop {
            let rest = tokio::time::sleep(self.config.drift_interval);
            if shutdown.run_until_cancelled(rest).await.is_none() {
                return;
            }
            match shutdown.run_until_cancelled(self.compare_with_octavia()).await {
                None => return,
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::warn!(%error, "cannot list the load balancers of Gateways and Ingresses"),
            }
        }
    }

    /// Asks for the states somebody waits for, until `shutdown`.
    pub(super) async fn poll_pending(&self, shutdown: &CancellationToken) {
        loop {
            let rest = tokio::time::sleep(self.config.activation_interval);
            if shutdown.run_until_cancelled(rest).await.is_none() {
                return;
            }
            let waited_for = self.index.pending();
            if waited_for.is_empty() {
                continue;
            }
            let query = LoadBalancerQuery { project_id: Some(self.project().to_owned()), ..Default::default() };
            match self.cloud.load_balancing().list_load_balancers(&query).await {
                Ok(listed) => {
                    self.index.advance(&waited_for, &listed).into_iter().for_each(|owner| self.queue.wake(owner));
                }
                Err(error) => tracing::debug!(%error, "cannot ask for the states of load balancers"),
            }
        }
    }

    /// One pass: what Octavia has becomes what we know, and whoever it concerns is looked at.
    async fn compare_with_octavia(&self) -> Result<(), Error> {
        self.index.begin_pass();
        let all = self.all(None).await?;
        self.index.end_pass(all).into_iter().for_each(|owner| self.queue.wake(owner));
        Ok(())
    }

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
