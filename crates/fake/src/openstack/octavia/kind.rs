//! The kinds of resources Octavia has, and what they are called where.

/// A kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    LoadBalancer,
    Listener,
    Pool,
    Member,
    HealthMonitor,
    L7Policy,
    L7Rule,
}

impl Kind {
    pub(crate) const ALL: [Kind; 7] = [
        Kind::LoadBalancer,
        Kind::Listener,
        Kind::Pool,
        Kind::Member,
        Kind::HealthMonitor,
        Kind::L7Policy,
        Kind::L7Rule,
    ];

    /// The key of one in a body.
    pub(crate) fn one(self) -> &'static str {
        match self {
            Kind::LoadBalancer => "loadbalancer",
            Kind::Listener => "listener",
            Kind::Pool => "pool",
            Kind::Member => "member",
            Kind::HealthMonitor => "healthmonitor",
            Kind::L7Policy => "l7policy",
            Kind::L7Rule => "rule",
        }
    }

    /// The key of many in a body, and the path.
    pub(crate) fn many(self) -> String {
        match self {
            Kind::L7Policy => "l7policies".to_owned(),
            kind => format!("{}s", kind.one()),
        }
    }

    /// The kind with this path.
    pub(crate) fn at(path: &str) -> Option<Kind> {
        Kind::ALL.into_iter().filter(|kind| kind.parent().is_none()).find(|kind| kind.many() == path)
    }

    /// What Octavia calls it in sentences.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Kind::LoadBalancer => "LoadBalancer",
            Kind::Listener => "Listener",
            Kind::Pool => "Pool",
            Kind::Member => "Member",
            Kind::HealthMonitor => "HealthMonitor",
            Kind::L7Policy => "L7Policy",
            Kind::L7Rule => "L7Rule",
        }
    }

    /// The name of its quota.
    pub(crate) fn quota(self) -> &'static str {
        match self {
            Kind::LoadBalancer => "load_balancer",
            Kind::HealthMonitor => "health_monitor",
            Kind::L7Rule => "l7rule",
            kind => kind.one(),
        }
    }

    /// The attribute with the id of what its path is below.
    pub(crate) fn parent(self) -> Option<&'static str> {
        match self {
            Kind::Member => Some("pool_id"),
            Kind::L7Rule => Some("l7policy_id"),
            _ => None,
        }
    }
}
