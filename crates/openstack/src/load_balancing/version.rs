//! Which version of the API an Octavia speaks, as questions about what it can do.

use serde::Deserialize;

use super::LoadBalancing;
use crate::{Error, ErrorKind};

/// The newest version an Octavia speaks: 2 and this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoadBalancingVersion {
    minor: u32,
}

impl LoadBalancingVersion {
    /// Version 2.`minor`.
    pub fn new(minor: u32) -> LoadBalancingVersion {
        LoadBalancingVersion { minor }
    }

    /// Tags, on creation and in filters.
    pub fn has_tags(self) -> bool {
        self.minor >= 5
    }

    /// Flavors.
    pub fn has_flavors(self) -> bool {
        self.minor >= 6
    }

    /// A batch of members that leaves those it does not name as they are.
    pub fn has_additive_batches(self) -> bool {
        self.minor >= 11
    }

    /// Addresses a listener lets in.
    pub fn has_allowed_cidrs(self) -> bool {
        self.minor >= 12
    }

    /// Listeners that share a port with different protocols, and the algorithm `SOURCE_IP_PORT`: both came with Train.
    pub fn shares_ports(self) -> bool {
        self.minor >= 13
    }

    /// Availability zones.
    pub fn has_availability_zones(self) -> bool {
        self.minor >= 14
    }

    /// Pools that put the client's address in front in the protocol's second version.
    pub fn has_proxy_v2(self) -> bool {
        self.minor >= 22
    }

    /// Listeners and pools for SCTP.
    pub fn has_sctp(self) -> bool {
        self.minor >= 23
    }

    /// More than one VIP of one load balancer.
    pub fn has_additional_vips(self) -> bool {
        self.minor >= 26
    }

    /// Whether it is of OpenStack 2023.2 or later: its own features are not used, but those of the OVN provider that came with it.
    pub fn is_of_2023_2(self) -> bool {
        self.minor >= 27
    }
}

impl std::fmt::Display for LoadBalancingVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "2.{}", self.minor)
    }
}

#[derive(Deserialize)]
struct Versions {
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    id: String,
}

impl LoadBalancing {
    /// The newest version this Octavia speaks; asked once.
    ///
    /// # Errors
    /// `Protocol` if it speaks no version 2.
    pub async fn version(&self) -> Result<LoadBalancingVersion, Error> {
        let ask = async { newest(&self.root.read::<Versions>("/".to_owned()).await?) };
        self.version.get_or_try_init(|| ask).await.copied()
    }
}

fn newest(found: &Versions) -> Result<LoadBalancingVersion, Error> {
    let minors = found.versions.iter().filter_map(|version| version.id.strip_prefix("v2.")?.parse().ok());
    minors.max().map(LoadBalancingVersion::new).ok_or_else(|| {
        let told: Vec<&str> = found.versions.iter().map(|version| version.id.as_str()).collect();
        Error::new(ErrorKind::Protocol, format!("Octavia speaks no version 2, only {}", told.join(", ")))
            .with_cure("check that the load-balancer endpoint in the catalog is Octavia's")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ids: &[&str]) -> Result<LoadBalancingVersion, Error> {
        newest(&Versions { versions: ids.iter().map(|id| Version { id: (*id).to_owned() }).collect() })
    }

    #[test]
    fn the_newest_version_is_found_by_number() {
        let found = of(&["v1", "v2.0", "v2.9", "v2.26", "v2.5"]).unwrap();
        assert!(found == LoadBalancingVersion::new(26) && found.has_additional_vips() && found.has_sctp());
        let old = of(&["v2.0", "v2.10"]).unwrap();
        assert!(old.has_tags() && !old.has_additive_batches() && !old.has_allowed_cidrs());
        assert_eq!(of(&["v1"]).unwrap_err().kind(), ErrorKind::Protocol);
    }
}
