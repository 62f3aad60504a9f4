//! What others do behind our back, with Octavia's and Neutron's own clients and rights of an administrator; and load balancers fail.

use http::Method;
use serde_json::{Value, json};

use super::{History, NAMES, RECORDS, SERVICES};
use crate::seeds::say;
use crate::world::{NAMESPACE, World};

impl History {
    /// Somebody meddles with something.
    pub(super) fn meddle(&mut self) {
        match self.random.u32(0..10) {
            0 => {
                let name = *self.random.choice(NAMES.iter()).unwrap();
                say(&format!("KuryrLoadBalancer {name} is deleted by hand"));
                let _ = self.world.cluster.delete(RECORDS, NAMESPACE, name);
            }
            1..3 => self.meddle_with_addresses(),
            3..5 => self.fail(),
            _ => self.meddle_with_octavia(),
        }
    }

    /// Something of ours in Octavia, with its path.
    fn something(&mut self, collection: &str) -> Option<(Value, String)> {
        let all = self.world.cloud.load_balancing(collection);
        let ours: Vec<&Value> =
            all.iter().filter(|it| !self.strangers.iter().any(|(_, other)| other["id"] == it["id"])).collect();
        let found = (*self.random.choice(ours.iter())?).clone();
        let id = found["id"].as_str()?;
        let path = match collection {
            "members" => {
                let pools = self.world.cloud.load_balancing("pools");
                let has = |pool: &&Value| pool["members"].as_array().unwrap().iter().any(|member| member["id"] == id);
                format!("pools/{}/members/{id}", pools.iter().find(has)?["id"].as_str()?)
            }
            _ => format!("{collection}/{id}"),
        };
        Some((found, path))
    }

    fn meddle_with_octavia(&mut self) {
        let collection = *self.random.choice(["loadbalancers", "listeners", "pools", "members"].iter()).unwrap();
        let Some((found, path)) = self.something(collection) else { return };
        let id = found["id"].as_str().unwrap();
        let change = match (collection, self.random.u32(0..6)) {
            ("loadbalancers", 0) => {
                say(&format!("load balancer {} is lost", found["name"]));
                return self.world.cloud.lose_load_balancer(id);
            }
            (_, 1 | 2) => return self.does(Method::DELETE, &path, &Value::Null),
            ("listeners", 3) => json!({ "connection_limit": 7 }),
            ("pools", 3) => json!({ "session_persistence": null }),
            ("pools", 4) => {
                let member =
                    json!({ "address": "10.0.0.99", "protocol_port": 99, "subnet_id": self.world.network.subnets[0] });
                return self.does(Method::POST, &format!("{path}/members"), &json!({ "member": member }));
            }
            ("members", 3) => json!({ "weight": 0 }),
            ("members", 4) => json!({ "backup": true }),
            _ => json!({ "admin_state_up": false }),
        };
        self.does(Method::PUT, &path, &json!({ collection.trim_end_matches('s'): change }));
    }

    /// Octavia refuses what comes at the wrong moment.
    fn does(&self, method: Method, path: &str, body: &Value) {
        let answer = self.world.cloud.administer_load_balancing(method.clone(), path, body);
        say(&format!("by hand: {method} {path} {body}: {:?}", answer.map(drop)));
    }

    fn fail(&mut self) {
        let collection = *self.random.choice(["loadbalancers", "listeners", "pools", "members"].iter()).unwrap();
        let Some((found, _)) = self.something(collection) else { return };
        // What a provider is at it does not fail twice.
        if found["provisioning_status"] == "ACTIVE" {
            say(&format!("one of {collection} fails: {} {}", found["name"], found["id"]));
            self.world.cloud.set_load_balancing_status(collection, found["id"].as_str().unwrap(), "ERROR");
        }
    }

    fn meddle_with_addresses(&mut self) {
        let name = *self.random.choice(NAMES.iter()).unwrap();
        let Some(service) = self.world.cluster.get(SERVICES, NAMESPACE, name) else { return };
        let described = format!("Service {NAMESPACE}/{name} kuryr:cluster=c1");
        let all = self.world.cloud.list("floatingips");
        let is_its = |it: &&Value| it["description"] == described;
        let Some(floating) = all.iter().find(is_its) else { return };
        let id = floating["id"].as_str().unwrap();
        if self.random.bool() {
            say(&format!("the floating IP of {name} is deleted by hand"));
            self.watchman.was_harmed(&service);
            self.world.cloud.delete("floatingips", id);
        } else {
            say(&format!("the floating IP of {name} is led nowhere by hand"));
            self.world.cloud.update("floatingips", id, json!({ "port_id": null }));
        }
    }
}

/// What others have in the same project and network, much like ours.
pub(super) fn strangers(world: &World, external: &str) -> Vec<(&'static str, Value)> {
    let project = world.cloud.project("k8s");
    let subnet = &world.config.services.as_ref().unwrap().subnet;
    let balancer = json!({ "name": "default/other", "project_id": project, "vip_subnet_id": subnet, "vip_address": "10.96.1.1",
        "provider": "ovn", "description": "Service default/other kuryr:cluster=c2", "tags": ["kuryr:cluster=c2"] });
    world.cloud.create_load_balancer(&balancer);
    let floating = json!({ "floating_network_id": external, "project_id": project,
        "description": "Service default/a kuryr:cluster=c2" });
    let floating = world.cloud.create("floatingips", floating);
    let floating = world.cloud.get("floatingips", floating["id"].as_str().unwrap()).unwrap();
    vec![("loadbalancers", world.cloud.load_balancing("loadbalancers").remove(0)), ("floatingips", floating)]
}
