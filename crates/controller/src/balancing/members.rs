//! How the members of a pool differ from what they should be. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use kuryr_openstack::load_balancing::{Member, ProvisioningStatus};

/// The weight of members of which each gets as much as the others: Octavia's default.
pub(crate) const EVEN: u16 = 1;

/// How they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// There are others, or somebody altered one.
    Others,
    /// They are the same, and one of them failed.
    Failed,
}

/// Compares members with those that are wanted: address and port with their weight, in the order of addresses and ports.
pub(crate) fn differ(wanted: impl Iterator<Item = ((IpAddr, u16), u16)>, there: &[Member]) -> Option<Difference> {
    // Nobody asks for members that are switched off or wait for others to fail.
    let is_altered = |member: &Member| member.admin_state_up == Some(false) || member.backup == Some(true);
    let found: BTreeSet<((IpAddr, u16), u16)> =
        there.iter().filter_map(|member| Some(((member.address?, member.protocol_port), member.weight))).collect();
    if found.len() != there.len() || there.iter().any(is_altered) || !wanted.eq(found.iter().copied()) {
        return Some(Difference::Others);
    }
    let failed = there.iter().any(|member| member.provisioning_status == ProvisioningStatus::Error);
    failed.then_some(Difference::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(port: u16) -> Member {
        Member {
            address: Some("10.0.0.1".parse().unwrap()),
            protocol_port: port,
            weight: EVEN,
            provisioning_status: ProvisioningStatus::Active,
            ..Member::default()
        }
    }

    #[test]
    fn whatever_was_altered_is_a_difference() {
        let wanted = || (80..82).map(|port| (("10.0.0.1".parse().unwrap(), port), EVEN));
        let with = |change: fn(&mut Member)| {
            let mut there = vec![member(81), member(80)];
            change(&mut there[1]);
            differ(wanted(), &there)
        };
        assert_eq!(with(|_| {}), None);
        assert_eq!(with(|it| it.provisioning_status = ProvisioningStatus::Error), Some(Difference::Failed));
        let alterations: [fn(&mut Member); 4] = [
            |it| it.weight = 0,
            |it| it.backup = Some(true),
            |it| it.admin_state_up = Some(false),
            |it| it.protocol_port = 82,
        ];
        assert!(alterations.into_iter().all(|change| with(change) == Some(Difference::Others)));
        assert_eq!(differ(wanted(), &[member(80)]), Some(Difference::Others));
        assert_eq!(differ(wanted(), &[member(80), member(81), member(82)]), Some(Difference::Others));
    }
}
