//! How a cloud begins.

use jiff::Timestamp;

use super::Service;
use super::clock::Clock;
use super::ids::Ids;
use super::neutron::OFF_AT_FIRST;
use super::world::World;

/// The password of every user a new cloud has.
pub const ADMIN_PASSWORD: &str = "secret";

/// How a cloud begins.
#[derive(Clone, Debug)]
pub struct Options {
    /// What ids, hardware addresses and tokens are made from.
    pub seed: u64,
    /// The time of day when the cloud begins.
    pub start: Timestamp,
    /// The region of the catalog.
    pub region: String,
    /// Where the services are, for the catalog: all behind one address, as with devstack.
    pub url: String,
}

impl Default for Options {
    /// Begins now, at `http://openstack.fake`.
    fn default() -> Options {
        Options {
            seed: 0,
            start: Timestamp::now(),
            region: "RegionOne".to_owned(),
            url: "http://openstack.fake".to_owned(),
        }
    }
}

impl Options {
    /// For simulations: the same seed makes the same cloud, down to its times.
    pub fn seeded(seed: u64) -> Options {
        // The first of January 2030: late enough for nothing to look expired.
        Options { seed, start: Timestamp::new(1_893_456_000, 0).unwrap_or_default(), ..Options::default() }
    }

    /// The world, with three projects (`admin`, `k8s`, `k8s-other`) and their users: `admin` in `admin`, `k8s` (a plain
    /// user) and `k8s-admin` in `k8s`, `k8s-other` in `k8s-other`.
    pub(super) fn world(self) -> World {
        let mut world = World::new(Clock::starting_at(self.start), Ids::new(self.seed));
        world.without_extensions = OFF_AT_FIRST.map(str::to_owned).into();
        let World { ids, identity, .. } = &mut world;
        identity.region = self.region;
        let url = self.url.trim_end_matches('/');
        identity.set_service_url("identity", &format!("{url}{}/v3", Service::Identity.prefix()));
        identity.set_service_url("network", &format!("{url}{}", Service::Network.prefix()));
        identity.set_service_url("load-balancer", &format!("{url}{}", Service::LoadBalancer.prefix()));
        for (user, project, roles) in [
            ("admin", "admin", &["admin", "member", "reader"][..]),
            ("k8s", "k8s", &["member", "reader"]),
            ("k8s-admin", "k8s", &["admin", "member", "reader"]),
            ("k8s-other", "k8s-other", &["member", "reader"]),
        ] {
            let project = identity.add_project(ids, project);
            identity.add_user(ids, user, ADMIN_PASSWORD, &project, roles);
        }
        world
    }
}
