//! What the operator should know about a configuration that is otherwise in order.

use std::collections::BTreeSet;

use super::options::{self, Definition, Reader, Rule};
use super::{Conf, Origin};

/// Everything there is to say, in the order of the files.
pub(super) fn all(conf: &Conf) -> Vec<String> {
    let mut found = Vec::new();
    let own_section = auth_section(conf);
    let mut sections = BTreeSet::new();
    for ((group, name), said) in &conf.said {
        let whole = options::SECTIONS.iter().find(|(section, _)| section == group);
        match (options::find(group, name), whole) {
            (Some((option, _)), _) => found.extend(about(conf, option, &said.value, &said.origin)),
            (None, Some((section, Rule::Gone(cure)))) => {
                if sections.insert(*section) {
                    found.push(format!("{}: section [{section}] has no effect: {cure}", said.origin));
                }
            }
            (None, Some(_)) => {}
            (None, None) if own_section.as_ref() == Some(group) => {}
            (None, None) => found.push(unknown(group, name, &said.origin)),
        }
    }
    found
}

/// The section that `auth_section` names has the credentials, with names of its own choice.
fn auth_section(conf: &Conf) -> Option<String> {
    let said = conf.find(&options::neutron::auth_section)?;
    Some(options::normal(said.value.trim()))
}

fn about(conf: &Conf, option: &Definition, value: &str, origin: &Origin) -> Option<String> {
    if !option.read_by(conf.program) {
        return None;
    }
    let title = option.title();
    match option.rule {
        Rule::Later(feature) if option.default != Some(value.trim()) && !value.trim().is_empty() => {
            Some(format!("{origin}: {title} is set, but {feature}: not in this version yet"))
        }
        Rule::Gone(cure) => Some(format!("{origin}: {title} has no effect: {cure}")),
        _ if option == &options::neutron::insecure && conf.flag(option).unwrap_or(false) => {
            Some(format!("{origin}: {title} is on: whoever is between us and the cloud can read the password"))
        }
        _ => None,
    }
}

impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        (self.group, self.name) == (other.group, other.name)
    }
}

fn unknown(group: &str, name: &str, origin: &Origin) -> String {
    let hint = match options::nearest(group, name) {
        Some(near) => format!("; did you mean {near}?"),
        None => match options::nearest_group(group).filter(|near| *near != group) {
            Some(near) => format!("; did you mean section [{near}]?"),
            None => String::new(),
        },
    };
    format!("{origin}: nobody knows the option [{group}] {name}{hint}")
}

/// A variable that looks like one of ours (`OS_GROUP__OPTION`) and is none. Those of sections without effect have none either.
pub(super) fn unknown_variable(variable: &str) -> Option<String> {
    let (group, name) = variable.strip_prefix("OS_")?.split_once("__")?;
    if options::SECTIONS.iter().any(|(section, _)| section.eq_ignore_ascii_case(group)) {
        return None;
    }
    let likeness = |option: &Definition| strsim::jaro_winkler(&option.variable(), variable);
    let of_use = || options::all().filter(|option| !matches!(option.rule, Rule::Ignored(_) | Rule::Gone(_)));
    // The same name in another section first: sections are what is mixed up.
    let elsewhere = of_use().find(|option| option.name.eq_ignore_ascii_case(name));
    let nearest = elsewhere.or_else(|| of_use().max_by(|a, b| likeness(a).total_cmp(&likeness(b))));
    let hint = nearest
        .filter(|near| elsewhere.is_some() || likeness(near) > 0.85)
        .map_or_else(String::new, |near| format!("; did you mean {}?", near.variable()));
    Some(format!("environment variable {variable} sets no option that anybody knows{hint}"))
}

/// Secrets in a file the daemon reads: it needs none, and every node has them.
pub(crate) fn secrets_on_a_node(conf: &Conf) -> Vec<String> {
    let secrets = options::all().filter(|option| option.is_secret() && option.reader == Reader::Controller);
    secrets
        .filter_map(|option| Some((option, conf.find(option)?)))
        .map(|(option, said)| {
            format!(
                "{}: {} is on this node, where nothing needs it; leave it out of the daemon's file",
                said.origin,
                option.title()
            )
        })
        .collect()
}
