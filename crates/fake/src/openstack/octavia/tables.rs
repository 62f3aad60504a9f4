//! What an Octavia knows, and what its providers are at.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::kind::Kind;
use crate::openstack::world::{Attributes, Object};

/// Load balancers and all on them. Each object has besides its own attributes `loadbalancer_id`, which load balancer it is on.
#[derive(Default)]
pub(crate) struct Lbaas {
    /// How long a provider takes for a change.
    pub(crate) step: Duration,
    /// The newest version of the API: 2 and this.
    pub(crate) newest: u32,
    /// Limits by project and resource; -1 is no limit, which is the default.
    pub(crate) quotas: BTreeMap<(String, String), i64>,
    tables: BTreeMap<Kind, BTreeMap<String, Object>>,
    /// Until when a provider is at work, by load balancer.
    busy: BTreeMap<String, Duration>,
}

fn position(policy: &Object) -> u64 {
    policy.get("position").and_then(Value::as_u64).unwrap_or_default()
}

/// A load balancer that is gone.
pub(crate) struct Gone {
    pub(crate) vip_port: String,
    /// Whether the port was made for it.
    pub(crate) own_port: bool,
}

impl Lbaas {
    pub(crate) fn new() -> Lbaas {
        Lbaas { newest: super::NEWEST, ..Lbaas::default() }
    }

    pub(crate) fn get(&self, kind: Kind, id: &str) -> Option<&Object> {
        self.tables.get(&kind)?.get(id)
    }

    /// All of a kind, by id.
    pub(crate) fn all(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        self.tables.get(&kind).into_iter().flat_map(BTreeMap::values)
    }

    /// Those of a kind with this value of an attribute.
    pub(crate) fn with<'a>(&'a self, kind: Kind, key: &'a str, value: &'a str) -> impl Iterator<Item = &'a Object> {
        self.all(kind).filter(move |object| object.text(key) == value)
    }

    pub(crate) fn put(&mut self, kind: Kind, object: Object) {
        self.tables.entry(kind).or_default().insert(object.text("id").to_owned(), object);
    }

    pub(crate) fn change(&mut self, kind: Kind, id: &str, change: impl FnOnce(&mut Object)) {
        if let Some(object) = self.tables.get_mut(&kind).and_then(|table| table.get_mut(id)) {
            change(object);
        }
    }

    /// Makes room for a policy of a listener at this place, or behind the last; answers which. Places are numbered from 1.
    pub(crate) fn make_room(&mut self, listener: &str, asked: Option<u64>) -> u64 {
        let last = self.with(Kind::L7Policy, "listener_id", listener).count() as u64;
        let place = asked.unwrap_or(last + 1).clamp(1, last + 1);
        for policy in self.tables.entry(Kind::L7Policy).or_default().values_mut() {
            let known = position(policy);
            if policy.text("listener_id") == listener && known >= place {
                policy.set("position", known + 1);
            }
        }
        place
    }

    /// Policies of listeners of a load balancer have places without gaps.
    fn close_gaps(&mut self, balancer: &str) {
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        let table = self.tables.entry(Kind::L7Policy).or_default();
        let mut policies: Vec<&mut Object> =
            table.values_mut().filter(|policy| policy.text("loadbalancer_id") == balancer).collect();
        policies.sort_by_key(|policy| position(policy));
        for policy in policies {
            let place = last.entry(policy.text("listener_id").to_owned()).or_default();
            *place += 1;
            policy.set("position", *place);
        }
    }

    pub(crate) fn remove(&mut self, kind: Kind, id: &str) -> Option<Object> {
        self.tables.get_mut(&kind)?.remove(id)
    }

    /// The provider of a load balancer begins to work on it.
    pub(crate) fn begin(&mut self, balancer: &str, status: &str, now: Duration) {
        self.change(Kind::LoadBalancer, balancer, |object| object.set("provisioning_status", status));
        self.busy.insert(balancer.to_owned(), now + self.step);
    }

    /// Takes in what providers have done by now. Answers the load balancers that are gone.
    pub(crate) fn settle(&mut self, now: Duration) -> Vec<Gone> {
        let done: Vec<String> =
            self.busy.iter().filter(|(_, until)| **until <= now).map(|(id, _)| id.clone()).collect();
        let mut gone = Vec::new();
        for balancer in done {
            self.busy.remove(&balancer);
            let leaves = |object: &Object| object.text("provisioning_status") == "PENDING_DELETE";
            if self.get(Kind::LoadBalancer, &balancer).is_some_and(leaves) {
                gone.extend(self.forget(&balancer));
                continue;
            }
            for kind in Kind::ALL {
                let on_it = |object: &Object| object.text("loadbalancer_id") == balancer;
                let table = self.tables.entry(kind).or_default();
                table.retain(|_, object| !(on_it(object) && leaves(object)));
                for object in table.values_mut().filter(|object| on_it(object)) {
                    if object.text("provisioning_status").starts_with("PENDING_") {
                        object.set("provisioning_status", "ACTIVE");
                    }
                }
            }
            self.close_gaps(&balancer);
            self.observe(&balancer);
        }
        gone
    }

    /// A load balancer and all on it at once, whoever looks on.
    pub(crate) fn forget(&mut self, balancer: &str) -> Option<Gone> {
        self.busy.remove(balancer);
        let gone = self.remove(Kind::LoadBalancer, balancer)?;
        for table in self.tables.values_mut() {
            table.retain(|_, object| object.text("loadbalancer_id") != balancer);
        }
        Some(Gone { vip_port: gone.text("vip_port_id").to_owned(), own_port: gone.flag("own_port") })
    }

    /// Everything works that is there.
    fn observe(&mut self, balancer: &str) {
        let monitored: Vec<String> =
            self.with(Kind::HealthMonitor, "loadbalancer_id", balancer).map(|m| m.text("pool_id").to_owned()).collect();
        for kind in Kind::ALL {
            let table = self.tables.entry(kind).or_default();
            for object in table.values_mut().filter(|object| object.text("loadbalancer_id") == balancer) {
                let status = match kind {
                    Kind::Member if !monitored.contains(&object.text("pool_id").to_owned()) => "NO_MONITOR",
                    _ if object.flag("admin_state_up") => "ONLINE",
                    _ => "OFFLINE",
                };
                object.set("operating_status", status);
            }
        }
    }
}
