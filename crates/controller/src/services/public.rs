//! Addresses from outside: floating IPs that lead to load balancers. With `apply`, what changes something outside the process.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kuryr_openstack::network::{FloatingIp, FloatingIpQuery, NewFloatingIp};
use kuryr_openstack::{Error, ErrorKind};
use serde_json::json;

use super::Services;
use super::desired::Balancer;
use super::facts::ServiceFacts;
use super::plan::Observed;
use crate::cache::Key;
use crate::trouble::Trouble;

impl Services {
    /// Lets a floating IP lead to the load balancer: the one that is asked for, or a new one.
    pub(super) async fn publish(&self, key: &Key, wanted: &Balancer) -> Result<(), Trouble> {
        let (Some(external), Some(public)) = (&self.settings.external, &wanted.public) else { return Ok(()) };
        let port = self.index.of(key).0.balancer.as_ref().and_then(|balancer| balancer.vip_port_id.clone());
        let Some(port) = port else {
            return Err(Trouble::transient(
                "VipWithoutPort",
                "Octavia has not said the port of the load balancer's VIP yet",
            ));
        };
        if let Some(asked) = public.asked
            && let Some(found) = self.asked_for(key, asked, &port).await?
        {
            let led = self.cloud.network().set_floating_ip_port(&found.id, Some(&port)).await?;
            tracing::info!(%key, address = %asked, "floating IP taken");
            self.index.change(key, |held| held.floating = Some(led));
            return Ok(());
        }
        let new = NewFloatingIp {
            floating_network_id: external.network.clone(),
            subnet_id: external.subnet.clone(),
            floating_ip_address: public.asked,
            port_id: Some(port),
            project_id: Some(self.project().to_owned()).filter(|project| !project.is_empty()),
            description: self.marks.description(key),
        };
        let made = self.cloud.network().create_floating_ip(&new).await.map_err(|error| {
            if error.outcome_unknown() {
                self.index.mark_uncertain(key);
            }
            explain(error, public.asked)
        })?;
        tracing::info!(%key, address = ?made.floating_ip_address, "floating IP created");
        self.index.change(key, |held| held.floating = Some(made));
        Ok(())
    }

    /// The floating IP with an address that is asked for, if there is one and it is free.
    async fn asked_for(&self, key: &Key, address: IpAddr, port: &str) -> Result<Option<FloatingIp>, Trouble> {
        let query = FloatingIpQuery { address: Some(address), ..FloatingIpQuery::default() };
        let found = self.cloud.network().list_floating_ips(&query).await?.into_iter().next();
        match found {
            Some(found) if found.port_id.as_deref().is_some_and(|known| known != port) => {
                let known = found.port_id.unwrap_or_default();
                let message = format!(
                    "floating IP {address} leads to port {known} already; take it off there, or ask for another address \
                     (spec.loadBalancerIP)"
                );
                Err(Trouble::mistake("AddressInUse", message))
            }
            Some(found) if self.marks.service_of(&found).is_some_and(|other| other != *key) => {
                let message =
                    format!("floating IP {address} was made for another Service; ask for another address, or for none");
                Err(Trouble::mistake("AddressInUse", message))
            }
            Some(found) if !self.project().is_empty() && found.project_id != self.project() => {
                let message = format!(
                    "floating IP {address} is of another project ({}); ask for one of project {}, or for none",
                    found.project_id,
                    self.project()
                );
                Err(Trouble::mistake("AddressOfOthers", message))
            }
            found => Ok(found),
        }
    }

    /// Lets a floating IP lead to the load balancer.
    pub(super) async fn lead(&self, key: &Key, id: &str) -> Result<(), Trouble> {
        let port = self.index.of(key).0.balancer.as_ref().and_then(|balancer| balancer.vip_port_id.clone());
        match self.cloud.network().set_floating_ip_port(id, port.as_deref()).await {
            Ok(led) => self.index.change(key, |held| held.floating = Some(led)),
            Err(error) if error.kind() == ErrorKind::NotFound => self.index.change(key, |held| held.floating = None),
            Err(error) => return Err(explain(error, None)),
        }
        Ok(())
    }

    /// Gives a floating IP back: deleted if Kuryr made it, else led nowhere.
    pub(super) async fn withdraw(&self, key: &Key, observed: &Observed, id: &str) -> Result<(), Trouble> {
        let Some(floating) = &observed.held.floating else { return Ok(()) };
        let recorded = observed.record.as_ref().and_then(|record| record.status.as_ref()?.service_pub_ip_info.clone());
        let network = self.cloud.network();
        let outcome = if self.marks.made(floating, recorded.as_ref()) {
            network.delete_floating_ip(id).await
        } else {
            // Its owner may have let it lead elsewhere meanwhile.
            let port = observed.held.balancer.as_ref().and_then(|balancer| balancer.vip_port_id.as_ref());
            match network.floating_ip(id).await {
                Ok(now) if now.port_id.is_some() && now.port_id.as_ref() == port => {
                    network.set_floating_ip_port(id, None).await.map(drop)
                }
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            }
        };
        match outcome {
            Ok(()) => tracing::info!(%key, address = ?floating.floating_ip_address, "floating IP given back"),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        self.index.change(key, |held| held.floating = None);
        Ok(())
    }

    /// Writes the Service's address from outside into its status.
    pub(super) async fn tell_address(
        &self,
        key: &Key,
        service: &ServiceFacts,
        address: Option<IpAddr>,
    ) -> Result<(), Trouble> {
        let ingress = address.map(|address| json!([{ "ip": address.to_string() }]));
        let patch = json!({
            "metadata": { "uid": service.uid },
            "status": { "loadBalancer": { "ingress": ingress } },
        });
        let api: Api<Service> = Api::namespaced(self.kube.clone(), &key.namespace);
        match api.patch_status(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(patched) => self.watched.services.wrote(key.clone(), ServiceFacts::read(&patched)),
            Err(kube::Error::Api(status)) if status.code == 404 => {
                self.watched.services.remove(key, &service.uid, service.version);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// What an answer of Neutron's about floating IPs means for the Service's owner.
fn explain(error: Error, asked: Option<IpAddr>) -> Trouble {
    let said = error.message().trim_end_matches('.').to_owned();
    match (error.kind(), asked) {
        (ErrorKind::OverQuota, _) => Trouble::quota(
            "QuotaExceeded",
            format!(
                "{said}; raise the project's quota of floating IPs, or give some back; the Service goes on by itself"
            ),
        ),
        (ErrorKind::AddressesExhausted, _) => Trouble::quota(
            "AddressesExhausted",
            format!("{said}; [neutron_defaults] external_svc_net has no free address; the Service goes on by itself"),
        ),
        (ErrorKind::NotFound, _) => Trouble::mistake(
            "ExternalNetworkNotFound",
            format!(
                "{said}; set [neutron_defaults] external_svc_net and external_svc_subnet to what exists and is external"
            ),
        ),
        (ErrorKind::BadRequest | ErrorKind::Conflict | ErrorKind::Forbidden, Some(address)) => Trouble::mistake(
            "AddressRefused",
            format!(
                "{said}; {address} cannot be had: make a floating IP with it for this project, or ask for another address \
                 (spec.loadBalancerIP)"
            ),
        ),
        _ => error.into(),
    }
}
