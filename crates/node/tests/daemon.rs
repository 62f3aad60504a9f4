//! The whole node: the real kuryr-cni, the real daemon over its socket, real network namespaces and a real Open vSwitch.
//! Only the Kubernetes API is a fake. These are the lines of the CNI checklist that only a kernel can answer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code; the lint does not see it in helpers")]

mod kernel_world;

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use kernel_world::{
    OpenVswitch, Pod, api, devices, has_device, on_a_host, one_of_many, port_id, run, switch_vif, with_ipv6,
};
use kuryr_api::vif::Vif;
use kuryr_fake::kubernetes::Cluster;
use kuryr_node::Config;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The plugin, built if need be.
static PLUGIN: LazyLock<PathBuf> = LazyLock::new(|| {
    let build = Command::new(env!("CARGO")).args(["build", "--quiet", "--package", "kuryr-cni"]).status().unwrap();
    assert!(build.success(), "kuryr-cni does not build");
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("kuryr-cni")
});

/// A node: the switch, the API's KuryrPorts and a daemon that can be restarted.
struct World {
    ovs: OpenVswitch,
    cluster: Cluster,
    dir: TempDir,
    daemon: Option<(CancellationToken, JoinHandle<()>)>,
}

impl World {
    async fn start() -> Self {
        let (ovs, dir) = (OpenVswitch::start(), TempDir::new().unwrap());
        let mut world = Self { ovs, cluster: api::cluster(), dir, daemon: None };
        world.start_daemon().await;
        world
    }

    async fn start_daemon(&mut self) {
        let config = Config {
            socket: self.socket(),
            state_dir: self.dir.path().join("state"),
            vif_annotation_timeout: Duration::from_secs(5),
            health_address: None,
            metrics_address: None,
            plug: self.ovs.settings(),
            ..Config::new("node-1")
        };
        let shutdown = CancellationToken::new();
        let serve = kuryr_node::run(config, kube::Client::new(self.cluster.clone(), "default"), shutdown.clone());
        let task = tokio::spawn(async move { serve.await.unwrap() });
        let socket = self.socket();
        let begun = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10) && !task.is_finished(), "the daemon does not serve");
            tokio::task::yield_now().await;
        }
        self.daemon = Some((shutdown, task));
    }

    /// Ends as SIGTERM ends it, within seconds whatever is in hand.
    async fn stop_daemon(&mut self) {
        let (shutdown, task) = self.daemon.take().unwrap();
        shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(5), task).await.expect("it ends within seconds").unwrap();
    }

    /// Ends as a crash would: nothing is tidied up.
    async fn kill_daemon(&mut self) {
        let (_, task) = self.daemon.take().unwrap();
        task.abort();
        let _ = task.await;
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("cni.sock")
    }

    /// A pod and its KuryrPort with these interfaces.
    fn port(&self, pod: &str, vifs: &[(&str, Vif)]) {
        api::create_port(&self.cluster, pod, vifs);
    }

    fn kuryr_port(&self, pod: &str, vifs: &[(&str, Vif)]) {
        api::create_kuryr_port(&self.cluster, pod, &self.uid(pod), vifs);
    }

    fn uid(&self, pod: &str) -> String {
        let pod = self.cluster.get("pods", "ns", pod).unwrap_or_default();
        pod["metadata"]["uid"].as_str().unwrap_or("unknown").to_owned()
    }

    fn config(&self, version: &str) -> Value {
        json!({"cniVersion": version, "name": "kuryr", "type": "kuryr-cni", "daemon_socket": self.socket()})
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("state")).unwrap().count()
    }

    /// Nothing of ours is left on the host.
    #[track_caller]
    fn assert_clean(&self) {
        assert_eq!(self.files(), 0, "checkpoints");
        assert_eq!(self.ovs.ports(), [""; 0], "switch ports");
        assert!(!devices().iter().any(|name| name.starts_with("tap")), "{:?}", devices());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some((shutdown, task)) = self.daemon.take() {
            shutdown.cancel();
            task.abort();
        }
    }
}

/// One execution of the plugin.
struct Call {
    command: &'static str,
    container: String,
    netns: String,
    args: String,
    config: Value,
}

fn call(world: &World, command: &'static str, container: &str, pod: &str, netns: impl Into<PathBuf>) -> Call {
    let netns = netns.into().display().to_string();
    let args = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME={pod};K8S_POD_UID={}", world.uid(pod));
    Call { command, container: container.into(), netns, args, config: world.config("1.1.0") }
}

impl Call {
    fn with(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    async fn output(self) -> Output {
        let run = move || {
            let mut plugin = Command::new(&*PLUGIN);
            plugin.env_clear().env("CNI_COMMAND", self.command).env("CNI_CONTAINERID", &self.container);
            plugin.env("CNI_NETNS", &self.netns).env("CNI_IFNAME", "eth0").env("CNI_PATH", "/opt/cni/bin");
            plugin.env("CNI_ARGS", &self.args);
            let mut child = plugin.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), self.config.to_string().as_bytes()).unwrap();
            child.wait_with_output().unwrap()
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    #[track_caller]
    fn ok(self) -> impl Future<Output = Value> {
        let (place, command) = (std::panic::Location::caller(), self.command);
        async move {
            let output = self.output().await;
            assert!(output.status.success(), "{place}: {command}: {}", String::from_utf8_lossy(&output.stdout));
            if output.stdout.is_empty() { Value::Null } else { serde_json::from_slice(&output.stdout).unwrap() }
        }
    }

    #[track_caller]
    fn fails(self, code: u64) -> impl Future<Output = Value> {
        let place = std::panic::Location::caller();
        async move {
            let output = self.output().await;
            let error: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert!(!output.status.success() && error["code"] == code, "{place}: {error}");
            error
        }
    }
}

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn add_check_del_with_every_version() {
    on_a_host(async || {
        let world = World::start().await;
        world.port("p", &[("eth0", with_ipv6(switch_vif(5), 5))]);
        for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
            let pod = Pod::new();
            let config = |call: Call| call.with("cniVersion", json!(version));
            let result = config(call(&world, "ADD", "c1", "p", pod.path())).ok().await;
            assert_eq!(result["cniVersion"], version);
            assert_eq!(pod.link("eth0")["operstate"], "UP");
            assert_eq!(pod.addresses("eth0"), ["10.1.0.5/24", "fd00:1::5/64"]);
            let first = if version < "0.3.0" { &result["ip4"]["ip"] } else { &result["ips"][0]["address"] };
            assert_eq!(first, "10.1.0.5/24");
            if version < "0.3.0" {
                assert_eq!(result["ip6"]["ip"], "fd00:1::5/64");
            }
            let check = config(call(&world, "CHECK", "c1", "p", pod.path())).with("prevResult", result.clone());
            if version >= "0.4.0" {
                assert_eq!(check.ok().await, Value::Null);
            } else {
                check.fails(1).await;
            }
            // B13: no prevResult.
            assert_eq!(config(call(&world, "DEL", "c1", "p", pod.path())).ok().await, Value::Null);
            assert!(pod.ip(&["link"]).as_array().unwrap().iter().all(|link| link["ifname"] != "eth0"));
            world.assert_clean();
        }
    });
}

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn the_result_tells_what_the_kernel_has() {
    on_a_host(async || {
        let world = World::start().await;
        world.port("p", &[("eth0", switch_vif(5)), ("eth1", switch_vif(6))]);
        let pod = Pod::new();
        let result = call(&world, "ADD", "c1", "p", pod.path()).ok().await;
        let interfaces = result["interfaces"].as_array().unwrap();
        let names: Vec<&str> = interfaces.iter().map(|interface| interface["name"].as_str().unwrap()).collect();
        let tap = |n| kuryr_api::names::tap_name(&port_id(n));
        assert_eq!(names, ["eth0", "eth1", &tap(5), &tap(6)]);
        for interface in interfaces {
            let name = interface["name"].as_str().unwrap();
            let link = match interface.get("sandbox") {
                Some(sandbox) => {
                    assert_eq!(*sandbox, json!(pod.path()));
                    pod.link(name)
                }
                None => kernel_world::ip(&["link", "show", name])[0].clone(),
            };
            assert_eq!((&interface["mac"], &interface["mtu"]), (&link["address"], &link["mtu"]), "{name}");
        }
        let routes: Vec<String> = result["routes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|route| {
                format!(
                    "{} via {}",
                    route["dst"].as_str().unwrap().replace("0.0.0.0/0", "default"),
                    route["gw"].as_str().unwrap()
                )
            })
            .collect();
        assert_eq!(routes, pod.routes("-4"), "C07: the default route included, and only what was installed");
    });
}

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn an_interface_that_is_there_is_an_error_and_stays() {
    on_a_host(async || {
        let world = World::start().await;
        world.port("p", &[("eth0", switch_vif(5))]);
        let pod = Pod::new();
        pod.run(&["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer0"]);
        let before = pod.link("eth0");
        let error = call(&world, "ADD", "c1", "p", pod.path()).fails(103).await;
        assert!(error["msg"].as_str().unwrap().contains("eth0"), "{error}");
        assert_eq!(pod.link("eth0"), before);
        world.assert_clean();
        call(&world, "DEL", "c1", "p", pod.path()).ok().await;
        assert_eq!(pod.link("eth0"), before);
    });
}

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn a_namespace_that_is_none_or_the_hosts_is_code_8_before_any_change() {
    on_a_host(async || {
        let world = World::start().await;
        world.port("p", &[("eth0", switch_vif(5))]);
        let before = devices();
        let own = format!("/proc/{}/task/{}/ns/net", std::process::id(), rustix::thread::gettid());
        let file = world.dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        for netns in [PathBuf::from("/run/netns/gone"), PathBuf::from(own), file] {
            call(&world, "ADD", "c1", "p", netns.clone()).fails(8).await;
            assert_eq!(devices(), before, "{}", netns.display());
            world.assert_clean();
        }
    });
}

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn del_without_a_namespace_frees_the_host_and_touches_nothing_else() {
    on_a_host(async || {
        let world = World::start().await;
        world.port("p", &[("eth0", switch_vif(5))]);
        // A host whose own interface is called eth0.
        run("ip", &["link", "add", "eth0", "type", "veth", "peer", "name", "uplink"]);
        let before = devices();
        for netns in ["", "/run/netns/gone"] {
            let pod = Pod::new();
            call(&world, "ADD", "c1", "p", pod.path()).ok().await;
            call(&world, "DEL", "c1", "p", netns).ok().await;
            world.assert_clean();
            assert_eq!(devices(), before);
        }
        // D06: the namespace is there, the interface is not.
        let pod = Pod::new();
        call(&world, "ADD", "c1", "p", pod.path()).ok().await;
        pod.run(&["ip", "link", "delete", "eth0"]);
        call(&world, "DEL", "c1", "p", pod.path()).ok().await;
        world.assert_clean();
        // D03: never added.
        call(&world, "DEL", "c9", "p", "").ok().await;
        assert_eq!(devices(), before);
    });
}

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn check_finds_what_is_missing_and_tolerates_what_others_changed() {
    on_a_host(async || {
        let world = World::start().await;
        let mut vif = switch_vif(5);
        let route = kuryr_api::vif::Route { cidr: "10.9.0.0/16".into(), gateway: Some("10.1.0.254".into()) };
        vif.network.subnets[0].routes.push(route);
        world.port("p", &[("eth0", vif)]);
        let pod = Pod::new();
        let result = call(&world, "ADD", "c1", "p", pod.path()).ok().await;
        let check = || call(&world, "CHECK", "c1", "p", pod.path()).with("prevResult", result.clone());
        check().ok().await;
        // E09
        pod.run(&["ip", "link", "set", "eth0", "mtu", "1300"]);
        pod.run(&["ip", "route", "add", "192.0.2.0/24", "via", "10.1.0.1"]);
        check().ok().await;
        // E05
        pod.run(&["ip", "route", "delete", "10.9.0.0/16"]);
        check().fails(104).await;
        pod.run(&["ip", "route", "add", "10.9.0.0/16", "via", "10.1.0.254"]);
        check().ok().await;
        // E04
        pod.run(&["ip", "address", "add", "10.1.0.77/24", "dev", "eth0"]);
        pod.run(&["ip", "address", "delete", "10.1.0.5/24", "dev", "eth0"]);
        check().fails(104).await;
        // E06, and E07: without the switch nobody can tell.
        let pod = Pod::new();
        world.port("q", &[("eth0", switch_vif(6))]);
        let result = call(&world, "ADD", "c2", "q", pod.path()).ok().await;
        let check = || call(&world, "CHECK", "c2", "q", pod.path()).with("prevResult", result.clone());
        check().ok().await;
        world.ovs.vsctl(&["del-port", &kuryr_api::names::tap_name(&port_id(6))]);
        check().fails(104).await;
        // E03
        pod.run(&["ip", "link", "delete", "eth0"]);
        check().fails(104).await;
    });
}

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn the_agent_of_this_node_says_when_the_port_is_ready() {
    on_a_host(async || {
        let world = World::start().await;
        world.ovs.vsctl(&[
            "set",
            "Open_vSwitch",
            ".",
            "external_ids:ovn-remote=unix:/nowhere",
            "external_ids:ovn-bridge=br-int",
        ]);
        let vif = Vif { active: false, ..switch_vif(5) };
        let tap = vif.vif_name.clone();
        world.port("p", &[("eth0", vif)]);
        let pod = Pod::new();
        let add = tokio::spawn(call(&world, "ADD", "c1", "p", pod.path()).ok());
        while !world.ovs.ports().contains(&tap) {
            assert!(!add.is_finished(), "the port is not active yet");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // As ovn-controller does.
        world.ovs.vsctl(&["set", "Interface", &tap, "external_ids:ovn-installed=true"]);
        add.await.unwrap();

        // It never comes for the second: undone, and to be tried again.
        let vif = Vif { active: false, ..switch_vif(6) };
        world.port("q", &[("eth0", vif)]);
        call(&world, "ADD", "c2", "q", Pod::new().path()).fails(11).await;
        assert_eq!((world.ovs.ports(), world.files()), (vec![tap], 1));
    });
}

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn a_daemon_killed_and_started_again_knows_its_pods() {
    on_a_host(async || {
        let mut world = World::start().await;
        world.port("p", &[("eth0", switch_vif(5))]);
        let (old, new) = (Pod::new(), Pod::new());
        call(&world, "ADD", "c1", "p", old.path()).ok().await;
        call(&world, "ADD", "c2", "p", new.path()).ok().await;
        world.kill_daemon().await;
        call(&world, "DEL", "c1", "p", old.path()).with("daemonWait", json!(0)).fails(11).await;
        call(&world, "STATUS", "x", "p", "").fails(50).await;
        world.start_daemon().await;
        // D10: the late DEL of the old sandbox.
        call(&world, "DEL", "c1", "p", old.path()).ok().await;
        assert_eq!(new.addresses("eth0"), ["10.1.0.5/24"]);
        assert_eq!(world.ovs.ports().len(), 1);
        call(&world, "DEL", "c2", "p", new.path()).ok().await;
        world.assert_clean();
    });
}

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn a_pod_that_went_while_the_daemon_was_down_is_cleared_at_its_start() {
    on_a_host(async || {
        let mut world = World::start().await;
        world.port("p", &[("eth0", switch_vif(5))]);
        world.port("q", &[("eth0", switch_vif(6))]);
        let (gone, stays) = (Pod::new(), Pod::new());
        call(&world, "ADD", "c1", "p", gone.path()).ok().await;
        call(&world, "ADD", "c2", "q", stays.path()).ok().await;
        world.kill_daemon().await;
        drop(gone);
        // The kernel takes namespaces down in its own time.
        while has_device(&kuryr_api::names::tap_name(&port_id(5))) {
            tokio::task::yield_now().await;
        }
        world.start_daemon().await;
        let begun = Instant::now();
        while world.files() > 1 {
            assert!(begun.elapsed() < Duration::from_secs(10), "{} checkpoints", world.files());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(world.ovs.ports(), [kuryr_api::names::tap_name(&port_id(6))]);
        assert_eq!(stays.addresses("eth0"), ["10.1.0.6/24"]);
    });
}

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn status_and_gc_against_the_real_switch() {
    on_a_host(async || {
        let mut world = World::start().await;
        let pods: Vec<Pod> = (1..=3).map(|_| Pod::new()).collect();
        for (n, pod) in (1..).zip(&pods) {
            world.port(&format!("p{n}"), &[("eth0", switch_vif(n + 4))]);
            call(&world, "ADD", &format!("c{n}"), &format!("p{n}"), pod.path()).ok().await;
        }
        let begun = Instant::now();
        assert_eq!(call(&world, "STATUS", "x", "p", "").ok().await, Value::Null);
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());

        // F03: without a list nobody can tell what is stale.
        assert_eq!(call(&world, "GC", "x", "p", "").ok().await, Value::Null);
        assert_eq!(world.ovs.ports().len(), 3);
        // F06: the namespace of a stale attachment is gone.
        let mut pods = pods.into_iter();
        drop(pods.next());
        let valid = json!([{"containerID": "c3", "ifname": "eth0"}]);
        assert_eq!(call(&world, "GC", "x", "p", "").with("cni.dev/valid-attachments", valid).ok().await, Value::Null);
        assert_eq!(world.ovs.ports(), [kuryr_api::names::tap_name(&port_id(7))]);
        assert_eq!(world.files(), 1);

        world.ovs.stop_server();
        call(&world, "STATUS", "x", "p", "").fails(51).await;
        let last = pods.next_back().unwrap();
        call(&world, "DEL", "c3", "p3", last.path()).fails(105).await;
        assert!(!has_device(&kuryr_api::names::tap_name(&port_id(7))), "D14: the rest is removed all the same");
        world.ovs.start_server();
        call(&world, "DEL", "c3", "p3", last.path()).ok().await;
        world.assert_clean();
    });
}

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn thirty_adds_and_dels_outlive_a_restart_of_the_daemon() {
    on_a_host(async || {
        let mut world = World::start().await;
        let pods: Vec<Pod> = (0..30).map(|_| Pod::new()).collect();
        let mut adds = Vec::new();
        for (n, pod) in (0u8..).zip(&pods) {
            let name = format!("p{n}");
            // Some wait for their port when the daemon is stopped, some are being wired, some are answered.
            if n % 2 == 0 {
                drop(api::create_pod(&world.cluster, &name))
            } else {
                world.port(&name, &[("eth0", one_of_many(n + 10))])
            }
            adds.push(tokio::spawn(call(&world, "ADD", &format!("c{n}"), &name, pod.path()).ok()));
        }
        let begun = Instant::now();
        while world.files() < 5 {
            assert!(begun.elapsed() < Duration::from_secs(30), "nothing is wired");
            tokio::task::yield_now().await;
        }
        world.stop_daemon().await;
        for n in (0..30).step_by(2) {
            world.kuryr_port(&format!("p{n}"), &[("eth0", one_of_many(n + 10))]);
        }
        assert!(adds.iter().any(|add| !add.is_finished()), "the daemon was not missed");
        world.start_daemon().await;
        for add in adds {
            add.await.unwrap();
        }
        for (n, pod) in (0u8..).zip(&pods) {
            assert_eq!(pod.addresses("eth0"), [format!("10.1.0.{}/24", n + 10)]);
        }
        assert_eq!((world.ovs.ports().len(), world.files()), (30, 30));

        let dels: Vec<_> = (0..30)
            .zip(&pods)
            .map(|(n, pod)| tokio::spawn(call(&world, "DEL", &format!("c{n}"), &format!("p{n}"), pod.path()).ok()))
            .collect();
        while world.files() > 25 {
            tokio::task::yield_now().await;
        }
        world.stop_daemon().await;
        world.start_daemon().await;
        for del in dels {
            del.await.unwrap();
        }
        world.assert_clean();
    });
}

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn thirty_pods_at_once_through_the_plugin() {
    on_a_host(async || {
        let world = World::start().await;
        let pods: Vec<Pod> = (0..30).map(|_| Pod::new()).collect();
        let mut calls = Vec::new();
        for (n, pod) in (0u8..).zip(&pods) {
            world.port(&format!("p{n}"), &[("eth0", one_of_many(n + 10))]);
            calls.push(tokio::spawn(call(&world, "ADD", &format!("c{n}"), &format!("p{n}"), pod.path()).ok()));
        }
        for call in calls {
            call.await.unwrap();
        }
        for (n, pod) in (0u8..).zip(&pods) {
            assert_eq!(pod.addresses("eth0"), [format!("10.1.0.{}/24", n + 10)]);
        }
        assert_eq!((world.ovs.ports().len(), world.files()), (30, 30));
        let dels: Vec<_> = (0..30)
            .zip(&pods)
            .map(|(n, pod)| tokio::spawn(call(&world, "DEL", &format!("c{n}"), &format!("p{n}"), pod.path()).ok()))
            .collect();
        for del in dels {
            del.await.unwrap();
        }
        world.assert_clean();
    });
}
