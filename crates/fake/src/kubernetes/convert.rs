//! One object in several API versions.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::events;
use super::kinds::Kind;

impl Kind {
    /// A stored object in this version.
    pub(super) fn present(&self, stored: &Arc<Value>) -> Arc<Value> {
        if self.api_version() == self.stored_version {
            return stored.clone();
        }
        let mut object = Value::clone(stored);
        object["apiVersion"] = self.api_version().into();
        if self.is("events") {
            rename(&mut object, events::FIELDS.iter().copied());
        }
        Arc::new(object)
    }

    /// An object of this version as it is stored.
    pub(super) fn to_stored(&self, mut object: Value) -> Value {
        object["apiVersion"] = self.stored_version.clone().into();
        object["kind"] = self.kind.clone().into();
        if self.is("events") && self.api_version() != self.stored_version {
            rename(&mut object, events::FIELDS.iter().map(|&(core, new)| (new, core)));
        }
        object
    }
}

fn rename<'a>(object: &mut Value, names: impl Iterator<Item = (&'a str, &'a str)>) {
    let Value::Object(fields) = object else { return };
    let renamed: Map<_, _> =
        names.filter_map(|(old, new)| fields.remove(old).map(|value| (new.to_owned(), value))).collect();
    fields.extend(renamed);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::kinds::Kinds;
    use super::*;

    #[test]
    fn an_event_reads_differently_in_its_two_groups() {
        let kinds = Kinds::built_in();
        let new = kinds.find("events.k8s.io", "v1", "events").unwrap();
        let written = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "regarding": { "name": "p" }, "note": "n", "reportingController": "c", "reason": "r",
        });
        let stored = new.to_stored(written.clone());
        let expected = json!({
            "apiVersion": "v1", "kind": "Event",
            "involvedObject": { "name": "p" }, "message": "n", "reportingComponent": "c", "reason": "r",
        });
        assert_eq!(stored, expected);
        assert_eq!(*new.present(&Arc::new(stored)), written);
    }
}
