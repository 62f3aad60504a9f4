//! How long a poll rests before it asks again: briefly where answers are quick, longer where somebody has enough to do.

use std::time::Duration;

/// A service that takes its time to answer is left alone this many times as long. Neutron is what pods are born by, and a node with
/// OVN does not wait for us to see that a port is active.
pub const NEUTRON: u32 = 15;
/// A Service's birth is a dozen changes, each of which waits for a poll.
pub const OCTAVIA: u32 = 5;
/// But not longer than this for its slowness.
const LONGEST: Duration = Duration::from_secs(5);

/// The rest after an answer that took `answered_in`; never less than the configured `interval`.
pub fn after(answered_in: Duration, factor: u32, interval: Duration) -> Duration {
    (answered_in * factor).min(LONGEST).max(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(250);

    #[test]
    fn a_quick_service_is_asked_at_the_interval_and_a_slow_one_more_seldom() {
        assert_eq!(after(Duration::from_millis(10), NEUTRON, INTERVAL), INTERVAL);
        assert_eq!(after(Duration::from_millis(100), NEUTRON, INTERVAL), Duration::from_millis(1500));
    }

    #[test]
    fn slowness_counts_for_five_seconds_at_most_and_the_interval_always() {
        assert_eq!(after(Duration::from_secs(60), OCTAVIA, INTERVAL), LONGEST);
        assert_eq!(after(Duration::from_secs(60), OCTAVIA, Duration::from_secs(9)), Duration::from_secs(9));
    }
}
