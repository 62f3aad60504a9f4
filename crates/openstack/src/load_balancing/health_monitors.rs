//! Health monitors: what finds out which members work.

use serde::{Deserialize, Serialize};

use super::{LoadBalancing, OperatingStatus, ProvisioningStatus, Reference};
use crate::Error;
use crate::query::Query;
use crate::rest::json::null_is_default;
use crate::rest::{Resource, TagFilter};

/// A health monitor of a pool.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct HealthMonitor {
    /// Id.
    pub id: String,
    /// Name; need not be unique.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// Project that owns it.
    #[serde(deserialize_with = "null_is_default")]
    pub project_id: String,
    /// What Octavia does with it.
    pub provisioning_status: ProvisioningStatus,
    /// How it works.
    pub operating_status: OperatingStatus,
    /// Whether it is switched on.
    pub admin_state_up: Option<bool>,
    /// How a member is tried.
    #[serde(rename = "type")]
    pub kind: HealthMonitorType,
    /// Seconds between two tries.
    pub delay: u32,
    /// Seconds a try may take; less than `delay`.
    pub timeout: u32,
    /// Successes after which a member is up, 1 to 10.
    pub max_retries: u32,
    /// Failures after which a member is down, 1 to 10.
    pub max_retries_down: u32,
    /// Method of a try by HTTP.
    pub http_method: Option<String>,
    /// Path of a try by HTTP.
    pub url_path: Option<String>,
    /// Answers by HTTP that are successes: `200`, `200,202`, `200-204`.
    pub expected_codes: Option<String>,
    /// Its pool.
    #[serde(deserialize_with = "null_is_default")]
    pub pools: Vec<Reference>,
    /// Tags.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
}

/// How a member is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HealthMonitorType {
    /// A connection.
    #[serde(rename = "TCP")]
    Tcp,
    /// A packet, to which ICMP does not say that nobody is there.
    #[serde(rename = "UDP-CONNECT")]
    UdpConnect,
    /// A request.
    #[serde(rename = "HTTP")]
    Http,
    /// A request over TLS.
    #[serde(rename = "HTTPS")]
    Https,
    /// The beginning of TLS.
    #[serde(rename = "TLS-HELLO")]
    TlsHello,
    /// An ICMP echo.
    #[serde(rename = "PING")]
    Ping,
    /// An association.
    #[serde(rename = "SCTP")]
    Sctp,
    /// A word we do not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Which health monitors to list. Everything given must match.
#[derive(Clone, Debug, Default)]
pub struct HealthMonitorQuery {
    /// Of this project.
    pub project_id: Option<String>,
    /// With and without tags.
    pub tags: TagFilter,
}

/// A health monitor to create.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NewHealthMonitor {
    /// Its pool; none where it is created with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_id: Option<String>,
    /// Name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Project that is to own it; the pool's by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// How a member is tried.
    #[serde(rename = "type")]
    pub kind: HealthMonitorType,
    /// Seconds between two tries.
    pub delay: u32,
    /// Seconds a try may take; less than `delay`.
    pub timeout: u32,
    /// Successes after which a member is up, 1 to 10.
    pub max_retries: u32,
    /// Failures after which a member is down, 1 to 10; 3 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retries_down: Option<u32>,
    /// Path of a try by HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_path: Option<String>,
    /// Answers by HTTP that are successes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_codes: Option<String>,
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// What to change of a health monitor; `None` leaves it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct HealthMonitorUpdate {
    /// Whether it is switched on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// Seconds between two tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<u32>,
    /// Seconds a try may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
    /// Successes after which a member is up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<u32>,
    /// Failures after which a member is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retries_down: Option<u32>,
    /// Path of a try by HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_path: Option<String>,
    /// Answers by HTTP that are successes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_codes: Option<String>,
}

impl Resource for HealthMonitor {
    const PATH: &'static str = "lbaas/healthmonitors";
    const ONE: &'static str = "healthmonitor";
    const MANY: &'static str = "healthmonitors";

    fn id(&self) -> &str {
        &self.id
    }
}

impl LoadBalancing {
    /// The health monitors that match.
    pub async fn list_health_monitors(&self, query: &HealthMonitorQuery) -> Result<Vec<HealthMonitor>, Error> {
        let mut filters = Query::default();
        filters.option("project_id", query.project_id.as_ref());
        query.tags.add_to(&mut filters);
        self.rest.list(filters, &[], &[]).await
    }

    /// One health monitor.
    pub async fn health_monitor(&self, id: &str) -> Result<HealthMonitor, Error> {
        self.rest.show(id).await
    }

    /// Creates a health monitor. `Busy` while something on its load balancer is changed, `Conflict` if the pool has one.
    pub async fn create_health_monitor(&self, monitor: &NewHealthMonitor) -> Result<HealthMonitor, Error> {
        self.rest.create(monitor).await
    }

    /// Changes a health monitor. `Busy` while something on its load balancer is changed.
    pub async fn update_health_monitor(&self, id: &str, update: &HealthMonitorUpdate) -> Result<HealthMonitor, Error> {
        self.rest.update(id, update, None).await
    }

    /// Deletes a health monitor. `Busy` while something on its load balancer is changed.
    pub async fn delete_health_monitor(&self, id: &str) -> Result<(), Error> {
        self.rest.remove::<HealthMonitor>(id).await
    }
}
