//! Discovery: which groups, versions and resources there are, told in the old form and in one piece (`apidiscovery.k8s.io`).

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderMap;
use serde_json::{Value, json};

use super::kinds::{Kind, Kinds};

/// The verbs of a resource, in the order the API server has them.
fn verbs(kind: &Kind) -> [&'static str; 8] {
    if kind.traits.custom {
        ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]
    } else {
        ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
    }
}

/// The answer to a path of discovery, and the media type it has; none if the path is no such.
pub(super) fn answer(kinds: &Kinds, path: &str, headers: &HeaderMap) -> Option<(Value, &'static str)> {
    let parts: Vec<_> = path.trim_matches('/').split('/').collect();
    let plain = |value: Value| Some((value, "application/json"));
    match parts.as_slice() {
        ["version"] => plain(version()),
        ["api" | "apis"] if wants_one_piece(headers) => Some((
            in_one_piece(kinds, parts == ["api"]),
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        )),
        ["api"] => plain(json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] })),
        ["apis"] => {
            let groups: Vec<_> = groups(kinds).into_iter().filter(|(group, _)| !group.is_empty()).collect();
            let groups: Vec<_> = groups.into_iter().map(|(name, versions)| group(name, &versions)).collect();
            plain(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }))
        }
        ["api", version] => resources(kinds, "", version).and_then(plain),
        ["apis", name] => {
            let versions = groups(kinds).remove(*name).filter(|_| !name.is_empty())?;
            let mut group = group(name, &versions);
            group["kind"] = "APIGroup".into();
            group["apiVersion"] = "v1".into();
            plain(group)
        }
        ["apis", group, version] => resources(kinds, group, version).and_then(plain),
        _ => None,
    }
}

/// The version this API is modelled on.
fn version() -> Value {
    json!({
        "major": "1", "minor": "37", "gitVersion": "v1.37.2+kuryr-fake", "gitCommit": "", "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc", "platform": "linux/amd64",
    })
}

fn wants_one_piece(headers: &HeaderMap) -> bool {
    let accept = headers.get(http::header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|range| {
        range.trim_start().starts_with("application/json")
            && range.contains("g=apidiscovery.k8s.io")
            && range.split(';').any(|parameter| parameter.trim() == "v=v2")
    })
}

/// Groups and their versions, newest first as Kubernetes orders them (`v2`, `v1`, `v1beta1`).
fn groups(kinds: &Kinds) -> BTreeMap<&str, Vec<&str>> {
    let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for kind in kinds.iter() {
        groups.entry(&kind.group).or_default().insert(&kind.version);
    }
    let order = |version: &&str| {
        let digits: String = version.chars().skip(1).take_while(char::is_ascii_digit).collect();
        let stable = version.len() == digits.len() + 1;
        (!stable, std::cmp::Reverse(digits.parse::<u32>().unwrap_or_default()), (*version).to_owned())
    };
    groups
        .into_iter()
        .map(|(group, versions)| {
            let mut versions: Vec<_> = versions.into_iter().collect();
            versions.sort_by_key(order);
            (group, versions)
        })
        .collect()
}

fn group(name: &str, versions: &[&str]) -> Value {
    let versions: Vec<_> = versions
        .iter()
        .map(|version| json!({ "groupVersion": format!("{name}/{version}"), "version": version }))
        .collect();
    json!({ "name": name, "preferredVersion": versions.first(), "versions": versions })
}

fn resources(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    let mut resources = Vec::new();
    for kind in kinds.iter().filter(|kind| kind.group == group && kind.version == version) {
        let mut resource = json!({
            "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind,
            "verbs": verbs(kind),
        });
        if !kind.short_names.is_empty() {
            resource["shortNames"] = kind.short_names.clone().into();
        }
        if !kind.categories.is_empty() {
            resource["categories"] = kind.categories.clone().into();
        }
        resources.push(resource);
        for Subresource { name, response: (group, version, response), verbs } in subresources(kind) {
            let mut resource = json!({
                "name": format!("{}/{name}", kind.plural), "singularName": "", "namespaced": kind.namespaced,
                "kind": response, "verbs": verbs,
            });
            if !version.is_empty() {
                resource["group"] = group.into();
                resource["version"] = version.into();
            }
            resources.push(resource);
        }
    }
    if resources.is_empty() {
        return None;
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Some(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources,
    }))
}

/// The core group, or all others.
fn in_one_piece(kinds: &Kinds, core: bool) -> Value {
    let groups = groups(kinds).into_iter().filter(|(group, _)| group.is_empty() == core);
    let items = groups.map(|(group, versions)| {
        let versions = versions.into_iter().map(|version| {
            let kinds = kinds.iter().filter(|kind| kind.group == group && kind.version == version);
            let resources: Vec<_> = kinds.map(|kind| resource_in_one_piece(kind)).collect();
            json!({ "version": version, "resources": resources, "freshness": "Current" })
        });
        let metadata = if group.is_empty() { json!({}) } else { json!({ "name": group }) };
        json!({ "metadata": metadata, "versions": versions.collect::<Vec<_>>() })
    });
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {},
        "items": items.collect::<Vec<_>>(),
    })
}

fn resource_in_one_piece(kind: &Kind) -> Value {
    let subresources: Vec<_> = subresources(kind)
        .map(|Subresource { name, response: (group, version, response), verbs }| {
            json!({
                "subresource": name, "verbs": verbs,
                "responseKind": { "group": group, "version": version, "kind": response },
            })
        })
        .collect();
    let mut resource = json!({
        "resource": kind.plural,
        "responseKind": { "group": "", "version": "", "kind": kind.kind },
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": verbs(kind),
    });
    for (field, names) in [("shortNames", &kind.short_names), ("categories", &kind.categories)] {
        if !names.is_empty() {
            resource[field] = names.clone().into();
        }
    }
    if !subresources.is_empty() {
        resource["subresources"] = subresources.into();
    }
    resource
}

struct Subresource<'a> {
    name: &'static str,
    /// Group, version and kind of the answer; group and version are empty if they are the resource's own.
    response: (&'static str, &'static str, &'a str),
    verbs: &'static [&'static str],
}

fn subresources(kind: &Kind) -> impl Iterator<Item = Subresource<'_>> {
    let pod = kind.is("pods").then_some([
        Subresource { name: "binding", response: ("", "", "Binding"), verbs: &["create"] },
        Subresource { name: "eviction", response: ("policy", "v1", "Eviction"), verbs: &["create"] },
    ]);
    let finalize = kind.is("namespaces").then_some(Subresource {
        name: "finalize",
        response: ("", "", &kind.kind),
        verbs: &["update"],
    });
    let status = kind.status.then_some(Subresource {
        name: "status",
        response: ("", "", &kind.kind),
        verbs: &["get", "patch", "update"],
    });
    pod.into_iter().flatten().chain(finalize).chain(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_name_the_same_resources() {
        let kinds = Kinds::built_in();
        let one_piece = HeaderMap::from_iter([(
            http::header::ACCEPT,
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList".parse().unwrap(),
        )]);
        let mut count = 0;
        for (root, headers) in [("/api", &one_piece), ("/apis", &one_piece)] {
            let (list, _) = answer(&kinds, root, headers).unwrap();
            for group in list["items"].as_array().unwrap() {
                let name = group["metadata"]["name"].as_str().map(|name| format!("/{name}")).unwrap_or_default();
                for version in group["versions"].as_array().unwrap() {
                    let path = format!("{root}{name}/{}", version["version"].as_str().unwrap());
                    let (old, _) = answer(&kinds, &path, &HeaderMap::new()).unwrap();
                    for resource in version["resources"].as_array().unwrap() {
                        let names = |r: &Value| r["name"] == resource["resource"];
                        assert!(old["resources"].as_array().unwrap().iter().any(names), "{path}: {resource}");
                        count += 1;
                    }
                }
            }
        }
        assert_eq!(count, kinds.iter().count());
    }

    #[test]
    fn what_is_not_served_is_not_found() {
        let kinds = Kinds::built_in();
        for path in ["/apis/nope", "/apis/apps/v9", "/api/v2", "/nope", "/apis/"] {
            let found = answer(&kinds, path, &HeaderMap::new());
            assert_eq!(found.is_some(), path == "/apis/", "{path}");
        }
    }
}
