//! How many of each resource a project may have.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::kind::Kind;
use super::{octavia, owned};
use crate::openstack::neutron::Caller;
use crate::openstack::refusal::Refusal;
use crate::openstack::request::{Answer, Ask};
use crate::openstack::world::{Attributes, World};

pub(super) fn answer(world: &mut World, caller: &Caller, project: &str, ask: &Ask) -> Result<Answer, Refusal> {
    match ask.method {
        Method::GET => owned(caller, project)?,
        Method::PUT if caller.admin => {
            let body: Value = serde_json::from_slice(&ask.body).unwrap_or_default();
            for (resource, limit) in body["quota"].as_object().into_iter().flatten() {
                let key = (project.to_owned(), resource.clone());
                world.lbaas.quotas.insert(key, limit.as_i64().unwrap_or(-1));
            }
        }
        Method::DELETE if caller.admin => {
            world.lbaas.quotas.retain(|(of, _), _| of != project);
            return Ok(Answer::empty());
        }
        _ => return Err(octavia(StatusCode::FORBIDDEN, "Policy does not allow this request to be performed.")),
    }
    let limits: serde_json::Map<String, Value> =
        Kind::ALL.into_iter().map(|kind| (kind.quota().to_owned(), json!(limit(world, project, kind)))).collect();
    Ok(Answer::ok(json!({"quota": limits})))
}

fn limit(world: &World, project: &str, kind: Kind) -> i64 {
    world.lbaas.quotas.get(&(project.to_owned(), kind.quota().to_owned())).copied().unwrap_or(-1)
}

/// 403 if so many more are too many.
pub(super) fn check(world: &World, project: &str, kind: Kind, more: usize) -> Result<(), Refusal> {
    let limit = limit(world, project, kind);
    let has = world.lbaas.all(kind).filter(|object| object.text("project_id") == project).count();
    match limit >= 0 && i64::try_from(has + more).unwrap_or(i64::MAX) > limit {
        true => Err(octavia(StatusCode::FORBIDDEN, format!("Quota has been met for resources: {}", kind.noun()))),
        false => Ok(()),
    }
}
