//! Which crate may use which: ARCHITECTURE.md says it, in lines like `controller → openstack, api`, and cargo must agree.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use cargo_metadata::{DependencyKind, MetadataCommand};

/// Crates that anyone may use in tests.
const FOR_TESTS: &str = "fake";

/// Crate → crates it may use, by folder.
type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Compares the workspace with ARCHITECTURE.md.
pub(super) fn check() -> Result<Vec<String>> {
    let text =
        std::fs::read_to_string(crate::root().join("ARCHITECTURE.md")).context("ARCHITECTURE.md cannot be read")?;
    let metadata =
        MetadataCommand::new().no_deps().current_dir(crate::root()).exec().context("cargo metadata does not answer")?;
    let mut used = Vec::new();
    for package in metadata.workspace_packages() {
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some()) {
            let test_only = dependency.kind == DependencyKind::Development;
            used.push(Use { from: folder(&package.name), to: folder(&dependency.name), test_only });
        }
    }
    let crates = metadata.workspace_packages().iter().map(|package| folder(&package.name)).collect();
    Ok(compare(&drawn(&text), &crates, &used))
}

struct Use {
    from: String,
    to: String,
    test_only: bool,
}

/// Folders have no prefix.
fn folder(package: &str) -> String {
    package.strip_prefix("kuryr-").unwrap_or(package).to_owned()
}

/// The arrows of the block that begins with ```` ```arrows ````.
fn drawn(text: &str) -> Arrows {
    let block = text.split("```arrows").nth(1).and_then(|rest| rest.split("```").next()).unwrap_or_default();
    let mut arrows = Arrows::new();
    for (from, to) in block.lines().filter_map(|line| line.split_once('→')) {
        let names = |side: &str| -> Vec<String> {
            let words = side.split(',').map(str::trim).filter(|word| !word.is_empty() && *word != "–");
            words.map(str::to_owned).collect()
        };
        for from in names(from) {
            arrows.entry(from).or_default().extend(names(to));
        }
    }
    arrows
}

fn compare(arrows: &Arrows, crates: &BTreeSet<String>, used: &[Use]) -> Vec<String> {
    let mut broken = Vec::new();
    for missing in crates.iter().filter(|name| !arrows.contains_key(*name)) {
        broken
            .push(format!("ARCHITECTURE.md: the arrows do not say what {missing} may use; add a line `{missing} → …`"));
    }
    for unknown in
        arrows.iter().flat_map(|(from, to)| std::iter::once(from).chain(to)).filter(|name| !crates.contains(*name))
    {
        broken.push(format!("ARCHITECTURE.md: the arrows name {unknown}, which is no crate"));
    }
    for Use { from, to, test_only } in used {
        let allowed = arrows.get(from).is_some_and(|allowed| allowed.contains(to)) || (*test_only && to == FOR_TESTS);
        if !allowed {
            let kind = if *test_only { " in tests" } else { "" };
            broken.push(format!(
                "{from} uses {to}{kind}, and ARCHITECTURE.md has no such arrow; turn it round or do without"
            ));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(arrows: &str, used: &[(&str, &str, bool)]) -> Vec<String> {
        let crates = ["a", "b", "fake"].map(str::to_owned).into();
        let used = used.iter().map(|(from, to, test_only)| Use {
            from: (*from).to_owned(),
            to: (*to).to_owned(),
            test_only: *test_only,
        });
        compare(&drawn(arrows), &crates, &used.collect::<Vec<_>>())
    }

    const DRAWN: &str = "text\n```arrows\na → b\nb, fake → –\n```\na → fake";

    #[test]
    fn drawn_arrows_are_allowed_and_the_fake_in_tests() {
        assert_eq!(found(DRAWN, &[("a", "b", false), ("b", "fake", true)]), [""; 0]);
    }

    #[test]
    fn any_other_arrow_is_broken() {
        assert!(found(DRAWN, &[("b", "a", false)])[0].starts_with("b uses a, and"));
        assert!(found(DRAWN, &[("b", "a", true)])[0].starts_with("b uses a in tests, and"));
        assert!(found(DRAWN, &[("a", "fake", false)])[0].starts_with("a uses fake, and"), "outside the block");
    }

    #[test]
    fn every_crate_is_in_the_picture_and_nothing_else() {
        let broken = found("```arrows\na → c\nfake → –\n```", &[]);
        assert!(broken.iter().any(|line| line.contains("what b may use")), "{broken:?}");
        assert!(broken.iter().any(|line| line.contains("name c,")), "{broken:?}");
    }

    #[test]
    fn this_workspace_has_the_arrows_of_its_architecture() {
        assert_eq!(check().unwrap(), [""; 0]);
    }
}
