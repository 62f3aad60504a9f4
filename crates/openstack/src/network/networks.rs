//! Networks.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Network, TagFilter};
use crate::Error;
use crate::query::Query;
use crate::rest::Resource;
use crate::rest::json::null_is_default;

/// A network.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NetworkDetails {
    /// Id.
    pub id: String,
    /// Name; need not be unique.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// Project that owns it.
    #[serde(deserialize_with = "null_is_default")]
    pub project_id: String,
    /// `ACTIVE`, `DOWN`, `BUILD` or `ERROR`.
    #[serde(deserialize_with = "null_is_default")]
    pub status: String,
    /// Whether it is switched on.
    pub admin_state_up: Option<bool>,
    /// Largest packet in bytes (extension `net-mtu`).
    pub mtu: Option<u32>,
    /// Ids of its subnets.
    #[serde(deserialize_with = "null_is_default")]
    pub subnets: Vec<String>,
    /// Whether other projects may use it.
    #[serde(deserialize_with = "null_is_default")]
    pub shared: bool,
    /// Whether it leads out of the cloud.
    #[serde(rename = "router:external", deserialize_with = "null_is_default")]
    pub external: bool,
    /// Whether security groups apply to its ports unless they say otherwise.
    pub port_security_enabled: Option<bool>,
    /// `geneve`, `vlan`, `flat`, …; hidden from ordinary users.
    #[serde(rename = "provider:network_type")]
    pub network_type: Option<String>,
    /// VLAN id or tunnel key; hidden from ordinary users.
    #[serde(rename = "provider:segmentation_id")]
    pub segmentation_id: Option<u32>,
    /// Tags.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
    /// Free text.
    #[serde(deserialize_with = "null_is_default")]
    pub description: String,
    /// Grows with each change.
    pub revision_number: Option<u64>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// When it changed last.
    pub updated_at: Option<Timestamp>,
}

/// Which networks to list. Everything given must match.
#[derive(Clone, Debug, Default)]
pub struct NetworkQuery {
    /// One of these ids. An empty list matches nothing and asks nobody.
    pub id: Option<Vec<String>>,
    /// One of these names. An empty list matches nothing and asks nobody.
    pub name: Option<Vec<String>>,
    /// Of this project.
    pub project_id: Option<String>,
    /// With this description.
    pub description: Option<String>,
    /// Leading out of the cloud, or not.
    pub external: Option<bool>,
    /// With and without tags.
    pub tags: TagFilter,
    /// Answer only these fields (and the id); empty answers all.
    pub fields: &'static [&'static str],
}

/// A network to create.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NewNetwork {
    /// Name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Project that is to own it; ours by default. Another needs administrator rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Largest packet in bytes (extension `net-mtu-writable`); Neutron's choice by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Whether other projects may use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<bool>,
    /// Whether it leads out of the cloud. For administrators.
    #[serde(rename = "router:external", skip_serializing_if = "Option::is_none")]
    pub external: Option<bool>,
    /// Whether security groups apply to its ports unless they say otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_security_enabled: Option<bool>,
}

impl Resource for NetworkDetails {
    const PATH: &'static str = "networks";
    const ONE: &'static str = "network";
    const MANY: &'static str = "networks";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Network {
    /// The networks that match.
    pub async fn list_networks(&self, query: &NetworkQuery) -> Result<Vec<NetworkDetails>, Error> {
        let mut filters = Query::default();
        filters.option("project_id", query.project_id.as_ref());
        filters.option("description", query.description.as_ref());
        filters.option("router:external", query.external.map(|yes| yes.to_string()));
        query.tags.add_to(&mut filters);
        let any_of = [("id", &query.id), ("name", &query.name)];
        self.rest.list(filters, &any_of, query.fields).await
    }

    /// One network.
    pub async fn network(&self, id: &str) -> Result<NetworkDetails, Error> {
        self.rest.show(id).await
    }

    /// Creates a network.
    pub async fn create_network(&self, network: &NewNetwork) -> Result<NetworkDetails, Error> {
        self.rest.create(network).await
    }

    /// Deletes a network with its subnets. `Conflict` while it has ports.
    pub async fn delete_network(&self, id: &str) -> Result<(), Error> {
        self.rest.remove::<NetworkDetails>(id).await
    }
}
