//! deploy/ is what the code makes: plain manifests, the kustomize base, the chart's definitions and its schema. `UPDATE=1` rewrites
//! them. Whether Helm's handwritten templates agree is tested in tests/agreement.rs.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::objects::{self, Scene, configuration};
use super::print;
use super::values::{self, Values};

const WRITTEN: &str = "Written by `UPDATE=1 cargo test -p kuryr deployed`; change crates/kuryr/src/install instead.";
const NAMESPACE: &str = "kube-system";

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn values() -> Values {
    Values::read(&[deploy().join("manifests/values.yaml")], &[]).unwrap()
}

fn all() -> Vec<Value> {
    objects::all(&Scene { values: &values(), namespace: NAMESPACE }).unwrap()
}

#[track_caller]
fn is_there(path: &str, text: &str) {
    let path = deploy().join(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == text, "{} is not what the code makes; run: UPDATE=1 cargo test -p kuryr deployed", path.display());
}

#[test]
fn the_manifests() {
    let mut objects = all();
    for object in &mut objects {
        // People edit it: in words, not in base64.
        if object["kind"] == "Secret" {
            let fields = object.as_object_mut().unwrap();
            fields.remove("data");
            fields.insert("stringData".to_owned(), json!({ "cloud.conf": configuration::cloud_conf(&values().cloud) }));
        }
    }
    let header = format!(
        "# Kuryr: replace the words in capitals in kuryr-config and kuryr-cloud, then: kubectl apply -f kuryr.yaml\n# {WRITTEN}\n"
    );
    is_there("manifests/kuryr.yaml", &(header + &print::yaml(&objects).unwrap()));
}

#[test]
fn the_kustomize_base() {
    let rest: Vec<Value> =
        all().into_iter().filter(|object| object["kind"] != "ConfigMap" && object["kind"] != "Secret").collect();
    is_there("kustomize/base/kuryr.yaml", &format!("# {WRITTEN}\n{}", print::yaml(&rest).unwrap()));
    is_there("kustomize/base/kuryr.conf", &configuration::kuryr_conf(&values()));
    is_there("kustomize/base/cloud.conf", &configuration::cloud_conf(&values().cloud));
}

#[test]
fn the_charts_definitions_and_schema() {
    let definitions = print::yaml(&objects::definitions().unwrap()).unwrap();
    is_there("helm/kuryr/files/crds.yaml", &format!("# {WRITTEN}\n{definitions}"));
    is_there("helm/kuryr/values.schema.json", &print::schema().unwrap());
}

#[test]
fn the_chart_has_our_version() {
    let chart: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(deploy().join("helm/kuryr/Chart.yaml")).unwrap()).unwrap();
    assert_eq!(
        (&chart["version"], &chart["appVersion"]),
        (&json!(env!("CARGO_PKG_VERSION")), &json!(env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn the_schema_knows_the_defaults_and_no_other_name() {
    let defaults: Value = serde_saphyr::from_str(values::DEFAULTS).unwrap();
    let schema: Value = serde_json::from_str(&print::schema().unwrap()).unwrap();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(names(&defaults), names(&schema["properties"]));
    assert_eq!(schema["additionalProperties"], false);
    // Types of the sections are named elsewhere in the schema.
    let section = |name: &str| {
        let reference =
            schema["properties"][name]["$ref"].as_str().or(schema["properties"][name]["allOf"][0]["$ref"].as_str());
        schema.pointer(reference.unwrap().trim_start_matches('#')).unwrap()
    };
    for name in ["image", "cloud", "network", "pools", "controller", "node"] {
        assert_eq!(names(&defaults[name]), names(&section(name)["properties"]), "{name}");
    }
}
