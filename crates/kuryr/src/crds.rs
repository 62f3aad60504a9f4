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
    for definition in kuryr_api::crd::definitions() {
        all.push_str("---\n");
        all.push_str(&serde_saphyr::to_string(&definition).context("a definition cannot be written as YAML")?);
        if !all.ends_with('\n') {
            all.push('\n');
        }
    }
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
