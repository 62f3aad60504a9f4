//! How a block is treated: ```` ```sh SCENE ```` is run in that scene, ```` ```sh by hand ```` is for people.

use super::blocks::Block;
use super::scene::Scene;
use super::{shell, world};

/// Other languages documents show something in.
const NO_COMMANDS: [&str; 3] = ["yaml", "ini", "text"];
/// What a shell has anyway.
const OF_THE_SHELL: [&str; 3] = ["cat", "grep", "true"];

/// What only people can run, by how it begins, and why.
const FOR_PEOPLE: [(&str, &str); 16] = [
    ("git clone", "the address is the reader's"),
    ("cd", "into what was cloned"),
    ("cargo lab", "the stage lab runs it"),
    ("cargo install", "the stage image builds the same, for minutes"),
    ("cargo xtask", "these are the stages themselves"),
    ("curl", "it is asked on a node, of what runs there"),
    ("ctr", "it is done on a node, with containerd"),
    ("skopeo", "it wants a registry"),
    ("systemctl", "it is asked on a node"),
    ("ovs-vsctl", "it is asked on a node, of its Open vSwitch"),
    ("kubectl auth", "the fake decides nothing about rights"),
    ("kubectl logs", "the fake runs no pods, so it has no logs"),
    ("kubectl get validatingwebhookconfigurations", "the fake has no such kind"),
    ("openstack quota", "the client asks Nova and Cinder too, which the fake lacks"),
    ("openstack role", "the fake's users have the rights they have"),
    ("openstack network agent", "the fake has no agents"),
];

/// What is done with a block.
pub(crate) enum Treatment {
    /// No commands.
    Shown,
    /// Run in this scene.
    Run(Scene),
    /// For people.
    ByHand,
}

/// A client of others; what needs one is run where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tool {
    Kubectl,
    Helm,
    Openstack,
}

impl Tool {
    pub(crate) fn of(words: &[String]) -> Option<Tool> {
        match words.first()?.as_str() {
            "kubectl" => Some(Tool::Kubectl),
            "helm" => Some(Tool::Helm),
            "openstack" => Some(Tool::Openstack),
            _ => None,
        }
    }
}

/// How a block is treated, by what stands behind its fence.
pub(crate) fn of(block: &Block) -> Result<Treatment, String> {
    let (language, rest) = block.info.split_once(' ').unwrap_or((&block.info, ""));
    match (language, rest.trim()) {
        (language, "") if NO_COMMANDS.contains(&language) => Ok(Treatment::Shown),
        ("sh", "by hand") => Ok(Treatment::ByHand),
        ("sh", scene) => Scene::of(scene).map(Treatment::Run).ok_or_else(|| format!("there is no scene {scene:?}")),
        _ => Err(format!("what is {:?}? commands are ```sh, everything else one of {NO_COMMANDS:?}", block.info)),
    }
}

/// What is wrong with the commands of a block.
pub(crate) fn complaints(treatment: &Treatment, block: &Block) -> Vec<String> {
    let commands = shell::commands(&block.text);
    let complain = |why: &str, words: &[String]| format!("{why}: {}", words.join(" "));
    match treatment {
        Treatment::Shown => Vec::new(),
        Treatment::Run(_) => {
            let unknown = commands.iter().filter(|words| !is_run(words));
            let mut all: Vec<String> =
                unknown.map(|words| complain("nothing runs this, and it is not ```sh by hand", words)).collect();
            all.extend(
                commands
                    .iter()
                    .flatten()
                    .flat_map(|word| world::unknown_words(word))
                    .map(|word| format!("what is put for {word}?")),
            );
            all
        }
        Treatment::ByHand => {
            let unknown = commands.iter().filter(|words| !is_kuryr(words) && for_people(words).is_none());
            let mut all: Vec<String> =
                unknown.map(|words| complain("it is by hand and not in FOR_PEOPLE, with a reason", words)).collect();
            if commands.iter().all(|words| is_run(words)) {
                all.push("all of it can be run: take `by hand` away".to_owned());
            }
            all
        }
    }
}

/// Entries of the list that nothing needs.
pub(crate) fn unused<'a>(blocks: impl Iterator<Item = &'a Block>) -> Vec<&'static str> {
    let by_hand = blocks.filter(|block| matches!(of(block), Ok(Treatment::ByHand)));
    let used: Vec<&str> =
        by_hand.flat_map(|block| shell::commands(&block.text)).filter_map(|words| for_people(&words)).collect();
    FOR_PEOPLE.iter().map(|(begin, _)| *begin).filter(|begin| !used.contains(begin)).collect()
}

pub(crate) fn is_kuryr(words: &[String]) -> bool {
    words.first().is_some_and(|word| word == "kuryr")
        && words.get(1).is_some_and(|word| word.starts_with(|c: char| c.is_ascii_lowercase() || c == '-'))
}

fn is_run(words: &[String]) -> bool {
    let shell = words.first().is_some_and(|word| OF_THE_SHELL.contains(&word.as_str()));
    for_people(words).is_none() && (shell || is_kuryr(words) || Tool::of(words).is_some())
}

/// The entry of the list that a command is. `kubectl -n NAMESPACE logs NAME` is `kubectl logs`; with a label it finds no pods, and ends
/// well.
fn for_people(words: &[String]) -> Option<&'static str> {
    let mut plain: Vec<&str> = words.iter().map(String::as_str).collect();
    if plain.get(1) == Some(&"-n") {
        plain.drain(1..3.min(plain.len()));
    }
    if plain.starts_with(&["kubectl", "logs"]) && plain.contains(&"-l") {
        return None;
    }
    let plain = plain.join(" ") + " ";
    let begins = |begin: &str| plain.strip_prefix(begin).is_some_and(|rest| rest.starts_with([' ', ',']));
    FOR_PEOPLE.iter().map(|(begin, _)| *begin).find(|begin| begins(begin))
}
