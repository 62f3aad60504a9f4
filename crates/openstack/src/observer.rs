//! Who is told of every exchange with a service, for metrics this crate knows nothing of.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

/// Told of every exchange when it is over. Called in the middle of a call: it must not block.
pub type Observer = Arc<dyn Fn(&Exchange<'_>) + Send + Sync>;

/// One request that was sent, and what became of it. A call that is tried again is several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// Path below the service's endpoint without anything that names one object: `/ports/{id}`. There are few of them.
    pub route: String,
    /// What became of it.
    pub outcome: Outcome,
    /// From sending to the answer, or to giving up.
    pub took: Duration,
}

/// What became of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer with this HTTP status.
    Answered(u16),
    /// No connection, or one that ended without an answer.
    Lost,
    /// No answer in time.
    TimedOut,
}

impl Outcome {
    /// Its class, one of few: `2xx` … `5xx`, `lost`, `timeout`.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Outcome::Answered(200..=299) => "2xx",
            Outcome::Answered(300..=399) => "3xx",
            Outcome::Answered(400..=499) => "4xx",
            Outcome::Answered(500..=599) => "5xx",
            Outcome::Answered(_) => "other",
            Outcome::Lost => "lost",
            Outcome::TimedOut => "timeout",
        }
    }
}

/// Words of Keystone's and Neutron's paths. Whatever is none of them names an object, or is a service we do not call.
const WORDS: [&str; 30] = [
    "add_router_interface",
    "add_subports",
    "address-groups",
    "auth",
    "details.json",
    "extensions",
    "failover",
    "floatingips",
    "get_subports",
    "lbaas",
    "listeners",
    "loadbalancers",
    "members",
    "network-ip-availabilities",
    "networks",
    "pools",
    "ports",
    "projects",
    "providers",
    "quotas",
    "remove_router_interface",
    "remove_subports",
    "routers",
    "security-group-rules",
    "security-groups",
    "subnetpools",
    "subnets",
    "tags",
    "tokens",
    "trunks",
];

/// The route of a path, see [`Exchange::route`].
pub(crate) fn route(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut route = String::with_capacity(path.len());
    for part in path.split('/').filter(|part| !part.is_empty()) {
        route.push('/');
        route.push_str(if WORDS.contains(&part) { part } else { "{id}" });
    }
    route
}

impl<'a> Exchange<'a> {
    pub(crate) fn new(method: &'a Method, path: &str, outcome: Outcome, took: Duration) -> Self {
        Exchange { method: method.as_str(), route: route(path), outcome, took }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_names_no_object() {
        for (path, expected) in [
            ("/ports", "/ports"),
            ("/ports?device_id=1&device_id=2", "/ports"),
            ("/ports/0f5ed9b1-0000/tags", "/ports/{id}/tags"),
            ("/quotas/abc/details.json", "/quotas/{id}/details.json"),
            ("/auth/tokens", "/auth/tokens"),
            ("/trunks/x/add_subports", "/trunks/{id}/add_subports"),
            ("/a/b/c", "/{id}/{id}/{id}"),
            ("", ""),
        ] {
            assert_eq!(route(path), expected, "{path}");
        }
    }

    #[test]
    fn classes_are_few() {
        let classes = [200, 204, 302, 404, 409, 500, 503, 700].map(|status| Outcome::Answered(status).class());
        assert_eq!(classes, ["2xx", "2xx", "3xx", "4xx", "4xx", "5xx", "5xx", "other"]);
    }
}
