//! Ports: an address on a network, and what it is bound to.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Network, SubPort, TagFilter, Taggable};
use crate::Error;
use crate::pace::Turn;
use crate::query::Query;
use crate::rest::Resource;
use crate::rest::json::null_is_default;

/// A port.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Port {
    /// Id.
    pub id: String,
    /// Name; need not be unique.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// Whether the port is wired.
    #[serde(deserialize_with = "null_is_default")]
    pub status: PortStatus,
    /// As Neutron writes it, `fa:16:3e:…`.
    #[serde(deserialize_with = "null_is_default")]
    pub mac_address: String,
    /// Addresses, none for an unaddressed port.
    #[serde(deserialize_with = "null_is_default")]
    pub fixed_ips: Vec<FixedIp>,
    /// Network it is on.
    #[serde(deserialize_with = "null_is_default")]
    pub network_id: String,
    /// Project that owns it.
    #[serde(deserialize_with = "null_is_default")]
    pub project_id: String,
    /// What uses the port, in the user's own terms.
    #[serde(deserialize_with = "null_is_default")]
    pub device_id: String,
    /// What kind of thing uses the port; Neutron gives some values a meaning.
    #[serde(deserialize_with = "null_is_default")]
    pub device_owner: String,
    /// Ids of its security groups.
    #[serde(deserialize_with = "null_is_default")]
    pub security_groups: Vec<String>,
    /// Tags.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
    /// Free text.
    #[serde(deserialize_with = "null_is_default")]
    pub description: String,
    /// Whether it is switched on.
    pub admin_state_up: Option<bool>,
    /// Host and how the host plugs it; hidden from ordinary users.
    #[serde(flatten)]
    pub binding: Binding,
    /// Grows with each change.
    pub revision_number: Option<u64>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// When it changed last.
    pub updated_at: Option<Timestamp>,
    /// Addresses it may use besides its own.
    #[serde(deserialize_with = "null_is_default")]
    pub allowed_address_pairs: Vec<AddressPair>,
    /// For the parent of a trunk: its subports.
    pub trunk_details: Option<TrunkDetails>,
}

/// Whether a port is wired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PortStatus {
    /// Wired: traffic flows.
    #[serde(rename = "ACTIVE")]
    Active,
    /// Not wired (yet).
    #[serde(rename = "DOWN")]
    Down,
    /// Being wired.
    #[serde(rename = "BUILD")]
    Build,
    /// Wiring failed.
    #[serde(rename = "ERROR")]
    Error,
    /// Has no such state.
    #[serde(rename = "N/A")]
    NotApplicable,
    /// Not told, or a word we do not know.
    #[default]
    #[serde(other)]
    Unknown,
}

impl PortStatus {
    /// Neutron's word.
    pub fn as_str(self) -> &'static str {
        match self {
            PortStatus::Active => "ACTIVE",
            PortStatus::Down => "DOWN",
            PortStatus::Build => "BUILD",
            PortStatus::Error => "ERROR",
            PortStatus::NotApplicable => "N/A",
            PortStatus::Unknown => "UNKNOWN",
        }
    }
}

/// An address of a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FixedIp {
    /// Subnet it is from.
    pub subnet_id: String,
    /// The address.
    pub ip_address: IpAddr,
}

/// An address a port may use besides its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressPair {
    /// Address or network.
    pub ip_address: String,
    /// Ethernet address; the port's own if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<String>,
}

/// Where a port is bound and how it is plugged there (`binding:*`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Binding {
    /// Host the port is bound to; empty when unbound.
    #[serde(rename = "binding:host_id", deserialize_with = "null_is_default")]
    pub host_id: String,
    /// How it is plugged: `ovs`, `bridge`, `unbound`, `binding_failed`, …; empty when hidden.
    #[serde(rename = "binding:vif_type", deserialize_with = "null_is_default")]
    pub vif_type: String,
    /// Details of the plugging.
    #[serde(rename = "binding:vif_details", deserialize_with = "null_is_default")]
    pub vif_details: VifDetails,
    /// `normal`, `direct`, …
    #[serde(rename = "binding:vnic_type", deserialize_with = "null_is_default")]
    pub vnic_type: String,
}

/// Details of the plugging, as far as anyone plugs by them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct VifDetails {
    /// Something filters the traffic already.
    #[serde(deserialize_with = "null_is_default")]
    pub port_filter: bool,
    /// Through a Linux bridge of its own, where iptables filters.
    #[serde(deserialize_with = "null_is_default")]
    pub ovs_hybrid_plug: bool,
    /// Bridge to plug into; ML2/OVN does not say.
    pub bridge_name: Option<String>,
    /// `system` or `netdev`.
    pub datapath_type: Option<String>,
    /// `client` or `server`.
    pub vhostuser_mode: Option<String>,
    /// Socket of a vhost-user port.
    pub vhostuser_socket: Option<String>,
}

/// Subports of a trunk, seen from its parent port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct TrunkDetails {
    /// The trunk.
    pub trunk_id: String,
    /// Its subports.
    #[serde(default)]
    pub sub_ports: Vec<SubPort>,
}

/// Which ports to list. Everything given must match; the default lists all we may see.
#[derive(Clone, Debug, Default)]
pub struct PortQuery {
    /// One of these ids. An empty list matches nothing and asks nobody.
    pub id: Option<Vec<String>>,
    /// Used by one of these. An empty list matches nothing and asks nobody.
    pub device_id: Option<Vec<String>>,
    /// Used by this kind of thing.
    pub device_owner: Option<String>,
    /// On this network.
    pub network_id: Option<String>,
    /// Of this project.
    pub project_id: Option<String>,
    /// Of this name.
    pub name: Option<String>,
    /// In this state.
    pub status: Option<PortStatus>,
    /// Bound to this host; for administrators.
    pub host_id: Option<String>,
    /// With this Ethernet address.
    pub mac_address: Option<String>,
    /// With addresses like these: any of them (Neutron joins several subnets, and several addresses, with "or").
    pub fixed_ips: Vec<FixedIpFilter>,
    /// With and without tags.
    pub tags: TagFilter,
    /// Answer only these fields (and the id); empty answers all.
    pub fields: &'static [&'static str],
}

/// What an address must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FixedIpFilter {
    /// From this subnet.
    Subnet(String),
    /// Exactly this.
    Address(IpAddr),
}

/// A port to create.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NewPort {
    /// Network it is to be on.
    pub network_id: String,
    /// Project that is to own it; ours by default. Another needs administrator rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// Name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Subnets and addresses; when empty Neutron takes one of each IP version the network has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fixed_ips: Vec<NewFixedIp>,
    /// Ids of security groups. `None` gives the project's default group, an empty list no group at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_groups: Option<Vec<String>>,
    /// What will use it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub device_id: String,
    /// What kind of thing will use it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub device_owner: String,
    /// Host to bind it to; needs administrator rights or a policy that allows it.
    #[serde(rename = "binding:host_id", skip_serializing_if = "Option::is_none")]
    pub host_id: Option<String>,
    /// `normal` by default.
    #[serde(rename = "binding:vnic_type", skip_serializing_if = "Option::is_none")]
    pub vnic_type: Option<String>,
    /// Tags. They come with the port where Neutron has the extension `tag-ports-during-bulk-creation`. Elsewhere they
    /// are set by one more request per port, and a failure in between leaves a port without them (`outcome_unknown`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Free text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Switched on by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// Ethernet address; Neutron's choice by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<String>,
    /// Addresses it may use besides its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_address_pairs: Vec<AddressPair>,
    /// Whether security groups and address checks apply; the network's setting by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_security_enabled: Option<bool>,
}

/// An address to give to a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewFixedIp {
    /// Subnet to take it from.
    pub subnet_id: String,
    /// The address; a free one by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<IpAddr>,
}

/// A change to a port. What is `None` stays as it is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PortUpdate {
    /// New name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// New set of security groups; an empty list removes all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_groups: Option<Vec<String>>,
    /// What uses it; empty for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// What kind of thing uses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_owner: Option<String>,
    /// Host to bind it to; empty unbinds.
    #[serde(rename = "binding:host_id", skip_serializing_if = "Option::is_none")]
    pub host_id: Option<String>,
    /// New set of addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed_ips: Option<Vec<NewFixedIp>>,
    /// On or off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// New text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// New set of addresses it may use besides its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_address_pairs: Option<Vec<AddressPair>>,
    /// Only if the port still has this revision, else `Outdated`. Such an update is never repeated by itself.
    #[serde(skip)]
    pub if_revision: Option<u64>,
}

impl NewPort {
    fn without_tags(&self) -> NewPort {
        NewPort { tags: Vec::new(), ..self.clone() }
    }
}

impl Resource for Port {
    const PATH: &'static str = "ports";
    const ONE: &'static str = "port";
    const MANY: &'static str = "ports";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Network {
    /// The ports that match, over as many pages and requests as it takes.
    ///
    /// With several requests the list is not of one moment: a port may be missing that was created or moved between them.
    pub async fn list_ports(&self, query: &PortQuery) -> Result<Vec<Port>, Error> {
        let mut filters = Query::default();
        filters.option("device_owner", query.device_owner.as_ref());
        filters.option("network_id", query.network_id.as_ref());
        filters.option("project_id", query.project_id.as_ref());
        filters.option("name", query.name.as_ref());
        filters.option("status", query.status.map(PortStatus::as_str));
        filters.option("binding:host_id", query.host_id.as_ref());
        filters.option("mac_address", query.mac_address.as_ref());
        for filter in &query.fixed_ips {
            filters.push(
                "fixed_ips",
                match filter {
                    FixedIpFilter::Subnet(id) => format!("subnet_id={id}"),
                    FixedIpFilter::Address(address) => format!("ip_address={address}"),
                },
            );
        }
        query.tags.add_to(&mut filters);
        let any_of = [("id", &query.id), ("device_id", &query.device_id)];
        self.rest.list(filters, &any_of, query.fields).await
    }

    /// One port.
    pub async fn port(&self, id: &str) -> Result<Port, Error> {
        self.rest.show(id).await
    }

    /// Creates one port.
    pub async fn create_port(&self, port: &NewPort) -> Result<Port, Error> {
        self.create_port_in(None, port).await
    }

    /// The same, with a turn that is there already.
    pub(super) async fn create_port_in(&self, turn: Option<Turn>, port: &NewPort) -> Result<Port, Error> {
        if self.takes_tags(std::slice::from_ref(port)).await? {
            return self.rest.create_in(turn, port).await;
        }
        let created = self.rest.create_in(turn, &port.without_tags()).await?;
        self.tag(created, &port.tags).await
    }

    /// Creates ports in one request: all of them or none, answered in the order given.
    ///
    /// Neutron (seen with 21) forgets to free the addresses it had already chosen when such a request fails for want
    /// of addresses or because one port is in conflict: they stay lost until the subnet is deleted. So do not try with
    /// more ports than the subnet has room for.
    pub async fn create_ports(&self, ports: &[NewPort]) -> Result<Vec<Port>, Error> {
        self.create_ports_in(None, ports).await
    }

    /// The same, with a turn that is there already.
    pub(super) async fn create_ports_in(&self, turn: Option<Turn>, ports: &[NewPort]) -> Result<Vec<Port>, Error> {
        if self.takes_tags(ports).await? {
            return self.rest.create_many(turn, ports).await;
        }
        let bare: Vec<_> = ports.iter().map(NewPort::without_tags).collect();
        let created = self.rest.create_many(turn, &bare).await?;
        let tagging = created.into_iter().zip(ports).map(|(created, port)| self.tag(created, &port.tags));
        // All of them, also when one fails.
        futures::future::join_all(tagging).await.into_iter().collect()
    }

    /// Whether these ports can be created with their tags. Asked once; without the extension Neutron ignores tags
    /// in silence.
    async fn takes_tags(&self, ports: &[NewPort]) -> Result<bool, Error> {
        if ports.iter().all(|port| port.tags.is_empty()) {
            return Ok(true);
        }
        let ask = async || Ok(self.extensions().await?.contains("tag-ports-during-bulk-creation"));
        self.takes_port_tags.get_or_try_init(ask).await.copied()
    }

    async fn tag(&self, mut port: Port, tags: &[String]) -> Result<Port, Error> {
        if !tags.is_empty() {
            let tagged = self.replace_tags(Taggable::Port, &port.id, tags).await;
            // The port is there either way.
            port.tags = tagged.map_err(|error| error.with_outcome_unknown(true))?;
            // Tagging has made it another one.
            port.revision_number = None;
        }
        Ok(port)
    }

    /// Changes a port.
    pub async fn update_port(&self, id: &str, update: &PortUpdate) -> Result<Port, Error> {
        self.rest.update(id, update, update.if_revision).await
    }

    /// Deletes a port. `NotFound` if there is none.
    pub async fn delete_port(&self, id: &str) -> Result<(), Error> {
        self.rest.remove::<Port>(id).await
    }
}
