//! The part of JSONPath that printer columns use: `.a.b`, `['a']`, `\.` in names, `[0]`, `[*]`, `[?(@.a=="b")]`.

use serde_json::Value;

/// The values a path leads to; none if it leads nowhere or cannot be read.
pub(super) fn find<'a>(path: &str, root: &'a Value) -> Vec<&'a Value> {
    let mut found = vec![root];
    let mut rest = path.trim_start_matches('$');
    while !rest.is_empty() {
        let Some((step, after)) = next_step(rest) else { return Vec::new() };
        found = found.into_iter().flat_map(|value| step.take(value)).collect();
        rest = after;
    }
    found
}

#[derive(Debug)]
enum Step {
    Field(String),
    Index(usize),
    All,
    Where { path: String, value: String },
}

impl Step {
    fn take<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Step::Field(field) => value.get(field).into_iter().filter(|value| !value.is_null()).collect(),
            Step::Index(index) => value.get(index).into_iter().collect(),
            Step::All => match value {
                Value::Array(items) => items.iter().collect(),
                Value::Object(fields) => fields.values().collect(),
                _ => Vec::new(),
            },
            Step::Where { path, value: wanted } => {
                let items = value.as_array().into_iter().flatten();
                let is =
                    |value: &&Value| value.as_str().map_or_else(|| value.to_string() == *wanted, |text| text == wanted);
                items.filter(|item| find(path, item).first().is_some_and(is)).collect()
            }
        }
    }
}

fn next_step(path: &str) -> Option<(Step, &str)> {
    if let Some(inner) = path.strip_prefix('[') {
        // A filter may hold brackets and quotes of its own, but ends in `)]`.
        let (inner, rest) = match inner.strip_prefix("?(") {
            Some(filter) => {
                let (filter, rest) = filter.split_once(")]")?;
                let (path, value) = filter.trim().strip_prefix('@')?.split_once("==")?;
                let value = value.trim().trim_matches(['"', '\'']).to_owned();
                return Some((Step::Where { path: path.trim().to_owned(), value }, rest));
            }
            None => inner.split_once(']')?,
        };
        let step = match inner.trim_matches(['"', '\'']) {
            "*" => Step::All,
            quoted if quoted.len() < inner.len() => Step::Field(quoted.to_owned()),
            number => Step::Index(number.parse().ok()?),
        };
        return Some((step, rest));
    }
    let name = path.strip_prefix('.')?;
    let mut field = String::new();
    let mut characters = name.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => field.extend(characters.next().map(|(_, escaped)| escaped)),
            '.' | '[' => return Some((field_step(field), &name[at..])),
            other => field.push(other),
        }
    }
    Some((field_step(field), ""))
}

fn field_step(field: String) -> Step {
    if field == "*" { Step::All } else { Step::Field(field) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_of_printer_columns() {
        let object = json!({
            "metadata": { "labels": { "a.b/c": "x" } },
            "status": { "conditions": [{ "type": "A", "status": "1" }, { "type": "Ready", "status": "True" }] },
            "ips": ["10.0.0.1", "10.0.0.2"],
        });
        for (path, expected) in [
            (".status.conditions[?(@.type==\"Ready\")].status", vec!["True"]),
            (".status.conditions[?(@.type=='Ready')].status", vec!["True"]),
            (".status.conditions[?(@.type==\"None\")].status", vec![]),
            (".metadata.labels.a\\.b/c", vec!["x"]),
            (".metadata.labels['a.b/c']", vec!["x"]),
            (".ips[1]", vec!["10.0.0.2"]),
            (".ips[*]", vec!["10.0.0.1", "10.0.0.2"]),
            (".absent.deeper", vec![]),
            ("broken", vec![]),
        ] {
            assert_eq!(find(path, &object), expected, "{path}");
        }
    }
}
