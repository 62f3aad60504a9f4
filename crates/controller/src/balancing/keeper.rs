//! Whoever keeps load balancers for owners of its own: what all of them do in the same way.

use std::collections::HashMap;
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::sync::OnceLock;
use std::time::Duration;

use kuryr_openstack::load_balancing::{
    LoadBalancerQuery, LoadBalancerUpdate, LoadBalancingVersion, ProvisioningStatus,
};
use kuryr_openstack::network::{FloatingIp, NewFloatingIp};
use kuryr_openstack::{Cloud, Error, ErrorKind};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::index::{Held, Index};
use super::public::explain;
use super::repairs::Repairs;
use crate::config::Config;
use crate::rest;
use crate::trouble::Trouble;
use crate::work::Queue;

/// What is repaired by a failover, or by another load balancer.
pub(crate) const BALANCER_FAILED: &str = "the load balancer is in ERROR";
/// 501: the provider has no such thing.
const NOT_IMPLEMENTED: u16 = 501;

/// A reconciler with load balancers in Octavia: one list for all who wait for Octavia, another from time to time for all there is.
pub(crate) trait Keeper {
    /// Who has a load balancer.
    type Owner: Clone + Debug + Display + Eq + Hash + Ord;

    /// Which load balancers it keeps, for logs.
    const KEPT: &'static str;
    /// Who goes on by itself when what is in the way is gone.
    const WHO: &'static str;

    fn cloud(&self) -> &Cloud;
    fn config(&self) -> &Config;
    /// What this Octavia knows; asked before anything else.
    fn version(&self) -> &OnceLock<LoadBalancingVersion>;
    fn index(&self) -> &Index<Self::Owner>;
    fn queue(&self) -> &Queue<Self::Owner>;
    fn repairs(&self) -> &Repairs<Self::Owner>;
    /// The cluster's tag first, then `resource_tags`.
    fn marks(&self) -> &[String];

    /// All that the cloud has of what is kept.
    async fn list_all(&self) -> Result<HashMap<Self::Owner, Held>, Error>;

    /// Where load balancers are made.
    fn project(&self) -> &str {
        &self.config().placement.project
    }

    /// The project as requests say it: one that is not configured is the one of the credentials.
    fn project_id(&self) -> Option<String> {
        Some(self.project().to_owned()).filter(|project| !project.is_empty())
    }

    /// The tags of what is made, where Octavia has tags.
    fn tags(&self) -> Vec<String> {
        let has_tags = self.version().get().is_some_and(|version| version.has_tags());
        if has_tags { self.marks().to_vec() } else { Vec::new() }
    }

    // ---- what there is ---------------------------------------------------------------------------------------------

    /// Loads the index; tries until it succeeds.
    async fn load_index(&self) {
        let mut wait = Duration::from_millis(500);
        loop {
            let loaded = async {
                let version = self.cloud().load_balancing().version().await?;
                self.version().get_or_init(|| version);
                self.compare_with_octavia().await
            };
            let Err(error) = loaded.await else { return };
            tracing::warn!(%error, "cannot list {}; trying again in {wait:?}", Self::KEPT);
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(15));
        }
    }

    /// Compares with Octavia until `shutdown`.
    async fn watch_drift(&self, shutdown: &CancellationToken) {
        loop {
            let rest = tokio::time::sleep(self.config().drift_interval);
            if shutdown.run_until_cancelled(rest).await.is_none() {
                return;
            }
            match shutdown.run_until_cancelled(self.compare_with_octavia()).await {
                None => return,
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::warn!(%error, "cannot list {}", Self::KEPT),
            }
        }
    }

    /// Asks for the states somebody waits for, until `shutdown`.
    async fn poll_pending(&self, shutdown: &CancellationToken) {
        let interval = self.config().activation_interval;
        let mut rest = interval;
        loop {
            if shutdown.run_until_cancelled(tokio::time::sleep(rest)).await.is_none() {
                return;
            }
            let waited_for = self.index().pending();
            if waited_for.is_empty() {
                continue;
            }
            let query = LoadBalancerQuery { project_id: Some(self.project().to_owned()), ..Default::default() };
            let asked = Instant::now();
            match self.cloud().load_balancing().list_load_balancers(&query).await {
                Ok(listed) => {
                    self.index().advance(&waited_for, &listed).into_iter().for_each(|owner| self.queue().wake(owner));
                }
                Err(error) => tracing::debug!(%error, "cannot ask for the states of load balancers"),
            }
            rest = rest::after(asked.elapsed(), rest::OCTAVIA, interval);
        }
    }

    /// One pass: what Octavia has becomes what we know, and whoever it concerns is looked at.
    async fn compare_with_octavia(&self) -> Result<(), Error> {
        self.index().begin_pass();
        let all = self.list_all().await?;
        self.index().end_pass(all).into_iter().for_each(|owner| self.queue().wake(owner));
        Ok(())
    }

    // ---- changes ---------------------------------------------------------------------------------------------------

    /// Replaces what carries a load balancer; where that is not allowed (it is for administrators), not possible, or was in vain, the load
    /// balancer is made anew.
    async fn fail_over(&self, owner: &Self::Owner, id: &str) -> Result<(), Error> {
        if self.repairs().was_repaired(owner, BALANCER_FAILED) {
            return self.delete_balancer(owner, id).await;
        }
        match self.cloud().load_balancing().fail_over(id).await {
            Err(error) if error.kind() == ErrorKind::Forbidden || error.status() == Some(NOT_IMPLEMENTED) => {
                tracing::info!(%owner, balancer = id, %error, "no failover: the load balancer is made anew");
                self.delete_balancer(owner, id).await
            }
            outcome => outcome,
        }
    }

    async fn delete_balancer(&self, owner: &Self::Owner, id: &str) -> Result<(), Error> {
        match self.cloud().load_balancing().delete_load_balancer(id).await {
            Ok(()) => {
                tracing::info!(%owner, balancer = id, "load balancer deleted");
                self.index().change(owner, |held| {
                    if let Some(balancer) = &mut held.balancer {
                        balancer.provisioning_status = ProvisioningStatus::PendingDelete;
                    }
                });
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.index().change(owner, Held::lose_balancer);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Switches a load balancer on.
    async fn switch_on(&self, owner: &Self::Owner, id: &str) -> Result<(), Error> {
        let update = LoadBalancerUpdate { admin_state_up: Some(true), ..LoadBalancerUpdate::default() };
        let changed = self.cloud().load_balancing().update_load_balancer(id, &update).await?;
        self.index().change(owner, |held| held.balancer = Some(changed));
        Ok(())
    }

    /// The port of the load balancer's VIP.
    fn vip_port(&self, owner: &Self::Owner) -> Result<String, Trouble> {
        let port = self.index().of(owner).0.vip_port().cloned();
        port.ok_or_else(|| {
            Trouble::transient("VipWithoutPort", "Octavia has not said the port of the load balancer's VIP yet")
        })
    }

    /// Makes a floating IP.
    async fn create_floating_ip(&self, owner: &Self::Owner, new: &NewFloatingIp) -> Result<FloatingIp, Trouble> {
        let made = self.cloud().network().create_floating_ip(new).await.map_err(|error| {
            if error.outcome_unknown() {
                self.index().mark_uncertain(owner);
            }
            explain(error, new.floating_ip_address, Self::WHO)
        })?;
        tracing::info!(%owner, address = ?made.floating_ip_address, "floating IP created");
        Ok(made)
    }

    /// Lets a floating IP lead to the load balancer.
    async fn lead(&self, owner: &Self::Owner, id: &str) -> Result<(), Trouble> {
        let port = self.vip_port(owner)?;
        match self.cloud().network().set_floating_ip_port(id, Some(&port)).await {
            Ok(led) => self.index().change(owner, |held| held.floating = Some(led)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.index().change(owner, |held| held.floating = None)
            }
            Err(error) => return Err(explain(error, None, Self::WHO)),
        }
        Ok(())
    }

    /// Takes in how a call ended.
    fn take_note(&self, owner: &Self::Owner, outcome: Result<(), Error>) -> Result<(), Error> {
        match outcome {
            Ok(()) => {
                // Octavia is at work on the whole load balancer after each change of a part.
                self.index().change(owner, |held| {
                    if let Some(balancer) = held.balancer.as_mut().filter(|it| !it.provisioning_status.is_pending()) {
                        balancer.provisioning_status = ProvisioningStatus::PendingUpdate;
                    }
                });
                Ok(())
            }
            Err(error) => {
                // What we know is old, or something may have been done: look before doing more.
                let stale = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::Busy);
                if stale || error.outcome_unknown() {
                    self.index().mark_uncertain(owner);
                }
                Err(error)
            }
        }
    }
}

/// What is not there is as good as deleted.
pub(crate) fn gone(outcome: Result<(), Error>) -> Result<(), Error> {
    outcome.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
