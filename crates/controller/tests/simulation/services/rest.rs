//! What there is, in the same lines as what is `expected`; and what must hold at every look.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::expected::expected;
use super::{History, RECORDS, SERVICES};
use crate::world::{NAMESPACE, World};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);
/// For so long nobody changes anything at rest; twice as long as between two comparisons with Octavia.
const QUIET: Duration = Duration::from_secs(60);

impl History {
    /// Waits until all is as it should be, and sees that it stays so without a change.
    pub(super) async fn rests(&mut self) {
        let end = tokio::time::Instant::now() + self.patience;
        loop {
            let differences = differences(&self.world);
            self.watchman.looks(&self.world);
            self.world.witness.nobody_spins();
            if differences.is_empty() {
                break;
            }
            assert!(tokio::time::Instant::now() < end, "after {:?}:\n{}", self.patience, differences.join("\n"));
            tokio::time::sleep(LOOK).await;
        }
        self.watchman.harm_is_over();
        tokio::time::sleep(LOOK).await;
        // Some of what is written down is seen only in the next comparison with Octavia.
        let end = tokio::time::Instant::now() + self.patience;
        let cloud = loop {
            let cloud = self.world.cloud.total_requests();
            let (changes, writes) = (self.world.cloud.total_writes(), self.world.object_writes());
            tokio::time::sleep(QUIET).await;
            self.watchman.looks(&self.world);
            let now = (self.world.cloud.total_writes() - changes, self.world.object_writes() - writes);
            if now == (0, 0) {
                break cloud;
            }
            assert!(
                tokio::time::Instant::now() < end,
                "changes of the cloud and writes to Kubernetes at rest: {now:?}"
            );
        };
        // Lists for all; nothing is asked for one Service, but the members of each pool.
        let balanced = self.world.cloud.load_balancing("pools").len() as u64;
        let comparisons = QUIET.as_secs() / self.world.config.drift_interval.as_secs() + 1;
        let asked = self.world.cloud.total_requests() - cloud;
        assert!(asked <= comparisons * (6 + balanced), "{asked} requests at rest, with {balanced} pools");
        let differences = differences(&self.world);
        assert!(differences.is_empty(), "it does not stay as it should be:\n{}", differences.join("\n"));
    }
}

/// What is not as it should be.
fn differences(world: &World) -> Vec<String> {
    let (expected, found) = (expected(world), found(world));
    let missing = expected.difference(&found).map(|line| format!("- {line}"));
    let more = found.difference(&expected).map(|line| format!("+ {line}"));
    missing.chain(more).collect()
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_default()
}

/// The name of a Service in that of a load balancer or of what is on it.
fn service_of(name: &str) -> &str {
    let name = name.split_once('/').map_or(name, |(_, name)| name);
    name.split(':').next().unwrap_or(name)
}

fn is_of_others(name: &str) -> bool {
    name == "default/other"
}

/// What is wrong with anything of Octavia's by itself.
fn state(object: &Value) -> String {
    let mut state = String::new();
    if object["provisioning_status"] != "ACTIVE" {
        state.push_str(&format!(", {}", text(object, "provisioning_status")));
    }
    for (key, usual) in
        [("admin_state_up", Value::Bool(true)), ("backup", Value::Bool(false)), ("weight", Value::from(1))]
    {
        if object.get(key).is_some_and(|value| *value != usual) {
            state.push_str(&format!(", {key} is {}", object[key]));
        }
    }
    state
}

/// Lines for all there is of ours; what is there twice says so.
fn found(world: &World) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let mut add = |line: String| {
        let again = format!("{line}, again");
        if !lines.insert(line) {
            lines.insert(again);
        }
    };
    let balancers = world.cloud.load_balancing("loadbalancers");
    let balancers: Vec<&Value> = balancers.iter().filter(|it| !is_of_others(text(it, "name"))).collect();
    for balancer in &balancers {
        let (name, provider, address) =
            (service_of(text(balancer, "name")), text(balancer, "provider"), text(balancer, "vip_address"));
        add(format!("{name}: load balancer of {provider} at {address}{}", state(balancer)));
    }
    on_balancers(world, &mut add);
    records(world, &balancers, &mut add);
    addresses(world, &balancers, &mut add);
    let of_services = |port: &Value| text(&port["fixed_ips"][0], "ip_address").to_owned();
    for port in world.cloud.ports().iter().filter(|port| !text(port, "device_owner").starts_with("network:")) {
        let address = of_services(port);
        if address.starts_with("10.96.0.") {
            add(format!("port at {address}"));
        }
    }
    lines
}

fn on_balancers(world: &World, add: &mut impl FnMut(String)) {
    let is_ovn = world.config.services.as_ref().unwrap().provider.as_deref() == Some("ovn");
    let (listeners, members) = (world.cloud.load_balancing("listeners"), world.cloud.load_balancing("members"));
    for pool in world.cloud.load_balancing("pools") {
        let users: Vec<&Value> =
            listeners.iter().filter(|listener| listener["default_pool_id"] == pool["id"]).collect();
        let [listener] = users.as_slice() else {
            add(format!("pool {} is of {} listeners", pool["name"], users.len()));
            continue;
        };
        let (name, place) = (
            service_of(text(listener, "name")),
            format!("{}:{}", text(listener, "protocol"), listener["protocol_port"]),
        );
        let persistence = &pool["session_persistence"];
        let affinity = match (text(persistence, "type"), persistence["persistence_timeout"].as_u64()) {
            ("", _) => "no affinity".to_owned(),
            (kind, None) => kind.to_owned(),
            (kind, Some(seconds)) => format!("{kind} for {seconds} s"),
        };
        let limit = match listener["connection_limit"].as_i64() {
            // OVN knows no limit.
            Some(limit) if limit != -1 && !is_ovn => format!(", {limit} connections"),
            _ => String::new(),
        };
        let (state, algorithm) = (format!("{}{}{limit}", state(listener), state(&pool)), text(&pool, "lb_algorithm"));
        add(format!("{name}: {place} by {algorithm}, {affinity}{state}"));
        for member in members
            .iter()
            .filter(|member| pool["members"].as_array().unwrap().iter().any(|it| it["id"] == member["id"]))
        {
            let (host, port) = (text(member, "address"), &member["protocol_port"]);
            add(format!("{name}: {place} has {host}:{port}{}", self::state(member)));
        }
    }
    for listener in listeners.iter().filter(|listener| !listener["default_pool_id"].is_string()) {
        add(format!("listener {} has no pool", listener["name"]));
    }
}

fn records(world: &World, balancers: &[&Value], add: &mut impl FnMut(String)) {
    for record in world.cluster.list(RECORDS, NAMESPACE) {
        let (name, status) = (text(&record["metadata"], "name"), &record["status"]);
        let ready = status["conditions"].as_array().into_iter().flatten().find(|it| it["type"] == "Ready");
        let reason = ready.map_or("nothing", |ready| text(ready, "reason"));
        let balancer = balancers.iter().find(|balancer| balancer["id"] == status["loadbalancer"]["id"]);
        let members = status["members"].as_array().map_or(0, Vec::len);
        let of_another = balancer.is_none_or(|balancer| service_of(text(balancer, "name")) != name);
        let of_another = if of_another { ", with another load balancer" } else { "" };
        add(format!("{name}: recorded as {reason}, {members} members{of_another}"));
    }
}

/// Addresses from outside, and what Services are told of them.
fn addresses(world: &World, balancers: &[&Value], add: &mut impl FnMut(String)) {
    let mut told: BTreeMap<String, (String, bool)> = BTreeMap::new();
    for service in world.cluster.list(SERVICES, NAMESPACE) {
        let asks = !text(&service["spec"], "loadBalancerIP").is_empty();
        told.insert(text(&service["metadata"], "name").to_owned(), (told_of(&service).unwrap_or_default(), asks));
    }
    for floating in world.cloud.list("floatingips") {
        let (address, description) = (text(&floating, "floating_ip_address"), text(&floating, "description"));
        let led = balancers.iter().find(|balancer| floating["port_id"] == balancer["vip_port_id"]);
        match led.map(|balancer| service_of(text(balancer, "name"))) {
            Some(name) => {
                let (told, asks) = told.remove(name).unwrap_or_default();
                let word = if told == address { "and told so".to_owned() } else { format!("and told {told:?}") };
                let shown = if asks { address } else { "any address" };
                add(format!("{name}: is reached at {shown}, {word}"));
            }
            None if description.ends_with(" kuryr:cluster=c1") || floating["port_id"].is_string() => {
                add(format!("floating IP {address} leads to {}: {description}", floating["port_id"]));
            }
            None => {}
        }
    }
    for (name, (told, _)) in told.iter().filter(|(_, (told, _))| !told.is_empty()) {
        add(format!("{name}: is told {told}, where it is not reached"));
    }
}

/// The address from outside that a Service's status tells.
fn told_of(service: &Value) -> Option<String> {
    let ingress = service["status"]["loadBalancer"]["ingress"].as_array()?;
    assert!(ingress.len() <= 1, "{} is told {ingress:?}", service["metadata"]["name"]);
    Some(ingress.first()?["ip"].as_str()?.to_owned())
}

/// Who remembers what Services had, by their uid.
#[derive(Default)]
pub struct Watchman {
    known: BTreeMap<String, Known>,
}

#[derive(Default)]
struct Known {
    /// The address from outside it was last told.
    told: Option<String>,
    /// How often its users, or who meddled, gave cause for another one.
    causes: usize,
    /// Somebody took its address away, and the controller may not know that yet.
    harmed: bool,
    /// The address in the cluster it is balanced at, once it was.
    served: Option<String>,
}

impl Watchman {
    fn of(&mut self, service: &Value) -> &mut Known {
        self.known.entry(text(&service["metadata"], "uid").to_owned()).or_default()
    }

    /// Its users ask for something that may bring another address from outside.
    pub fn may_change(&mut self, service: &Value) {
        self.of(service).causes += 1;
    }

    /// Somebody took its address from outside away.
    pub fn was_harmed(&mut self, service: &Value) {
        let known = self.of(service);
        (known.causes, known.harmed) = (known.causes + 1, true);
    }

    /// What was taken away is known by now.
    pub fn harm_is_over(&mut self) {
        self.known.values_mut().for_each(|known| known.harmed = false);
    }

    /// Sees that no status lies, and that nothing changed for which there was no cause.
    ///
    /// # Panics
    /// If one does, or something did.
    pub fn looks(&mut self, world: &World) {
        let balancers = world.cloud.load_balancing("loadbalancers");
        let floating = world.cloud.list("floatingips");
        for service in world.cluster.list(SERVICES, NAMESPACE) {
            let name = text(&service["metadata"], "name").to_owned();
            let known = self.of(&service);
            if let Some(told) = told_of(&service) {
                let there = floating.iter().find(|it| text(it, "floating_ip_address") == told);
                assert!(there.is_some() || known.harmed, "{name} is told {told}, which is not there");
                let led = there.and_then(|there| balancers.iter().find(|it| it["vip_port_id"] == there["port_id"]));
                let led = led.map(|balancer| service_of(text(balancer, "name")));
                assert!(
                    led.is_none_or(|led| led == name) || known.harmed,
                    "{name} is told {told}, which leads to {led:?}"
                );
                if known.told.as_ref().is_some_and(|before| *before != told) {
                    assert!(known.causes > 0, "{name} is told {told} instead of {:?}: why?", known.told);
                    known.causes -= 1;
                }
                known.told = Some(told);
            }
            let address = text(&service["spec"], "clusterIP");
            let its =
                balancers.iter().filter(|it| service_of(text(it, "name")) == name && !is_of_others(text(it, "name")));
            let vips: Vec<&str> = its.map(|balancer| text(balancer, "vip_address")).collect();
            if known.served.as_deref() == Some(address) {
                assert!(vips.iter().all(|vip| *vip == address), "{name} at {address} is balanced at {vips:?}");
            } else {
                known.served = vips.contains(&address).then(|| address.to_owned());
            }
        }
    }
}
