//! Label and field selectors.

use serde_json::Value;

use super::kinds::Kind;
use super::refusal::Refusal;

/// Which objects a list or watch is about; by default all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<FieldRequirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    holds: Holds,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Holds {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldRequirement {
    path: Vec<String>,
    value: String,
    equal: bool,
}

impl Selector {
    pub(super) fn parse(kind: &Kind, labels: Option<&str>, fields: Option<&str>) -> Result<Selector, Refusal> {
        Ok(Selector {
            labels: labels.map(parse_labels).transpose()?.unwrap_or_default(),
            fields: fields.map(|text| parse_fields(kind, text)).transpose()?.unwrap_or_default(),
        })
    }

    pub(super) fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.labels.iter().all(|requirement| requirement.matches(labels[&requirement.key].as_str()))
            && self.fields.iter().all(|requirement| requirement.matches(object))
    }
}

impl Requirement {
    fn matches(&self, label: Option<&str>) -> bool {
        let number = || label.and_then(|label| label.parse::<i64>().ok());
        match &self.holds {
            Holds::Exists => label.is_some(),
            Holds::Absent => label.is_none(),
            Holds::In(values) => label.is_some_and(|label| values.iter().any(|value| value == label)),
            Holds::NotIn(values) => label.is_none_or(|label| values.iter().all(|value| value != label)),
            Holds::Above(bound) => number().is_some_and(|number| number > *bound),
            Holds::Below(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

impl FieldRequirement {
    fn matches(&self, object: &Value) -> bool {
        let value = self.path.iter().fold(object, |value, part| &value[part]);
        let equal = match value {
            Value::String(text) => *text == self.value,
            Value::Null => self.value.is_empty() || self.value == "false",
            Value::Bool(flag) => flag.to_string() == self.value,
            Value::Number(number) => number.to_string() == self.value,
            Value::Array(_) | Value::Object(_) => false,
        };
        equal == self.equal
    }
}

/// `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`.
fn parse_labels(text: &str) -> Result<Vec<Requirement>, Refusal> {
    let unreadable =
        || Refusal::bad_request(format!("unable to parse requirement: found '{text}', expected a selector"));
    let mut requirements = Vec::new();
    for part in split_outside_parentheses(text) {
        let part = part.trim();
        let set = |rest: &str| -> Option<Vec<String>> {
            let inner = rest.trim().strip_prefix('(')?.strip_suffix(')')?;
            Some(inner.split(',').map(|value| value.trim().to_owned()).collect())
        };
        let number = |text: &str| text.trim().parse::<i64>().map_err(|_| unreadable());
        let (key, holds) = if let Some(key) = part.strip_prefix('!') {
            (key, Holds::Absent)
        } else if let Some((key, rest)) = part.split_once(" in ").or_else(|| part.split_once(" in(")) {
            let rest = if rest.contains('(') { rest.to_owned() } else { format!("({rest}") };
            (key, Holds::In(set(&rest).ok_or_else(unreadable)?))
        } else if let Some((key, rest)) = part.split_once(" notin ").or_else(|| part.split_once(" notin(")) {
            let rest = if rest.contains('(') { rest.to_owned() } else { format!("({rest}") };
            (key, Holds::NotIn(set(&rest).ok_or_else(unreadable)?))
        } else if let Some((key, value)) = part.split_once("!=") {
            (key, Holds::NotIn(vec![value.trim().to_owned()]))
        } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            (key, Holds::In(vec![value.trim().to_owned()]))
        } else if let Some((key, value)) = part.split_once('>') {
            (key, Holds::Above(number(value)?))
        } else if let Some((key, value)) = part.split_once('<') {
            (key, Holds::Below(number(value)?))
        } else {
            (part, Holds::Exists)
        };
        let key = key.trim();
        if key.is_empty() || key.contains(|c: char| c.is_whitespace() || "()=!<>".contains(c)) {
            return Err(unreadable());
        }
        requirements.push(Requirement { key: key.to_owned(), holds });
    }
    Ok(requirements)
}

fn split_outside_parentheses(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
}

fn parse_fields(kind: &Kind, text: &str) -> Result<Vec<FieldRequirement>, Refusal> {
    let mut requirements = Vec::new();
    for part in text.split(',') {
        let (path, value, equal) = if let Some((path, value)) = part.split_once("!=") {
            (path, value, false)
        } else if let Some((path, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            (path, value, true)
        } else {
            return Err(Refusal::bad_request(format!("invalid field selector: {text}; can't understand '{part}'")));
        };
        let path = path.trim();
        if !kind.selects_field(path) {
            return Err(Refusal::bad_request(format!("field label not supported: {path}")));
        }
        requirements.push(FieldRequirement {
            path: path.split('.').map(str::to_owned).collect(),
            value: value.trim().to_owned(),
            equal,
        });
    }
    Ok(requirements)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::kinds::Kinds;
    use super::*;

    fn matches(labels: Option<&str>, fields: Option<&str>) -> bool {
        let kinds = Kinds::built_in();
        let pods = kinds.find("", "v1", "pods").unwrap();
        let pod = json!({
            "metadata": { "name": "p", "namespace": "n", "labels": { "app": "web", "tier": "3" } },
            "spec": { "nodeName": "n1", "hostNetwork": true },
        });
        Selector::parse(&pods, labels, fields).unwrap().matches(&pod)
    }

    #[test]
    fn labels() {
        for (selector, expected) in [
            ("app=web", true),
            ("app==web,tier=3", true),
            ("app=db", false),
            ("app!=db", true),
            ("other!=db", true),
            ("app", true),
            ("other", false),
            ("!other", true),
            ("!app", false),
            ("app in (db, web),tier", true),
            ("app in (db)", false),
            ("app notin (db,cache)", true),
            ("other notin (x)", true),
            ("app notin(web)", false),
            ("tier>2,tier<4", true),
            ("tier>3", false),
        ] {
            assert_eq!(matches(Some(selector), None), expected, "{selector}");
        }
    }

    #[test]
    fn fields() {
        for (selector, expected) in [
            ("metadata.name=p,metadata.namespace=n", true),
            ("spec.nodeName=n2", false),
            ("spec.nodeName!=n2", true),
            ("status.phase=", true),
            ("status.phase=Running", false),
            ("spec.hostNetwork=true", true),
        ] {
            assert_eq!(matches(None, Some(selector)), expected, "{selector}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let kinds = Kinds::built_in();
        let pods = kinds.find("", "v1", "pods").unwrap();
        for (labels, fields) in [
            (Some("a in b"), None),
            (Some("a b"), None),
            (Some("a>x"), None),
            (Some(","), None),
            (None, Some("spec.other=1")),
            (None, Some("metadata.name")),
        ] {
            let refused = Selector::parse(&pods, labels, fields).unwrap_err();
            assert_eq!(refused.code, 400, "{labels:?} {fields:?}");
        }
    }
}
