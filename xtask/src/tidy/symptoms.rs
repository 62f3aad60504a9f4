//! docs/troubleshooting.md knows every reason a KuryrPort can have and every alert.

use std::collections::BTreeSet;

use super::Tree;

const DOCUMENT: &str = "docs/troubleshooting.md";
const ALERTS: &str = "deploy/monitoring/kuryr-alerts.yaml";
/// Where reasons are said: all of the controller but its tests.
const CODE: &str = "crates/controller/src/";
/// How they are said.
const SAID: [&str; 3] = ["Trouble::mistake(", "Trouble::bug(", "Trouble::transient("];

pub(super) fn check(tree: &Tree) -> Vec<String> {
    let known = tree.file(DOCUMENT).unwrap_or_default();
    let known: BTreeSet<&str> = known.split(|c: char| !c.is_alphanumeric()).collect();
    let missing = |what: &str, words: BTreeSet<String>| -> Vec<String> {
        let missing = words.into_iter().filter(|word| !known.contains(word.as_str()));
        missing.map(|word| format!("{DOCUMENT}: there is no word of the {what} {word}")).collect()
    };
    let mut broken = missing("reason", reasons(tree));
    broken.extend(missing("alert", alerts(tree)));
    broken
}

fn alerts(tree: &Tree) -> BTreeSet<String> {
    let lines = tree.file(ALERTS).unwrap_or_default().lines();
    lines.filter_map(|line| line.trim().strip_prefix("- alert:")).map(|name| name.trim().to_owned()).collect()
}

/// Words in quotes behind what makes a trouble, and in trouble.rs, which turns errors into troubles, all that look like one.
fn reasons(tree: &Tree) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, text) in tree.with(&["rs"]) {
        let path = path.to_string_lossy();
        if !path.starts_with(CODE) || path.ends_with("tests.rs") {
            continue;
        }
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        let begins: &[&str] = if path.ends_with("/trouble.rs") { &["\"", "("] } else { &SAID };
        let pieces = begins.iter().flat_map(|begin| text.split(begin).skip(1));
        found.extend(pieces.filter_map(word).map(str::to_owned));
    }
    found
}

/// `FirstWord` at the beginning, in quotes or up to one: at least two words in CamelCase.
fn word(text: &str) -> Option<&str> {
    let text = text.trim_start().trim_start_matches('"');
    let word = text.split('"').next()?;
    let camel = word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.chars().all(|c| c.is_ascii_alphanumeric())
        && word.chars().skip(1).any(|c| c.is_ascii_uppercase())
        && word.chars().any(|c| c.is_ascii_lowercase());
    camel.then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_and_an_alert_without_a_word_are_told() {
        let tree = Tree::of(&[
            (DOCUMENT, "| QuotaExceeded | … |\n| KuryrBug | … |"),
            (ALERTS, "groups:\n  - alert: KuryrBug\n  - alert: KuryrNew\n"),
            (
                "crates/controller/src/trouble.rs",
                "(\"QuotaExceeded\", Class::Quota), 404 => (\n  \"NotHere\", Class::Mistake)",
            ),
            (
                "crates/controller/src/placement.rs",
                "Trouble::mistake(\n \"SubnetLost\", \"A sentence.\")\n#[cfg(test)] Trouble::bug(\"OnlyHere\"",
            ),
        ]);
        let told = check(&tree);
        assert_eq!(told.len(), 3, "{told:?}");
        for word in ["reason NotHere", "reason SubnetLost", "alert KuryrNew"] {
            assert!(told.iter().any(|line| line.ends_with(word)), "{word}: {told:?}");
        }
    }
}
