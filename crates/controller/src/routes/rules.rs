//! Hosts and paths as rules of Octavia's, and the order they are asked in. Pure.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::Timestamp;
use kuryr_openstack::load_balancing::NewL7Rule;

use super::desired::{Action, Policy};
use crate::cache::Key;

/// One redirection becomes at most so many policies.
const MOST_VARIANTS: usize = 16;
/// The longest value of a rule (Octavia API, "Create an L7 Rule").
pub(crate) const LONGEST_VALUE: usize = 255;

/// Which paths match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// This one.
    Exact(String),
    /// This one and those below it, by whole elements.
    Prefix(String),
    /// Those a regular expression finds.
    Regex(String),
}

/// Which hosts match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Any,
    Exact(String),
    /// What is before this, which begins with a dot, is any number of labels.
    Below(String),
    /// What is before this, which begins with a dot, is one label.
    OneBelow(String),
}

impl Host {
    /// A name of Gateway API's: `*.` is any number of labels.
    pub(crate) fn of_gateway(name: Option<&str>) -> Host {
        match name {
            None | Some("") => Host::Any,
            Some(name) => match name.strip_prefix('*') {
                Some(rest) => Host::Below(rest.to_ascii_lowercase()),
                None => Host::Exact(name.to_ascii_lowercase()),
            },
        }
    }

    /// A name of an Ingress's: `*.` is one label.
    pub(crate) fn of_ingress(name: Option<&str>) -> Host {
        match Host::of_gateway(name) {
            Host::Below(rest) => Host::OneBelow(rest),
            host => host,
        }
    }

    fn rule(&self) -> Option<NewL7Rule> {
        Some(match self {
            Host::Any => return None,
            Host::Exact(name) => rule("HOST_NAME", "EQUAL_TO", name.clone()),
            Host::Below(rest) => rule("HOST_NAME", "ENDS_WITH", rest.clone()),
            Host::OneBelow(rest) => rule("HOST_NAME", "REGEX", format!("^[^.]+{}$", escaped(rest))),
        })
    }

    /// What is more exact comes first.
    fn rank(&self) -> (u8, Reverse<usize>) {
        match self {
            Host::Exact(name) => (0, Reverse(name.len())),
            Host::Below(rest) | Host::OneBelow(rest) => (1, Reverse(rest.len())),
            Host::Any => (2, Reverse(0)),
        }
    }

    /// Whether one host may be in both.
    fn meets(&self, other: &Host) -> bool {
        match (self, other) {
            (Host::Any, _) | (_, Host::Any) => true,
            (Host::Exact(a), Host::Exact(b)) => a == b,
            (Host::Exact(name), Host::Below(rest) | Host::OneBelow(rest))
            | (Host::Below(rest) | Host::OneBelow(rest), Host::Exact(name)) => name.ends_with(rest),
            (Host::Below(a) | Host::OneBelow(a), Host::Below(b) | Host::OneBelow(b)) => {
                a.ends_with(b) || b.ends_with(a)
            }
        }
    }
}

impl Path {
    fn rule(&self) -> NewL7Rule {
        match self {
            Path::Exact(path) => rule("PATH", "EQUAL_TO", path.clone()),
            Path::Prefix(path) if is_root(path) => rule("PATH", "STARTS_WITH", "/".to_owned()),
            Path::Prefix(path) => rule("PATH", "REGEX", format!("^{}(/|$)", escaped(path.trim_end_matches('/')))),
            Path::Regex(pattern) => rule("PATH", "REGEX", pattern.clone()),
        }
    }

    /// What is more exact comes first.
    fn rank(&self) -> (u8, Reverse<usize>) {
        match self {
            Path::Exact(path) => (0, Reverse(path.len())),
            Path::Prefix(path) => (1, Reverse(path.trim_end_matches('/').len())),
            Path::Regex(pattern) => (2, Reverse(pattern.len())),
        }
    }

    /// Whether one path may be in both.
    fn meets(&self, other: &Path) -> bool {
        match (self, other) {
            (Path::Regex(_), _) | (_, Path::Regex(_)) => true,
            (Path::Exact(a), Path::Exact(b)) => a == b,
            (Path::Exact(path), Path::Prefix(prefix)) | (Path::Prefix(prefix), Path::Exact(path)) => {
                is_below(path, prefix)
            }
            (Path::Prefix(a), Path::Prefix(b)) => is_below(a, b) || is_below(b, a),
        }
    }
}

fn is_root(prefix: &str) -> bool {
    prefix.trim_end_matches('/').is_empty()
}

fn is_below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn rule(kind: &str, compare_type: &str, value: String) -> NewL7Rule {
    NewL7Rule { kind: kind.to_owned(), compare_type: compare_type.to_owned(), value, ..NewL7Rule::default() }
}

/// A rule about a header.
pub(crate) fn header(name: &str, is_regex: bool, value: &str) -> NewL7Rule {
    let compare_type = if is_regex { "REGEX" } else { "EQUAL_TO" };
    NewL7Rule { key: Some(name.to_owned()), ..rule("HEADER", compare_type, value.to_owned()) }
}

/// A text as a regular expression that finds this text.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut all, letter| {
        if letter.is_ascii_punctuation()
            && !['/', '-', '_', '~', '%', ',', ':', '@', '&', '=', ';', '!'].contains(&letter)
        {
            all.push('\\');
        }
        all.push(letter);
        all
    })
}

/// Where requests go that match; before they are put in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Routed {
    pub(crate) host: Host,
    pub(crate) path: Path,
    /// Rules about headers.
    pub(crate) headers: BTreeSet<NewL7Rule>,
    pub(crate) to: Action,
    /// When the object that says so was created, which it is, and where in it that is said: the older wins.
    pub(crate) said: (Timestamp, Key, usize),
}

impl Routed {
    fn rules(&self) -> BTreeSet<NewL7Rule> {
        let path = self.path.rule();
        // Every path begins with a slash; the rule is only needed where there would be none.
        let needless = path.compare_type == "STARTS_WITH" && (self.host != Host::Any || !self.headers.is_empty());
        let path = Some(path).filter(|_| !needless);
        self.headers.iter().cloned().chain(self.host.rule()).chain(path).collect()
    }

    /// Whether its rules are not too long for Octavia.
    pub(crate) fn fits(&self) -> bool {
        self.rules().iter().all(|rule| rule.value.chars().count() <= LONGEST_VALUE)
    }
}

/// The policies in the order they are asked in, and the indices of those that cannot be had.
///
/// The most exact host comes first, then the most exact path, then most headers, then the oldest object (Gateway API,
/// "HTTPRouteRule"). Octavia asks all policies that send clients elsewhere before those that lead to pools ("Layer 7 load
/// balancing", L7 policy position), so those get rules besides that leave out what an earlier pool is to have.
pub(crate) fn in_order(routed: &[Routed]) -> (Vec<Policy>, Vec<usize>) {
    let mut order: Vec<usize> = (0..routed.len()).collect();
    let rank = |it: &Routed| (it.host.rank(), it.path.rank(), Reverse(it.headers.len()));
    order.sort_by(|&a, &b| {
        let (a, b) = (&routed[a], &routed[b]);
        rank(a).cmp(&rank(b)).then_with(|| a.said.cmp(&b.said))
    });
    let mut policies: Vec<Policy> = Vec::new();
    let mut refused = Vec::new();
    for (place, &index) in order.iter().enumerate() {
        let one = &routed[index];
        let rules = one.rules();
        // Who asks for the same later gets nothing.
        if order[..place].iter().any(|&earlier| routed[earlier].rules() == rules) {
            continue;
        }
        let earlier = order[..place].iter().map(|&earlier| &routed[earlier]);
        let variants = match one.to.redirects() {
            true => variants(one, earlier.filter(|earlier| !earlier.to.redirects())),
            false => Some(vec![rules]),
        };
        match variants {
            Some(variants) => {
                policies.extend(variants.into_iter().map(|rules| Policy { to: one.to.clone(), rules }));
            }
            None => refused.push(index),
        }
    }
    (policies, refused)
}

/// The rules of a redirection that leaves out what earlier pools have; `None` if they would be too many.
fn variants<'a>(one: &Routed, earlier: impl Iterator<Item = &'a Routed>) -> Option<Vec<BTreeSet<NewL7Rule>>> {
    let mut variants = vec![one.rules()];
    for other in earlier.filter(|other| one.host.meets(&other.host) && one.path.meets(&other.path)) {
        // Not (a and b) is: not a, or not b. Every one of them is a policy.
        let theirs = other.rules();
        let mut next: Vec<BTreeSet<NewL7Rule>> = Vec::new();
        for variant in variants {
            for rule in theirs.iter().filter(|rule| !variant.contains(*rule)) {
                let mut more = variant.clone();
                more.insert(NewL7Rule { invert: true, ..rule.clone() });
                if !next.contains(&more) {
                    next.push(more);
                }
            }
        }
        if next.len() > MOST_VARIANTS {
            return None;
        }
        variants = next;
    }
    Some(variants)
}
