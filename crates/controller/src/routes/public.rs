//! Addresses from outside: floating IPs that lead to load balancers.

use kuryr_openstack::ErrorKind;
use kuryr_openstack::network::NewFloatingIp;

use super::Routes;
use super::owner::Owner;
use crate::balancing::keeper::Keeper as _;
use crate::trouble::Trouble;

impl Routes {
    /// Makes a floating IP that leads to the load balancer.
    pub(super) async fn publish(&self, owner: &Owner) -> Result<(), Trouble> {
        let Some(external) = &self.settings.balancing.external else { return Ok(()) };
        let new = NewFloatingIp {
            floating_network_id: external.network.clone(),
            subnet_id: external.subnet.clone(),
            floating_ip_address: None,
            port_id: Some(self.vip_port(owner)?),
            project_id: self.project_id(),
            description: owner.description(self.tag()),
        };
        let made = self.create_floating_ip(owner, &new).await?;
        self.index.change(owner, |held| held.floating = Some(made));
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
}
