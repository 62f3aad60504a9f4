//! The rules of the house that no compiler checks.

mod arrows;
mod manifests;
mod places;
mod promises;
mod sources;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

/// Prints what is broken.
///
/// # Errors
/// When the tree cannot be read.
pub(crate) fn run() -> Result<ExitCode> {
    let broken = all()?;
    for line in &broken {
        println!("{line}");
    }
    println!("{} broken", broken.len());
    Ok(crate::stages::code(broken.is_empty()))
}

/// Everything that is broken, a line for each, with the cure.
///
/// # Errors
/// When the tree cannot be read.
pub(crate) fn all() -> Result<Vec<String>> {
    let tree = Tree::read()?;
    let mut broken = arrows::check()?;
    broken.extend(manifests::check(&tree));
    broken.extend(places::check(&tree, &places::Machine::here()));
    broken.extend(sources::check(&tree));
    broken.extend(promises::check(&tree));
    broken.sort();
    Ok(broken)
}

/// The files of the project that are text, as git knows them: what is ignored is not ours, what is not added yet is.
pub(crate) struct Tree {
    /// Path from the workspace, and content.
    files: Vec<(PathBuf, String)>,
}

impl Tree {
    fn read() -> Result<Tree> {
        let root = crate::root();
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&root)
            .output()
            .context("git cannot be started")?;
        if !listed.status.success() {
            bail!("git ls-files: {}", String::from_utf8_lossy(&listed.stderr).trim());
        }
        let names = String::from_utf8(listed.stdout).context("a file's name is not UTF-8")?;
        let paths = names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
        let text = |path: PathBuf| std::fs::read_to_string(root.join(&path)).ok().map(|text| (path, text));
        Ok(Tree { files: paths.filter_map(text).collect() })
    }

    /// The files with one of these extensions.
    fn with(&self, extensions: &[&str]) -> impl Iterator<Item = (&PathBuf, &str)> {
        let wanted = |path: &PathBuf| path.extension().is_some_and(|own| extensions.iter().any(|e| own == *e));
        self.files.iter().filter(move |(path, _)| wanted(path)).map(|(path, text)| (path, text.as_str()))
    }

    fn file(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|(own, _)| own.as_os_str() == path).map(|(_, text)| text.as_str())
    }

    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Tree {
        Tree { files: files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect() }
    }
}
