//! What became of the resource, as `kubectl describe kuryr cluster` shows it: an Event when a condition has another reason that people
//! should see, none when it says the same again.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{EventType, Recorder, Reporter};
use kube::{Client, ResourceExt as _};
use kuryr_api::crd::{Condition, ConditionStatus};
use kuryr_controller::events::publish;

use super::change::MANAGER;
use super::resource::{KIND, Kuryr, Status};

/// Writes Events about resources. Those have no namespace, so their Events are in `default`.
pub(super) struct Events(Recorder);

impl Events {
    pub(super) fn new(kube: Client) -> Self {
        Self(Recorder::new(kube, Reporter { controller: MANAGER.to_owned(), instance: None }))
    }

    /// Tells what is new in this status of the resource. What cannot be written is in the status all the same.
    pub(super) async fn tell(&self, kuryr: &Kuryr, status: &Status) {
        let about = ObjectReference {
            api_version: Some(format!("{}/v1", kuryr_api::names::GROUP)),
            kind: Some(KIND.to_owned()),
            name: kuryr.metadata.name.clone(),
            uid: kuryr.uid(),
            ..ObjectReference::default()
        };
        let before = kuryr.status.clone().unwrap_or_default();
        for (kind, condition) in news(&before, status) {
            publish(&self.0, &about, kind, "Reconcile", &condition.reason, &condition.message).await;
        }
    }
}

/// Conditions of `after` that are worth an Event: what stands in the way, and how a rollout goes on and ends.
fn news<'a>(before: &Status, after: &'a Status) -> Vec<(EventType, &'a Condition)> {
    let worth = |condition: &Condition| {
        let holds = condition.status == ConditionStatus::True;
        match condition.kind.as_str() {
            "Degraded" if holds => Some(EventType::Warning),
            "Progressing" if holds || condition.reason == "RolledOut" => Some(EventType::Normal),
            _ => None,
        }
    };
    let was_said = |condition: &Condition| {
        let mut said = before.conditions.iter();
        said.any(|said| {
            said.kind == condition.kind && said.status == condition.status && said.reason == condition.reason
        })
    };
    let new = after.conditions.iter().filter(|condition| !was_said(condition));
    new.filter_map(|condition| Some((worth(condition)?, condition))).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::resource::Said;
    use super::*;

    /// A status that says `(kind, holds, reason)`.
    fn status(said: &[(&'static str, bool, &'static str)]) -> Status {
        let mut status = Status::default();
        for &(kind, holds, reason) in said {
            status.say(Said { kind, holds, reason, message: String::new() }, Timestamp::UNIX_EPOCH);
        }
        status
    }

    #[test]
    fn another_reason_is_told_once_and_what_changes_nothing_for_people_is_not() {
        let waits = status(&[("Progressing", true, "WaitingForController"), ("Degraded", false, "AsExpected")]);
        let stopped = status(&[("Progressing", false, "LegacyController"), ("Degraded", true, "LegacyController")]);
        let failing = status(&[("Progressing", false, "RolledOut"), ("Degraded", true, "PodsFailing")]);
        let done = status(&[("Progressing", false, "RolledOut"), ("Degraded", false, "AsExpected")]);
        let told = |before: &Status, after: &Status| {
            let news = news(before, after).into_iter();
            news.map(|(kind, condition)| (kind == EventType::Warning, condition.reason.clone())).collect::<Vec<_>>()
        };
        let warning = |reason: &str| (true, reason.to_owned());
        let normal = |reason: &str| (false, reason.to_owned());
        assert_eq!(told(&Status::default(), &waits), [normal("WaitingForController")]);
        assert_eq!(told(&waits, &waits), []);
        assert_eq!(told(&waits, &stopped), [warning("LegacyController")]);
        assert_eq!(told(&stopped, &waits), [normal("WaitingForController")]);
        assert_eq!(told(&waits, &done), [normal("RolledOut")]);
        assert_eq!(told(&done, &failing), [warning("PodsFailing")]);
        assert_eq!(told(&failing, &done), []);
    }
}
