//! The manual of all metrics, from the metrics themselves: `kuryr metrics`, and docs/metrics.md. The tests below fail when the
//! page differs (`UPDATE=1` rewrites it), and when a dashboard or an alert names a metric that is not there.

use std::collections::BTreeSet;
use std::fmt::Write as _;

const INTRODUCTION: &str = "\
# Metrics

<!-- Written by `UPDATE=1 cargo test -p kuryr metrics`; change metrics.rs of crates/controller and crates/node instead. -->

`GET /metrics`, OpenMetrics text. The controller serves it on port 9654 (`[prometheus_exporter] controller_exporter_port`), the
daemon of each node on 9655 (`cni_exporter_port`). No label names a pod, a port or another object, so there are few series.
A dashboard and alert rules that use them are in [deploy/monitoring](../deploy/monitoring).
";

/// One metric, as Prometheus stores it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Metric {
    name: String,
    kind: String,
    labels: BTreeSet<String>,
    help: String,
}

/// The manual, in Markdown.
pub(crate) fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for (title, text) in [("Controller", controller()), ("Daemon", kuryr_node::metrics::example())] {
        // Writing to a String cannot fail.
        let _ = write!(page, "\n## {title}\n\n| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n");
        for metric in metrics(&text) {
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
            let _ = writeln!(page, "| `{}` | {} | {labels} | {} |", metric.name, metric.kind, metric.help);
        }
    }
    page
}

fn controller() -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &kuryr_controller::metrics::example());
    text
}

/// The metrics of a page in OpenMetrics' format.
fn metrics(text: &str) -> Vec<Metric> {
    let mut metrics: Vec<Metric> = Vec::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            let help = help.trim_end_matches('.').to_owned();
            metrics.push(Metric { name: name.to_owned(), kind: String::new(), labels: BTreeSet::new(), help });
        } else if let (Some((name, kind)), Some(last)) =
            (line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')), metrics.last_mut())
            && last.name == name
        {
            kind.clone_into(&mut last.kind);
            if kind == "counter" {
                last.name.push_str("_total");
            }
        } else if let (Some((_, rest)), Some(last)) = (line.split_once('{'), metrics.last_mut())
            && !line.starts_with('#')
        {
            let labels = rest.split('}').next().unwrap_or_default().split("\",");
            let names = labels.filter_map(|pair| pair.split_once('=')).map(|(name, _)| name.to_owned());
            last.labels.extend(names.filter(|name| name != "le"));
        }
    }
    metrics
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn file(path: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
    }

    #[test]
    fn the_page_is_as_the_code_says() {
        let path = file("docs/metrics.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, page()).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            there == page(),
            "docs/metrics.md is not what the code says; run: UPDATE=1 cargo test -p kuryr metrics"
        );
    }

    #[test]
    fn every_metric_has_a_type_and_a_meaning() {
        let all: Vec<Metric> =
            [controller(), kuryr_node::metrics::example()].iter().flat_map(|text| metrics(text)).collect();
        assert!(all.len() > 10, "{all:?}");
        for metric in all {
            assert!(
                metric.name.starts_with("kuryr_") && !metric.kind.is_empty() && metric.help.len() > 10,
                "{metric:?}"
            );
        }
    }

    /// Names of our metrics in a text, as Prometheus stores them.
    fn named(text: &str) -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter(|word| word.starts_with("kuryr_")).map(str::to_owned).collect()
    }

    /// Everything Prometheus may store for the metrics there are.
    fn stored() -> BTreeSet<String> {
        let mut stored = BTreeSet::new();
        for metric in [controller(), kuryr_node::metrics::example()].iter().flat_map(|text| metrics(text)) {
            if metric.kind == "histogram" {
                stored.extend(["_bucket", "_sum", "_count"].map(|suffix| format!("{}{suffix}", metric.name)));
            } else {
                stored.insert(metric.name);
            }
        }
        stored
    }

    #[test]
    fn dashboard_and_alerts_name_only_metrics_there_are() {
        let stored = stored();
        for path in ["deploy/monitoring/kuryr-dashboard.json", "deploy/monitoring/kuryr-alerts.yaml"] {
            let text = std::fs::read_to_string(file(path)).unwrap();
            let named = named(&text);
            assert!(named.len() > 5, "{path} names hardly any metric: {named:?}");
            let unknown: Vec<&String> = named.difference(&stored).collect();
            assert!(unknown.is_empty(), "{path} names metrics that are not there: {unknown:?}\nthere are: {stored:?}");
        }
    }

    #[test]
    fn the_dashboard_is_json_with_panels_that_ask_something() {
        let text = std::fs::read_to_string(file("deploy/monitoring/kuryr-dashboard.json")).unwrap();
        let board: serde_json::Value = serde_json::from_str(&text).unwrap();
        let panels = board["panels"].as_array().unwrap();
        let asking = panels.iter().filter(|panel| panel["type"] != "row");
        let ids: BTreeSet<i64> = panels.iter().map(|panel| panel["id"].as_i64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len(), "ids of panels are there once");
        for panel in asking {
            let queries = panel["targets"].as_array().unwrap();
            assert!(!queries.is_empty() && queries.iter().all(|query| query["expr"].is_string()), "{}", panel["title"]);
        }
    }
}
