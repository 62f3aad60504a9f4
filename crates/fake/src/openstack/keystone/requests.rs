//! Keystone's paths.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::tokens::unknown_token;
use super::{DOMAIN, Identity, Token};
use crate::openstack::refusal::Refusal;
use crate::openstack::request::{Answer, Ask};
use crate::openstack::world::World;

/// Answers a request to Keystone.
pub(crate) fn answer(world: &mut World, ask: &Ask) -> Result<Answer, Refusal> {
    let path: Vec<&str> = ask.path.split('/').filter(|part| !part.is_empty()).collect();
    let method = if ask.method == Method::HEAD { Method::GET } else { ask.method.clone() };
    match (&method, path.as_slice()) {
        (&Method::GET, []) => {
            let versions = json!({"versions": {"values": [version(ask)]}});
            Ok(Answer::new(StatusCode::MULTIPLE_CHOICES, versions).header("location", &format!("{}/v3/", ask.base)))
        }
        (&Method::GET, ["v3"]) => Ok(Answer::ok(json!({"version": version(ask)}))),
        (&Method::POST, ["v3", "auth", "tokens"]) => {
            let body = serde_json::from_slice(&ask.body).unwrap_or(Value::Null);
            let now = world.clock.now();
            let (secret, body) = world.identity.issue(&mut world.ids, now, &body)?;
            Ok(Answer::new(StatusCode::CREATED, body).header("x-subject-token", &secret))
        }
        (_, ["v3", rest @ ..]) => authenticated(world, ask, &method, rest),
        _ => Err(Refusal::not_found("Not Found", "The resource could not be found.")),
    }
}

fn authenticated(world: &mut World, ask: &Ask, method: &Method, path: &[&str]) -> Result<Answer, Refusal> {
    let now = world.clock.now();
    let identity = &mut world.identity;
    let token = ask.token.as_deref().unwrap_or_default();
    let caller = identity.holder(token, now).cloned().ok_or_else(Refusal::unauthorized)?;
    match (method, path) {
        (&Method::GET, ["auth", "tokens"]) => {
            let subject = ask.subject_token.as_deref().ok_or_else(unknown_token)?;
            let body =
                identity.holder(subject, now).map(|token| identity.token_body(token)).ok_or_else(unknown_token)?;
            Ok(Answer::ok(body).header("x-subject-token", subject))
        }
        (&Method::DELETE, ["auth", "tokens"]) => {
            let subject = ask.subject_token.as_deref().ok_or_else(unknown_token)?;
            identity.tokens.remove(subject).ok_or_else(unknown_token)?;
            Ok(Answer::empty())
        }
        (&Method::GET, ["auth", "catalog"]) => Ok(Answer::ok(json!({
            "catalog": identity.catalog(), "links": links(ask),
        }))),
        (&Method::GET, ["auth", "projects"]) => {
            let user = identity.users.get(&caller.user);
            let mine = |id: &String| user.is_some_and(|user| user.roles.contains_key(id));
            Ok(listed(
                ask,
                "projects",
                identity.projects.keys().filter(|id| mine(id)).map(|id| project(identity, ask, id)),
            ))
        }
        (&Method::GET, ["projects" | "users" | "services" | "domains" | "roles" | "regions", ..]) => {
            directory(identity, &caller, ask, path)
        }
        _ => Err(Refusal::not_found("Not Found", "The resource could not be found.")),
    }
}

/// Projects, users, services, domains: for administrators, and everyone's own project and user.
fn directory(identity: &Identity, caller: &Token, ask: &Ask, path: &[&str]) -> Result<Answer, Refusal> {
    let [collection, rest @ ..] = path else {
        return Err(Refusal::no_such_path());
    };
    let own = rest.first().is_some_and(|id| Some(*id) == caller.project.as_deref() || *id == caller.user);
    if !own && !identity.token_roles(caller).iter().any(|role| role == "admin") {
        let verb = if rest.is_empty() { "list" } else { "get" };
        let noun = if rest.is_empty() { collection } else { collection.trim_end_matches('s') };
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "Forbidden",
            format!("You are not authorized to perform the requested action: identity:{verb}_{noun}."),
        ));
    }
    let all: Vec<Value> = match *collection {
        "projects" => identity.projects.keys().map(|id| project(identity, ask, id)).collect(),
        "users" => identity
            .users
            .values()
            .map(|user| {
                json!({
                    "id": user.id, "name": user.name, "domain_id": DOMAIN.0, "enabled": true, "options": {},
                    "default_project_id": user.default_project, "password_expires_at": null,
                    "links": {"self": format!("{}/v3/users/{}", ask.base, user.id)},
                })
            })
            .collect(),
        "services" => identity
            .services
            .iter()
            .map(|service| {
                json!({
                    "id": service.id, "name": service.name, "type": service.kind, "enabled": true,
                    "links": {"self": format!("{}/v3/services/{}", ask.base, service.id)},
                })
            })
            .collect(),
        "roles" => identity
            .roles
            .iter()
            .map(|(name, id)| {
                json!({
                    "id": id, "name": name, "domain_id": null, "description": null, "options": {},
                    "links": {"self": format!("{}/v3/roles/{id}", ask.base)},
                })
            })
            .collect(),
        "regions" => vec![json!({
            "id": identity.region, "description": "", "parent_region_id": null,
            "links": {"self": format!("{}/v3/regions/{}", ask.base, identity.region)},
        })],
        _ => vec![json!({
            "id": DOMAIN.0, "name": DOMAIN.1, "description": "The default domain", "enabled": true, "tags": [],
            "options": {}, "links": {"self": format!("{}/v3/domains/{}", ask.base, DOMAIN.0)},
        })],
    };
    match rest {
        [] => Ok(listed(
            ask,
            collection,
            all.into_iter().filter(|entry| {
                ["name", "domain_id", "type"]
                    .iter()
                    .all(|key| ask.first(key).is_none_or(|wanted| entry[*key] == *wanted))
            }),
        )),
        [id] => {
            let singular = collection.trim_end_matches('s');
            let found = all.into_iter().find(|entry| entry["id"] == *id);
            let entry =
                found.ok_or_else(|| Refusal::not_found("Not Found", format!("Could not find {singular}: {id}.")))?;
            Ok(Answer::ok(json!({singular: entry})))
        }
        _ => Err(Refusal::no_such_path()),
    }
}

fn project(identity: &Identity, ask: &Ask, id: &str) -> Value {
    let name = identity.projects.get(id).map_or("", |project| &project.name);
    json!({
        "id": id, "name": name, "domain_id": DOMAIN.0, "description": "", "enabled": true, "parent_id": DOMAIN.0,
        "is_domain": false, "tags": [], "options": {}, "links": {"self": format!("{}/v3/projects/{id}", ask.base)},
    })
}

fn listed(ask: &Ask, collection: &str, entries: impl Iterator<Item = Value>) -> Answer {
    Answer::ok(json!({collection: entries.collect::<Vec<_>>(), "links": links(ask)}))
}

fn links(ask: &Ask) -> Value {
    json!({"next": null, "previous": null, "self": format!("{}{}", ask.base, ask.path)})
}

fn version(ask: &Ask) -> Value {
    json!({
        "id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": format!("{}/v3/", ask.base)}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    })
}
