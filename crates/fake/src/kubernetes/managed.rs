//! Who manages which field (`metadata.managedFields`), after structured-merge-diff.

use serde_json::{Value, json};

use super::fields::Fields;
use super::kinds::Kind;
use super::object::{meta_mut, set};
use super::typing::Typing;

/// Who writes, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manager {
    pub(super) name: String,
    pub(super) subresource: String,
    pub(super) claim: Claim,
}

/// Which fields a writer comes to own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// What it changed.
    Changes,
    /// What it applied.
    Applied(Fields),
}

impl Manager {
    /// The cluster itself, which claims nothing.
    pub(super) fn nobody() -> Manager {
        Manager { name: String::new(), subresource: String::new(), claim: Claim::Changes }
    }

    fn operation(&self) -> &'static str {
        match self.claim {
            Claim::Changes => "Update",
            Claim::Applied(_) => "Apply",
        }
    }

    /// Whether the entry of `managedFields` is this manager's.
    fn is(&self, entry: &Value, api_version: &str) -> bool {
        entry["manager"] == *self.name
            && entry["operation"] == *self.operation()
            && entry["subresource"].as_str().unwrap_or_default() == self.subresource
            && (self.operation() == "Apply" || entry["apiVersion"] == *api_version)
    }
}

fn entries(object: &Value) -> Vec<Value> {
    object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default()
}

/// What this manager applied before.
pub(super) fn applied_before(manager: &Manager, object: &Value) -> Fields {
    let mine = entries(object).into_iter().find(|entry| manager.is(entry, ""));
    mine.map(|entry| Fields::parse(&entry["fieldsV1"])).unwrap_or_default()
}

/// The other managers: how error messages call them, and what they own.
pub(super) fn others(manager: &Manager, object: &Value) -> Vec<(String, Fields)> {
    let others = entries(object).into_iter().filter(|entry| !manager.is(entry, ""));
    others
        .map(|entry| {
            let mut called = entry["manager"].to_string();
            if let Some(subresource) = entry["subresource"].as_str() {
                called = format!("{called} with subresource \"{subresource}\"");
            }
            if entry["operation"] == "Update" {
                called = format!("{called} using {}", entry["apiVersion"].as_str().unwrap_or_default());
            }
            (called, Fields::parse(&entry["fieldsV1"]))
        })
        .collect()
}

/// Notes what the manager changed or applied.
pub(super) fn record(kind: &Kind, manager: &Manager, now: &str, old: Option<&Value>, new: &mut Value) {
    let nothing = json!({});
    let (changed, gone) = Fields::diff(Typing::Root(kind), old.unwrap_or(&nothing), new);
    let (changed, gone) = (changed.without_identity(), gone.without_identity());
    let api_version = kind.api_version();
    let mut entries = old.map(entries).unwrap_or_default();
    let mut mine = None;
    entries.retain_mut(|entry| {
        let before = Fields::parse(&entry["fieldsV1"]);
        if mine.is_none() && manager.is(entry, &api_version) {
            mine = Some((entry.clone(), before));
            return false;
        }
        let left = before.difference(&changed).difference(&gone);
        if left != before {
            entry["fieldsV1"] = left.to_value();
        }
        !left.is_empty()
    });
    let before = mine.as_ref().map(|(_, fields)| fields.clone()).unwrap_or_default();
    let after = match &manager.claim {
        Claim::Applied(fields) => fields.clone(),
        Claim::Changes => before.clone().union(&changed).difference(&gone),
    };
    match mine {
        Some((entry, _)) if after == before => entries.push(entry),
        _ if after.is_empty() || manager.name.is_empty() => {}
        _ => {
            let mut entry = json!({
                "manager": manager.name, "operation": manager.operation(), "apiVersion": api_version, "time": now,
                "fieldsType": "FieldsV1", "fieldsV1": after.to_value(),
            });
            if !manager.subresource.is_empty() {
                entry["subresource"] = manager.subresource.clone().into();
            }
            entries.push(entry);
        }
    }
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    entries.sort_by_key(|entry| ["operation", "time", "manager"].map(|field| text(entry, field)));
    set(meta_mut(new), "managedFields", (!entries.is_empty()).then(|| entries.into()));
}
