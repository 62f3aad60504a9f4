//! Which policy a request meets (Octavia, "Layer 7 load balancing"). Pure.

use hyper::header::{COOKIE, HOST};
use hyper::http::request::Parts;
use regex::Regex;

use super::pool::Pool;

/// What is done with requests that match all rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) action: Action,
    pub(super) rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// They are refused.
    Reject,
    /// Clients are sent to this URL, with this status.
    Url(String, u16),
    /// Clients are sent to the same path and query behind this, with this status.
    Prefix(String, u16),
    /// They go to this pool.
    Pool(Pool),
}

/// A rule, in Octavia's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) kind: String,
    /// Which header or cookie.
    pub(super) key: String,
    pub(super) compare_type: String,
    pub(super) value: String,
    pub(super) invert: bool,
}

/// The action of the first policy all of whose rules a request matches. One without rules matches none.
pub(super) fn first<'a>(policies: &'a [Policy], request: &Parts) -> Option<&'a Action> {
    let meets = |policy: &&Policy| !policy.rules.is_empty() && policy.rules.iter().all(|rule| rule.matches(request));
    policies.iter().find(meets).map(|policy| &policy.action)
}

impl Rule {
    fn matches(&self, request: &Parts) -> bool {
        self.subject(request).is_some_and(|text| self.compares(&text)) != self.invert
    }

    /// What the rule is about, if the request has it.
    fn subject(&self, request: &Parts) -> Option<String> {
        let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
        let path = request.uri.path();
        match self.kind.as_str() {
            "HOST_NAME" => header(HOST.as_str()).map(str::to_lowercase),
            "PATH" => Some(path.to_owned()),
            "FILE_TYPE" => path.rsplit_once('.').map(|(_, kind)| kind.to_owned()),
            "HEADER" => header(&self.key).map(str::to_owned),
            "COOKIE" => header(COOKIE.as_str())?
                .split(';')
                .find_map(|cookie| cookie.trim().strip_prefix(&self.key)?.strip_prefix('='))
                .map(str::to_owned),
            _ => None,
        }
    }

    fn compares(&self, text: &str) -> bool {
        match self.compare_type.as_str() {
            "EQUAL_TO" => text == self.value,
            "STARTS_WITH" => text.starts_with(&self.value),
            "ENDS_WITH" => text.ends_with(&self.value),
            "CONTAINS" => text.contains(&self.value),
            "REGEX" => Regex::new(&self.value).is_ok_and(|pattern| pattern.is_match(text)),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn rule(kind: &str, key: &str, compare_type: &str, value: &str) -> Rule {
        let owned = str::to_owned;
        Rule {
            kind: owned(kind),
            key: owned(key),
            compare_type: owned(compare_type),
            value: owned(value),
            invert: false,
        }
    }

    fn request() -> Parts {
        let request = Request::get("/shop/cart.html?id=/x")
            .header("host", "Shop.Example")
            .header("cookie", "a=1; session=abc")
            .header("x-tier", "gold");
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn rules_compare_what_they_are_about() {
        for (found, rule) in [
            (true, rule("HOST_NAME", "", "EQUAL_TO", "shop.example")),
            (false, rule("HOST_NAME", "", "EQUAL_TO", "example")),
            (true, rule("HOST_NAME", "", "ENDS_WITH", ".example")),
            (true, rule("HOST_NAME", "", "REGEX", "^[^.]+\\.example$")),
            (true, rule("PATH", "", "STARTS_WITH", "/shop")),
            (true, rule("PATH", "", "REGEX", "^/shop(/|$)")),
            (false, rule("PATH", "", "REGEX", "^/sho(/|$)")),
            (false, rule("PATH", "", "REGEX", "(")),
            (false, rule("PATH", "", "CONTAINS", "id=")),
            (true, rule("FILE_TYPE", "", "EQUAL_TO", "html")),
            (true, rule("HEADER", "X-Tier", "EQUAL_TO", "gold")),
            (false, rule("HEADER", "X-Other", "EQUAL_TO", "")),
            (true, rule("COOKIE", "session", "EQUAL_TO", "abc")),
            (false, rule("COOKIE", "sess", "CONTAINS", "")),
        ] {
            assert_eq!(rule.matches(&request()), found, "{rule:?}");
            assert_eq!(Rule { invert: true, ..rule.clone() }.matches(&request()), !found, "not {rule:?}");
        }
    }

    #[test]
    fn the_first_policy_counts_all_of_whose_rules_match() {
        let path = rule("PATH", "", "STARTS_WITH", "/");
        let policy = |status, rules| Policy { action: Action::Url(String::new(), status), rules };
        let policies = [
            policy(301, vec![]),
            policy(302, vec![path.clone(), rule("PATH", "", "EQUAL_TO", "/")]),
            policy(303, vec![path.clone()]),
            policy(307, vec![path]),
        ];
        assert_eq!(first(&policies, &request()), Some(&policies[2].action));
        assert_eq!(first(&policies[..2], &request()), None);
    }
}
