//! Subnets: ranges of addresses on a network.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Network, TagFilter};
use crate::Error;
use crate::query::Query;
use crate::rest::Resource;
use crate::rest::json::{null_is_default, prefix};

/// A subnet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Subnet {
    /// Id.
    pub id: String,
    /// Name; need not be unique.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// Network it is on.
    #[serde(deserialize_with = "null_is_default")]
    pub network_id: String,
    /// Project that owns it.
    #[serde(deserialize_with = "null_is_default")]
    pub project_id: String,
    /// Its addresses.
    #[serde(deserialize_with = "prefix")]
    pub cidr: Option<IpNet>,
    /// 4 or 6.
    pub ip_version: Option<u8>,
    /// Default gateway; `None` where there is none.
    pub gateway_ip: Option<IpAddr>,
    /// Name servers.
    #[serde(deserialize_with = "null_is_default")]
    pub dns_nameservers: Vec<IpAddr>,
    /// Routes hosts are told.
    #[serde(deserialize_with = "null_is_default")]
    pub host_routes: Vec<HostRoute>,
    /// Ranges ports get addresses from.
    #[serde(deserialize_with = "null_is_default")]
    pub allocation_pools: Vec<AllocationPool>,
    /// Whether Neutron serves DHCP on it.
    pub enable_dhcp: Option<bool>,
    /// Pool its range came from.
    pub subnetpool_id: Option<String>,
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

/// A route hosts are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRoute {
    /// Where to.
    pub destination: IpNet,
    /// Through whom.
    pub nexthop: IpAddr,
}

/// A range ports get addresses from, both ends included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationPool {
    /// First address.
    pub start: IpAddr,
    /// Last address.
    pub end: IpAddr,
}

/// Which subnets to list. Everything given must match.
#[derive(Clone, Debug, Default)]
pub struct SubnetQuery {
    /// One of these ids. An empty list matches nothing and asks nobody.
    pub id: Option<Vec<String>>,
    /// On this network.
    pub network_id: Option<String>,
    /// From this pool.
    pub subnetpool_id: Option<String>,
    /// Of this project.
    pub project_id: Option<String>,
    /// Of this name.
    pub name: Option<String>,
    /// With and without tags.
    pub tags: TagFilter,
    /// Answer only these fields (and the id); empty answers all.
    pub fields: &'static [&'static str],
}

/// A subnet to create: with `cidr`, or with `subnetpool_id`, which gives it a range.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NewSubnet {
    /// Network it is to be on.
    pub network_id: String,
    /// 4 or 6.
    pub ip_version: u8,
    /// Its addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr: Option<IpNet>,
    /// Pool to take a range from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnetpool_id: Option<String>,
    /// How large a range; the pool's default by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefixlen: Option<u8>,
    /// Name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Project that is to own it; ours by default. Another needs administrator rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Default gateway: `None` is the first address, `Some(None)` no gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_ip: Option<Option<IpAddr>>,
    /// Ranges ports get addresses from; all but the gateway by default.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allocation_pools: Vec<AllocationPool>,
    /// Whether Neutron serves DHCP on it; yes by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_dhcp: Option<bool>,
    /// Name servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns_nameservers: Vec<IpAddr>,
    /// Routes hosts are told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub host_routes: Vec<HostRoute>,
}

impl Resource for Subnet {
    const PATH: &'static str = "subnets";
    const ONE: &'static str = "subnet";
    const MANY: &'static str = "subnets";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Network {
    /// The subnets that match.
    pub async fn list_subnets(&self, query: &SubnetQuery) -> Result<Vec<Subnet>, Error> {
        let mut filters = Query::default();
        filters.option("network_id", query.network_id.as_ref());
        filters.option("subnetpool_id", query.subnetpool_id.as_ref());
        filters.option("project_id", query.project_id.as_ref());
        filters.option("name", query.name.as_ref());
        query.tags.add_to(&mut filters);
        self.rest.list(filters, &[("id", &query.id)], query.fields).await
    }

    /// One subnet.
    pub async fn subnet(&self, id: &str) -> Result<Subnet, Error> {
        self.rest.show(id).await
    }

    /// Creates a subnet.
    pub async fn create_subnet(&self, subnet: &NewSubnet) -> Result<Subnet, Error> {
        self.rest.create(subnet).await
    }

    /// Deletes a subnet. `Conflict` while ports have addresses of it.
    pub async fn delete_subnet(&self, id: &str) -> Result<(), Error> {
        self.rest.remove::<Subnet>(id).await
    }
}
