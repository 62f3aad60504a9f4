//! What kube-controller-manager does for Services: it writes down which pods are behind them, in one EndpointSlice each.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use futures::stream::select;
use futures::{Stream, TryStreamExt as _};
use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Keeps the EndpointSlices of all Services with a selector. They go with their Services, which own them. Ends only by an error.
pub(crate) async fn run(client: Client) -> Result<()> {
    let (services, of_services) = follow::<Service>(client.clone());
    let (pods, of_pods) = follow::<Pod>(client.clone());
    let mut changes = std::pin::pin!(select(of_services, of_pods));
    let mut written: BTreeMap<String, Value> = BTreeMap::new();
    while changes.try_next().await.context("the watch of Services and pods failed")?.is_some() {
        let pods = pods.state();
        for service in services.state() {
            let Some(slice) = slice(&service, pods.iter().map(AsRef::as_ref)) else { continue };
            let uid = service.uid().unwrap_or_default();
            if written.get(&uid) == Some(&slice) {
                continue;
            }
            let slices = Api::<EndpointSlice>::namespaced(client.clone(), &service.namespace().unwrap_or_default());
            let ours = PatchParams::apply("kuryr-lab").force();
            match slices
                .patch(slice["metadata"]["name"].as_str().unwrap_or_default(), &ours, &Patch::Apply(&slice))
                .await
            {
                Ok(_) => drop(written.insert(uid, slice)),
                // It is tried again with the next change.
                Err(error) => tracing::warn!(service = service.name_any(), %error, "cannot write an EndpointSlice"),
            }
        }
    }
    Ok(())
}

/// All objects of a kind as they are now, and a word for each change.
fn follow<K>(client: Client) -> (Store<K>, impl Stream<Item = Result<(), watcher::Error>>)
where
    K: Resource<DynamicType = ()>
        + reflector::Lookup<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (store, writer) = reflector::store();
    let changes = watcher(Api::<K>::all(client), watcher::Config::default()).default_backoff().reflect(writer);
    (store, changes.map_ok(drop))
}

/// The pods behind a Service; nothing if somebody else writes that down.
fn slice<'a>(service: &Service, pods: impl Iterator<Item = &'a Pod>) -> Option<Value> {
    let spec = service.spec.as_ref()?;
    let selector = spec.selector.as_ref().filter(|selector| !selector.is_empty())?;
    let endpoints = pods.filter(|pod| {
        pod.namespace() == service.namespace()
            && selector.iter().all(|(key, value)| pod.labels().get(key) == Some(value))
    });
    let mut endpoints: Vec<Value> = endpoints.filter_map(endpoint).collect();
    endpoints.sort_by_key(|endpoint| endpoint["targetRef"]["name"].to_string());
    let ports = spec.ports.iter().flatten().map(|port| {
        json!({ "name": port.name.as_deref().unwrap_or_default(), "port": target(port), "protocol": port.protocol })
    });
    Some(json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{}-lab", service.name_any()),
            "namespace": service.namespace(),
            "labels": { "kubernetes.io/service-name": service.name_any() },
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Service", "name": service.name_any(), "uid": service.uid() }],
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": ports.collect::<Vec<_>>(),
    }))
}

/// Named ports are not looked up: the lab's pods have none.
fn target(port: &ServicePort) -> i32 {
    match port.target_port {
        Some(IntOrString::Int(number)) => number,
        _ => port.port,
    }
}

fn endpoint(pod: &Pod) -> Option<Value> {
    let status = pod.status.as_ref()?;
    let address = status.pod_ip.as_ref()?;
    let is_ready = |condition: &&k8s_openapi::api::core::v1::PodCondition| condition.type_ == "Ready";
    let ready = status.conditions.iter().flatten().find(is_ready).is_some_and(|condition| condition.status == "True");
    let terminating = pod.metadata.deletion_timestamp.is_some();
    Some(json!({
        "addresses": [address],
        "conditions": { "ready": ready && !terminating, "serving": ready, "terminating": terminating },
        "nodeName": pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()),
        "targetRef": { "kind": "Pod", "namespace": pod.namespace(), "name": pod.name_any(), "uid": pod.uid() },
    }))
}
