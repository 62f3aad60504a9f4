//! Lists: filters, order, pages, and which attributes are shown.

use std::cmp::Ordering;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::body::{attribute, attributes};
use super::check::boolean;
use super::kind::Kind;
use super::policy::{Caller, sees};
use super::tags::TagFilters;
use super::view::present;
use crate::openstack::refusal::Refusal;
use crate::openstack::request::{Answer, Ask, encode};
use crate::openstack::world::{Attributes, Object, World, fixed_ips};

/// Parameters that are not filters.
const CONTROLS: [&str; 6] = ["fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"];

/// Answers `GET /v2.0/<kind>`.
pub(super) fn list(world: &World, caller: &Caller, kind: Kind, ask: &Ask) -> Result<Answer, Refusal> {
    let filters = Filters::read(kind, ask)?;
    let order = order(kind, ask)?;
    let limit = limit(ask)?;
    let mut found: Vec<&Object> = candidates(world, kind, &filters)
        .filter(|object| sees(world, caller, kind, object) && filters.match_all(world, kind, object))
        .collect();
    found.sort_by(|a, b| compare(&order, a, b));

    let reverse = ask.first("page_reverse").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    if let Some(marker) = ask.first("marker").filter(|_| limit.is_some()) {
        let marker = world.get(kind, marker).ok_or_else(|| kind.not_found(marker))?;
        let wanted = if reverse { Ordering::Less } else { Ordering::Greater };
        found.retain(|object| compare(&order, object, marker) == wanted);
    }
    if let Some(limit) = limit {
        let surplus = found.len().saturating_sub(limit);
        if reverse {
            found.drain(..surplus);
        } else {
            found.truncate(limit);
        }
    }

    let fields = ask.fields();
    let shown =
        found.iter().map(|object| Value::Object(project(present(world, caller, kind, object, &fields), &fields)));
    let mut body = json!({kind.plural(): shown.collect::<Vec<_>>()});
    if let Some(limit) = limit {
        let links = links(ask, kind, &found, limit, reverse);
        if !links.is_empty() {
            body[format!("{}_links", kind.plural())] = json!(links);
        }
    }
    Ok(Answer::ok(body))
}

/// Keeps the wanted attributes; all if none are named.
pub(super) fn project(mut object: Object, fields: &[&str]) -> Object {
    if !fields.is_empty() {
        object.retain(|name, _| fields.contains(&name.as_str()));
    }
    object
}

/// The objects to look through: those with the wanted ids, those of the wanted parents, or all.
fn candidates<'a>(world: &'a World, kind: Kind, filters: &Filters<'_>) -> Box<dyn Iterator<Item = &'a Object> + 'a> {
    if let Some(ids) = filters.of("id") {
        let mut ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        ids.sort();
        ids.dedup();
        return Box::new(ids.into_iter().filter_map(move |id| world.get(kind, &id)));
    }
    match kind.parent().and_then(|parent| filters.of(parent)) {
        Some([parent]) => Box::new(world.within(kind, parent)),
        _ => Box::new(world.all(kind)),
    }
}

struct Filters<'a> {
    by_name: Vec<(&'a str, Vec<&'a str>)>,
    tags: TagFilters<'a>,
}

impl<'a> Filters<'a> {
    fn read(kind: Kind, ask: &'a Ask) -> Result<Filters<'a>, Refusal> {
        let mut filters = Filters { by_name: Vec::new(), tags: TagFilters::default() };
        let mut unknown = Vec::new();
        for (name, value) in &ask.query {
            if CONTROLS.contains(&name.as_str()) || kind.is_tagged() && filters.tags.read(name, value) {
                continue;
            }
            if !attribute(kind, name).is_some_and(|attribute| attribute.filters()) {
                unknown.push(name.as_str());
            } else if value.is_empty() {
                // A filter without a value does not filter.
            } else if let Some((_, values)) = filters.by_name.iter_mut().find(|(known, _)| known == name) {
                values.push(value);
            } else {
                filters.by_name.push((name, vec![value]));
            }
        }
        if !unknown.is_empty() {
            unknown.dedup();
            let names: Vec<_> = unknown.iter().map(|name| format!("'{name}'")).collect();
            let message = format!("[{}] is invalid attribute for filtering", names.join(", "));
            return Err(Refusal::bad_request(message));
        }
        for (name, values) in &filters.by_name {
            if let Some(value) = values.iter().find(|value| *name == "fixed_ips" && !value.contains('=')) {
                return Err(Refusal::invalid_input(format!("'{value}' is not of the form <key>=[value]")));
            }
            if attribute(kind, name).is_some_and(|attribute| attribute.is_boolean()) {
                values.iter().try_for_each(|value| boolean(&json!(value)).map(drop))?;
            }
        }
        Ok(filters)
    }

    fn of(&self, name: &str) -> Option<&[&'a str]> {
        self.by_name.iter().find(|(known, _)| *known == name).map(|(_, values)| values.as_slice())
    }

    fn match_all(&self, world: &World, kind: Kind, object: &Object) -> bool {
        self.tags.match_all(object)
            && self.by_name.iter().all(|(name, values)| match (kind, *name) {
                (Kind::Port, "fixed_ips") => match_fixed_ips(object, values),
                (Kind::Port, "security_groups") => {
                    object.items("security_groups").iter().any(|id| id.as_str().is_some_and(|id| values.contains(&id)))
                }
                (Kind::Subnet, "shared") => {
                    let network = world.get(Kind::Network, object.text("network_id"));
                    matches(network.and_then(|network| network.get("shared")), values)
                }
                (Kind::SecurityGroup, "shared") => matches(Some(&json!(false)), values),
                _ => matches(object.get(*name), values),
            })
    }
}

/// Whether an attribute has one of the values.
fn matches(value: Option<&Value>, wanted: &[&str]) -> bool {
    match value {
        Some(Value::String(text)) => wanted.contains(&text.as_str()),
        Some(Value::Bool(flag)) => wanted.iter().any(|text| boolean(&json!(text)).ok() == Some(*flag)),
        Some(Value::Number(number)) => wanted.contains(&number.to_string().as_str()),
        _ => false,
    }
}

/// `fixed_ips=subnet_id=S`, `fixed_ips=ip_address=A`, `fixed_ips=ip_address_substr=T`: one address of the port has to fit
/// all of the keys given, each with any of its values. Unknown keys do not count.
fn match_fixed_ips(port: &Object, wanted: &[&str]) -> bool {
    let of = |key: &str| -> Vec<&str> {
        let pairs = wanted.iter().filter_map(|pair| pair.split_once('='));
        pairs.filter(|(name, _)| *name == key).map(|(_, value)| value).collect()
    };
    let (subnets, addresses, parts) = (of("subnet_id"), of("ip_address"), of("ip_address_substr"));
    if subnets.is_empty() && addresses.is_empty() && parts.is_empty() {
        return true;
    }
    let addresses: Vec<Option<IpAddr>> = addresses.iter().map(|address| address.parse().ok()).collect();
    fixed_ips(port).any(|(subnet, address)| {
        (subnets.is_empty() || subnets.contains(&subnet))
            && (addresses.is_empty() || addresses.contains(&Some(address)))
            && (parts.is_empty() || parts.iter().any(|part| address.to_string().contains(part)))
    })
}

/// The attributes to sort by, the last of them the id, and whether downwards.
fn order(kind: Kind, ask: &Ask) -> Result<Vec<(&str, bool)>, Refusal> {
    let keys: Vec<&str> = ask.values("sort_key").collect();
    let directions: Vec<&str> = ask.values("sort_dir").collect();
    if keys.len() != directions.len() {
        return Err(Refusal::bad_request("The number of sort_keys and sort_dirs must be same"));
    }
    if let Some(direction) = directions.iter().find(|direction| !matches!(**direction, "asc" | "desc")) {
        let message = format!("['{direction}'] is invalid value for sort_dirs, valid value is 'asc' and 'desc'");
        return Err(Refusal::bad_request(message));
    }
    let known = |name: &&&str| attributes(kind).any(|attribute| attribute.name == **name && attribute.sorts());
    let unknown: Vec<_> = keys.iter().filter(|key| !known(key)).map(|key| format!("'{key}'")).collect();
    if !unknown.is_empty() {
        let message = format!("[{}] is invalid attribute for sort_keys", unknown.join(", "));
        return Err(Refusal::bad_request(message));
    }
    let mut order: Vec<_> = keys.into_iter().zip(directions.iter().map(|direction| *direction == "desc")).collect();
    order.push(("id", false));
    Ok(order)
}

fn compare(order: &[(&str, bool)], a: &Object, b: &Object) -> Ordering {
    let by = |(name, downwards): &(&str, bool)| {
        let ordering = match (a.get(*name), b.get(*name)) {
            (Some(Value::Number(a)), Some(Value::Number(b))) => a.as_i64().cmp(&b.as_i64()),
            (a, b) => a.and_then(Value::as_str).cmp(&b.and_then(Value::as_str)),
        };
        if *downwards { ordering.reverse() } else { ordering }
    };
    order.iter().map(by).find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
}

/// The size of a page; none if it is 0 or not given.
fn limit(ask: &Ask) -> Result<Option<usize>, Refusal> {
    let Some(text) = ask.values("limit").next() else {
        return Ok(None);
    };
    match text.parse::<usize>() {
        Ok(0) => Ok(None),
        Ok(limit) => Ok(Some(limit)),
        Err(_) => Err(Refusal::bad("limit", format!("Limit must be an integer 0 or greater and not '{text}'"))),
    }
}

/// Links to the pages before and after. The next page is offered whenever this one is full.
fn links(ask: &Ask, kind: Kind, found: &[&Object], limit: usize, reverse: bool) -> Vec<Value> {
    let href = |marker: Option<&&Object>, back: bool| {
        let kept = ask.query.iter().filter(|(name, _)| !matches!(name.as_str(), "marker" | "page_reverse"));
        let mut parameters: Vec<_> = kept.map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        parameters.extend(marker.map(|object| format!("marker={}", object.text("id"))));
        parameters.extend(back.then(|| "page_reverse=True".to_owned()));
        format!("{}/v2.0/{}?{}", ask.base, kind.plural().replace('_', "-"), parameters.join("&"))
    };
    let full = found.len() >= limit;
    let mut links = Vec::new();
    if full || reverse {
        links.push(json!({"rel": "next", "href": href(found.last(), false)}));
    }
    if full || !reverse {
        links.push(json!({"rel": "previous", "href": href(found.first(), true)}));
    }
    links
}
