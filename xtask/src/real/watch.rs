//! What the API server tells as it happens: one stream, one reader, no asking again and again on a machine that is being measured.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::world::{World, text};

/// Objects of one kind, as they change. Ends with this value.
pub(super) struct Watch {
    kubectl: Child,
    events: Receiver<(Instant, Value)>,
}

impl Watch {
    /// Watches all objects of a kind in the default namespace.
    ///
    /// # Errors
    /// When kubectl cannot be started.
    pub(super) fn start(world: &World, kind: &str) -> Result<Self> {
        let arguments = ["get", kind, "--watch", "--output-watch-events", "-o", "json"];
        let mut kubectl = world
            .kubectl_command(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("kubectl cannot be started")?;
        let stdout = kubectl.stdout.take().context("kubectl has no stdout")?;
        let (send, events) = mpsc::channel();
        thread::spawn(move || {
            for event in serde_json::Deserializer::from_reader(stdout).into_iter::<Value>() {
                let Ok(event) = event else { return };
                // Nobody listens any more when the watch has ended.
                if send.send((Instant::now(), event)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { kubectl, events })
    }

    /// Waits until `count` objects have been seen as wanted; when the last of them was.
    ///
    /// # Errors
    /// When they have not in time.
    pub(super) fn until(&self, count: usize, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Result<Instant> {
        let deadline = Instant::now() + limit;
        let mut seen = BTreeSet::new();
        loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok((at, event)) => {
                    let object = &event["object"];
                    if event["type"] != "DELETED" && wanted(object) {
                        seen.insert(text(&object["metadata"]["name"]).to_owned());
                    }
                    if seen.len() == count {
                        return Ok(at);
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("{} of {count} within {} s", seen.len(), limit.as_secs()),
                Err(RecvTimeoutError::Disconnected) => bail!("the watch ended after {} of {count}", seen.len()),
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended already, and then there is nothing to do.
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}
