//! The other side: the reference plugin `bridge` with `host-local`, as the plugins' project ships them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::call::{Call, at_once, pods};
use crate::kernel_world::{Pod, run};

/// A node whose pods are on a Linux bridge.
pub(crate) struct Host {
    host: Pod,
    pods: Vec<Pod>,
    kube_bin: PathBuf,
    config: String,
    sandboxes: AtomicU32,
    _disk: tempfile::TempDir,
}

impl Host {
    /// Makes a host and so many pods. The first ADD makes the bridge, so one is made here.
    pub(crate) fn start(kube_bin: PathBuf, count: u8) -> Self {
        let host = Pod::new();
        host.run(&["ip", "link", "set", "lo", "up"]);
        let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        // The same as our pods get: an address and a default route; no masquerading, no gateway on the host.
        let config = json!({
            "cniVersion": "1.0.0", "name": "reference", "type": "bridge", "bridge": "cni0", "mtu": 1442,
            "ipam": {
                "type": "host-local", "dataDir": disk.path(),
                "ranges": [[{"subnet": "10.2.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}],
            },
        });
        let sandboxes = AtomicU32::new(0);
        let this = Self { host, pods: pods(count), kube_bin, config: config.to_string(), sandboxes, _disk: disk };
        this.add_and_del(1);
        this
    }

    /// So many pods at once; what each ADD took.
    pub(crate) fn add_and_del(&self, count: u8) -> Vec<Duration> {
        let first = self.sandboxes.fetch_add(count.into(), Ordering::Relaxed);
        let calls = |command| -> Vec<Call> {
            let pods = self.pods.iter().take(count.into()).zip(first..);
            pods.map(|(pod, sandbox)| self.call(command, pod, sandbox)).collect()
        };
        let (adds, dels) = (calls("ADD"), calls("DEL"));
        let inside = self.host.inside(move || {
            let took = at_once(&adds);
            let ports = run("ip", &["-o", "link", "show", "master", "cni0"]).lines().count();
            assert_eq!(ports, adds.len(), "ports of the bridge");
            at_once(&dels);
            took
        });
        inside.join().expect("the bridge plugin")
    }

    fn call(&self, command: &'static str, pod: &Pod, sandbox: u32) -> Call {
        Call {
            plugin: self.kube_bin.join("bridge"),
            command,
            container: format!("b{sandbox}"),
            netns: pod.path(),
            args: String::new(),
            path: self.kube_bin.clone(),
            config: self.config.clone(),
        }
    }
}
