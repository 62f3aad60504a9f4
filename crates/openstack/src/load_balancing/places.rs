//! What an Octavia offers: providers, flavors, availability zones.

use serde::Deserialize;

use super::LoadBalancing;
use crate::Error;
use crate::query::Query;
use crate::rest::Resource;
use crate::rest::json::null_is_default;

/// Who can implement load balancers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Provider {
    /// Its name: `amphora`, `ovn`, …
    pub name: String,
    /// Free text.
    #[serde(deserialize_with = "null_is_default")]
    pub description: String,
}

impl Provider {
    /// Whether it goes by this name. Octavia's own is `amphora`, and still answers to its former name `octavia`.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        present_name(&self.name) == present_name(name)
    }
}

/// What the provider of this name is called now.
#[must_use]
pub fn present_name(provider: &str) -> &str {
    if provider == "octavia" { "amphora" } else { provider }
}

/// A size or kind of load balancer that administrators offer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Flavor {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Whether it can be chosen.
    pub enabled: bool,
}

/// A place for load balancers that administrators offer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AvailabilityZone {
    /// Name, which is its id.
    pub name: String,
    /// Whether it can be chosen.
    pub enabled: bool,
}

impl Resource for Flavor {
    const PATH: &'static str = "lbaas/flavors";
    const ONE: &'static str = "flavor";
    const MANY: &'static str = "flavors";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Resource for AvailabilityZone {
    const PATH: &'static str = "lbaas/availabilityzones";
    const ONE: &'static str = "availability_zone";
    const MANY: &'static str = "availability_zones";

    fn id(&self) -> &str {
        &self.name
    }
}

impl LoadBalancing {
    /// The providers.
    pub async fn list_providers(&self) -> Result<Vec<Provider>, Error> {
        #[derive(Deserialize)]
        struct Body {
            providers: Vec<Provider>,
        }
        Ok(self.rest.read::<Body>("/lbaas/providers".to_owned()).await?.providers)
    }

    /// The flavors.
    pub async fn list_flavors(&self) -> Result<Vec<Flavor>, Error> {
        self.rest.list(Query::default(), &[], &[]).await
    }

    /// The availability zones.
    pub async fn list_availability_zones(&self) -> Result<Vec<AvailabilityZone>, Error> {
        self.rest.list(Query::default(), &[], &[]).await
    }
}
