//! Packets that flow from pod to pod, and are counted, while something happens to Kuryr.

use std::io::Write as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::world::{NODES, Pod, World, succeeded};

/// A ping between two pods, as long as nobody ends it.
pub(super) struct Flow {
    ping: Child,
    /// Both pods.
    pub(super) pods: Vec<Pod>,
}

impl Flow {
    /// Two pods of this check on two nodes; from now on one packet every 50 ms from one to the other.
    ///
    /// # Errors
    /// When they do not come up or do not reach each other.
    pub(super) fn start(world: &World, check: &str) -> Result<Self> {
        for (name, node) in ["a", "b"].iter().zip(NODES) {
            world.create(&World::pod(check, &format!("{check}-{name}"), Some(node)))?;
        }
        let pods = world.ready_pods(check, 2, Duration::from_secs(60))?;
        let [a, b] = pods.as_slice() else { bail!("two pods expected") };
        world.in_pod(&a.name, &["ping", "-c", "2", "-W", "2", &b.address])?;
        // Until a line comes in; then ping tells what was lost.
        let script = format!("ping -i 0.05 -W 1 {} & p=$!; read _; kill -INT $p; wait $p", b.address);
        let ping = world
            .kubectl_command(&["exec", "-i", &a.name, "--", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Self { ping, pods })
    }

    /// Ends it; the pods, and ping's line about packets sent, received and lost.
    ///
    /// # Errors
    /// When ping did not run to its end.
    pub(super) fn end(mut self) -> Result<(Vec<Pod>, String)> {
        self.ping.stdin.take().context("no stdin")?.write_all(b"\n")?;
        let said = succeeded(self.ping.wait_with_output()?, "ping between the pods")?;
        let line = said.lines().find(|line| line.contains("packet loss"));
        Ok((self.pods, line.with_context(|| format!("no summary in {said:?}"))?.to_owned()))
    }
}
