//! Addresses: which are free, and which a port gets.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::check::{address_like, bits, eui64};
use super::kind::Kind;
use crate::openstack::refusal::Refusal;
use crate::openstack::world::{Attributes, Object, World};

/// A subnet's addresses.
pub(super) struct Space {
    pub(super) id: String,
    pub(super) cidr: IpNet,
    pools: Vec<(IpAddr, IpAddr)>,
    /// Addresses are made from hardware addresses (SLAAC, DHCPv6 stateless).
    is_automatic: bool,
}

impl Space {
    pub(super) fn of(subnet: &Object) -> Option<Space> {
        let end = |pool: &Value, key: &str| pool[key].as_str()?.parse().ok();
        let pools = subnet.items("allocation_pools").iter();
        Some(Space {
            id: subnet.text("id").to_owned(),
            cidr: subnet.text("cidr").parse().ok()?,
            pools: pools.filter_map(|pool| Some((end(pool, "start")?, end(pool, "end")?))).collect(),
            is_automatic: matches!(subnet.text("ipv6_address_mode"), "slaac" | "dhcpv6-stateless"),
        })
    }

    /// How many addresses the pools have.
    pub(super) fn size(&self) -> u128 {
        self.pools.iter().map(|(start, end)| bits(*end).saturating_sub(bits(*start)).saturating_add(1)).sum()
    }

    /// The lowest free address of the pools.
    fn free(&self, world: &World, also_taken: &[IpAddr]) -> Option<IpAddr> {
        let taken = world.taken(&self.id);
        self.pools.iter().find_map(|(start, end)| {
            let mut candidate = bits(*start);
            for address in taken.into_iter().flat_map(|taken| taken.range(start..=end)) {
                if also_taken.contains(&address_like(*start, candidate)) || bits(*address) == candidate {
                    candidate += 1;
                } else {
                    break;
                }
            }
            while also_taken.contains(&address_like(*start, candidate)) || self.is_taken(world, *start, candidate) {
                candidate += 1;
            }
            (candidate <= bits(*end)).then(|| address_like(*start, candidate))
        })
    }

    fn is_taken(&self, world: &World, family: IpAddr, candidate: u128) -> bool {
        world.taken(&self.id).is_some_and(|taken| taken.contains(&address_like(family, candidate)))
    }

    /// Whether a port may have the address: of the subnet, and neither its network nor its broadcast address.
    fn allows(&self, address: IpAddr) -> bool {
        let broadcast = self.cidr.addr().is_ipv4() && address == self.cidr.broadcast() && self.cidr.prefix_len() < 31;
        let network = address == self.cidr.network() && self.cidr.prefix_len() < self.cidr.max_prefix_len() - 1;
        self.cidr.contains(&address) && !broadcast && !network
    }
}

/// The `fixed_ips` of a port. `requested` is what the request says, `None` to let Neutron choose; `own` are the addresses
/// the port has already.
pub(super) fn allocate(
    world: &World,
    network: &str,
    requested: Option<&[Value]>,
    own: &[Value],
    mac: &str,
) -> Result<Value, Refusal> {
    let spaces: Vec<Space> = world.within(Kind::Subnet, network).filter_map(Space::of).collect();
    match requested {
        None => choose(world, network, &spaces, mac),
        Some(requested) => assign(world, network, &spaces, requested, own, mac),
    }
}

/// One address of each family, and one of every subnet whose addresses make themselves.
fn choose(world: &World, network: &str, spaces: &[Space], mac: &str) -> Result<Value, Refusal> {
    let mut fixed = Vec::new();
    for is_ipv4 in [true, false] {
        let family = || spaces.iter().filter(|space| space.cidr.addr().is_ipv4() == is_ipv4 && !space.is_automatic);
        if family().next().is_none() {
            continue;
        }
        let found = family().find_map(|space| Some((space, space.free(world, &[])?)));
        let (space, address) = found.ok_or_else(|| exhausted(network))?;
        fixed.push(json!({"subnet_id": space.id, "ip_address": address.to_string()}));
    }
    for space in spaces.iter().filter(|space| space.is_automatic) {
        fixed.push(automatic(space, mac));
    }
    Ok(Value::Array(fixed))
}

fn assign(
    world: &World,
    network: &str,
    spaces: &[Space],
    requested: &[Value],
    own: &[Value],
    mac: &str,
) -> Result<Value, Refusal> {
    let mut fixed: Vec<Value> = Vec::new();
    let mut chosen: Vec<IpAddr> = Vec::new();
    // Named addresses first, so that none is given away before its turn.
    let (named, unnamed): (Vec<_>, Vec<_>) = requested.iter().partition(|want| want["ip_address"].is_string());
    for want in named {
        let address: IpAddr = want["ip_address"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Refusal::invalid_input("IP allocation requires subnet_id or ip_address"))?;
        let space = match want["subnet_id"].as_str() {
            Some(id) => within_network(world, network, spaces, id)?,
            None => spaces.iter().find(|space| space.cidr.contains(&address)).ok_or_else(|| not_on_network(address))?,
        };
        let entry = json!({"subnet_id": space.id, "ip_address": address.to_string()});
        if !own.contains(&entry) {
            if !space.allows(address) {
                return Err(Refusal::new(
                    http::StatusCode::BAD_REQUEST,
                    "InvalidIpForSubnet",
                    format!("IP address {address} is not a valid IP for the specified subnet."),
                ));
            }
            if chosen.contains(&address) || space.is_taken(world, address, bits(address)) {
                return Err(Refusal::conflict(
                    "IpAddressAlreadyAllocated",
                    format!("IP address {address} already allocated in subnet {}", space.id),
                ));
            }
        }
        chosen.push(address);
        fixed.push(entry);
    }
    for want in unnamed {
        let id = want["subnet_id"].as_str();
        let id = id.ok_or_else(|| Refusal::invalid_input("IP allocation requires subnet_id or ip_address"))?;
        let space = within_network(world, network, spaces, id)?;
        let kept = own.iter().find(|entry| entry["subnet_id"] == id && !fixed.contains(entry));
        let entry = match kept {
            Some(entry) => entry.clone(),
            None if space.is_automatic => automatic(space, mac),
            None => {
                let address = space.free(world, &chosen).ok_or_else(|| exhausted(network))?;
                chosen.push(address);
                json!({"subnet_id": space.id, "ip_address": address.to_string()})
            }
        };
        fixed.push(entry);
    }
    // Subnets whose addresses make themselves are on every port that has any address.
    if !requested.is_empty() {
        let named = |space: &&Space| fixed.iter().any(|entry| entry["subnet_id"] == space.id);
        let more: Vec<_> = spaces.iter().filter(|space| space.is_automatic && !named(space)).collect();
        fixed.extend(more.into_iter().map(|space| automatic(space, mac)));
    }
    Ok(Value::Array(fixed))
}

fn within_network<'a>(world: &World, network: &str, spaces: &'a [Space], id: &str) -> Result<&'a Space, Refusal> {
    if world.get(Kind::Subnet, id).is_none() {
        return Err(Kind::Subnet.not_found(id));
    }
    let message = format!("Failed to create port on network {network}, because fixed_ips included invalid subnet {id}");
    spaces.iter().find(|space| space.id == id).ok_or_else(|| Refusal::invalid_input(message))
}

fn automatic(space: &Space, mac: &str) -> Value {
    let address = match space.cidr.network() {
        IpAddr::V6(prefix) => IpAddr::V6(eui64(prefix, mac)),
        other => other,
    };
    json!({"subnet_id": space.id, "ip_address": address.to_string()})
}

fn not_on_network(address: IpAddr) -> Refusal {
    Refusal::new(
        http::StatusCode::BAD_REQUEST,
        "InvalidIpForNetwork",
        format!("IP address {address} is not a valid IP for any of the subnets on the specified network."),
    )
}

/// Whether a port was refused because of its addresses.
pub(super) fn is_about_addresses(refusal: &Refusal) -> bool {
    matches!(
        refusal.kind.as_str(),
        "IpAddressGenerationFailure" | "IpAddressAlreadyAllocated" | "InvalidIpForSubnet" | "InvalidIpForNetwork"
    )
}

fn exhausted(network: &str) -> Refusal {
    Refusal::conflict("IpAddressGenerationFailure", format!("No more IP addresses available on network {network}."))
}

/// The addresses of a prefix that hosts may have: first and last.
pub(super) fn hosts(cidr: IpNet) -> (IpAddr, IpAddr) {
    let (first, last) = (bits(cidr.network()), bits(cidr.broadcast()));
    let like = |bits| address_like(cidr.network(), bits);
    match cidr {
        _ if cidr.prefix_len() + 1 >= cidr.max_prefix_len() => (like(first), like(last)),
        IpNet::V4(_) => (like(first + 1), like(last - 1)),
        IpNet::V6(_) => (like(first + 1), like(last)),
    }
}

/// The pools of a subnet that does not name its own: all hosts but the gateway.
pub(super) fn default_pools(cidr: IpNet, gateway: Option<IpAddr>) -> Vec<Value> {
    let (first, last) = hosts(cidr);
    let (first, last) = (bits(first), bits(last));
    let pool = |start: u128, end: u128| {
        let like = |bits| address_like(cidr.network(), bits).to_string();
        (start <= end).then(|| json!({"start": like(start), "end": like(end)}))
    };
    match gateway.map(bits).filter(|gateway| (first..=last).contains(gateway)) {
        None => pool(first, last).into_iter().collect(),
        Some(gateway) => {
            let before = gateway.checked_sub(1).and_then(|end| pool(first, end));
            before.into_iter().chain(pool(gateway + 1, last)).collect()
        }
    }
}
