//! Text in Rust sources that is not of tests: what a program can say.

use std::path::{Path, PathBuf};

/// The sources below a folder, or one file, without tests.
pub(crate) fn sources(path: &Path) -> Vec<String> {
    let mut files = Vec::new();
    collect(path, &mut files);
    files.sort();
    assert!(!files.is_empty(), "{} has no sources", path.display());
    files.iter().map(|file| without_tests(&std::fs::read_to_string(file).unwrap())).collect()
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            if name != "tests" && !(path.is_file() && path.extension().is_none_or(|ending| ending != "rs")) {
                collect(&path, files);
            }
        }
    } else {
        files.push(path.to_owned());
    }
}

/// Without comments, and without what follows a module of tests, which is last in a file.
fn without_tests(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every string literal, as it is read: escapes and the breaks of long lines are undone.
pub(crate) fn literals(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(literal) = next_literal(&mut rest) {
        found.push(literal);
    }
    found
}

/// The first literal behind each place where a call begins, if it is in that call.
pub(crate) fn literals_of_calls(source: &str, call: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (place, _) in source.match_indices(call) {
        let mut rest = &source[place + call.len()..];
        let before = rest;
        if let Some(literal) = next_literal(&mut rest)
            && !before[..before.find('"').unwrap()].contains([';', ')'])
        {
            found.push(literal);
        }
    }
    found
}

fn next_literal(rest: &mut &str) -> Option<String> {
    loop {
        let begin = rest.find('"')?;
        // A quote as a character is none.
        let is_character = rest[..begin].ends_with('\'') && rest[begin + 1..].starts_with('\'');
        *rest = &rest[begin + 1..];
        if is_character {
            continue;
        }
        let mut literal = String::new();
        let mut characters = rest.char_indices();
        while let Some((place, c)) = characters.next() {
            match c {
                '"' => {
                    *rest = &rest[place + 1..];
                    return Some(literal);
                }
                '\\' => match characters.next()?.1 {
                    '\n' => {
                        let blanks = characters.as_str().len() - characters.as_str().trim_start().len();
                        for _ in 0..blanks {
                            characters.next();
                        }
                    }
                    'n' => literal.push('\n'),
                    other => literal.push(other),
                },
                c => literal.push(c),
            }
        }
        return None;
    }
}

#[test]
fn literals_are_read() {
    let source = "f(a, \"b \\\n      c\"); // \"d\"\n'\"' g(\"e\\\"f\")";
    assert_eq!(literals(source), ["b c", "d", "e\"f"]);
    assert_eq!(literals_of_calls("f(x).y(\"n\"); f(\"l\")", "f("), ["l"]);
}
