//! A pool's members all at once.

use http::StatusCode;
use serde_json::Value;

use super::kind::Kind;
use super::{create, find, invalid, is_true, provider, quotas, update};
use crate::openstack::neutron::Caller;
use crate::openstack::refusal::Refusal;
use crate::openstack::request::{Answer, Ask};
use crate::openstack::world::{Attributes, Object, World};

/// Answers `PUT pools/<id>/members`: those with the same address and port are changed, others made, and, unless
/// `additive_only`, the rest deleted.
pub(super) fn batch(world: &mut World, caller: &Caller, pool: &str, ask: &Ask) -> Result<Answer, Refusal> {
    let found = find(world, caller, Kind::Pool, pool)?;
    let (balancer, project) = (found.text("loadbalancer_id").to_owned(), found.text("project_id").to_owned());
    let body: Value = serde_json::from_slice(&ask.body).unwrap_or_default();
    let Value::Array(wanted) = &body["members"] else {
        return Err(invalid("the body has no members"));
    };
    let additive = ask.first("additive_only").is_some_and(is_true);
    let wanted: Vec<Object> = wanted.iter().filter_map(Value::as_object).cloned().collect();
    for member in &wanted {
        create::check_member(world, member)?;
    }
    let key =
        |member: &Object| (member.text("address").to_owned(), member.get("protocol_port").and_then(Value::as_i64));
    let old: Vec<Object> = world.lbaas.with(Kind::Member, "pool_id", pool).cloned().collect();
    let (known, new): (Vec<Object>, Vec<Object>) =
        wanted.into_iter().partition(|member| old.iter().any(|other| key(other) == key(member)));
    if let Some(place) =
        new.iter().enumerate().position(|(place, member)| new[..place].iter().any(|m| key(m) == key(member)))
    {
        return Err(create::duplicate_member(&new[place]));
    }
    update::refuse_if_immutable(world, &balancer)?;
    quotas::check(world, &project, Kind::Member, new.len())?;
    if let Some(on) = world.lbaas.get(Kind::LoadBalancer, &balancer) {
        for member in known.iter().chain(&new) {
            provider::takes(world, on, Kind::Member, member)?;
        }
    }
    for member in &old {
        let id = member.text("id");
        match known.iter().find(|other| key(other) == key(member)) {
            Some(change) => update::apply(world, Kind::Member, id, &whole(change)),
            None if additive => {}
            None => world.lbaas.change(Kind::Member, id, |object| object.set("provisioning_status", "PENDING_DELETE")),
        }
    }
    for member in new {
        create::put_member(world, &balancer, pool, &project, member);
    }
    update::begin_below(world, Kind::Pool, pool);
    Ok(Answer { status: StatusCode::ACCEPTED, ..Answer::empty() })
}

/// A batch says all of a member: what it leaves out is the default again. Name and tags are not.
fn whole(wanted: &Object) -> Object {
    let mut whole = wanted.clone();
    for key in ["weight", "backup", "admin_state_up", "monitor_address", "monitor_port"] {
        whole.entry(key).or_insert(Value::Null);
    }
    whole
}
