//! Both fakes over TCP, in this process, and what the controller wrote to them: when, and how much.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::{Method, Request};
use kuryr_fake::kubernetes::Cluster;
use kuryr_fake::openstack::{BindPolicy, Cloud, Latency, Options, Seeded};
use kuryr_fake::serve::serve;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Namespace of every pod here.
const NAMESPACE: &str = "default";
/// Kinds in the words of the fake.
const PODS: &str = "pods";
const KURYR_PORTS: &str = "kuryrports.openstack.org";
const KURYR_LOAD_BALANCERS: &str = "kuryrloadbalancers.openstack.org";
const SLICES: &str = "endpointslices.discovery.k8s.io";
/// Pods per node, as many as kubelet takes unless told otherwise.
const PODS_PER_NODE: usize = 110;
/// The user every fake cloud has that may bind ports to hosts, and its project.
pub(crate) const USER: (&str, &str) = ("k8s-admin", "k8s");

/// The clouds and what the controller did to them.
pub(crate) struct Clouds {
    pub(crate) openstack: Cloud,
    kubernetes: Cluster,
    pub(crate) network: Seeded,
    /// Subnet of Services.
    pub(crate) service_subnet: String,
    /// Whether Services are balanced here.
    pub(crate) balances: bool,
    pub(crate) security_group: String,
    pub(crate) project: String,
    /// The Kubernetes API's address.
    pub(crate) api: String,
    written: Arc<Written>,
}

/// What came in over TCP.
struct Written {
    pods: Mutex<Pods>,
    /// When the members of a pool were last set, by its id.
    members: Mutex<HashMap<String, Instant>>,
    /// Counts requests, so that somebody who waits can look again after each.
    requests: watch::Sender<u64>,
}

/// Pods by name, as the controller's writes to their KuryrPorts tell.
#[derive(Default)]
struct Pods {
    /// When the creation of the KuryrPort was done.
    connected: HashMap<String, Instant>,
    /// Those whose KuryrPort said that its port is active.
    active: HashSet<String>,
    /// Those whose KuryrPort was let go of, after its port was deleted.
    released: HashSet<String>,
}

impl Written {
    fn seen(&self) {
        self.requests.send_modify(|count| *count += 1);
    }

    fn pods(&self) -> std::sync::MutexGuard<'_, Pods> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a change of the cloud that was done.
    fn changed_cloud(&self, method: &Method, path: &str) {
        let Some((_, pool)) = path.split_once("/lbaas/pools/") else { return };
        if let (&Method::PUT, Some(pool)) = (method, pool.strip_suffix("/members")) {
            let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
            members.insert(pool.to_owned(), Instant::now());
        }
    }

    /// Takes in a write that was done.
    fn done(&self, method: &Method, path: &str, body: &[u8]) {
        let Some((_, name)) = path.split_once("/kuryrports") else { return };
        let object: Value = serde_json::from_slice(body).unwrap_or_default();
        let mut pods = self.pods();
        if *method == Method::POST {
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            pods.connected.insert(name, Instant::now());
        } else if *method == Method::PATCH {
            let name = name.trim_start_matches('/').to_owned();
            if is_active(&object) {
                pods.active.insert(name);
            } else if object["metadata"]["finalizers"] == json!([]) {
                pods.released.insert(name);
            }
        }
    }
}

/// Whether a KuryrPort, or a patch of one, says that its port is active.
fn is_active(kuryr_port: &Value) -> bool {
    kuryr_port["status"]["vifs"]["eth0"]["vif"]["versioned_object.data"]["active"] == true
}

impl Clouds {
    /// Starts both, with room and nodes for so many pods. A port becomes ACTIVE 100 ms after it was bound.
    pub(crate) async fn start(pods: usize, latency: Latency) -> Result<Clouds> {
        let (for_openstack, for_kubernetes) = (listener().await?, listener().await?);
        let url = format!("http://{}", for_openstack.local_addr()?);
        let api = format!("http://{}", for_kubernetes.local_addr()?);

        let openstack = Cloud::new(Options { url, ..Options::default() });
        openstack.bind_policy(None, BindPolicy::Ovn);
        openstack.set_quota(USER.1, "port", -1);
        let network = openstack.seed_network(USER.1, "pods", &["10.0.0.0/15"]);
        let project = openstack.project(USER.1);
        let service_subnet = openstack.seed_network(USER.1, "services", &["10.96.0.0/16"]).subnets.remove(0);
        let group = openstack.create("security-groups", json!({ "name": "pods", "project_id": project }));
        openstack.activate_bound_ports_after(Some(Duration::from_millis(100)));
        openstack.set_latency(latency);

        let kubernetes = Cluster::builder().time(jiff::Timestamp::now()).build();
        for definition in kuryr_api::crd::definitions() {
            create(&kubernetes, serde_json::to_value(definition)?)?;
        }
        for node in 0..pods.div_ceil(PODS_PER_NODE) {
            create(
                &kubernetes,
                json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": format!("n{node}") } }),
            )?;
        }

        let written =
            Arc::new(Written { pods: Mutex::default(), members: Mutex::default(), requests: watch::Sender::new(0) });
        tokio::spawn(serve_openstack(openstack.clone(), for_openstack, Arc::clone(&written)));
        tokio::spawn(serve_kubernetes(kubernetes.clone(), for_kubernetes, Arc::clone(&written)));
        let security_group = group["id"].as_str().unwrap_or_default().to_owned();
        Ok(Clouds {
            balances: false,
            openstack,
            kubernetes,
            network,
            service_subnet,
            security_group,
            project,
            api,
            written,
        })
    }

    /// Creates a pod that is not scheduled yet.
    pub(crate) fn create_pod(&self, name: &str) -> Result<()> {
        create(&self.kubernetes, pod(name)).map(drop)
    }

    /// What the scheduler does, in its words; returns when it began.
    pub(crate) async fn schedule(&self, name: &str, number: usize) -> Result<Instant> {
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name, "namespace": NAMESPACE },
            "target": { "apiVersion": "v1", "kind": "Node", "name": format!("n{}", number / PODS_PER_NODE) },
        });
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}/binding"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(binding.to_string()))?;
        let begun = Instant::now();
        match self.kubernetes.call(request).await {
            Ok(answer) if answer.status().is_success() => Ok(begun),
            Ok(answer) => bail!("the fake does not bind {name}: {}", answer.status()),
            Err(_) => bail!("the fake lost the binding of {name}"),
        }
    }

    /// Creates and schedules pods `first..end`. Returns when the first was scheduled.
    pub(crate) async fn create_pods(&self, first: usize, end: usize) -> Result<Instant> {
        for number in first..end {
            self.create_pod(&pod_name(number))?;
            // The fakes live on this thread, too.
            tokio::task::yield_now().await;
        }
        let begun = Instant::now();
        for number in first..end {
            self.schedule(&pod_name(number), number).await?;
            tokio::task::yield_now().await;
        }
        Ok(begun)
    }

    /// Ends a pod at once, as kubelet does when its containers are gone.
    pub(crate) fn remove_pod(&self, name: &str) -> Result<()> {
        let removed = self.kubernetes.delete_now(PODS, NAMESPACE, name);
        removed.map(drop).map_err(|refusal| anyhow::anyhow!("the fake does not delete {name}: {refusal:?}"))
    }

    /// When the creation of this pod's KuryrPort was done.
    pub(crate) fn connected_at(&self, pod: &str) -> Option<Instant> {
        self.written.pods().connected.get(pod).copied()
    }

    /// How many pods were ever connected.
    pub(crate) fn connected(&self) -> usize {
        self.written.pods().connected.len()
    }

    /// How many pods were ever active.
    pub(crate) fn active(&self) -> usize {
        self.written.pods().active.len()
    }

    /// How many pods were ever released.
    pub(crate) fn released(&self) -> usize {
        self.written.pods().released.len()
    }

    /// KuryrPorts there are, and how many of them say that all is active.
    pub(crate) fn kuryr_ports(&self) -> (usize, usize) {
        let all = self.kubernetes.list(KURYR_PORTS, NAMESPACE);
        (all.len(), all.iter().filter(|port| is_active(port)).count())
    }

    /// Creates a Service with one port and so many pods behind it.
    pub(crate) fn create_service(&self, number: usize, endpoints: usize) -> Result<()> {
        let (name, address) = (service_name(number), format!("10.96.{}.{}", 1 + number / 250, 1 + number % 250));
        let ports = json!([{ "name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP" }]);
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": NAMESPACE },
            "spec": { "type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ports": ports },
        });
        create(&self.kubernetes, service)?;
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "name": name, "namespace": NAMESPACE, "labels": { "kubernetes.io/service-name": name } },
            "endpoints": pods_of(number, endpoints), "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
        });
        create(&self.kubernetes, slice).map(drop)
    }

    /// Now so many pods are behind a Service; returns when that began.
    pub(crate) fn set_endpoints(&self, number: usize, endpoints: usize) -> Result<Instant> {
        let (name, change) = (service_name(number), json!({ "endpoints": pods_of(number, endpoints) }));
        let begun = Instant::now();
        let changed = self.kubernetes.patch(SLICES, NAMESPACE, &name, &change);
        changed.map(|_| begun).map_err(|refusal| anyhow::anyhow!("the fake refuses endpoints: {refusal:?}"))
    }

    /// How many Services' KuryrLoadBalancers say that all is well.
    pub(crate) fn balanced(&self) -> usize {
        let all = self.kubernetes.list(KURYR_LOAD_BALANCERS, NAMESPACE);
        let is_well = |record: &&Value| {
            let conditions = record["status"]["conditions"].as_array();
            conditions.into_iter().flatten().any(|it| it["type"] == "Ready" && it["status"] == "True")
        };
        all.iter().filter(is_well).count()
    }

    /// The ids of pools, by the name of their Service.
    pub(crate) fn pools(&self) -> HashMap<String, String> {
        let pools = self.openstack.load_balancing("pools");
        let named = pools.iter().filter_map(|pool| {
            let service = pool["name"].as_str()?.split(['/', ':']).nth(1)?;
            Some((service.to_owned(), pool["id"].as_str()?.to_owned()))
        });
        named.collect()
    }

    /// When the members of this pool were last set.
    pub(crate) fn members_set_at(&self, pool: &str) -> Option<Instant> {
        self.written.members.lock().unwrap_or_else(PoisonError::into_inner).get(pool).copied()
    }

    /// Waits until `holds`; looks again whenever the controller has asked for something.
    pub(crate) async fn until(&self, what: &str, limit: Duration, holds: impl Fn() -> bool) -> Result<()> {
        let mut requests = self.written.requests.subscribe();
        let come = async {
            while !holds() {
                if requests.changed().await.is_err() {
                    break;
                }
            }
        };
        tokio::time::timeout(limit, come).await.with_context(|| format!("not within {} s: {what}", limit.as_secs()))
    }
}

/// The name of a pod by its number.
pub(crate) fn pod_name(number: usize) -> String {
    format!("web-{number}")
}

/// The name of a Service by its number.
pub(crate) fn service_name(number: usize) -> String {
    format!("service-{number}")
}

/// The first pods of a Service, as EndpointSlices have them.
fn pods_of(service: usize, count: usize) -> Vec<Value> {
    let pod = |pod: usize| {
        let name = format!("{}-{pod}", service_name(service));
        json!({
            "addresses": [format!("10.1.{}.{}", service % 250, 1 + (service / 250) * 100 + pod)],
            "conditions": { "ready": true, "serving": true, "terminating": false },
            "targetRef": { "kind": "Pod", "namespace": NAMESPACE, "name": name },
        })
    };
    (0..count).map(pod).collect()
}

fn create(kubernetes: &Cluster, object: Value) -> Result<Value> {
    kubernetes.create(object).map_err(|refusal| anyhow::anyhow!("the fake refuses an object: {refusal:?}"))
}

/// A pod as a deployment makes them: what the controller has to read past, not only what it needs.
fn pod(name: &str) -> Value {
    let probe = json!({ "httpGet": { "path": "/healthz", "port": 8080 }, "periodSeconds": 10, "timeoutSeconds": 1 });
    let variables: Vec<Value> = (0..8)
        .map(|n| json!({ "name": format!("SETTING_{n}"), "value": format!("a value of usual length, {n}") }))
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": NAMESPACE,
            "labels": { "app": "web", "pod-template-hash": "7c9f8d6b54", "app.kubernetes.io/managed-by": "Helm" },
            "annotations": { "prometheus.io/scrape": "true", "prometheus.io/port": "8080" },
        },
        "spec": {
            "containers": [{
                "name": "web", "image": "registry.example.org/team/web:1.2.3", "env": variables,
                "ports": [{ "name": "http", "containerPort": 8080 }],
                "resources": { "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "memory": "256Mi" } },
                "livenessProbe": probe, "readinessProbe": probe,
                "volumeMounts": [{ "name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true }],
            }],
            "volumes": [{ "name": "token", "projected": { "defaultMode": 420, "sources": [
                { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } },
                { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
            ] } }],
            "tolerations": [
                { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
                { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
            ],
        },
    })
}

async fn listener() -> Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").await.context("cannot listen on 127.0.0.1")
}

async fn serve_openstack(cloud: Cloud, listener: TcpListener, written: Arc<Written>) {
    serve(listener, move |request| {
        let (cloud, written) = (cloud.clone(), Arc::clone(&written));
        async move {
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            let answer = cloud.call(request).await;
            if answer.as_ref().is_ok_and(|answer| answer.status().is_success()) {
                written.changed_cloud(&method, &path);
            }
            written.seen();
            Ok(answer?.map(http_body_util::Full::new))
        }
    })
    .await;
}

async fn serve_kubernetes(cluster: Cluster, listener: TcpListener, written: Arc<Written>) {
    serve(listener, move |request: Request<Bytes>| {
        let (cluster, written) = (cluster.clone(), Arc::clone(&written));
        async move {
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            let body = request.body().clone();
            let answer = cluster.call(request).await?;
            if answer.status().is_success() {
                written.done(&method, &path, &body);
            }
            written.seen();
            Ok(answer)
        }
    })
    .await;
}
