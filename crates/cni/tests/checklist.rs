//! docs/cni-checklist.md is true: every line has a test, every test named exists, every code of our own is listed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code; the lint does not see it in helpers")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How many lines each section has.
const LINES: [(char, usize); 10] =
    [('A', 17), ('B', 14), ('C', 21), ('D', 14), ('E', 11), ('F', 11), ('G', 9), ('H', 5), ('I', 6), ('J', 3)];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// The cells of every table row.
fn rows() -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(root().join("docs/cni-checklist.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.map(|row| row.split(" | ").map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// What stands between backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn every_line_is_there_once_and_names_tests_that_exist() {
    let rows = rows();
    let sources: BTreeMap<&str, String> = rows
        .iter()
        .filter(|row| row.len() == 3 && row[1].starts_with("`crates/"))
        .map(|row| {
            let (name, path) = (row[0].trim_matches('`'), row[1].trim_matches('`'));
            (name, std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}")))
        })
        .collect();
    let mut wrong = Vec::new();
    for (section, count) in LINES {
        for number in 1..=count {
            let id = format!("{section}{number:02}");
            let found: Vec<_> = rows.iter().filter(|row| row[0] == id).collect();
            let [row] = found[..] else {
                wrong.push(format!("{id} is there {} times", found.len()));
                continue;
            };
            let tests: Vec<&str> = quoted(&row[2]).collect();
            if tests.is_empty() {
                wrong.push(format!("{id} has no test"));
            }
            for test in tests {
                let (file, name) = test.split_once("::").unwrap_or((test, ""));
                let source = sources.get(file).map(String::as_str).unwrap_or_default();
                if !is_test(source, name) {
                    wrong.push(format!("{id} names {test}, which does not exist"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether a source has this function, marked as a test.
fn is_test(source: &str, name: &str) -> bool {
    let Some(at) = source.find(&format!("fn {name}(")) else { return false };
    let before: Vec<&str> = source[..at].lines().rev().take(4).collect();
    before.iter().any(|line| line.trim_start().starts_with("#[test]") || line.contains("#[tokio::test"))
}

#[test]
fn every_code_of_our_own_is_listed() {
    let source = std::fs::read_to_string(root().join("crates/node/src/error.rs")).unwrap();
    let rows = rows();
    let mut count = 0;
    for line in source.lines().filter_map(|line| line.trim().strip_prefix("pub const ")) {
        let (name, rest) = line.split_once(": u32 = ").unwrap();
        let code: u32 = rest.trim_end_matches(';').parse().unwrap();
        if code >= 100 {
            count += 1;
            let listed = rows.iter().any(|row| row[0] == code.to_string() && row[1] == format!("`{name}`"));
            assert!(listed, "{code} {name} is not listed");
        }
    }
    assert!(count > 0);
}
