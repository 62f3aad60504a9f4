//! A world of its own for every test: a network namespace that plays the host, pods as further namespaces, and where a
//! test wants it a real Open vSwitch. Everything disappears with the test, even if it is killed.

#![allow(dead_code, reason = "every test file uses its own part of the world")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code; the lint does not see it in helpers")]
#![allow(unreachable_pub, reason = "a module of test programs")]

pub mod api;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kuryr_api::vif::{Network, Subnet, Vif, VifKind};
use kuryr_node::plug::{Attachment, Interface, PodRef, Settings};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use serde_json::Value;

/// Runs an asynchronous test on a thread whose network namespace nobody else has.
#[track_caller]
pub fn on_a_host<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let outcome = std::thread::spawn(move || {
        unshare_network();
        run("ip", &["link", "set", "lo", "up"]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test());
    })
    .join();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

#[allow(deprecated, reason = "the replacement is unsafe for flags we do not use")]
fn unshare_network() {
    rustix::thread::unshare(UnshareFlags::NEWNET).expect("a new network namespace; these tests need root");
}

/// Gives the calling thread, and those it starts, a `/proc/sys` as containers have it.
#[allow(deprecated, reason = "the replacement is unsafe for flags we do not use")]
pub fn make_proc_sys_read_only() {
    rustix::thread::unshare(UnshareFlags::NEWNS).expect("a new mount namespace; these tests need root");
    run("mount", &["--make-rprivate", "/"]);
    run("mount", &["--bind", "/proc/sys", "/proc/sys"]);
    run("mount", &["-o", "remount,ro,bind", "/proc/sys"]);
}

/// Runs a program and returns what it printed; panics if it fails.
#[track_caller]
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| {
        panic!("{program}: {error}; apt-get install iproute2 iputils-ping openvswitch-switch procps util-linux")
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {}{}", text(&output.stderr), text(&output.stdout));
    text(&output.stdout)
}

/// `ip -j …` on the host.
#[track_caller]
pub fn ip(arguments: &[&str]) -> Value {
    json(&run("ip", &[&["-j", "-d"], arguments].concat()))
}

fn json(text: &str) -> Value {
    if text.trim().is_empty() { Value::Array(Vec::new()) } else { serde_json::from_str(text).unwrap() }
}

/// Whether the host has a device.
pub fn has_device(name: &str) -> bool {
    ip(&["link"]).as_array().unwrap().iter().any(|link| link["ifname"] == name)
}

/// Names of the host's devices, sorted.
pub fn devices() -> Vec<String> {
    let mut names: Vec<_> =
        ip(&["link"]).as_array().unwrap().iter().map(|link| link["ifname"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// A pod: an empty network namespace.
pub struct Pod {
    netns: File,
}

impl Pod {
    pub fn new() -> Self {
        let netns = std::thread::spawn(|| {
            unshare_network();
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        Self { netns: netns.join().unwrap() }
    }

    /// The file a runtime would pass as `CNI_NETNS`.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.netns.as_raw_fd()))
    }

    /// Runs a program inside.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> String {
        let netns = format!("--net={}", self.path().display());
        run("nsenter", &[&[netns.as_str()], arguments].concat())
    }

    /// `ip -j …` inside.
    #[track_caller]
    pub fn ip(&self, arguments: &[&str]) -> Value {
        json(&self.run(&[&["ip", "-j", "-d"], arguments].concat()))
    }

    /// A device inside.
    #[track_caller]
    pub fn link(&self, ifname: &str) -> Value {
        self.ip(&["link", "show", ifname])[0].clone()
    }

    /// Addresses of a device with prefix lengths, in the order of the kernel.
    pub fn addresses(&self, ifname: &str) -> Vec<String> {
        let answer = self.ip(&["address", "show", ifname]);
        let infos = answer[0]["addr_info"].as_array().unwrap().iter();
        infos
            .filter(|info| info["scope"] == "global")
            .map(|info| format!("{}/{}", info["local"].as_str().unwrap(), info["prefixlen"]))
            .collect()
    }

    /// Routes of one family (`-4`, `-6`) as "destination via gateway", those of the kernel's own left out.
    pub fn routes(&self, family: &str) -> Vec<String> {
        let answer = self.ip(&[family, "route"]);
        let routes = answer.as_array().unwrap().iter().filter(|route| route["protocol"] != "kernel");
        routes
            .map(|route| {
                let flags = route["flags"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let onlink = if flags.into_iter().any(|flag| flag == "onlink") { " onlink" } else { "" };
                format!("{} via {}{onlink}", route["dst"].as_str().unwrap(), route["gateway"].as_str().unwrap_or("-"))
            })
            .collect()
    }

    /// A setting of the pod's.
    pub fn sysctl(&self, setting: &str) -> String {
        self.run(&["cat", &format!("/proc/sys/net/{setting}")]).trim().to_owned()
    }

    /// Pings once, within two seconds.
    #[track_caller]
    pub fn ping(&self, address: &str) {
        self.run(&["ping", "-n", "-c", "1", "-W", "2", address]);
    }

    /// Does `work` on a thread inside.
    pub fn inside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> std::thread::JoinHandle<T> {
        let netns = self.netns.as_fd().try_clone_to_owned().unwrap();
        std::thread::spawn(move || {
            move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        })
    }

    /// Sends 100 kB over TCP to another pod, which sends them back.
    pub fn talk_tcp(&self, to: &Pod, address: IpAddr) {
        const AMOUNT: usize = 100_000;
        let (ready, listening) = std::sync::mpsc::channel();
        let server = to.inside(move || {
            let listener = TcpListener::bind(SocketAddr::new(address, 0)).unwrap();
            ready.send(listener.local_addr().unwrap()).unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = vec![0; AMOUNT];
            stream.read_exact(&mut bytes).unwrap();
            stream.write_all(&bytes).unwrap();
        });
        let server_address = listening.recv().unwrap();
        let client = self.inside(move || {
            let deadline = Duration::from_secs(5);
            let mut stream = TcpStream::connect_timeout(&server_address, deadline).expect("TCP between pods");
            stream.set_read_timeout(Some(deadline)).unwrap();
            let sent: Vec<u8> = (0..AMOUNT).map(|n| (n % 251) as u8).collect();
            stream.write_all(&sent).unwrap();
            let mut received = vec![0; AMOUNT];
            stream.read_exact(&mut received).expect("TCP between pods");
            assert!(sent == received);
        });
        client.join().expect("client");
        server.join().expect("server");
    }
}

/// A real Open vSwitch with its datapath in user space: the kernel needs no module.
pub struct OpenVswitch {
    pub dir: tempfile::TempDir,
    server: Option<Child>,
    vswitchd: Option<Child>,
}

impl OpenVswitch {
    /// Starts it with bridge `br-int`.
    pub fn start() -> Self {
        let mut this = Self::start_empty();
        this.start_vswitchd();
        this.vsctl(&["add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=netdev"]);
        this
    }

    /// Starts the database only.
    pub fn start_empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("conf.db");
        run("ovsdb-tool", &["create", database.to_str().unwrap(), "/usr/share/openvswitch/vswitch.ovsschema"]);
        let mut this = Self { dir, server: None, vswitchd: None };
        this.start_server();
        this.vsctl(&["--no-wait", "init"]);
        this
    }

    pub fn start_server(&mut self) {
        let remote = format!("--remote=punix:{}", self.file("db.sock"));
        let server = self.spawn("ovsdb-server", &[&self.file("conf.db"), &remote]);
        self.server = Some(server);
    }

    pub fn start_vswitchd(&mut self) {
        let vswitchd = self.spawn("ovs-vswitchd", &[&format!("unix:{}", self.file("db.sock"))]);
        self.vswitchd = Some(vswitchd);
    }

    pub fn stop_server(&mut self) {
        end(&mut self.server);
    }

    pub fn stop_vswitchd(&mut self) {
        end(&mut self.vswitchd);
    }

    /// Stops and continues ovs-vswitchd (SIGSTOP, SIGCONT).
    pub fn signal_vswitchd(&self, signal: &str) {
        run("kill", &[signal, &self.vswitchd.as_ref().unwrap().id().to_string()]);
    }

    fn spawn(&self, program: &str, arguments: &[&str]) -> Child {
        let name = |suffix: &str| self.file(&format!("{program}.{suffix}"));
        // Dies with the thread of the test, whatever ends it.
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL", program, "-vconsole:off", "--no-chdir"])
            .args(arguments)
            .args([format!("--unixctl={}", name("ctl")), format!("--log-file={}", name("log"))])
            .arg(format!("--pidfile={}", name("pid")))
            .envs([("OVS_RUNDIR", self.dir.path()), ("OVS_LOGDIR", self.dir.path())])
            .stdout(Stdio::null())
            .spawn()
            .expect("setpriv of util-linux")
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// `ovs-vsctl …`
    #[track_caller]
    pub fn vsctl(&self, arguments: &[&str]) -> String {
        let database = format!("--db={}", self.address());
        let output = run("ovs-vsctl", &[&["--timeout=10", "--retry", database.as_str()], arguments].concat());
        output.trim().to_owned()
    }

    /// A column of a record, as ovs-vsctl prints it; empty if there is no such record.
    pub fn get(&self, table: &str, record: &str, column: &str) -> String {
        self.vsctl(&["--if-exists", "get", table, record, column]).trim_matches('"').to_owned()
    }

    pub fn ports(&self) -> Vec<String> {
        self.vsctl(&["list-ports", "br-int"]).lines().map(str::to_owned).collect()
    }

    pub fn address(&self) -> String {
        format!("unix:{}", self.file("db.sock"))
    }

    pub fn settings(&self) -> Settings {
        Settings { ovsdb: self.address().parse().unwrap(), ..Settings::default() }
    }
}

impl Drop for OpenVswitch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for log in ["ovsdb-server.log", "ovs-vswitchd.log"] {
                let text = std::fs::read_to_string(self.file(log)).unwrap_or_default();
                let lines: Vec<_> = text.lines().collect();
                eprintln!("--- {log}\n{}", lines[lines.len().saturating_sub(30)..].join("\n"));
            }
        }
        end(&mut self.vswitchd);
        end(&mut self.server);
    }
}

fn end(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// A port id whose first characters tell ports apart.
pub fn port_id(n: u8) -> String {
    format!("0f8b1c1{n:x}-{n:02x}2b-4c3d-8e4f-5a6b7c8d9e0f")
}

/// A VIF of port `n` with address 10.1.0.n on 10.1.0.0/24, gateway 10.1.0.1.
pub fn vif(n: u8, plugin: &str, kind: VifKind) -> Vif {
    Vif {
        id: port_id(n),
        address: Some(format!("fa:16:3e:00:00:{n:02x}")),
        network: Network {
            id: "c3b6d8a2-0000-4000-8000-000000000001".to_owned(),
            bridge: Some("br-int".to_owned()),
            mtu: Some(1442),
            subnets: vec![Subnet {
                cidr: "10.1.0.0/24".to_owned(),
                gateway: Some([10, 1, 0, 1].into()),
                ips: vec![[10, 1, 0, n].into()],
                ..Subnet::default()
            }],
            ..Network::default()
        },
        plugin: plugin.to_owned(),
        active: true,
        has_traffic_filtering: true,
        vif_name: format!("tap{}", &port_id(n)[..11]),
        kind,
    }
}

/// A port of `br-int`.
pub fn switch_vif(n: u8) -> Vif {
    vif(n, "ovs", VifKind::OpenVSwitch { bridge: "br-int".to_owned(), interface_id: port_id(n) })
}

/// A port of `br-int` where there are more than [`port_id`] can tell apart.
pub fn one_of_many(n: u8) -> Vif {
    let id = format!("{n:08x}-0000-4000-8000-000000000000");
    let kind = VifKind::OpenVSwitch { bridge: "br-int".to_owned(), interface_id: id.clone() };
    Vif { vif_name: kuryr_api::names::tap_name(&id), id, ..vif(n, "ovs", kind) }
}

/// A port of the Linux bridge `brq-test`.
pub fn bridge_vif(n: u8) -> Vif {
    vif(n, "linux_bridge", VifKind::Bridge { bridge: "brq-test".to_owned(), interface_id: None })
}

/// Adds fd00:1::n on fd00:1::/64, gateway fd00:1::1.
pub fn with_ipv6(mut vif: Vif, n: u8) -> Vif {
    vif.network.subnets.push(Subnet {
        cidr: "fd00:1::/64".to_owned(),
        gateway: "fd00:1::1".parse().ok(),
        ips: vec![format!("fd00:1::{n:x}").parse().unwrap()],
        ..Subnet::default()
    });
    vif
}

/// One sandbox with the interfaces eth0, eth1, ….
pub fn attachment(container_id: &str, pod: &Pod, vifs: Vec<Vif>) -> Attachment {
    let interfaces = vifs.into_iter().enumerate();
    Attachment {
        container_id: container_id.to_owned(),
        netns: pod.path(),
        pod: PodRef { uid: format!("uid-{container_id}"), namespace: "default".to_owned(), name: "web-0".to_owned() },
        interfaces: interfaces.map(|(n, vif)| Interface { ifname: format!("eth{n}"), main: n == 0, vif }).collect(),
    }
}

/// A plugger for nodes without Open vSwitch.
pub fn no_switch() -> Settings {
    Settings { integration_bridge: None, ..Settings::default() }
}

/// The bridge the Linux bridge agent would have made.
pub fn make_brq() {
    run("ip", &["link", "add", "brq-test", "type", "bridge"]);
    run("ip", &["link", "set", "brq-test", "up"]);
}
