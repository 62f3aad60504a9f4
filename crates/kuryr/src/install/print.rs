//! Objects and schema as text.

use anyhow::{Context as _, Result};
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::values::Values;

/// One YAML document per object.
///
/// # Errors
/// None that is known; JSON can be written as YAML.
pub(crate) fn yaml(objects: &[Value]) -> Result<String> {
    let mut all = String::new();
    for object in objects {
        all.push_str("---\n");
        all.push_str(&serde_saphyr::to_string(object).context("an object cannot be written as YAML")?);
        if !all.ends_with('\n') {
            all.push('\n');
        }
    }
    Ok(all)
}

/// The schema Helm checks values with.
///
/// # Errors
/// None that is known.
pub(crate) fn schema() -> Result<String> {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<Values>();
    let mut text = serde_json::to_string_pretty(&schema).context("the schema cannot be written as JSON")?;
    text.push('\n');
    Ok(text)
}
