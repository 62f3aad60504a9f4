//! The kinds of resources Neutron has, and what they are called where.

use super::schema::{self, Attr};
use crate::openstack::refusal::Refusal;

/// A kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Network,
    Subnet,
    SubnetPool,
    Port,
    SecurityGroup,
    SecurityGroupRule,
    AddressGroup,
    Router,
    FloatingIp,
    Trunk,
}

impl Kind {
    pub(crate) const ALL: [Kind; 10] = [
        Kind::Network,
        Kind::Subnet,
        Kind::SubnetPool,
        Kind::Port,
        Kind::SecurityGroup,
        Kind::SecurityGroupRule,
        Kind::AddressGroup,
        Kind::Router,
        Kind::FloatingIp,
        Kind::Trunk,
    ];

    /// The key of one resource in a body, and the name of its quota.
    pub(crate) fn singular(self) -> &'static str {
        match self {
            Kind::Network => "network",
            Kind::Subnet => "subnet",
            Kind::SubnetPool => "subnetpool",
            Kind::Port => "port",
            Kind::SecurityGroup => "security_group",
            Kind::SecurityGroupRule => "security_group_rule",
            Kind::AddressGroup => "address_group",
            Kind::Router => "router",
            Kind::FloatingIp => "floatingip",
            Kind::Trunk => "trunk",
        }
    }

    /// The key of many in a body. In paths it has hyphens.
    pub(crate) fn plural(self) -> String {
        format!("{}s", self.singular())
    }

    /// The kind with this path.
    pub(crate) fn at(path: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.plural().replace('_', "-") == path)
    }

    /// The attribute with the id of what such a resource is part of.
    pub(crate) fn parent(self) -> Option<&'static str> {
        match self {
            Kind::Subnet | Kind::Port => Some("network_id"),
            Kind::SecurityGroupRule => Some("security_group_id"),
            _ => None,
        }
    }

    /// Whether projects have a quota for it.
    pub(crate) fn has_quota(self) -> bool {
        self != Kind::AddressGroup
    }

    /// Whether it has tags, a description, times and a revision.
    pub(crate) fn is_tagged(self) -> bool {
        !matches!(self, Kind::AddressGroup | Kind::SecurityGroupRule)
    }

    /// The revision a new one has after its first transaction; what the real service was seen to answer.
    pub(crate) fn first_revision(self) -> i64 {
        match self {
            Kind::Network | Kind::Port | Kind::SecurityGroup | Kind::Trunk => 1,
            _ => 0,
        }
    }

    pub(crate) fn attributes(self) -> &'static [Attr] {
        match self {
            Kind::Network => schema::NETWORK,
            Kind::Subnet => schema::SUBNET,
            Kind::SubnetPool => schema::SUBNET_POOL,
            Kind::Port => schema::PORT,
            Kind::SecurityGroup => schema::SECURITY_GROUP,
            Kind::SecurityGroupRule => schema::SECURITY_GROUP_RULE,
            Kind::AddressGroup => schema::ADDRESS_GROUP,
            Kind::Router => schema::ROUTER,
            Kind::FloatingIp => schema::FLOATING_IP,
            Kind::Trunk => schema::TRUNK,
        }
    }

    /// 404 in Neutron's words.
    pub(crate) fn not_found(self, id: &str) -> Refusal {
        let (kind, noun, end) = match self {
            Kind::Network => ("NetworkNotFound", "Network", "could not be found."),
            Kind::Subnet => ("SubnetNotFound", "Subnet", "could not be found."),
            Kind::SubnetPool => ("SubnetPoolNotFound", "Subnet pool", "could not be found."),
            Kind::Port => ("PortNotFound", "Port", "could not be found."),
            Kind::SecurityGroup => ("SecurityGroupNotFound", "Security group", "does not exist"),
            Kind::SecurityGroupRule => ("SecurityGroupRuleNotFound", "Security group rule", "does not exist"),
            Kind::AddressGroup => ("AddressGroupNotFound", "Address group", "could not be found."),
            Kind::Router => ("RouterNotFound", "Router", "could not be found"),
            Kind::FloatingIp => ("FloatingIPNotFound", "Floating IP", "could not be found"),
            Kind::Trunk => ("TrunkNotFound", "Trunk", "could not be found."),
        };
        Refusal::not_found(kind, format!("{noun} {id} {end}"))
    }
}
