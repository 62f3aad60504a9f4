//! Files are named for what is in them, short enough to be read, and their tests are not switched off silently.

use std::path::Path;

use super::Tree;

/// Lines of a file of code.
const LONGEST: usize = 800;

/// Names that say nothing: what is in them belongs to something.
const EMPTY_NAMES: [&str; 7] = ["util", "utils", "common", "helper", "helpers", "misc", "shared"];

pub(super) fn check(tree: &Tree) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, text) in tree.with(&["rs", "sh", "py"]) {
        let lines = text.lines().count();
        if lines > LONGEST {
            broken.push(format!("{}: {lines} lines, {LONGEST} at most; divide it by idea", path.display()));
        }
    }
    for (path, text) in tree.with(&["rs"]) {
        for (number, line) in text.lines().enumerate() {
            if line.trim() == "#[ignore]" {
                broken.push(format!(
                    "{}:{}: a test is ignored without saying what it needs",
                    path.display(),
                    number + 1
                ));
            }
        }
    }
    for (path, _) in &tree.files {
        let parts =
            path.iter().map(|part| Path::new(part).file_stem().unwrap_or(part).to_string_lossy().to_lowercase());
        for part in parts.filter(|part| EMPTY_NAMES.contains(&part.as_str())) {
            broken.push(format!("{}: the name {part} says nothing; name it for its one idea", path.display()));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_not_too_long() {
        let text = "x\n".repeat(801);
        assert!(check(&Tree::of(&[("a.rs", &text)]))[0].contains("801 lines"));
        assert_eq!(check(&Tree::of(&[("a.rs", &text[2..]), ("Cargo.lock", &text)])), [""; 0]);
    }

    #[test]
    fn names_say_something() {
        for name in ["src/utils.rs", "src/Common/mod.rs", "helpers.py"] {
            assert_eq!(check(&Tree::of(&[(name, "")])).len(), 1, "{name}");
        }
    }

    #[test]
    fn ignored_tests_say_why() {
        let text = "#[test]\n    #[ignore]\nfn a() {}\n#[ignore = \"needs root\"]";
        assert!(check(&Tree::of(&[("a.rs", text)]))[0].starts_with("a.rs:2:"));
    }
}
