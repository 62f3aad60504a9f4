//! Bodies of requests: which attributes they may have, and what they become.

use serde_json::{Value, json};

use super::kind::Kind;
use super::policy::Caller;
use super::schema::{Attr, COMMON, Fill, STANDARD};
use crate::openstack::refusal::Refusal;
use crate::openstack::world::{Attributes, Object, World};

/// What a POST asks for.
pub(super) struct Wanted {
    pub(super) objects: Vec<Object>,
    /// Whether the answer is a list, too.
    pub(super) bulk: bool,
}

pub(super) fn attributes(kind: Kind) -> impl Iterator<Item = &'static Attr> {
    let standard = if kind.is_tagged() { STANDARD } else { &[] };
    COMMON.iter().chain(standard).chain(kind.attributes())
}

pub(super) fn attribute(kind: Kind, name: &str) -> Option<&'static Attr> {
    attributes(kind).find(|attribute| attribute.name == name)
}

/// Takes a body apart, without looking at attributes.
pub(super) fn parse(body: &[u8]) -> Result<Value, Refusal> {
    if body.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(body).map_err(|_| Refusal::bad_request("Body contains invalid data"))
}

/// The resources a POST asks for, with defaults filled in.
pub(super) fn wanted(world: &World, caller: &Caller, kind: Kind, body: &[u8]) -> Result<Wanted, Refusal> {
    let mut body = parse(body)?;
    let bulk = body.get(kind.plural()).is_some();
    let items = match body.get_mut(kind.plural()).map(Value::take) {
        Some(Value::Array(items)) if !items.is_empty() => items,
        Some(_) => return Err(Refusal::bad_request("Resources required")),
        None => vec![single(&mut body, kind)?],
    };
    let objects = items.into_iter().map(|item| match item {
        Value::Object(object) => fill(world, caller, kind, object),
        _ => Err(invalid(kind)),
    });
    Ok(Wanted { objects: objects.collect::<Result<_, _>>()?, bulk })
}

/// What a PUT changes.
pub(super) fn change(caller: &Caller, kind: Kind, body: &[u8]) -> Result<Object, Refusal> {
    let mut body = parse(body)?;
    if body.get(kind.plural()).is_some() {
        return Err(Refusal::bad_request("Bulk operation not supported"));
    }
    let Value::Object(mut object) = single(&mut body, kind)? else {
        return Err(invalid(kind));
    };
    own_project(caller, &object)?;
    known(kind, &object)?;
    for attribute in attributes(kind) {
        if let Some(value) = object.remove(attribute.name) {
            if !attribute.may_put() {
                let name = if attribute.name == "project_id" { "tenant_id" } else { attribute.name };
                let message = format!("Cannot update read-only attribute {name}");
                return Err(Refusal::bad_request(message));
            }
            object.set(attribute.name, attribute.check.accept(attribute.name, value)?);
        }
    }
    Ok(object)
}

fn invalid(kind: Kind) -> Refusal {
    Refusal::bad_request(format!("Object '{}' contains invalid data", kind.singular()))
}

fn single(body: &mut Value, kind: Kind) -> Result<Value, Refusal> {
    let missing = || Refusal::bad_request(format!("Unable to find '{}' in request body", kind.singular()));
    body.get_mut(kind.singular()).map(Value::take).ok_or_else(missing)
}

fn fill(world: &World, caller: &Caller, kind: Kind, mut object: Object) -> Result<Object, Refusal> {
    let project = own_project(caller, &object)?.unwrap_or_else(|| caller.project.clone());
    known(kind, &object)?;
    let tags = tags(world, kind, &mut object)?;
    for attribute in attributes(kind) {
        let given = object.remove(attribute.name);
        let value = match (given, attribute.fill) {
            (Some(_), Fill::Never) => {
                return Err(Refusal::bad_request(format!("Attribute '{}' not allowed in POST", attribute.name)));
            }
            (Some(value), _) => attribute.check.accept(attribute.name, value)?,
            (None, Fill::Required) => {
                let message = format!("Failed to parse request. Required attribute '{}' not specified", attribute.name);
                return Err(Refusal::bad_request(message));
            }
            (None, Fill::Unset | Fill::Never) => continue,
            (None, Fill::Null) => Value::Null,
            (None, Fill::Text(text)) => json!(text),
            (None, Fill::Bool(flag)) => json!(flag),
            (None, Fill::Number(number)) => json!(number),
            (None, Fill::Empty) => json!([]),
        };
        object.set(attribute.name, value);
    }
    object.set("project_id", project.clone());
    object.set("tenant_id", project);
    if kind.is_tagged() {
        object.set("tags", tags);
    }
    Ok(object)
}

/// The project a body names, if the caller may name it.
fn own_project(caller: &Caller, object: &Object) -> Result<Option<String>, Refusal> {
    let named = object.get("project_id").or(object.get("tenant_id")).and_then(Value::as_str);
    match named {
        Some(project) if project != caller.project && !caller.admin => Err(Refusal::bad_request(
            "Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin \
             or advsvc privileges",
        )),
        named => Ok(named.map(str::to_owned)),
    }
}

fn known(kind: Kind, object: &Object) -> Result<(), Refusal> {
    let unknown: Vec<_> = object.keys().filter(|name| attribute(kind, name).is_none()).map(String::as_str).collect();
    match unknown.as_slice() {
        [] => Ok(()),
        names => Err(Refusal::bad_request(format!("Unrecognized attribute(s) '{}'", names.join(", ")))),
    }
}

/// Tags in the body of a POST. What becomes of them depends on the extensions: `tag-creation` (2025.1) takes them
/// everywhere, `tag-ports-during-bulk-creation` for ports; without both, ports lose them in silence and everything else
/// refuses them, as the real service was seen to do.
fn tags(world: &World, kind: Kind, object: &mut Object) -> Result<Value, Refusal> {
    let everywhere = world.has_extension("tag-creation");
    let for_ports = kind == Kind::Port && world.has_extension("tag-ports-during-bulk-creation");
    match object.get("tags") {
        None => Ok(json!([])),
        Some(_) if everywhere || for_ports => {
            let tags = object.remove("tags").unwrap_or_default();
            super::tags::accept(tags)
        }
        Some(_) if kind == Kind::Port => {
            object.remove("tags");
            Ok(json!([]))
        }
        Some(_) => Err(Refusal::bad_request("Attribute 'tags' not allowed in POST")),
    }
}
