//! How many of each resource a project may have.

use serde::{Deserialize, Deserializer};

use super::LoadBalancing;
use crate::query::Query;
use crate::{Error, ErrorKind};

/// What a project may have; `None` is without limit. Octavia does not tell how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LoadBalancingQuota {
    /// Load balancers.
    #[serde(deserialize_with = "limit")]
    pub load_balancer: Option<u64>,
    /// Listeners.
    #[serde(deserialize_with = "limit")]
    pub listener: Option<u64>,
    /// Pools.
    #[serde(deserialize_with = "limit")]
    pub pool: Option<u64>,
    /// Members, of all pools together.
    #[serde(deserialize_with = "limit")]
    pub member: Option<u64>,
    /// Health monitors.
    #[serde(deserialize_with = "limit")]
    pub health_monitor: Option<u64>,
    /// L7 policies.
    #[serde(deserialize_with = "limit")]
    pub l7policy: Option<u64>,
    /// L7 rules.
    #[serde(deserialize_with = "limit")]
    pub l7rule: Option<u64>,
}

/// Octavia writes "without limit" as -1 or null.
fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(Option::<i64>::deserialize(deserializer)?.and_then(|limit| u64::try_from(limit).ok()))
}

impl LoadBalancing {
    /// What a project may have. Another project's needs administrator rights.
    pub async fn quota(&self, project_id: &str) -> Result<LoadBalancingQuota, Error> {
        #[derive(Deserialize)]
        struct Body {
            quota: LoadBalancingQuota,
        }
        if project_id.is_empty() {
            return Err(Error::new(ErrorKind::BadRequest, "the project of the quota is not given"));
        }
        Ok(self.rest.read::<Body>(format!("/lbaas/quotas/{}", Query::encode(project_id))).await?.quota)
    }
}
