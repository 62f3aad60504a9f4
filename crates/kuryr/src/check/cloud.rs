//! What the cloud has of what Kuryr needs: asked here, judged in [`super::cloud_rules`]. Creates nothing, except the trial
//! ports it is told to.

use std::collections::BTreeSet;
use std::net::IpAddr;

use kuryr_api::names;
use kuryr_openstack::network::{
    FixedIpFilter, NetworkDetails, NewFixedIp, NewPort, Port, PortQuery, QuotaUse, SecurityGroup, SecurityGroupQuery,
    Subnet, Taggable,
};
use kuryr_openstack::{AuthInfo, Cloud, Error, ErrorKind, Project};

use super::services::{self, ServiceFacts};
use super::wanted::Wanted;

/// A node, as far as it matters to the cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeFacts {
    pub(crate) name: String,
    /// `InternalIP`s: where probes come from.
    pub(crate) addresses: Vec<IpAddr>,
    /// Takes pods.
    pub(crate) usable: bool,
}

/// Why something is not known.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) text: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { kind: error.kind(), text: error.to_string() }
    }
}

/// An answer of the cloud.
pub(crate) type Answer<T> = Result<T, Failure>;

/// What the cloud said.
#[derive(Debug)]
pub(crate) struct CloudFacts {
    pub(crate) address: String,
    pub(crate) who: Answer<AuthInfo>,
    pub(crate) extensions: Answer<BTreeSet<String>>,
    /// By its id, or by its name if there is no such id.
    pub(crate) project: Answer<Project>,
    /// By the id that was asked for.
    pub(crate) subnets: Vec<(String, Answer<Subnet>)>,
    /// The first subnet's.
    pub(crate) network: Option<Answer<NetworkDetails>>,
    /// Ports that have a subnet's gateway address, by subnet; Services' subnet is among them.
    pub(crate) gateways: Vec<(String, Answer<Vec<Port>>)>,
    /// By the id that was asked for; without one, the project's `default`.
    pub(crate) security_groups: Vec<(String, Answer<SecurityGroup>)>,
    /// The network floating IPs are to come from, if one is named.
    pub(crate) external: Option<Answer<NetworkDetails>>,
    pub(crate) ports: Answer<QuotaUse>,
    /// What Services need, if they are wanted.
    pub(crate) services: Option<ServiceFacts>,
    /// A port bound to each node for a moment.
    pub(crate) trials: Vec<(String, Answer<Port>)>,
}

/// Asks the cloud. `trials`: nodes to which a port is bound for a moment.
pub(crate) async fn ask(cloud: &Cloud, address: &str, wanted: &Wanted, trials: &[NodeFacts]) -> CloudFacts {
    let network = cloud.network();
    let mut facts = CloudFacts {
        address: address.to_owned(),
        who: cloud.authenticate().await.map_err(Failure::from),
        extensions: Err(Failure { kind: ErrorKind::Unavailable, text: "not asked".to_owned() }),
        project: Err(Failure { kind: ErrorKind::Unavailable, text: "not asked".to_owned() }),
        subnets: Vec::new(),
        network: None,
        gateways: Vec::new(),
        security_groups: Vec::new(),
        external: None,
        ports: Err(Failure { kind: ErrorKind::Unavailable, text: "not asked".to_owned() }),
        services: None,
        trials: Vec::new(),
    };
    let Ok(who) = &facts.who else { return facts };
    // kuryr.conf has to name a project; until it does, the credentials' own is looked at.
    let own = who.project_id.clone().filter(|_| wanted.project.is_empty());
    let wanted = &Wanted { project: own.unwrap_or_else(|| wanted.project.clone()), ..wanted.clone() };
    facts.extensions = network.extensions().await.map_err(Failure::from);
    if facts.extensions.is_err() {
        return facts;
    }
    facts.project = if wanted.project.is_empty() {
        Err(Failure { kind: ErrorKind::NotFound, text: "the credentials are for no project".to_owned() })
    } else {
        cloud.project(&wanted.project).await.map_err(Failure::from)
    };
    for id in &wanted.pod_subnets {
        facts.subnets.push((id.clone(), network.subnet(id).await.map_err(Failure::from)));
    }
    let there: Vec<&Subnet> = facts.subnets.iter().filter_map(|(_, subnet)| subnet.as_ref().ok()).collect();
    if let Some(first) = there.first() {
        facts.network = Some(network.network(&first.network_id).await.map_err(Failure::from));
    }
    if let Some(wanted_services) = &wanted.services {
        facts.services = Some(services::ask(cloud, wanted_services, &wanted.project).await);
    }
    let of_services = facts.services.as_ref().and_then(|services| services.subnet.as_ref().ok());
    let mut gateways = Vec::new();
    for subnet in there.iter().copied().chain(of_services) {
        let Some(gateway) = subnet.gateway_ip else { continue };
        let query = PortQuery {
            network_id: Some(subnet.network_id.clone()),
            fixed_ips: vec![FixedIpFilter::Address(gateway)],
            ..PortQuery::default()
        };
        gateways.push((subnet.id.clone(), network.list_ports(&query).await.map_err(Failure::from)));
    }
    facts.gateways = gateways;
    facts.security_groups = security_groups(cloud, wanted).await;
    if !wanted.external_network.is_empty() {
        facts.external = Some(network.network(&wanted.external_network).await.map_err(Failure::from));
    }
    facts.ports = network.quota(&wanted.project).await.map(|quota| quota.port).map_err(Failure::from);
    let subnet_ids: Vec<(String, String)> =
        there.iter().map(|subnet| (subnet.network_id.clone(), subnet.id.clone())).collect();
    for node in trials {
        let tried = try_port(cloud, wanted, &subnet_ids, &node.name).await.map_err(Failure::from);
        facts.trials.push((node.name.clone(), tried));
    }
    facts
}

async fn security_groups(cloud: &Cloud, wanted: &Wanted) -> Vec<(String, Answer<SecurityGroup>)> {
    let mut groups = Vec::new();
    for id in &wanted.security_groups {
        groups.push((id.clone(), cloud.network().security_group(id).await.map_err(Failure::from)));
    }
    if groups.is_empty() && !wanted.project.is_empty() {
        let query = SecurityGroupQuery {
            name: Some(vec!["default".to_owned()]),
            project_id: Some(wanted.project.clone()),
            ..SecurityGroupQuery::default()
        };
        let found = cloud.network().list_security_groups(&query).await.map_err(Failure::from);
        match found {
            Ok(found) => groups.extend(found.into_iter().map(|group| ("default".to_owned(), Ok(group)))),
            Err(failure) => groups.push(("default".to_owned(), Err(failure))),
        }
    }
    groups
}

/// Makes a port as the controller does, bound to the node, and deletes it again. It carries all our marks, so if this process
/// dies in between, the controller's pass over ports without an owner takes it away.
async fn try_port(cloud: &Cloud, wanted: &Wanted, subnets: &[(String, String)], node: &str) -> Result<Port, Error> {
    let network_id = subnets.first().map(|(network, _)| network.clone()).unwrap_or_default();
    let tag = names::cluster_tag(&wanted.cluster);
    let port = NewPort {
        network_id,
        project_id: Some(wanted.project.clone()),
        name: "kuryr-check".to_owned(),
        fixed_ips: subnets
            .iter()
            .map(|(_, subnet)| NewFixedIp { subnet_id: subnet.clone(), ip_address: None })
            .collect(),
        security_groups: (!wanted.security_groups.is_empty()).then(|| wanted.security_groups.clone()),
        device_id: format!("kuryr-check-{:016x}", fastrand::u64(..)),
        device_owner: names::DEVICE_OWNER.to_owned(),
        host_id: Some(node.to_owned()),
        description: format!("kuryr check {tag}"),
        ..NewPort::default()
    };
    let created = cloud.network().create_port(&port).await?;
    // What can go wrong from here on must not keep the port.
    let tagged = cloud.network().replace_tags(Taggable::Port, &created.id, &[tag]).await;
    cloud.network().delete_port(&created.id).await?;
    tagged?;
    Ok(created)
}
