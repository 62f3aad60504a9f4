//! What Kuryr needs of the cloud for pods. Pure: facts in, findings out.

use std::net::IpAddr;

use kuryr_openstack::ErrorKind;
use kuryr_openstack::network::{Direction, Ethertype, NetworkDetails, SecurityGroup, SecurityGroupRule, Subnet};

use super::cloud::{Answer, CloudFacts, Failure, NodeFacts};
use super::finding::Finding;
use super::service_rules;
use super::wanted::{Names, Wanted};
use crate::conf::options::{neutron, neutron_defaults};

/// Pods one node runs at most, unless kubelet is told otherwise.
const PODS_PER_NODE: u64 = 110;
/// IPv6's least MTU (RFC 8200 section 5).
const LEAST_MTU: u32 = 1280;

/// Extensions pods cannot do without, and what for.
const NEEDED: [(&str, &str); 4] = [
    ("binding", "ports are bound to the node of their pod"),
    ("security-group", "pods have security groups"),
    ("standard-attr-description", "ports are found again by their description"),
    ("standard-attr-tag", "ports are tagged with the cluster, to be found again"),
];

/// Extensions that make something better, and what.
const WELCOME: [(&str, &str); 4] = [
    ("tag-ports-during-bulk-creation", "without it every port costs one request more"),
    ("net-mtu", "without it pods get an MTU of 1500, or [neutron_defaults] network_device_mtu"),
    ("quota_details", "without it nothing can be said about how many ports are left"),
    ("router", "without it pods reach their own subnet only"),
];

/// Everything there is to say about the cloud.
pub(crate) fn findings(facts: &CloudFacts, wanted: &Wanted, nodes: &[NodeFacts]) -> Vec<Finding> {
    let mut found = Vec::new();
    match &facts.who {
        Ok(who) => {
            let project = who.project_name.as_deref().or(who.project_id.as_deref()).unwrap_or("no project");
            let roles = who.roles.join(", ");
            let text = format!("{} in {project} at {}, roles: {roles}", who.user_name, facts.address);
            found.push(Finding::good("credentials", text));
        }
        Err(failure) => {
            found.push(credentials(failure, facts, wanted.names));
            return found;
        }
    }
    let extensions = match &facts.extensions {
        Ok(extensions) => extensions,
        Err(failure) => {
            found.push(Finding::error(
                "neutron",
                format!("Neutron does not answer: {}", failure.text),
                format!(
                    "openstack catalog show network; if its address is not reachable from here, {} or [neutron] network_endpoint_override",
                    wanted.names.set(&neutron::endpoint_type)
                ),
            ));
            return found;
        }
    };
    found.push(Finding::good("neutron", format!("it answers, with {} extensions", extensions.len())));
    for (alias, reason) in NEEDED.iter().filter(|(alias, _)| !extensions.contains(*alias)) {
        let cure = format!(
            "enable it in Neutron ([DEFAULT] service_plugins or the ML2 extension drivers); then openstack extension show {alias}"
        );
        found.push(Finding::error("extension", format!("Neutron has no extension {alias}: {reason}"), cure));
    }
    for (alias, reason) in WELCOME.iter().filter(|(alias, _)| !extensions.contains(*alias)) {
        let cure = format!("enable it in Neutron; then openstack extension show {alias}");
        found.push(Finding::warning("extension", format!("Neutron has no extension {alias}: {reason}"), cure));
    }
    if NEEDED.iter().all(|(alias, _)| extensions.contains(*alias)) {
        let names: Vec<&str> = NEEDED.iter().map(|(alias, _)| *alias).collect();
        found.push(Finding::good("extension", names.join(", ")));
    }
    found.push(project(facts, wanted));
    subnets(facts, wanted, nodes, &mut found);
    network(facts, wanted, &mut found);
    security_groups(facts, wanted, nodes, &mut found);
    found.extend(facts.external.as_ref().map(|network| external(network, wanted)));
    found.push(quota(&facts.ports, wanted, nodes));
    found.extend(service_rules::findings(facts, wanted));
    rights(facts, &mut found);
    found
}

fn credentials(failure: &Failure, facts: &CloudFacts, names: Names) -> Finding {
    let (section, elsewhere) = match names {
        Names::KuryrConf => ("[neutron]", "OS_* and clouds.yaml"),
        Names::Values => ("cloud", "its Secret"),
    };
    let cure = match failure.kind {
        ErrorKind::Unauthorized => {
            format!("compare {section}'s username, password, project and their domains with `openstack token issue`")
        }
        ErrorKind::Settings => format!("correct {section}, or {elsewhere}"),
        _ => format!(
            "check the address and the certificate authorities of {section}, and the way: curl -v the address from here"
        ),
    };
    Finding::error("credentials", format!("no token from {}: {}", facts.address, failure.text), cure)
}

fn project(facts: &CloudFacts, wanted: &Wanted) -> Finding {
    match &facts.project {
        Ok(project) if wanted.project.is_empty() => {
            Finding::good("project", format!("{}, the credentials' own, because kuryr.conf names none", project.name))
        }
        Ok(project) if project.id != wanted.project => Finding::error(
            "project",
            format!("{} is the name of a project; Neutron wants its id", wanted.project),
            format!("{} to {}", wanted.names.set(&neutron_defaults::project), project.id),
        ),
        Ok(project) => Finding::good("project", format!("{} ({})", project.name, project.id)),
        Err(failure) if failure.kind == ErrorKind::NotFound => Finding::error(
            "project",
            format!("there is no project {}", wanted.project),
            format!("openstack project list; {} to an id of it", wanted.names.set(&neutron_defaults::project)),
        ),
        Err(failure) if failure.kind == ErrorKind::Forbidden => {
            Finding::skipped("project", format!("we may not look at project {}: {}", wanted.project, failure.text))
        }
        Err(failure) => {
            Finding::error("project", failure.text.clone(), "openstack project show with the same credentials")
        }
    }
}

fn subnets(facts: &CloudFacts, wanted: &Wanted, nodes: &[NodeFacts], found: &mut Vec<Finding>) {
    let mut there: Vec<&Subnet> = Vec::new();
    for (id, subnet) in &facts.subnets {
        match subnet {
            Ok(subnet) => there.push(subnet),
            Err(failure) if failure.kind == ErrorKind::NotFound => found.push(Finding::error(
                "pod subnet",
                format!("subnet {id} does not exist, or not for these credentials"),
                format!(
                    "openstack subnet list --project {}; {}",
                    wanted.project,
                    wanted.names.set(&neutron_defaults::pod_subnet)
                ),
            )),
            Err(failure) => {
                found.push(Finding::error("pod subnet", failure.text.clone(), format!("openstack subnet show {id}")))
            }
        }
    }
    if let Some(first) = there.first() {
        if let Some(other) = there.iter().find(|subnet| subnet.network_id != first.network_id) {
            found.push(Finding::error(
                "pod subnet",
                format!(
                    "{} and {} are in different networks; a pod has one port, so its subnets share a network",
                    first.id, other.id
                ),
                format!(
                    "openstack subnet list --network {}; name two of one network in {}",
                    first.network_id,
                    wanted.names.of(&neutron_defaults::pod_subnet)
                ),
            ));
        } else if let Some(other) = there.iter().skip(1).find(|subnet| subnet.ip_version == first.ip_version) {
            found.push(Finding::error(
                "pod subnet",
                format!("{} and {} are of the same family; two subnets make pods dual-stack", first.id, other.id),
                format!("leave one of them in {}", wanted.names.of(&neutron_defaults::pod_subnet)),
            ));
        }
    }
    for subnet in there {
        let cidr = subnet.cidr.map(|cidr| cidr.to_string()).unwrap_or_default();
        found.push(Finding::good("pod subnet", format!("{} {cidr} ({})", subnet.name, subnet.id)));
        addresses(subnet, nodes, found);
        gateway(facts, subnet, found);
    }
}

fn addresses(subnet: &Subnet, nodes: &[NodeFacts], found: &mut Vec<Finding>) {
    let pools = subnet.allocation_pools.iter().map(|pool| between(pool.start, pool.end)).fold(0, u128::saturating_add);
    let needed = u128::from(needed(nodes));
    if pools < needed {
        found.push(Finding::warning(
            "pod subnet",
            format!("{} has {pools} addresses; {} may run {needed} pods", subnet.id, of_nodes(nodes)),
            format!("openstack subnet set --allocation-pool start=FIRST,end=LAST {}, or a larger subnet", subnet.id),
        ));
    }
}

fn between(first: IpAddr, last: IpAddr) -> u128 {
    let number = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    number(last).saturating_sub(number(first)).saturating_add(1)
}

fn gateway(facts: &CloudFacts, subnet: &Subnet, found: &mut Vec<Finding>) {
    let id = &subnet.id;
    let Some(gateway) = subnet.gateway_ip else {
        found.push(Finding::error(
            "gateway",
            format!("subnet {id} has no gateway, so pods reach their own subnet only: no node, no API server, no DNS elsewhere"),
            format!("openstack subnet set --gateway ADDRESS {id}; openstack router add subnet ROUTER {id}"),
        ));
        return;
    };
    found.extend(router(facts, id, gateway));
}

/// Whether something has the gateway address of this subnet.
pub(super) fn router(facts: &CloudFacts, id: &str, gateway: IpAddr) -> Option<Finding> {
    let (_, ports) = facts.gateways.iter().find(|(subnet, _)| subnet == id)?;
    Some(match ports {
        Ok(ports) if ports.is_empty() => {
            let cure = format!("openstack router list; openstack router add subnet ROUTER {id}");
            let network = facts.network.as_ref().and_then(|network| network.as_ref().ok());
            let kind = network.and_then(|network| network.network_type.as_deref());
            if matches!(kind, Some("flat" | "vlan")) {
                let text = format!(
                    "no port has the gateway address {gateway} of subnet {id}: it must be a router's that Neutron does not know"
                );
                Finding::warning("router", text, format!("see that there is one; else {cure}"))
            } else {
                let text = format!("nothing has the gateway address {gateway} of subnet {id}: no router is on it");
                Finding::error("router", text, cure)
            }
        }
        Ok(ports) => {
            let owner = ports.first().map(|port| port.device_owner.as_str()).unwrap_or_default();
            Finding::good("router", format!("{gateway} is a port of {owner}"))
        }
        Err(failure) => Finding::warning("router", failure.text.clone(), "openstack port list --network NETWORK"),
    })
}

fn network(facts: &CloudFacts, wanted: &Wanted, found: &mut Vec<Finding>) {
    let network = match &facts.network {
        None => return,
        Some(Err(failure)) => {
            found.push(Finding::error(
                "network",
                failure.text.clone(),
                "openstack network list with the same credentials",
            ));
            return;
        }
        Some(Ok(network)) => network,
    };
    if network.admin_state_up == Some(false) {
        let cure = format!("openstack network set --enable {}", network.id);
        found.push(Finding::error("network", format!("network {} is switched off", network.id), cure));
    }
    let v6 = facts.subnets.iter().any(|(_, subnet)| subnet.as_ref().is_ok_and(|subnet| subnet.ip_version == Some(6)));
    let option = wanted.names.of(&neutron_defaults::network_device_mtu);
    match network.mtu {
        Some(mtu) if v6 && mtu < LEAST_MTU => found.push(Finding::error(
            "mtu",
            format!("the pods' network has an MTU of {mtu}; IPv6 needs {LEAST_MTU}"),
            format!("raise [DEFAULT] global_physnet_mtu of Neutron and the hosts' MTU; openstack network set --mtu {LEAST_MTU} {}", network.id),
        )),
        Some(mtu) if wanted.mtu > mtu => found.push(Finding::warning(
            "mtu",
            format!("{option} = {} has no effect: the network's MTU is {mtu}", wanted.mtu),
            "remove the option, or set it below the network's",
        )),
        Some(mtu) if wanted.mtu != 0 => found.push(Finding::good("mtu", format!("{} of the network's {mtu}", wanted.mtu))),
        Some(mtu) => found.push(Finding::good("mtu", format!("{mtu}"))),
        None => found.push(Finding::warning(
            "mtu",
            "Neutron does not say the network's MTU, so pods get 1500; packets get lost if the network is a tunnel",
            format!("{} to what the tunnels leave (often 1442 or 1450)", wanted.names.set(&neutron_defaults::network_device_mtu)),
        )),
    }
}

fn security_groups(facts: &CloudFacts, wanted: &Wanted, nodes: &[NodeFacts], found: &mut Vec<Finding>) {
    let mut groups: Vec<&SecurityGroup> = Vec::new();
    for (id, group) in &facts.security_groups {
        match group {
            Ok(group) => groups.push(group),
            Err(failure) if failure.kind == ErrorKind::NotFound => found.push(Finding::error(
                "security group",
                format!("security group {id} does not exist, or not for these credentials"),
                format!("openstack security group list; {}", wanted.names.set(&neutron_defaults::pod_security_groups)),
            )),
            Err(failure) => found.push(Finding::error(
                "security group",
                failure.text.clone(),
                format!("openstack security group show {id}"),
            )),
        }
    }
    let Some(first) = groups.first() else { return };
    found.push(Finding::good(
        "security group",
        groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>().join(", "),
    ));
    let rules = || groups.iter().flat_map(|group| &group.security_group_rules);
    if !rules().any(|rule| rule.direction == Direction::Egress) {
        found.push(Finding::error(
            "security group",
            "no rule lets anything out of a pod",
            format!("openstack security group rule create --egress {}", first.id),
        ));
    }
    let from_outside = |rule: &&SecurityGroupRule| {
        rule.direction == Direction::Ingress && rule.remote_group_id.is_none() && rule.remote_address_group_id.is_none()
    };
    if wanted.security_groups.is_empty() && rules().find(from_outside).is_none() {
        found.push(Finding::warning(
            "security group",
            "pods get the project's group `default`, which lets in only members of the group",
            format!(
                "{}, if nodes or virtual machines are to reach pods",
                wanted.names.set(&neutron_defaults::pod_security_groups)
            ),
        ));
    }
    let families: Vec<Ethertype> = facts
        .subnets
        .iter()
        .filter_map(|(_, subnet)| subnet.as_ref().ok()?.ip_version)
        .map(|version| if version == 6 { Ethertype::IPv6 } else { Ethertype::IPv4 })
        .collect();
    for node in nodes {
        for address in &node.addresses {
            let family = if address.is_ipv6() { Ethertype::IPv6 } else { Ethertype::IPv4 };
            let let_in = rules().any(|rule| {
                from_outside(&rule)
                    && rule.ethertype == family
                    && matches!(rule.protocol.as_deref(), None | Some("any" | "0" | "tcp" | "6"))
                    && rule.remote_ip_prefix.is_none_or(|prefix| prefix.contains(address))
            });
            if families.contains(&family) && !let_in {
                found.push(Finding::warning(
                    "probes",
                    format!("no rule lets {address} (node {}) in: kubelet's probes of pods fail where they do not start on the pod's own node or the driver filters them", node.name),
                    format!("openstack security group rule create --ingress --ethertype {} --protocol tcp --remote-ip {address} {}", if address.is_ipv6() { "IPv6" } else { "IPv4" }, first.id),
                ));
            }
        }
    }
}

/// Pods there may be; with no node yet, those of one.
fn needed(nodes: &[NodeFacts]) -> u64 {
    nodes.len().max(1) as u64 * PODS_PER_NODE
}

fn of_nodes(nodes: &[NodeFacts]) -> String {
    if nodes.len() < 2 { "one node".to_owned() } else { format!("{} nodes", nodes.len()) }
}

/// The network of floating IPs.
fn external(network: &Answer<NetworkDetails>, wanted: &Wanted) -> Finding {
    let cure = format!("openstack network list --external; {}", wanted.names.set(&neutron_defaults::external_svc_net));
    let id = &wanted.external_network;
    match network {
        Ok(network) if network.external => {
            Finding::good("floating ips", format!("floating IPs come from {} ({id})", network.name))
        }
        Ok(network) => Finding::error(
            "floating ips",
            format!("network {} ({id}) does not lead out of the cloud", network.name),
            cure,
        ),
        Err(failure) if failure.kind == ErrorKind::NotFound => {
            Finding::error("floating ips", format!("network {id} does not exist, or not for these credentials"), cure)
        }
        Err(failure) => Finding::error("floating ips", failure.text.clone(), cure),
    }
}

fn quota(ports: &Answer<kuryr_openstack::network::QuotaUse>, wanted: &Wanted, nodes: &[NodeFacts]) -> Finding {
    let line = match ports {
        Ok(line) => line,
        Err(failure) => return Finding::skipped("port quota", format!("it cannot be read: {}", failure.text)),
    };
    let (Some(free), Some(limit)) = (line.free(), line.limit) else {
        return Finding::good("port quota", "without limit");
    };
    let needed = needed(nodes);
    let raised = line.used + line.reserved + needed;
    let cure = format!("openstack quota set --ports {raised} {}", wanted.project);
    if free == 0 {
        Finding::error("port quota", format!("all {limit} ports are used: no pod gets one"), cure)
    } else if free < needed {
        let text = format!("{free} of {limit} ports are free; {} may run {needed} pods", of_nodes(nodes));
        Finding::warning("port quota", text, cure)
    } else {
        Finding::good("port quota", format!("{free} of {limit} ports are free"))
    }
}

/// Whether we see and may set where a port is. A port of a router is there to be looked at; a trial says more.
fn rights(facts: &CloudFacts, found: &mut Vec<Finding>) {
    let cure = "openstack role add --user USER --project PROJECT admin, or let a role of the user create_port:binding:host_id, get_port:binding:vif_type and get_port:binding:host_id in Neutron's policy.yaml";
    if !facts.trials.is_empty() {
        trials(facts, cure, found);
        return;
    }
    let ports: Vec<_> = facts.gateways.iter().filter_map(|(_, ports)| ports.as_ref().ok()).flatten().collect();
    if ports.is_empty() {
        found.push(Finding::skipped(
            "rights",
            "no port is there to see whether binding:host_id is visible to us; kuryr check --try-ports makes one per node for a moment",
        ));
    } else if ports.iter().all(|port| port.binding.vif_type.is_empty()) {
        found.push(Finding::error("rights", "Neutron hides from us where ports are bound (binding:*)", cure));
    } else {
        found.push(Finding::good(
            "rights",
            "binding of ports is visible; kuryr check --try-ports shows whether it may be set",
        ));
    }
}

fn trials(facts: &CloudFacts, cure: &str, found: &mut Vec<Finding>) {
    for (node, port) in &facts.trials {
        match port {
            Ok(port) if port.binding.vif_type.is_empty() => {
                found.push(Finding::error("rights", "Neutron hides from us where ports are bound (binding:*)", cure));
                return;
            }
            Ok(port) if port.binding.vif_type == "binding_failed" => found.push(Finding::error(
                "node",
                format!("Neutron cannot bind a port to {node}: no agent or chassis of that name is alive"),
                format!("openstack network agent list --host {node}; the agent's host (or OVN's external_ids:hostname) must be the node's name in Kubernetes"),
            )),
            Ok(port) => found.push(Finding::good("node", format!("a port can be bound to {node} ({})", port.binding.vif_type))),
            Err(failure) if failure.kind == ErrorKind::Forbidden => {
                found.push(Finding::error("rights", format!("we may not make the ports pods need: {}", failure.text), cure));
                return;
            }
            Err(failure) => {
                found.push(Finding::error("node", format!("no port for {node}: {}", failure.text), "see the line above it, or openstack port create by hand"));
            }
        }
    }
    found.push(Finding::good("rights", "ports can be made, tagged and deleted"));
}
