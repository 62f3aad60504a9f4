//! What callers see of a resource.

use serde_json::{Value, json};

use super::kind::Kind;
use super::tables::Lbaas;
use crate::openstack::world::{Attributes, Object};

/// A resource as Octavia answers it: without what only Octavia knows, and with what refers to it.
pub(crate) fn shown(lbaas: &Lbaas, kind: Kind, object: &Object) -> Value {
    let id = object.text("id");
    let mut shown = object.clone();
    for hidden in ["loadbalancer_id", "own_port", "pool_id", "l7policy_id"] {
        shown.remove(hidden);
    }
    let ids = |kind: Kind, key: &str, value: &str| -> Value {
        lbaas.with(kind, key, value).map(|found| json!({"id": found.text("id")})).collect()
    };
    let balancer = || json!([{"id": object.text("loadbalancer_id")}]);
    match kind {
        Kind::LoadBalancer => {
            shown.set("listeners", ids(Kind::Listener, "loadbalancer_id", id));
            shown.set("pools", ids(Kind::Pool, "loadbalancer_id", id));
        }
        Kind::Listener => {
            shown.set("loadbalancers", balancer());
            shown.set("l7policies", ids(Kind::L7Policy, "listener_id", id));
        }
        Kind::Pool => {
            shown.set("loadbalancers", balancer());
            shown.set("listeners", ids(Kind::Listener, "default_pool_id", id));
            shown.set("members", ids(Kind::Member, "pool_id", id));
            let monitor = lbaas.with(Kind::HealthMonitor, "pool_id", id).next();
            shown.set("healthmonitor_id", monitor.map(|monitor| monitor.text("id").to_owned()));
        }
        Kind::HealthMonitor => shown.set("pools", json!([{"id": object.text("pool_id")}])),
        Kind::L7Policy => shown.set("rules", ids(Kind::L7Rule, "l7policy_id", id)),
        Kind::Member | Kind::L7Rule => {}
    }
    Value::Object(shown)
}

/// A load balancer and all on it, each with its states.
pub(super) fn tree(lbaas: &Lbaas, balancer: &Object) -> Value {
    let line = |object: &Object, keys: &[&str]| -> Object {
        let all = ["id", "name", "provisioning_status", "operating_status"].iter().chain(keys);
        all.filter_map(|key| Some(((*key).to_owned(), object.get(*key)?.clone()))).collect()
    };
    let pool = |pool: &Object| -> Value {
        let mut shown = line(pool, &[]);
        let members = lbaas.with(Kind::Member, "pool_id", pool.text("id"));
        shown.set("members", members.map(|member| line(member, &["address", "protocol_port"])).collect::<Vec<_>>());
        Value::Object(shown)
    };
    let listener = |listener: &Object| -> Value {
        let mut shown = line(listener, &[]);
        let default = lbaas.get(Kind::Pool, listener.text("default_pool_id"));
        shown.set("pools", default.map(pool).into_iter().collect::<Vec<_>>());
        Value::Object(shown)
    };
    let mut shown = line(balancer, &[]);
    let listeners = lbaas.with(Kind::Listener, "loadbalancer_id", balancer.text("id"));
    shown.set("listeners", listeners.map(listener).collect::<Vec<_>>());
    json!({"statuses": {"loadbalancer": shown}})
}
