//! What the plugin asks, one file per command.
//!
//! ```text
//!            ┌ add    wait for the KuryrPort → record → plug → wait until active ┐ any failure: unplug, forget
//! Request ──►│ del    end the running ADD → unplug → forget                      │
//!  (call)    │ check  compare                                                    │──► Answer
//!            │ gc     del for everything that is not listed                      │
//!            └ status can pods be added now?                                     ┘
//! ```
//!
//! Two locks, both per thing and never global ([`turns`]): an attachment's requests come one after another, and whoever
//! wires or unwires a Neutron port has that port for itself. The second is what keeps a late DEL of an old sandbox away
//! from the new one: a port belongs to the attachment whose record names it, and a newer ADD takes it over.

mod add;
mod call;
mod check;
mod del;
mod gc;
#[cfg(test)]
pub(crate) mod script;
mod status;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod turns;

pub(crate) use add::Added;
pub(crate) use call::Call;
use del::release;
pub(crate) use del::remove_marked;
pub(crate) use status::status;

use kube::Client;
use serde_json::Value;
use tokio::time::Instant;

use crate::checkpoint::{AttachmentId, Checkpoints};
use crate::config::Config;
use crate::error::{CniError, code};
use crate::install;
use crate::metrics::Metrics;
use crate::ports::Ports;
use crate::protocol::{self, Request};
use crate::wiring::Wiring;
use turns::{Running, StopSignal, Turns};

/// Everything requests act on. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) config: std::sync::Arc<Config>,
    pub(crate) client: Client,
    pub(crate) ports: Ports,
    pub(crate) wiring: Wiring,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) metrics: Metrics,
    pub(crate) running: Running,
    pub(crate) installation: install::Trouble,
    /// Kuryr is being taken off the node: containers go, none comes.
    leaving: bool,
    attachment_turns: Turns<AttachmentId>,
    port_turns: Turns<String>,
}

impl Node {
    pub(crate) fn new(config: Config, client: Client, wiring: Wiring, checkpoints: Checkpoints) -> Self {
        Self {
            config: config.into(),
            client,
            ports: Ports::new(),
            wiring,
            checkpoints,
            metrics: Metrics::new(),
            running: Running::default(),
            installation: install::Trouble::default(),
            leaving: false,
            attachment_turns: Turns::new(),
            port_turns: Turns::new(),
        }
    }

    /// A node whose containers only go.
    pub(crate) fn leaving(config: Config, client: Client, wiring: Wiring, checkpoints: Checkpoints) -> Self {
        Self { leaving: true, ..Self::new(config, client, wiring, checkpoints) }
    }

    fn refuses_newcomers(&self, code: u32) -> Result<(), CniError> {
        if self.leaving {
            return Err(CniError::new(
                code,
                "Kuryr is being taken off this node (kuryr uninstall); install another network",
            ));
        }
        Ok(())
    }

    /// Answers one request of the plugin. `signal` ends a running ADD; everything else runs to its end.
    pub(crate) async fn answer(&self, request: &Request, signal: &StopSignal) -> Result<Value, CniError> {
        if request.version != protocol::VERSION {
            return Err(CniError::new(
                code::PROTOCOL,
                format!(
                    "kuryr-cni speaks version {} of the protocol, this daemon version {}: install both from the same release",
                    request.version,
                    protocol::VERSION
                ),
            ));
        }
        match request.command.as_str() {
            "ADD" => {
                self.refuses_newcomers(code::TRY_LATER)?;
                let call = self.read(request)?;
                let added = self.add(&call, signal).await?;
                Ok(added.result.to_value(call.version()))
            }
            "DEL" => self.del(&self.read(request)?).await.map(|()| Value::Null),
            "CHECK" => check::check(self, &self.read(request)?).await.map(|()| Value::Null),
            "GC" => gc::gc(self, &request.config).await.map(|()| Value::Null),
            "STATUS" => {
                self.refuses_newcomers(code::NOT_AVAILABLE)?;
                status(self).await.map(|()| Value::Null)
            }
            other => Err(CniError::new(code::ENVIRONMENT, format!("unknown CNI_COMMAND {other:?}"))),
        }
    }

    /// Removes one attachment when its turn comes.
    pub(crate) async fn release_in_turn(&self, id: &AttachmentId) -> Result<(), CniError> {
        let _turn = self.attachment_turns.wait(id.clone()).await;
        release(self, id).await
    }

    /// Reads the attachment and the pod out of a request.
    pub(crate) fn read(&self, request: &Request) -> Result<Call, CniError> {
        Call::read(request, self.config.netns_proc_dir.as_deref())
    }

    /// ADD, measured.
    pub(crate) async fn add(&self, call: &Call, signal: &StopSignal) -> Result<Added, CniError> {
        let begun = Instant::now();
        let outcome = add::add(self, call, signal).await;
        self.metrics.request("ADD", outcome.is_err(), begun.elapsed());
        report("ADD", call, outcome.as_ref().err(), begun);
        outcome
    }

    /// DEL, measured.
    pub(crate) async fn del(&self, call: &Call) -> Result<(), CniError> {
        let begun = Instant::now();
        let outcome = del::del(self, call).await;
        self.metrics.request("DEL", outcome.is_err(), begun.elapsed());
        report("DEL", call, outcome.as_ref().err(), begun);
        outcome
    }
}

fn report(command: &str, call: &Call, error: Option<&CniError>, begun: Instant) {
    let pod = call.pod.as_ref().map(ToString::to_string).unwrap_or_default();
    let (container, ifname, ms) = (&call.id.container_id, &call.id.ifname, begun.elapsed().as_millis());
    match error {
        None => tracing::info!(%pod, %container, %ifname, ms, "{command} done"),
        Some(error) => tracing::warn!(%pod, %container, %ifname, ms, "{command} failed: {error}"),
    }
}
