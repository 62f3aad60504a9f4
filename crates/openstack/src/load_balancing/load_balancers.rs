//! Load balancers: a VIP, and what listens on it.

use std::net::IpAddr;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{LoadBalancing, NewListener, NewPool, OperatingStatus, ProvisioningStatus};
use crate::Error;
use crate::http::Effect;
use crate::query::Query;
use crate::rest::json::null_is_default;
use crate::rest::{Resource, TagFilter, path};

/// A load balancer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LoadBalancer {
    /// Id.
    pub id: String,
    /// Name; need not be unique.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// Free text.
    #[serde(deserialize_with = "null_is_default")]
    pub description: String,
    /// Project that owns it.
    #[serde(deserialize_with = "null_is_default")]
    pub project_id: String,
    /// What Octavia does with it.
    pub provisioning_status: ProvisioningStatus,
    /// How it works.
    pub operating_status: OperatingStatus,
    /// Whether it is switched on.
    pub admin_state_up: Option<bool>,
    /// Its address.
    pub vip_address: Option<IpAddr>,
    /// Neutron port of its address.
    pub vip_port_id: Option<String>,
    /// Subnet of its address.
    pub vip_subnet_id: Option<String>,
    /// Network of its address.
    pub vip_network_id: Option<String>,
    /// Addresses besides.
    #[serde(deserialize_with = "null_is_default")]
    pub additional_vips: Vec<AdditionalVip>,
    /// Who implements it: `amphora`, `ovn`, …
    #[serde(deserialize_with = "null_is_default")]
    pub provider: String,
    /// Flavor.
    pub flavor_id: Option<String>,
    /// Availability zone.
    pub availability_zone: Option<String>,
    /// Its listeners.
    #[serde(deserialize_with = "null_is_default")]
    pub listeners: Vec<Reference>,
    /// Its pools.
    #[serde(deserialize_with = "null_is_default")]
    pub pools: Vec<Reference>,
    /// Tags; none where [`LoadBalancingVersion::has_tags`](super::LoadBalancingVersion::has_tags) is false.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
}

/// Another resource, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reference {
    /// Its id.
    pub id: String,
}

/// An address of a load balancer besides its first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdditionalVip {
    /// Subnet it is from; of the network of the first.
    pub subnet_id: String,
    /// The address; Neutron's choice by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<IpAddr>,
}

/// Which load balancers to list. Everything given must match.
#[derive(Clone, Debug, Default)]
pub struct LoadBalancerQuery {
    /// Of this project.
    pub project_id: Option<String>,
    /// Of this name.
    pub name: Option<String>,
    /// With this VIP.
    pub vip_address: Option<IpAddr>,
    /// Of this provider.
    pub provider: Option<String>,
    /// With and without tags.
    pub tags: TagFilter,
}

/// A load balancer to create. One of `vip_subnet_id`, `vip_network_id` and `vip_port_id` is needed.
///
/// With listeners and pools it is created with everything on it in one call, where the provider takes that.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NewLoadBalancer {
    /// Name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Free text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Project that is to own it; ours by default. Another needs administrator rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// Subnet its address is to be from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vip_subnet_id: Option<String>,
    /// Network its address is to be from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vip_network_id: Option<String>,
    /// A port made for it, which stays ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vip_port_id: Option<String>,
    /// Its address; Neutron's choice by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vip_address: Option<IpAddr>,
    /// Addresses besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_vips: Vec<AdditionalVip>,
    /// Who is to implement it; Octavia's default by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Flavor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flavor_id: Option<String>,
    /// Availability zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Its listeners, each with its pool.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<NewListener>,
    /// Pools that listeners name instead of having one of their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<NewPool>,
}

/// What to change of a load balancer; `None` leaves it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LoadBalancerUpdate {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it is switched on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// Exactly these tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

/// A load balancer and all on it, each with its states.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct StatusTree {
    /// The load balancer, its listeners, their pools, as Octavia writes them.
    pub loadbalancer: Value,
}

impl Resource for LoadBalancer {
    const PATH: &'static str = "lbaas/loadbalancers";
    const ONE: &'static str = "loadbalancer";
    const MANY: &'static str = "loadbalancers";

    fn id(&self) -> &str {
        &self.id
    }
}

impl LoadBalancing {
    /// The load balancers that match.
    pub async fn list_load_balancers(&self, query: &LoadBalancerQuery) -> Result<Vec<LoadBalancer>, Error> {
        let mut filters = Query::default();
        filters.option("project_id", query.project_id.as_ref());
        filters.option("name", query.name.as_ref());
        filters.option("vip_address", query.vip_address.map(|address| address.to_string()));
        filters.option("provider", query.provider.as_ref());
        query.tags.add_to(&mut filters);
        self.rest.list(filters, &[], &[]).await
    }

    /// One load balancer.
    pub async fn load_balancer(&self, id: &str) -> Result<LoadBalancer, Error> {
        self.rest.show(id).await
    }

    /// Creates a load balancer, with all that is named on it.
    pub async fn create_load_balancer(&self, new: &NewLoadBalancer) -> Result<LoadBalancer, Error> {
        self.rest.create(new).await
    }

    /// Changes a load balancer. `Busy` while something on it is changed.
    pub async fn update_load_balancer(&self, id: &str, update: &LoadBalancerUpdate) -> Result<LoadBalancer, Error> {
        self.rest.update(id, update, None).await
    }

    /// Deletes a load balancer and all on it. `Busy` while something on it is changed.
    pub async fn delete_load_balancer(&self, id: &str) -> Result<(), Error> {
        let path = format!("{}?cascade=true", path::<LoadBalancer>(id)?);
        self.rest.order(Method::DELETE, path, Effect::Idempotent, &Value::Null).await
    }

    /// Replaces what carries a load balancer, keeping its address. For administrators with most providers; `ovn` has none.
    pub async fn fail_over(&self, id: &str) -> Result<(), Error> {
        let path = format!("{}/failover", path::<LoadBalancer>(id)?);
        self.rest.order(Method::PUT, path, Effect::Once, &Value::Null).await
    }

    /// A load balancer and all on it, each with its states.
    pub async fn status_tree(&self, id: &str) -> Result<StatusTree, Error> {
        #[derive(Deserialize)]
        struct Body {
            statuses: StatusTree,
        }
        Ok(self.rest.read::<Body>(format!("{}/status", path::<LoadBalancer>(id)?)).await?.statuses)
    }
}
