//! What the daemon is told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use kuryr_node::Config;
use kuryr_node::install;
use kuryr_node::ovsdb::OvsdbAddress;

use super::cluster::Variable;
use super::options::{
    Definition, cni_daemon, cni_health_server, health_server, kuryr, neutron_defaults, os_vif_ovs, prometheus_exporter,
};
use super::{Conf, ConfError, names};

/// Bytes of a unix socket's path: `sun_path` of unix(7), without the 0 at its end.
const LONGEST_SOCKET: usize = 107;

/// Addresses the controller serves on; `None` where that is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ControllerPages {
    /// `/ready` and `/alive`.
    pub(crate) health: Option<SocketAddr>,
    /// `/metrics`.
    pub(crate) metrics: Option<SocketAddr>,
}

impl Conf {
    /// The daemon's settings.
    ///
    /// # Errors
    /// What is missing or not allowed.
    pub(crate) fn daemon(&self, variable: Variable<'_>) -> Result<Config, ConfError> {
        let mut config = Config::new(self.node_name(variable)?);
        config.socket = self.path(&kuryr::daemon_socket)?;
        if config.socket.as_os_str().len() > LONGEST_SOCKET {
            let trouble = format!("the path of a socket has at most {LONGEST_SOCKET} bytes; write a shorter one");
            return Err(self.refuse(&kuryr::daemon_socket, &config.socket.to_string_lossy(), &trouble));
        }
        config.state_dir = self.path(&kuryr::state_dir)?;
        config.vif_annotation_timeout = self.seconds(&cni_daemon::vif_annotation_timeout)?;
        config.legacy_address = self.legacy_address()?;
        config.health_address = self.page(&cni_health_server::port)?;
        config.metrics_address = self.page(&prometheus_exporter::cni_exporter_port)?;
        self.apart(&[
            (&cni_health_server::port, config.health_address),
            (&prometheus_exporter::cni_exporter_port, config.metrics_address),
            (&cni_daemon::bind_address, config.legacy_address),
        ])?;
        if self.flag(&cni_daemon::docker_mode)? {
            let folder = self.some_text(&cni_daemon::netns_proc_dir)?;
            let cure = "docker_mode needs it: the folder where the host's /proc is mounted, for example /host_proc";
            let missing = || ConfError::Missing { title: cni_daemon::netns_proc_dir.title(), cure: cure.to_owned() };
            config.netns_proc_dir = Some(folder.ok_or_else(missing)?.into());
        }
        let connection = self.some_text(&os_vif_ovs::ovsdb_connection)?;
        config.plug.ovsdb = match connection {
            None => OvsdbAddress::default(),
            Some(text) => {
                text.parse().map_err(|error| self.refuse(&os_vif_ovs::ovsdb_connection, &text, &format!("{error}")))?
            }
        };
        config.plug.mtu_cap = Some(self.whole(&neutron_defaults::network_device_mtu)?).filter(|mtu| *mtu != 0);
        config.plug.integration_bridge = self.bridge()?;
        config.plug.ovs_deadline = self.seconds(&kuryr::ovs_deadline)?;
        config.install = self.installation()?;
        Ok(config)
    }

    /// What is put on the node, if anything is.
    fn installation(&self) -> Result<Option<install::Settings>, ConfError> {
        let withdraw = self.flag(&kuryr::withdraw_conflist)?;
        let settings = install::Settings {
            plugin_source: self.path(&kuryr::plugin_source)?,
            bin_dir: self.path(&kuryr::cni_bin_dir)?,
            conf_dir: self.path(&kuryr::cni_conf_dir)?,
            withdraw_after: Some(self.seconds(&kuryr::withdraw_grace)?).filter(|_| withdraw),
            remove_on_shutdown: self.flag(&kuryr::remove_conflist_on_shutdown)?,
        };
        Ok(self.flag(&kuryr::install_plugin)?.then_some(settings))
    }

    /// Where the controller serves its health and metrics.
    ///
    /// # Errors
    /// Ports or an address that are none.
    pub(crate) fn controller_pages(&self) -> Result<ControllerPages, ConfError> {
        let pages = ControllerPages {
            health: self.page(&health_server::port)?,
            metrics: self.page(&prometheus_exporter::controller_exporter_port)?,
        };
        self.apart(&[
            (&health_server::port, pages.health),
            (&prometheus_exporter::controller_exporter_port, pages.metrics),
        ])?;
        Ok(pages)
    }

    /// The integration bridge, if one is named.
    ///
    /// # Errors
    /// What can be the name of no bridge.
    pub(super) fn bridge(&self) -> Result<Option<String>, ConfError> {
        let Some(name) = self.some_text(&neutron_defaults::ovs_bridge)? else { return Ok(None) };
        match names::bad_bridge(&name) {
            Some(trouble) => Err(self.refuse(&neutron_defaults::ovs_bridge, &name, trouble)),
            None => Ok(Some(name)),
        }
    }

    /// Refuses two pages of one process at one address.
    fn apart(&self, pages: &[(&Definition, Option<SocketAddr>)]) -> Result<(), ConfError> {
        for (place, (option, address)) in pages.iter().enumerate() {
            let Some(address) = address else { continue };
            let meets = |other: &SocketAddr| {
                let everywhere = other.ip().is_unspecified() || address.ip().is_unspecified();
                other.port() == address.port() && (everywhere || other.ip() == address.ip())
            };
            if let Some((other, _)) = pages[..place].iter().find(|(_, other)| other.as_ref().is_some_and(meets)) {
                let trouble = format!("{} has the same port; give each its own, or turn one off with 0", other.title());
                return Err(self.refuse(option, &address.to_string(), &trouble));
            }
        }
        Ok(())
    }

    /// `[kuryr] node_name`, `KUBERNETES_NODE_NAME`, or this host's name in lower case, as kubelet has it.
    fn node_name(&self, variable: Variable<'_>) -> Result<String, ConfError> {
        if let Some(name) = self.some_text(&kuryr::node_name)? {
            return Ok(name);
        }
        if let Some(name) = variable("KUBERNETES_NODE_NAME").filter(|name| !name.is_empty()) {
            return Ok(name);
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_lowercase();
        if host.is_empty() {
            let cure = "set it, or KUBERNETES_NODE_NAME from the field spec.nodeName".to_owned();
            return Err(ConfError::Missing { title: kuryr::node_name.title(), cure });
        }
        Ok(host)
    }

    /// An absolute path.
    fn path(&self, option: &Definition) -> Result<std::path::PathBuf, ConfError> {
        let path = self.some_text(option)?.unwrap_or_default();
        if !path.starts_with('/') {
            return Err(self.refuse(option, &path, "write an absolute path"));
        }
        Ok(path.into())
    }

    /// The old HTTP protocol is served only where somebody asks for it.
    fn legacy_address(&self) -> Result<Option<SocketAddr>, ConfError> {
        let option = &cni_daemon::bind_address;
        let Some(text) = self.some_text(option)?.filter(|_| self.is_said(option)) else { return Ok(None) };
        let parsed = text.replace("localhost:", "127.0.0.1:").parse();
        parsed.map(Some).map_err(|_| self.refuse(option, &text, "write ADDRESS:PORT like 127.0.0.1:5036 or [::1]:5036"))
    }

    fn page(&self, port: &Definition) -> Result<Option<SocketAddr>, ConfError> {
        let number: u16 = self.whole(port)?;
        let address = match self.some_text(&kuryr::listen_address)? {
            None => everywhere(),
            Some(text) => text
                .trim_matches(['[', ']'])
                .parse()
                .map_err(|_| self.refuse(&kuryr::listen_address, &text, "write an IPv4 or IPv6 address"))?,
        };
        Ok((number != 0).then(|| SocketAddr::new(address, number)))
    }
}

/// All addresses: `::` takes IPv4 too, but a kernel without IPv6 refuses it.
fn everywhere() -> IpAddr {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}
