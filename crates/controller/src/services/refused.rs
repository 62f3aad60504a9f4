//! Parts of a load balancer that Octavia does not take: the rest of it goes on. Pure.

use std::time::Duration;

use super::plan::{Call, Place, Step};
use crate::trouble::{Class, Trouble};

/// How soon a refused part is asked for again, if nothing else happens to the Service.
pub(super) const AGAIN: Duration = Duration::from_secs(60);

/// A part of a load balancer, by the port it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Listener(Place),
    Pool(Place),
    Members(Place),
    Monitor(Place),
}

/// The part a step makes or changes; `None` for what concerns all of the load balancer, and for what is taken away.
pub(super) fn part_of(step: &Step) -> Option<Part> {
    match step {
        Step::Cloud(Call::CreateListener(place) | Call::UpdateListener(_, place)) => Some(Part::Listener(*place)),
        Step::Cloud(Call::CreatePool(_, place) | Call::UpdatePool(_, place)) => Some(Part::Pool(*place)),
        Step::Cloud(Call::SetMembers(_, place)) => Some(Part::Members(*place)),
        Step::Cloud(Call::CreateMonitor(_, place) | Call::UpdateMonitor(_, place)) => Some(Part::Monitor(*place)),
        _ => None,
    }
}

/// Whether it is about what was asked for, and not about who asked, or when.
pub(super) fn is_refusal(trouble: &Trouble) -> bool {
    trouble.class == Class::Quota || trouble.reason == "RefusedByCloud"
}
