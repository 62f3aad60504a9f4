//! The definition of the custom resource `Kuryr`. Its schema is made from the values that `kuryr install` reads, so that there is one table.
//!
//! Unlike the values it has nothing secret: whoever may look at the cluster may read a custom resource. The cloud is reached with a Secret
//! that is named.

use kube::core::schema::StructuralSchemaRewriter;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::resource::{KIND, NAME, PLURAL, Status};
use crate::install::values::Values;

/// What of `cloud` can be said in a custom resource; the rest is in the Secret.
const CLOUD: [&str; 3] = ["existingSecret", "cloudName", "ca"];
/// A number or a text like `10%`.
const NUMBER_OR_TEXT: &str = "maxUnavailable";

/// The definition, to be applied as it is.
pub(crate) fn definition() -> Value {
    let mut spec = structural(schema_of::<Values>(), true);
    if let Some(cloud) = spec.pointer_mut("/properties/cloud/properties").and_then(Value::as_object_mut) {
        cloud.retain(|name, _| CLOUD.contains(&name.as_str()));
    }
    spec["description"] =
        "How Kuryr is to be: the values of `kuryr install` and of Helm's chart, without credentials. What is not said is as there.".into();
    let mut status = structural(schema_of::<Status>(), false);
    status["properties"]["conditions"]["x-kubernetes-list-type"] = "map".into();
    status["properties"]["conditions"]["x-kubernetes-list-map-keys"] = json!(["type"]);
    let group = kuryr_api::names::GROUP;
    let column = |name: &str, kind: &str, path: &str, description: &str| json!({ "name": name, "type": kind, "jsonPath": path, "description": description });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{PLURAL}.{group}") },
        "spec": {
            "group": group,
            "scope": "Cluster",
            "names": { "kind": KIND, "listKind": format!("{KIND}List"), "plural": PLURAL, "singular": "kuryr" },
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "subresources": { "status": {} },
                "additionalPrinterColumns": [
                    column("Available", "string", ".status.conditions[?(@.type==\"Available\")].status", "Whether pods get their network"),
                    column("Progressing", "string", ".status.conditions[?(@.type==\"Progressing\")].status", "Whether something is being rolled out"),
                    column("Degraded", "string", ".status.conditions[?(@.type==\"Degraded\")].status", "Whether somebody must look"),
                    column("Version", "string", ".status.version", "Version of the operator"),
                    column("Age", "date", ".metadata.creationTimestamp", "Since when"),
                ],
                "schema": { "openAPIV3Schema": {
                    "type": "object",
                    "description": "Kuryr in this cluster. There is one, and its name is cluster.",
                    "required": ["spec"],
                    "properties": {
                        "apiVersion": { "type": "string" },
                        "kind": { "type": "string" },
                        "metadata": { "type": "object" },
                        "spec": spec,
                        "status": status,
                    },
                    "x-kubernetes-validations": [{
                        "rule": format!("self.metadata.name == '{NAME}'"),
                        "message": format!("there is one Kuryr in a cluster, and its name is {NAME}"),
                    }],
                } },
            }],
        },
    })
}

fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    settings.with_transform(StructuralSchemaRewriter).into_generator().into_root_schema_for::<T>().into()
}

/// What the API server takes as a structural schema. `optional`: nothing must be said, for there are defaults elsewhere.
fn structural(schema: Value, optional: bool) -> Value {
    let Value::Object(mut schema) = schema else { return json!({ "x-kubernetes-preserve-unknown-fields": true }) };
    for name in ["title", "default", "$schema"] {
        schema.remove(name);
    }
    if optional {
        schema.remove("required");
    }
    // The API server knows signed formats alone; the limits are said beside it.
    if schema.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
        schema.remove("format");
    }
    if let Some(Value::Object(properties)) = schema.remove("properties") {
        let inner = properties.into_iter().map(|(name, inner)| {
            let mut inner = structural(inner, optional);
            if name == NUMBER_OR_TEXT {
                inner = json!({ "description": inner["description"], "x-kubernetes-int-or-string": true });
            }
            (name, inner)
        });
        schema.insert("properties".to_owned(), Value::Object(inner.collect::<Map<_, _>>()));
        schema.remove("additionalProperties");
    }
    if let Some(items) = schema.remove("items") {
        let mut items = structural(items, optional);
        if items.get("type").is_none() {
            items["type"] = "object".into();
        }
        schema.insert("items".to_owned(), items);
    }
    match schema.remove("additionalProperties") {
        Some(Value::Bool(false)) | None => {}
        Some(Value::Bool(true)) => {
            schema.insert("x-kubernetes-preserve-unknown-fields".to_owned(), true.into());
        }
        Some(inner) => {
            schema.insert("additionalProperties".to_owned(), structural(inner, optional));
        }
    }
    if !schema.contains_key("type") {
        schema.insert("x-kubernetes-preserve-unknown-fields".to_owned(), true.into());
    }
    Value::Object(schema)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::values::DEFAULTS;

    fn properties(path: &str) -> Map<String, Value> {
        let schema = &definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        schema.pointer(&format!("/properties{path}/properties")).unwrap().as_object().unwrap().clone()
    }

    #[test]
    fn it_knows_every_value_and_nothing_that_is_secret() {
        let defaults: Value = serde_saphyr::from_str(DEFAULTS).unwrap();
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let known = |path: &str| properties(path).keys().cloned().collect::<Vec<_>>();
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        assert_eq!(sorted(names(&defaults)), sorted(known("/spec")));
        for section in ["image", "network", "pools", "controller", "node", "log"] {
            assert_eq!(
                sorted(names(&defaults[section])),
                sorted(known(&format!("/spec/properties/{section}"))),
                "{section}"
            );
        }
        assert_eq!(sorted(known("/spec/properties/cloud")), ["ca", "cloudName", "existingSecret"]);
        let text = definition().to_string().to_lowercase();
        assert!(!text.contains("password") && !text.contains("credentialsecret"));
    }

    #[test]
    fn a_cluster_takes_it_and_prunes_what_it_does_not_know() {
        let cluster = kuryr_fake::kubernetes::Cluster::new();
        cluster.create(definition()).unwrap();
        let spec = json!({
            "cloud": { "existingSecret": "s", "password": "hunter2" },
            "options": { "kuryr": { "concurrency": 7, "lease_name": "x" } },
            "node": { "maxUnavailable": "10%", "tolerations": [{ "operator": "Exists" }], "resources": { "limits": { "memory": "1Gi" } } },
            "controller": { "nodeSelector": { "a": "b" } },
        });
        let made = cluster
            .create(json!({ "apiVersion": "openstack.org/v1", "kind": "Kuryr", "metadata": { "name": NAME }, "spec": spec }))
            .unwrap();
        let mut left = spec.clone();
        left["cloud"].as_object_mut().unwrap().remove("password");
        assert_eq!(made["spec"], left);
        let wrong = json!({ "apiVersion": "openstack.org/v1", "kind": "Kuryr", "metadata": { "name": "x" }, "spec": { "pools": { "min": "many" } } });
        assert!(cluster.create(wrong).is_err());
    }
}
