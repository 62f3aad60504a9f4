//! Tags: the sub-resource of every tagged resource, and filters by them.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::body::parse;
use super::kind::Kind;
use super::policy::{Caller, find_own};
use crate::openstack::refusal::Refusal;
use crate::openstack::request::{Answer, Ask};
use crate::openstack::world::{Attributes, Object, World};

/// The longest tag (API reference, "Standard Attributes Tag Extension").
const LONGEST: usize = 255;

/// Answers `/v2.0/<kind>/<id>/tags[/<tag>]`.
pub(super) fn answer(
    world: &mut World,
    caller: &Caller,
    kind: Kind,
    id: &str,
    tag: Option<&str>,
    ask: &Ask,
) -> Result<Answer, Refusal> {
    let missing =
        || Refusal::not_found("TagResourceNotFound", format!("Resource {} {id} could not be found.", kind.plural()));
    let object = find_own(world, caller, kind, id, "update").map_err(|refusal| match refusal.status {
        StatusCode::NOT_FOUND => missing(),
        _ => refusal,
    })?;
    let mut tags: Vec<String> = object.items("tags").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let absent = |tag: &str| Refusal::not_found("TagNotFound", format!("Tag {tag} could not be found."));
    match (&ask.method, tag) {
        (&Method::GET, None) => Ok(Answer::ok(json!({"tags": tags}))),
        (&Method::GET, Some(tag)) => match tags.iter().any(|known| known == tag) {
            true => Ok(Answer::empty()),
            false => Err(absent(tag)),
        },
        (&Method::PUT, None) => {
            let wanted = parse(&ask.body)?.get("tags").cloned();
            let wanted = accept(wanted.ok_or_else(|| Refusal::invalid_input("Invalid tags body"))?)?;
            keep(world, kind, id, wanted.clone());
            Ok(Answer::ok(json!({"tags": wanted})))
        }
        (&Method::PUT, Some(tag)) => {
            if !tags.iter().any(|known| known == tag) {
                tags.push(tag.to_owned());
                keep(world, kind, id, accept(json!(tags))?);
            }
            Ok(Answer::new(StatusCode::CREATED, Value::Null))
        }
        (&Method::DELETE, None) => {
            keep(world, kind, id, json!([]));
            Ok(Answer::empty())
        }
        (&Method::DELETE, Some(tag)) => {
            let position = tags.iter().position(|known| known == tag).ok_or_else(|| absent(tag))?;
            tags.remove(position);
            keep(world, kind, id, json!(tags));
            Ok(Answer::empty())
        }
        _ => Err(Refusal::not_found("HTTPNotFound", "not supported")),
    }
}

/// Tags count as no change of the resource's own: the revision grows with them all the same.
fn keep(world: &mut World, kind: Kind, id: &str, tags: Value) {
    world.revise(kind, id, |object| object.set("tags", tags));
}

/// Tags as they are kept, or what is wrong with them.
pub(super) fn accept(tags: Value) -> Result<Value, Refusal> {
    let Value::Array(items) = tags else {
        return Err(Refusal::invalid_input(format!("'{}' is not a list", super::check::shown(&tags))));
    };
    let mut accepted: Vec<String> = Vec::new();
    for item in items {
        let Value::String(tag) = item else {
            return Err(Refusal::invalid_input(format!("'{}' is not a valid string", super::check::shown(&item))));
        };
        if tag.chars().count() > LONGEST {
            return Err(Refusal::invalid_input(format!("'{tag}' exceeds maximum length of {LONGEST}")));
        }
        if accepted.contains(&tag) {
            return Err(Refusal::invalid_input(format!("Duplicate items in the list: '{tag}'")));
        }
        accepted.push(tag);
    }
    Ok(json!(accepted))
}

/// `tags` (all of them), `tags-any`, `not-tags` (not all of them), `not-tags-any`. Values are separated by commas, and
/// repeated parameters add up.
#[derive(Default)]
pub(super) struct TagFilters<'a> {
    all: Vec<&'a str>,
    any: Vec<&'a str>,
    not_all: Vec<&'a str>,
    not_any: Vec<&'a str>,
}

impl<'a> TagFilters<'a> {
    /// Takes a parameter if it is one of these.
    pub(super) fn read(&mut self, name: &str, value: &'a str) -> bool {
        let list = match name {
            "tags" => &mut self.all,
            "tags-any" => &mut self.any,
            "not-tags" => &mut self.not_all,
            "not-tags-any" => &mut self.not_any,
            _ => return false,
        };
        list.extend(value.split(',').filter(|tag| !tag.is_empty()));
        true
    }

    pub(super) fn match_all(&self, object: &Object) -> bool {
        let tags = object.items("tags");
        let has = |tag: &&str| tags.iter().any(|known| known.as_str() == Some(*tag));
        self.all.iter().all(has)
            && (self.any.is_empty() || self.any.iter().any(has))
            && (self.not_all.is_empty() || !self.not_all.iter().all(has))
            && (self.not_any.is_empty() || !self.not_any.iter().any(has))
    }
}
