//! Neutron v2.0: networks, ports and what belongs to them.

mod address_groups;
mod availability;
mod body;
mod check;
mod extensions;
mod floating_ips;
mod ipam;
mod kind;
mod listing;
mod networks;
mod policy;
mod ports;
mod quotas;
mod routers;
mod schema;
mod security_group_rules;
mod security_groups;
mod subnet_pools;
mod subnets;
mod tags;
mod trunks;
mod view;

use http::{Method, StatusCode};
use serde_json::{Value, json};

pub(crate) use extensions::OFF_AT_FIRST;
pub(crate) use kind::Kind;
pub(crate) use policy::Caller;
pub(crate) use quotas::Quotas;
pub(crate) use trunks::port_status_changed;

use super::refusal::Refusal;
use super::request::{Answer, Ask};
use super::world::{Attributes, Object, World};

/// Answers a request to Neutron. The caller of this commits or rolls back.
pub(crate) fn answer(world: &mut World, ask: &Ask) -> Result<Answer, Refusal> {
    let path = ask.path.strip_suffix(".json").unwrap_or(&ask.path);
    let path: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match path.as_slice() {
        [] => Ok(Answer::ok(json!({"versions": [{
            "id": "v2.0", "status": "CURRENT", "links": [{"rel": "self", "href": format!("{}/v2.0/", ask.base)}],
        }]}))),
        ["v2.0", ..] => {
            let caller = caller(world, ask)?;
            answer_as(world, &caller, ask)
        }
        _ => Err(Refusal::no_such_path()),
    }
}

/// Answers a request of someone known.
pub(crate) fn answer_as(world: &mut World, caller: &Caller, ask: &Ask) -> Result<Answer, Refusal> {
    let path = ask.path.strip_suffix(".json").unwrap_or(&ask.path);
    let path: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).skip(1).collect();
    within_version(world, caller, &path, ask)
}

/// Who asks, by its token.
pub(crate) fn caller(world: &World, ask: &Ask) -> Result<Caller, Refusal> {
    let secret = ask.token.as_deref().unwrap_or_default();
    let token = world.identity.holder(secret, world.clock.now()).ok_or_else(Refusal::unauthorized)?;
    let project = token.project.clone().ok_or_else(Refusal::unauthorized)?;
    let admin = world.identity.token_roles(token).iter().any(|role| role == "admin");
    Ok(Caller { project, admin })
}

fn within_version(world: &mut World, caller: &Caller, path: &[&str], ask: &Ask) -> Result<Answer, Refusal> {
    match path {
        [] => {
            let resources = [Kind::Network, Kind::Subnet, Kind::SubnetPool, Kind::Port].map(|kind| {
                let href = format!("{}/v2.0/{}", ask.base, kind.plural());
                json!({"name": kind.singular(), "collection": kind.plural(), "links": [{"rel": "self", "href": href}]})
            });
            Ok(Answer::ok(json!({"resources": resources})))
        }
        ["extensions", rest @ ..] => extensions::answer(world, rest, ask),
        ["network-ip-availabilities", rest @ ..] => availability::answer(world, caller, rest, ask),
        ["quotas", rest @ ..] => quotas::answer(world, caller, rest, ask),
        [collection, rest @ ..] => {
            let kind = Kind::at(collection).ok_or_else(Refusal::no_such_path)?;
            of_kind(world, caller, kind, rest, ask)
        }
    }
}

fn of_kind(world: &mut World, caller: &Caller, kind: Kind, path: &[&str], ask: &Ask) -> Result<Answer, Refusal> {
    match (&ask.method, path) {
        (&Method::GET, []) => {
            if kind == Kind::SecurityGroup {
                // Whoever looks has a default group to see.
                security_groups::default_of(world, &caller.project);
            }
            listing::list(world, caller, kind, ask)
        }
        (&Method::POST, []) => create(world, caller, kind, ask),
        (&Method::GET, [id]) => {
            let object = policy::find(world, caller, kind, id)?;
            let fields = ask.fields();
            let shown = listing::project(view::present(world, caller, kind, object, &fields), &fields);
            Ok(Answer::ok(json!({kind.singular(): shown})))
        }
        (&Method::PUT, [id]) => update(world, caller, kind, id, ask),
        (&Method::DELETE, [id]) => delete(world, caller, kind, id, ask),
        (&Method::DELETE | &Method::PUT, []) => Err(kind.not_found("None")),
        (_, [] | [_]) => Err(Refusal::no_such_method()),
        (_, [id, "tags"]) if kind.is_tagged() => tags::answer(world, caller, kind, id, None, ask),
        (_, [id, "tags", tag]) if kind.is_tagged() => tags::answer(world, caller, kind, id, Some(tag), ask),
        (_, [id, action]) => match kind {
            Kind::Trunk => trunks::act(world, caller, id, action, ask),
            Kind::Router => routers::act(world, caller, id, action, ask),
            Kind::AddressGroup => address_groups::act(world, caller, id, action, ask),
            _ => Err(Refusal::no_such_path()),
        },
        _ => Err(Refusal::no_such_path()),
    }
}

fn create(world: &mut World, caller: &Caller, kind: Kind, ask: &Ask) -> Result<Answer, Refusal> {
    let wanted = body::wanted(world, caller, kind, &ask.body)?;
    for object in &wanted.objects {
        policy::may_set(world, caller, kind, "create", object.text("network_id"), object)?;
    }
    quotas::check(world, kind, &wanted.objects)?;
    if kind == Kind::SecurityGroupRule && wanted.bulk {
        security_group_rules::check_bulk(&wanted.objects)?;
    }
    if kind == Kind::Port && wanted.bulk {
        let ids = ports::create_many(world, caller, wanted.objects)?;
        let shown: Vec<_> = ids.iter().map(|id| show(world, caller, kind, id)).collect();
        return Ok(Answer::new(StatusCode::CREATED, json!({kind.plural(): shown})));
    }
    let mut shown = Vec::new();
    for object in wanted.objects {
        let id = match kind {
            Kind::Network => networks::create(world, object)?,
            Kind::Subnet => subnets::create(world, caller, object)?,
            Kind::SubnetPool => subnet_pools::create(world, object)?,
            Kind::Port => ports::create(world, caller, object)?,
            Kind::SecurityGroup => security_groups::create(world, object)?,
            Kind::SecurityGroupRule => security_group_rules::create(world, caller, object)?,
            Kind::AddressGroup => address_groups::create(world, object),
            Kind::Router => routers::create(world, caller, object)?,
            Kind::FloatingIp => floating_ips::create(world, caller, object)?,
            Kind::Trunk => trunks::create(world, caller, object)?,
        };
        shown.push(Value::Object(show(world, caller, kind, &id)));
    }
    let body = match wanted.bulk {
        true => json!({kind.plural(): shown}),
        false => json!({kind.singular(): shown.pop()}),
    };
    Ok(Answer::new(StatusCode::CREATED, body))
}

fn update(world: &mut World, caller: &Caller, kind: Kind, id: &str, ask: &Ask) -> Result<Answer, Refusal> {
    let change = body::change(caller, kind, &ask.body)?;
    let object = policy::find_own(world, caller, kind, id, "update")?;
    check_revision(object, ask)?;
    policy::may_set(world, caller, kind, "update", object.text("network_id"), &change)?;
    // An update without attributes changes nothing, except that it frees a floating IP.
    if !change.is_empty() || kind == Kind::FloatingIp {
        match kind {
            Kind::Network => networks::update(world, id, change)?,
            Kind::Subnet => subnets::update(world, id, change)?,
            Kind::SubnetPool => subnet_pools::update(world, id, change)?,
            Kind::Port => ports::update(world, caller, id, change)?,
            Kind::SecurityGroup => security_groups::update(world, id, change)?,
            Kind::SecurityGroupRule => return Err(Refusal::internal_error()),
            Kind::AddressGroup => address_groups::update(world, id, change),
            Kind::Router => routers::update(world, caller, id, change)?,
            Kind::FloatingIp => floating_ips::update(world, caller, id, change)?,
            Kind::Trunk => trunks::update(world, id, change),
        }
    }
    Ok(Answer::ok(json!({kind.singular(): show(world, caller, kind, id)})))
}

fn delete(world: &mut World, caller: &Caller, kind: Kind, id: &str, ask: &Ask) -> Result<Answer, Refusal> {
    let object = policy::find_own(world, caller, kind, id, "delete")?;
    check_revision(object, ask)?;
    match kind {
        Kind::Network => networks::delete(world, id)?,
        Kind::Subnet => subnets::delete(world, id)?,
        Kind::SubnetPool => subnet_pools::delete(world, id)?,
        Kind::Port => ports::delete(world, id)?,
        Kind::SecurityGroup => security_groups::delete(world, caller, id)?,
        Kind::SecurityGroupRule => security_group_rules::delete(world, id),
        Kind::AddressGroup => address_groups::delete(world, id)?,
        Kind::Router => routers::delete(world, id)?,
        Kind::FloatingIp => floating_ips::delete(world, id),
        Kind::Trunk => trunks::delete(world, id)?,
    }
    Ok(Answer::empty())
}

/// `If-Match: revision_number=N` (extension `revision-if-match`); other conditions do not count.
fn check_revision(object: &Object, ask: &Ask) -> Result<(), Refusal> {
    let wanted = ask.if_match.as_deref().and_then(|text| text.strip_prefix("revision_number="));
    let current = object.get("revision_number").and_then(Value::as_i64).unwrap_or(0);
    match wanted {
        Some(wanted) if wanted.parse::<i64>().is_err() => {
            Err(Refusal::bad("if-match", "Revision number etag must be in the format of revision_number=<int>"))
        }
        Some(wanted) if wanted != current.to_string() => Err(Refusal::new(
            StatusCode::PRECONDITION_FAILED,
            "RevisionNumberConstraintFailed",
            format!("Constrained to {wanted}, but current revision is {current}"),
        )),
        _ => Ok(()),
    }
}

fn show(world: &World, caller: &Caller, kind: Kind, id: &str) -> Object {
    world.get(kind, id).map(|object| view::present(world, caller, kind, object, &[])).unwrap_or_default()
}

/// The resource as an administrator sees it.
pub(super) fn shown(world: &World, kind: Kind, object: &Object) -> Value {
    Value::Object(view::present(world, &Caller::nobody(), kind, object, &[]))
}

/// Keeps a new resource: gives it an id, times and its first revision.
fn admit(world: &mut World, kind: Kind, mut object: Object) -> String {
    let id = world.ids.uuid();
    let now = world.clock.stamp();
    object.set("id", id.clone());
    object.set("created_at", now.clone());
    object.set("updated_at", now);
    object.set("revision_number", kind.first_revision());
    if kind.is_tagged() {
        object.entry("tags").or_insert(json!([]));
    }
    world.put(kind, object);
    id
}
