//! What carries our marks in the cloud when nobody of ours works there any more.
//!
//! A port is deleted only with three marks: its `device_owner`, the cluster's tag or description, and the network pods were in;
//! and only if no pod of the cluster has it. Whatever has fewer is named and left.

use std::collections::HashSet;

use kuryr_api::names;
use kuryr_controller::{made_balancer, made_floating_ip};
use kuryr_openstack::load_balancing::{LoadBalancerQuery, ProvisioningStatus};
use kuryr_openstack::network::{FloatingIpQuery, Port, PortQuery};
use kuryr_openstack::{Cloud, ErrorKind};

use super::{Place, Remainder};

/// The cloud, and how our ports are known there.
pub(crate) struct CloudSide {
    pub(crate) cloud: Cloud,
    /// `[kuryr] cluster_name`
    pub(crate) cluster: String,
    /// `[neutron_defaults] pod_subnet`
    pub(crate) pod_subnets: Vec<String>,
    /// `[neutron_defaults] project`
    pub(crate) project: String,
    /// `[neutron_defaults] service_subnet`
    pub(crate) service_subnet: Option<String>,
}

/// What becomes of a port. Pure.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// It is not ours.
    None,
    /// It is ours beyond doubt and belongs to nobody.
    Delete,
    /// It stays, and why.
    Stay(&'static str),
}

fn fate(port: &Port, tag: &str, network: Option<&str>, living: &HashSet<String>) -> Fate {
    let owned = port.device_owner == names::DEVICE_OWNER;
    let marked = port.tags.iter().any(|found| found == tag) || port.description.ends_with(&format!(" {tag}"));
    match (owned, marked) {
        (false, false) => Fate::None,
        // Another cluster's, or a pod's of kuryr-kubernetes: one mark says nothing.
        (true, false) => Fate::None,
        (false, true) => Fate::Stay(
            "it carries this cluster's tag, but its device_owner is not Kuryr's; a tag can be set by anybody",
        ),
        (true, true) if living.contains(&port.device_id) => Fate::Stay("a pod of this cluster has it"),
        (true, true) => match network {
            Some(network) if network == port.network_id => Fate::Delete,
            Some(_) => Fate::Stay("it is in a network pods are not in now ([neutron_defaults] pod_subnet)"),
            None => Fate::Stay("the pods' network is not known here ([neutron_defaults] pod_subnet)"),
        },
    }
}

impl CloudSide {
    /// Deletes what is ours beyond doubt. Answers how many, and what stays.
    ///
    /// # Errors
    /// When the cloud cannot be asked.
    pub(crate) async fn clean(
        &self,
        living: &HashSet<String>,
    ) -> Result<(usize, Vec<Remainder>), kuryr_openstack::Error> {
        let tag = names::cluster_tag(&self.cluster);
        let network = self.network().await?;
        let (mut deleted, mut left) = (0, Vec::new());
        for port in self.candidates(&tag).await? {
            let why = match fate(&port, &tag, network.as_deref(), living) {
                Fate::None => continue,
                Fate::Stay(why) => why.to_owned(),
                Fate::Delete => match self.cloud.network().delete_port(&port.id).await {
                    Ok(()) => {
                        deleted += 1;
                        continue;
                    }
                    Err(error) if error.kind() == ErrorKind::NotFound => continue,
                    Err(error) => error.to_string(),
                },
            };
            left.push(Remainder {
                what: format!("Neutron port {} ({})", port.id, port.name),
                why,
                cure: format!("openstack port show {0}; openstack port delete {0}", port.id),
                place: Place::Cloud,
            });
        }
        Ok((deleted, left))
    }

    /// Deletes the load balancers of Gateways and Ingresses, and their floating IPs: nothing in Kubernetes holds them, so they outlive
    /// the controller. A name alone is no mark: project and subnet must be those of kuryr.conf. Answers how many, and what stays.
    ///
    /// # Errors
    /// When the cloud cannot be asked.
    pub(crate) async fn clean_routes(&self) -> Result<(usize, Vec<Remainder>), kuryr_openstack::Error> {
        let tag = names::cluster_tag(&self.cluster);
        let (network, octavia) = (self.cloud.network(), self.cloud.load_balancing());
        let (mut deleted, mut left) = (0, Vec::new());
        let mut note = |outcome: Result<(), kuryr_openstack::Error>, what: String, cure: String| match outcome {
            Ok(()) => deleted += 1,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => left.push(Remainder { what, why: error.to_string(), cure, place: Place::Cloud }),
        };
        let project_id = Some(self.project.clone());
        let query = FloatingIpQuery { project_id: project_id.clone(), ..FloatingIpQuery::default() };
        let floating_ips = network.list_floating_ips(&query).await.or_else(none_if_absent)?;
        for floating in floating_ips.iter().filter(|floating| made_floating_ip(floating, &tag)) {
            let what = format!("floating IP {} ({})", floating.id, floating.description);
            let cure = format!("openstack floating ip delete {}", floating.id);
            note(network.delete_floating_ip(&floating.id).await, what, cure);
        }
        let query = LoadBalancerQuery { project_id, ..LoadBalancerQuery::default() };
        let balancers = octavia.list_load_balancers(&query).await.or_else(none_if_absent)?;
        let goes = [ProvisioningStatus::Deleted, ProvisioningStatus::PendingDelete];
        let ours = balancers.iter().filter(|balancer| {
            made_balancer(balancer, &tag)
                && balancer.vip_subnet_id == self.service_subnet
                && !goes.contains(&balancer.provisioning_status)
        });
        for balancer in ours {
            let what = format!("load balancer {} ({})", balancer.id, balancer.name);
            let cure = format!("openstack loadbalancer delete --cascade {}", balancer.id);
            note(octavia.delete_load_balancer(&balancer.id).await, what, cure);
        }
        Ok((deleted, left))
    }

    /// Ports with at least one of our marks that can be asked for.
    async fn candidates(&self, tag: &str) -> Result<Vec<Port>, kuryr_openstack::Error> {
        let ours = PortQuery { device_owner: Some(names::DEVICE_OWNER.to_owned()), ..PortQuery::default() };
        let tagged = PortQuery { tags: kuryr_openstack::network::TagFilter::all([tag]), ..PortQuery::default() };
        let network = self.cloud.network();
        let mut ports = network.list_ports(&ours).await?;
        let known: HashSet<String> = ports.iter().map(|port| port.id.clone()).collect();
        ports.extend(network.list_ports(&tagged).await?.into_iter().filter(|port| !known.contains(&port.id)));
        Ok(ports)
    }

    async fn network(&self) -> Result<Option<String>, kuryr_openstack::Error> {
        let Some(subnet) = self.pod_subnets.first() else { return Ok(None) };
        match self.cloud.network().subnet(subnet).await {
            Ok(subnet) => Ok(Some(subnet.network_id)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A cloud without routers has none, nor has one whose catalog has no Octavia: with the same settings Kuryr could not make any.
fn none_if_absent<T>(error: kuryr_openstack::Error) -> Result<Vec<T>, kuryr_openstack::Error> {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::Settings => Ok(Vec::new()),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_goes_only_with_three_marks_and_without_a_pod() {
        let ours = Port {
            device_owner: names::DEVICE_OWNER.to_owned(),
            description: "pod default/a kuryr:cluster=c1".to_owned(),
            network_id: "pods".to_owned(),
            device_id: "uid".to_owned(),
            ..Port::default()
        };
        let tagged = Port { description: String::new(), tags: vec!["kuryr:cluster=c1".to_owned()], ..ours.clone() };
        let (nobody, pod) = (HashSet::new(), HashSet::from(["uid".to_owned()]));
        let decide = |port: &Port, network, living| fate(port, "kuryr:cluster=c1", network, living);
        assert_eq!(decide(&ours, Some("pods"), &nobody), Fate::Delete);
        assert_eq!(decide(&tagged, Some("pods"), &nobody), Fate::Delete);
        assert!(matches!(decide(&ours, Some("pods"), &pod), Fate::Stay(_)));
        assert!(matches!(decide(&ours, Some("other"), &nobody), Fate::Stay(_)));
        assert!(matches!(decide(&ours, None, &nobody), Fate::Stay(_)));
        let of_nova = Port { device_owner: "compute:nova".to_owned(), ..tagged.clone() };
        assert!(matches!(decide(&of_nova, Some("pods"), &nobody), Fate::Stay(_)), "one mark");
        let of_others = Port { description: "pod default/a kuryr:cluster=c2".to_owned(), ..ours };
        assert_eq!(decide(&of_others, Some("pods"), &nobody), Fate::None, "another cluster's");
    }
}
