//! Addresses from outside: floating IPs that lead to load balancers. With `apply`, what changes something outside the process.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kuryr_openstack::ErrorKind;
use kuryr_openstack::network::{FloatingIp, FloatingIpQuery, NewFloatingIp};
use serde_json::json;

use super::desired::{Balancer, Desired, Public};
use super::facts::ServiceFacts;
use super::plan::Observed;
use super::{Services, record};
use crate::balancing::index::Held;
use crate::balancing::keeper::Keeper as _;
use crate::cache::Key;
use crate::trouble::Trouble;

impl Services {
    /// Lets a floating IP lead to the load balancer: the one that is asked for, or a new one.
    pub(super) async fn publish(&self, key: &Key, wanted: &Balancer) -> Result<(), Trouble> {
        let Some(public) = &wanted.public else { return Ok(()) };
        let port = self.vip_port(key)?;
        if let Some(asked) = public.asked
            && let Some(found) = self.asked_for(key, asked, &port).await?
        {
            self.note(key, &found).await?;
            let led = self.cloud.network().set_floating_ip_port(&found.id, Some(&port)).await?;
            tracing::info!(%key, address = %asked, "floating IP taken");
            self.index.change(key, |held| take(held, led));
            return Ok(());
        }
        let made = self.make(key, public, Some(port)).await?;
        self.index.change(key, |held| take(held, made));
        Ok(())
    }

    /// Puts the floating IP that is asked for in the place of another. What works is taken away when its successor is ours, not before.
    pub(super) async fn replace(
        &self,
        key: &Key,
        observed: &Observed,
        desired: &Desired,
        id: &str,
    ) -> Result<(), Trouble> {
        let Desired::Balanced(balancer) = desired else { return Ok(()) };
        let Some(public) = &balancer.public else { return Ok(()) };
        let port = self.vip_port(key)?;
        let found = match public.asked {
            Some(asked) => self.asked_for(key, asked, &port).await?,
            // Of a change that was not finished.
            None => observed
                .held
                .spare
                .iter()
                .find(|spare| Some(&spare.floating_network_id) == public.network.as_ref())
                .cloned(),
        };
        let successor = match found {
            Some(found) => found,
            None => self.make(key, public, None).await?,
        };
        self.withdraw(key, observed, desired, id).await?;
        self.note(key, &successor).await?;
        let led = self.cloud.network().set_floating_ip_port(&successor.id, Some(&port)).await.inspect_err(|error| {
            // It is known by its description, or by its address, and led there with the next attempt.
            tracing::debug!(%key, %error, "the new floating IP does not lead to the load balancer yet");
            self.index.mark_uncertain(key);
        })?;
        tracing::info!(%key, address = ?led.floating_ip_address, "floating IP replaced");
        self.index.change(key, |held| take(held, led));
        Ok(())
    }

    /// Writes down that a floating IP leads to the load balancer, or is about to. One that others made has no other mark of ours by which
    /// it is led nowhere again, whatever happens meanwhile.
    async fn note(&self, key: &Key, floating: &FloatingIp) -> Result<(), Trouble> {
        let Some(record) = self.watched.records.get(key) else { return Ok(()) };
        if self.marks.made(floating, None) {
            return Ok(());
        }
        let mut status = record.status.clone().unwrap_or_default();
        let noted = record::public_address(floating, &status, &self.marks, None);
        if status.service_pub_ip_info.as_ref() == Some(&noted) {
            return Ok(());
        }
        status.service_pub_ip_info = Some(noted);
        self.write_status(key, &record, &status).await
    }

    /// Makes a floating IP.
    async fn make(&self, key: &Key, public: &Public, port: Option<String>) -> Result<FloatingIp, Trouble> {
        let external = self.settings.external.as_ref();
        let usual = external.map(|external| external.network.clone());
        let Some(network) = public.network.clone().or_else(|| usual.clone()) else {
            let message = "there is no network for addresses from outside; set [neutron_defaults] external_svc_net";
            return Err(Trouble::mistake("ExternalNetworkNotFound", message));
        };
        // The subnet that is configured is of the network that is configured.
        let usual = external.filter(|_| usual.as_ref() == Some(&network)).and_then(|external| external.subnet.clone());
        let new = NewFloatingIp {
            floating_network_id: network,
            subnet_id: public.subnet.clone().or(usual),
            floating_ip_address: public.asked,
            port_id: port,
            project_id: self.project_id(),
            description: self.marks.description(key),
        };
        self.create_floating_ip(key, &new).await
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

    /// Gives a floating IP back, when nobody is sent to it any more: deleted if Kuryr made it and it is not to be kept, else led nowhere.
    pub(super) async fn withdraw(
        &self,
        key: &Key,
        observed: &Observed,
        desired: &Desired,
        id: &str,
    ) -> Result<(), Trouble> {
        let all = observed.held.floating.iter().chain(&observed.held.spare);
        let Some(floating) = all.into_iter().find(|floating| floating.id == id) else { return Ok(()) };
        if let (Some(service), Some(address)) = (observed.service.as_deref(), floating.floating_ip_address)
            && service.told.contains(&address)
        {
            self.tell_no_address(key, service, Some(floating)).await?;
        }
        let recorded = observed.record.as_ref().and_then(|record| record.status.as_ref()?.service_pub_ip_info.clone());
        let recorded = recorded.filter(|recorded| recorded.ip_id == id);
        let keeps = match desired {
            Desired::Balanced(balancer) => balancer.keeps_address,
            // The Service is gone; what it wished was written down.
            Desired::Nothing(_) => recorded.as_ref().is_some_and(record::is_kept),
        };
        let network = self.cloud.network();
        let outcome = if !self.marks.made(floating, recorded.as_ref()) {
            // Its owner may have let it lead elsewhere meanwhile.
            let port = observed.held.vip_port();
            match network.floating_ip(id).await {
                Ok(now) if now.port_id.is_some() && now.port_id.as_ref() == port => {
                    network.set_floating_ip_port(id, None).await.map(drop)
                }
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            }
        } else if keeps {
            // Nobody's any more: without our mark it is not collected.
            network.release_floating_ip(id, &format!("kept of Service {key}")).await.map(drop)
        } else {
            network.delete_floating_ip(id).await
        };
        match outcome {
            Ok(()) => tracing::info!(%key, address = ?floating.floating_ip_address, "floating IP given back"),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        self.index.change(key, |held| {
            held.floating = held.floating.take().filter(|known| known.id != id);
            held.spare.retain(|known| known.id != id);
        });
        Ok(())
    }

    /// Takes the Service's address from outside out of its status. That it was told was a mark: another one is needed before.
    pub(super) async fn tell_no_address(
        &self,
        key: &Key,
        service: &ServiceFacts,
        floating: Option<&FloatingIp>,
    ) -> Result<(), Trouble> {
        if let Some(floating) = floating {
            self.note(key, floating).await?;
        }
        self.tell_address(key, service, None).await
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

/// This one leads to the load balancer.
fn take(held: &mut Held, floating: FloatingIp) {
    held.spare.retain(|known| known.id != floating.id);
    held.floating = Some(floating);
}
