//! Floating IPs: outside addresses that lead to a port.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Network, TagFilter};
use crate::Error;
use crate::query::Query;
use crate::rest::Resource;
use crate::rest::json::null_is_default;

/// A floating IP.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct FloatingIp {
    /// Id.
    pub id: String,
    /// The outside address.
    pub floating_ip_address: Option<IpAddr>,
    /// External network it is from.
    #[serde(deserialize_with = "null_is_default")]
    pub floating_network_id: String,
    /// Port it leads to.
    pub port_id: Option<String>,
    /// The port's address it leads to.
    pub fixed_ip_address: Option<IpAddr>,
    /// Router that translates.
    pub router_id: Option<String>,
    /// Project that owns it.
    #[serde(deserialize_with = "null_is_default")]
    pub project_id: String,
    /// `ACTIVE`, `DOWN` or `ERROR`.
    #[serde(deserialize_with = "null_is_default")]
    pub status: String,
    /// Tags.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
    /// Free text.
    #[serde(deserialize_with = "null_is_default")]
    pub description: String,
}

/// Which floating IPs to list. Everything given must match.
#[derive(Clone, Debug, Default)]
pub struct FloatingIpQuery {
    /// One of these ids. An empty list matches nothing and asks nobody.
    pub id: Option<Vec<String>>,
    /// Leading to one of these ports. An empty list matches nothing and asks nobody.
    pub port_id: Option<Vec<String>>,
    /// This address.
    pub address: Option<IpAddr>,
    /// Of this project.
    pub project_id: Option<String>,
    /// With and without tags.
    pub tags: TagFilter,
}

/// A floating IP to create.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NewFloatingIp {
    /// External network to take an address from.
    pub floating_network_id: String,
    /// Subnet of that network; Neutron's choice by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
    /// This very address; for administrators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floating_ip_address: Option<IpAddr>,
    /// Port it is to lead to; none yet by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_id: Option<String>,
    /// Project that is to own it; ours by default. Another needs administrator rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
}

impl Resource for FloatingIp {
    const PATH: &'static str = "floatingips";
    const ONE: &'static str = "floatingip";
    const MANY: &'static str = "floatingips";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Network {
    /// The floating IPs that match.
    pub async fn list_floating_ips(&self, query: &FloatingIpQuery) -> Result<Vec<FloatingIp>, Error> {
        let mut filters = Query::default();
        filters.option("floating_ip_address", query.address.map(|address| address.to_string()));
        filters.option("project_id", query.project_id.as_ref());
        query.tags.add_to(&mut filters);
        let any_of = [("id", &query.id), ("port_id", &query.port_id)];
        self.rest.list(filters, &any_of, &[]).await
    }

    /// One floating IP.
    pub async fn floating_ip(&self, id: &str) -> Result<FloatingIp, Error> {
        self.rest.show(id).await
    }

    /// Creates a floating IP.
    pub async fn create_floating_ip(&self, floating_ip: &NewFloatingIp) -> Result<FloatingIp, Error> {
        self.rest.create(floating_ip).await
    }

    /// Lets a floating IP lead to another port, or to none.
    pub async fn set_floating_ip_port(&self, id: &str, port: Option<&str>) -> Result<FloatingIp, Error> {
        self.rest.update(id, &json!({ "port_id": port }), None).await
    }

    /// Lets a floating IP lead to no port and describes it anew, in one change.
    pub async fn release_floating_ip(&self, id: &str, description: &str) -> Result<FloatingIp, Error> {
        self.rest.update(id, &json!({ "port_id": null, "description": description }), None).await
    }

    /// Deletes a floating IP.
    pub async fn delete_floating_ip(&self, id: &str) -> Result<(), Error> {
        self.rest.remove::<FloatingIp>(id).await
    }
}
