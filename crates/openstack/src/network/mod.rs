//! Neutron v2.0.
//!
//! Field names and meanings are those of the [API reference](https://docs.openstack.org/api-ref/network/v2/). Whatever
//! Neutron may leave out, because `fields` did not ask for it or policy hides it, has a default here; only the id is
//! always there.

mod extensions;
mod floating_ips;
mod json;
mod listing;
mod networks;
mod ports;
mod quotas;
mod resource;
mod routers;
mod security_groups;
mod subnet_pools;
mod subnets;
mod tags;
mod trunks;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

pub use floating_ips::{FloatingIp, FloatingIpQuery, NewFloatingIp};
pub use networks::{NetworkDetails, NetworkQuery, NewNetwork};
pub use ports::{
    AddressPair, Binding, FixedIp, FixedIpFilter, NewFixedIp, NewPort, Port, PortQuery, PortStatus, PortUpdate,
    TrunkDetails, VifDetails,
};
pub use quotas::{Quota, QuotaLimits, QuotaUse};
pub use routers::{ExternalGateway, NewRouter, Router, RouterInterface, RouterQuery};
pub use security_groups::{
    Direction, Ethertype, NewSecurityGroup, NewSecurityGroupRule, SecurityGroup, SecurityGroupQuery, SecurityGroupRule,
    SecurityGroupRuleQuery, SecurityGroupUpdate,
};
pub use subnet_pools::{NewSubnetPool, SubnetPool, SubnetPoolQuery};
pub use subnets::{AllocationPool, HostRoute, NewSubnet, Subnet, SubnetQuery};
pub use tags::{TagFilter, Taggable};
pub use trunks::{NewTrunk, SubPort, Trunk, TrunkQuery};

use crate::http::{Call, Effect};
use crate::query::Query;
use crate::service::Service;
use crate::{Error, ErrorKind};
use resource::{One, Resource};

/// Neutron, as one project or administrator sees it.
#[derive(Clone)]
pub struct Network {
    service: Service,
    /// Whether ports can be created with their tags; filled when first needed.
    takes_port_tags: Arc<OnceCell<bool>>,
}

impl Network {
    pub(crate) fn new(service: Service) -> Network {
        Network { service, takes_port_tags: Arc::default() }
    }

    async fn show<R: Resource>(&self, id: &str) -> Result<R, Error> {
        let call = self::call(Method::GET, path::<R>(id)?, Effect::Read);
        Ok(self.service.json::<One<R>>(call).await?.0)
    }

    async fn create<R: Resource>(&self, body: &impl Serialize) -> Result<R, Error> {
        let call = self::call(Method::POST, format!("/{}", R::PATH), Effect::Once);
        let call = with_body(call, &json!({ R::ONE: as_json(body)? }));
        Ok(self.service.json::<One<R>>(call).await?.0)
    }

    /// One request for all; none if there is nothing to create.
    async fn create_many<R: Resource>(&self, bodies: &[impl Serialize]) -> Result<Vec<R>, Error> {
        if bodies.is_empty() {
            return Ok(Vec::new());
        }
        let call = self::call(Method::POST, format!("/{}", R::PATH), Effect::Once);
        let call = with_body(call, &json!({ R::MANY: as_json(&bodies)? }));
        Ok(self.service.json::<resource::Many<R>>(call).await?.items)
    }

    /// With a revision the update is refused (`Outdated`) if the resource has changed since, and so cannot be repeated.
    async fn update<R: Resource>(&self, id: &str, body: &impl Serialize, if_revision: Option<u64>) -> Result<R, Error> {
        let effect = if if_revision.is_some() { Effect::Once } else { Effect::Idempotent };
        let mut call = self::call(Method::PUT, path::<R>(id)?, effect);
        if let Some(revision) = if_revision
            && let Ok(value) = HeaderValue::from_str(&format!("revision_number={revision}"))
        {
            call.headers.insert(http::header::IF_MATCH, value);
        }
        let call = with_body(call, &json!({ R::ONE: as_json(body)? }));
        Ok(self.service.json::<One<R>>(call).await?.0)
    }

    async fn remove<R: Resource>(&self, id: &str) -> Result<(), Error> {
        let call = self::call(Method::DELETE, path::<R>(id)?, Effect::Idempotent);
        self.service.call(call).await?;
        Ok(())
    }

    /// A PUT on a verb below a resource, `/routers/ID/add_router_interface`.
    async fn act<R: Resource, T: DeserializeOwned>(&self, id: &str, verb: &str, body: Value) -> Result<T, Error> {
        let call = self::call(Method::PUT, format!("{}/{verb}", path::<R>(id)?), Effect::Once);
        self.service.json(with_body(call, &body)).await
    }
}

/// Path of one resource. An empty id would address the whole collection, so it is refused.
fn path<R: Resource>(id: &str) -> Result<String, Error> {
    if id.is_empty() {
        return Err(Error::new(ErrorKind::BadRequest, format!("the id of the {} is empty", R::ONE)));
    }
    Ok(format!("/{}/{}", R::PATH, Query::encode(id)))
}

fn call(method: Method, path: String, effect: Effect) -> Call {
    Call { method, path, headers: HeaderMap::new(), body: Bytes::new(), effect }
}

fn with_body(mut call: Call, body: &Value) -> Call {
    call.body = body.to_string().into();
    call
}

fn as_json(body: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(body)
        .map_err(|error| Error::new(ErrorKind::BadRequest, "the request cannot be written as JSON").because(&error))
}
