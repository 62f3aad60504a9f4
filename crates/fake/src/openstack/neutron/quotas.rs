//! Quotas: how many of each kind a project may have.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::body::parse;
use super::kind::Kind;
use super::policy::Caller;
use crate::openstack::refusal::Refusal;
use crate::openstack::request::{Answer, Ask};
use crate::openstack::world::{Object, World};

/// Quotas that were set; without one there is no limit.
#[derive(Default)]
pub(crate) struct Quotas(BTreeMap<String, BTreeMap<String, i64>>);

/// No limit.
const UNLIMITED: i64 = -1;

impl Quotas {
    pub(crate) fn set(&mut self, project: &str, resource: &str, limit: i64) {
        self.0.entry(project.to_owned()).or_default().insert(resource.to_owned(), limit);
    }

    fn limit(&self, project: &str, resource: &str) -> i64 {
        let set = self.0.get(project).and_then(|quotas| quotas.get(resource));
        set.copied().unwrap_or_else(|| default(resource))
    }
}

fn default(resource: &str) -> i64 {
    // There are no RBAC policies here, only their quota.
    if resource == "rbac_policy" { 10 } else { UNLIMITED }
}

fn resources() -> impl Iterator<Item = &'static str> {
    let kinds = Kind::ALL.into_iter().filter(|kind| kind.has_quota()).map(Kind::singular);
    kinds.chain(["rbac_policy"])
}

/// 409 if a project may not have so many more of a kind.
pub(super) fn check(world: &World, kind: Kind, wanted: &[Object]) -> Result<(), Refusal> {
    if !kind.has_quota() {
        return Ok(());
    }
    let mut more: BTreeMap<&str, i64> = BTreeMap::new();
    for object in wanted {
        *more.entry(object.get("project_id").and_then(Value::as_str).unwrap_or_default()).or_default() += 1;
    }
    for (project, more) in more {
        let limit = world.quotas.limit(project, kind.singular());
        if limit >= 0 && world.count(kind, project) + more > limit {
            let message = format!("Quota exceeded for resources: ['{}'].", kind.singular());
            return Err(Refusal::conflict("OverQuota", message));
        }
    }
    Ok(())
}

/// Answers `/v2.0/quotas…`.
pub(super) fn answer(world: &mut World, caller: &Caller, path: &[&str], ask: &Ask) -> Result<Answer, Refusal> {
    let all = |limit: &dyn Fn(&str) -> Value| -> Value {
        let quotas: Object = resources().map(|name| (name.to_owned(), limit(name))).collect();
        json!({"quota": quotas})
    };
    let allowed =
        |verb: &str, project: Option<&str>| match caller.admin || verb == "get" && project == Some(&caller.project) {
            true => Ok(()),
            false => Err(Refusal::forbidden(format!("rule:{verb}_quota"))),
        };
    match (&ask.method, path) {
        (&Method::GET, []) => {
            allowed("get", None)?;
            let quotas = world.quotas.0.keys().map(|project| {
                let mut quota = all(&|name| json!(world.quotas.limit(project, name)))["quota"].take();
                quota["project_id"] = json!(project);
                quota["tenant_id"] = json!(project);
                quota
            });
            Ok(Answer::ok(json!({"quotas": quotas.collect::<Vec<_>>()})))
        }
        (&Method::GET, ["tenant" | "project"]) => {
            Ok(Answer::ok(json!({path[0]: {format!("{}_id", path[0]): caller.project}})))
        }
        (&Method::GET, [project]) => {
            allowed("get", Some(project))?;
            Ok(Answer::ok(all(&|name| json!(world.quotas.limit(project, name)))))
        }
        (&Method::GET, [project, "default"]) => {
            allowed("get", Some(project))?;
            Ok(Answer::ok(all(&|name| json!(default(name)))))
        }
        (&Method::GET, [project, "details"]) => {
            allowed("get", Some(project))?;
            Ok(Answer::ok(all(&|name| {
                let kind = Kind::ALL.into_iter().find(|kind| kind.singular() == name);
                let used = kind.map_or(0, |kind| world.count(kind, project));
                json!({"limit": world.quotas.limit(project, name), "used": used, "reserved": 0})
            })))
        }
        (&Method::PUT, [project]) => {
            allowed("update", None)?;
            let body = parse(&ask.body)?;
            for (name, limit) in body["quota"].as_object().into_iter().flatten() {
                let number = limit.as_i64().or_else(|| limit.as_str()?.parse().ok());
                match (resources().any(|known| known == name), number) {
                    (false, _) => {
                        return Err(Refusal::bad_request(format!("Unrecognized attribute(s) '{name}'")));
                    }
                    (true, Some(limit)) if limit >= UNLIMITED => world.quotas.set(project, name, limit),
                    (true, Some(limit)) => {
                        let reason = format!("'{limit}' is too small - must be at least '-1'");
                        return Err(Refusal::invalid_attribute(name, reason));
                    }
                    (true, None) => {
                        let limit = super::check::shown(limit);
                        return Err(Refusal::invalid_input(format!("'{limit}' is not an integer")));
                    }
                }
            }
            Ok(Answer::ok(all(&|name| json!(world.quotas.limit(project, name)))))
        }
        (&Method::DELETE, [project]) => {
            allowed("delete", None)?;
            match world.quotas.0.remove(*project) {
                Some(_) => Ok(Answer::empty()),
                None => Err(Refusal::not_found(
                    "TenantQuotaNotFound",
                    format!("Quota for tenant {project} could not be found."),
                )),
            }
        }
        _ => Err(Refusal::no_such_path()),
    }
}
