//! In which form objects are answered: as they are, as a table, or only their metadata.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use super::kinds::Kind;
use super::read::Listed;
use super::refusal::Refusal;
use super::request::Query;
use super::table::{self, Include};

/// What a client asked for in `Accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The objects.
    Objects,
    /// `meta.k8s.io/v1 Table`, for `kubectl get`. Times are told as ages at this second of the cluster.
    Table { include: Include, now: jiff::Timestamp },
    /// `meta.k8s.io/v1 PartialObjectMetadata`.
    Metadata,
}

impl Form {
    /// The first form in `Accept` that is known.
    pub(super) fn asked(headers: &HeaderMap, query: &Query, now: jiff::Timestamp) -> Form {
        let accept = headers.get(http::header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        for range in accept.split(',') {
            let mut parameters = range.split(';').map(str::trim);
            if !matches!(parameters.next(), Some("application/json" | "*/*" | "application/*")) {
                continue;
            }
            let of_v1 = range.contains("g=meta.k8s.io") && range.contains("v=v1") && !range.contains("v=v1beta1");
            match parameters.find_map(|parameter| parameter.strip_prefix("as=")) {
                None => return Form::Objects,
                Some("Table") if of_v1 => return Form::Table { include: Include::asked(query), now },
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") if of_v1 => return Form::Metadata,
                Some(_) => {}
            }
        }
        Form::Objects
    }

    /// One object.
    pub(super) fn object(self, kind: &Kind, object: &Arc<Value>) -> Value {
        match self {
            Form::Objects => Value::clone(object),
            Form::Metadata => metadata_only(object),
            Form::Table { include, now } => {
                let metadata = json!({ "resourceVersion": object["metadata"]["resourceVersion"] });
                table::of(kind, std::slice::from_ref(object), metadata, include, now)
            }
        }
    }

    /// A list, as JSON.
    pub(super) fn list(self, kind: &Kind, list: &Listed) -> String {
        let items = match self {
            Form::Objects => return list.text(kind),
            Form::Metadata => json!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": list.metadata(),
                "items": list.items.iter().map(|item| metadata_only(item)).collect::<Vec<_>>(),
            }),
            Form::Table { include, now } => table::of(kind, &list.items, list.metadata(), include, now),
        };
        items.to_string()
    }

    /// A watch event.
    pub(super) fn event(self, event: &str, kind: &Kind, object: &Arc<Value>) -> Bytes {
        // Serialised without copying the object where it is sent as it is.
        let object = match self {
            Form::Objects => return line(event, object),
            Form::Table { include, now } => {
                let metadata = json!({ "resourceVersion": object["metadata"]["resourceVersion"] });
                let rows = if event == "BOOKMARK" { &[][..] } else { std::slice::from_ref(object) };
                table::of(kind, rows, metadata, include, now)
            }
            Form::Metadata => metadata_only(object),
        };
        line(event, &object)
    }

    /// The watch event that tells of an error.
    pub(super) fn error(self, refusal: &Refusal) -> Bytes {
        line("ERROR", &refusal.status())
    }
}

fn line(event: &str, object: &Value) -> Bytes {
    format!("{{\"type\":\"{event}\",\"object\":{object}}}\n").into()
}

/// The object's metadata, as an object.
pub(super) fn metadata_only(object: &Value) -> Value {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] })
}
