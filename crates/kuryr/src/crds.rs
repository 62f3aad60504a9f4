//! The custom resource definitions as YAML: `kuryr crds`, and deploy/crds.yaml.

use anyhow::{Context as _, Result};

const HEADER: &str = "\
# The custom resource definitions of Kuryr: kubectl apply -f crds.yaml
# Written by `UPDATE=1 cargo test -p kuryr crds`; change crates/api/src/crd instead.
";

/// All definitions, one YAML document each.
///
/// # Errors
/// None that is known; the types could be written as YAML since they exist.
pub(crate) fn yaml() -> Result<String> {
    let mut all = HEADER.to_owned();
    let mut definitions = Vec::new();
    for definition in kuryr_api::crd::definitions() {
        definitions.push(serde_json::to_value(definition).context("a definition cannot be written as JSON")?);
    }
    // Of no use without the operator, and no harm.
    definitions.push(crate::operator::definition());
    all.push_str(&crate::install::print::yaml(&definitions)?);
    Ok(all)
}

#[test]
fn deploy_has_the_definitions() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crds.yaml");
    let yaml = yaml().unwrap();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &yaml).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == yaml, "deploy/crds.yaml is not what crates/api says; run: UPDATE=1 cargo test -p kuryr crds");
}
