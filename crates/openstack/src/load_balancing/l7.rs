//! L7 policies: where a listener for HTTP sends which requests.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{LoadBalancing, ProvisioningStatus, Reference};
use crate::Error;
use crate::http::Effect;
use crate::query::Query;
use crate::rest::json::null_is_default;
use crate::rest::{Resource, TagFilter, path};

/// A policy of a listener.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct L7Policy {
    /// Id.
    pub id: String,
    /// Name; need not be unique.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// What Octavia does with it.
    pub provisioning_status: ProvisioningStatus,
    /// What is done with requests that match.
    pub action: L7Action,
    /// Its place among the listener's policies, from 1; the first that matches counts.
    pub position: u32,
    /// The listener.
    #[serde(deserialize_with = "null_is_default")]
    pub listener_id: String,
    /// Where matching requests go.
    pub redirect_pool_id: Option<String>,
    /// Where clients are sent.
    pub redirect_url: Option<String>,
    /// What is put in front of the path that clients are sent to.
    pub redirect_prefix: Option<String>,
    /// Status of the answer that sends clients elsewhere.
    pub redirect_http_code: Option<u16>,
    /// Its rules.
    #[serde(deserialize_with = "null_is_default")]
    pub rules: Vec<Reference>,
    /// Tags.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
}

/// What is done with requests that match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum L7Action {
    /// They go to a pool.
    #[serde(rename = "REDIRECT_TO_POOL")]
    RedirectToPool,
    /// The client is sent elsewhere.
    #[serde(rename = "REDIRECT_TO_URL")]
    RedirectToUrl,
    /// The client is sent to the same path below another address.
    #[serde(rename = "REDIRECT_PREFIX")]
    RedirectPrefix,
    /// They are refused.
    #[serde(rename = "REJECT")]
    Reject,
    /// A word we do not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A policy to create.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NewL7Policy {
    /// The listener.
    pub listener_id: String,
    /// Name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What is to be done with requests that match.
    pub action: L7Action,
    /// Its place, from 1; the last by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// Where matching requests are to go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_pool_id: Option<String>,
    /// Where clients are to be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_url: Option<String>,
    /// What is to be put in front of the path that clients are sent to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_prefix: Option<String>,
    /// Status of the answer that sends clients elsewhere: 301, 302, 303, 307 or 308; 302 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_http_code: Option<u16>,
    /// Its rules, all of which must match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<NewL7Rule>,
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// A rule of a policy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct L7Rule {
    /// Id.
    pub id: String,
    /// What Octavia does with it.
    pub provisioning_status: ProvisioningStatus,
    /// What is compared: `HOST_NAME`, `PATH`, `FILE_TYPE`, `HEADER`, `COOKIE`, …
    #[serde(rename = "type", deserialize_with = "null_is_default")]
    pub kind: String,
    /// How: `EQUAL_TO`, `STARTS_WITH`, `ENDS_WITH`, `CONTAINS`, `REGEX`.
    #[serde(deserialize_with = "null_is_default")]
    pub compare_type: String,
    /// Name of the header or cookie.
    pub key: Option<String>,
    /// With what.
    #[serde(deserialize_with = "null_is_default")]
    pub value: String,
    /// Whether it matches what does not compare.
    pub invert: Option<bool>,
}

/// A rule to create.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NewL7Rule {
    /// What is compared.
    #[serde(rename = "type")]
    pub kind: String,
    /// How.
    pub compare_type: String,
    /// Name of the header or cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// With what.
    pub value: String,
    /// Whether it is to match what does not compare.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub invert: bool,
}

impl Resource for L7Policy {
    const PATH: &'static str = "lbaas/l7policies";
    const ONE: &'static str = "l7policy";
    const MANY: &'static str = "l7policies";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Resource for L7Rule {
    const PATH: &'static str = "rules";
    const ONE: &'static str = "rule";
    const MANY: &'static str = "rules";

    fn id(&self) -> &str {
        &self.id
    }
}

impl LoadBalancing {
    /// The policies of a project, or of all with this tag.
    pub async fn list_l7_policies(&self, project_id: Option<&str>, tags: &TagFilter) -> Result<Vec<L7Policy>, Error> {
        let mut filters = Query::default();
        filters.option("project_id", project_id);
        tags.add_to(&mut filters);
        self.rest.list(filters, &[], &[]).await
    }

    /// Creates a policy with its rules. `Busy` while something on its load balancer is changed; `BadRequest` where the provider
    /// has none.
    pub async fn create_l7_policy(&self, policy: &NewL7Policy) -> Result<L7Policy, Error> {
        self.rest.create(policy).await
    }

    /// Deletes a policy and its rules. `Busy` while something on its load balancer is changed.
    pub async fn delete_l7_policy(&self, id: &str) -> Result<(), Error> {
        self.rest.remove::<L7Policy>(id).await
    }

    /// The rules of a policy.
    pub async fn list_l7_rules(&self, policy: &str) -> Result<Vec<L7Rule>, Error> {
        self.rest.list_at(&rules(policy)?, Query::default(), &[], &[]).await
    }

    /// Adds a rule to a policy. `Busy` while something on its load balancer is changed.
    pub async fn create_l7_rule(&self, policy: &str, rule: &NewL7Rule) -> Result<L7Rule, Error> {
        self.rest.create_at(rules(policy)?, rule).await
    }

    /// Deletes a rule of a policy. `Busy` while something on its load balancer is changed.
    pub async fn delete_l7_rule(&self, policy: &str, id: &str) -> Result<(), Error> {
        let path = format!("{}{}", path::<L7Policy>(policy)?, path::<L7Rule>(id)?);
        self.rest.order(Method::DELETE, path, Effect::Idempotent, &Value::Null).await
    }
}

fn rules(policy: &str) -> Result<String, Error> {
    Ok(format!("{}/rules", path::<L7Policy>(policy)?))
}
