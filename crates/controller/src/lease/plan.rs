//! Whether the Lease may be taken: a function of what was seen, since when, and whose it is.
//!
//! Times in the record are never compared with our clock: whoever wrote them may have another one. What counts is how long
//! *we* have seen the record unchanged.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tokio::time::Instant;

use super::Identity;

/// A holder that claims to need longer than this between renewals is not believed.
const LONGEST_DURATION: Duration = Duration::from_secs(300);

/// What the Lease says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    /// `metadata.resourceVersion`.
    pub(super) version: String,
    /// Who holds it; none after it was released.
    pub(super) holder: Option<String>,
    /// For how long it is held after each renewal.
    pub(super) duration: Option<Duration>,
    /// Since when this holder has it.
    pub(super) acquired: Option<MicroTime>,
    /// How often it went from one to another.
    pub(super) transitions: i32,
}

impl From<Lease> for Record {
    fn from(lease: Lease) -> Self {
        let spec = lease.spec.unwrap_or_default();
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            version: lease.metadata.resource_version.unwrap_or_default(),
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
            duration: seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs),
            acquired: spec.acquire_time,
            transitions: spec.lease_transitions.unwrap_or(0),
        }
    }
}

/// The Lease as last seen.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) record: Record,
    /// When we first saw this record.
    pub(super) since: Instant,
    /// Whether somebody deleted the Lease afterwards. Its holder may not know yet.
    pub(super) deleted: bool,
}

/// What to do about leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// There is no Lease: create it.
    Create,
    /// It is free, ours, or its holder stopped renewing it: take it.
    Take,
    /// It is somebody's. Not before this long can it be taken, unless it is released.
    Wait(Duration),
}

/// What we know after a look at the Lease (`None`: there is none).
pub(super) fn looked(before: Option<Seen>, found: Option<Record>, now: Instant) -> Option<Seen> {
    match (before, found) {
        (Some(before), Some(found)) if before.record == found && !before.deleted => Some(before),
        (_, Some(found)) => Some(Seen { record: found, since: now, deleted: false }),
        (Some(before), None) if before.deleted => Some(before),
        (Some(before), None) => Some(Seen { since: now, deleted: true, ..before }),
        (None, None) => None,
    }
}

/// What to do. `ours` is the duration we would write, for records that name none.
pub(super) fn next(identity: &Identity, seen: Option<&Seen>, ours: Duration, now: Instant) -> Next {
    let Some(seen) = seen else { return Next::Create };
    let take = if seen.deleted { Next::Create } else { Next::Take };
    let Some(holder) = &seen.record.holder else { return take };
    if holder == identity.holder() || identity.is_ended_predecessor(holder) {
        return take;
    }
    let duration = seen.record.duration.unwrap_or(ours).min(LONGEST_DURATION);
    let left = duration.saturating_sub(now.saturating_duration_since(seen.since));
    if left.is_zero() { take } else { Next::Wait(left) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Duration = Duration::from_secs(10);

    fn me() -> Identity {
        Identity::new("a", "2", |holder| holder == "a_1")
    }

    fn held_by(holder: &str, seconds: u64) -> Record {
        Record {
            version: "7".to_owned(),
            holder: Some(holder.to_owned()).filter(|holder| !holder.is_empty()),
            duration: Some(Duration::from_secs(seconds)).filter(|duration| !duration.is_zero()),
            acquired: None,
            transitions: 3,
        }
    }

    fn after(record: Record, elapsed: u64) -> Next {
        let since = Instant::now();
        let seen = Seen { record, since, deleted: false };
        next(&me(), Some(&seen), OURS, since + Duration::from_secs(elapsed))
    }

    #[tokio::test]
    async fn a_free_lease_is_taken_at_once() {
        assert_eq!(next(&me(), None, OURS, Instant::now()), Next::Create);
        assert_eq!(after(held_by("", 10), 0), Next::Take);
    }

    #[tokio::test]
    async fn ones_own_is_taken_back_at_once_and_that_of_a_namesake_is_not() {
        assert_eq!(after(held_by("a_2", 10), 0), Next::Take);
        assert_eq!(after(held_by("a_1", 10), 0), Next::Take);
        assert_eq!(after(held_by("a_3", 10), 0), Next::Wait(OURS));
    }

    #[tokio::test]
    async fn anothers_is_taken_when_we_have_seen_it_unchanged_for_its_duration() {
        assert_eq!(after(held_by("b_1", 15), 0), Next::Wait(Duration::from_secs(15)));
        assert_eq!(after(held_by("b_1", 15), 14), Next::Wait(Duration::from_secs(1)));
        assert_eq!(after(held_by("b_1", 15), 15), Next::Take);
        assert_eq!(after(held_by("b_1", 0), 9), Next::Wait(Duration::from_secs(1)));
        assert_eq!(after(held_by("b_1", 1 << 40), 300), Next::Take);
    }

    #[tokio::test]
    async fn every_change_begins_the_wait_anew_and_a_deleted_lease_is_waited_for_too() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let first = looked(None, Some(held_by("b_1", 10)), at(0));
        let same = looked(first.clone(), Some(held_by("b_1", 10)), at(5));
        assert_eq!(same.as_ref().map(|seen| seen.since), Some(at(0)));
        let renewed = looked(same, Some(Record { version: "8".into(), ..held_by("b_1", 10) }), at(6));
        assert_eq!(next(&me(), renewed.as_ref(), OURS, at(12)), Next::Wait(Duration::from_secs(4)));
        let deleted = looked(looked(renewed, None, at(13)), None, at(14));
        assert_eq!(next(&me(), deleted.as_ref(), OURS, at(15)), Next::Wait(Duration::from_secs(8)));
        assert_eq!(next(&me(), deleted.as_ref(), OURS, at(23)), Next::Create);
        let made_again = looked(deleted, Some(held_by("b_1", 10)), at(24));
        assert_eq!(next(&me(), made_again.as_ref(), OURS, at(24)), Next::Wait(OURS));
    }
}
