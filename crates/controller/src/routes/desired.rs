//! What Octavia should have for one owner. Pure values; `ingress` and `gateway` say how they come about.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use kuryr_openstack::load_balancing::{L7Action, NewL7Rule, PoolProtocol};

use crate::services::facts::Protocol;

/// What should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Desired {
    /// No load balancer, and why.
    Nothing(&'static str),
    /// A load balancer.
    Balanced(Balancer),
}

/// Where a listener is: what is on the wire, and its port.
pub(crate) type Place = (Protocol, u16);

/// A load balancer, as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Balancer {
    /// Whether it has an address from outside.
    pub(crate) public: bool,
    pub(crate) listeners: BTreeMap<Place, Listener>,
    /// By name.
    pub(crate) pools: BTreeMap<String, Pool>,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    /// For connections or datagrams, all of which go to the pool of this name; to nobody if there is none.
    Plain(Option<String>),
    /// For requests, sent by the first policy that matches.
    Http(Vec<Policy>),
}

/// Where requests that match all rules go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) to: Action,
    pub(crate) rules: BTreeSet<NewL7Rule>,
}

/// What is done with requests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    /// They go to the pool of this name.
    Pool(String),
    /// Clients are sent to this address.
    Url(String, u16),
    /// Clients are sent to the same path behind this.
    Prefix(String, u16),
}

impl Action {
    /// Whether clients are sent elsewhere.
    pub(crate) fn redirects(&self) -> bool {
        !matches!(self, Action::Pool(_))
    }

    /// Octavia's word.
    pub(crate) fn word(&self) -> L7Action {
        match self {
            Action::Pool(_) => L7Action::RedirectToPool,
            Action::Url(..) => L7Action::RedirectToUrl,
            Action::Prefix(..) => L7Action::RedirectPrefix,
        }
    }
}

/// A pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pool {
    pub(crate) protocol: PoolProtocol,
    /// The listener it is the default of.
    pub(crate) of: Option<Place>,
    /// Members by address and port.
    pub(crate) members: BTreeMap<(IpAddr, u16), Member>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// `namespace/pod:port`, or the Service's name if there is no pod.
    pub(crate) name: String,
    /// Subnet it is reached from.
    pub(crate) subnet: Option<String>,
    /// Its part of the traffic, 1 to 256.
    pub(crate) weight: u16,
}

/// What holds for all owners.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setting {
    /// Where members may be.
    pub(crate) members: crate::services::desired::Setting,
    /// Whether VIPs are IPv4.
    pub(crate) is_ipv4: bool,
    /// Whether the provider knows what is in a request.
    pub(crate) has_l7: bool,
    /// Whether there are addresses from outside.
    pub(crate) has_public: bool,
}

/// Annotation of a Gateway or Ingress: `true`, and it has no address from outside.
pub(crate) const INTERNAL: &str = "openstack.org/kuryr-internal";

/// Whether annotations ask for no address from outside.
pub(crate) fn is_internal(annotations: &BTreeMap<String, String>) -> bool {
    annotations.get(INTERNAL).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
}
