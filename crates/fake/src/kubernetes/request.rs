//! What a request asks for: its path and its query.

use http::{HeaderMap, Method, Uri};

use super::refusal::Refusal;

/// Where a path of the resource API points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) plural: String,
    /// Of the path; empty for all namespaces and for what has none.
    pub(super) namespace: String,
    pub(super) name: Option<String>,
    pub(super) subresource: Option<String>,
}

impl Target {
    /// `/api/v1/…` and `/apis/GROUP/VERSION/…` with at least a resource; other paths point to no resource.
    pub(super) fn parse(path: &str) -> Option<Target> {
        let parts: Vec<_> = path.trim_matches('/').split('/').map(|part| decode(part, false)).collect();
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        // A namespace has subresources of its own; whatever else follows its name is a resource in it.
        let (namespace, rest) = match rest {
            ["namespaces", _, "status" | "finalize"] => ("", rest),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            _ => ("", rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (plural, None, None),
            [plural, name] => (plural, Some(name), None),
            [plural, name, subresource] => (plural, Some(name), Some(subresource)),
            _ => return None,
        };
        Some(Target {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: (*plural).to_owned(),
            namespace: namespace.to_owned(),
            name: name.map(|name| (*name).to_owned()),
            subresource: subresource.map(|subresource| (*subresource).to_owned()),
        })
    }

    /// The verb as RBAC and audit logs name it.
    pub(super) fn verb(&self, method: &Method, query: &Query) -> Result<&'static str, Refusal> {
        Ok(match (method.as_str(), self.name.is_some()) {
            ("GET" | "HEAD", _) if query.flag("watch") => "watch",
            ("GET" | "HEAD", true) => "get",
            ("GET" | "HEAD", false) => "list",
            ("POST", false) => "create",
            ("POST", true) if self.subresource.is_some() => "create",
            ("PUT", true) => "update",
            ("PATCH", true) => "patch",
            ("DELETE", true) => "delete",
            ("DELETE", false) => "deletecollection",
            _ => return Err(Refusal::method_not_allowed()),
        })
    }
}

/// The query of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(uri: &Uri) -> Query {
        let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        Query(
            pairs
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(key, true), decode(value, true))
                })
                .collect(),
        )
    }

    /// The value, if given and not empty.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, value)| name == key && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        self.0.iter().any(|(name, value)| name == key && matches!(value.as_str(), "" | "true" | "1"))
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.get(key) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| {
            Refusal::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax ({key} is a number)"))
        })
    }
}

/// The manager a write is attributed to: the query's, else the first part of the user agent, as the API server has it.
pub(super) fn field_manager(query: &Query, headers: &HeaderMap) -> String {
    if let Some(manager) = query.get("fieldManager") {
        return manager.to_owned();
    }
    let agent = headers.get(http::header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    match agent.split('/').next() {
        Some("") | None => "unknown".to_owned(),
        Some(program) => program.to_owned(),
    }
}

/// Undoes percent-encoding; in a query `+` is a space.
fn decode(text: &str, query: bool) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes().iter();
    while let Some(&byte) = bytes.next() {
        let hex = |byte: u8| char::from(byte).to_digit(16);
        match byte {
            b'+' if query => decoded.push(b' '),
            b'%' => {
                let rest = bytes.as_slice();
                match rest.first().copied().and_then(hex).zip(rest.get(1).copied().and_then(hex)) {
                    Some((high, low)) => {
                        decoded.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                        bytes.nth(1);
                    }
                    None => decoded.push(b'%'),
                }
            }
            byte => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_point_to_resources() {
        let target = |path| {
            Target::parse(path).map(|t| {
                let Target { group, version, plural, namespace, name, subresource } = t;
                format!(
                    "{group}|{version}|{plural}|{namespace}|{}|{}",
                    name.unwrap_or_default(),
                    subresource.unwrap_or_default()
                )
            })
        };
        for (path, expected) in [
            ("/api/v1/pods", Some("|v1|pods|||")),
            ("/api/v1/namespaces/a/pods/b/status", Some("|v1|pods|a|b|status")),
            ("/api/v1/namespaces/a", Some("|v1|namespaces||a|")),
            ("/api/v1/namespaces/a/finalize", Some("|v1|namespaces||a|finalize")),
            ("/apis/openstack.org/v1/namespaces/a/kuryrports", Some("openstack.org|v1|kuryrports|a||")),
            ("/api/v1", None),
            ("/apis/openstack.org/v1", None),
            ("/version", None),
        ] {
            assert_eq!(target(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_query_is_decoded() {
        let query = Query::of(&"/x?labelSelector=a%3Db%2Cc+in+(d)&watch&limit=5&bad=%zz".parse().unwrap());
        assert_eq!(query.get("labelSelector"), Some("a=b,c in (d)"));
        assert!(query.flag("watch"));
        assert_eq!(query.number("limit").unwrap(), Some(5));
        assert_eq!(query.get("bad"), Some("%zz"));
        assert!(query.number("bad").is_err());
    }
}
