//! One installation in three forms: `kuryr install --print`, Helm's chart and the kustomize base make the same objects, as the real
//! `helm` and `kubectl` see it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Objects by kind, namespace and name.
type Objects = BTreeMap<String, Value>;

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn output(command: &mut Command) -> String {
    let out = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn objects(text: &str) -> Objects {
    let documents = format!("\n{text}").split("\n---").map(str::to_owned).collect::<Vec<_>>();
    let mut objects = Objects::new();
    let empty = |document: &String| document.lines().all(|line| line.trim().is_empty() || line.starts_with('#'));
    for document in documents.into_iter().filter(|document| !empty(document)) {
        let mut object: Value =
            serde_saphyr::from_str(&document).unwrap_or_else(|error| panic!("{error}:\n{document}"));
        let is_secret = object["kind"] == "Secret";
        // kustomize breaks base64 into lines; who decodes it passes over them.
        for encoded in object.get_mut("data").filter(|_| is_secret).and_then(Value::as_object_mut).into_iter().flatten()
        {
            *encoded.1 = encoded.1.as_str().unwrap().split_whitespace().collect::<String>().into();
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &object["metadata"];
        let key = format!("{} {}/{}", text(&object["kind"]), text(&metadata["namespace"]), text(&metadata["name"]));
        assert!(objects.insert(key.clone(), object).is_none(), "{key} is there twice");
    }
    objects
}

/// Where two values differ, as a path and both sides.
fn differences(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                let none = Value::Null;
                let (a, b) = (a.get(key).unwrap_or(&none), b.get(key).unwrap_or(&none));
                differences(&format!("{path}.{key}"), a, b, found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}[{index}]"), a, b, found);
            }
        }
        (a, b) if a != b => found.push(format!("{path}:\n    kuryr: {a}\n    other: {b}")),
        _ => {}
    }
}

#[track_caller]
fn agree(what: &str, ours: &Objects, theirs: &Objects) {
    let names = |objects: &Objects| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(ours), names(theirs), "{what}: left kuryr install, right the other");
    let mut found = Vec::new();
    for (key, object) in ours {
        differences(key, object, &theirs[key], &mut found);
    }
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

fn kuryr(arguments: &[&str], values: &Path) -> Objects {
    let mut kuryr = Command::new(env!("CARGO_BIN_EXE_kuryr"));
    // Some of the values are words to be replaced, or there to see how they are written; whether they make sense is not asked.
    objects(&output(kuryr.args(["install", "--print", "--force"]).args(arguments).arg("--values").arg(values)))
}

/// Every file of values in tests/values.
fn all_values() -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder("tests/values")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).collect();
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    files
}

#[test]
#[ignore = "needs helm in $HELM; run by cargo xtask test"]
fn the_chart_makes_the_same_objects() {
    let helm = std::env::var_os("HELM").expect("HELM names no executable: run beds/helm/build.sh, which prints one");
    for values in all_values() {
        let mut template = Command::new(&helm);
        template.args(["template", "kuryr"]).arg(folder("../../deploy/helm/kuryr"));
        template.args(["--namespace", "net", "--kube-version", "1.34.0", "--values"]).arg(&values);
        let theirs = objects(&output(&mut template));
        agree(&values.display().to_string(), &kuryr(&["--namespace", "net"], &values), &theirs);
    }
}

#[test]
#[ignore = "needs helm in $HELM; run by cargo xtask test"]
fn the_chart_refuses_what_kuryr_refuses() {
    let helm = std::env::var_os("HELM").expect("HELM names no executable: run beds/helm/build.sh, which prints one");
    let least = "network.project=p,network.podSubnets={s}";
    for (set, word) in
        [("network.bridge=x", "network.project"), ("network.project=p", "podSubnets"), ("netwrok.x=1", "netwrok")]
    {
        let all = if word == "netwrok" { format!("{least},{set}") } else { set.to_owned() };
        let mut template = Command::new(&helm);
        template.args(["template", "kuryr"]).arg(folder("../../deploy/helm/kuryr")).args(["--set", &all]);
        let out = template.output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(!out.status.success() && said.contains(word), "{set}: {said}");
        let out =
            Command::new(env!("CARGO_BIN_EXE_kuryr")).args(["install", "--print", "--set", set]).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.code() == Some(2) && said.contains(word), "{set}: {said}");
    }
}

#[test]
#[ignore = "needs kubectl in $KUBE_BIN; run by cargo xtask test"]
fn the_kustomize_base_makes_the_same_objects() {
    let programs = std::env::var_os("KUBE_BIN").map(PathBuf::from);
    let kubectl =
        programs.expect("KUBE_BIN names no folder with kubectl: run `cargo xtask bed executables`").join("kubectl");
    let theirs = objects(&output(Command::new(kubectl).arg("kustomize").arg(folder("../../deploy/kustomize/base"))));
    agree("deploy/kustomize/base", &kuryr(&[], &folder("../../deploy/manifests/values.yaml")), &theirs);
}
