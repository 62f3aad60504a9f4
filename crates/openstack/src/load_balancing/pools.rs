//! Pools: members, and how one of them is chosen.

use serde::{Deserialize, Serialize};

use super::{LoadBalancing, NewHealthMonitor, NewMember, OperatingStatus, ProvisioningStatus, Reference};
use crate::Error;
use crate::query::Query;
use crate::rest::json::null_is_default;
use crate::rest::{Resource, TagFilter};

/// A pool.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Pool {
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
    /// What its members speak.
    pub protocol: PoolProtocol,
    /// How one of them is chosen.
    pub lb_algorithm: LbAlgorithm,
    /// What keeps a client with its member.
    pub session_persistence: Option<SessionPersistence>,
    /// The load balancer it is on.
    #[serde(deserialize_with = "null_is_default")]
    pub loadbalancers: Vec<Reference>,
    /// Listeners whose traffic goes here.
    #[serde(deserialize_with = "null_is_default")]
    pub listeners: Vec<Reference>,
    /// Its members.
    #[serde(deserialize_with = "null_is_default")]
    pub members: Vec<Reference>,
    /// What looks after its members.
    pub healthmonitor_id: Option<String>,
    /// Tags.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
}

/// What the members of a pool speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PoolProtocol {
    /// TCP.
    #[serde(rename = "TCP")]
    Tcp,
    /// UDP.
    #[serde(rename = "UDP")]
    Udp,
    /// SCTP.
    #[serde(rename = "SCTP")]
    Sctp,
    /// HTTP.
    #[serde(rename = "HTTP")]
    Http,
    /// TLS that goes through as it is.
    #[serde(rename = "HTTPS")]
    Https,
    /// TCP with the client's address in front.
    #[serde(rename = "PROXY")]
    Proxy,
    /// The same, version 2.
    #[serde(rename = "PROXYV2")]
    ProxyV2,
    /// A word we do not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// How a member is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LbAlgorithm {
    /// One after the other.
    #[serde(rename = "ROUND_ROBIN")]
    RoundRobin,
    /// Who has least to do.
    #[serde(rename = "LEAST_CONNECTIONS")]
    LeastConnections,
    /// By the client's address.
    #[serde(rename = "SOURCE_IP")]
    SourceIp,
    /// By the client's address and port; the only one of the provider `ovn`.
    #[serde(rename = "SOURCE_IP_PORT")]
    SourceIpPort,
    /// A word we do not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// What keeps a client with its member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionPersistence {
    /// How a client is known.
    #[serde(rename = "type")]
    pub kind: Persistence,
    /// The application's cookie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie_name: Option<String>,
    /// Seconds a client of UDP or SCTP is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence_timeout: Option<u32>,
    /// Mask of client addresses of UDP or SCTP that are one client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence_granularity: Option<String>,
}

/// How a client is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Persistence {
    /// By its address.
    #[serde(rename = "SOURCE_IP")]
    SourceIp,
    /// By a cookie of the load balancer's.
    #[serde(rename = "HTTP_COOKIE")]
    HttpCookie,
    /// By a cookie of the application's.
    #[serde(rename = "APP_COOKIE")]
    AppCookie,
    /// A word we do not know.
    #[serde(other)]
    Unknown,
}

/// Which pools to list. Everything given must match.
#[derive(Clone, Debug, Default)]
pub struct PoolQuery {
    /// Of this project.
    pub project_id: Option<String>,
    /// On this load balancer.
    pub load_balancer_id: Option<String>,
    /// Of this name.
    pub name: Option<String>,
    /// With and without tags.
    pub tags: TagFilter,
}

/// A pool to create. One of `listener_id` and `loadbalancer_id` is needed, unless it is created with one of them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NewPool {
    /// The listener whose traffic is to go here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener_id: Option<String>,
    /// The load balancer, for a pool that is no listener's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loadbalancer_id: Option<String>,
    /// Name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Free text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Project that is to own it; the load balancer's by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// What its members speak.
    pub protocol: PoolProtocol,
    /// How one of them is chosen.
    pub lb_algorithm: LbAlgorithm,
    /// What keeps a client with its member; nothing by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<SessionPersistence>,
    /// Members to create with it; only where all is created with the load balancer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<NewMember>,
    /// What is to look after its members; only where all is created with the load balancer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthmonitor: Option<NewHealthMonitor>,
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// What to change of a pool; `None` leaves it. `Some(None)` takes away.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PoolUpdate {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it is switched on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// How a member is chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lb_algorithm: Option<LbAlgorithm>,
    /// What keeps a client with its member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<Option<SessionPersistence>>,
    /// Exactly these tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

impl Resource for Pool {
    const PATH: &'static str = "lbaas/pools";
    const ONE: &'static str = "pool";
    const MANY: &'static str = "pools";

    fn id(&self) -> &str {
        &self.id
    }
}

impl LoadBalancing {
    /// The pools that match.
    pub async fn list_pools(&self, query: &PoolQuery) -> Result<Vec<Pool>, Error> {
        let mut filters = Query::default();
        filters.option("project_id", query.project_id.as_ref());
        filters.option("loadbalancer_id", query.load_balancer_id.as_ref());
        filters.option("name", query.name.as_ref());
        query.tags.add_to(&mut filters);
        self.rest.list(filters, &[], &[]).await
    }

    /// One pool.
    pub async fn pool(&self, id: &str) -> Result<Pool, Error> {
        self.rest.show(id).await
    }

    /// Creates a pool. `Busy` while something on its load balancer is changed.
    pub async fn create_pool(&self, pool: &NewPool) -> Result<Pool, Error> {
        self.rest.create(pool).await
    }

    /// Changes a pool. `Busy` while something on its load balancer is changed.
    pub async fn update_pool(&self, id: &str, update: &PoolUpdate) -> Result<Pool, Error> {
        self.rest.update(id, update, None).await
    }

    /// Deletes a pool and its members. `Busy` while something on its load balancer is changed.
    pub async fn delete_pool(&self, id: &str) -> Result<(), Error> {
        self.rest.remove::<Pool>(id).await
    }
}
