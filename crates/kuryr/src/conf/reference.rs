//! The manual of all options, from their table: `kuryr config options`, and docs/configuration.md. The test below fails when
//! the page differs; `UPDATE=1` rewrites it.

use std::fmt::Write as _;

use super::options::{Definition, GROUPS, Reader, Rule, SECTIONS};

const INTRODUCTION: &str = "\
# Configuration: kuryr.conf

<!-- Written by `UPDATE=1 cargo test -p kuryr reference`; change crates/kuryr/src/conf/options instead. -->

The controller and the daemon read the file that kuryr-kubernetes 2024.1 had, with the same names, types and defaults. Files
are named with `--config-file FILE` and `--config-dir FOLDER` (both can be repeated; the later one wins), else
`kuryr-k8s.conf` and `PROGRAM.conf` are looked for in `~/.kuryr-k8s`, `~`, `/etc/kuryr-k8s` and `/etc`, and if there is none
`/etc/kuryr/kuryr.conf`. The environment variable `OS_GROUP__OPTION` (`OS_NEUTRON__PASSWORD`) wins over files.

- `key = value` or `key: value`. Comments are whole lines; a `#` behind a value belongs to the value.
- A line that begins with a blank continues the value above it. One pair of quotes around a value is taken off.
- `$name` and `${group.name}` stand for another option. Where a dollar is meant, in a password for example, write `$$`.
- `kuryr config check controller` (or `daemon`) tells what is wrong or without effect in a file, without starting anything.

Options marked *later* are accepted and belong to a feature that this version does not have; *ignored* ones have no effect.
";

/// The manual, in Markdown.
pub(crate) fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    // Writing to a String cannot fail.
    for group in GROUPS {
        let _ = write!(page, "\n## [{}]\n\n{}\n\n", group.name, group.about);
        page.push_str("| Option | Type | Default | Read by | Meaning |\n|---|---|---|---|---|\n");
        for option in group.options {
            let _ = writeln!(page, "{}", row(option));
        }
    }
    page.push_str("\n## Sections without effect\n\n| Section | Why |\n|---|---|\n");
    for (section, rule) in SECTIONS {
        if let Rule::Ignored(why) | Rule::Gone(why) = rule {
            let _ = writeln!(page, "| `[{section}]` | {why} |");
        }
    }
    page
}

fn row(option: &Definition) -> String {
    let reader = match option.reader {
        Reader::Controller => "controller",
        Reader::Daemon => "daemon",
        Reader::Both => "both",
    };
    let mut meaning = option.help.to_owned();
    meaning.push_str(&match option.rule {
        Rule::Honoured => String::new(),
        Rule::Only(supported, missing) => {
            format!(". *So far only `{}`; anything else needs {missing} and is refused*", supported.join("`, `"))
        }
        Rule::Later(feature) => format!(". *Later: {feature}*"),
        Rule::Ignored(why) => format!(". *Ignored: {why}*"),
        Rule::Gone(cure) => format!(". *Gone: {cure}*"),
    });
    if !option.old.is_empty() {
        let _ = write!(meaning, ". Old name: `{}`", option.old.join("`, `"));
    }
    let default = match option.default {
        None => "–".to_owned(),
        Some("") => "empty".to_owned(),
        Some(default) => format!("`{default}`"),
    };
    format!("| `{}` | {} | {default} | {reader} | {meaning} |", option.name, option.kind.allowed())
}

#[test]
fn the_page_is_as_the_table_says() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == page(),
        "docs/configuration.md is not what the options say; run: UPDATE=1 cargo test -p kuryr reference"
    );
}
