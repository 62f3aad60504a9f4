//! Addresses of a network: how many there are, and how many are taken (extension `network-ip-availability`).

use serde::Deserialize;

use super::Network;
use crate::query::Query;
use crate::{Error, ErrorKind};

/// Addresses of one subnet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct SubnetAddresses {
    /// The subnet.
    pub subnet_id: String,
    /// How many its allocation pools have; a subnet of IPv6 has more than an integer holds.
    #[serde(rename = "total_ips")]
    pub total: f64,
    /// How many of them ports have.
    #[serde(rename = "used_ips")]
    pub used: f64,
}

impl SubnetAddresses {
    /// How many are free. Neutron does not count those it has forgotten (see [`Network::create_ports`]).
    #[must_use]
    pub fn free(&self) -> f64 {
        (self.total - self.used).max(0.0)
    }
}

impl Network {
    /// The addresses of each subnet of a network. For administrators by default.
    pub async fn addresses(&self, network_id: &str) -> Result<Vec<SubnetAddresses>, Error> {
        #[derive(Deserialize)]
        struct Body {
            network_ip_availability: Availability,
        }
        #[derive(Deserialize)]
        struct Availability {
            subnet_ip_availability: Vec<SubnetAddresses>,
        }
        if network_id.is_empty() {
            return Err(Error::new(ErrorKind::BadRequest, "the network of the addresses is not given"));
        }
        let path = format!("/network-ip-availabilities/{}", Query::encode(network_id));
        Ok(self.rest.read::<Body>(path).await?.network_ip_availability.subnet_ip_availability)
    }
}
