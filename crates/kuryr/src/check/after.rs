//! Whether pods get a network and reach what they need: pods of our own, in a namespace of their own, gone again afterwards.
//!
//! One pod serves on the first node. A pod on the second node, and the nodes themselves (pods in their host's network), call it.
//! Then a pod calls the first node, asks DNS, and calls what is named outside.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, ListParams, LogParams, PostParams};
use kuryr_api::crd::KuryrPort;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::cloud::NodeFacts;
use super::finding::Finding;

/// Longest time a pod may take to get its network; the image may have to be fetched.
const START: Duration = Duration::from_secs(120);
/// Longest time a caller may take once it runs; it gives up by itself before.
const CALL: Duration = Duration::from_secs(90);
/// How often it is looked.
const AGAIN: Duration = Duration::from_millis(500);
/// Where the serving pod listens.
const PORT: u16 = 8099;
/// Seconds a caller tries.
const PATIENCE: u64 = 20;
/// A name every cluster's DNS has.
const NAME: &str = "kubernetes.default.svc";

/// What the pods run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Image {
    /// Kuryr's own: it has `kuryr probe`.
    Ours(String),
    /// Another, with `sleep` and `ping`.
    Other(String),
}

/// The image to use: what was asked for, else the one of the controller that runs.
pub(crate) fn image(asked: Option<&str>, of_controller: Option<&str>) -> Option<Image> {
    let other = asked.map(|image| Image::Other(image.to_owned()));
    other.or_else(|| of_controller.map(|image| Image::Ours(image.to_owned())))
}

/// Makes the pods, looks, takes them away. `outside`: a TCP service that pods are to reach.
pub(crate) async fn findings(
    kube: &kube::Client,
    nodes: &[NodeFacts],
    image: Option<Image>,
    outside: Option<SocketAddr>,
) -> Vec<Finding> {
    let Some(image) = image else {
        return vec![Finding::skipped("pods", "no image is known to make pods of; name one with --image")];
    };
    let usable: Vec<&NodeFacts> = nodes.iter().filter(|node| node.usable).collect();
    let Some(first) = usable.first() else {
        let cure = "kubectl get nodes; kubectl -n kube-system get pods -l app=kuryr-cni -o wide";
        return vec![Finding::error("pods", "no node is ready for pods", cure)];
    };
    let bench = Bench { kube, image, outside, namespace: format!("kuryr-check-{:08x}", fastrand::u32(..)) };
    let mut found = Vec::new();
    if let Err(error) = bench.open().await {
        let cure = "kubectl auth can-i create namespaces; run with the rights of a cluster's administrator";
        return vec![Finding::error("pods", format!("no namespace for a trial can be made: {error}"), cure)];
    }
    let interrupted = tokio::select! {
        () = bench.try_out(first, usable.get(1).copied(), &mut found) => false,
        () = told_to_end() => true,
    };
    if interrupted {
        found.push(Finding::skipped("pods", "told to end before the trial was over; what it made is taken away"));
    }
    if let Err(error) = bench.close().await {
        let cure = format!("kubectl delete namespace {}", bench.namespace);
        found.push(Finding::warning("pods", format!("the trial's namespace stays: {error}"), cure));
    }
    found
}

/// Waits for Ctrl-C or SIGTERM. From the first call on neither ends the process by itself.
async fn told_to_end() {
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
        // Without a way to listen they end the process as ever.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

struct Bench<'a> {
    kube: &'a kube::Client,
    image: Image,
    outside: Option<SocketAddr>,
    namespace: String,
}

impl Bench<'_> {
    async fn open(&self) -> kube::Result<()> {
        let namespace = json!({ "metadata": {
            "name": self.namespace,
            // The caller in the host's network is none of the restricted kind.
            "labels": { "pod-security.kubernetes.io/enforce": "privileged" },
        }});
        let namespace: Namespace = serde_json::from_value(namespace).map_err(kube::Error::SerdeError)?;
        Api::<Namespace>::all(self.kube.clone()).create(&PostParams::default(), &namespace).await.map(drop)
    }

    async fn close(&self) -> kube::Result<()> {
        let now = DeleteParams::default().grace_period(0);
        let pods = Api::<Pod>::namespaced(self.kube.clone(), &self.namespace);
        pods.delete_collection(&now, &ListParams::default()).await?;
        Api::<Namespace>::all(self.kube.clone()).delete(&self.namespace, &DeleteParams::default()).await.map(drop)
    }

    async fn try_out(&self, first: &NodeFacts, second: Option<&NodeFacts>, found: &mut Vec<Finding>) {
        let address = match self.served("server", &first.name, false).await {
            Ok(address) => address,
            Err(why) => {
                let text = format!("a pod on {} gets no network: {why}", first.name);
                return found.push(Finding::error("pod network", text, "kuryr status says what pods wait for"));
            }
        };
        found.push(Finding::good("pod network", format!("a pod on {} got {address}", first.name)));
        let mut calls = vec![("host to pod", format!("node {} → a pod on it", first.name), first, true)];
        match second {
            Some(second) => {
                calls.push((
                    "pod to pod",
                    format!("a pod on {} → a pod on {}", second.name, first.name),
                    second,
                    false,
                ));
                calls.push(("host to pod", format!("node {} → a pod on {}", second.name, first.name), second, true));
            }
            None => {
                calls.push(("pod to pod", format!("a pod → a pod, both on {}", first.name), first, false));
                found.push(Finding::skipped(
                    "two nodes",
                    "only one node takes pods, so no packet crosses between nodes",
                ));
            }
        }
        for (number, (check, way, node, on_host)) in calls.into_iter().enumerate() {
            let name = format!("caller-{number}");
            found.push(match self.call(&name, &node.name, on_host, self.to(address)).await {
                Ok(()) => Finding::good(check, way),
                Err(why) => Finding::error(check, format!("{way}: {why}"), cure(check)),
            });
        }
        let caller = second.unwrap_or(first);
        found.push(self.node(first, caller).await);
        found.push(self.dns(caller).await);
        found.push(self.world(caller).await);
    }

    /// Whether a pod reaches a node. It is no error if not: a firewall may let in what the node serves, and not our port.
    async fn node(&self, node: &NodeFacts, caller: &NodeFacts) -> Finding {
        let (check, way) = ("pod to host", format!("a pod on {} → node {}", caller.name, node.name));
        let called = match self.served("node-server", &node.name, true).await {
            Ok(address) => self.call("caller-node", &caller.name, false, self.to(address)).await,
            Err(why) => return Finding::skipped(check, format!("nothing serves on node {}: {why}", node.name)),
        };
        match called {
            Ok(()) => Finding::good(check, way),
            Err(why) => Finding::warning(check, format!("{way}, port {PORT}: {why}"), cure(check)),
        }
    }

    /// Whether a pod can ask for names.
    async fn dns(&self, caller: &NodeFacts) -> Finding {
        let check = "dns";
        if matches!(self.image, Image::Other(_)) {
            return Finding::skipped(check, "only Kuryr's own image can ask for a name");
        }
        if let Err(why) = self.dns_is_served().await {
            return Finding::skipped(check, why);
        }
        let run = json!({ "args": ["probe", "resolve", NAME, "--seconds", PATIENCE.to_string()] });
        let way = format!("a pod on {} asks for {NAME}", caller.name);
        match self.call("caller-dns", &caller.name, false, run).await {
            Ok(()) => Finding::good(check, way),
            Err(why) => Finding::error(check, format!("{way}: {why}"), cure(check)),
        }
    }

    /// Whether there is somebody to ask; if not, why.
    async fn dns_is_served(&self) -> Result<(), String> {
        let unseen = |error: kube::Error| format!("the Service kube-system/kube-dns cannot be looked at: {error}");
        let services = Api::<Service>::namespaced(self.kube.clone(), "kube-system");
        if services.get_opt("kube-dns").await.map_err(unseen)?.is_none() {
            return Err("there is no Service kube-system/kube-dns".to_owned());
        }
        let slices = Api::<EndpointSlice>::namespaced(self.kube.clone(), "kube-system");
        let of_dns = ListParams::default().labels("kubernetes.io/service-name=kube-dns");
        let slices = slices.list(&of_dns).await.map_err(unseen)?.items;
        // Nothing said is ready (discovery/v1, EndpointConditions).
        let ready = slices
            .iter()
            .flat_map(|slice| slice.endpoints.iter())
            .any(|endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true));
        let nobody = "the Service kube-system/kube-dns has no ready endpoint; kubectl -n kube-system get pods -l k8s-app=kube-dns";
        if ready { Ok(()) } else { Err(nobody.to_owned()) }
    }

    /// Whether a pod reaches what was named outside.
    async fn world(&self, caller: &NodeFacts) -> Finding {
        let check = "outside";
        let Some(address) = self.outside else {
            return Finding::skipped(check, "name a TCP service outside with --external ADDRESS:PORT");
        };
        let run = match &self.image {
            Image::Ours(_) => {
                json!({ "args": ["probe", "reach", address.to_string(), "--seconds", PATIENCE.to_string()] })
            }
            Image::Other(_) => self.to(address.ip()),
        };
        let way = format!("a pod on {} → {address}", caller.name);
        match self.call("caller-outside", &caller.name, false, run).await {
            Ok(()) => Finding::good(check, way),
            Err(why) => Finding::error(check, format!("{way}: {why}"), cure(check)),
        }
    }

    /// A pod that serves, with an address. The error says what it waits for.
    async fn served(&self, name: &str, node: &str, on_host: bool) -> Result<IpAddr, String> {
        let run = match &self.image {
            Image::Ours(_) => json!({ "args": ["probe", "serve", "--port", PORT.to_string()] }),
            Image::Other(_) => json!({ "command": ["sleep", "3600"] }),
        };
        self.create(name, node, on_host, run).await.map_err(|error| error.to_string())?;
        let end = Instant::now() + START;
        loop {
            let pod = self.pods().get(name).await.map_err(|error| error.to_string())?;
            let status = pod.status.clone().unwrap_or_default();
            let address = status.pod_ip.as_deref().and_then(|address| address.parse().ok());
            match (status.phase.as_deref(), address) {
                (Some("Running"), Some(address)) => return Ok(address),
                (Some("Failed" | "Succeeded"), _) => return Err(self.last_words(&pod, name).await),
                _ if Instant::now() >= end => return Err(self.last_words(&pod, name).await),
                _ => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// What calls a serving pod.
    fn to(&self, address: IpAddr) -> Value {
        match &self.image {
            Image::Ours(_) => {
                let target = SocketAddr::new(address, PORT).to_string();
                json!({ "args": ["probe", "connect", target, "--seconds", PATIENCE.to_string()] })
            }
            Image::Other(_) => {
                json!({ "command": ["ping", "-c", "3", "-w", PATIENCE.to_string(), address.to_string()] })
            }
        }
    }

    /// A pod that calls once and ends.
    async fn call(&self, name: &str, node: &str, on_host: bool, run: Value) -> Result<(), String> {
        self.create(name, node, on_host, run).await.map_err(|error| error.to_string())?;
        let end = Instant::now() + START + CALL;
        loop {
            let pod = self.pods().get(name).await.map_err(|error| error.to_string())?;
            match pod.status.as_ref().and_then(|status| status.phase.as_deref()) {
                Some("Succeeded") => return Ok(()),
                Some("Failed") => return Err(self.last_words(&pod, name).await),
                _ if Instant::now() >= end => return Err(self.last_words(&pod, name).await),
                _ => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    async fn create(&self, name: &str, node: &str, on_host: bool, run: Value) -> kube::Result<()> {
        let image = match &self.image {
            Image::Ours(image) | Image::Other(image) => image,
        };
        let mut container =
            json!({ "name": "probe", "image": image, "terminationMessagePolicy": "FallbackToLogsOnError" });
        if let (Value::Object(container), Value::Object(run)) = (&mut container, run) {
            container.extend(run);
        }
        let pod = json!({
            "metadata": { "name": name, "labels": { "app.kubernetes.io/name": "kuryr-check" } },
            "spec": {
                "containers": [container],
                "nodeName": node,
                "hostNetwork": on_host,
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": false,
                "tolerations": [{ "operator": "Exists" }],
            },
        });
        let pod: Pod = serde_json::from_value(pod).map_err(kube::Error::SerdeError)?;
        self.pods().create(&PostParams::default(), &pod).await.map(drop)
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.kube.clone(), &self.namespace)
    }

    /// Why a pod is not where it should be: its KuryrPort's condition, its container's words, its log.
    async fn last_words(&self, pod: &Pod, name: &str) -> String {
        let ports = Api::<KuryrPort>::namespaced(self.kube.clone(), &self.namespace);
        if let Ok(Some(port)) = ports.get_opt(name).await {
            let conditions = port.status.map(|status| status.conditions).unwrap_or_default();
            let not_ready = |condition: &&kuryr_api::crd::Condition| {
                condition.kind == "Ready" && condition.status == kuryr_api::crd::ConditionStatus::False
            };
            if let Some(condition) = conditions.iter().find(not_ready) {
                return format!("{}: {}", condition.reason, condition.message);
            }
        }
        let states = pod.status.iter().filter_map(|status| status.container_statuses.as_ref()).flatten();
        let states: Vec<_> = states.filter_map(|status| status.state.clone()).collect();
        let waiting = states.iter().find_map(|state| state.waiting.as_ref());
        let ended = states.iter().find_map(|state| state.terminated.as_ref());
        if let Some(message) =
            ended.and_then(|ended| ended.message.clone()).filter(|message| !message.trim().is_empty())
        {
            return message.trim().to_owned();
        }
        if let Some(waiting) = waiting {
            return [waiting.reason.as_deref(), waiting.message.as_deref()]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(": ");
        }
        let log = LogParams { tail_lines: Some(3), ..LogParams::default() };
        match self.pods().logs(name, &log).await {
            Ok(log) if !log.trim().is_empty() => log.trim().to_owned(),
            _ => "it did not end in time".to_owned(),
        }
    }
}

fn cure(check: &str) -> &'static str {
    match check {
        "host to pod" => {
            "let the nodes' addresses in: openstack security group rule create --ingress --protocol tcp --remote-ip NODES GROUP; and see that nodes have a route to the pods' subnet (ip route get ADDRESS)"
        }
        "pod to host" => {
            "see that the nodes' firewall or security group lets the pods' subnet in, at least to what pods use (6443, 10250), and that the pods' router has a way to the nodes: openstack router show ROUTER"
        }
        "dns" => {
            "kubectl -n kube-system get endpointslices -l kubernetes.io/service-name=kube-dns -o wide; then who serves the Service's address: kube-proxy, or kubectl -n kube-system get kuryrloadbalancer kube-dns"
        }
        "outside" => {
            "openstack router set --external-gateway NETWORK ROUTER; openstack router show ROUTER -c external_gateway_info (enable_snat, or a route back to the pods' subnet)"
        }
        _ => {
            "openstack security group rule create --ingress --remote-group GROUP GROUP; then the tunnels between the nodes: ovs-vsctl show, and the MTU (kuryr check: mtu)"
        }
    }
}
