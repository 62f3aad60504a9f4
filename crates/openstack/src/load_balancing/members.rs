//! Members: addresses and ports that traffic goes to.

use std::net::IpAddr;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{LoadBalancing, OperatingStatus, Pool, ProvisioningStatus};
use crate::Error;
use crate::http::Effect;
use crate::query::Query;
use crate::rest::json::null_is_default;
use crate::rest::{Resource, as_json, path};

/// A member of a pool.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Member {
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
    /// Its address.
    pub address: Option<IpAddr>,
    /// Its port.
    pub protocol_port: u16,
    /// Subnet it is reached from.
    pub subnet_id: Option<String>,
    /// How much of the traffic it gets, 0 to 256; with 0 it gets no new connections.
    pub weight: u16,
    /// Whether it is used only when no other works.
    pub backup: Option<bool>,
    /// Tags.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
}

/// A member to create.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NewMember {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub protocol_port: u16,
    /// Subnet it is reached from; the VIP's by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
    /// Name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// How much of the traffic it gets, 0 to 256; 1 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// What to change of a member; `None` leaves it. Address and port cannot change.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MemberUpdate {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How much of the traffic it gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
}

impl Resource for Member {
    const PATH: &'static str = "members";
    const ONE: &'static str = "member";
    const MANY: &'static str = "members";

    fn id(&self) -> &str {
        &self.id
    }
}

impl LoadBalancing {
    /// The members of a pool.
    pub async fn list_members(&self, pool: &str) -> Result<Vec<Member>, Error> {
        self.rest.list_at(&of(pool)?, Query::default(), &[], &[]).await
    }

    /// One member.
    pub async fn member(&self, pool: &str, id: &str) -> Result<Member, Error> {
        self.rest.show_at(one_of(pool, id)?).await
    }

    /// Creates a member. `Busy` while something on its load balancer is changed, `Conflict` if address and port are taken.
    pub async fn create_member(&self, pool: &str, member: &NewMember) -> Result<Member, Error> {
        self.rest.create_at(of(pool)?, member).await
    }

    /// Changes a member. `Busy` while something on its load balancer is changed.
    pub async fn update_member(&self, pool: &str, id: &str, update: &MemberUpdate) -> Result<Member, Error> {
        self.rest.update_at(one_of(pool, id)?, update).await
    }

    /// Deletes a member. `Busy` while something on its load balancer is changed.
    pub async fn delete_member(&self, pool: &str, id: &str) -> Result<(), Error> {
        self.rest.order(Method::DELETE, one_of(pool, id)?, Effect::Idempotent, &Value::Null).await
    }

    /// Gives a pool exactly these members, in one call: those with the same address and port are changed, others created, the
    /// rest deleted. `Busy` while something on its load balancer is changed.
    pub async fn set_members(&self, pool: &str, members: &[NewMember]) -> Result<(), Error> {
        self.batch(pool, members, "").await
    }

    /// Adds members or changes those with the same address and port, and leaves the rest. Where
    /// [`LoadBalancingVersion::has_additive_batches`](super::LoadBalancingVersion::has_additive_batches).
    pub async fn add_members(&self, pool: &str, members: &[NewMember]) -> Result<(), Error> {
        self.batch(pool, members, "?additive_only=true").await
    }

    async fn batch(&self, pool: &str, members: &[NewMember], query: &str) -> Result<(), Error> {
        let path = format!("{}{query}", of(pool)?);
        self.rest.order(Method::PUT, path, Effect::Idempotent, &json!({ "members": as_json(&members)? })).await
    }
}

/// A pool's members are below it.
fn of(pool: &str) -> Result<String, Error> {
    Ok(format!("{}/members", path::<Pool>(pool)?))
}

fn one_of(pool: &str, id: &str) -> Result<String, Error> {
    Ok(format!("{}{}", path::<Pool>(pool)?, path::<Member>(id)?))
}
