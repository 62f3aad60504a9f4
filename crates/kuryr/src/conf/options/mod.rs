//! Every option there is, once. Parsing, checking, the documentation and the hints for misspelt names all come from this
//! table. Names, types and defaults are kuryr-kubernetes 2024.1's unless the help says otherwise; sections of its libraries
//! that mean nothing here are in [`SECTIONS`].

mod kubernetes_side;
mod node_side;
mod openstack_side;
mod process_side;

pub(crate) use kubernetes_side::kubernetes;
pub(crate) use node_side::{cni_daemon, cni_health_server, os_vif_ovs};
pub(crate) use openstack_side::{neutron, neutron_defaults, octavia_defaults, pod_vif_nested};
pub(crate) use process_side::{default, health_server, kuryr, prometheus_exporter};

use super::kinds::Kind;

/// One option.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Definition {
    /// Section.
    pub(crate) group: &'static str,
    /// Key.
    pub(crate) name: &'static str,
    /// Type.
    pub(crate) kind: Kind,
    /// Text of the value if nothing is said.
    pub(crate) default: Option<&'static str>,
    /// Who reads it.
    pub(crate) reader: Reader,
    /// What becomes of it.
    pub(crate) rule: Rule,
    /// What it is for.
    pub(crate) help: &'static str,
    /// Former names, in the same section.
    pub(crate) old: &'static [&'static str],
}

/// Which program reads an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// kuryr-controller.
    Controller,
    /// kuryr-daemon.
    Daemon,
    /// Both.
    Both,
}

/// What becomes of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// It does what it says.
    Honoured,
    /// Only these values work in this version; any other is refused, because going on without would do something else than
    /// was asked for. The text names what is missing.
    Only(&'static [&'static str], &'static str),
    /// Accepted; its feature is not in this version yet, which is said if it is set. The text names the feature.
    Later(&'static str),
    /// Accepted and without effect. The text says why that is right.
    Ignored(&'static str),
    /// Was removed from kuryr-kubernetes too; said if it is set. The text says what to use.
    Gone(&'static str),
}

/// A section of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    /// Name.
    pub(crate) name: &'static str,
    /// What it is about.
    pub(crate) about: &'static str,
    /// Its options.
    pub(crate) options: &'static [Definition],
}

/// Declares sections: `module "section" "about" { name [= "default"]: KIND, READER, RULE, "help" [, old "name"…]; … }`.
/// Every option becomes a constant `module::name`, and `module::GROUP` has them all.
macro_rules! options {
    ($($module:ident $group:literal $about:literal {
        $($name:ident $(= $default:literal)?: $kind:expr, $reader:expr, $rule:expr, $help:literal $(, old $($old:literal)+)?;)*
    })*) => {$(
        #[doc = $about]
        #[allow(non_upper_case_globals, reason = "options are named as in the file")]
        pub(crate) mod $module {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[doc = $help]
                pub(crate) const $name: Definition = Definition {
                    group: $group,
                    name: stringify!($name),
                    kind: $kind,
                    default: options!(@default $($default)?),
                    reader: $reader,
                    rule: $rule,
                    help: $help,
                    old: &[$($($old),+)?],
                };
            )*
            /// All of them.
            pub(crate) const GROUP: Group = Group { name: $group, about: $about, options: &[$($name),*] };
        }
    )*};
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
}
pub(super) use options;

/// The table.
pub(crate) const GROUPS: &[Group] = &[
    process_side::default::GROUP,
    process_side::kuryr::GROUP,
    kubernetes_side::kubernetes::GROUP,
    openstack_side::neutron::GROUP,
    openstack_side::neutron_defaults::GROUP,
    openstack_side::octavia_defaults::GROUP,
    openstack_side::namespace_subnet::GROUP,
    openstack_side::pod_vif_nested::GROUP,
    openstack_side::vif_pool::GROUP,
    openstack_side::pool_manager::GROUP,
    node_side::cni_daemon::GROUP,
    node_side::cni_health_server::GROUP,
    process_side::health_server::GROUP,
    process_side::prometheus_exporter::GROUP,
    node_side::binding::GROUP,
    node_side::os_vif_ovs::GROUP,
    node_side::vhostuser::GROUP,
    node_side::nested_dpdk::GROUP,
];

const PYTHON: Rule = Rule::Ignored("it belongs to a Python library that is no longer there");
const NEVER_WORKED: Rule =
    Rule::Ignored("it had no effect in kuryr-kubernetes either; what was to be cached is watched");

/// Sections that are accepted as a whole, whatever is in them.
pub(crate) const SECTIONS: &[(&str, Rule)] = &[
    ("vif_plug_ovs_privileged", Rule::Ignored("the daemon starts no helper processes")),
    ("vif_plug_linux_bridge_privileged", Rule::Ignored("the daemon starts no helper processes")),
    ("os_vif_linux_bridge", Rule::Ignored("the daemon writes no iptables rules")),
    ("oslo_concurrency", Rule::Ignored("the daemon needs no lock files")),
    ("oslo_versionedobjects", PYTHON),
    ("oslo_reports", PYTHON),
    ("oslo_messaging_amqp", PYTHON),
    ("oslo_messaging_kafka", PYTHON),
    ("oslo_messaging_notifications", PYTHON),
    ("oslo_messaging_rabbit", PYTHON),
    ("cache", NEVER_WORKED),
    ("cache_defaults", NEVER_WORKED),
    ("subnet_caching", NEVER_WORKED),
    ("nodes_caching", NEVER_WORKED),
    ("node_driver_caching", NEVER_WORKED),
    (
        "kuryr-kubernetes",
        Rule::Ignored("no version ever read this section; its one option was printed there by mistake"),
    ),
    ("sriov", Rule::Gone("SR-IOV left kuryr-kubernetes in 7.0; remove the section")),
    ("ingress", Rule::Gone("OpenShift routes left kuryr-kubernetes in 2.0; remove the section")),
    ("namespace_sg", Rule::Gone("it left kuryr-kubernetes in 2.0; NetworkPolicies isolate namespaces")),
    ("namespace_handler_caching", Rule::Gone("it left kuryr-kubernetes in 2.0; remove the section")),
    ("np_handler_caching", Rule::Gone("it left kuryr-kubernetes in 2.0; remove the section")),
    ("vif_handler_caching", Rule::Gone("it left kuryr-kubernetes in 2.0; remove the section")),
    ("pod_ip_caching", Rule::Gone("it left kuryr-kubernetes in 2.0; remove the section")),
];

impl Definition {
    /// Whether this program uses it.
    pub(crate) fn read_by(&self, program: Reader) -> bool {
        self.reader == Reader::Both || program == Reader::Both || self.reader == program
    }

    /// Whether its value may be shown.
    pub(crate) fn is_secret(&self) -> bool {
        self.kind == Kind::Secret
    }

    /// Its name in messages.
    pub(crate) fn title(&self) -> String {
        format!("[{}] {}", self.group, self.name)
    }

    /// The environment variable that sets it, as in oslo.config.
    pub(crate) fn variable(&self) -> String {
        format!("OS_{}__{}", self.group, self.name).to_uppercase()
    }
}

/// A section's name as it is compared: `DEFAULT` exactly, all others in any case.
pub(crate) fn normal(group: &str) -> String {
    if group == "DEFAULT" { group.to_owned() } else { group.to_lowercase() }
}

/// The option of this name, and whether the name is a former one.
pub(crate) fn find(group: &str, name: &str) -> Option<(&'static Definition, bool)> {
    let options = GROUPS.iter().find(|known| known.name == group)?.options;
    let current = options.iter().find(|option| option.name == name).map(|option| (option, false));
    current.or_else(|| options.iter().find(|option| option.old.contains(&name)).map(|option| (option, true)))
}

/// Whether a value may not be shown, in whatever section it is: `auth_section` lets credentials be in any.
pub(crate) fn is_secret(group: &str, name: &str) -> bool {
    let known = find(group, name).or_else(|| find("neutron", name));
    known.is_some_and(|(option, _)| option.is_secret())
}

/// All options.
pub(crate) fn all() -> impl Iterator<Item = &'static Definition> {
    GROUPS.iter().flat_map(|group| group.options)
}

/// The known option that looks most like this one, as a hint: in the same section, or under the same name elsewhere.
pub(crate) fn nearest(group: &str, name: &str) -> Option<String> {
    let of_use = |option: &&Definition| !matches!(option.rule, Rule::Ignored(_) | Rule::Gone(_));
    if let Some(elsewhere) = all().filter(of_use).find(|option| option.name == name && option.group != group) {
        return Some(elsewhere.title());
    }
    let near = |option: &&Definition| option.group == group || strsim::jaro_winkler(option.group, group) > 0.85;
    let likeness = |option: &Definition| strsim::jaro_winkler(option.name, name);
    let best = all().filter(of_use).filter(near).max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.8).then(|| best.title())
}

/// The known section that looks most like this one.
pub(crate) fn nearest_group(name: &str) -> Option<&'static str> {
    let likeness = |group: &str| strsim::jaro_winkler(group, name);
    let best = GROUPS.iter().map(|group| group.name).max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.8).then_some(best)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_default_is_allowed_and_every_name_is_there_once() {
        let mut names = BTreeSet::new();
        for option in all() {
            if let Some(default) = option.default {
                assert!(option.kind.read(default).is_ok(), "{} has a bad default", option.title());
            }
            for name in [option.name].iter().chain(option.old) {
                assert!(names.insert((option.group, *name)), "[{}] {name} is there twice", option.group);
            }
            assert!(!option.help.is_empty() && !option.help.ends_with('.'), "{}: help", option.title());
        }
        for (section, _) in SECTIONS {
            assert!(GROUPS.iter().all(|group| group.name != *section), "[{section}] is in both tables");
        }
    }

    #[test]
    fn only_supported_values_are_values() {
        for option in all() {
            if let Rule::Only(supported, _) = option.rule {
                for value in supported {
                    assert!(option.kind.read(value).is_ok(), "{}: {value}", option.title());
                }
            }
        }
    }

    #[test]
    fn hints_find_what_was_meant() {
        assert_eq!(nearest("neutron_defaults", "pod_subnt").as_deref(), Some("[neutron_defaults] pod_subnet"));
        assert_eq!(nearest("kubernetes", "pod_subnet").as_deref(), Some("[neutron_defaults] pod_subnet"));
        assert_eq!(nearest("neutron_default", "projct").as_deref(), Some("[neutron_defaults] project"));
        assert_eq!(nearest("kubernetes", "zzz"), None);
        assert_eq!(nearest_group("kubernets"), Some("kubernetes"));
    }
}
