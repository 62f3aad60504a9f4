//! The reader: the files in the folder, the programs on PATH, and what the words in capitals mean to them.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use kuryr_fake::openstack::ADMIN_PASSWORD;
use serde_json::json;

use super::{KURYR, World, root};

/// Words in capitals that are what they are.
const NOT_REPLACED: [&str; 4] = ["END", "OS_CLOUD", "KUBECONFIG", "OS_AUTH_URL"];
/// Words for the reader to replace: what stands for them where nothing is run.
const SAMPLES: [(&str, &str); 14] = [
    ("NAMESPACE", "default"),
    ("HOST:PORT", "10.0.0.5:6443"),
    ("IMAGE", "registry.example.org/kuryr:1"),
    ("PROJECT", "84bf7a8b1a2d4d5c9f6e0b3c5d7e9f10"),
    ("SUBNET", "bb3c1a70-0d5e-4b1c-9f6e-2f6d7f0a1c11"),
    ("GROUP", "7e1b2c44-5a0e-4f6b-8b6c-0d9b2b7c9a10"),
    ("SECONDS", "5"),
    ("NUMBER", "500"),
    ("NODE", "n1"),
    ("POD", "web"),
    ("PORT", "tap"),
    ("FILE", "file"),
    ("NAME", "x"),
    ("USER", "kuryr"),
];
/// `kuryr`, with what it was told to say taken for success: `status`, `check` and `upgrade-check` end with 1 when something is to be mended.
const ANSWERS: &str = r#"#!/bin/sh
said=$(mktemp)
KURYR "$@" 2>"$said"
code=$?
cat "$said" >&2
case "$1" in
  status | check | upgrade-check) [ $code != 1 ] || grep -q '^error:' "$said" || code=0 ;;
esac
rm -f "$said"
exit $code
"#;

/// What the words and the examples of the documents are in this world.
pub(super) fn means(world: &World, port: Option<&str>) -> Vec<(String, String)> {
    let project = world.cloud.project("k8s");
    let groups = world.cloud.list("security-groups");
    let group = groups.iter().find(|group| group["project_id"] == project.as_str()).unwrap();
    let group = group["id"].as_str().unwrap().to_owned();
    let (id, secret) = world.cloud.add_application_credential("k8s-admin", "k8s", "kuryr").unwrap();
    let mut means: Vec<(String, String)> = vec![
        // Examples, as documents have them.
        ("https://keystone.example.org:5000/v3".into(), world.cloud.auth_url()),
        ("21dced0fd20347869b93710d2b98aae0".into(), id),
        ("rEaqvJka48mpv".into(), secret),
        ("84bf7a8b1a2d4d5c9f6e0b3c5d7e9f10".into(), project.clone()),
        ("bb3c1a70-0d5e-4b1c-9f6e-2f6d7f0a1c11".into(), world.network.subnets[0].clone()),
        ("7e1b2c44-5a0e-4f6b-8b6c-0d9b2b7c9a10".into(), group.clone()),
    ];
    for (word, sample) in SAMPLES {
        let here = match word {
            "PROJECT" => &project,
            "SUBNET" => &world.network.subnets[0],
            "GROUP" => &group,
            "PORT" => port.unwrap_or(sample),
            _ => sample,
        };
        means.push((word.to_owned(), here.to_owned()));
    }
    means
}

/// A script with something in place of each word that is for the reader to replace.
pub(crate) fn samples(script: &str) -> String {
    with_meaning(script, &SAMPLES.map(|(word, sample)| (word.to_owned(), sample.to_owned())))
}

pub(super) fn with_meaning(script: &str, means: &[(String, String)]) -> String {
    means.iter().fold(script.to_owned(), |text, (word, meaning)| {
        if word.contains(|c: char| c.is_ascii_lowercase()) {
            return text.replace(word, meaning);
        }
        let mut replaced = String::new();
        let mut rest = text.as_str();
        while let Some(place) = rest.find(word.as_str()) {
            let (before, behind) = (&rest[..place], &rest[place + word.len()..]);
            let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let whole = !before.ends_with(part) && !behind.starts_with(part);
            replaced.push_str(before);
            replaced.push_str(if whole { meaning } else { word });
            rest = behind;
        }
        replaced + rest
    })
}

/// Words in capitals nobody has a meaning for.
pub(crate) fn unknown_words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '$');
    let capitals = words.filter(|word| {
        word.len() >= 3 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_') && !word.starts_with('$')
    });
    let known = |word: &&str| {
        NOT_REPLACED.contains(word) || SAMPLES.iter().any(|(known, _)| known.split(':').any(|k| k == *word))
    };
    capitals.filter(|word| !known(word)).map(str::to_owned).collect()
}

/// Everything a reader has.
pub(super) fn write_files(world: &World) {
    let write = |name: &str, text: &str| std::fs::write(world.path().join(name), text).unwrap();
    let (project, subnet) = (world.cloud.project("k8s"), &world.network.subnets[0]);
    let cloud = json!({
        "authUrl": world.cloud.auth_url(), "username": "k8s-admin", "password": ADMIN_PASSWORD, "projectName": "k8s",
    });
    let network = json!({ "project": project, "podSubnets": [subnet] });
    write("values.yaml", &json!({ "cloud": cloud, "network": network }).to_string());
    write(
        "kuryr.conf",
        &format!(
            "[kubernetes]\napi_root = https://10.0.0.5:6443\n[neutron_defaults]\nproject = {project}\npod_subnet = {subnet}\n"
        ),
    );
    write(
        "cloud.conf",
        &format!(
            "[neutron]\nauth_url = {}\nusername = k8s-admin\nuser_domain_name = Default\npassword = {ADMIN_PASSWORD}\n\
             project_name = k8s\nproject_domain_name = Default\n",
            world.cloud.auth_url()
        ),
    );
    let kuryr = json!({
        "apiVersion": "openstack.org/v1", "kind": "Kuryr", "metadata": { "name": "cluster" },
        "spec": { "apiServer": { "host": "10.0.0.5" }, "cloud": { "existingSecret": "kuryr-cloud" }, "network": network },
    });
    write("kuryr.yaml", &kuryr.to_string());
    symlink(root().join("deploy").canonicalize().unwrap(), world.path().join("deploy")).unwrap();
    let bin = world.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::fs::write(bin.join("kuryr"), ANSWERS.replace("KURYR", KURYR)).unwrap();
    std::fs::set_permissions(bin.join("kuryr"), Permissions::from_mode(0o755)).unwrap();
    // Where there is no such client, what needs it is not run.
    let kubectl = std::env::var_os("KUBE_BIN").map(|folder| PathBuf::from(folder).join("kubectl"));
    for (name, program) in [("kubectl", kubectl), ("helm", std::env::var_os("HELM").map(PathBuf::from))] {
        if let Some(program) = program {
            link(&program, &bin.join(name));
        }
    }
}

fn link(program: &Path, place: &Path) {
    assert!(program.is_file(), "{} is no program", program.display());
    symlink(program, place).unwrap();
}

#[test]
fn words_are_replaced_whole() {
    assert_eq!(samples("a NODE b PODS POD-x $POD"), "a n1 b PODS web-x $web");
    assert_eq!(unknown_words("kuryr NODE WHAT -o ID $HOME OS_CLOUD"), ["WHAT"]);
}
