//! The `Ready` condition of a KuryrPort: what a pod waits for, in words its owner can act on.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kuryr_api::crd::{Condition, ConditionStatus, KuryrPortStatus};

/// Type of the one condition we write.
const READY: &str = "Ready";

/// The `Ready` condition, if it was ever written.
#[must_use]
pub fn ready(status: &KuryrPortStatus) -> Option<&Condition> {
    status.conditions.iter().find(|condition| condition.kind == READY)
}

/// Sets the `Ready` condition and keeps the others; the transition time only moves when the status changes.
pub fn set_ready(status: &mut KuryrPortStatus, holds: bool, reason: &str, message: &str, now: Timestamp) {
    let holds = if holds { ConditionStatus::True } else { ConditionStatus::False };
    let since = ready(status).filter(|condition| condition.status == holds);
    let condition = Condition {
        kind: READY.to_owned(),
        status: holds,
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: since.map_or(Time(now), |condition| condition.last_transition_time.clone()),
    };
    status.conditions.retain(|condition| condition.kind != READY);
    status.conditions.push(condition);
}
