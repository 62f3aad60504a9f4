//! Conditions of what we write: what its owner waits for (`Ready`), in words the owner can act on.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kuryr_api::crd::{Condition, ConditionStatus};

/// Type of the condition that all of it has.
const READY: &str = "Ready";

/// The `Ready` condition, if it was ever written.
#[must_use]
pub fn ready(conditions: &[Condition]) -> Option<&Condition> {
    find(conditions, READY)
}

/// The condition of this type, if there is one.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

/// Whether `Ready` says exactly this.
#[must_use]
pub fn says(conditions: &[Condition], holds: bool, reason: &str, message: &str) -> bool {
    ready(conditions)
        .is_some_and(|known| known.status == of(holds) && known.reason == reason && known.message == message)
}

/// Sets the `Ready` condition and keeps the others; the transition time only moves when the status changes.
pub fn set_ready(conditions: &mut Vec<Condition>, holds: bool, reason: &str, message: &str, now: Timestamp) {
    set(conditions, READY, holds, reason, message, now);
}

/// Sets the condition of this type and keeps the others; the transition time only moves when the status changes.
pub fn set(conditions: &mut Vec<Condition>, kind: &str, holds: bool, reason: &str, message: &str, now: Timestamp) {
    let since = find(conditions, kind).filter(|condition| condition.status == of(holds));
    let condition = Condition {
        kind: kind.to_owned(),
        status: of(holds),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: since.map_or(Time(now), |condition| condition.last_transition_time.clone()),
    };
    conditions.retain(|condition| condition.kind != kind);
    conditions.push(condition);
}

fn of(holds: bool) -> ConditionStatus {
    if holds { ConditionStatus::True } else { ConditionStatus::False }
}
