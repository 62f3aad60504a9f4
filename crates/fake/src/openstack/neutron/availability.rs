//! How many addresses networks have, and how many are taken (extension `network-ip-availability`).

use http::Method;
use serde_json::{Value, json};

use super::ipam::Space;
use super::kind::Kind;
use super::policy::Caller;
use crate::openstack::refusal::Refusal;
use crate::openstack::request::{Answer, Ask};
use crate::openstack::world::{Attributes, Object, World};

/// Answers `/v2.0/network-ip-availabilities[/<network>]`: for administrators; to others nothing is there.
pub(super) fn answer(world: &World, caller: &Caller, path: &[&str], ask: &Ask) -> Result<Answer, Refusal> {
    match (&ask.method, path) {
        (&Method::GET, []) => {
            let networks = world.all(Kind::Network).filter(|_| caller.admin);
            let shown: Vec<Value> = networks.map(|network| of_network(world, network)).collect();
            Ok(Answer::ok(json!({"network_ip_availabilities": shown})))
        }
        (&Method::GET, [id]) => {
            let network = world.get(Kind::Network, id).filter(|_| caller.admin);
            let network = network.ok_or_else(|| Kind::Network.not_found(id))?;
            Ok(Answer::ok(json!({"network_ip_availability": of_network(world, network)})))
        }
        (_, [] | [_]) => Err(Refusal::no_such_method()),
        _ => Err(Refusal::no_such_path()),
    }
}

fn of_network(world: &World, network: &Object) -> Value {
    let id = network.text("id");
    let (mut total, mut used) = (0_u128, 0);
    let subnets: Vec<Value> = world
        .within(Kind::Subnet, id)
        .filter_map(|subnet| {
            let space = Space::of(subnet)?;
            let taken = world.taken(&space.id).map_or(0, |taken| taken.len());
            total += space.size();
            used += taken;
            Some(json!({
                "subnet_id": space.id, "subnet_name": subnet.text("name"), "cidr": space.cidr.to_string(),
                "ip_version": if space.cidr.addr().is_ipv4() { 4 } else { 6 },
                "total_ips": number(space.size()), "used_ips": taken,
            }))
        })
        .collect();
    json!({
        "network_id": id, "network_name": network.text("name"),
        "project_id": network.text("project_id"), "tenant_id": network.text("project_id"),
        "subnet_ip_availability": subnets, "total_ips": number(total), "used_ips": used,
    })
}

/// Neutron writes all digits, which not every reader of JSON takes; beyond 64 bits the first ones do.
fn number(count: u128) -> Value {
    u64::try_from(count).map_or_else(|_| json!(count as f64), Value::from)
}
