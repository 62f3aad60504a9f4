//! Lists: filters, tags and pages.

use serde_json::{Value, json};

use super::kind::Kind;
use super::{invalid, is_true, octavia, owned, view};
use crate::openstack::neutron::Caller;
use crate::openstack::refusal::Refusal;
use crate::openstack::request::{Answer, Ask};
use crate::openstack::world::{Attributes, Object, World};

/// Parameters that do not filter.
const OTHERS: [&str; 8] = ["fields", "limit", "marker", "sort", "page_reverse", "sort_key", "sort_dir", "cascade"];

pub(super) fn list(
    world: &World,
    caller: &Caller,
    kind: Kind,
    parent: Option<&str>,
    ask: &Ask,
) -> Result<Answer, Refusal> {
    if let Some(project) = ask.first("project_id") {
        owned(caller, project)?;
    }
    let below = |object: &Object| match (kind.parent(), parent) {
        (Some(key), Some(parent)) => object.text(key) == parent,
        _ => caller.admin || object.text("project_id") == caller.project,
    };
    let matches = |object: &&Object| below(object) && filters(ask).all(|(key, value)| fits(object, key, value));
    // By id, as a table by primary key gives them.
    let mut found: Vec<&Object> = world.lbaas.all(kind).filter(matches).collect();
    if let Some(marker) = ask.first("marker") {
        let place = found.iter().position(|object| object.text("id") == marker);
        let place = place.ok_or_else(|| {
            octavia(http::StatusCode::BAD_REQUEST, format!("Supplied pagination marker '{marker}' is not valid."))
        })?;
        found.drain(..=place);
    }
    let limit = match ask.first("limit") {
        None => found.len(),
        Some(limit) => limit.parse().map_err(|_| invalid(format!("the limit {limit} is no number")))?,
    };
    let more = found.len() > limit && limit > 0;
    if limit > 0 {
        found.truncate(limit);
    }
    let mut body =
        json!({kind.many(): found.iter().map(|object| view::shown(&world.lbaas, kind, object)).collect::<Vec<_>>()});
    let links: Vec<Value> = match (more, found.last()) {
        (true, Some(last)) => {
            let href = format!("{}{}?limit={limit}&marker={}", ask.base, ask.path, last.text("id"));
            vec![json!({"rel": "next", "href": href})]
        }
        _ => Vec::new(),
    };
    body[format!("{}_links", kind.many())] = links.into();
    Ok(Answer::ok(body))
}

fn filters(ask: &Ask) -> impl Iterator<Item = (&str, &str)> {
    let pairs = ask.query.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    pairs.filter(|(key, _)| !OTHERS.contains(key))
}

fn fits(object: &Object, key: &str, value: &str) -> bool {
    let has = |tag: &str| object.items("tags").iter().any(|own| own == tag);
    let mut tags = value.split(',');
    match key {
        "tags" => tags.all(has),
        "tags-any" => tags.any(has),
        "not-tags" => !tags.all(has),
        "not-tags-any" => !tags.any(has),
        "load_balancer_id" | "loadbalancer_id" => object.text("loadbalancer_id") == value,
        key => match object.get(key) {
            Some(Value::String(text)) => text == value,
            Some(Value::Bool(flag)) => *flag == is_true(value),
            Some(Value::Number(number)) => value.parse().ok() == number.as_i64(),
            Some(_) => false,
            // Octavia passes over what it does not know.
            None => true,
        },
    }
}
