//! Load balancers in a kept lab: asked with real packets from a pod, changed with a Kubernetes client.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "all of this is a test")]

mod kept;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kuryr_api::crd::KuryrLoadBalancer;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};

/// How long the lab may take to follow a change. It takes a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// A kept lab, a client of its Kubernetes API, and a pod to ask from that is behind no Service.
struct World {
    client: Client,
    asker: PathBuf,
    // Last, so that it is dropped last.
    _lab: kept::Lab,
}

impl World {
    async fn start() -> World {
        let lab = kept::Lab::keep(4);
        let kubeconfig = &lab.variables.iter().find(|(name, _)| name == "KUBECONFIG").unwrap().1;
        let kubeconfig = fs::read_to_string(kubeconfig).unwrap();
        let server = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("server: ")).unwrap();
        let client = Client::try_from(kube::Config::new(server.parse().unwrap())).unwrap();
        let mut world = World { client, asker: PathBuf::new(), _lab: lab };
        world.create_pod("asker", "n1", json!({})).await;
        world.asker = eventually("the asker runs", || container("asker"), Option::is_some).unwrap();
        world
    }

    fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client.clone())
    }

    async fn create_pod(&self, name: &str, node: &str, labels: Value) {
        let pod = json!({
            "metadata": { "name": name, "labels": labels },
            "spec": { "nodeName": node, "containers": [{ "name": "main", "image": "lab.invalid/none" }] },
        });
        self.pods().create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    }

    /// An address of the Service's, Ingress's or Gateway's load balancer.
    async fn vip(&self, kind: &str) -> SocketAddr {
        let address = match kind {
            "Service" => {
                let services = Api::<Service>::default_namespaced(self.client.clone());
                services.get("hello").await.unwrap().spec.unwrap().cluster_ip
            }
            "Ingress" => {
                let ingresses = Api::<Ingress>::default_namespaced(self.client.clone());
                let status = ingresses.get("colours").await.unwrap().status.unwrap();
                status.load_balancer.unwrap().ingress.unwrap().remove(0).ip
            }
            _ => {
                let gateway = self.gateway_api(kind).get("colours").await.unwrap();
                gateway.data["status"]["addresses"][0]["value"].as_str().map(str::to_owned)
            }
        };
        SocketAddr::new(address.unwrap().parse().unwrap(), 80)
    }

    fn gateway_api(&self, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", kind));
        Api::default_namespaced_with(self.client.clone(), &resource)
    }

    /// Does something in the network namespace of the asker.
    fn inside_pod<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let netns = File::open(self.asker.join("ns/net")).unwrap();
        let inside = || {
            move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        };
        thread::scope(|scope| scope.spawn(inside).join().unwrap())
    }

    /// What a request for this host and path is answered.
    fn get(&self, vip: SocketAddr, host: &str, path: &str) -> Answer {
        self.inside_pod(|| request(vip, host, path))
    }

    /// Who answers so many requests, or datagrams, and how often; those that nobody answers are counted as nobody's.
    fn who_answers(&self, vip: SocketAddr, transport: Transport, times: usize) -> BTreeMap<String, usize> {
        self.inside_pod(|| {
            let mut answers = BTreeMap::new();
            for _ in 0..times {
                let who = match transport {
                    Transport::Tcp => request(vip, "any.lab", "/").body,
                    Transport::Udp => datagram(vip),
                };
                *answers.entry(who).or_default() += 1;
            }
            answers
        })
    }
}

#[derive(Clone, Copy, Debug)]
enum Transport {
    Tcp,
    Udp,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    /// Empty if the connection is refused, or closed without an answer.
    status: String,
    location: String,
    body: String,
}

fn request(vip: SocketAddr, host: &str, path: &str) -> Answer {
    let Ok(mut stream) = TcpStream::connect_timeout(&vip, Duration::from_secs(2)) else { return Answer::default() };
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut answer = String::new();
    let asked = write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    if asked.is_err() || stream.read_to_string(&mut answer).is_err() {
        return Answer::default();
    }
    let header = |name: &str| {
        let line = answer.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().to_owned()
    };
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).trim().to_owned();
    Answer { status: header("HTTP/1.1 ").chars().take(3).collect(), location: header("location: "), body }
}

fn datagram(vip: SocketAddr) -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut answer = [0; 512];
    let asked = socket.connect(vip).and_then(|()| socket.send(b"?")).and_then(|_| socket.recv(&mut answer));
    String::from_utf8_lossy(&answer[..asked.unwrap_or_default()]).trim().to_owned()
}

/// `/proc/PID` of a pod's container.
fn container(pod: &str) -> Option<PathBuf> {
    let wanted = format!("\0--answer\0{pod}\0");
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    processes.into_iter().find(|process| {
        fs::read_to_string(process.join("cmdline"))
            .is_ok_and(|line| line.ends_with(&wanted) && line.contains("kuryr-lab"))
    })
}

/// The network namespaces in which something of the lab runs.
fn namespaces() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for process in fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()) {
        let is_lab = fs::read_link(process.join("exe")).is_ok_and(|exe| exe.ends_with("kuryr-lab"));
        let threads = fs::read_dir(process.join("task")).into_iter().flatten().flatten();
        let threads = threads.filter(|_| is_lab);
        found.extend(threads.filter_map(|thread| fs::read_link(thread.path().join("ns/net")).ok()));
    }
    found
}

/// Looks until it is there. The kernel and the lab tell nobody outside when they are done.
fn eventually<T: std::fmt::Debug>(what: &str, look: impl Fn() -> T, is_it: impl Fn(&T) -> bool) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = look();
        if is_it(&found) {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not after {} s, but {found:?}", PATIENCE.as_secs());
        thread::sleep(Duration::from_millis(20));
    }
}

fn times(who: &[&str], times: usize) -> BTreeMap<String, usize> {
    who.iter().map(|pod| ((*pod).to_owned(), times)).collect()
}

#[tokio::test]
#[ignore = "needs root; run by cargo xtask test"]
async fn a_vip_balances_tcp_and_udp_between_nodes_and_follows_its_pods() {
    let world = World::start().await;
    let vip = world.vip("Service").await;
    let all = ["pod-1", "pod-2", "pod-3", "pod-4"];
    for transport in [Transport::Tcp, Transport::Udp] {
        assert_eq!(world.who_answers(vip, transport, 20), times(&all, 5), "{transport:?}");
    }

    for pod in all {
        world.pods().delete(pod, &DeleteParams::default()).await.unwrap();
    }
    for transport in [Transport::Tcp, Transport::Udp] {
        let nobody = times(&[""], 2);
        eventually("nobody answers", || world.who_answers(vip, transport, 2), |heard| *heard == nobody);
    }

    for (pod, node) in [("next-1", "n1"), ("next-2", "n2")] {
        world.create_pod(pod, node, json!({ "app": "kuryr-lab" })).await;
    }
    for transport in [Transport::Tcp, Transport::Udp] {
        let both = times(&["next-1", "next-2"], 3);
        eventually("both answer", || world.who_answers(vip, transport, 6), |heard| *heard == both);
    }
}

#[tokio::test]
#[ignore = "needs root; run by cargo xtask test"]
async fn a_member_that_refuses_is_passed_over() {
    let world = World::start().await;
    let vip = world.vip("Service").await;
    // What ends here no kubelet notices: the pod is Ready, its port closed.
    let dead = container("pod-2").unwrap();
    let dead = dead.file_name().unwrap().to_str().unwrap().parse().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(dead).unwrap(), rustix::process::Signal::KILL)
        .unwrap();
    // A process that ends loses its command line before its sockets.
    let ended = || fs::read_to_string(format!("/proc/{dead}/stat")).map_or(true, |stat| stat.contains(") Z "));
    eventually("the container is dead", ended, |ended| *ended);
    for transport in [Transport::Tcp, Transport::Udp] {
        let answers = world.who_answers(vip, transport, 20);
        let who: Vec<&str> = answers.keys().map(String::as_str).collect();
        assert_eq!(who, ["pod-1", "pod-3", "pod-4"], "{transport:?}");
    }
}

#[tokio::test]
#[ignore = "needs root; run by cargo xtask test"]
async fn an_ingress_leads_by_host_and_path_and_follows_its_changes() {
    let world = World::start().await;
    let vip = world.vip("Ingress").await;
    assert_colours(&world, vip);

    let backend = json!({ "service": { "name": "green", "port": { "number": 80 } } });
    let path = json!({ "path": "/only", "pathType": "Exact", "backend": backend });
    let rules = json!([{ "host": "*.red.lab", "http": { "paths": [path] } }]);
    let ingresses = Api::<Ingress>::default_namespaced(world.client.clone());
    let change = Patch::Merge(json!({ "spec": { "rules": rules } }));
    ingresses.patch("colours", &PatchParams::default(), &change).await.unwrap();
    eventually("the new rule", || world.get(vip, "a.red.lab", "/only"), |answer| answer.status == "200");
    eventually("the old rules", || world.get(vip, "blue.lab", "/"), |answer| answer.status == "503");
    assert!(["pod-3", "pod-4"].contains(&world.get(vip, "A.red.lab", "/only?x=1").body.as_str()));
    for (host, path) in [("a.red.lab", "/only/more"), ("red.lab", "/only"), ("a.b.red.lab", "/only")] {
        assert_eq!(world.get(vip, host, path).status, "503", "{host}{path}");
    }
}

/// What the lab's Ingress and its HTTPRoutes say alike.
fn assert_colours(world: &World, vip: SocketAddr) {
    let (blue, green) = (["pod-1", "pod-2"], ["pod-3", "pod-4"]);
    for (host, path, pods) in [
        ("blue.lab", "/", blue),
        ("blue.lab", "/any?where=/green", blue),
        ("blue.lab", "/greenish", blue),
        ("blue.lab", "/green", green),
        ("blue.lab", "/green/grass", green),
        ("green.lab", "/", green),
        ("Green.Lab", "/blue", green),
    ] {
        let heard: BTreeSet<String> = (0..4).map(|_| world.get(vip, host, path).body).collect();
        assert_eq!(heard.iter().collect::<Vec<_>>(), pods, "{host}{path}");
    }
    assert_eq!(world.get(vip, "red.lab", "/").status, "503", "a host nobody serves");
}

#[tokio::test]
#[ignore = "needs root; run by cargo xtask test"]
async fn httproutes_lead_by_host_path_header_and_weight_and_redirect() {
    let world = World::start().await;
    let vip = world.vip("Gateway").await;
    assert_colours(&world, vip);

    let to = |service: &str, weight: u8| json!({ "name": service, "port": 80, "weight": weight });
    let redirect =
        json!({ "type": "RequestRedirect", "requestRedirect": { "hostname": "blue.lab", "statusCode": 301 } });
    let rules = json!([
        { "matches": [{ "path": { "type": "PathPrefix", "value": "/moved" } }], "filters": [redirect] },
        { "matches": [{ "path": { "type": "Exact", "value": "/mixed" } }], "backendRefs": [to("blue", 1), to("green", 3)] },
    ]);
    let change = Patch::Merge(json!({ "spec": { "rules": rules } }));
    world.gateway_api("HTTPRoute").patch("green", &PatchParams::default(), &change).await.unwrap();
    let moved = || world.get(vip, "green.lab", "/moved/here?x=1");
    let moved = eventually("the redirection", moved, |answer| answer.status == "301");
    assert_eq!(moved.location, "http://blue.lab/moved/here?x=1");
    eventually("the mixed rule", || world.get(vip, "green.lab", "/mixed"), |answer| answer.status == "200");
    let mut heard = BTreeMap::new();
    for _ in 0..16 {
        *heard.entry(world.get(vip, "green.lab", "/mixed").body).or_insert(0) += 1;
    }
    let wanted = [("pod-1", 2), ("pod-2", 2), ("pod-3", 6), ("pod-4", 6)];
    assert_eq!(heard, wanted.map(|(pod, times)| (pod.to_owned(), times)).into());
}

#[tokio::test]
#[ignore = "needs root; run by cargo xtask test"]
async fn what_is_deleted_leaves_no_namespace_and_no_address() {
    let world = World::start().await;
    let vips = [world.vip("Service").await, world.vip("Ingress").await, world.vip("Gateway").await];
    let all = namespaces();
    let now = DeleteParams::default();
    Api::<Service>::default_namespaced(world.client.clone()).delete("hello", &now).await.unwrap();
    Api::<Ingress>::default_namespaced(world.client.clone()).delete("colours", &now).await.unwrap();
    world.gateway_api("Gateway").delete("colours", &now).await.unwrap();
    let left = |left: &BTreeSet<PathBuf>| left.len() + vips.len() == all.len();
    eventually("the amphorae's namespaces are gone", namespaces, left);
    for vip in vips {
        assert_eq!(world.get(vip, "blue.lab", "/"), Answer::default(), "{vip}");
    }
    let balancers = Api::<KuryrLoadBalancer>::default_namespaced(world.client.clone());
    let deadline = Instant::now() + PATIENCE;
    while !balancers.list(&Default::default()).await.unwrap().items.is_empty() {
        assert!(Instant::now() < deadline, "a KuryrLoadBalancer is left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
