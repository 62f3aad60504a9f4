//! Octavia v2.
//!
//! Field names and meanings are those of the [API reference](https://docs.openstack.org/api-ref/load-balancer/v2/). A change of
//! anything below a load balancer puts all of it into a `PENDING_…` state, in which it takes no other change
//! ([`ErrorKind::Busy`](crate::ErrorKind::Busy)): whoever changes two things waits in between.

mod health_monitors;
mod l7;
mod listeners;
mod load_balancers;
mod members;
mod places;
mod pools;
mod quotas;
mod status;
mod version;

use std::sync::Arc;

use tokio::sync::OnceCell;

pub use health_monitors::{
    HealthMonitor, HealthMonitorQuery, HealthMonitorType, HealthMonitorUpdate, NewHealthMonitor,
};
pub use l7::{L7Action, L7Policy, L7Rule, NewL7Policy, NewL7Rule};
pub use listeners::{Listener, ListenerProtocol, ListenerQuery, ListenerUpdate, NewListener};
pub use load_balancers::{
    AdditionalVip, LoadBalancer, LoadBalancerQuery, LoadBalancerUpdate, NewLoadBalancer, Reference, StatusTree,
};
pub use members::{Member, MemberUpdate, NewMember};
pub use places::{AvailabilityZone, Flavor, Provider, present_name};
pub use pools::{LbAlgorithm, NewPool, Persistence, Pool, PoolProtocol, PoolQuery, PoolUpdate, SessionPersistence};
pub use quotas::LoadBalancingQuota;
pub use status::{OperatingStatus, ProvisioningStatus};
pub use version::LoadBalancingVersion;

use crate::rest::Rest;
use crate::service::Service;

/// Octavia, as one project or administrator sees it.
#[derive(Clone)]
pub struct LoadBalancing {
    rest: Rest,
    /// Octavia without the version in its address: where it tells which versions it speaks.
    root: Rest,
    version: Arc<OnceCell<LoadBalancingVersion>>,
}

impl LoadBalancing {
    pub(crate) fn new(service: Service, root: Service) -> LoadBalancing {
        LoadBalancing { rest: Rest::new(service), root: Rest::new(root), version: Arc::default() }
    }
}
