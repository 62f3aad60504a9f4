//! The objects the lab shows load balancers with, as a user would write them: a Service in front of all pods, one in front of
//! the pods of each colour, and an Ingress and a Gateway that lead to these by host and path.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Client, ResourceExt as _};
use kuryr_api::crd::KuryrLoadBalancer;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::asking::{Asked, Question};
use crate::container;
use crate::pods::{COLOURS, LabPod, NAMESPACE, PATIENCE};

/// The Service in front of all pods.
const HELLO: &str = "hello";
/// The Ingress, and the Gateway with its HTTPRoutes.
const ROUTING: &str = "colours";
const CONTROLLER: &str = "openstack.org/kuryr";

/// What the administrator of a cluster makes once.
fn classes() -> [Value; 2] {
    [
        json!({ "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": { "name": "kuryr" }, "spec": { "controller": CONTROLLER } }),
        json!({ "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
            "metadata": { "name": "kuryr" }, "spec": { "controllerName": CONTROLLER } }),
    ]
}

/// What users make.
fn objects() -> Vec<Value> {
    let port = |name: &str, protocol: &str| json!({ "name": name, "protocol": protocol, "port": 80, "targetPort": container::PORT });
    let hello = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": HELLO },
        "spec": { "selector": { "app": "kuryr-lab" }, "ports": [port("tcp", "TCP"), port("udp", "UDP")] },
    });
    // Headless: these are only led to.
    let colours = COLOURS.map(|colour| {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": colour },
            "spec": { "clusterIP": "None", "selector": { "colour": colour }, "ports": [port("http", "TCP")] },
        })
    });
    let [blue, green] = COLOURS;
    let ingress_rule = |host: String, paths: &[(&str, &str)]| {
        let path = |(path, service): &(&str, &str)| {
            let backend = json!({ "service": { "name": service, "port": { "name": "http" } } });
            json!({ "path": path, "pathType": "Prefix", "backend": backend })
        };
        json!({ "host": host, "http": { "paths": paths.iter().map(path).collect::<Vec<_>>() } })
    };
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": ROUTING },
        "spec": { "ingressClassName": "kuryr", "rules": [
            ingress_rule(host(blue), &[("/", blue), ("/green", green)]),
            ingress_rule(host(green), &[("/", green)]),
        ] },
    });
    let gateway = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": { "name": ROUTING },
        "spec": { "gatewayClassName": "kuryr", "listeners": [{ "name": "http", "protocol": "HTTP", "port": 80 }] },
    });
    let route_rule = |path: &str, service: &str| {
        json!({
            "matches": [{ "path": { "type": "PathPrefix", "value": path } }],
            "backendRefs": [{ "name": service, "port": 80 }],
        })
    };
    let route = |colour: &str, rules: Value| {
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": { "name": colour },
            "spec": { "parentRefs": [{ "name": ROUTING }], "hostnames": [host(colour)], "rules": rules },
        })
    };
    let routes = [
        route(blue, json!([route_rule("/", blue), route_rule("/green", green)])),
        route(green, json!([route_rule("/", green)])),
    ];
    [hello].into_iter().chain(colours).chain([ingress, gateway]).chain(routes).collect()
}

/// The host name a colour is asked by.
fn host(colour: &str) -> String {
    format!("{colour}.lab")
}

/// Creates all of it.
pub(crate) async fn create(client: &Client) -> Result<()> {
    for object in classes().into_iter().chain(objects()) {
        let (api, object) = typed(client, object)?;
        let created = api.create(&PostParams::default(), &object).await;
        created.with_context(|| format!("cannot create {}", object.name_any()))?;
    }
    Ok(())
}

/// Deletes what users made; classes are left.
pub(crate) async fn delete(client: &Client) -> Result<()> {
    for object in objects() {
        let (api, object) = typed(client, object)?;
        let deleted = api.delete(&object.name_any(), &DeleteParams::default()).await;
        deleted.with_context(|| format!("cannot delete {}", object.name_any()))?;
    }
    Ok(())
}

/// Waits until Kubernetes' objects say that all is there, and answers what can be asked.
pub(crate) async fn await_ready(client: &Client, pods: &[LabPod]) -> Result<Vec<Asked>> {
    let names = |colour: Option<&str>| -> Vec<String> {
        let shown = pods.iter().filter(|pod| colour.is_none_or(|colour| pod.colour == colour));
        shown.map(|pod| pod.name.clone()).collect()
    };
    let ready = await_ready_balancer(client);
    let (service, ingress, gateway) = tokio::try_join!(ready, await_ingress(client), await_gateway(client))?;
    let of_service =
        |question| Asked { whom: format!("Service {HELLO}"), at: service, question, expected: names(None) };
    let request = |host: String, path: &str| Question::Request { host, path: path.to_owned() };
    let mut asked = vec![of_service(request(service.to_string(), "/")), of_service(Question::Datagram)];
    let [blue, green] = COLOURS;
    for (kind, at) in [("Ingress", ingress), ("Gateway", gateway)] {
        for (name, path, colour) in [(blue, "/", blue), (blue, "/green/grass", green), (green, "/", green)] {
            let (whom, question) = (format!("{kind} {ROUTING} ({})", at.ip()), request(host(name), path));
            asked.push(Asked { whom, at, question, expected: names(Some(colour)) });
        }
    }
    Ok(asked)
}

/// The VIP of the Service, once its load balancer is ready.
async fn await_ready_balancer(client: &Client) -> Result<SocketAddr> {
    let balancers = Api::<KuryrLoadBalancer>::namespaced(client.clone(), NAMESPACE);
    await_said(balancers, HELLO, |balancer| has(&balancer["status"]["conditions"], "Ready").then_some(())).await?;
    let service = Api::<Service>::namespaced(client.clone(), NAMESPACE).get(HELLO).await;
    let service = service.context("the Service is gone")?;
    at(service.spec.and_then(|spec| spec.cluster_ip).as_deref())
}

/// The address of the Ingress, once it is told.
async fn await_ingress(client: &Client) -> Result<SocketAddr> {
    let ingresses = Api::<k8s_openapi::api::networking::v1::Ingress>::namespaced(client.clone(), NAMESPACE);
    let told = |ingress: &Value| Some(ingress["status"]["loadBalancer"]["ingress"][0]["ip"].as_str()?.to_owned());
    at(Some(&await_said(ingresses, ROUTING, told).await?))
}

/// The address of the Gateway, once it is programmed with all its routes.
async fn await_gateway(client: &Client) -> Result<SocketAddr> {
    let routes = objects().iter().filter(|object| object["kind"] == "HTTPRoute").count();
    let (gateways, _) =
        typed(client, objects().into_iter().find(|object| object["kind"] == "Gateway").unwrap_or_default())?;
    let told = |gateway: &Value| {
        let status = &gateway["status"];
        let complete = status["listeners"][0]["attachedRoutes"] == routes && has(&status["conditions"], "Programmed");
        complete.then(|| status["addresses"][0]["value"].as_str().map(str::to_owned)).flatten()
    };
    at(Some(&await_said(gateways, ROUTING, told).await?))
}

/// Waits until an object says what is looked for in it.
async fn await_said<K, T>(api: Api<K>, name: &str, look: impl Fn(&Value) -> Option<T>) -> Result<T>
where
    K: kube::Resource + Clone + std::fmt::Debug + DeserializeOwned + serde::Serialize + Send + 'static,
{
    let look = |object: Option<&K>| look(&serde_json::to_value(object?).ok()?);
    let said = await_condition(api.clone(), name, |object: Option<&K>| look(object).is_some());
    match timeout(PATIENCE, said).await {
        Ok(object) => look(object?.as_ref()).with_context(|| format!("{name} is gone")),
        Err(_) => {
            let now = api.get(name).await.ok().and_then(|object| serde_json::to_value(object).ok()).unwrap_or_default();
            anyhow::bail!("{name} is not ready after {} s: {}", PATIENCE.as_secs(), now["status"])
        }
    }
}

fn has(conditions: &Value, kind: &str) -> bool {
    let holds = |condition: &Value| condition["type"] == kind && condition["status"] == "True";
    conditions.as_array().into_iter().flatten().any(holds)
}

fn at(address: Option<&str>) -> Result<SocketAddr> {
    let address: IpAddr = address.unwrap_or_default().parse().with_context(|| format!("{address:?} is no address"))?;
    Ok(SocketAddr::new(address, 80))
}

/// An object and where its like are.
fn typed(client: &Client, object: Value) -> Result<(Api<DynamicObject>, DynamicObject)> {
    let (api_version, kind) =
        (object["apiVersion"].as_str().unwrap_or_default(), object["kind"].as_str().unwrap_or_default());
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    // Of what is made here only classes are the whole cluster's.
    let api = match kind.ends_with("Class") {
        true => Api::all_with(client.clone(), &resource),
        false => Api::namespaced_with(client.clone(), NAMESPACE, &resource),
    };
    Ok((api, serde_json::from_value(object).context("an object of the lab is none")?))
}
