//! Documents keep their word: links lead somewhere, and every test and every figure a promise names is there.

use std::path::{Component, Path, PathBuf};

use super::Tree;

pub(super) fn check(tree: &Tree) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, text) in tree.with(&["md"]) {
        for (number, line) in text.lines().enumerate() {
            let at = format!("{}:{}", path.display(), number + 1);
            for target in links(line) {
                let folder = path.parent().unwrap_or(Path::new(""));
                if !exists(tree, &plain(&folder.join(target))) {
                    broken.push(format!("{at}: the link to {target} leads nowhere"));
                }
            }
            for (file, test) in tests(line) {
                let there = tree.file(file).is_some_and(|code| code.contains(&format!("fn {test}(")));
                if !there {
                    broken.push(format!("{at}: there is no test {test} in {file}"));
                }
            }
            for name in figures(line).filter(|name| !crate::bench::is_promise(name)) {
                broken.push(format!("{at}: cargo xtask bench measures no {name}"));
            }
        }
    }
    broken
}

fn exists(tree: &Tree, path: &Path) -> bool {
    tree.files.iter().any(|(own, _)| own == path || own.starts_with(path))
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// Targets of Markdown links inside the tree.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let inside = targets.filter(|target| !target.contains("://") && !target.starts_with('#') && !target.is_empty());
    inside.map(|target| target.split('#').next().unwrap_or(target))
}

/// Tests named like `` `crates/cni/tests/plugin.rs: it_answers` ``.
fn tests(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let code = line.split('`').skip(1).step_by(2);
    code.filter_map(|code| code.split_once(".rs: ").map(|(file, test)| (&code[..file.len() + 3], test)))
}

/// Figures named like `` `cargo xtask bench add-1 add-10` ``; options and placeholders are none.
fn figures(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split('`').skip(1).step_by(2);
    let words = code.filter_map(|code| code.strip_prefix("cargo xtask bench ")).flat_map(str::split_whitespace);
    words.filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_somewhere() {
        let text = "[a](b.md) [c](../x) [d](https://x) [e](#f)\n[g](no.md) [h](../docs/b.md#part)";
        let broken = check(&Tree::of(&[("docs/a.md", text), ("docs/b.md", ""), ("x/y", "")]));
        assert_eq!(broken, ["docs/a.md:2: the link to no.md leads nowhere"]);
    }

    #[test]
    fn named_tests_are_there() {
        let text = "| fast | `t/a.rs: it_is` and `t/a.rs: it_is_not` |";
        let broken = check(&Tree::of(&[("S.md", text), ("t/a.rs", "fn it_is() {}")]));
        assert_eq!(broken, ["S.md:1: there is no test it_is_not in t/a.rs"]);
    }

    #[test]
    fn named_figures_are_measured() {
        let text = "| fast | ≤ 1 | `cargo xtask bench add-1 add-2` |\nalso `cargo xtask bench [NAMES…] --short` and `cargo xtask bench`";
        assert_eq!(check(&Tree::of(&[("S.md", text)])), ["S.md:1: cargo xtask bench measures no add-2"]);
    }
}
