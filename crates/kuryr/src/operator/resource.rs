//! The custom resource `Kuryr`: one per cluster, which says how Kuryr is to be, and tells how it is.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::ApiResource;
use kube::core::{GroupVersionKind, Object};
use kube::{Api, Client};
use kuryr_api::crd::{Condition, ConditionStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Kind of the resource.
pub(super) const KIND: &str = "Kuryr";
/// Its name in addresses.
pub(super) const PLURAL: &str = "kuryrs";
/// The only one that is obeyed: there is one Kuryr in a cluster.
pub(crate) const NAME: &str = "cluster";
/// Holds it until Kuryr is out of the cluster.
pub(super) const FINALIZER: &str = "kuryr.openstack.org/uninstall";

/// The resource. Its spec is what lies over the chart's defaults.
pub(super) type Kuryr = Object<Map<String, Value>, Status>;

/// How Kuryr is.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    /// Generation of the spec that all of this is about.
    pub(super) observed_generation: i64,
    /// Version of the operator, which is Kuryr's unless the spec names another image.
    pub(super) version: String,
    /// Image that controller and daemons are to run.
    pub(super) image: String,
    /// Images that run.
    pub(super) running: Running,
    /// Generation of the spec whose controller came up, so that the daemons were rolled out.
    pub(super) rolled_out_generation: i64,
    /// Version of the operator that did that.
    pub(super) rolled_out_version: String,
    /// Available, Progressing, Degraded, Upgradeable.
    pub(super) conditions: Vec<Condition>,
}

/// Images that run.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(default)]
pub(super) struct Running {
    /// In pods of the controller.
    pub(super) controller: Vec<Image>,
    /// In pods of the daemon.
    pub(super) daemon: Vec<Image>,
}

/// An image and how many pods have it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(default)]
pub(super) struct Image {
    /// Its name with the tag.
    pub(super) image: String,
    /// Pods with it.
    pub(super) pods: u32,
    /// Of these, pods that are ready.
    pub(super) ready: u32,
}

/// What is to be said by one condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said {
    pub(super) kind: &'static str,
    pub(super) holds: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Status {
    /// Says it; the time is when the answer last changed between yes and no.
    pub(super) fn say(&mut self, said: Said, now: Timestamp) {
        let status = if said.holds { ConditionStatus::True } else { ConditionStatus::False };
        let before = self.conditions.iter().find(|condition| condition.kind == said.kind);
        let since = before.filter(|condition| condition.status == status);
        let condition = Condition {
            kind: said.kind.to_owned(),
            status,
            reason: said.reason.to_owned(),
            message: said.message,
            last_transition_time: since.map_or(Time(now), |condition| condition.last_transition_time.clone()),
        };
        match self.conditions.iter_mut().find(|found| found.kind == condition.kind) {
            Some(found) => *found = condition,
            None => self.conditions.push(condition),
        }
    }
}

/// How the resource is asked for.
pub(super) fn resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(kuryr_api::names::GROUP, "v1", KIND), PLURAL)
}

/// All of them.
pub(super) fn api(kube: &Client) -> Api<Kuryr> {
    Api::all_with(kube.clone(), &resource())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_until_its_answer_changes() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let said = |holds, message: &str| Said { kind: "Available", holds, reason: "R", message: message.to_owned() };
        let mut status = Status::default();
        let told =
            |status: &Status| (status.conditions[0].last_transition_time.0, status.conditions[0].message.clone());
        status.say(said(true, "a"), at(1));
        status.say(said(true, "b"), at(2));
        assert_eq!(told(&status), (at(1), "b".to_owned()));
        status.say(said(false, "c"), at(3));
        assert_eq!((told(&status), status.conditions.len()), ((at(3), "c".to_owned()), 1));
    }
}
