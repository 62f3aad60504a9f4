//! A datapath that does as it is told, for tests of the request flow.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kuryr_api::names::tap_name;
use kuryr_api::vif::Vif;
use tokio::sync::watch;

use crate::plug::{
    Attachment, OwnedDevice, PlugError, Plugged, PluggedInterface, PluggedRoute, Readiness, UnplugErrors,
};

/// What the datapath does and what was asked of it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Script(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    readiness: watch::Sender<Option<Readiness>>,
}

#[derive(Debug, Default)]
struct State {
    log: Vec<String>,
    wired: Vec<OwnedDevice>,
    unmarked: Vec<String>,
    plug_errors: Vec<PlugError>,
    unplug_errors: Vec<PlugError>,
    check_error: Option<PlugError>,
    status_error: Option<PlugError>,
    plug_takes: Duration,
}

impl Script {
    pub(crate) fn new() -> Self {
        let readiness = watch::Sender::new(None);
        Self(Arc::new(Inner { state: Mutex::default(), readiness }))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// `plug c1 p1`, `unplug c1 p1 netns`, …, in order.
    pub(crate) fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    /// Container and port of everything that is wired.
    pub(crate) fn wired(&self) -> Vec<(String, String)> {
        self.state().wired.iter().map(|device| (device.container_id.clone(), device.port_id.clone())).collect()
    }

    /// The next plug fails.
    pub(crate) fn fail_plug(&self, error: PlugError) {
        self.state().plug_errors.push(error);
    }

    /// The next unplug fails.
    pub(crate) fn fail_unplug(&self, error: PlugError) {
        self.state().unplug_errors.push(error);
    }

    pub(crate) fn fail_check(&self, error: Option<PlugError>) {
        self.state().check_error = error;
    }

    pub(crate) fn fail_status(&self, error: Option<PlugError>) {
        self.state().status_error = error;
    }

    /// Plugging takes a while.
    pub(crate) fn plug_takes(&self, time: Duration) {
        self.state().plug_takes = time;
    }

    /// What the agent of this node says, now and from now on.
    pub(crate) fn agent_says(&self, readiness: Readiness) {
        self.0.readiness.send_replace(Some(readiness));
    }

    /// Changes what is found on the host.
    pub(crate) fn edit(&self, edit: impl FnOnce(&mut Vec<OwnedDevice>)) {
        edit(&mut self.state().wired);
    }

    pub(crate) async fn plug(&self, attachment: &Attachment) -> Result<Plugged, PlugError> {
        // The change happens in the middle.
        let half = self.state().plug_takes / 2;
        tokio::time::sleep(half).await;
        let outcome = self.plug_now(attachment);
        tokio::time::sleep(half).await;
        outcome
    }

    fn plug_now(&self, attachment: &Attachment) -> Result<Plugged, PlugError> {
        let mut state = self.state();
        let ports: Vec<&str> = attachment.interfaces.iter().map(|i| i.vif.id.as_str()).collect();
        state.log.push(format!("plug {} {}", attachment.container_id, ports.join(" ")));
        if let Some(error) = state.plug_errors.pop() {
            return Err(error);
        }
        state.wired.retain(|device| !ports.contains(&device.port_id.as_str()));
        let mut plugged = Plugged::default();
        for interface in &attachment.interfaces {
            let vif = &interface.vif;
            state.wired.push(OwnedDevice {
                container_id: attachment.container_id.clone(),
                host_ifname: vif.vif_name.clone(),
                port_id: vif.id.clone(),
                ifname: interface.ifname.clone(),
                device: true,
                switch_port: true,
            });
            plugged.interfaces.push(plugged_interface(&interface.ifname, interface.main, vif));
        }
        Ok(plugged)
    }

    pub(crate) async fn unplug(&self, attachment: &Attachment, netns_present: bool) -> Result<(), UnplugErrors> {
        let mut state = self.state();
        let ports: Vec<&str> = attachment.interfaces.iter().map(|i| i.vif.id.as_str()).collect();
        let netns = if netns_present { "netns" } else { "gone" };
        state.log.push(format!("unplug {} {} {netns}", attachment.container_id, ports.join(" ")));
        if let Some(error) = state.unplug_errors.pop() {
            return Err(UnplugErrors(vec![error]));
        }
        state.wired.retain(|device| !ports.contains(&device.port_id.as_str()));
        Ok(())
    }

    pub(crate) async fn remove(&self, device: &OwnedDevice) -> Result<(), UnplugErrors> {
        let mut state = self.state();
        state.log.push(format!("remove {} {}", device.container_id, device.host_ifname));
        if let Some(error) = state.unplug_errors.pop() {
            return Err(UnplugErrors(vec![error]));
        }
        state.wired.retain(|wired| wired.host_ifname != device.host_ifname);
        Ok(())
    }

    pub(crate) async fn check(&self, attachment: &Attachment) -> Result<(), PlugError> {
        if let Some(error) = self.state().check_error.take() {
            return Err(error);
        }
        let lost = attachment.interfaces.iter().find(|interface| {
            !self.device_exists(&interface.vif.vif_name) && !self.device_exists(&tap_name(&interface.vif.id))
        });
        match lost {
            Some(interface) => {
                Err(PlugError::Differs { ifname: interface.ifname.clone(), difference: "it is gone".to_owned() })
            }
            None => Ok(()),
        }
    }

    /// Scripts have no neighbours.
    pub(crate) fn announce(&self, _: &Attachment) {}

    pub(crate) async fn wait_ready(&self, _: &Vif) -> Readiness {
        let mut readiness = self.0.readiness.subscribe();
        let said = readiness.wait_for(Option::is_some).await.map(|said| *said);
        said.ok().flatten().unwrap_or(Readiness::Unknown)
    }

    /// A device without our mark, as kuryr-kubernetes left it.
    pub(crate) fn unmarked_device(&self, name: &str) {
        self.state().unmarked.push(name.to_owned());
    }

    pub(crate) fn device_exists(&self, name: &str) -> bool {
        let state = self.state();
        state.unmarked.iter().any(|device| device == name)
            || state.wired.iter().any(|device| device.host_ifname == name)
    }

    pub(crate) async fn status(&self) -> Result<(), PlugError> {
        self.state().status_error.take().map_or(Ok(()), Err)
    }

    pub(crate) async fn owned(&self) -> Result<Vec<OwnedDevice>, PlugError> {
        Ok(self.state().wired.clone())
    }
}

/// What the real plugger reports for a VIF.
pub(crate) fn plugged_interface(ifname: &str, main: bool, vif: &Vif) -> PluggedInterface {
    let subnets = &vif.network.subnets;
    let addresses = subnets.iter().flat_map(|subnet| {
        let prefix = subnet.cidr.parse::<ipnet::IpNet>().unwrap().prefix_len();
        subnet.ips.iter().map(move |ip| (ipnet::IpNet::new(*ip, prefix).unwrap(), subnet.gateway))
    });
    let default = |gateway: std::net::IpAddr| PluggedRoute {
        destination: if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" }.parse().unwrap(),
        gateway: Some(gateway),
    };
    PluggedInterface {
        ifname: ifname.to_owned(),
        host_ifname: vif.vif_name.clone(),
        host_mac: "02:00:00:00:00:01".to_owned(),
        mac: vif.address.clone().unwrap_or_default(),
        mtu: vif.network.mtu.unwrap_or(1500),
        addresses: addresses.collect(),
        routes: subnets.iter().filter(|_| main).filter_map(|subnet| subnet.gateway).map(default).collect(),
        dns: subnets.iter().flat_map(|subnet| subnet.dns.clone()).collect(),
    }
}
