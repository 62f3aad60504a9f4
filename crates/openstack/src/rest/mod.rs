//! What Neutron and Octavia have in common: collections of resources, one or many in a body, lists over pages.

pub(crate) mod json;
mod listing;
mod resource;
mod tag_filter;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::http::{Call, Effect};
use crate::pace::{Pace, Turn};
use crate::query::Query;
use crate::service::Service;
use crate::{Error, ErrorKind};
use resource::{Many, One};

pub(crate) use resource::Resource;
pub use tag_filter::TagFilter;

/// The collections of one service.
#[derive(Clone)]
pub(crate) struct Rest {
    service: Service,
}

impl Rest {
    pub(crate) fn new(service: Service) -> Rest {
        Rest { service }
    }

    pub(crate) async fn show<R: Resource>(&self, id: &str) -> Result<R, Error> {
        self.show_at(path::<R>(id)?).await
    }

    /// One resource that is not in its kind's usual place: a member of a pool.
    pub(crate) async fn show_at<R: Resource>(&self, path: String) -> Result<R, Error> {
        Ok(self.read::<One<R>>(path).await?.0)
    }

    pub(crate) async fn create<R: Resource>(&self, body: &impl Serialize) -> Result<R, Error> {
        self.create_in(None, body).await
    }

    /// The same, with a turn that is there already.
    pub(crate) async fn create_in<R: Resource>(&self, turn: Option<Turn>, body: &impl Serialize) -> Result<R, Error> {
        self.post(turn, format!("/{}", R::PATH), body).await
    }

    /// One resource in a collection that is not in its kind's usual place.
    pub(crate) async fn create_at<R: Resource>(&self, collection: String, body: &impl Serialize) -> Result<R, Error> {
        self.post(None, collection, body).await
    }

    async fn post<R: Resource>(
        &self,
        turn: Option<Turn>,
        collection: String,
        body: &impl Serialize,
    ) -> Result<R, Error> {
        let call = with_body(call(Method::POST, collection, Effect::Once), &json!({ R::ONE: as_json(body)? }));
        Ok(self.service.json_in::<One<R>>(turn, call).await?.0)
    }

    /// A change of one that is not in its kind's usual place.
    pub(crate) async fn update_at<R: Resource>(&self, path: String, body: &impl Serialize) -> Result<R, Error> {
        let call = with_body(call(Method::PUT, path, Effect::Idempotent), &json!({ R::ONE: as_json(body)? }));
        Ok(self.service.json::<One<R>>(call).await?.0)
    }

    /// Turns to create resources of a kind.
    pub(crate) fn pace_of_creations<R: Resource>(&self) -> Pace {
        self.service.pace(&Method::POST, &format!("/{}", R::PATH))
    }

    /// One request for all, with a turn if there is one already; none if there is nothing to create.
    pub(crate) async fn create_many<R: Resource>(
        &self,
        turn: Option<Turn>,
        bodies: &[impl Serialize],
    ) -> Result<Vec<R>, Error> {
        if bodies.is_empty() {
            return Ok(Vec::new());
        }
        let call = self::call(Method::POST, format!("/{}", R::PATH), Effect::Once);
        let call = with_body(call, &json!({ R::MANY: as_json(&bodies)? }));
        Ok(self.service.json_in::<Many<R>>(turn, call).await?.items)
    }

    /// With a revision the update is refused (`Outdated`) if the resource has changed since, and so cannot be repeated.
    pub(crate) async fn update<R: Resource>(
        &self,
        id: &str,
        body: &impl Serialize,
        if_revision: Option<u64>,
    ) -> Result<R, Error> {
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

    pub(crate) async fn remove<R: Resource>(&self, id: &str) -> Result<(), Error> {
        self.order(Method::DELETE, path::<R>(id)?, Effect::Idempotent, &Value::Null).await
    }

    /// A PUT on a verb below a resource, `/routers/ID/add_router_interface`.
    pub(crate) async fn act<R: Resource, T: DeserializeOwned>(
        &self,
        id: &str,
        verb: &str,
        body: Value,
    ) -> Result<T, Error> {
        let call = self::call(Method::PUT, format!("{}/{verb}", path::<R>(id)?), Effect::Once);
        self.service.json(with_body(call, &body)).await
    }

    /// A GET of anything.
    pub(crate) async fn read<T: DeserializeOwned>(&self, path: String) -> Result<T, Error> {
        self.service.json(call(Method::GET, path, Effect::Read)).await
    }

    /// A call whose answer says nothing; without a body if that is null.
    pub(crate) async fn order(&self, method: Method, path: String, effect: Effect, body: &Value) -> Result<(), Error> {
        let mut call = call(method, path, effect);
        if !body.is_null() {
            call = with_body(call, body);
        }
        self.service.call(call).await?;
        Ok(())
    }

    pub(crate) fn service(&self) -> &Service {
        &self.service
    }
}

/// Path of one resource. An empty id would address the whole collection, so it is refused.
pub(crate) fn path<R: Resource>(id: &str) -> Result<String, Error> {
    if id.is_empty() {
        return Err(Error::new(ErrorKind::BadRequest, format!("the id of the {} is empty", R::ONE)));
    }
    Ok(format!("/{}/{}", R::PATH, Query::encode(id)))
}

pub(crate) fn call(method: Method, path: String, effect: Effect) -> Call {
    Call { method, path, headers: HeaderMap::new(), body: Bytes::new(), effect }
}

pub(crate) fn with_body(mut call: Call, body: &Value) -> Call {
    call.body = body.to_string().into();
    call
}

pub(crate) fn as_json(body: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(body)
        .map_err(|error| Error::new(ErrorKind::BadRequest, "the request cannot be written as JSON").because(&error))
}
