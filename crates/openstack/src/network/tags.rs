//! Tags: short words on most kinds of resources.

use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{Network, call, with_body};
use crate::http::Effect;
use crate::query::Query;
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

/// Which tags a resource must and must not have. A tag with a comma in it cannot be asked for: Neutron splits there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagFilter {
    /// All of these.
    pub all: Vec<String>,
    /// At least one of these.
    pub any: Vec<String>,
    /// Not all of these at once.
    pub not_all: Vec<String>,
    /// None of these.
    pub not_any: Vec<String>,
}

impl TagFilter {
    /// Resources with all of these tags.
    pub fn all(tags: impl IntoIterator<Item = impl Into<String>>) -> TagFilter {
        TagFilter { all: tags.into_iter().map(Into::into).collect(), ..TagFilter::default() }
    }

    pub(crate) fn add_to(&self, query: &mut Query) {
        for (name, tags) in
            [("tags", &self.all), ("tags-any", &self.any), ("not-tags", &self.not_all), ("not-tags-any", &self.not_any)]
        {
            if !tags.is_empty() {
                query.push(name, tags.join(","));
            }
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
        let answer: Tags = self.service.json(with_body(call, &json!({ "tags": tags }))).await?;
        Ok(answer.tags)
    }
}
