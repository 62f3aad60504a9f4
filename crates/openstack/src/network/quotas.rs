//! Quotas: how many of each resource a project may have.

use http::Method;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::Network;
use crate::http::Effect;
use crate::query::Query;
use crate::rest::as_json;
use crate::{Error, ErrorKind};

/// What a project may have, and has (extension `quota_details`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Quota {
    /// Networks.
    pub network: QuotaUse,
    /// Subnets.
    pub subnet: QuotaUse,
    /// Ports.
    pub port: QuotaUse,
    /// Routers.
    pub router: QuotaUse,
    /// Floating IPs.
    pub floatingip: QuotaUse,
    /// Security groups.
    pub security_group: QuotaUse,
    /// Rules of security groups.
    pub security_group_rule: QuotaUse,
    /// Trunks; absent where the Neutron does not count them.
    pub trunk: Option<QuotaUse>,
}

/// One line of a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct QuotaUse {
    /// How many are allowed; `None` is without limit.
    #[serde(deserialize_with = "limit")]
    pub limit: Option<u64>,
    /// How many there are.
    pub used: u64,
    /// How many are promised to requests under way.
    #[serde(default)]
    pub reserved: u64,
}

impl QuotaUse {
    /// How many more may be created; `None` is without limit.
    pub fn free(&self) -> Option<u64> {
        self.limit.map(|limit| limit.saturating_sub(self.used + self.reserved))
    }
}

/// Neutron writes "without limit" as -1.
fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(u64::try_from(i64::deserialize(deserializer)?).ok())
}

/// Limits to set; what is `None` stays as it is, -1 is without limit.
#[derive(Clone, Debug, Default, Serialize)]
pub struct QuotaLimits {
    /// Networks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<i64>,
    /// Subnets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<i64>,
    /// Ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,
    /// Security groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_group: Option<i64>,
    /// Rules of security groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_group_rule: Option<i64>,
}

impl Network {
    /// What a project may have and has. Another project's needs administrator rights.
    pub async fn quota(&self, project_id: &str) -> Result<Quota, Error> {
        #[derive(Deserialize)]
        struct Body {
            quota: Quota,
        }
        Ok(self.rest.read::<Body>(format!("{}/details.json", path(project_id)?)).await?.quota)
    }

    /// Sets what a project may have. For administrators.
    pub async fn set_quota(&self, project_id: &str, limits: &QuotaLimits) -> Result<(), Error> {
        let body = json!({ "quota": as_json(limits)? });
        self.rest.order(Method::PUT, path(project_id)?, Effect::Idempotent, &body).await
    }

    /// Gives a project the default limits again. For administrators.
    pub async fn reset_quota(&self, project_id: &str) -> Result<(), Error> {
        self.rest.order(Method::DELETE, path(project_id)?, Effect::Idempotent, &Value::Null).await
    }
}

fn path(project_id: &str) -> Result<String, Error> {
    if project_id.is_empty() {
        return Err(Error::new(ErrorKind::BadRequest, "the project of the quota is not given"));
    }
    Ok(format!("/quotas/{}", Query::encode(project_id)))
}
