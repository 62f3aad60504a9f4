//! How long the cloud takes to answer.

use std::time::Duration;

use http::Method;

use super::request::Ask;

/// How long requests to Neutron take, on tokio's clock. Keystone answers at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// A GET.
    pub read: Duration,
    /// A POST of one resource, or of each of many at once.
    pub create: Duration,
    /// A PUT.
    pub update: Duration,
    /// A DELETE.
    pub delete: Duration,
}

impl Latency {
    /// What a real Neutron with ML2/OVN takes on two shared cores (medians).
    pub fn of_a_small_neutron() -> Latency {
        let ms = Duration::from_millis;
        Latency { read: ms(15), create: ms(300), update: ms(390), delete: ms(195) }
    }

    pub(super) fn of(&self, ask: &Ask) -> Duration {
        if !ask.path.starts_with("/v2.0") || *self == Latency::default() {
            return Duration::ZERO;
        }
        match ask.method {
            Method::POST => self.create * resources(&ask.body),
            Method::PUT => self.update,
            Method::DELETE => self.delete,
            _ => self.read,
        }
    }
}

/// How many resources a body asks for.
fn resources(body: &[u8]) -> u32 {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let lists = body.as_object().into_iter().flatten().filter_map(|(_, value)| value.as_array());
    lists.map(|list| u32::try_from(list.len()).unwrap_or(u32::MAX)).max().unwrap_or(1).max(1)
}
