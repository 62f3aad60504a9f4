//! What is said of Gateways, routes and Ingresses, written where it differs from what they say.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::Routes;
use super::gateway::{OfListener, OfRoute, Outcome, Said, names};
use super::kinds::{
    CONTROLLER, GROUP, Gateway, HttpRoute, Kind, Object, ParentRef, Route, RouteKind, RouteSpec, TcpRoute, UdpRoute,
};
use super::owner::Owner;
use crate::cache::{Cache, Key, version_of};
use crate::own::digest;
use crate::trouble::Trouble;

/// Type of the condition that says whether the load balancer is there.
const PROGRAMMED: &str = "Programmed";

/// Conditions of these types become what is said; others stay. A time moves only when a status changes.
pub(super) fn conditions(before: &Value, said: &[(&str, Option<&Said>)], generation: i64, now: Timestamp) -> Value {
    let known = |kind: &str| before.as_array().into_iter().flatten().find(|condition| condition["type"] == kind);
    let mut all: Vec<Value> = before
        .as_array()
        .into_iter()
        .flatten()
        .filter(|condition| said.iter().all(|(kind, _)| condition["type"] != *kind))
        .cloned()
        .collect();
    for (kind, said) in said.iter().filter_map(|(kind, said)| Some((*kind, (*said)?))) {
        let status = if said.holds { "True" } else { "False" };
        let before = known(kind).filter(|condition| condition["status"] == status);
        let since = before.map_or_else(|| json!(now.to_string()), |condition| condition["lastTransitionTime"].clone());
        // The cloud's words can differ each time; a write for each would wake us each time.
        let word = |message: &str| message.split(':').next().unwrap_or_default().to_owned();
        let told = before
            .and_then(|condition| condition["message"].as_str())
            .filter(|told| kind == PROGRAMMED && !said.holds && word(told) == word(&said.message));
        all.push(json!({
            "type": kind, "status": status, "reason": said.reason, "message": told.unwrap_or(&said.message),
            "observedGeneration": generation, "lastTransitionTime": since,
        }));
    }
    all.sort_by(|a, b| a["type"].as_str().cmp(&b["type"].as_str()));
    all.into()
}

/// The status of a Gateway, of which others may have written other parts.
pub(super) fn of_gateway(
    gateway: &Object<Gateway>,
    outcome: &Outcome,
    programmed: &Said,
    address: Option<IpAddr>,
    now: Timestamp,
) -> Value {
    let generation = gateway.metadata.generation.unwrap_or_default();
    let before = &gateway.status;
    let of_listener = |name: &str| {
        before["listeners"].as_array().into_iter().flatten().find(|it| it["name"] == name).cloned().unwrap_or_default()
    };
    let listener = |listener: &OfListener| {
        let known = of_listener(&listener.name);
        let programmed = match listener.is_well() {
            true => programmed.clone(),
            false => Said::no("Invalid", "the listener cannot be served"),
        };
        let clear = Said::no("NoConflicts", "");
        let said = [
            ("Accepted", Some(&listener.accepted)),
            ("Conflicted", Some(listener.conflicted.as_ref().unwrap_or(&clear))),
            (PROGRAMMED, Some(&programmed)),
            ("ResolvedRefs", Some(&listener.resolved)),
        ];
        let kinds: Vec<Value> =
            listener.kinds.iter().map(|kind| json!({ "group": GROUP, "kind": kind.name() })).collect();
        json!({
            "name": listener.name, "supportedKinds": kinds, "attachedRoutes": listener.attached,
            "conditions": conditions(&known["conditions"], &said, generation, now),
        })
    };
    let said = [("Accepted", Some(&outcome.accepted)), (PROGRAMMED, Some(programmed))];
    let addresses: Vec<Value> =
        address.iter().map(|it| json!({ "type": "IPAddress", "value": it.to_string() })).collect();
    json!({
        "conditions": conditions(&before["conditions"], &said, generation, now),
        "addresses": addresses,
        "listeners": outcome.listeners.iter().map(listener).collect::<Vec<_>>(),
    })
}

/// `status.parents` of a route: what is said about one Gateway is ours, the rest stays.
pub(super) fn parents(route: &Route, gateway: &Key, said: &[OfRoute], now: Timestamp) -> Value {
    let empty = Vec::new();
    let before = route.status["parents"].as_array().unwrap_or(&empty);
    let of_parent = |entry: &Value| serde_json::from_value::<ParentRef>(entry["parentRef"].clone()).unwrap_or_default();
    let is_ours = |entry: &&Value| {
        entry["controllerName"] == CONTROLLER
            && of_parent(entry).gateway(&route.key.namespace).as_ref() == Some(gateway)
    };
    let mut all: Vec<Value> = before.iter().filter(|entry| !is_ours(entry)).cloned().collect();
    for one in said {
        let known = before.iter().filter(is_ours).find(|entry| of_parent(entry) == one.parent);
        let known = known.map(|entry| entry["conditions"].clone()).unwrap_or_default();
        let conditions_now = [
            ("Accepted", Some(&one.accepted)),
            ("PartiallyInvalid", one.partially.as_ref()),
            ("ResolvedRefs", Some(&one.resolved)),
        ];
        all.push(json!({
            "parentRef": reference(&one.parent), "controllerName": CONTROLLER,
            "conditions": conditions(&known, &conditions_now, route.generation, now),
        }));
    }
    all.into()
}

fn reference(parent: &ParentRef) -> Value {
    let mut all = json!({ "name": parent.name });
    let texts = [
        ("group", &parent.group),
        ("kind", &parent.kind),
        ("namespace", &parent.namespace),
        ("sectionName", &parent.section_name),
    ];
    for (key, value) in texts {
        if let Some(value) = value {
            all[key] = json!(value);
        }
    }
    if let Some(port) = parent.port {
        all["port"] = json!(port);
    }
    all
}

impl Routes {
    /// Says what is to be said of a Gateway and of the routes that name it, or named it. `programmed` is whether the load
    /// balancer is there; what was said stays if nothing is.
    pub(super) async fn say_of_gateway(
        &self,
        owner: &Owner,
        gateway: Option<(&Object<Gateway>, &Outcome)>,
        programmed: Option<Said>,
        address: Option<IpAddr>,
    ) -> Result<(), Trouble> {
        let now = Timestamp::now();
        if let Some((gateway, outcome)) = gateway.filter(|(it, _)| it.metadata.deletion_timestamp.is_none()) {
            let said = programmed.unwrap_or_else(|| said_before(gateway));
            let status = of_gateway(gateway, outcome, &said, address, now);
            let before = &gateway.status;
            let same = |part: &str| before[part] == status[part] || before[part].is_null() && status[part] == json!([]);
            if !["conditions", "addresses", "listeners"].into_iter().all(same) {
                let api = Api::<Object<Gateway>>::namespaced_with(
                    self.kube.clone(),
                    &owner.key.namespace,
                    &self.watched.served::<Gateway>(),
                );
                let patch = patch_of(gateway.uid(), gateway.resource_version(), status);
                let patched = api.patch_status(&owner.key.name, &PatchParams::default(), &Patch::Merge(&patch)).await;
                match patched {
                    Ok(patched) => self.watched.gateways.wrote(owner.key.clone(), digest(patched)),
                    // It is gone; the watch will say so.
                    Err(kube::Error::Api(status)) if status.code == 404 => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        for route in self.watched.routes() {
            let of_route = gateway.and_then(|(_, outcome)| outcome.routes.get(&(route.kind, route.key.clone())));
            let of_route = of_route.map(Vec::as_slice).unwrap_or_default();
            let said = parents(&route, &owner.key, of_route, now);
            let is_named = names(&route, &owner.key).next().is_some();
            let same = route.status["parents"] == said || route.status["parents"].is_null() && said == json!([]);
            if same || !is_named && !self.names_us(&route, &owner.key) {
                continue;
            }
            let outcome = match route.kind {
                RouteKind::Http => self.write_route::<HttpRoute>(&self.watched.http_routes, &route, said).await,
                RouteKind::Tcp => self.write_route::<TcpRoute>(&self.watched.tcp_routes, &route, said).await,
                RouteKind::Udp => self.write_route::<UdpRoute>(&self.watched.udp_routes, &route, said).await,
            };
            outcome?;
        }
        Ok(())
    }

    /// Whether a route's status has something of ours about a Gateway.
    fn names_us(&self, route: &Route, gateway: &Key) -> bool {
        route.status["parents"].as_array().into_iter().flatten().any(|entry| {
            let parent: ParentRef = serde_json::from_value(entry["parentRef"].clone()).unwrap_or_default();
            entry["controllerName"] == CONTROLLER && parent.gateway(&route.key.namespace).as_ref() == Some(gateway)
        })
    }

    async fn write_route<K: Kind<Spec = RouteSpec>>(
        &self,
        cache: &Cache<Route>,
        route: &Route,
        parents: Value,
    ) -> Result<(), Trouble> {
        let api =
            Api::<Object<K>>::namespaced_with(self.kube.clone(), &route.key.namespace, &self.watched.served::<K>());
        // Others write about their Gateways: the list is written whole, and only over what was read.
        let patch =
            patch_of(Some(route.uid.clone()), Some(route.resource_version.clone()), json!({ "parents": parents }));
        match api.patch_status(&route.key.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(patched) => cache.wrote(route.key.clone(), Route::read(route.kind, patched)),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Tells an Ingress its address, or that it has none.
    pub(super) async fn tell_ingress(
        &self,
        key: &Key,
        ingress: &Ingress,
        address: Option<IpAddr>,
    ) -> Result<(), Trouble> {
        if told(ingress) == address.into_iter().collect::<Vec<_>>() {
            return Ok(());
        }
        let entries = address.map(|address| json!([{ "ip": address.to_string() }]));
        let status = json!({ "loadBalancer": { "ingress": entries } });
        let patch = patch_of(ingress.uid(), None, status);
        let api = Api::<Ingress>::namespaced(self.kube.clone(), &key.namespace);
        match api.patch_status(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(patched) => self.watched.ingresses.wrote(key.clone(), digest(patched)),
            Err(kube::Error::Api(status)) if status.code == 404 => {
                self.watched.ingresses.remove(key, &ingress.uid().unwrap_or_default(), version_of(ingress));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// The addresses an Ingress was told.
pub(super) fn told(ingress: &Ingress) -> Vec<IpAddr> {
    let status = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let entries = status.and_then(|status| status.ingress.as_ref()).into_iter().flatten();
    entries.filter_map(|entry| entry.ip.as_ref()?.parse().ok()).collect()
}

/// Whether the load balancer is there, as was said before.
fn said_before(gateway: &Object<Gateway>) -> Said {
    let all = gateway.status["conditions"].as_array().into_iter().flatten();
    match all.into_iter().find(|condition| condition["type"] == PROGRAMMED) {
        Some(condition) if condition["status"] == "True" => Said::yes(PROGRAMMED),
        _ => Said::no("Pending", "the load balancer is being made"),
    }
}

fn patch_of(uid: Option<String>, version: Option<String>, status: Value) -> Value {
    let mut patch = json!({ "metadata": { "uid": uid }, "status": status });
    if let Some(version) = version {
        patch["metadata"]["resourceVersion"] = json!(version);
    }
    patch
}
