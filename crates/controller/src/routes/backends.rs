//! From Services that are named as backends to members with weights. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::desired::{Member, Setting};
use crate::cache::Key;
use crate::services::desired;
use crate::services::facts::{Protocol, ServiceFacts, ServiceType, SliceFacts};

/// The largest weight of a member (Octavia API, "Create Member").
const HEAVIEST: f64 = 256.0;

/// A port of a Service, and its part of the traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Backend {
    pub(crate) service: Key,
    pub(crate) port: Port,
    pub(crate) weight: u32,
}

/// How a port of a Service is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    Number(u16),
    Name(String),
}

impl std::fmt::Display for Port {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Port::Number(number) => number.fmt(formatter),
            Port::Name(name) => name.fmt(formatter),
        }
    }
}

/// Services and what is behind them, as they are known.
pub(crate) trait Sources {
    /// A Service.
    fn service(&self, key: &Key) -> Option<Arc<ServiceFacts>>;
    /// Its slices.
    fn slices(&self, key: &Key) -> Vec<Arc<SliceFacts>>;
}

/// Why a backend cannot be used: a reason of Gateway API's and a sentence.
pub(crate) type Missing = (&'static str, String);

/// The name of its port, if the backend can be used.
///
/// # Errors
/// Why it cannot.
pub(crate) fn port_name(backend: &Backend, protocol: Protocol, sources: &dyn Sources) -> Result<String, Missing> {
    let Backend { service: key, port, .. } = backend;
    let Some(service) = sources.service(key) else {
        return Err(("BackendNotFound", format!("Service {key} does not exist")));
    };
    if service.kind == ServiceType::ExternalName {
        return Err(("UnsupportedProtocol", format!("Service {key} is only a name in DNS (ExternalName)")));
    }
    let mut named = service.ports.iter().filter(|known| match port {
        Port::Number(number) => known.port == *number,
        Port::Name(name) => known.name == *name,
    });
    let same = named.clone().find(|known| known.protocol == protocol);
    match (same, named.next()) {
        (Some(found), _) => Ok(found.name.clone()),
        (None, Some(other)) => {
            let (wanted, found) = (protocol.as_str(), other.protocol.as_str());
            Err(("UnsupportedProtocol", format!("port {port} of Service {key} is for {found}, not for {wanted}")))
        }
        (None, None) => Err(("BackendNotFound", format!("Service {key} has no port {port}"))),
    }
}

/// The members of a pool over these backends, and the addresses that were left out because they are neither pods' nor nodes'.
/// Backends that cannot be used have none.
pub(crate) fn members(
    backends: &[Backend],
    protocol: Protocol,
    sources: &dyn Sources,
    setting: &Setting,
) -> (BTreeMap<(IpAddr, u16), Member>, Vec<IpAddr>) {
    let mut refused = Vec::new();
    let mut shares: BTreeMap<(IpAddr, u16), (f64, desired::Member)> = BTreeMap::new();
    for backend in backends.iter().filter(|backend| backend.weight > 0) {
        let Ok(name) = port_name(backend, protocol, sources) else { continue };
        let slices = sources.slices(&backend.service);
        let owner = backend.service.to_string();
        let is_reached = |address: IpAddr| address.is_ipv4() == setting.is_ipv4;
        let found = desired::members(&owner, (&name, protocol), &slices, &setting.members, is_reached, &mut refused);
        // The part of a Service is shared by its members.
        let share = f64::from(backend.weight) / found.len().max(1) as f64;
        for (place, member) in found {
            shares.entry(place).or_insert((0.0, member)).0 += share;
        }
    }
    refused.sort_unstable();
    refused.dedup();
    let heaviest = shares.values().map(|(share, _)| *share).fold(0.0, f64::max);
    let lightest = shares.values().map(|(share, _)| *share).fold(f64::MAX, f64::min);
    // Equal parts are ones; rounding errors make no difference.
    let is_even = heaviest - lightest <= heaviest * 1e-9;
    let members = shares.into_iter().map(|(place, (share, member))| {
        let weight = if is_even { 1 } else { ((share / heaviest * HEAVIEST).round().max(1.0)) as u16 };
        (place, Member { name: member.name, subnet: member.subnet, weight })
    });
    (members.collect(), refused)
}
