//! What a load balancer is to do, read from Octavia's objects (Octavia API v2). Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use super::pool::{Member, Pool};
use super::rules::{Action, Policy, Rule};

/// What is on the wire, and the port.
pub(super) type Place = (Transport, u16);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

/// A load balancer's listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Configuration {
    pub(super) listeners: BTreeMap<Place, Listener>,
}

/// What is done with what comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Listener {
    /// All of it goes to one pool.
    Plain(Pool),
    /// Requests go where policies say, or to a pool.
    Http(Vec<Policy>, Pool),
}

impl Configuration {
    /// Reads it; `all` answers a collection of Octavia's. What the lab does not play (SCTP, TLS) is left out.
    pub(super) fn read(balancer: &Value, all: impl Fn(&str) -> Vec<Value>) -> Configuration {
        let objects = Objects::read(all);
        let listeners = objects.below(balancer, "listeners").filter(|listener| is_up(balancer) && is_up(listener));
        let listeners = listeners.filter_map(|listener| {
            let pool = objects.pool(&listener["default_pool_id"]);
            let (transport, does) = match listener["protocol"].as_str()? {
                "TCP" => (Transport::Tcp, Listener::Plain(pool)),
                "UDP" => (Transport::Udp, Listener::Plain(pool)),
                "HTTP" => (Transport::Tcp, Listener::Http(objects.policies(listener), pool)),
                _ => return None,
            };
            Some(((transport, number(&listener["protocol_port"])?), does))
        });
        Configuration { listeners: listeners.collect() }
    }
}

/// Octavia's objects by id, each kind's ids being as good as unique among all.
struct Objects(BTreeMap<String, Value>);

impl Objects {
    fn read(all: impl Fn(&str) -> Vec<Value>) -> Objects {
        let kinds = ["listeners", "pools", "members", "l7policies", "rules"];
        let objects = kinds.into_iter().flat_map(all);
        Objects(objects.filter_map(|object| Some((object["id"].as_str()?.to_owned(), object))).collect())
    }

    /// The objects another one refers to, of those that are there.
    fn below<'a>(&'a self, object: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        let ids = object[key].as_array().into_iter().flatten();
        ids.filter_map(|reference| self.0.get(reference["id"].as_str()?))
    }

    /// The pool with this id; one without members if there is none.
    fn pool(&self, id: &Value) -> Pool {
        let Some(pool) = id.as_str().and_then(|id| self.0.get(id)).filter(|pool| is_up(pool)) else {
            return Pool::default();
        };
        let members = self.below(pool, "members").filter(|member| is_up(member)).filter_map(|member| {
            let address = member["address"].as_str()?.parse().ok()?;
            let address = SocketAddr::new(address, number(&member["protocol_port"])?);
            Some(Member { address, weight: number(&member["weight"])?.into() })
        });
        Pool { id: text(pool, "id"), members: members.collect() }
    }

    /// The policies of a listener in the order they are asked in.
    fn policies(&self, listener: &Value) -> Vec<Policy> {
        let mut found: Vec<&Value> = self.below(listener, "l7policies").filter(|policy| is_up(policy)).collect();
        // "Layer 7 load balancing", L7 policy position: those that refuse come first, then those that redirect.
        let turn = |policy: &Value| match policy["action"].as_str() {
            Some("REJECT") => 0,
            Some("REDIRECT_TO_POOL") => 2,
            _ => 1,
        };
        found.sort_by_key(|policy| (turn(policy), policy["position"].as_u64()));
        let policies = found.into_iter().filter_map(|policy| {
            let code = || policy["redirect_http_code"].as_u64().and_then(|code| u16::try_from(code).ok());
            // 302 unless said otherwise (Octavia API, "Create an L7 Policy").
            let code = code().unwrap_or(302);
            let action = match policy["action"].as_str()? {
                "REJECT" => Action::Reject,
                "REDIRECT_TO_URL" => Action::Url(text(policy, "redirect_url"), code),
                "REDIRECT_PREFIX" => Action::Prefix(text(policy, "redirect_prefix"), code),
                "REDIRECT_TO_POOL" => Action::Pool(self.pool(&policy["redirect_pool_id"])),
                _ => return None,
            };
            let rules = self.below(policy, "rules").filter(|rule| is_up(rule)).map(|rule| Rule {
                kind: text(rule, "type"),
                key: text(rule, "key"),
                compare_type: text(rule, "compare_type"),
                value: text(rule, "value"),
                invert: rule["invert"] == true,
            });
            Some(Policy { action, rules: rules.collect() })
        });
        policies.collect()
    }
}

fn is_up(object: &Value) -> bool {
    object["admin_state_up"] == true
}

fn text(object: &Value, key: &str) -> String {
    object[key].as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|number| u16::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A listener of each kind, two pools, and policies made in another order than Octavia asks them.
    fn octavia(collection: &str) -> Vec<Value> {
        let up = |mut object: Value| {
            let up = object.get("admin_state_up").cloned().unwrap_or(json!(true));
            object["admin_state_up"] = up;
            object
        };
        let objects = match collection {
            "listeners" => json!([
                { "id": "tcp", "protocol": "TCP", "protocol_port": 80, "default_pool_id": "a", "l7policies": [] },
                { "id": "udp", "protocol": "UDP", "protocol_port": 80, "default_pool_id": null, "l7policies": [] },
                { "id": "http", "protocol": "HTTP", "protocol_port": 81, "default_pool_id": null,
                  "l7policies": [{ "id": "to-pool" }, { "id": "elsewhere" }, { "id": "never" }] },
                { "id": "off", "protocol": "TCP", "protocol_port": 82, "admin_state_up": false },
                { "id": "sctp", "protocol": "SCTP", "protocol_port": 83 },
                { "id": "of another", "protocol": "TCP", "protocol_port": 84 },
            ]),
            "pools" => json!([{ "id": "a", "members": [{ "id": "m1" }, { "id": "m2" }, { "id": "gone" }] }]),
            "members" => json!([
                { "id": "m1", "address": "10.0.0.1", "protocol_port": 8080, "weight": 3 },
                { "id": "m2", "address": "10.0.0.2", "protocol_port": 8080, "weight": 1, "admin_state_up": false },
            ]),
            "l7policies" => json!([
                { "id": "to-pool", "action": "REDIRECT_TO_POOL", "position": 1, "redirect_pool_id": "a",
                  "rules": [{ "id": "r" }] },
                { "id": "elsewhere", "action": "REDIRECT_PREFIX", "position": 2, "redirect_prefix": "https://b",
                  "redirect_http_code": 301, "rules": [] },
                { "id": "never", "action": "REJECT", "position": 3, "rules": [] },
            ]),
            _ => {
                json!([{ "id": "r", "type": "PATH", "compare_type": "EQUAL_TO", "value": "/a", "invert": true, "key": null }])
            }
        };
        objects.as_array().unwrap().iter().cloned().map(up).collect()
    }

    #[test]
    fn listeners_pools_and_policies_are_read_and_what_is_off_or_of_others_is_not() {
        let ids = ["tcp", "udp", "http", "off", "sctp"].map(|id| json!({ "id": id }));
        let balancer = json!({ "id": "lb", "admin_state_up": true, "listeners": ids });
        let read = Configuration::read(&balancer, octavia);
        let member = Member { address: "10.0.0.1:8080".parse().unwrap(), weight: 3 };
        let pool = Pool { id: "a".to_owned(), members: vec![member] };
        let rule = Rule {
            kind: "PATH".to_owned(),
            key: String::new(),
            compare_type: "EQUAL_TO".to_owned(),
            value: "/a".to_owned(),
            invert: true,
        };
        let policies = vec![
            Policy { action: Action::Reject, rules: vec![] },
            Policy { action: Action::Prefix("https://b".to_owned(), 301), rules: vec![] },
            Policy { action: Action::Pool(pool.clone()), rules: vec![rule] },
        ];
        let listeners = BTreeMap::from([
            ((Transport::Tcp, 80), Listener::Plain(pool)),
            ((Transport::Udp, 80), Listener::Plain(Pool::default())),
            ((Transport::Tcp, 81), Listener::Http(policies, Pool::default())),
        ]);
        assert_eq!(read, Configuration { listeners });
        let off = json!({ "id": "lb", "admin_state_up": false, "listeners": [{ "id": "tcp" }] });
        assert_eq!(Configuration::read(&off, octavia), Configuration::default());
    }
}
