//! New resources: what is checked, and what they have that nobody said.

use http::StatusCode;
use serde_json::{Value, json};

use super::kind::Kind;
use super::vip::{self, given, sub_resource};
use super::{graph, invalid, not_found, octavia, owned, provider, quotas, update};
use crate::openstack::neutron::{self, Caller};
use crate::openstack::refusal::Refusal;
use crate::openstack::world::{Attributes, Object, World};

/// Makes one resource; answers its id.
pub(super) fn create(
    world: &mut World,
    caller: &Caller,
    kind: Kind,
    parent: Option<&str>,
    wanted: Object,
) -> Result<String, Refusal> {
    match kind {
        Kind::LoadBalancer => balancer(world, caller, wanted),
        Kind::Listener => listener(world, caller, wanted),
        Kind::Pool => pool(world, caller, wanted),
        Kind::Member => member(world, parent.unwrap_or_default(), wanted),
        Kind::HealthMonitor => monitor(world, caller, wanted),
        Kind::L7Policy => policy(world, caller, wanted),
        Kind::L7Rule => rule(world, parent.unwrap_or_default(), wanted),
    }
}

fn balancer(world: &mut World, caller: &Caller, mut wanted: Object) -> Result<String, Refusal> {
    let project = given(&wanted, "project_id").unwrap_or_else(|| caller.project.clone());
    owned(caller, &project)?;
    wanted.set("project_id", project.clone());
    vip::place(world, &mut wanted)?;
    let provider = provider::known(wanted.text("provider"))?;
    quotas::check(world, &project, Kind::LoadBalancer, 1)?;
    let id = world.ids.uuid();
    let defaults = json!({
        "name": "", "description": "", "admin_state_up": true, "vip_address": null, "vip_port_id": null, "vip_subnet_id": null,
        "vip_network_id": null, "vip_qos_policy_id": null, "additional_vips": [], "flavor_id": null, "availability_zone": null,
        "tags": [],
    });
    let listeners = wanted.remove("listeners").unwrap_or_default();
    let pools = wanted.remove("pools").unwrap_or_default();
    wanted.set("provider", provider.clone());
    let mut made = admit(world, &id, &id, &project, &defaults, wanted);
    vip::allocate(world, &provider, &id, &mut made)?;
    let on_it = graph::read(world, &made, &listeners, &pools)?;
    world.lbaas.put(Kind::LoadBalancer, made);
    on_it.into_iter().for_each(|(kind, object)| world.lbaas.put(kind, object));
    let now = world.clock.elapsed();
    world.lbaas.begin(&id, "PENDING_CREATE", now);
    Ok(id)
}

/// A new object: what is wanted, what is not said, what all have.
pub(super) fn admit(
    world: &mut World,
    id: &str,
    balancer: &str,
    project: &str,
    defaults: &Value,
    wanted: Object,
) -> Object {
    let mut made = defaults.as_object().cloned().unwrap_or_default();
    made.extend(wanted.into_iter().filter(|(_, value)| !value.is_null()));
    let now = world.clock.stamp();
    made.set("id", id);
    made.set("loadbalancer_id", balancer);
    made.set("project_id", project);
    made.set("provisioning_status", "PENDING_CREATE");
    made.set("operating_status", "OFFLINE");
    made.set("created_at", now);
    made.set("updated_at", Value::Null);
    made
}

/// The load balancer a resource is to be on, its project, and that it takes changes.
fn on(world: &World, caller: &Caller, balancer: &str) -> Result<String, Refusal> {
    let found = world.lbaas.get(Kind::LoadBalancer, balancer);
    let found = found.ok_or_else(|| not_found(Kind::LoadBalancer.noun(), balancer))?;
    owned(caller, found.text("project_id"))?;
    Ok(found.text("project_id").to_owned())
}

/// Whether there may be one more, the load balancer takes changes, and its provider this one.
fn may(world: &World, project: &str, balancer: &str, kind: Kind, wanted: &Object) -> Result<(), Refusal> {
    quotas::check(world, project, kind, 1)?;
    update::refuse_if_immutable(world, balancer)?;
    match world.lbaas.get(Kind::LoadBalancer, balancer) {
        Some(found) => provider::takes(world, found, kind, wanted),
        None => Ok(()),
    }
}

pub(super) fn listener_defaults() -> Value {
    json!({
        "name": "", "description": "", "admin_state_up": true, "connection_limit": -1, "default_pool_id": null,
        "default_tls_container_ref": null, "sni_container_refs": [], "insert_headers": {}, "allowed_cidrs": null,
        "timeout_client_data": 50000, "timeout_member_connect": 5000, "timeout_member_data": 50000, "timeout_tcp_inspect": 0,
        "tags": [],
    })
}

/// What is wrong with a listener beside others.
pub(super) fn check_listener(others: &[&Object], wanted: &Object) -> Result<(), Refusal> {
    let protocol = wanted.text("protocol");
    let port = wanted.get("protocol_port").and_then(Value::as_i64).unwrap_or_default();
    if !["TCP", "UDP", "SCTP", "HTTP", "HTTPS", "TERMINATED_HTTPS", "PROMETHEUS"].contains(&protocol) {
        let message = format!("Invalid input for field/attribute protocol. Value: '{protocol}'.");
        return Err(octavia(StatusCode::BAD_REQUEST, message));
    }
    if !(1..=65535).contains(&port) {
        let message = format!("Invalid input for field/attribute protocol_port. Value: '{port}'.");
        return Err(octavia(StatusCode::BAD_REQUEST, message));
    }
    check_limits(wanted)?;
    if protocol == "TERMINATED_HTTPS" && given(wanted, "default_tls_container_ref").is_none() {
        return Err(invalid(
            "An SNI or default certificate container reference must be provided for TERMINATED_HTTPS protocol listeners.",
        ));
    }
    // On the wire there are three.
    let wire = |protocol: &str| match protocol {
        "UDP" | "SCTP" => protocol.to_owned(),
        _ => "TCP".to_owned(),
    };
    let taken = others.iter().any(|other| {
        other.get("protocol_port").and_then(Value::as_i64) == Some(port)
            && wire(other.text("protocol")) == wire(protocol)
    });
    match taken {
        true => Err(octavia(
            StatusCode::CONFLICT,
            format!(
                "Another Listener on this Load Balancer is already using protocol {protocol} and protocol_port {port}"
            ),
        )),
        false => Ok(()),
    }
}

fn listener(world: &mut World, caller: &Caller, mut wanted: Object) -> Result<String, Refusal> {
    let balancer = wanted.text("loadbalancer_id").to_owned();
    let project = on(world, caller, &balancer)?;
    if let Some(pool) = given(&wanted, "default_pool_id") {
        let found = world.lbaas.get(Kind::Pool, &pool).ok_or_else(|| not_found(Kind::Pool.noun(), &pool))?;
        check_protocols(wanted.text("protocol"), found.text("protocol"))?;
    }
    may(world, &project, &balancer, Kind::Listener, &wanted)?;
    let others: Vec<&Object> = world.lbaas.with(Kind::Listener, "loadbalancer_id", &balancer).collect();
    check_listener(&others, &wanted)?;
    wanted.remove("default_pool");
    let id = world.ids.uuid();
    let made = admit(world, &id, &balancer, &project, &listener_defaults(), wanted);
    world.lbaas.put(Kind::Listener, made);
    update::begin_below(world, Kind::LoadBalancer, &balancer);
    Ok(id)
}

pub(super) fn pool_defaults() -> Value {
    json!({"name": "", "description": "", "admin_state_up": true, "session_persistence": null, "tags": []})
}

pub(super) fn check_pool(wanted: &Object) -> Result<(), Refusal> {
    let known = ["TCP", "UDP", "SCTP", "HTTP", "HTTPS", "PROXY", "PROXYV2"];
    let ways = ["ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", "SOURCE_IP_PORT"];
    for (key, words) in [("protocol", &known[..]), ("lb_algorithm", &ways[..])] {
        if !words.contains(&wanted.text(key)) {
            let message = format!("Invalid input for field/attribute {key}. Value: '{}'.", wanted.text(key));
            return Err(octavia(StatusCode::BAD_REQUEST, message));
        }
    }
    check_persistence(wanted.text("protocol"), wanted)
}

/// How long a client is kept is only said of packets.
pub(super) fn check_persistence(protocol: &str, wanted: &Object) -> Result<(), Refusal> {
    let said = wanted.get("session_persistence").and_then(|persistence| persistence.get("persistence_timeout"));
    match said.is_some_and(|timeout| !timeout.is_null()) && !["UDP", "SCTP"].contains(&protocol) {
        true => {
            Err(invalid("persistence_timeout and persistence_granularity is only for UDP and SCTP protocol pools."))
        }
        false => Ok(()),
    }
}

/// Milliseconds have a limit, connections a lowest number.
pub(super) fn check_limits(wanted: &Object) -> Result<(), Refusal> {
    const DAYS_24: i64 = 24 * 24 * 60 * 60 * 1000;
    for (key, lowest, highest) in [
        ("timeout_client_data", 0, DAYS_24),
        ("timeout_member_connect", 0, DAYS_24),
        ("timeout_member_data", 0, DAYS_24),
        ("timeout_tcp_inspect", 0, DAYS_24),
        ("connection_limit", -1, i64::MAX),
    ] {
        if let Some(value) = wanted.get(key).and_then(Value::as_i64).filter(|it| !(lowest..=highest).contains(it)) {
            let message = format!("Invalid input for field/attribute {key}. Value: '{value}'.");
            return Err(octavia(StatusCode::BAD_REQUEST, message));
        }
    }
    Ok(())
}

/// Which pools a listener may have.
pub(super) fn check_protocols(listener: &str, pool: &str) -> Result<(), Refusal> {
    let fits = match listener {
        "TCP" => ["HTTP", "HTTPS", "PROXY", "PROXYV2", "TCP"].contains(&pool),
        "HTTP" | "TERMINATED_HTTPS" => ["HTTP", "PROXY", "PROXYV2"].contains(&pool),
        "HTTPS" => ["HTTPS", "PROXY", "PROXYV2", "TCP"].contains(&pool),
        same => same == pool,
    };
    match fits {
        true => Ok(()),
        false => {
            Err(invalid(format!("The pool protocol '{pool}' is invalid while the listener protocol is '{listener}'.")))
        }
    }
}

fn pool(world: &mut World, caller: &Caller, mut wanted: Object) -> Result<String, Refusal> {
    let listener = given(&wanted, "listener_id");
    let balancer = match (given(&wanted, "loadbalancer_id"), &listener) {
        (Some(balancer), _) => balancer,
        (None, Some(listener)) => {
            let found = world.lbaas.get(Kind::Listener, listener);
            let found = found.ok_or_else(|| not_found(Kind::Listener.noun(), listener))?;
            found.text("loadbalancer_id").to_owned()
        }
        (None, None) => return Err(invalid("Must provide at least one of: loadbalancer_id, listener_id")),
    };
    let project = on(world, caller, &balancer)?;
    check_pool(&wanted)?;
    let of = listener.as_deref().and_then(|listener| world.lbaas.get(Kind::Listener, listener));
    if let Some(of) = of {
        check_protocols(of.text("protocol"), wanted.text("protocol"))?;
        if given(of, "default_pool_id").is_some() {
            return Err(octavia(StatusCode::CONFLICT, "This listener already has a default pool"));
        }
    }
    may(world, &project, &balancer, Kind::Pool, &wanted)?;
    wanted.remove("listener_id");
    let id = world.ids.uuid();
    let made = admit(world, &id, &balancer, &project, &pool_defaults(), wanted);
    world.lbaas.put(Kind::Pool, made);
    if let Some(listener) = listener {
        world.lbaas.change(Kind::Listener, &listener, |object| object.set("default_pool_id", id.clone()));
    }
    update::begin_below(world, Kind::Pool, &id);
    Ok(id)
}

pub(super) fn check_member(world: &World, wanted: &Object) -> Result<(), Refusal> {
    let port = wanted.get("protocol_port").and_then(Value::as_i64).unwrap_or_default();
    if !(1..=65535).contains(&port) {
        let message = format!("Invalid input for field/attribute protocol_port. Value: '{port}'.");
        return Err(octavia(StatusCode::BAD_REQUEST, message));
    }
    if wanted.text("address").parse::<std::net::IpAddr>().is_err() {
        let message = format!("Invalid input for field/attribute address. Value: '{}'.", wanted.text("address"));
        return Err(octavia(StatusCode::BAD_REQUEST, message));
    }
    match given(wanted, "subnet_id").filter(|id| world.get(neutron::Kind::Subnet, id).is_none()) {
        Some(subnet) => Err(sub_resource("Subnet", &subnet)),
        None => Ok(()),
    }
}

pub(super) fn duplicate_member(wanted: &Object) -> Refusal {
    let port = wanted.get("protocol_port").and_then(Value::as_i64).unwrap_or_default();
    let message =
        format!("Another member on this pool is already using ip {} on protocol_port {port}", wanted.text("address"));
    octavia(StatusCode::CONFLICT, message)
}

fn member(world: &mut World, pool: &str, wanted: Object) -> Result<String, Refusal> {
    check_member(world, &wanted)?;
    let found = world.lbaas.get(Kind::Pool, pool).ok_or_else(|| not_found(Kind::Pool.noun(), pool))?;
    let (balancer, project) = (found.text("loadbalancer_id").to_owned(), found.text("project_id").to_owned());
    may(world, &project, &balancer, Kind::Member, &wanted)?;
    let same = |other: &Object| ["address", "protocol_port"].iter().all(|key| other.get(*key) == wanted.get(*key));
    if world.lbaas.with(Kind::Member, "pool_id", pool).any(same) {
        return Err(duplicate_member(&wanted));
    }
    let id = put_member(world, &balancer, pool, &project, wanted);
    update::begin_below(world, Kind::Pool, pool);
    Ok(id)
}

pub(super) fn put_member(world: &mut World, balancer: &str, pool: &str, project: &str, wanted: Object) -> String {
    let defaults = json!({
        "name": "", "admin_state_up": true, "weight": 1, "backup": false, "subnet_id": null, "monitor_address": null,
        "monitor_port": null, "tags": [],
    });
    let id = world.ids.uuid();
    let mut made = admit(world, &id, balancer, project, &defaults, wanted);
    made.set("pool_id", pool);
    made.set("operating_status", "NO_MONITOR");
    world.lbaas.put(Kind::Member, made);
    id
}

fn monitor(world: &mut World, caller: &Caller, wanted: Object) -> Result<String, Refusal> {
    let pool = wanted.text("pool_id").to_owned();
    let found = world.lbaas.get(Kind::Pool, &pool).ok_or_else(|| not_found(Kind::Pool.noun(), &pool))?;
    let balancer = found.text("loadbalancer_id").to_owned();
    let project = on(world, caller, &balancer)?;
    may(world, &project, &balancer, Kind::HealthMonitor, &wanted)?;
    if world.lbaas.with(Kind::HealthMonitor, "pool_id", &pool).next().is_some() {
        return Err(octavia(StatusCode::CONFLICT, "This pool already has a health monitor"));
    }
    let by_http = wanted.text("type").starts_with("HTTP");
    let id = world.ids.uuid();
    let mut made = admit(world, &id, &balancer, &project, &monitor_defaults(by_http), wanted);
    made.set("pool_id", pool.clone());
    world.lbaas.put(Kind::HealthMonitor, made);
    update::begin_below(world, Kind::Pool, &pool);
    Ok(id)
}

pub(super) fn monitor_defaults(by_http: bool) -> Value {
    let http = |value: &str| if by_http { json!(value) } else { Value::Null };
    json!({
        "name": "", "admin_state_up": true, "max_retries_down": 3, "http_method": http("GET"), "url_path": http("/"),
        "expected_codes": http("200"), "http_version": null, "domain_name": null, "tags": [],
    })
}

fn policy(world: &mut World, caller: &Caller, mut wanted: Object) -> Result<String, Refusal> {
    let listener = wanted.text("listener_id").to_owned();
    let found = world.lbaas.get(Kind::Listener, &listener);
    let found = found.ok_or_else(|| not_found(Kind::Listener.noun(), &listener))?;
    let balancer = found.text("loadbalancer_id").to_owned();
    let project = on(world, caller, &balancer)?;
    may(world, &project, &balancer, Kind::L7Policy, &wanted)?;
    let rules = wanted.remove("rules").unwrap_or_default();
    let asked = wanted.get("position").and_then(Value::as_u64);
    let place = world.lbaas.make_room(&listener, asked);
    wanted.remove("position");
    let defaults = json!({
        "name": "", "description": "", "admin_state_up": true, "position": place, "redirect_pool_id": null,
        "redirect_url": null, "redirect_prefix": null, "redirect_http_code": null, "tags": [],
    });
    let id = world.ids.uuid();
    let made = admit(world, &id, &balancer, &project, &defaults, wanted);
    world.lbaas.put(Kind::L7Policy, made);
    for rule in rules.as_array().into_iter().flatten().filter_map(Value::as_object) {
        put_rule(world, &balancer, &id, &project, rule.clone());
    }
    update::begin_below(world, Kind::Listener, &listener);
    Ok(id)
}

fn rule(world: &mut World, policy: &str, wanted: Object) -> Result<String, Refusal> {
    let found = world.lbaas.get(Kind::L7Policy, policy).ok_or_else(|| not_found(Kind::L7Policy.noun(), policy))?;
    let (balancer, project) = (found.text("loadbalancer_id").to_owned(), found.text("project_id").to_owned());
    let listener = found.text("listener_id").to_owned();
    may(world, &project, &balancer, Kind::L7Rule, &wanted)?;
    let id = put_rule(world, &balancer, policy, &project, wanted);
    update::begin_below(world, Kind::Listener, &listener);
    Ok(id)
}

fn put_rule(world: &mut World, balancer: &str, policy: &str, project: &str, wanted: Object) -> String {
    let id = world.ids.uuid();
    let defaults = json!({"admin_state_up": true, "invert": false, "key": null, "tags": []});
    let mut made = admit(world, &id, balancer, project, &defaults, wanted);
    made.set("l7policy_id", policy);
    world.lbaas.put(Kind::L7Rule, made);
    id
}
