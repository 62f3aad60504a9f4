//! The one value `kuryr status` shows, on a screen or as JSON.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

/// How Kuryr is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    /// Nothing is wrong, as far as it was seen.
    pub(crate) well: bool,
    pub(crate) controller: Workload,
    pub(crate) daemon: Workload,
    /// Who works, if there is an election.
    pub(crate) leader: Option<Leader>,
    pub(crate) pods: Pods,
    /// `null`: there are no KuryrLoadBalancers, or they could not be seen.
    pub(crate) services: Option<Services>,
    /// `null`: there are no credentials here.
    pub(crate) cloud: Option<Cloud>,
    /// What is wrong now.
    pub(crate) problems: Vec<Problem>,
    /// What Kuryr told users in the last hour and nobody waits for any more.
    pub(crate) told: Vec<Told>,
    /// What could not be seen, and why.
    pub(crate) unseen: Vec<Unseen>,
}

/// The controller's Deployment or the daemon's DaemonSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Workload {
    pub(crate) installed: bool,
    /// Pods there should be.
    pub(crate) desired: i32,
    /// Pods that are ready.
    pub(crate) ready: i32,
    /// Pods of the newest template.
    pub(crate) updated: i32,
    /// Image → pods that run it.
    pub(crate) images: BTreeMap<String, usize>,
    /// Restarts of all pods together.
    pub(crate) restarts: i32,
}

/// The holder of the Lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Leader {
    pub(crate) holder: String,
    pub(crate) since: Option<Timestamp>,
    pub(crate) renewed: Option<Timestamp>,
    /// It was not renewed in time: nobody works.
    pub(crate) expired: bool,
}

/// Pods that are Kuryr's to connect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pods {
    /// With active ports.
    pub(crate) connected: usize,
    /// On their way, and not for long.
    pub(crate) starting: usize,
    /// Running with a network that is not Kuryr's.
    pub(crate) others: usize,
    /// What pods wait for, the most frequent first.
    pub(crate) waiting: Vec<Waiting>,
}

/// Services that are Kuryr's to balance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Services {
    /// Balanced as they should be.
    pub(crate) ready: usize,
    /// Nothing was said of them yet.
    pub(crate) starting: usize,
    /// What Services wait for, the most frequent first.
    pub(crate) waiting: Vec<Waiting>,
    /// What of Services is not as they ask although they work, the most frequent first.
    pub(crate) not_as_asked: Vec<Waiting>,
}

/// Pods or Services that wait for the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Waiting {
    pub(crate) reason: String,
    pub(crate) count: usize,
    /// Since when the first of them waits.
    pub(crate) since: Option<Timestamp>,
    /// Some of them, `namespace/name`.
    pub(crate) examples: Vec<String>,
    /// What the first one's condition says.
    pub(crate) message: String,
    /// Commands that help.
    pub(crate) cure: Option<String>,
}

/// The cloud.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cloud {
    pub(crate) address: String,
    pub(crate) reachable: bool,
    /// How long Neutron took to answer.
    pub(crate) milliseconds: Option<f64>,
    pub(crate) ports: Option<Headroom>,
}

/// How much of a quota is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Headroom {
    /// `null`: without limit.
    pub(crate) limit: Option<u64>,
    pub(crate) used: u64,
    /// `null`: without limit.
    pub(crate) free: Option<u64>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Problem {
    pub(crate) what: String,
    pub(crate) cure: String,
}

/// An Event of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told {
    pub(crate) reason: String,
    pub(crate) count: usize,
    pub(crate) last: String,
}

/// What could not be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Unseen {
    pub(crate) what: String,
    pub(crate) why: String,
}
