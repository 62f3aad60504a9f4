//! Routers: what joins subnets, with each other and with the outside.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{FixedIp, HostRoute, Network, TagFilter};
use crate::Error;
use crate::query::Query;
use crate::rest::Resource;
use crate::rest::json::null_is_default;

/// A router.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Router {
    /// Id.
    pub id: String,
    /// Name; need not be unique.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// Project that owns it.
    #[serde(deserialize_with = "null_is_default")]
    pub project_id: String,
    /// `ACTIVE` or `DOWN`.
    #[serde(deserialize_with = "null_is_default")]
    pub status: String,
    /// Whether it is switched on.
    pub admin_state_up: Option<bool>,
    /// The way out of the cloud, if it has one.
    pub external_gateway_info: Option<ExternalGateway>,
    /// Routes besides those to its subnets.
    #[serde(deserialize_with = "null_is_default")]
    pub routes: Vec<HostRoute>,
    /// Tags.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
    /// Free text.
    #[serde(deserialize_with = "null_is_default")]
    pub description: String,
}

/// A router's way out of the cloud.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExternalGateway {
    /// The external network.
    pub network_id: String,
    /// Whether addresses are translated on the way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_snat: Option<bool>,
    /// The router's addresses outside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external_fixed_ips: Vec<FixedIp>,
}

/// A subnet's place on a router.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RouterInterface {
    /// The router's port on the subnet.
    pub port_id: String,
    /// The subnet.
    pub subnet_id: String,
}

/// Which routers to list. Everything given must match.
#[derive(Clone, Debug, Default)]
pub struct RouterQuery {
    /// One of these ids. An empty list matches nothing and asks nobody.
    pub id: Option<Vec<String>>,
    /// Of this project.
    pub project_id: Option<String>,
    /// Of this name.
    pub name: Option<String>,
    /// With and without tags.
    pub tags: TagFilter,
}

/// A router to create.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NewRouter {
    /// Name.
    pub name: String,
    /// Project that is to own it; ours by default. Another needs administrator rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// The way out of the cloud; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_gateway_info: Option<ExternalGateway>,
    /// Free text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
}

impl Resource for Router {
    const PATH: &'static str = "routers";
    const ONE: &'static str = "router";
    const MANY: &'static str = "routers";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Network {
    /// The routers that match.
    pub async fn list_routers(&self, query: &RouterQuery) -> Result<Vec<Router>, Error> {
        let mut filters = Query::default();
        filters.option("project_id", query.project_id.as_ref());
        filters.option("name", query.name.as_ref());
        query.tags.add_to(&mut filters);
        self.rest.list(filters, &[("id", &query.id)], &[]).await
    }

    /// One router.
    pub async fn router(&self, id: &str) -> Result<Router, Error> {
        self.rest.show(id).await
    }

    /// Creates a router.
    pub async fn create_router(&self, router: &NewRouter) -> Result<Router, Error> {
        self.rest.create(router).await
    }

    /// Gives a router another way out of the cloud, or none.
    pub async fn set_router_gateway(&self, id: &str, gateway: Option<&ExternalGateway>) -> Result<Router, Error> {
        self.rest.update(id, &json!({ "external_gateway_info": gateway }), None).await
    }

    /// Deletes a router. `Conflict` while it has interfaces.
    pub async fn delete_router(&self, id: &str) -> Result<(), Error> {
        self.rest.remove::<Router>(id).await
    }

    /// Puts a router on a subnet, with the subnet's gateway address. `BadRequest` if it is there already.
    pub async fn add_router_interface(&self, router: &str, subnet: &str) -> Result<RouterInterface, Error> {
        let body = json!({ "subnet_id": subnet });
        self.rest.act::<Router, _>(router, "add_router_interface", body).await
    }

    /// Takes a router off a subnet. `NotFound` if it is not there.
    pub async fn remove_router_interface(&self, router: &str, subnet: &str) -> Result<RouterInterface, Error> {
        let body = json!({ "subnet_id": subnet });
        self.rest.act::<Router, _>(router, "remove_router_interface", body).await
    }
}
