//! Subnet pools: ranges that subnets are cut from.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Network, TagFilter};
use crate::Error;
use crate::query::Query;
use crate::rest::Resource;
use crate::rest::json::null_is_default;

/// A subnet pool.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SubnetPool {
    /// Id.
    pub id: String,
    /// Name; need not be unique.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// Project that owns it.
    #[serde(deserialize_with = "null_is_default")]
    pub project_id: String,
    /// Ranges it hands out from.
    #[serde(deserialize_with = "null_is_default")]
    pub prefixes: Vec<IpNet>,
    /// 4 or 6.
    pub ip_version: Option<u8>,
    /// Size of a subnet that does not ask for one.
    #[serde(deserialize_with = "length")]
    pub default_prefixlen: Option<u8>,
    /// Largest subnet it gives (shortest prefix).
    #[serde(deserialize_with = "length")]
    pub min_prefixlen: Option<u8>,
    /// Smallest subnet it gives (longest prefix).
    #[serde(deserialize_with = "length")]
    pub max_prefixlen: Option<u8>,
    /// Whether other projects may use it.
    #[serde(deserialize_with = "null_is_default")]
    pub shared: bool,
    /// Whether subnets come from it that name no pool.
    #[serde(deserialize_with = "null_is_default")]
    pub is_default: bool,
    /// Scope in which its addresses are unique.
    pub address_scope_id: Option<String>,
    /// Tags.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
    /// Free text.
    #[serde(deserialize_with = "null_is_default")]
    pub description: String,
}

/// Some Neutrons write prefix lengths as strings.
fn length<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Length {
        Number(u8),
        Text(String),
    }
    match Option::deserialize(deserializer)? {
        None => Ok(None),
        Some(Length::Number(number)) => Ok(Some(number)),
        Some(Length::Text(text)) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

/// Which subnet pools to list. Everything given must match.
#[derive(Clone, Debug, Default)]
pub struct SubnetPoolQuery {
    /// One of these ids. An empty list matches nothing and asks nobody.
    pub id: Option<Vec<String>>,
    /// Of this project.
    pub project_id: Option<String>,
    /// Of this name.
    pub name: Option<String>,
    /// With and without tags.
    pub tags: TagFilter,
    /// Answer only these fields (and the id); empty answers all.
    pub fields: &'static [&'static str],
}

/// A subnet pool to create.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NewSubnetPool {
    /// Name.
    pub name: String,
    /// Ranges it hands out from.
    pub prefixes: Vec<IpNet>,
    /// Size of a subnet that does not ask for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_prefixlen: Option<u8>,
    /// Largest subnet it gives (shortest prefix).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_prefixlen: Option<u8>,
    /// Smallest subnet it gives (longest prefix).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_prefixlen: Option<u8>,
    /// Project that is to own it; ours by default. Another needs administrator rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
}

impl Resource for SubnetPool {
    const PATH: &'static str = "subnetpools";
    const ONE: &'static str = "subnetpool";
    const MANY: &'static str = "subnetpools";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Network {
    /// The subnet pools that match.
    pub async fn list_subnet_pools(&self, query: &SubnetPoolQuery) -> Result<Vec<SubnetPool>, Error> {
        let mut filters = Query::default();
        filters.option("project_id", query.project_id.as_ref());
        filters.option("name", query.name.as_ref());
        query.tags.add_to(&mut filters);
        self.rest.list(filters, &[("id", &query.id)], query.fields).await
    }

    /// One subnet pool.
    pub async fn subnet_pool(&self, id: &str) -> Result<SubnetPool, Error> {
        self.rest.show(id).await
    }

    /// Creates a subnet pool.
    pub async fn create_subnet_pool(&self, pool: &NewSubnetPool) -> Result<SubnetPool, Error> {
        self.rest.create(pool).await
    }

    /// Deletes a subnet pool. `Conflict` while subnets of it exist.
    pub async fn delete_subnet_pool(&self, id: &str) -> Result<(), Error> {
        self.rest.remove::<SubnetPool>(id).await
    }
}
