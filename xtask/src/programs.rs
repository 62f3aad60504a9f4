//! The test programs and benchmarks of packages, as cargo builds them.
//!
//! Tests come from a build of the whole workspace. `cargo test -p PACKAGE` would compile most dependencies once more: what
//! features they have depends on which packages are chosen. So everything is built together, once, and each stage runs the
//! programs it is about.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// A message of `cargo --message-format=json`, as far as it is about test programs.
#[derive(Deserialize)]
struct Artifact {
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    profile: Option<Profile>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// A test program or benchmark.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// The executable.
    pub(crate) path: PathBuf,
    /// Folder of its package, where it expects to run.
    pub(crate) folder: PathBuf,
}

impl Program {
    /// Whether it is the program of this file or folder of its package's `tests/`; cargo adds a hash to its name.
    pub(crate) fn is(&self, name: &str) -> bool {
        let file = self.path.file_name().unwrap_or_default().to_string_lossy();
        file.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'))
    }
}

/// Builds all tests and returns the programs of the packages in these folders of `crates/`.
///
/// # Errors
/// When they do not compile.
pub(crate) fn of(cargo: Command, folders: &[&str]) -> Result<Vec<Program>> {
    let found = programs(&build(cargo, "tests")?, folders);
    if found.is_empty() {
        bail!("there are no tests in {}", folders.join(", "));
    }
    Ok(found)
}

/// Builds what `cargo` says and returns those of the benchmarks with these names that are in it.
///
/// # Errors
/// When they do not compile.
pub(crate) fn benches(cargo: Command, names: &[&'static str]) -> Result<Vec<(&'static str, Program)>> {
    Ok(benchmarks(&build(cargo, "benchmarks")?, names))
}

/// Cargo's messages.
fn build(mut cargo: Command, what: &str) -> Result<String> {
    let out = cargo.output().context("cargo cannot be started")?;
    if !out.status.success() {
        bail!("the {what} could not be built: {}", out.status);
    }
    String::from_utf8(out.stdout).context("cargo's messages are not UTF-8")
}

fn artifacts(messages: &str) -> impl Iterator<Item = Artifact> {
    messages.lines().filter_map(|line| serde_json::from_str(line).ok())
}

fn programs(messages: &str, folders: &[&str]) -> Vec<Program> {
    let program = |artifact: Artifact| {
        let folder = artifact.manifest_path?.parent().map(Path::to_owned)?;
        let wanted = folders.iter().any(|name| folder.ends_with(Path::new("crates").join(name)));
        let test = artifact.profile.is_some_and(|profile| profile.test);
        (wanted && test).then_some(Program { path: artifact.executable?, folder })
    };
    artifacts(messages).filter_map(program).collect()
}

fn benchmarks(messages: &str, names: &[&'static str]) -> Vec<(&'static str, Program)> {
    let benchmark = |artifact: Artifact| {
        let target = artifact.target.filter(|target| target.kind.iter().any(|kind| kind == "bench"))?;
        let name = names.iter().find(|name| **name == target.name)?;
        let folder = artifact.manifest_path?.parent().map(Path::to_owned)?;
        Some((*name, Program { path: artifact.executable?, folder }))
    };
    artifacts(messages).filter_map(benchmark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_test_programs_of_the_folders_count() {
        let line = |folder: &str, test: bool, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/w/crates/{folder}/Cargo.toml","profile":{{"test":{test}}},"executable":{executable}}}"#
            )
        };
        let messages = [
            line("node", true, r#""/t/node""#),
            line("node", false, r#""/t/bin""#),
            line("lab", true, r#""/t/lab""#),
            line("node", true, "null"),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ];
        let found = programs(&messages.join("\n"), &["node"]);
        assert_eq!(found, [Program { path: "/t/node".into(), folder: "/w/crates/node".into() }]);
    }

    #[test]
    fn benchmarks_are_found_by_their_names() {
        let line = |name: &str, kind: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/w/crates/node/Cargo.toml","target":{{"name":"{name}","kind":["{kind}"]}},"profile":{{"test":false}},"executable":"/t/{name}"}}"#
            )
        };
        let messages = [line("plug", "bench"), line("add", "bin"), line("other", "bench")];
        let found = benchmarks(&messages.join("\n"), &["plug", "add"]);
        assert_eq!(found, [("plug", Program { path: "/t/plug".into(), folder: "/w/crates/node".into() })]);
    }
}
