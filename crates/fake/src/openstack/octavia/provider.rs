//! Who implements load balancers, and what they do not do.

use std::net::IpAddr;

use http::StatusCode;
use ipnet::IpNet;
use serde_json::{Value, json};

use super::kind::Kind;
use super::{find, octavia};
use crate::openstack::neutron::{self, Caller};
use crate::openstack::refusal::Refusal;
use crate::openstack::request::Answer;
use crate::openstack::world::{Attributes, Object, World};

/// Octavia's own provider, and its default.
pub(super) const AMPHORA: &str = "amphora";
const OVN: &str = "ovn";

pub(super) fn list() -> Value {
    json!({"providers": [
        {"name": AMPHORA, "description": "The Octavia Amphora driver."},
        {"name": OVN, "description": "Octavia OVN driver."},
    ]})
}

/// The provider's name, if there is one of that name.
pub(super) fn known(name: &str) -> Result<String, Refusal> {
    match name {
        AMPHORA | OVN => Ok(name.to_owned()),
        "" => Ok(AMPHORA.to_owned()),
        _ => Err(octavia(StatusCode::BAD_REQUEST, format!("Provider '{name}' is not enabled."))),
    }
}

/// Whether the provider takes something as it is wanted. OVN knows packets, not contents.
pub(super) fn takes(world: &World, balancer: &Object, kind: Kind, wanted: &Object) -> Result<(), Refusal> {
    let said = |key: &str| wanted.get(key).and_then(Value::as_str);
    if balancer.text("provider") != OVN {
        return match (kind, said("lb_algorithm")) {
            (Kind::Pool, Some(algorithm @ "SOURCE_IP_PORT")) => {
                Err(unsupported_by(AMPHORA, format!("Amphora provider does not support {algorithm} algorithm.")))
            }
            _ => Ok(()),
        };
    }
    if matches!(kind, Kind::Listener | Kind::Pool)
        && let Some(protocol) = said("protocol").filter(|protocol| !["TCP", "UDP", "SCTP"].contains(protocol))
    {
        return Err(unsupported(format!("OVN provider does not support {protocol} protocol")));
    }
    match kind {
        Kind::Pool => match said("lb_algorithm").filter(|algorithm| *algorithm != "SOURCE_IP_PORT") {
            Some(algorithm) => Err(unsupported(format!("OVN provider does not support {algorithm} algorithm"))),
            None => Ok(()),
        },
        Kind::Listener if !wanted.items("allowed_cidrs").is_empty() => {
            Err(unsupported("OVN provider does not support allowed_cidrs option"))
        }
        Kind::Member => member(world, balancer, wanted),
        Kind::HealthMonitor => match said("type").filter(|kind| !["TCP", "UDP-CONNECT"].contains(kind)) {
            Some(kind) => Err(unsupported(format!(
                "OVN provider does not support {kind} health monitor type. Supported types: TCP, UDP-CONNECT"
            ))),
            None => Ok(()),
        },
        Kind::L7Policy | Kind::L7Rule => Err(octavia(
            StatusCode::NOT_IMPLEMENTED,
            "Provider 'ovn' does not support a requested action: This feature is not implemented by the provider.",
        )),
        _ => Ok(()),
    }
}

/// A member needs a subnet, unless its address is in the VIP's; and one family of addresses is all there is.
fn member(world: &World, balancer: &Object, wanted: &Object) -> Result<(), Refusal> {
    let Some(address) = wanted.get("address").and_then(Value::as_str) else {
        return Ok(());
    };
    let is_v6 = |text: &str| text.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6());
    let more = balancer.items("additional_vips");
    let more = more.iter().filter_map(|vip| vip["ip_address"].as_str()).filter(|_| world.lbaas.newest > 26);
    let mut vips = more.chain([balancer.text("vip_address")]);
    if vips.all(|vip| is_v6(vip) != is_v6(address)) {
        return Err(unsupported(
            "OVN provider does not support mixing IPv4/IPv6 configuration within the same Load Balancer.",
        ));
    }
    let vip = world.get(neutron::Kind::Subnet, balancer.text("vip_subnet_id")).map(|subnet| subnet.text("cidr"));
    let in_vip = vip.and_then(|cidr| cidr.parse::<IpNet>().ok()).zip(address.parse::<IpAddr>().ok());
    let named = wanted.get("subnet_id").is_some_and(|subnet| !subnet.is_null());
    match named || in_vip.is_some_and(|(cidr, address)| cidr.contains(&address)) {
        true => Ok(()),
        false => Err(unsupported(
            "Subnet is required, or Loadbalancer associated with Pool must have a subnet, for Member creation with OVN \
             Provider Driver if it is not the same as LB VIP subnet",
        )),
    }
}

/// Answers `PUT loadbalancers/<id>/failover`.
pub(super) fn fail_over(world: &mut World, caller: &Caller, id: &str) -> Result<Answer, Refusal> {
    let balancer = find(world, caller, Kind::LoadBalancer, id)?;
    if !caller.admin {
        return Err(octavia(StatusCode::FORBIDDEN, "Policy does not allow this request to be performed."));
    }
    let (provider, state) = (balancer.text("provider").to_owned(), balancer.text("provisioning_status").to_owned());
    if !["ACTIVE", "ERROR"].contains(&state.as_str()) {
        return Err(octavia(StatusCode::CONFLICT, format!("Invalid state {state} of loadbalancer resource {id}")));
    }
    if provider == OVN {
        return Err(unsupported("OVN provider does not support loadbalancer failover"));
    }
    let now = world.clock.elapsed();
    world.lbaas.begin(id, "PENDING_UPDATE", now);
    Ok(Answer { status: StatusCode::ACCEPTED, ..Answer::empty() })
}

fn unsupported(why: impl AsRef<str>) -> Refusal {
    unsupported_by(OVN, why)
}

fn unsupported_by(provider: &str, why: impl AsRef<str>) -> Refusal {
    let message = format!("Provider '{provider}' does not support a requested option: {}", why.as_ref());
    octavia(StatusCode::NOT_IMPLEMENTED, message)
}
