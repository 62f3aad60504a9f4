//! What the daemon is told; `crates/kuryr` fills it from `kuryr.conf`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::{install, plug};

/// Settings of one node's daemon.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the Kubernetes node: selects the KuryrPorts by label.
    pub node_name: String,
    /// Unix socket for kuryr-cni. Its directory is made if it is missing.
    pub socket: PathBuf,
    /// Directory of the checkpoints, one small file per attachment. Made if it is missing.
    pub state_dir: PathBuf,
    /// `[cni_daemon] vif_annotation_timeout`: how long ADD waits for the KuryrPort, and then again for active ports.
    pub vif_annotation_timeout: Duration,
    /// `[cni_daemon] bind_address`, only if asked for: the HTTP protocol of kuryr-kubernetes' plugin. Anyone who can
    /// connect there can wire and unwire pods, so it belongs on the loopback address or nowhere.
    pub legacy_address: Option<SocketAddr>,
    /// `/ready` and `/alive` (`[cni_health_server] port`, 8090).
    pub health_address: Option<SocketAddr>,
    /// `/metrics` (`[prometheus_exporter] cni_exporter_port`, 9655).
    pub metrics_address: Option<SocketAddr>,
    /// `[cni_daemon] netns_proc_dir` with `docker_mode`: where the host's `/proc` is mounted; replaces the leading
    /// `/proc` of namespace paths.
    pub netns_proc_dir: Option<PathBuf>,
    /// Address of the API server, for messages.
    pub api_server: String,
    /// How the node is wired.
    pub plug: plug::Settings,
    /// The plugin and its configuration on this node; `None`: somebody else puts them there.
    pub install: Option<install::Settings>,
}

impl Config {
    /// The defaults of kuryr-kubernetes for the node of this name; the legacy protocol is off.
    #[must_use]
    pub fn new(node_name: impl Into<String>) -> Self {
        let everywhere = |port| SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 0], port));
        Self {
            node_name: node_name.into(),
            socket: "/run/kuryr/cni.sock".into(),
            state_dir: "/var/lib/kuryr/attachments".into(),
            vif_annotation_timeout: Duration::from_secs(60),
            legacy_address: None,
            health_address: Some(everywhere(8090)),
            metrics_address: Some(everywhere(9655)),
            netns_proc_dir: None,
            api_server: String::new(),
            plug: plug::Settings::default(),
            install: None,
        }
    }
}
