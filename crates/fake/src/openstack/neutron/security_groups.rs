//! Security groups.

use serde_json::{Value, json};

use super::admit;
use super::kind::Kind;
use super::policy::Caller;
use crate::openstack::refusal::Refusal;
use crate::openstack::world::{Attributes, Object, World};

const DEFAULT: &str = "default";

pub(super) fn create(world: &mut World, mut group: Object) -> Result<String, Refusal> {
    let project = group.text("project_id").to_owned();
    default_of(world, &project);
    if group.text("name").eq_ignore_ascii_case(DEFAULT) {
        return Err(Refusal::conflict("SecurityGroupDefaultAlreadyExists", "Default security group already exists."));
    }
    group.set("shared", false);
    let id = admit(world, Kind::SecurityGroup, group);
    for ethertype in ["IPv4", "IPv6"] {
        add_rule(world, &id, &project, "egress", ethertype, None);
    }
    Ok(id)
}

pub(super) fn update(world: &mut World, id: &str, change: Object) -> Result<(), Refusal> {
    if is_default(world, id) && change.contains_key("name") {
        return Err(Refusal::conflict(
            "SecurityGroupCannotUpdateDefault",
            "Updating default security group not allowed.",
        ));
    }
    world.revise(Kind::SecurityGroup, id, |group| group.extend(change));
    Ok(())
}

/// Deletes a group; 409 while ports have it, or if it is a project's default one.
pub(super) fn delete(world: &mut World, caller: &Caller, id: &str) -> Result<(), Refusal> {
    let has = |port: &Object| port.items("security_groups").iter().any(|group| group == id);
    if world.all(Kind::Port).any(has) {
        return Err(Refusal::conflict("SecurityGroupInUse", format!("Security Group {id} in use.")));
    }
    if is_default(world, id) && !caller.admin {
        return Err(Refusal::conflict(
            "SecurityGroupCannotRemoveDefault",
            "Insufficient rights for removing default security group.",
        ));
    }
    let rules = world.all(Kind::SecurityGroupRule);
    let gone = rules.filter(|rule| rule.text("security_group_id") == id || rule.text("remote_group_id") == id);
    let gone: Vec<_> = gone.map(|rule| rule.text("id").to_owned()).collect();
    gone.iter().for_each(|rule| world.remove(Kind::SecurityGroupRule, rule));
    world.remove(Kind::SecurityGroup, id);
    Ok(())
}

/// The id of a project's default group, which is made when it is first needed.
pub(super) fn default_of(world: &mut World, project: &str) -> String {
    let is_it = |group: &&Object| group.text("project_id") == project && group.text("name") == DEFAULT;
    if let Some(group) = world.all(Kind::SecurityGroup).find(is_it) {
        return group.text("id").to_owned();
    }
    let mut group = Object::new();
    for (name, value) in [
        ("name", json!(DEFAULT)),
        ("description", json!("Default security group")),
        ("project_id", json!(project)),
        ("tenant_id", json!(project)),
        ("stateful", json!(true)),
        ("shared", json!(false)),
        ("tags", json!([])),
    ] {
        group.set(name, value);
    }
    let id = admit(world, Kind::SecurityGroup, group);
    for ethertype in ["IPv4", "IPv6"] {
        add_rule(world, &id, project, "ingress", ethertype, Some(&id));
        add_rule(world, &id, project, "egress", ethertype, None);
    }
    id
}

fn is_default(world: &World, id: &str) -> bool {
    world.get(Kind::SecurityGroup, id).is_some_and(|group| group.text("name") == DEFAULT)
}

fn add_rule(world: &mut World, group: &str, project: &str, direction: &str, ethertype: &str, remote: Option<&str>) {
    let Value::Object(rule) = json!({
        "security_group_id": group, "project_id": project, "tenant_id": project, "direction": direction,
        "ethertype": ethertype, "protocol": null, "port_range_min": null, "port_range_max": null,
        "remote_ip_prefix": null, "remote_group_id": remote, "remote_address_group_id": null, "normalized_cidr": null,
        "description": null,
    }) else {
        return;
    };
    admit(world, Kind::SecurityGroupRule, rule);
}
