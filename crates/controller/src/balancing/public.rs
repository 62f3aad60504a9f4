//! What is said of floating IPs that cannot be had. Pure.

use std::net::IpAddr;

use kuryr_openstack::{Error, ErrorKind};

use crate::trouble::Trouble;

/// What an answer of Neutron's about floating IPs means; `who` goes on when it is mended.
pub(super) fn explain(error: Error, asked: Option<IpAddr>, who: &str) -> Trouble {
    let said = error.message().trim_end_matches('.').to_owned();
    match (error.kind(), asked) {
        (ErrorKind::OverQuota, _) => Trouble::quota(
            "QuotaExceeded",
            format!("{said}; raise the project's quota of floating IPs, or give some back; {who} goes on by itself"),
        ),
        (ErrorKind::AddressesExhausted, _) => Trouble::quota(
            "AddressesExhausted",
            format!("{said}; [neutron_defaults] external_svc_net has no free address; {who} goes on by itself"),
        ),
        (ErrorKind::NotFound, _) => Trouble::mistake(
            "ExternalNetworkNotFound",
            format!(
                "{said}; set [neutron_defaults] external_svc_net and external_svc_subnet to what exists and is external"
            ),
        ),
        (ErrorKind::BadRequest | ErrorKind::Conflict | ErrorKind::Forbidden, Some(address)) => Trouble::mistake(
            "AddressRefused",
            format!(
                "{said}; {address} cannot be had: make a floating IP with it for this project, or ask for another address \
                 (spec.loadBalancerIP)"
            ),
        ),
        _ => error.into(),
    }
}
