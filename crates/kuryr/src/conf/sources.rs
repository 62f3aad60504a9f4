//! Where settings come from: which files, which environment variables, which flags.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::ConfError;
use super::options::Definition;

/// Name under which oslo.config looked for kuryr-kubernetes' files.
const PROJECT: &str = "kuryr-k8s";

/// Where every deployment of kuryr-kubernetes puts its file.
pub(crate) const USUAL: &str = "/etc/kuryr/kuryr.conf";

/// Everything to read, weakest first within each kind.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// Files.
    pub(crate) files: Vec<PathBuf>,
    /// Environment variables.
    pub(crate) variables: Vec<(String, String)>,
    /// Options set by flags.
    pub(crate) flags: Vec<(&'static Definition, String)>,
}

/// What the command line says about files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// `--config-file`
    File(PathBuf),
    /// `--config-dir`
    Folder(PathBuf),
}

/// The files that were named, in order; or, if none was, those at the usual places.
///
/// # Errors
/// A named folder that cannot be read. (A named file that does not exist is found when it is read.)
pub(crate) fn files(named: &[Named], program: &str, home: Option<&Path>) -> Result<Vec<PathBuf>, ConfError> {
    if named.is_empty() {
        return Ok(usual(program, home, Path::new("/")));
    }
    let mut files = Vec::new();
    for named in named {
        match named {
            Named::File(file) => files.push(file.clone()),
            Named::Folder(folder) => {
                files.extend(folder_files(folder).map_err(|why| ConfError::Unreadable { path: folder.clone(), why })?)
            }
        }
    }
    Ok(files)
}

/// All `*.conf` of a folder, sorted. A ConfigMap's folder has links in it; they are followed.
fn folder_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().and_then(OsStr::to_str).is_none_or(|name| name.starts_with('.'));
        if !hidden && path.extension() == Some(OsStr::new("conf")) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// oslo.config's places for `kuryr-k8s.conf` and `PROGRAM.conf`; if there is nothing, the file every deployment names.
fn usual(program: &str, home: Option<&Path>, root: &Path) -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Some(home) = home {
        places.extend([home.join(format!(".{PROJECT}")), home.to_owned()]);
    }
    places.extend([root.join("etc").join(PROJECT), root.join("etc")]);
    let first = |name: String| places.iter().map(|place| place.join(&name)).find(|path| path.exists());
    let mut files: Vec<PathBuf> =
        [PROJECT, program].into_iter().filter_map(|name| first(format!("{name}.conf"))).collect();
    for name in [PROJECT, program] {
        let folder = first(format!("{name}.conf.d"));
        files.extend(folder.and_then(|folder| folder_files(&folder).ok()).unwrap_or_default());
    }
    let usual = root.join(USUAL.trim_start_matches('/'));
    if files.is_empty() && usual.exists() {
        files.push(usual);
    }
    files
}

/// The variables that may be settings, `OS_GROUP__OPTION`.
pub(crate) fn variables() -> Vec<(String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).filter(|(name, _)| name.starts_with("OS_") && name.contains("__")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_conf_files_sorted() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.conf", "a.conf", "c.txt", ".hidden.conf"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let named = [Named::Folder(folder.path().to_owned()), Named::File("/x.conf".into())];
        let files = files(&named, "p", None).unwrap();
        assert_eq!(files, [folder.path().join("a.conf"), folder.path().join("b.conf"), "/x.conf".into()]);
    }

    #[test]
    fn the_usual_places_are_oslos_and_then_kuryr_conf() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            path
        };
        let usual = |home| usual("kuryr-daemon", home, root.path());
        assert_eq!(usual(None), Vec::<PathBuf>::new());
        let last = put("etc/kuryr/kuryr.conf");
        assert_eq!(usual(None), [last]);
        let (project, program) = (put("etc/kuryr-k8s/kuryr-k8s.conf"), put("etc/kuryr-daemon.conf"));
        assert_eq!(usual(None), [project, program.clone()]);
        let (own, drop_in) = (put("home/.kuryr-k8s/kuryr-k8s.conf"), put("etc/kuryr-k8s.conf.d/1.conf"));
        assert_eq!(usual(Some(&root.path().join("home"))), [own, program, drop_in]);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = files(&[Named::Folder("/nowhere/at/all".into())], "p", None).unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all"), "{error}");
    }
}
