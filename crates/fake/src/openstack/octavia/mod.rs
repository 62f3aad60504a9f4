//! Octavia v2: load balancers and what is on them, with the providers `amphora` and `ovn`.
//!
//! Every change of a load balancer or of anything on it takes the provider a while ([`Lbaas::step`]), during which the load
//! balancer takes no other. What is checked and in which words was read in Octavia 11 and ovn-octavia-provider 3 (Zed) and
//! is compared with them by the contract tests.

mod create;
mod graph;
mod kind;
mod listing;
mod members;
mod provider;
mod quotas;
mod tables;
mod update;
mod view;
mod vip;

use http::{Method, StatusCode};
use serde_json::{Value, json};

pub(crate) use kind::Kind;
pub(crate) use tables::Lbaas;
pub(crate) use view::shown;

use super::neutron::{self, Caller};
use super::refusal::Refusal;
use super::request::{Answer, Ask};
use super::world::{Attributes, Object, World};

/// The newest version of a new cloud's Octavia: 2 and this.
const NEWEST: u32 = 26;

/// Answers a request to Octavia, after [`settle`]. What is refused has changed nothing.
pub(crate) fn answer(world: &mut World, ask: &Ask) -> Result<Answer, Refusal> {
    let path: Vec<&str> = ask.path.split('/').filter(|part| !part.is_empty()).collect();
    match path.as_slice() {
        [] => Ok(Answer::ok(versions(world.lbaas.newest, &ask.base))),
        ["v2" | "v2.0", "lbaas", rest @ ..] => {
            let caller = neutron::caller(world, ask)?;
            route(world, &caller, rest, ask)
        }
        _ => Err(no_such_path()),
    }
}

/// The same for an administrator, with a path below `/v2/lbaas`.
pub(crate) fn answer_administrator(world: &mut World, ask: &Ask) -> Result<Answer, Refusal> {
    let path: Vec<&str> = ask.path.split('/').filter(|part| !part.is_empty()).collect();
    route(world, &Caller::nobody(), &path, ask)
}

/// What providers have done by now is done.
pub(crate) fn settle(world: &mut World) {
    let now = world.clock.elapsed();
    for gone in world.lbaas.settle(now) {
        vip::release(world, &gone);
    }
}

/// Makes a load balancer as an administrator; answers its id.
pub(crate) fn create(world: &mut World, resource: &Value) -> Result<String, Refusal> {
    let wanted = resource.as_object().cloned().unwrap_or_default();
    create::create(world, &Caller::nobody(), Kind::LoadBalancer, None, wanted)
}

/// A load balancer is gone from one moment to the next.
pub(crate) fn lose(world: &mut World, id: &str) {
    if let Some(gone) = world.lbaas.forget(id) {
        vip::release(world, &gone);
    }
}

fn versions(newest: u32, base: &str) -> Value {
    let version = |minor: u32| {
        let status = if minor == newest { "CURRENT" } else { "SUPPORTED" };
        json!({
            "id": format!("v2.{minor}"), "status": status, "updated": "2022-08-29T00:00:00Z",
            "links": [{"href": format!("{base}/v2"), "rel": "self"}],
        })
    };
    json!({"versions": (0..=newest).map(version).collect::<Vec<_>>()})
}

fn route(world: &mut World, caller: &Caller, path: &[&str], ask: &Ask) -> Result<Answer, Refusal> {
    match path {
        ["providers"] => Ok(Answer::ok(provider::list())),
        ["flavors"] => Ok(Answer::ok(json!({"flavors": []}))),
        ["availabilityzones"] => Ok(Answer::ok(json!({"availability_zones": []}))),
        ["quotas", project] => quotas::answer(world, caller, project, ask),
        ["loadbalancers", id, "failover"] => provider::fail_over(world, caller, id),
        ["loadbalancers", id, "status" | "statuses"] => {
            let balancer = find(world, caller, Kind::LoadBalancer, id)?;
            Ok(Answer::ok(view::tree(&world.lbaas, balancer)))
        }
        ["pools", pool, "members"] if ask.method == Method::PUT => members::batch(world, caller, pool, ask),
        ["pools", pool, "members", rest @ ..] => {
            find(world, caller, Kind::Pool, pool)?;
            of_kind(world, caller, Kind::Member, Some(pool), rest, ask)
        }
        ["l7policies", policy, "rules", rest @ ..] => {
            find(world, caller, Kind::L7Policy, policy)?;
            of_kind(world, caller, Kind::L7Rule, Some(policy), rest, ask)
        }
        [collection, rest @ ..] => {
            let kind = Kind::at(collection).ok_or_else(no_such_path)?;
            of_kind(world, caller, kind, None, rest, ask)
        }
        [] => Err(no_such_path()),
    }
}

/// `parent` is the pool of members, the policy of rules.
fn of_kind(
    world: &mut World,
    caller: &Caller,
    kind: Kind,
    parent: Option<&str>,
    path: &[&str],
    ask: &Ask,
) -> Result<Answer, Refusal> {
    match (&ask.method, path) {
        (&Method::GET, []) => listing::list(world, caller, kind, parent, ask),
        (&Method::POST, []) => {
            let wanted = wanted(kind, &ask.body)?;
            let id = create::create(world, caller, kind, parent, wanted)?;
            Ok(Answer::new(StatusCode::CREATED, json!({kind.one(): show(world, kind, &id)})))
        }
        (&Method::GET, [id]) => {
            find_in(world, caller, kind, parent, id)?;
            Ok(Answer::ok(json!({kind.one(): show(world, kind, id)})))
        }
        (&Method::PUT, [id]) => {
            find_in(world, caller, kind, parent, id)?;
            let wanted = wanted(kind, &ask.body)?;
            update::update(world, kind, id, wanted)?;
            Ok(Answer::ok(json!({kind.one(): show(world, kind, id)})))
        }
        (&Method::DELETE, [id]) => {
            find_in(world, caller, kind, parent, id)?;
            update::delete(world, kind, id, ask.first("cascade").is_some_and(is_true))?;
            Ok(Answer::empty())
        }
        (_, [] | [_]) => Err(octavia(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")),
        _ => Err(no_such_path()),
    }
}

/// The object in a body.
fn wanted(kind: Kind, body: &[u8]) -> Result<Object, Refusal> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|_| octavia(StatusCode::BAD_REQUEST, "Unable to parse the request body as JSON"))?;
    match &body[kind.one()] {
        Value::Object(wanted) => Ok(wanted.clone()),
        _ => Err(invalid(format!("the body has no {}", kind.one()))),
    }
}

fn show(world: &World, kind: Kind, id: &str) -> Value {
    world.lbaas.get(kind, id).map_or(Value::Null, |object| view::shown(&world.lbaas, kind, object))
}

/// The resource, if the caller may have it; 404 if there is none, 403 if it is another project's.
fn find<'a>(world: &'a World, caller: &Caller, kind: Kind, id: &str) -> Result<&'a Object, Refusal> {
    let found = world.lbaas.get(kind, id).ok_or_else(|| not_found(kind.noun(), id))?;
    owned(caller, found.text("project_id"))?;
    Ok(found)
}

fn find_in(world: &World, caller: &Caller, kind: Kind, parent: Option<&str>, id: &str) -> Result<(), Refusal> {
    let found = find(world, caller, kind, id)?;
    match (kind.parent(), parent) {
        (Some(key), Some(parent)) if found.text(key) != parent => Err(not_found(kind.noun(), id)),
        _ => Ok(()),
    }
}

fn owned(caller: &Caller, project: &str) -> Result<(), Refusal> {
    match caller.admin || caller.project == project {
        true => Ok(()),
        false => Err(octavia(StatusCode::FORBIDDEN, "Policy does not allow this request to be performed.")),
    }
}

fn is_true(word: &str) -> bool {
    ["1", "t", "true", "on", "y", "yes"].contains(&word.to_lowercase().as_str())
}

fn octavia(status: StatusCode, message: impl Into<String>) -> Refusal {
    Refusal::new(status, "Client", message)
}

fn invalid(detail: impl AsRef<str>) -> Refusal {
    octavia(StatusCode::BAD_REQUEST, format!("Validation failure: {}", detail.as_ref()))
}

fn not_found(noun: &str, id: &str) -> Refusal {
    octavia(StatusCode::NOT_FOUND, format!("{noun} {id} not found."))
}

fn no_such_path() -> Refusal {
    octavia(StatusCode::NOT_FOUND, "The resource could not be found.")
}

fn immutable(noun: &str, id: &str) -> Refusal {
    octavia(StatusCode::CONFLICT, format!("{noun} {id} is immutable and cannot be updated."))
}
