//! Every Cargo.toml takes what the workspace says, and the plugin stays as small as it must be.

use super::Tree;

pub(super) fn check(tree: &Tree) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, text) in tree.with(&["toml"]).filter(|(path, _)| path.ends_with("Cargo.toml")) {
        let name = path.display();
        if text.contains("[workspace]") {
            continue;
        }
        if !text.contains("[lints]\nworkspace = true") {
            broken.push(format!("{name}: no `[lints] workspace = true`; the rules are for all"));
        }
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            if !text.contains(&format!("\n{key}.workspace = true")) {
                broken.push(format!("{name}: {key} is not the workspace's; write {key}.workspace = true"));
            }
        }
        for line in dependencies(text).filter(|line| !line.contains("workspace = true")) {
            broken.push(format!("{name}: `{line}` has a version of its own; put it into the workspace's Cargo.toml"));
        }
    }
    if let Some(plugin) = tree.file("crates/cni/Cargo.toml") {
        let own = plugin.split("[dependencies]").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap_or_default();
        for line in own.lines().filter(|line| line.contains('=') && !line.starts_with("serde_json")) {
            broken.push(format!(
                "crates/cni/Cargo.toml: `{line}`: the plugin is std and serde_json, it starts for every pod"
            ));
        }
    }
    broken
}

/// The lines of all sections of dependencies.
fn dependencies(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter(move |line| {
        if line.starts_with('[') {
            inside = line.contains("dependencies");
            return false;
        }
        inside && line.contains('=') && !line.starts_with('#')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nname = \"x\"\nversion.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
                        license.workspace = true\npublish.workspace = true\n[lints]\nworkspace = true\n[dependencies]\n";

    fn found(name: &str, more: &str) -> Vec<String> {
        check(&Tree::of(&[(name, &format!("{GOOD}{more}"))]))
    }

    #[test]
    fn a_manifest_takes_everything_from_the_workspace() {
        assert_eq!(found("a/Cargo.toml", "serde.workspace = true\n"), [""; 0]);
        assert!(found("a/Cargo.toml", "serde = \"1\"\n")[0].contains("a version of its own"));
        assert_eq!(check(&Tree::of(&[("a/Cargo.toml", "[package]\n")])).len(), 6);
    }

    #[test]
    fn the_plugin_has_one_dependency() {
        assert_eq!(
            found("crates/cni/Cargo.toml", "serde_json.workspace = true\n[dev-dependencies]\nx.workspace = true\n"),
            [""; 0]
        );
        assert!(found("crates/cni/Cargo.toml", "tokio.workspace = true\n")[0].contains("std and serde_json"));
    }
}
