//! What Kuryr needs of the cloud for Services. Pure: facts in, findings out.

use kuryr_openstack::ErrorKind;
use kuryr_openstack::load_balancing::{Provider, present_name};
use kuryr_openstack::network::Subnet;

use super::cloud::{Answer, CloudFacts, Failure};
use super::cloud_rules::router;
use super::finding::Finding;
use super::services::{Room, ServiceFacts};
use super::wanted::{Wanted, WantedServices};
use crate::conf::options::{kubernetes, kuryr, neutron, neutron_defaults, octavia_defaults};

/// Below this many free load balancers, listeners or pools, a few Services use them up.
const FEW: u64 = 10;
/// The same for members: each port of a Service has one for each of its pods.
const FEW_MEMBERS: u64 = 50;

/// Octavia's own provider.
const AMPHORA: &str = "amphora";
const OVN: &str = "ovn";

/// The only algorithm of the provider OVN, and one the amphora does not have.
const BY_ADDRESS_AND_PORT: &str = "SOURCE_IP_PORT";

const ROLE: &str = "openstack role add --user USER --project PROJECT load-balancer_member";

/// Everything there is to say about Services.
pub(crate) fn findings(cloud: &CloudFacts, wanted: &Wanted) -> Vec<Finding> {
    let (Some(facts), Some(services)) = (&cloud.services, &wanted.services) else { return Vec::new() };
    let mut found = vec![octavia(facts, wanted)];
    found.extend(facts.providers.as_ref().map(|providers| provider(providers, services, wanted)));
    options(services, wanted, &mut found);
    subnet(facts, cloud, services, wanted, &mut found);
    external(facts, services, wanted, &mut found);
    match &facts.quota {
        Some(Ok(room)) => quota(room, wanted, &mut found),
        Some(Err(failure)) => {
            found.push(Finding::skipped("lb quota", format!("it cannot be read: {}", failure.text)));
        }
        None => {}
    }
    found
}

fn octavia(facts: &ServiceFacts, wanted: &Wanted) -> Finding {
    let off = format!("{} to false", wanted.names.set(&kuryr::services));
    match &facts.version {
        Ok(version) => Finding::good("octavia", format!("it answers, version {version}")),
        Err(failure) if failure.kind == ErrorKind::Settings => Finding::error(
            "octavia",
            failure.text.clone(),
            format!("openstack catalog show load-balancer; without Octavia there are no Services: {off}"),
        ),
        Err(failure) => Finding::error(
            "octavia",
            format!("Octavia does not answer: {}", failure.text),
            format!(
                "openstack catalog show load-balancer; if its address is not reachable from here, {}",
                wanted.names.set(&neutron::endpoint_type)
            ),
        ),
    }
}

fn provider(providers: &Answer<Vec<Provider>>, services: &WantedServices, wanted: &Wanted) -> Finding {
    let providers = match providers {
        Ok(providers) => providers,
        Err(failure) => return not_listed(failure),
    };
    let names: Vec<&str> = providers.iter().map(|provider| provider.name.as_str()).collect();
    match services.provider.as_deref() {
        Some(name) if !providers.iter().any(|there| there.is(name)) => Finding::error(
            "provider",
            format!("Octavia has no provider {name}, only {}", names.join(", ")),
            format!(
                "openstack loadbalancer provider list; {} to one of them",
                wanted.names.set(&kubernetes::endpoints_driver_octavia_provider)
            ),
        ),
        Some(name) => Finding::good("provider", name),
        None => Finding::good("provider", format!("Octavia's default; there are {}", names.join(", "))),
    }
}

fn not_listed(failure: &Failure) -> Finding {
    let cure = match failure.kind {
        ErrorKind::Forbidden => ROLE,
        _ => "openstack loadbalancer provider list with the same credentials",
    };
    Finding::error("provider", format!("providers cannot be listed: {}", failure.text), cure)
}

/// What the provider does not take: its load balancers end in an error.
fn options(services: &WantedServices, wanted: &Wanted, found: &mut Vec<Finding>) {
    let provider = services.provider.as_deref().map(present_name);
    let algorithm = services.algorithm.as_str();
    let set_algorithm = wanted.names.set(&octavia_defaults::lb_algorithm);
    if provider == Some(OVN) && algorithm != BY_ADDRESS_AND_PORT {
        let text = format!("the provider ovn takes no algorithm but {BY_ADDRESS_AND_PORT}, and not {algorithm}");
        found.push(Finding::warning("lb algorithm", text, format!("{set_algorithm} to {BY_ADDRESS_AND_PORT}")));
    }
    if provider == Some(AMPHORA) && algorithm == BY_ADDRESS_AND_PORT {
        let text = format!("the provider amphora does not have the algorithm {BY_ADDRESS_AND_PORT}");
        found.push(Finding::warning("lb algorithm", text, format!("{set_algorithm} to ROUND_ROBIN")));
    }
    if provider == Some(OVN) && services.member_mode != "L2" {
        let text =
            format!("the provider ovn needs members in their own subnets, and the mode is {}", services.member_mode);
        let cure = format!("{} to L2", wanted.names.set(&octavia_defaults::member_mode));
        found.push(Finding::warning("member mode", text, cure));
    }
}

fn subnet(
    facts: &ServiceFacts,
    cloud: &CloudFacts,
    services: &WantedServices,
    wanted: &Wanted,
    found: &mut Vec<Finding>,
) {
    let (id, set) = (&services.subnet, wanted.names.set(&neutron_defaults::service_subnet));
    let list = format!("openstack subnet list --project {}; {set}", wanted.project);
    let subnet = match &facts.subnet {
        Ok(subnet) => subnet,
        Err(_) if id.is_empty() => {
            let text = format!("{} is not set", wanted.names.of(&neutron_defaults::service_subnet));
            return found.push(Finding::error("service subnet", text, list));
        }
        Err(failure) if failure.kind == ErrorKind::NotFound => {
            let text = format!("subnet {id} does not exist, or not for these credentials");
            return found.push(Finding::error("service subnet", text, list));
        }
        Err(failure) => {
            return found.push(Finding::error(
                "service subnet",
                failure.text.clone(),
                format!("openstack subnet show {id}"),
            ));
        }
    };
    let pods = cloud.subnets.iter().filter_map(|(_, subnet)| subnet.as_ref().ok());
    let overlapping = pods.filter(|pods| overlap(pods, subnet)).map(|pods| pods.id.as_str()).next();
    if let Some(pods) = overlapping {
        found.push(Finding::error(
            "service subnet",
            format!("{id} overlaps {pods}, a subnet of pods: an address could be a Service's and a pod's"),
            format!("make one for Services whose range is the API server's --service-cluster-ip-range; {set}"),
        ));
    } else {
        let cidr = subnet.cidr.map(|cidr| cidr.to_string()).unwrap_or_default();
        found.push(Finding::good("service subnet", format!("{} {cidr} ({id})", subnet.name)));
    }
    match subnet.gateway_ip {
        Some(gateway) => found.extend(router(cloud, id, gateway)),
        None => found.push(Finding::error(
            "gateway",
            format!("Services' subnet {id} has no gateway: no router leads from pods to Services and back"),
            format!("openstack subnet set --gateway ADDRESS {id}; openstack router add subnet ROUTER {id}"),
        )),
    }
}

fn overlap(one: &Subnet, other: &Subnet) -> bool {
    let ranges = one.cidr.zip(other.cidr);
    one.id == other.id || ranges.is_some_and(|(one, other)| one.contains(&other) || other.contains(&one))
}

/// The network of floating IPs is looked at with the pods' networks; here is what is only of Services.
fn external(facts: &ServiceFacts, services: &WantedServices, wanted: &Wanted, found: &mut Vec<Finding>) {
    let (network, id) = (&wanted.external_network, &services.external_subnet);
    if network.is_empty() {
        let option = wanted.names.of(&neutron_defaults::external_svc_net);
        found.push(Finding::skipped(
            "floating ips",
            format!("{option} is not set: LoadBalancers get no address from outside"),
        ));
        return;
    }
    let text = match &facts.external_subnet {
        None => return,
        Some(Ok(subnet)) if subnet.network_id == *network => return,
        Some(Ok(subnet)) => format!("subnet {} ({id}) is not in network {network}", subnet.name),
        Some(Err(failure)) if failure.kind == ErrorKind::NotFound => {
            format!("subnet {id} does not exist, or not for these credentials")
        }
        Some(Err(failure)) => failure.text.clone(),
    };
    let cure = format!(
        "openstack subnet list --network {network}; {}, or leave it out",
        wanted.names.set(&neutron_defaults::external_svc_subnet)
    );
    found.push(Finding::error("floating ips", text, cure));
}

fn quota(room: &Room, wanted: &Wanted, found: &mut Vec<Finding>) {
    let limits = &room.limits;
    let before = found.len();
    let mut free = Vec::new();
    for (what, option, limit, used, few) in [
        ("load balancers", "--loadbalancer", limits.load_balancer, room.load_balancers, FEW),
        ("listeners", "--listener", limits.listener, room.listeners, FEW),
        ("pools", "--pool", limits.pool, room.pools, FEW),
        ("members", "--member", limits.member, room.members, FEW_MEMBERS),
    ] {
        let Some(limit) = limit else { continue };
        let left = limit.saturating_sub(used);
        let cure = format!("openstack loadbalancer quota set {option} {} {}", used + 10 * few, wanted.project);
        if left == 0 {
            let text = format!("all {limit} {what} are used: no further Service gets one");
            found.push(Finding::error("lb quota", text, cure));
        } else if left < few {
            found.push(Finding::warning("lb quota", format!("{left} of {limit} {what} are free"), cure));
        } else {
            free.push(format!("{left} of {limit} {what}"));
        }
    }
    if found.len() == before {
        let text = if free.is_empty() { "without limit".to_owned() } else { format!("{} are free", free.join(", ")) };
        found.push(Finding::good("lb quota", text));
    }
}
