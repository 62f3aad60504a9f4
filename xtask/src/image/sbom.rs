//! The bill of materials: [CycloneDX](https://cyclonedx.org/docs/1.6/json/), one line for every crate that is linked into an
//! executable of the image. Macros, build scripts and what only tests use are not in it, for they are not in the image.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::executables;

/// The packages whose executables are shipped.
const SHIPPED: [&str; 2] = ["kuryr", "kuryr-cni"];

/// A crate of one version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Linked {
    name: String,
    version: String,
    licence: String,
    /// It is of this workspace.
    own: bool,
}

/// The bill of the image with this digest, as JSON.
///
/// # Errors
/// When cargo cannot say what is linked.
pub(super) fn cyclonedx(digest: &str, name: &str) -> Result<String> {
    let mut linked = BTreeSet::new();
    for package in SHIPPED {
        linked.extend(read(&tree(package)?)?);
    }
    let lock = std::fs::read_to_string(crate::root().join("Cargo.lock")).context("Cargo.lock cannot be read")?;
    let bill = bill(&linked, &checksums(&lock), digest, name);
    let mut text = serde_json::to_string_pretty(&bill).context("the bill of materials cannot be written as JSON")?;
    text.push('\n');
    Ok(text)
}

/// What cargo links for our target, one crate per line. Asked for each package alone: together they could turn on features that
/// are not turned on in the executables.
fn tree(package: &str) -> Result<String> {
    let out = Command::new(env!("CARGO"))
        .current_dir(crate::root())
        .args(["tree", "--locked", "--package", package, "--target", &executables::target()])
        .args(["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}|{l}"])
        .output()
        .context("cargo cannot be started")?;
    if !out.status.success() {
        bail!("cargo cannot say what {package} is linked from: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    String::from_utf8(out.stdout).context("cargo's answer is not UTF-8")
}

/// Reads lines like `serde v1.0.228|MIT OR Apache-2.0`, with the folder behind the version if it is our own.
fn read(tree: &str) -> Result<BTreeSet<Linked>> {
    let crates = tree.lines().filter(|line| !line.is_empty()).map(|line| {
        let (package, licence) = line.split_once('|').with_context(|| format!("cargo says {line:?}"))?;
        let mut words = package.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        Ok(Linked {
            name: name.to_owned(),
            version: version.trim_start_matches('v').to_owned(),
            // A crate that was listed before has a mark behind its licence.
            licence: licence.trim_end_matches("(*)").trim().replace('/', " OR "),
            own: words.next().is_some_and(|word| word.starts_with("(/")),
        })
    });
    crates.collect()
}

/// SHA-256 of each crate's package, from Cargo.lock, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let packages = lock.split("[[package]]").skip(1);
    packages
        .filter_map(|package| {
            let value = |key: &str| {
                let line = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
                line.and_then(|rest| rest.strip_suffix('"')).map(str::to_owned)
            };
            Some(((value("name")?, value("version")?), value("checksum")?))
        })
        .collect()
}

fn bill(linked: &BTreeSet<Linked>, checksums: &BTreeMap<(String, String), String>, digest: &str, name: &str) -> Value {
    let component = |part: &Linked| {
        let purl = format!("pkg:cargo/{}@{}", part.name, part.version);
        let mut component = json!({
            "type": "library",
            "bom-ref": purl,
            "name": part.name,
            "version": part.version,
            "purl": purl,
            "licenses": [{ "expression": part.licence }],
        });
        if let Some(sum) = checksums.get(&(part.name.clone(), part.version.clone())).filter(|_| !part.own) {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
        }
        component
    };
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": name,
                "name": name,
                "version": digest,
                "hashes": [{ "alg": "SHA-256", "content": digest.trim_start_matches("sha256:") }],
            },
        },
        "components": linked.iter().map(component).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bill_names_what_is_linked_with_licence_and_sum() {
        let tree =
            "kuryr v0.1.0 (/x/crates/kuryr)|Apache-2.0\nserde v1.0.0|MIT/Apache-2.0\nserde v1.0.0|MIT/Apache-2.0 (*)\n";
        let linked = read(tree).unwrap();
        assert_eq!(linked.len(), 2);
        let lock = "[[package]]\nname = \"serde\"\nversion = \"1.0.0\"\nsource = \"x\"\nchecksum = \"ab\"\n\
                    [[package]]\nname = \"kuryr\"\nversion = \"0.1.0\"\n";
        let bill = bill(&linked, &checksums(lock), "sha256:cd", "x:1");
        let parts = &bill["components"];
        assert_eq!(parts[0]["purl"], "pkg:cargo/kuryr@0.1.0");
        assert!(parts[0].get("hashes").is_none());
        assert_eq!(parts[1]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(parts[1]["hashes"][0]["content"], "ab");
        assert_eq!(bill["metadata"]["component"]["hashes"][0]["content"], "cd");
    }

    #[test]
    fn cargo_says_what_is_linked() {
        let bill: Value = serde_json::from_str(&cyclonedx("sha256:00", "x:1").unwrap()).unwrap();
        let parts = bill["components"].as_array().unwrap();
        let part = |name: &str| parts.iter().find(|part| part["name"] == name);
        assert!(part("ring").unwrap()["hashes"][0]["content"].as_str().unwrap().len() == 64);
        assert!(part("kuryr-node").is_some() && part("serde_json").is_some());
        for absent in ["serde_derive", "insta", "kuryr-fake", "cargo_metadata", "cc"] {
            assert!(part(absent).is_none(), "{absent} is not in the executables");
        }
        assert!(parts.iter().all(|part| !part["licenses"][0]["expression"].as_str().unwrap().is_empty()));
    }
}
