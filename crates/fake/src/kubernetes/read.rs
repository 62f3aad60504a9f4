//! Reading: get and list, at the latest version or an older one.

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::kinds::Kind;
use super::object;
use super::refusal::Refusal;
use super::request::{Query, Target};
use super::selector::Selector;
use super::state::State;

/// A list as it is answered.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) items: Vec<Arc<Value>>,
    /// The version the list shows.
    pub(super) version: u64,
    /// Where to go on, if there is more.
    pub(super) next: Option<String>,
    pub(super) remaining: Option<usize>,
}

impl Listed {
    /// `metadata` of the list.
    pub(super) fn metadata(&self) -> Value {
        let mut metadata = json!({ "resourceVersion": self.version.to_string() });
        if let Some(next) = &self.next {
            metadata["continue"] = next.clone().into();
        }
        if let Some(remaining) = self.remaining {
            metadata["remainingItemCount"] = remaining.into();
        }
        metadata
    }

    /// The list as JSON, without a copy of its objects: there may be thousands. Items of a list name neither their kind nor their version
    /// unless they are custom resources.
    pub(super) fn text(&self, kind: &Kind) -> String {
        let mut metadata = self.metadata();
        if kind.traits.custom {
            object::default(object::fields_mut(&mut metadata), "continue", "");
        }
        let items: Vec<Item<'_>> =
            self.items.iter().map(|item| Item { object: item, is_whole: kind.traits.custom }).collect();
        let list = List { api_version: &kind.api_version(), items, kind: &kind.list_kind, metadata };
        // Only maps with keys that are no strings, or a Serialize that fails, cannot be written.
        serde_json::to_string(&list).unwrap_or_default()
    }
}

/// What [`Listed::text`] writes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    api_version: &'a str,
    items: Vec<Item<'a>>,
    kind: &'a str,
    metadata: Value,
}

/// An object in a list.
struct Item<'a> {
    object: &'a Value,
    /// With its kind and version.
    is_whole: bool,
}

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.object.as_object().into_iter().flatten();
        serializer
            .collect_map(fields.filter(|(name, _)| self.is_whole || !matches!(name.as_str(), "kind" | "apiVersion")))
    }
}

/// Which objects a request is about: its selectors, and the name if it has one.
pub(super) fn selector(kind: &Kind, target: &Target, query: &Query) -> Result<Selector, Refusal> {
    let fields = match (&target.name, query.get("fieldSelector")) {
        (Some(name), None) => Some(format!("metadata.name={name}")),
        (Some(name), Some(fields)) => Some(format!("metadata.name={name},{fields}")),
        (None, fields) => fields.map(str::to_owned),
    };
    Selector::parse(kind, query.get("labelSelector"), fields.as_deref())
}

/// A key that begins all keys of the namespace; all keys if it is empty.
pub(super) fn prefix(kind: &Kind, namespace: &str) -> String {
    if kind.namespaced && !namespace.is_empty() { format!("{namespace}/") } else { String::new() }
}

impl State {
    pub(super) fn list(&self, kind: &Kind, target: &Target, query: &Query) -> Result<Listed, Refusal> {
        let selector = selector(kind, target, query)?;
        let limit = query.number("limit")?.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
        let at = self.version_to_read(query)?;
        let (version, after) = match query.get("continue") {
            Some(token) => {
                let (version, after) = parse_token(token)?;
                (version, Some(after))
            }
            None => (at.unwrap_or(self.store.version()), None),
        };
        let prefix = prefix(kind, &target.namespace);
        let objects = self.store.range_at(version, &kind.store, &prefix).ok_or_else(|| {
            Refusal::gone(if after.is_some() {
                "The provided continue parameter is too old to display a consistent list result. You can start a new \
                 list without the continue parameter."
            } else {
                "The resourceVersion for the provided list is too old."
            })
        })?;
        let mut matching = objects
            .into_iter()
            .filter(|(key, _)| after.as_ref().is_none_or(|after| key > after))
            .filter(|(_, stored)| selector.matches(stored));
        let page: Vec<_> = matching.by_ref().take(limit.unwrap_or(usize::MAX)).collect();
        let remaining = matching.count();
        let next = page.last().filter(|_| remaining > 0).map(|(key, _)| format!("{version}:{key}"));
        Ok(Listed {
            items: page.iter().map(|(_, stored)| kind.present(stored)).collect(),
            version,
            remaining: next.as_ref().filter(|_| selector.is_everything()).map(|_| remaining),
            next: next.map(|next| hex(&next)),
        })
    }

    /// The version to read: none is the latest. Reading is always up to date, so "not older than" needs no waiting.
    fn version_to_read(&self, query: &Query) -> Result<Option<u64>, Refusal> {
        let wanted = query.number("resourceVersion")?;
        let current = self.store.version();
        let Some(wanted) = wanted.filter(|wanted| *wanted > 0) else {
            if query.get("resourceVersionMatch") == Some("Exact") {
                return Err(Refusal::bad_request(
                    "resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\" or none",
                ));
            }
            return Ok(None);
        };
        if wanted > current {
            return Err(Refusal::version_too_large(wanted, current));
        }
        match query.get("resourceVersionMatch") {
            Some("Exact") => Ok(Some(wanted)),
            None | Some("NotOlderThan") => Ok(None),
            Some(other) => Err(Refusal::bad_request(format!(
                "resourceVersionMatch: Unsupported value: \"{other}\": supported values: \"Exact\", \"NotOlderThan\""
            ))),
        }
    }

    pub(super) fn read(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Arc<Value>, Refusal> {
        let stored = self.get(kind, namespace, name).ok_or_else(|| Refusal::not_found(kind, name))?;
        debug_assert_eq!(object::name(stored), name);
        Ok(kind.present(stored))
    }
}

fn parse_token(token: &str) -> Result<(u64, String), Refusal> {
    let parse = || {
        let text = unhex(token)?;
        let (version, key) = text.split_once(':')?;
        Some((version.parse().ok()?, key.to_owned()))
    };
    parse().ok_or_else(|| Refusal::bad_request("continue key is not valid: it is not one this server gave out"))
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<String> {
    let bytes = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok());
    String::from_utf8(bytes.collect::<Option<Vec<_>>>()?).ok()
}
