//! From Neutron ports to wired interfaces: plan (a pure function of the VIF), then apply (netlink and OVSDB).

mod announce;
mod attachment;
mod check;
mod error;
mod inventory;
mod mark;
mod plan;
mod ready;
mod switch;
mod unwire;
mod wire;

pub use attachment::{Attachment, Interface, OwnedDevice, Plugged, PluggedInterface, PluggedRoute, PodRef, Readiness};
pub use error::{PlugError, UnplugErrors};

use std::sync::Arc;
use std::time::Duration;

use kuryr_api::vif::Vif;
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use self::plan::{Circumstances, Plan, Wiring, host_ifname, plan};
use self::switch::{Switch, Unwanted};
use self::unwire::Remains;
use crate::ovsdb::{Ovsdb, OvsdbAddress};

/// Longest wait for a connection to the switch where something else could be done meanwhile.
const SHORT_PATIENCE: Duration = Duration::from_secs(2);

/// Pods whose kernel side is worked on at once. The kernel takes one change at a time (RTNL); more threads only wait.
const KERNEL_THREADS: usize = 4;

/// How this node is wired.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where `ovsdb-server` listens. It is contacted only when a VIF (or `integration_bridge`) needs it.
    pub ovsdb: OvsdbAddress,
    /// `[neutron_defaults] network_device_mtu`: upper limit for the MTU of pod interfaces, in bytes.
    pub mtu_cap: Option<u32>,
    /// `[neutron_defaults] ovs_bridge`: the bridge [`Plugger::status`] wants to see; none on nodes without Open vSwitch.
    pub integration_bridge: Option<String>,
    /// Longest wait for Open vSwitch, per operation.
    pub ovs_deadline: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ovsdb: OvsdbAddress::default(),
            mtu_cap: None,
            integration_bridge: Some("br-int".to_owned()),
            ovs_deadline: Duration::from_secs(10),
        }
    }
}

/// Wires and unwires pods. Cheap to clone; all clones share one OVSDB connection.
#[derive(Clone, Debug)]
pub struct Plugger {
    switch: Switch,
    mtu_cap: Option<u32>,
    integration_bridge: Option<Arc<str>>,
    kernel: Arc<Semaphore>,
}

impl Plugger {
    /// A plugger; talks to nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let Settings { ovsdb, mtu_cap, integration_bridge, ovs_deadline } = settings;
        Self {
            switch: Switch::new(Ovsdb::new(ovsdb), ovs_deadline),
            mtu_cap,
            integration_bridge: integration_bridge.map(Arc::from),
            kernel: Arc::new(Semaphore::new(KERNEL_THREADS)),
        }
    }

    /// Wires every interface, or none: what was begun is undone when a later step fails.
    ///
    /// Runs to its end even if the caller stops waiting, so nothing is left half-done. A repeat clears what an earlier
    /// attempt for the same port left on the host; an interface of another origin is never touched.
    ///
    /// # Errors
    /// Any [`PlugError`].
    pub async fn plug(&self, attachment: &Attachment) -> Result<Plugged, PlugError> {
        let (this, attachment) = (self.clone(), attachment.clone());
        let work = tokio::spawn(async move { this.plug_or_undo(&attachment).await });
        work.await
            .unwrap_or_else(|panic| Err(PlugError::Kernel { op: "plug the pod".to_owned(), reason: panic.to_string() }))
    }

    async fn plug_or_undo(&self, attachment: &Attachment) -> Result<Plugged, PlugError> {
        let plans = self.plans(attachment).await?;
        for plan in &plans {
            debug!(container = attachment.container_id, port = plan.port_id, "plan:\n{plan}");
        }
        self.clear_leftovers(attachment).await?;

        let ports: Vec<_> = plans.iter().filter_map(|plan| plan.switch.clone()).collect();
        let interfaces: Vec<_> = plans.iter().map(|plan| plan.result.clone()).collect();
        let outcome = {
            // Never closed.
            let _permit = self.kernel.acquire().await;
            wire::wire(plans, &attachment.netns).await
        };
        let wired = match outcome.wired {
            // Not side by side with the pod's half: both need the kernel's one lock on its network configuration, and
            // on two cores it came out no faster.
            Ok(()) => self.switch.add(&ports).await,
            Err(error) => Err(error),
        };
        let Err(error) = wired else { return Ok(Plugged { interfaces }) };
        for also in self.unwire(attachment, outcome.begun).await {
            warn!(container = attachment.container_id, error = %also, "could not undo all of a failed plug");
        }
        Err(error)
    }

    /// Tells the neighbours of the pod's addresses, some of which may have been another pod's a moment ago. For when the
    /// network behind the ports is ready: nothing gets through before. Returns at once.
    pub fn announce(&self, attachment: &Attachment) {
        announce::announce(attachment);
    }

    /// Removes everything [`Self::plug`] made, as far as it is there, and goes on past errors. Devices and ports that
    /// carry the mark of another sandbox stay: a late call for an old sandbox does not touch its successor.
    ///
    /// The pod's namespace is not needed, so `netns_present` makes no difference: deleting the host's end of a pair
    /// deletes the pod's end as well.
    ///
    /// # Errors
    /// All that went wrong; repeating is harmless.
    pub async fn unplug(&self, attachment: &Attachment, netns_present: bool) -> Result<(), UnplugErrors> {
        debug!(container = attachment.container_id, netns_present, "unplug");
        let errors = self.unwire(attachment, attachment.interfaces.len()).await;
        if errors.is_empty() { Ok(()) } else { Err(UnplugErrors(errors)) }
    }

    /// Compares what is there with what [`Self::plug`] made (CNI CHECK).
    ///
    /// # Errors
    /// The first difference, or why it could not be looked at.
    pub async fn check(&self, attachment: &Attachment) -> Result<(), PlugError> {
        let plans = self.plans_without_switch(attachment)?;
        check::check_kernel(plans.clone(), attachment).await?;
        check::check_switch(&plans, &self.switch).await
    }

    /// Waits until the local network agent has the port ready. Waits for ever if it does not come: set a deadline.
    pub async fn wait_ready(&self, vif: &Vif) -> Readiness {
        let wired_to_switch =
            Wiring::of(vif, self.bridge()).is_ok_and(|wiring| wiring.switch_port(&host_ifname(vif)).is_some());
        if !wired_to_switch {
            return Readiness::Unknown;
        }
        let mut answer = Readiness::Unknown;
        let mut tables = self.switch.ovsdb.tables();
        // Fails only when the session has ended, with the runtime.
        let _ = tables
            .wait_for(|tables| {
                let readiness = ready::readiness(tables, vif, self.bridge());
                answer = readiness.unwrap_or(answer);
                readiness.is_some()
            })
            .await;
        answer
    }

    /// Whether a pod could be plugged now (CNI STATUS).
    ///
    /// # Errors
    /// What is missing on this node.
    pub async fn status(&self) -> Result<(), PlugError> {
        let Some(bridge) = self.bridge() else { return Ok(()) };
        self.switch.connected(self.switch.deadline.min(SHORT_PATIENCE)).await?;
        self.switch.is_userspace(bridge).await.map(drop)
    }

    /// Everything on this host that carries our marks, for garbage collection and recovery.
    ///
    /// # Errors
    /// If the kernel or, where configured, OVSDB could not be asked.
    pub async fn owned(&self) -> Result<Vec<OwnedDevice>, PlugError> {
        let devices = tokio::task::spawn_blocking(inventory::marked_devices).await.map_err(|panic| {
            PlugError::Kernel { op: "list the network devices".to_owned(), reason: panic.to_string() }
        })??;
        if self.bridge().is_none() {
            return Ok(inventory::owned(devices, None));
        }
        self.switch.connected(self.switch.deadline).await?;
        let tables = self.switch.ovsdb.tables();
        let tables = tables.borrow();
        Ok(inventory::owned(devices, Some(&tables)))
    }

    /// Removes one thing [`Self::owned`] found, for a container nobody has any other record of.
    ///
    /// # Errors
    /// All that went wrong; repeating is harmless.
    pub async fn remove(&self, device: &OwnedDevice) -> Result<(), UnplugErrors> {
        let remains = vec![Remains::marked(device)];
        let errors = unwire::unwire(&self.switch, &device.container_id, remains).await;
        if errors.is_empty() { Ok(()) } else { Err(UnplugErrors(errors)) }
    }

    async fn unwire(&self, attachment: &Attachment, count: usize) -> Vec<PlugError> {
        let interfaces = attachment.interfaces.iter().take(count);
        let remains = interfaces.map(|interface| Remains::of(&interface.vif, self.bridge())).collect();
        unwire::unwire(&self.switch, &attachment.container_id, remains).await
    }

    fn bridge(&self) -> Option<&str> {
        self.integration_bridge.as_deref()
    }

    async fn plans(&self, attachment: &Attachment) -> Result<Vec<Plan>, PlugError> {
        let mut plans = Vec::with_capacity(attachment.interfaces.len());
        for interface in &attachment.interfaces {
            let mut circumstances = self.circumstances();
            let wiring = Wiring::of(&interface.vif, self.bridge())?;
            if let Some((bridge, _)) = wiring.switch_port("") {
                circumstances.userspace_datapath = self.switch.is_userspace(bridge).await?;
            }
            plans.push(plan(attachment, interface, circumstances)?);
        }
        Ok(plans)
    }

    fn plans_without_switch(&self, attachment: &Attachment) -> Result<Vec<Plan>, PlugError> {
        attachment.interfaces.iter().map(|interface| plan(attachment, interface, self.circumstances())).collect()
    }

    fn circumstances(&self) -> Circumstances<'_> {
        Circumstances { mtu_cap: self.mtu_cap, integration_bridge: self.bridge(), userspace_datapath: false }
    }

    /// Takes ports of the same name off the switch, and waits until it has let go of their devices, before these are
    /// made anew. It costs a look at our copy of the tables unless something is there.
    async fn clear_leftovers(&self, attachment: &Attachment) -> Result<(), PlugError> {
        let mut leftovers = Vec::new();
        for interface in &attachment.interfaces {
            let wiring = Wiring::of(&interface.vif, self.bridge())?;
            if let Some((_, name)) = wiring.switch_port(&host_ifname(&interface.vif)) {
                leftovers.push(Unwanted { name: name.to_owned(), container_id: None });
            }
        }
        if leftovers.is_empty() {
            return Ok(());
        }
        self.switch.remove(&leftovers).await?;
        let names: Vec<&str> = leftovers.iter().map(|port| port.name.as_str()).collect();
        self.switch.released(&names).await
    }
}
