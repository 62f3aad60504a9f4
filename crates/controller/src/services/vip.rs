//! Addresses of load balancers: which subnet each is from, and which of them the VIP's port really has.

use std::net::IpAddr;

use ipnet::IpNet;
use kuryr_openstack::ErrorKind;
use kuryr_openstack::load_balancing::{AdditionalVip, NewLoadBalancer};

use super::Services;
use super::desired::Balancer;
use crate::cache::Key;
use crate::trouble::Trouble;

impl Services {
    /// Says where the addresses of a new load balancer are from.
    ///
    /// # Errors
    /// An address that the Services' subnets do not have: providers say that in many ways, some of them late.
    pub(super) async fn place(&self, wanted: &Balancer, new: &mut NewLoadBalancer) -> Result<(), Trouble> {
        let mut subnets = vec![self.service_subnet(&self.settings.subnet, "[neutron_defaults] service_subnet").await?];
        if let Some(second) = &self.settings.second_subnet {
            subnets.push(self.service_subnet(second, "[kuryr] second_service_subnet").await?);
        }
        let of = |address: IpAddr| subnets.iter().find(|(_, prefix)| prefix.is_none_or(|it| it.contains(&address)));
        let Some((subnet, _)) = of(wanted.vip) else {
            let prefixes: Vec<String> =
                subnets.iter().filter_map(|(_, prefix)| Some(prefix.as_ref()?.to_string())).collect();
            let message = format!(
                "the Service's address {} is not in {}, the subnet [neutron_defaults] service_subnet; name the subnet that has the \
                 API server's --service-cluster-ip-range",
                wanted.vip,
                prefixes.join(" or "),
            );
            return Err(Trouble::mistake("AddressOutsideSubnet", message));
        };
        (new.vip_subnet_id, new.vip_address) = (Some(subnet.clone()), Some(wanted.vip));
        if self.version.get().is_some_and(|version| version.has_additional_vips()) {
            let more = wanted.more_vips.iter().filter_map(|address| Some((*address, of(*address)?)));
            // Octavia takes one address of each subnet.
            let more = more.filter(|(_, (second, _))| second != subnet);
            let more = more
                .map(|(address, (second, _))| AdditionalVip { subnet_id: second.clone(), ip_address: Some(address) });
            new.additional_vips = more.collect();
        }
        Ok(())
    }

    async fn service_subnet(&self, id: &str, option: &str) -> Result<(String, Option<IpNet>), Trouble> {
        let subnet = self.placement.subnet(id, option).await?;
        Ok((subnet.id.clone(), subnet.cidr))
    }

    /// Reads which addresses the port of the VIP has. Octavia tells the second one also where its provider took no notice of it (OVN
    /// before 2023.1).
    pub(super) async fn read_vip(&self, key: &Key, port: &str) -> Result<(), Trouble> {
        let found = self.cloud.network().port(port).await.inspect_err(|error| {
            if error.kind() == ErrorKind::NotFound {
                self.index.mark_uncertain(key);
            }
        })?;
        let addresses = found.fixed_ips.iter().map(|fixed| fixed.ip_address).collect();
        self.index.change(key, |held| held.vip_addresses = addresses);
        Ok(())
    }

    /// Whether load balancers may be in this subnet.
    pub(super) fn is_of_services(&self, subnet: Option<&String>) -> bool {
        subnet == Some(&self.settings.subnet) || subnet.is_some() && subnet == self.settings.second_subnet.as_ref()
    }
}
