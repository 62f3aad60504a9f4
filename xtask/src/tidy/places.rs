//! Nothing in the tree names the machine it was written on: its paths, or the package mirrors it is set up with.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Tree;

/// Folders that belong to everyone.
const COMMON: [&str; 9] = ["/", "/tmp", "/home", "/opt", "/srv", "/usr", "/usr/src", "/var", "/var/tmp"];

/// Hosts that documents may name.
const PUBLIC: [&str; 8] = [
    "crates.io",
    "github.com",
    "pypi.org",
    "files.pythonhosted.org",
    "proxy.golang.org",
    "sum.golang.org",
    "deb.debian.org",
    "security.debian.org",
];

/// What gives this machine away.
pub(super) struct Machine(Vec<String>);

impl Machine {
    /// This one: where the tree lies, whose home it is, which mirrors are set up.
    pub(super) fn here() -> Machine {
        let mut words = BTreeSet::new();
        let root = crate::root();
        let parent = root.parent().filter(|parent| !COMMON.iter().any(|common| Path::new(common) == *parent));
        let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.parent().is_some());
        for folder in [parent.map(Path::to_owned), Some(root), home.clone()].into_iter().flatten() {
            words.insert(format!("{}/", folder.display()));
        }
        let mut settings: Vec<String> =
            ["GOPROXY", "PIP_INDEX_URL", "UV_INDEX_URL", "NPM_CONFIG_REGISTRY", "HTTPS_PROXY", "https_proxy"]
                .iter()
                .filter_map(|name| std::env::var(name).ok())
                .collect();
        let own = |path: &str| home.as_ref().map(|home| home.join(path));
        let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| own(".cargo"));
        let files = [
            cargo.map(|cargo| cargo.join("config.toml")),
            own(".config/pip/pip.conf"),
            own(".pip/pip.conf"),
            own(".config/go/env"),
            Some("/etc/pip.conf".into()),
            Some("/etc/apt/sources.list".into()),
        ];
        settings.extend(files.into_iter().flatten().filter_map(|file| std::fs::read_to_string(file).ok()));
        words.extend(settings.iter().flat_map(|text| hosts(text)));
        Machine(words.into_iter().collect())
    }
}

/// The hosts of all addresses in a text.
fn hosts(text: &str) -> Vec<String> {
    let mut hosts = Vec::new();
    for rest in text.split("://").skip(1) {
        let authority =
            rest.split(|c: char| c == '/' || c.is_whitespace() || "\"',|".contains(c)).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default().split(':').next().unwrap_or_default();
        let public = PUBLIC.iter().any(|known| host == *known || host.ends_with(&format!(".{known}")));
        let local = matches!(host, "localhost" | "127.0.0.1" | "");
        if host.contains('.') && !public && !local {
            hosts.push(host.to_owned());
        }
    }
    hosts
}

pub(super) fn check(tree: &Tree, machine: &Machine) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, text) in &tree.files {
        for (number, line) in text.lines().enumerate() {
            for word in machine.0.iter().filter(|word| line.contains(word.as_str())) {
                broken.push(format!(
                    "{}:{}: names this machine's {word}; nobody else has it",
                    path.display(),
                    number + 1
                ));
            }
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_or_mirror_of_this_machine_is_found() {
        let machine = Machine(vec!["/somewhere/kuryr/".to_owned(), "mirror.example.net".to_owned()]);
        let tree = Tree::of(&[("a.md", "fine\nsee /somewhere/kuryr/x"), ("b.sh", "curl https://mirror.example.net/")]);
        let broken = check(&tree, &machine);
        assert_eq!(broken.len(), 2, "{broken:?}");
        assert!(broken[0].starts_with("a.md:2: ") && broken[1].starts_with("b.sh:1: "));
    }

    #[test]
    fn hosts_are_those_of_addresses_and_not_public() {
        let text = "index = \"sparse+https://user:pw@mirror.example.net:8443/x\" https://index.crates.io/ http://localhost:1 direct";
        assert_eq!(hosts(text), ["mirror.example.net"]);
    }

    #[test]
    fn this_machine_has_a_place() {
        assert!(Machine::here().0.iter().any(|word| word.ends_with('/')));
    }
}
