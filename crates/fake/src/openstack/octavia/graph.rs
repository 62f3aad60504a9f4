//! A load balancer with everything on it, in one request.

use serde_json::{Value, json};

use super::create::{self, admit};
use super::kind::Kind;
use super::{invalid, provider, quotas};
use crate::openstack::refusal::Refusal;
use crate::openstack::world::{Attributes, Object, World};

/// What is on the load balancer, checked and ready to be put.
pub(super) fn read(
    world: &mut World,
    balancer: &Object,
    listeners: &Value,
    pools: &Value,
) -> Result<Vec<(Kind, Object)>, Refusal> {
    let mut graph = Graph { balancer, made: Vec::new(), named: Vec::new() };
    for pool in objects(pools) {
        graph.pool(world, pool)?;
    }
    for listener in objects(listeners) {
        graph.listener(world, listener)?;
    }
    for kind in [Kind::Listener, Kind::Pool, Kind::Member, Kind::HealthMonitor] {
        let more = graph.made.iter().filter(|(of, _)| *of == kind).count();
        quotas::check(world, balancer.text("project_id"), kind, more)?;
    }
    Ok(graph.made)
}

struct Graph<'a> {
    balancer: &'a Object,
    made: Vec<(Kind, Object)>,
    /// Pools by name: listeners refer to them so.
    named: Vec<(String, String)>,
}

impl Graph<'_> {
    fn listener(&mut self, world: &mut World, mut wanted: Object) -> Result<(), Refusal> {
        let default = wanted.remove("default_pool");
        let others: Vec<&Object> =
            self.made.iter().filter(|(kind, _)| *kind == Kind::Listener).map(|(_, object)| object).collect();
        create::check_listener(&others, &wanted)?;
        provider::takes(world, self.balancer, Kind::Listener, &wanted)?;
        if let Some(Value::Object(pool)) = default {
            let name = pool.text("name").to_owned();
            let known = self.named.iter().find(|(known, _)| *known == name).map(|(_, id)| id.clone());
            let protocol = pool.text("protocol").to_owned();
            let id = match known {
                Some(id) => id,
                None => self.pool(world, pool)?,
            };
            if !protocol.is_empty() {
                create::check_protocols(wanted.text("protocol"), &protocol)?;
            }
            wanted.set("default_pool_id", id);
        }
        self.admit(world, Kind::Listener, &create::listener_defaults(), wanted);
        Ok(())
    }

    fn pool(&mut self, world: &mut World, mut wanted: Object) -> Result<String, Refusal> {
        let name = wanted.text("name").to_owned();
        if name.is_empty() {
            return Err(invalid("Pools must be named when creating a fully populated loadbalancer."));
        }
        create::check_pool(&wanted)?;
        provider::takes(world, self.balancer, Kind::Pool, &wanted)?;
        let members = wanted.remove("members").unwrap_or_default();
        let monitor = wanted.remove("healthmonitor");
        let id = self.admit(world, Kind::Pool, &create::pool_defaults(), wanted);
        self.named.push((name, id.clone()));
        for member in objects(&members) {
            create::check_member(world, &member)?;
            provider::takes(world, self.balancer, Kind::Member, &member)?;
            let defaults = json!({
                "name": "", "admin_state_up": true, "weight": 1, "backup": false, "subnet_id": null, "monitor_address": null,
                "monitor_port": null, "tags": [], "pool_id": id,
            });
            self.admit(world, Kind::Member, &defaults, member);
        }
        if let Some(Value::Object(monitor)) = monitor {
            provider::takes(world, self.balancer, Kind::HealthMonitor, &monitor)?;
            let mut defaults = create::monitor_defaults(monitor.text("type").starts_with("HTTP"));
            defaults["pool_id"] = json!(id);
            self.admit(world, Kind::HealthMonitor, &defaults, monitor);
        }
        Ok(id)
    }

    fn admit(&mut self, world: &mut World, kind: Kind, defaults: &Value, wanted: Object) -> String {
        let id = world.ids.uuid();
        let made = admit(world, &id, self.balancer.text("id"), self.balancer.text("project_id"), defaults, wanted);
        self.made.push((kind, made));
        id
    }
}

fn objects(list: &Value) -> Vec<Object> {
    list.as_array().into_iter().flatten().filter_map(Value::as_object).cloned().collect()
}
