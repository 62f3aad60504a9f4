//! The test programs of one package, from a build of the whole workspace.
//!
//! `cargo test -p PACKAGE` would compile most dependencies once more: what features they have depends on which packages are
//! chosen. So everything is built together, once, and each stage runs the programs it is about.

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
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// A test program.
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
pub(crate) fn of(mut cargo: Command, folders: &[&str]) -> Result<Vec<Program>> {
    let out = cargo.output().context("cargo cannot be started")?;
    if !out.status.success() {
        bail!("the tests could not be built: {}", out.status);
    }
    let found = programs(&String::from_utf8(out.stdout).context("cargo's messages are not UTF-8")?, folders);
    if found.is_empty() {
        bail!("there are no tests in {}", folders.join(", "));
    }
    Ok(found)
}

fn programs(messages: &str, folders: &[&str]) -> Vec<Program> {
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Artifact>(line).ok());
    let program = |artifact: Artifact| {
        let folder = artifact.manifest_path?.parent().map(Path::to_owned)?;
        let wanted = folders.iter().any(|name| folder.ends_with(Path::new("crates").join(name)));
        let test = artifact.profile.is_some_and(|profile| profile.test);
        (wanted && test).then_some(Program { path: artifact.executable?, folder })
    };
    artifacts.filter_map(program).collect()
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
}
