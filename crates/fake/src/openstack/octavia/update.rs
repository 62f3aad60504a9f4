//! Changes and ends, and what they do to all around.

use http::StatusCode;
use serde_json::{Value, json};

use super::kind::Kind;
use super::vip::given;
use super::{create, immutable, invalid, not_found, octavia, provider};
use crate::openstack::refusal::Refusal;
use crate::openstack::world::{Attributes, Object, World};

/// What a PUT may change.
fn changeable(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::LoadBalancer => &["name", "description", "admin_state_up", "vip_qos_policy_id", "tags"],
        Kind::Listener => &[
            "name",
            "description",
            "admin_state_up",
            "connection_limit",
            "default_pool_id",
            "allowed_cidrs",
            "insert_headers",
            "timeout_client_data",
            "timeout_member_connect",
            "timeout_member_data",
            "timeout_tcp_inspect",
            "default_tls_container_ref",
            "sni_container_refs",
            "tags",
        ],
        Kind::Pool => &["name", "description", "admin_state_up", "lb_algorithm", "session_persistence", "tags"],
        Kind::Member => &["name", "admin_state_up", "weight", "backup", "monitor_address", "monitor_port", "tags"],
        Kind::HealthMonitor => &[
            "name",
            "admin_state_up",
            "delay",
            "timeout",
            "max_retries",
            "max_retries_down",
            "http_method",
            "url_path",
            "expected_codes",
            "http_version",
            "domain_name",
            "tags",
        ],
        Kind::L7Policy => &[
            "name",
            "description",
            "admin_state_up",
            "action",
            "position",
            "redirect_pool_id",
            "redirect_url",
            "redirect_prefix",
            "redirect_http_code",
            "tags",
        ],
        Kind::L7Rule => &["type", "compare_type", "key", "value", "invert", "admin_state_up", "tags"],
    }
}

pub(super) fn update(world: &mut World, kind: Kind, id: &str, wanted: Object) -> Result<(), Refusal> {
    if let Some(unknown) = wanted.keys().find(|key| !changeable(kind).contains(&key.as_str())) {
        let message = format!("Unknown attribute for argument {}: {unknown}", kind.one());
        return Err(octavia(StatusCode::BAD_REQUEST, message));
    }
    let balancer = balancer_of(world, kind, id);
    match kind {
        Kind::LoadBalancer => refuse_if_pending(world, id, &["ACTIVE"])?,
        _ => refuse_if_immutable(world, &balancer)?,
    }
    if let Some(on) = world.lbaas.get(Kind::LoadBalancer, &balancer) {
        provider::takes(world, on, kind, &wanted)?;
    }
    if let (Kind::Listener, Some(pool)) = (kind, given(&wanted, "default_pool_id")) {
        let found = world.lbaas.get(Kind::Pool, &pool).ok_or_else(|| not_found(Kind::Pool.noun(), &pool))?;
        let protocol = world.lbaas.get(kind, id).map(|listener| listener.text("protocol").to_owned());
        create::check_protocols(&protocol.unwrap_or_default(), found.text("protocol"))?;
    }
    if kind == Kind::Listener {
        create::check_limits(&wanted)?;
    }
    if kind == Kind::Pool {
        let protocol = world.lbaas.get(kind, id).map(|pool| pool.text("protocol").to_owned());
        create::check_persistence(&protocol.unwrap_or_default(), &wanted)?;
    }
    apply(world, kind, id, &wanted);
    begin_below(world, kind, id);
    Ok(())
}

/// Takes in what changes; `null` is the default again.
pub(super) fn apply(world: &mut World, kind: Kind, id: &str, wanted: &Object) {
    let now = world.clock.stamp();
    let defaults = match kind {
        Kind::Listener => create::listener_defaults(),
        Kind::Pool => create::pool_defaults(),
        Kind::Member => json!({"name": "", "weight": 1, "backup": false, "admin_state_up": true}),
        _ => json!({"name": "", "description": ""}),
    };
    world.lbaas.change(kind, id, |object| {
        for key in changeable(kind) {
            match wanted.get(*key) {
                None => {}
                Some(Value::Null) => object.set(key, defaults.get(*key).cloned().unwrap_or_default()),
                Some(value) => object.set(key, value.clone()),
            }
        }
        object.set("updated_at", now);
        object.set("provisioning_status", "PENDING_UPDATE");
    });
}

pub(super) fn delete(world: &mut World, kind: Kind, id: &str, cascade: bool) -> Result<(), Refusal> {
    let balancer = balancer_of(world, kind, id);
    match kind {
        Kind::LoadBalancer => {
            let has = |kind: Kind| world.lbaas.with(kind, "loadbalancer_id", id).next().is_some();
            if !cascade && (has(Kind::Listener) || has(Kind::Pool)) {
                return Err(invalid(format!("Cannot delete Load Balancer {id} - it has children")));
            }
            refuse_if_pending(world, id, &["ACTIVE", "ERROR"])?;
            let now = world.clock.elapsed();
            world.lbaas.begin(id, "PENDING_DELETE", now);
            return Ok(());
        }
        Kind::Pool => {
            if let Some(policy) = world.lbaas.with(Kind::L7Policy, "redirect_pool_id", id).next() {
                let message = format!("Pool {id} is in use by L7 policy {}", policy.text("id"));
                return Err(octavia(StatusCode::CONFLICT, message));
            }
        }
        _ => {}
    }
    refuse_if_immutable(world, &balancer)?;
    begin_below(world, kind, id);
    let mut going = vec![(kind, id.to_owned())];
    for (below, key, of) in [
        (Kind::Member, "pool_id", Kind::Pool),
        (Kind::HealthMonitor, "pool_id", Kind::Pool),
        (Kind::L7Policy, "listener_id", Kind::Listener),
        (Kind::L7Rule, "l7policy_id", Kind::L7Policy),
    ] {
        let parents: Vec<String> = going.iter().filter(|(kind, _)| *kind == of).map(|(_, id)| id.clone()).collect();
        for parent in parents {
            going.extend(world.lbaas.with(below, key, &parent).map(|object| (below, object.text("id").to_owned())));
        }
    }
    for (kind, id) in going {
        world.lbaas.change(kind, &id, |object| object.set("provisioning_status", "PENDING_DELETE"));
    }
    if kind == Kind::Pool {
        let listeners: Vec<String> =
            world.lbaas.with(Kind::Listener, "default_pool_id", id).map(|found| found.text("id").to_owned()).collect();
        for listener in listeners {
            world.lbaas.change(Kind::Listener, &listener, |object| object.set("default_pool_id", Value::Null));
        }
    }
    Ok(())
}

fn balancer_of(world: &World, kind: Kind, id: &str) -> String {
    world.lbaas.get(kind, id).map(|object| object.text("loadbalancer_id").to_owned()).unwrap_or_default()
}

/// 409 for anything on a load balancer that its provider is at, or that failed.
pub(super) fn refuse_if_immutable(world: &World, balancer: &str) -> Result<(), Refusal> {
    match world.lbaas.get(Kind::LoadBalancer, balancer) {
        Some(found) if found.text("provisioning_status") != "ACTIVE" => Err(immutable("Load Balancer", balancer)),
        _ => Ok(()),
    }
}

/// 409 for a load balancer itself.
fn refuse_if_pending(world: &World, balancer: &str, takes: &[&str]) -> Result<(), Refusal> {
    let state = world.lbaas.get(Kind::LoadBalancer, balancer).map(|found| found.text("provisioning_status").to_owned());
    match state.filter(|state| !takes.contains(&state.as_str())) {
        Some(state) => {
            Err(octavia(StatusCode::CONFLICT, format!("Invalid state {state} of loadbalancer resource {balancer}")))
        }
        None => Ok(()),
    }
}

/// The provider begins to work on something: its load balancer, and what is between, are being updated meanwhile.
pub(super) fn begin_below(world: &mut World, kind: Kind, id: &str) {
    let balancer = balancer_of(world, kind, id);
    let mut around: Vec<(Kind, String)> = Vec::new();
    let object = world.lbaas.get(kind, id).cloned().unwrap_or_default();
    let pool = match kind {
        Kind::Pool => id.to_owned(),
        Kind::Member | Kind::HealthMonitor => object.text("pool_id").to_owned(),
        _ => String::new(),
    };
    if !pool.is_empty() {
        around.extend(
            world
                .lbaas
                .with(Kind::Listener, "default_pool_id", &pool)
                .map(|l| (Kind::Listener, l.text("id").to_owned())),
        );
        around.push((Kind::Pool, pool));
    }
    if kind == Kind::Listener {
        around.push((Kind::Listener, id.to_owned()));
    }
    for (kind, id) in around {
        world.lbaas.change(kind, &id, |object| {
            if object.text("provisioning_status") == "ACTIVE" {
                object.set("provisioning_status", "PENDING_UPDATE");
            }
        });
    }
    let now = world.clock.elapsed();
    world.lbaas.begin(&balancer, "PENDING_UPDATE", now);
}
