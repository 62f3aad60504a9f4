//! How what is there differs from what should be. Pure.

use kuryr_openstack::load_balancing as octavia;

use super::desired::{Listener, Monitor};
use super::plan::Way;

/// Whether a listener's limits, or whom it lets in, differ, or somebody switched it off.
pub(super) fn listener(wanted: &Listener, there: &octavia::Listener, way: &Way) -> bool {
    let mut ranges = there.allowed_cidrs.clone().unwrap_or_default();
    let mut wanted_ranges = wanted.source_ranges.clone();
    ranges.sort_unstable();
    wanted_ranges.sort_unstable();
    let another = |wanted: Option<u32>, there: Option<u32>| wanted.is_some() && wanted != there;
    let timeouts = wanted.timeouts;
    another(timeouts.client_data, there.timeout_client_data)
        || another(timeouts.member_data, there.timeout_member_data)
        || another(timeouts.member_connect, there.timeout_member_connect)
        || another(timeouts.tcp_inspect, there.timeout_tcp_inspect)
        || wanted.connection_limit.is_some_and(|limit| limit != there.connection_limit.unwrap_or(-1))
        || way.source_ranges && ranges != wanted_ranges
        || there.admin_state_up == Some(false)
}

/// Whether a pool speaks something else, which cannot be changed.
pub(super) fn protocol(wanted: &Listener, there: &octavia::Pool) -> bool {
    wanted.pool_protocol.is_some_and(|protocol| protocol != there.protocol)
}

/// Whether it differs how a pool chooses members, or somebody switched it off.
pub(super) fn choice(wanted: &Listener, there: &octavia::Pool) -> bool {
    wanted.algorithm.is_some_and(|algorithm| algorithm != there.lb_algorithm)
        || wanted.affinity != there.session_persistence
        || there.admin_state_up == Some(false)
}

/// Whether a health monitor's rhythm differs, or somebody switched it off.
pub(super) fn monitor(wanted: Monitor, there: &octavia::HealthMonitor) -> bool {
    let rhythm = wanted.rhythm;
    (there.delay, there.timeout) != (rhythm.delay, rhythm.timeout)
        || (there.max_retries, there.max_retries_down) != (rhythm.max_retries, rhythm.max_retries_down)
        || there.admin_state_up == Some(false)
}
