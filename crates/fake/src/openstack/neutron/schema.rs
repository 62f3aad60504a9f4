//! The attributes of each kind of resource: who may set them, with what, and what they are by default.
//!
//! These tables are the API reference's, as the Zed release with the extensions of [`super::extensions`] has them.

use super::check::Check;

/// What a new resource gets when the request leaves an attribute out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fill {
    /// The request must have it.
    Required,
    /// The resource's own code decides.
    Unset,
    Null,
    Text(&'static str),
    Bool(bool),
    Number(i64),
    /// An empty list.
    Empty,
    /// A request must not have it.
    Never,
}

/// One attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attr {
    pub(crate) name: &'static str,
    pub(crate) check: Check,
    pub(crate) fill: Fill,
    flags: u16,
}

const PUT: u16 = 1;
const FILTER: u16 = 2;
const SORT: u16 = 4;
const ADMIN: u16 = 8;
const HIDDEN: u16 = 16;
const INVISIBLE: u16 = 32;
const FS: u16 = FILTER | SORT;
const PFS: u16 = PUT | FILTER | SORT;

impl Attr {
    /// May be changed.
    pub(crate) fn may_put(&self) -> bool {
        self.flags & PUT != 0
    }
    /// May filter a list.
    pub(crate) fn filters(&self) -> bool {
        self.flags & FILTER != 0
    }
    /// May sort a list.
    pub(crate) fn sorts(&self) -> bool {
        self.flags & SORT != 0
    }
    /// Only an administrator may set it.
    pub(crate) fn is_for_admins(&self) -> bool {
        self.flags & ADMIN != 0
    }
    /// Only an administrator sees it.
    pub(crate) fn is_hidden(&self) -> bool {
        self.flags & HIDDEN != 0
    }
    /// Its values are truth values.
    pub(crate) fn is_boolean(&self) -> bool {
        matches!(self.check, Check::Bool)
    }
    /// Nobody sees it.
    pub(crate) fn is_invisible(&self) -> bool {
        self.flags & INVISIBLE != 0
    }
}

const fn attr(name: &'static str, check: Check, fill: Fill, flags: u16) -> Attr {
    Attr { name, check, fill, flags }
}

const NAME: Attr = attr("name", Check::Text(255), Fill::Text(""), PFS);
const ADMIN_STATE: Attr = attr("admin_state_up", Check::Bool, Fill::Bool(true), PFS);
const STATUS: Attr = attr("status", Check::Any, Fill::Never, FS);
const QOS: Attr = attr("qos_policy_id", Check::UuidOrNull, Fill::Null, PUT);

/// What every resource has.
pub(crate) const COMMON: &[Attr] = &[
    attr("id", Check::Uuid, Fill::Never, FS),
    attr("project_id", Check::Text(255), Fill::Unset, FS),
    attr("tenant_id", Check::Text(255), Fill::Unset, FS),
    attr("description", Check::Text(255), Fill::Text(""), PFS),
];

/// What tagged resources have besides.
pub(crate) const STANDARD: &[Attr] = &[
    attr("created_at", Check::Any, Fill::Never, FS),
    attr("updated_at", Check::Any, Fill::Never, FS),
    attr("revision_number", Check::Any, Fill::Never, FS),
    attr("tags", Check::Any, Fill::Never, 0),
];

pub(crate) const NETWORK: &[Attr] = &[
    NAME,
    ADMIN_STATE,
    STATUS,
    QOS,
    attr("mtu", Check::NonNegative, Fill::Number(0), PFS),
    attr("shared", Check::Bool, Fill::Bool(false), PUT | FILTER | ADMIN),
    attr("router:external", Check::Bool, Fill::Bool(false), PUT | FILTER | ADMIN),
    attr("is_default", Check::Bool, Fill::Bool(false), PUT | FILTER | ADMIN),
    attr("port_security_enabled", Check::Bool, Fill::Bool(true), PUT),
    attr("availability_zone_hints", Check::Any, Fill::Empty, SORT),
    attr("availability_zones", Check::Any, Fill::Never, 0),
    attr("ipv4_address_scope", Check::Any, Fill::Never, 0),
    attr("ipv6_address_scope", Check::Any, Fill::Never, 0),
    attr("dns_domain", Check::Text(255), Fill::Unset, PUT),
    attr("subnets", Check::Any, Fill::Never, 0),
    attr("provider:network_type", Check::Text(32), Fill::Unset, PUT | FILTER | ADMIN | HIDDEN),
    attr("provider:physical_network", Check::TextOrNull(64), Fill::Unset, PUT | FILTER | ADMIN | HIDDEN),
    attr("provider:segmentation_id", Check::IntOrNull, Fill::Unset, PUT | FILTER | ADMIN | HIDDEN),
];

const IPV6_MODES: Check = Check::OneOf(&["dhcpv6-stateful", "dhcpv6-stateless", "slaac"]);

pub(crate) const SUBNET: &[Attr] = &[
    NAME,
    attr("network_id", Check::Uuid, Fill::Required, FS),
    attr("ip_version", Check::OneOfNumbers(&[4, 6]), Fill::Required, FS),
    attr("cidr", Check::CidrOrNull, Fill::Unset, FS),
    attr("gateway_ip", Check::IpOrNull, Fill::Unset, PFS),
    attr("allocation_pools", Check::Pools, Fill::Unset, PUT),
    attr("dns_nameservers", Check::Nameservers, Fill::Empty, PUT),
    attr("host_routes", Check::HostRoutes, Fill::Empty, PUT),
    attr("enable_dhcp", Check::Bool, Fill::Bool(true), PFS),
    attr("ipv6_address_mode", IPV6_MODES, Fill::Unset, FS),
    attr("ipv6_ra_mode", IPV6_MODES, Fill::Unset, FS),
    attr("subnetpool_id", Check::UuidOrNull, Fill::Unset, FS),
    attr("use_default_subnetpool", Check::Bool, Fill::Unset, INVISIBLE),
    attr("prefixlen", Check::NonNegative, Fill::Unset, INVISIBLE),
    attr("service_types", Check::Texts, Fill::Empty, PUT),
    attr("shared", Check::Bool, Fill::Never, FILTER | INVISIBLE),
    attr("segment_id", Check::UuidOrNull, Fill::Unset, FS | INVISIBLE),
    attr("dns_publish_fixed_ip", Check::Bool, Fill::Unset, PUT),
];

pub(crate) const SUBNET_POOL: &[Attr] = &[
    attr("name", Check::TextNotBlank(255), Fill::Required, PFS),
    attr("prefixes", Check::Cidrs, Fill::Required, PUT),
    attr("default_prefixlen", Check::NonNegative, Fill::Unset, PFS),
    attr("min_prefixlen", Check::NonNegative, Fill::Unset, PFS),
    attr("max_prefixlen", Check::NonNegative, Fill::Unset, PFS),
    attr("default_quota", Check::NonNegative, Fill::Null, PFS),
    attr("address_scope_id", Check::UuidOrNull, Fill::Null, PFS),
    attr("ip_version", Check::Any, Fill::Never, FS),
    attr("shared", Check::Bool, Fill::Bool(false), FS | ADMIN),
    attr("is_default", Check::Bool, Fill::Bool(false), PFS | ADMIN),
];

pub(crate) const PORT: &[Attr] = &[
    NAME,
    ADMIN_STATE,
    STATUS,
    QOS,
    attr("network_id", Check::Uuid, Fill::Required, FS),
    attr("mac_address", Check::Mac, Fill::Unset, PFS),
    attr("fixed_ips", Check::FixedIps, Fill::Unset, PUT | FILTER),
    attr("device_id", Check::Text(255), Fill::Text(""), PFS),
    attr("device_owner", Check::Text(255), Fill::Text(""), PFS),
    attr("security_groups", Check::UuidsOrNull, Fill::Unset, PUT | FILTER),
    attr("allowed_address_pairs", Check::AddressPairs, Fill::Empty, PUT),
    attr("port_security_enabled", Check::Bool, Fill::Unset, PUT),
    attr("extra_dhcp_opts", Check::ListOrNull, Fill::Empty, PUT),
    attr("qos_network_policy_id", Check::Any, Fill::Never, 0),
    attr("dns_name", Check::Text(255), Fill::Unset, PUT),
    attr("dns_domain", Check::Text(255), Fill::Unset, PUT),
    attr("numa_affinity_policy", Check::TextOrNull(255), Fill::Unset, PUT),
    attr("device_profile", Check::TextOrNull(255), Fill::Unset, 0),
    attr("trunk_details", Check::Any, Fill::Never, 0),
    attr(
        "binding:vnic_type",
        Check::OneOf(&[
            "normal",
            "direct",
            "macvtap",
            "baremetal",
            "direct-physical",
            "virtio-forwarder",
            "smart-nic",
            "vdpa",
            "accelerator-direct",
            "accelerator-direct-physical",
            "remote-managed",
        ]),
        Fill::Text("normal"),
        PUT,
    ),
    attr("binding:host_id", Check::TextOrNull(255), Fill::Text(""), PUT | FILTER | ADMIN | HIDDEN),
    attr("binding:profile", Check::ObjectOrNull, Fill::Unset, PUT | ADMIN | HIDDEN),
    attr("binding:vif_type", Check::Any, Fill::Never, HIDDEN),
    attr("binding:vif_details", Check::Any, Fill::Never, HIDDEN),
    attr("resource_request", Check::Any, Fill::Never, HIDDEN),
];

pub(crate) const SECURITY_GROUP: &[Attr] = &[
    NAME,
    attr("stateful", Check::Bool, Fill::Bool(true), PUT),
    attr("shared", Check::Any, Fill::Never, FILTER),
    attr("security_group_rules", Check::Any, Fill::Never, 0),
];

pub(crate) const SECURITY_GROUP_RULE: &[Attr] = &[
    attr("security_group_id", Check::Text(255), Fill::Required, FS),
    attr("direction", Check::OneOf(&["ingress", "egress"]), Fill::Required, FS),
    attr("ethertype", Check::Any, Fill::Text("IPv4"), FS),
    attr("protocol", Check::Any, Fill::Null, FS),
    attr("port_range_min", Check::PortNumber, Fill::Null, FS),
    attr("port_range_max", Check::PortNumber, Fill::Null, FS),
    attr("remote_ip_prefix", Check::TextOrNull(255), Fill::Null, FS),
    attr("remote_group_id", Check::TextOrNull(255), Fill::Null, FS),
    attr("remote_address_group_id", Check::TextOrNull(255), Fill::Null, FS),
    attr("normalized_cidr", Check::Any, Fill::Never, FS),
    attr("created_at", Check::Any, Fill::Never, FS),
    attr("updated_at", Check::Any, Fill::Never, FS),
    attr("revision_number", Check::Any, Fill::Never, FS),
];

pub(crate) const ADDRESS_GROUP: &[Attr] = &[NAME, attr("addresses", Check::Cidrs, Fill::Empty, 0)];

pub(crate) const ROUTER: &[Attr] = &[
    NAME,
    ADMIN_STATE,
    attr("status", Check::Any, Fill::Never, SORT),
    attr("external_gateway_info", Check::Gateway, Fill::Null, PUT),
    attr("routes", Check::HostRoutes, Fill::Never, PUT),
    attr("availability_zone_hints", Check::Any, Fill::Empty, 0),
    attr("availability_zones", Check::Any, Fill::Never, 0),
];

pub(crate) const FLOATING_IP: &[Attr] = &[
    attr("floating_network_id", Check::Uuid, Fill::Required, FS),
    attr("floating_ip_address", Check::IpOrNull, Fill::Null, FS | ADMIN),
    attr("subnet_id", Check::UuidOrNull, Fill::Null, INVISIBLE),
    attr("port_id", Check::UuidOrNull, Fill::Null, PUT | FILTER),
    attr("fixed_ip_address", Check::IpOrNull, Fill::Null, PFS),
    attr("router_id", Check::Any, Fill::Never, FS),
    STATUS,
    QOS,
    attr("dns_domain", Check::Text(255), Fill::Text(""), 0),
    attr("dns_name", Check::Text(255), Fill::Text(""), 0),
    attr("port_details", Check::Any, Fill::Never, 0),
    attr("port_forwardings", Check::Any, Fill::Never, 0),
];

pub(crate) const TRUNK: &[Attr] = &[
    NAME,
    ADMIN_STATE,
    attr("port_id", Check::Uuid, Fill::Required, FS),
    attr("status", Check::Any, Fill::Never, SORT),
    attr("sub_ports", Check::SubPorts, Fill::Empty, 0),
];
