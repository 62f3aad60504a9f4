//! Keystone's catalog: where the services are.

use serde::Deserialize;

use crate::settings::CloudSettings;
use crate::{Error, ErrorKind};

/// A service as the catalog names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServiceType {
    /// The catalog's `type`.
    name: &'static str,
    /// Version path the API lives under; catalogs have the address with or without it. Empty is the place above.
    version: &'static str,
    /// The address set by hand.
    endpoint_override: fn(&CloudSettings) -> Option<&String>,
}

/// Neutron.
pub(crate) const NETWORK: ServiceType =
    ServiceType { name: "network", version: "v2.0", endpoint_override: |settings| settings.network_endpoint.as_ref() };

/// Octavia.
pub(crate) const LOAD_BALANCER: ServiceType = ServiceType {
    name: "load-balancer",
    version: "v2",
    endpoint_override: |settings| settings.load_balancer_endpoint.as_ref(),
};

/// Octavia's list of versions.
pub(crate) const LOAD_BALANCER_VERSIONS: ServiceType = ServiceType { version: "", ..LOAD_BALANCER };

/// Keystone itself; where it is we were told.
pub(crate) const IDENTITY: ServiceType =
    ServiceType { name: "identity", version: "v3", endpoint_override: |settings| Some(&settings.auth_url) };

/// The services a token gives access to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog(pub(crate) Vec<CatalogService>);

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct CatalogService {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Clone, Debug, Deserialize)]
struct Endpoint {
    interface: String,
    url: String,
    #[serde(default)]
    region: Option<String>,
    #[serde(default)]
    region_id: Option<String>,
}

impl Endpoint {
    fn region(&self) -> &str {
        let region = self.region_id.as_deref().or(self.region.as_deref());
        region.unwrap_or_default()
    }
}

impl Catalog {
    /// The address of `service`'s API, version included, no slash at the end.
    pub(crate) fn endpoint(&self, service: ServiceType, settings: &CloudSettings) -> Result<String, Error> {
        if let Some(url) = (service.endpoint_override)(settings) {
            return Ok(versioned(url, service.version));
        }
        let name = service.name;
        if self.0.is_empty() {
            return Err(Error::new(ErrorKind::Settings, "the token is for no project and has no catalog")
                .with_cure("set project_name or project_id"));
        }
        let services: Vec<_> = self.0.iter().filter(|entry| entry.kind == name).collect();
        if services.is_empty() {
            return Err(Error::new(
                ErrorKind::Settings,
                format!("Keystone's catalog has no {name} service, only {}", list(self.0.iter().map(|s| &*s.kind))),
            )
            .with_cure(format!(
                "register the service and its endpoints in Keystone, or set {}_endpoint_override",
                name.replace('-', "_")
            )));
        }
        let interface = settings.interface.as_str();
        let endpoints: Vec<_> = services.iter().flat_map(|service| &service.endpoints).collect();
        let mut candidates = endpoints.iter().filter(|endpoint| endpoint.interface == interface);
        let found = match &settings.region {
            Some(region) => candidates.find(|endpoint| endpoint.region() == region),
            None => candidates.next(),
        };
        let Some(found) = found else {
            let wanted = match &settings.region {
                Some(region) => format!("{interface} endpoint in region {region}"),
                None => format!("{interface} endpoint"),
            };
            let existing = endpoints.iter().map(|e| format!("{} in {}", e.interface, e.region()));
            return Err(Error::new(
                ErrorKind::Settings,
                format!("the {name} service has no {wanted}, only {}", list(existing)),
            )
            .with_cure("set region_name and interface to one of these"));
        };
        Ok(versioned(&found.url, service.version))
    }

    /// Regions a service of ours is offered in; more than one and no choice made deserves a warning.
    pub(crate) fn regions(&self, service: ServiceType) -> Vec<&str> {
        let services = self.0.iter().filter(|entry| entry.kind == service.name);
        let mut regions: Vec<_> = services.flat_map(|s| &s.endpoints).map(Endpoint::region).collect();
        regions.sort_unstable();
        regions.dedup();
        regions
    }
}

fn list(items: impl Iterator<Item = impl AsRef<str>>) -> String {
    let items: Vec<_> = items.map(|item| item.as_ref().to_owned()).collect();
    if items.is_empty() { "nothing".to_owned() } else { items.join(", ") }
}

/// `url` ending in `version`, whether or not it did before; the address above all versions where that is empty.
pub(crate) fn versioned(url: &str, version: &str) -> String {
    let url = url.trim_end_matches('/');
    let last = url.rsplit('/').next().unwrap_or_default();
    let mut characters = last.chars();
    let has_version = characters.next() == Some('v') && characters.next().is_some_and(|c| c.is_ascii_digit());
    match (has_version, version) {
        (true, "") => url.trim_end_matches(last).trim_end_matches('/').to_owned(),
        (true, _) | (false, "") => url.to_owned(),
        (false, version) => format!("{url}/{version}"),
    }
}
