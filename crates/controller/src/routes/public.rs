//! Addresses from outside: floating IPs that lead to load balancers.

use kuryr_openstack::network::NewFloatingIp;
use kuryr_openstack::{Error, ErrorKind};

use super::Routes;
use super::owner::Owner;
use crate::trouble::Trouble;

impl Routes {
    /// Makes a floating IP that leads to the load balancer.
    pub(super) async fn publish(&self, owner: &Owner) -> Result<(), Trouble> {
        let Some(external) = &self.settings.balancing.external else { return Ok(()) };
        let Some(port) = self.vip_port(owner) else {
            let message = "Octavia has not said the port of the load balancer's VIP yet";
            return Err(Trouble::transient("VipWithoutPort", message));
        };
        let new = NewFloatingIp {
            floating_network_id: external.network.clone(),
            subnet_id: external.subnet.clone(),
            floating_ip_address: None,
            port_id: Some(port),
            project_id: Some(self.project().to_owned()).filter(|project| !project.is_empty()),
            description: owner.description(self.tag()),
        };
        let made = self.cloud.network().create_floating_ip(&new).await.map_err(|error| {
            if error.outcome_unknown() {
                self.index.mark_uncertain(owner);
            }
            explain(error)
        })?;
        tracing::info!(%owner, address = ?made.floating_ip_address, "floating IP created");
        self.index.change(owner, |held| held.floating = Some(made));
        Ok(())
    }

    /// Lets the floating IP lead to the load balancer.
    pub(super) async fn lead(&self, owner: &Owner, id: &str) -> Result<(), Trouble> {
        let port = self.vip_port(owner);
        match self.cloud.network().set_floating_ip_port(id, port.as_deref()).await {
            Ok(led) => self.index.change(owner, |held| held.floating = Some(led)),
            Err(error) if error.kind() == ErrorKind::NotFound => self.index.change(owner, |held| held.floating = None),
            Err(error) => return Err(explain(error)),
        }
        Ok(())
    }

    /// Gives a floating IP back. Only those that were made for the owner are known here.
    pub(super) async fn withdraw(&self, owner: &Owner, id: &str) -> Result<(), Trouble> {
        match self.cloud.network().delete_floating_ip(id).await {
            Ok(()) => tracing::info!(%owner, id, "floating IP given back"),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        self.index.change(owner, |held| held.floating = None);
        Ok(())
    }

    fn vip_port(&self, owner: &Owner) -> Option<String> {
        self.index.of(owner).0.balancer.as_ref().and_then(|balancer| balancer.vip_port_id.clone())
    }
}

/// What an answer of Neutron's about floating IPs means for the owner.
fn explain(error: Error) -> Trouble {
    let said = error.message().trim_end_matches('.').to_owned();
    match error.kind() {
        ErrorKind::OverQuota => Trouble::quota(
            "QuotaExceeded",
            format!("{said}; raise the project's quota of floating IPs, or give some back; Kuryr goes on by itself"),
        ),
        ErrorKind::AddressesExhausted => Trouble::quota(
            "AddressesExhausted",
            format!("{said}; [neutron_defaults] external_svc_net has no free address; Kuryr goes on by itself"),
        ),
        ErrorKind::NotFound => Trouble::mistake(
            "ExternalNetworkNotFound",
            format!(
                "{said}; set [neutron_defaults] external_svc_net and external_svc_subnet to what exists and is external"
            ),
        ),
        _ => error.into(),
    }
}
