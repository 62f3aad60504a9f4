//! `meta.k8s.io/v1 Table`: what `kubectl get` prints.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::form::metadata_only;
use super::jsonpath;
use super::kinds::Kind;
use super::object;
use super::request::Query;

/// What each row carries besides its cells (`includeObject`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Include {
    Metadata,
    Object,
    Nothing,
}

impl Include {
    pub(super) fn asked(query: &Query) -> Include {
        match query.get("includeObject") {
            Some("Object") => Include::Object,
            Some("None") => Include::Nothing,
            _ => Include::Metadata,
        }
    }
}

const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may \
    allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation \
    idempotence and configuration definition. Cannot be updated. More info: \
    https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";

/// One column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    name: String,
    kind: String,
    format: String,
    description: String,
    /// 0 is always shown, others only with `-o wide`.
    priority: i64,
    path: String,
}

impl Column {
    /// From `additionalPrinterColumns`.
    pub(super) fn declared(column: &Value) -> Column {
        let text = |field: &str| column[field].as_str().unwrap_or_default().to_owned();
        Column {
            name: text("name"),
            kind: text("type"),
            format: text("format"),
            description: match text("description") {
                none if none.is_empty() => {
                    format!("Custom resource definition column (in JSONPath format): {}", text("jsonPath"))
                }
                some => some,
            },
            priority: column["priority"].as_i64().unwrap_or_default(),
            path: text("jsonPath"),
        }
    }

    fn of(name: &str, path: &str, wide: bool) -> Column {
        Column {
            name: name.to_owned(),
            kind: if name == "Age" { "date" } else { "string" }.to_owned(),
            format: if name == "Name" { "name" } else { "" }.to_owned(),
            description: if name == "Name" { NAME.to_owned() } else { String::new() },
            priority: i64::from(wide),
            path: path.to_owned(),
        }
    }

    fn definition(&self) -> Value {
        // The API server sends ages as text.
        let kind = if self.kind == "date" { "string" } else { &self.kind };
        json!({
            "name": self.name, "type": kind, "format": self.format, "description": self.description,
            "priority": self.priority,
        })
    }

    fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let found = match self.path.as_str() {
            "!ready" => return ready(object),
            "!pod status" => return pod_status(object),
            "!restarts" => return restarts(object),
            "!node status" => return node_status(object),
            "!roles" => return roles(object),
            "!ports" => return ports(object),
            "!external" => return external(object),
            "!data" => return data(object),
            path => jsonpath::find(path, object),
        };
        match found.as_slice() {
            [] => Value::Null,
            [Value::String(time)] if self.kind == "date" => age(time, now).into(),
            [value] if self.kind == "string" && !value.is_string() => value.to_string().into(),
            [value] => (*value).clone(),
            values => values.iter().map(|value| text(value)).collect::<Vec<_>>().join(",").into(),
        }
    }
}

/// A table of the objects.
pub(super) fn of(kind: &Kind, objects: &[Arc<Value>], metadata: Value, include: Include, now: Timestamp) -> Value {
    let columns = columns(kind);
    let rows = objects.iter().map(|object| {
        let mut row = json!({
            "cells": columns.iter().map(|column| column.cell(object, now)).collect::<Vec<_>>(),
        });
        match include {
            Include::Metadata => row["object"] = metadata_only(object),
            Include::Object => row["object"] = Value::clone(object),
            Include::Nothing => row["object"] = Value::Null,
        }
        row
    });
    let rows: Vec<_> = rows.collect();
    let definitions: Vec<_> = columns.iter().map(Column::definition).collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": definitions, "rows": rows,
    })
}

fn columns(kind: &Kind) -> Vec<Column> {
    let mut columns = vec![Column::of("Name", ".metadata.name", false)];
    let age = Column::of("Age", ".metadata.creationTimestamp", false);
    if let Some(declared) = &kind.columns {
        columns.extend(declared.iter().cloned());
        return columns;
    }
    let narrow = |name: &str, path: &str| Column::of(name, path, false);
    let wide = |name: &str, path: &str| Column::of(name, path, true);
    match &*kind.store {
        "pods" => {
            columns.extend([
                narrow("Ready", "!ready"),
                narrow("Status", "!pod status"),
                narrow("Restarts", "!restarts"),
                age,
                wide("IP", ".status.podIP"),
                wide("Node", ".spec.nodeName"),
            ]);
            return columns;
        }
        "nodes" => {
            columns.extend([
                narrow("Status", "!node status"),
                narrow("Roles", "!roles"),
                age,
                narrow("Version", ".status.nodeInfo.kubeletVersion"),
                wide("Internal-IP", ".status.addresses[?(@.type==\"InternalIP\")].address"),
            ]);
            return columns;
        }
        "namespaces" => columns.push(narrow("Status", ".status.phase")),
        "services" => columns.extend([
            narrow("Type", ".spec.type"),
            narrow("Cluster-IP", ".spec.clusterIP"),
            narrow("External-IP", "!external"),
            narrow("Port(s)", "!ports"),
        ]),
        "events" => {
            return vec![
                Column::of("Last Seen", ".lastTimestamp", false),
                narrow("Type", ".type"),
                narrow("Reason", ".reason"),
                narrow("Object", ".involvedObject.name"),
                narrow("Message", ".message"),
                wide("Name", ".metadata.name"),
            ];
        }
        "configmaps" | "secrets" => columns.push(narrow("Data", "!data")),
        "networkpolicies.networking.k8s.io" => columns.push(narrow("Pod-Selector", ".spec.podSelector.matchLabels")),
        "leases.coordination.k8s.io" => columns.push(narrow("Holder", ".spec.holderIdentity")),
        "customresourcedefinitions.apiextensions.k8s.io" => {
            return vec![columns.remove(0), narrow("Created At", ".metadata.creationTimestamp")];
        }
        _ => {}
    }
    columns.push(age);
    columns
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// How long ago, as `kubectl` writes it (`duration.HumanDuration`).
fn age(time: &str, now: Timestamp) -> String {
    let Ok(time) = time.parse::<Timestamp>() else {
        return "<invalid>".to_owned();
    };
    let seconds = now.duration_since(time).as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 && seconds % 60 > 0 => format!("{minutes}m{}s", seconds % 60),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 && minutes % 60 > 0 => format!("{hours}h{}m", minutes % 60),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 && hours % 24 > 0 => format!("{days}d{}h", hours % 24),
        _ if days < 730 => format!("{days}d"),
        _ => format!("{}y", days / 365),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn ready(pod: &Value) -> Value {
    let statuses = list(&pod["status"]["containerStatuses"]);
    let ready = statuses.iter().filter(|status| status["ready"] == true).count();
    format!("{ready}/{}", list(&pod["spec"]["containers"]).len()).into()
}

fn pod_status(pod: &Value) -> Value {
    if object::is_deleting(pod) {
        return "Terminating".into();
    }
    let waiting = list(&pod["status"]["containerStatuses"])
        .iter()
        .find_map(|status| status["state"]["waiting"]["reason"].as_str().filter(|reason| !reason.is_empty()));
    let reason = waiting.or_else(|| pod["status"]["reason"].as_str()).or_else(|| pod["status"]["phase"].as_str());
    reason.unwrap_or("Unknown").into()
}

fn restarts(pod: &Value) -> Value {
    let statuses = list(&pod["status"]["containerStatuses"]);
    statuses.iter().filter_map(|status| status["restartCount"].as_u64()).sum::<u64>().to_string().into()
}

fn node_status(node: &Value) -> Value {
    let ready = list(&node["status"]["conditions"]).iter().find(|condition| condition["type"] == "Ready");
    let status = match ready.map(|condition| &condition["status"]) {
        Some(status) if status == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let cordoned = if node["spec"]["unschedulable"] == true { ",SchedulingDisabled" } else { "" };
    format!("{status}{cordoned}").into()
}

fn roles(node: &Value) -> Value {
    let labels = node["metadata"]["labels"].as_object();
    let roles: Vec<_> =
        labels.into_iter().flatten().filter_map(|(label, _)| label.strip_prefix("node-role.kubernetes.io/")).collect();
    if roles.is_empty() { "<none>".into() } else { roles.join(",").into() }
}

fn ports(service: &Value) -> Value {
    let ports = list(&service["spec"]["ports"]).iter().map(|port| {
        let node_port = port["nodePort"].as_u64().map(|number| format!(":{number}")).unwrap_or_default();
        format!("{}{node_port}/{}", port["port"], text(&port["protocol"]))
    });
    let ports: Vec<_> = ports.collect();
    if ports.is_empty() { "<none>".into() } else { ports.join(",").into() }
}

fn external(service: &Value) -> Value {
    let ingress = list(&service["status"]["loadBalancer"]["ingress"]);
    let addresses: Vec<_> = ingress.iter().filter_map(|ingress| ingress["ip"].as_str()).collect();
    match (addresses.is_empty(), service["spec"]["type"].as_str()) {
        (false, _) => addresses.join(",").into(),
        (true, Some("LoadBalancer")) => "<pending>".into(),
        (true, _) => "<none>".into(),
    }
}

fn data(object: &Value) -> Value {
    object["data"].as_object().map_or(0, serde_json::Map::len).to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_written_as_kubectl_writes_them() {
        let now: Timestamp = "2026-01-31T00:00:00Z".parse().unwrap();
        for (time, expected) in [
            ("2026-01-30T23:59:58Z", "2s"),
            ("2026-01-30T23:58:01Z", "119s"),
            ("2026-01-30T23:57:30Z", "2m30s"),
            ("2026-01-30T23:30:00Z", "30m"),
            ("2026-01-30T20:30:00Z", "3h30m"),
            ("2026-01-30T00:00:00Z", "24h"),
            ("2026-01-28T22:00:00Z", "2d2h"),
            ("2026-01-01T00:00:00Z", "30d"),
            ("2020-01-01T00:00:00Z", "6y"),
            ("2026-02-01T00:00:00Z", "<invalid>"),
        ] {
            assert_eq!(age(time, now), expected, "{time}");
        }
    }
}
