//! From request to answer.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::Value;
use tokio::time::Instant;

use super::body::Body;
use super::delete::{DeleteOptions, Deleted};
use super::form::Form;
use super::kinds::Kind;
use super::log::Entry;
use super::managed::{Claim, Manager};
use super::patch;
use super::refusal::{self, Refusal};
use super::request::{Query, Target, field_manager};
use super::state::State;
use super::typing::Typing;
use super::watch::Watch;
use super::write::{Door, UnknownFields, Write, Written};
use super::{Cluster, discovery, openapi, read, strategic};
use crate::faults::{Answer, ConnectionLost, Lose, Verdict};

/// Answers a request, or lets a fault do so.
pub(super) async fn respond(cluster: &Cluster, request: Request<Bytes>) -> Result<Response<Body>, ConnectionLost> {
    let (parts, body) = request.into_parts();
    let Verdict { delay, answer, lose } = cluster.faults().decide(&parts.method, parts.uri.path());
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let entry = log_entry(&parts);
    let note = |status: Option<StatusCode>| {
        if let Some(mut entry) = entry.clone() {
            entry.status = status.map(|status| status.as_u16());
            entry.at = Instant::now();
            cluster.log().note(entry);
        }
    };
    if lose == Lose::BeforeEffect {
        note(None);
        return Err(ConnectionLost);
    }
    if let Some(answer) = answer.as_ref().filter(|answer| !answer.after_effect) {
        note(Some(answer.status));
        return Ok(faulty(answer));
    }
    let watches = entry.as_ref().is_some_and(|entry| entry.verb == "watch");
    // A watch has no effect to lose the answer of: it breaks after its first event instead.
    let breaks_after = (lose == Lose::AfterEffect && watches).then_some(1);
    let response = Call { cluster, parts: &parts, body: &body, breaks_after }.answer();
    if lose == Lose::AfterEffect && !watches {
        note(None);
        return Err(ConnectionLost);
    }
    let response = answer.as_ref().map_or(response, faulty);
    note(Some(response.status()));
    Ok(response)
}

fn log_entry(parts: &Parts) -> Option<Entry> {
    let target = Target::parse(parts.uri.path())?;
    let verb = target.verb(&parts.method, &Query::of(&parts.uri)).ok()?;
    let mut resource = target.plural;
    if !target.group.is_empty() {
        resource = format!("{resource}.{}", target.group);
    }
    if let Some(subresource) = target.subresource {
        resource = format!("{resource}/{subresource}");
    }
    let name = target.name.unwrap_or_default();
    Some(Entry { verb, resource, namespace: target.namespace, name, status: None, at: Instant::now() })
}

fn faulty(answer: &Answer) -> Response<Body> {
    let mut response = match &answer.body {
        Some(body) => json(answer.status, body),
        None => json(answer.status, &Refusal::fault(answer.status, answer.retry_after).status()),
    };
    if let Some(seconds) = answer.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, value: &Value) -> Response<Body> {
    json_text(status, value.to_string())
}

fn json_text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::whole(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::whole(text));
    *response.status_mut() = status;
    let media_type = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}

/// One request on its way.
struct Call<'a> {
    cluster: &'a Cluster,
    parts: &'a Parts,
    body: &'a [u8],
    breaks_after: Option<usize>,
}

impl Call<'_> {
    fn answer(&self) -> Response<Body> {
        let path = self.parts.uri.path();
        if let Some(answer) = self.about_the_api(path) {
            return answer;
        }
        let target = Target::parse(path).filter(|target| {
            let group = (&*target.group, &*target.version);
            self.cluster.state().kinds.iter().any(|kind| (&*kind.group, &*kind.version) == group)
        });
        let Some(target) = target else {
            return text(StatusCode::NOT_FOUND, "404 page not found\n");
        };
        self.resource(&target).unwrap_or_else(|refusal| json(refusal.code, &refusal.status()))
    }

    /// Discovery, documents and health.
    fn about_the_api(&self, path: &str) -> Option<Response<Body>> {
        if self.parts.method != Method::GET {
            return None;
        }
        if matches!(path, "/healthz" | "/livez" | "/readyz") {
            return Some(text(StatusCode::OK, "ok"));
        }
        let state = self.cluster.state();
        if let Some((value, media_type)) = discovery::answer(&state.kinds, path, &self.parts.headers) {
            let mut response = json(StatusCode::OK, &value);
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
            return Some(response);
        }
        openapi::answer(&state.kinds, path).map(|document| json(StatusCode::OK, &document))
    }

    fn resource(&self, target: &Target) -> Result<Response<Body>, Refusal> {
        let query = Query::of(&self.parts.uri);
        let verb = target.verb(&self.parts.method, &query)?;
        let cluster = self.cluster;
        let kind = cluster.state().kinds.find(&target.group, &target.version, &target.plural);
        let kind = kind.ok_or_else(Refusal::not_served)?;
        if kind.namespaced && target.namespace.is_empty() && (target.name.is_some() || verb == "create") {
            return Err(Refusal::not_served());
        }
        if !kind.namespaced && !target.namespace.is_empty() {
            return Err(Refusal::not_served());
        }
        let form = Form::asked(&self.parts.headers, &query, cluster.state().clock.now());
        if verb == "watch" {
            let mut watch = cluster.act(|state| Watch::open(cluster, state, kind, target, &query, form))?;
            if let Some(events) = self.breaks_after {
                watch = watch.breaking_after(events);
            }
            let mut response = Response::new(Body::stream(watch.stream()));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            return Ok(response);
        }
        let door = match target.subresource.as_deref() {
            None => Door::Main,
            Some("status") if kind.status => Door::Status,
            Some("finalize") if kind.is("namespaces") => Door::Finalize,
            Some(subresource @ ("binding" | "eviction")) if kind.is("pods") && verb == "create" => {
                return self.pod_action(&kind, target, subresource, &query);
            }
            Some(_) if kind.traits.custom => {
                return Err(Refusal::not_found(&kind, target.name.as_deref().unwrap_or_default()));
            }
            Some(_) => return Err(Refusal::not_served()),
        };
        let write = Write {
            kind: kind.clone(),
            namespace: target.namespace.clone(),
            door,
            dry_run: query.get("dryRun").is_some(),
            unknown_fields: match query.get("fieldValidation") {
                Some("Strict") => UnknownFields::Refuse,
                Some("Ignore") => UnknownFields::Ignore,
                _ => UnknownFields::Warn,
            },
            manager: Manager {
                name: field_manager(&query, &self.parts.headers),
                subresource: target.subresource.clone().unwrap_or_default(),
                claim: Claim::Changes,
            },
        };
        let name = target.name.as_deref().unwrap_or_default();
        match verb {
            "get" => {
                let object = cluster.state().read(&kind, &target.namespace, name)?;
                Ok(json(StatusCode::OK, &form.object(&kind, &object)))
            }
            "list" => {
                let list = cluster.state().list(&kind, target, &query)?;
                Ok(json_text(StatusCode::OK, form.list(&kind, &list)))
            }
            "create" => {
                let object = self.object(&kind)?;
                let written = cluster.act(|state| state.create(&write, object))?;
                Ok(self.written(&kind, form, &written))
            }
            "update" => {
                let object = self.object(&kind)?;
                let written = cluster.act(|state| state.revise(&write, name, |_| Ok(named(object, name))))?;
                Ok(self.written(&kind, form, &written))
            }
            "patch" => {
                let written = cluster.act(|state| self.patch(state, &write, name, &query))?;
                Ok(self.written(&kind, form, &written))
            }
            "delete" => {
                let options = DeleteOptions::parse(&self.optional_body()?, &query)?;
                let deleted = cluster.act(|state| state.delete(&kind, &target.namespace, name, &options))?;
                Ok(self.deleted(&kind, form, &deleted))
            }
            _ => {
                let options = DeleteOptions::parse(&self.optional_body()?, &query)?;
                let list = cluster.act(|state| state.delete_all(&kind, target, &query, &options))?;
                Ok(json_text(StatusCode::OK, form.list(&kind, &list)))
            }
        }
    }

    fn pod_action(&self, kind: &Kind, target: &Target, action: &str, query: &Query) -> Result<Response<Body>, Refusal> {
        let name = target.name.as_deref().unwrap_or_default();
        let body = self.json_body()?;
        self.cluster.act(|state| {
            if action == "binding" {
                return state.bind(kind, &target.namespace, name, &body);
            }
            let options = DeleteOptions::parse(&body["deleteOptions"], query)?;
            state.delete(kind, &target.namespace, name, &options).map(drop)
        })?;
        let done = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201,
        });
        Ok(json(StatusCode::CREATED, &done))
    }

    fn patch(&self, state: &mut State, write: &Write, name: &str, query: &Query) -> Result<Written, Refusal> {
        let body = self.json_body()?;
        let kind = write.kind.clone();
        match self.media_type() {
            "application/merge-patch+json" => state.revise(write, name, |old| {
                let mut new = Value::clone(old);
                patch::merge(&mut new, &body);
                Ok(new)
            }),
            "application/json-patch+json" => state.revise(write, name, |old| {
                let mut new = Value::clone(old);
                patch::apply_json_patch(&mut new, &body).map_err(|patch::DoesNotApply| Refusal::patch_fails())?;
                Ok(new)
            }),
            "application/strategic-merge-patch+json" if !kind.traits.custom => state.revise(write, name, |old| {
                let mut new = Value::clone(old);
                strategic::merge(Typing::Root(&kind), &mut new, &body);
                Ok(new)
            }),
            // JSON is YAML, and all that clients send.
            "application/apply-patch+yaml" => {
                let mut write = write.clone();
                write.manager.name = query.get("fieldManager").unwrap_or_default().to_owned();
                state.apply(write, name, body, query.flag("force"))
            }
            _ => Err(Refusal::unsupported_patch(kind.traits.custom)),
        }
    }

    fn written(&self, kind: &Kind, form: Form, written: &Written) -> Response<Body> {
        let status = if written.created { StatusCode::CREATED } else { StatusCode::OK };
        let mut response = json(status, &form.object(kind, &written.object));
        for warning in &written.warnings {
            let text = format!("299 - \"{}\"", warning.replace('\\', "\\\\").replace('"', "\\\""));
            if let Ok(value) = HeaderValue::try_from(text) {
                response.headers_mut().append(header::WARNING, value);
            }
        }
        response
    }

    fn deleted(&self, kind: &Kind, form: Form, deleted: &Deleted) -> Response<Body> {
        match deleted {
            Deleted::Gone(object) if !kind.traits.returns_deleted => {
                let status = refusal::success(kind, super::object::name(object), super::object::uid(object));
                json(StatusCode::OK, &status)
            }
            Deleted::Gone(object) | Deleted::Pending(object) => json(StatusCode::OK, &form.object(kind, object)),
        }
    }

    fn media_type(&self) -> &str {
        let content_type = self.parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        content_type.unwrap_or("application/json").split(';').next().unwrap_or_default().trim()
    }

    fn object(&self, kind: &Arc<Kind>) -> Result<Value, Refusal> {
        if self.media_type() != "application/json" {
            return Err(Refusal::unsupported_media_type());
        }
        let mut object = self.json_body()?;
        // Built-in kinds may leave out what the path says anyway.
        if !kind.traits.custom
            && let Value::Object(fields) = &mut object
        {
            super::object::default(fields, "kind", kind.kind.clone());
            super::object::default(fields, "apiVersion", kind.api_version());
        }
        Ok(object)
    }

    fn json_body(&self) -> Result<Value, Refusal> {
        serde_json::from_slice(self.body).map_err(|error| {
            Refusal::bad_request(format!(
                "the object provided is unrecognized: couldn't read the body as JSON: {error}"
            ))
        })
    }

    fn optional_body(&self) -> Result<Value, Refusal> {
        if self.body.is_empty() { Ok(Value::Null) } else { self.json_body() }
    }
}

/// An update may leave out the name the path gives.
fn named(mut object: Value, name: &str) -> Value {
    super::object::default(super::object::meta_mut(&mut object), "name", name);
    object
}

impl State {
    /// Deletes what a list shows; the list.
    fn delete_all(
        &mut self,
        kind: &Kind,
        target: &Target,
        query: &Query,
        options: &DeleteOptions,
    ) -> Result<read::Listed, Refusal> {
        let list = self.list(kind, target, query)?;
        for item in &list.items {
            self.delete(kind, super::object::namespace(item), super::object::name(item), options)?;
        }
        Ok(list)
    }
}
