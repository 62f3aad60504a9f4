//! Our side: Open vSwitch, an API server with the KuryrPorts, and the daemon as it is shipped, in the thread's network namespace.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kuryr_fake::kubernetes::Cluster;
use serde_json::json;

use crate::call::{Call, at_once, pods};
use crate::kernel_world::{OpenVswitch, Pod, api, one_of_many};

/// Longest wait for the daemon to be ready.
const PATIENCE: Duration = Duration::from_secs(10);

/// In MiB.
pub(crate) struct Memory {
    /// Everything, the executable's pages included (`VmRSS`).
    pub(crate) resident: f64,
    /// What it allocated, and its stacks (`RssAnon`).
    pub(crate) anonymous: f64,
}

/// A node with its daemon.
pub(crate) struct Host {
    daemon: Child,
    ovs: OpenVswitch,
    plugin: PathBuf,
    /// With the UIDs of their Kubernetes objects.
    pods: Vec<(Pod, String)>,
    socket: PathBuf,
    /// Every sandbox has a name of its own.
    sandboxes: AtomicU32,
    _folders: [tempfile::TempDir; 2],
}

impl Host {
    /// Starts everything for so many pods and waits until the daemon knows their KuryrPorts.
    pub(crate) fn start(kuryr: &Path, plugin: PathBuf, count: u8) -> Self {
        let ovs = OpenVswitch::start();
        let cluster = api::cluster();
        // No address is a network's own.
        let uid = |n: u8| api::create_port(&cluster, &format!("p{n}"), &[("eth0", one_of_many(n + 10))]);
        let pods = pods(count).into_iter().zip((0..count).map(uid)).collect();
        let api = serve(cluster);
        // The records are on a disk, as in the field; a socket's path must be short.
        let run = tempfile::tempdir().expect("a folder");
        let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let socket = run.path().join("cni.sock");
        let file = run.path().join("kuryr.conf");
        let settings = format!(
            "[kubernetes]\napi_root = {api}\ntoken_file =\nssl_ca_crt_file =\n\n[os_vif_ovs]\novsdb_connection = {}\n\n\
             [kuryr]\nnode_name = node-1\ndaemon_socket = {}\nstate_dir = {}\n",
            ovs.address(),
            socket.display(),
            disk.path().join("attachments").display()
        );
        std::fs::write(&file, settings).expect("kuryr.conf");
        // Dies with this thread, whatever ends it. What it logs is not for the table.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(kuryr).args(["daemon", "--config-file"]).arg(file);
        let daemon = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("setpriv of util-linux");
        let sandboxes = AtomicU32::new(0);
        let this = Self { daemon, ovs, plugin, pods, socket, sandboxes, _folders: [run, disk] };
        let begun = Instant::now();
        while let Err(said) = this.call("STATUS", 0, 0).run().1 {
            assert!(begun.elapsed() < PATIENCE, "the daemon is not ready: {said}");
        }
        this
    }

    /// So many pods at once; what each ADD took.
    pub(crate) fn add_and_del(&self, count: u8) -> Vec<Duration> {
        let first = self.next_sandboxes(count);
        let took = at_once(&self.calls("ADD", 0..count, first));
        assert_eq!(self.ovs.ports().len(), usize::from(count), "switch ports");
        at_once(&self.calls("DEL", 0..count, first));
        // ovs-vswitchd has let go of them when it has seen a later change: it is not at work in somebody else's turn.
        self.ovs.vsctl(&["set", "Open_vSwitch", ".", &format!("external_ids:seen={first}")]);
        took
    }

    /// Adds all pods, and leaves them there.
    pub(crate) fn add_all(&self) {
        let count = u8::try_from(self.pods.len()).expect("few");
        for begin in (0..count).step_by(10) {
            let first = self.next_sandboxes(10);
            at_once(&self.calls("ADD", begin..(begin + 10).min(count), first));
        }
        assert_eq!(self.ovs.ports().len(), self.pods.len(), "switch ports");
    }

    /// What the daemon keeps in memory.
    pub(crate) fn memory(&self) -> Memory {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.daemon.id())).expect("the daemon runs");
        assert!(status.starts_with("Name:\tkuryr"), "{status}");
        let mib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of proc(5)");
            line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
        };
        Memory { resident: mib("VmRSS:"), anonymous: mib("RssAnon:") }
    }

    fn next_sandboxes(&self, count: u8) -> u32 {
        self.sandboxes.fetch_add(count.into(), Ordering::Relaxed)
    }

    fn calls(&self, command: &'static str, pods: std::ops::Range<u8>, first: u32) -> Vec<Call> {
        pods.zip(first..).map(|(n, sandbox)| self.call(command, n, sandbox)).collect()
    }

    fn call(&self, command: &'static str, n: u8, sandbox: u32) -> Call {
        let (pod, uid) = &self.pods[usize::from(n)];
        let config = json!({"cniVersion": "1.1.0", "name": "kuryr", "type": "kuryr-cni", "daemon_socket": self.socket});
        Call {
            plugin: self.plugin.clone(),
            command,
            container: format!("c{sandbox}"),
            netns: pod.path(),
            args: format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=p{n};K8S_POD_UID={uid}"),
            path: "/opt/cni/bin".into(),
            config: config.to_string(),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// Serves the API in the host's network namespace, from a thread of its own, and returns its address.
fn serve(cluster: Cluster) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket for tokio");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket of tokio");
            cluster.serve(listener).await;
        });
    });
    format!("http://{address}")
}
