//! The OpenAPI documents, as far as `kubectl` reads them: which query parameters a kind takes, and what it looks like.

use serde_json::{Map, Value, json};

use super::kinds::{Kind, Kinds};

/// The answer to `/openapi/v3` and what it leads to.
pub(super) fn answer(kinds: &Kinds, path: &str) -> Option<Value> {
    let path = path.strip_prefix("/openapi/v3")?.trim_matches('/');
    if path.is_empty() {
        let mut paths = Map::new();
        for kind in kinds.iter() {
            let root = root(kind);
            let url = format!("/openapi/v3/{root}");
            paths.insert(root, json!({ "serverRelativeURL": url }));
        }
        return Some(json!({ "paths": paths }));
    }
    let kinds: Vec<_> = kinds.iter().filter(|kind| root(kind) == path).collect();
    if kinds.is_empty() {
        return None;
    }
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for kind in kinds {
        let (path, operations, name, schema) = describe(kind);
        paths.insert(path, operations);
        schemas.insert(name, schema);
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": { "title": "Kubernetes", "version": "v1.37.2" },
        "paths": paths,
        "components": { "schemas": schemas },
    }))
}

/// `api/v1`, `apis/openstack.org/v1`.
fn root(kind: &Kind) -> String {
    if kind.group.is_empty() { format!("api/{}", kind.version) } else { format!("apis/{}", kind.api_version()) }
}

fn describe(kind: &Kind) -> (String, Value, String, Value) {
    let namespace = if kind.namespaced { "namespaces/{namespace}/" } else { "" };
    let path = format!("/{}/{namespace}{}/{{name}}", root(kind), kind.plural);
    let name = match kind.group.as_str() {
        "" => format!("io.k8s.api.core.{}.{}", kind.version, kind.kind),
        group => {
            let reversed: Vec<_> = group.split('.').rev().collect();
            format!("{}.{}.{}", reversed.join("."), kind.version, kind.kind)
        }
    };
    let gvk = json!({ "group": kind.group, "version": kind.version, "kind": kind.kind });
    let parameters: Vec<_> = ["dryRun", "fieldManager", "fieldValidation", "force"]
        .into_iter()
        .map(|parameter| json!({ "name": parameter, "in": "query", "schema": { "type": "string", "uniqueItems": true } }))
        .collect();
    let content = json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{name}") } } });
    let operation = |action: &str| {
        json!({
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": gvk,
            "parameters": parameters,
            "responses": { "200": { "description": "OK", "content": content } },
        })
    };
    let operations = json!({
        "get": operation("get"), "put": operation("put"), "patch": operation("patch"), "delete": operation("delete"),
    });
    let mut schema = kind.schema.as_ref().map_or_else(|| json!({ "type": "object" }), |schema| schema.value().clone());
    schema["x-kubernetes-group-version-kind"] = json!([gvk]);
    (path, operations, name, schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_leads_to_documents() {
        let kinds = Kinds::built_in();
        let index = answer(&kinds, "/openapi/v3").unwrap();
        for link in index["paths"].as_object().unwrap().values() {
            let document = answer(&kinds, link["serverRelativeURL"].as_str().unwrap()).unwrap();
            assert!(!document["paths"].as_object().unwrap().is_empty());
        }
        assert!(answer(&kinds, "/openapi/v3/apis/nope/v1").is_none());
    }
}
