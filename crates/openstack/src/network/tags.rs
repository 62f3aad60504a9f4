//! Tags: short words on most kinds of resources.

use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::Network;
use crate::http::Effect;
use crate::query::Query;
use crate::rest::{call, with_body};
use crate::{Error, ErrorKind};

/// A kind of resource that can be tagged (extension `standard-attr-tag`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taggable {
    /// A floating IP.
    FloatingIp,
    /// A network.
    Network,
    /// A port.
    Port,
    /// A router.
    Router,
    /// A security group.
    SecurityGroup,
    /// A subnet.
    Subnet,
    /// A subnet pool.
    SubnetPool,
    /// A trunk.
    Trunk,
}

impl Taggable {
    fn path(self) -> &'static str {
        match self {
            Taggable::FloatingIp => "floatingips",
            Taggable::Network => "networks",
            Taggable::Port => "ports",
            Taggable::Router => "routers",
            Taggable::SecurityGroup => "security-groups",
            Taggable::Subnet => "subnets",
            Taggable::SubnetPool => "subnetpools",
            Taggable::Trunk => "trunks",
        }
    }
}

impl Network {
    /// Gives a resource exactly these tags and answers them.
    pub async fn replace_tags(&self, kind: Taggable, id: &str, tags: &[String]) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Tags {
            tags: Vec<String>,
        }
        if id.is_empty() {
            return Err(Error::new(ErrorKind::BadRequest, "the id of what is to be tagged is empty"));
        }
        let path = format!("/{}/{}/tags", kind.path(), Query::encode(id));
        let call = call(Method::PUT, path, Effect::Idempotent);
        let answer: Tags = self.rest.service().json(with_body(call, &json!({ "tags": tags }))).await?;
        Ok(answer.tags)
    }
}
