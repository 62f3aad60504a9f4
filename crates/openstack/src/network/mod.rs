//! Neutron v2.0.
//!
//! Field names and meanings are those of the [API reference](https://docs.openstack.org/api-ref/network/v2/). Whatever
//! Neutron may leave out, because `fields` did not ask for it or policy hides it, has a default here; only the id is
//! always there.

mod addresses;
mod extensions;
mod floating_ips;
mod networks;
mod ports;
mod quotas;
mod routers;
mod security_groups;
mod subnet_pools;
mod subnets;
mod tags;
mod together;
mod trunks;

use std::sync::Arc;

use tokio::sync::OnceCell;

pub use crate::rest::TagFilter;
pub use addresses::SubnetAddresses;
pub use floating_ips::{FloatingIp, FloatingIpQuery, NewFloatingIp};
pub use networks::{NetworkDetails, NetworkQuery, NewNetwork};
pub use ports::{
    AddressPair, Binding, FixedIp, FixedIpFilter, NewFixedIp, NewPort, Port, PortQuery, PortStatus, PortUpdate,
    TrunkDetails, VifDetails,
};
pub use quotas::{Quota, QuotaLimits, QuotaUse};
pub use routers::{ExternalGateway, NewRouter, Router, RouterInterface, RouterQuery};
pub use security_groups::{
    Direction, Ethertype, NewSecurityGroup, NewSecurityGroupRule, SecurityGroup, SecurityGroupQuery, SecurityGroupRule,
    SecurityGroupRuleQuery, SecurityGroupUpdate,
};
pub use subnet_pools::{NewSubnetPool, SubnetPool, SubnetPoolQuery};
pub use subnets::{AllocationPool, HostRoute, NewSubnet, Subnet, SubnetQuery};
pub use tags::Taggable;
pub use trunks::{NewTrunk, SubPort, Trunk, TrunkQuery};

use crate::rest::Rest;
use crate::service::Service;
use together::Together;

/// Neutron, as one project or administrator sees it.
#[derive(Clone)]
pub struct Network {
    rest: Rest,
    /// Whether ports can be created with their tags; filled when first needed.
    takes_port_tags: Arc<OnceCell<bool>>,
    /// Ports that share their requests.
    together: Arc<Together>,
}

impl Network {
    pub(crate) fn new(service: Service) -> Network {
        Network { rest: Rest::new(service), takes_port_tags: Arc::default(), together: Arc::default() }
    }
}
