//! A node: network and mount namespaces of its own, held by one thread.
//!
//! Threads and processes inherit the namespaces of the thread that starts them. So whatever is to run "on the node" is
//! handed to the node's thread, which starts a thread for it: inside are the node's interfaces, its `/run`, its pods.

use std::fs::File;
use std::net::Ipv4Addr;
use std::sync::{Arc, mpsc};
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use tokio::sync::oneshot;

use crate::namespaces;

type Job = Box<dyn FnOnce() + Send>;

/// A handle to a node; the node ends with its last handle.
#[derive(Clone)]
pub(crate) struct Node(Arc<Inner>);

struct Inner {
    name: String,
    address: Ipv4Addr,
    netns: File,
    jobs: mpsc::Sender<Job>,
}

impl Node {
    /// Makes the node's namespaces. `address` is the one it will have in the management network.
    pub(crate) fn start(name: &str, address: Ipv4Addr) -> Result<Node> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (ready, started) = mpsc::channel();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let netns = namespaces::become_node().and_then(|()| namespaces::this_netns());
            if ready.send(netns).is_err() {
                return;
            }
            for job in queue {
                thread::spawn(job);
            }
        })?;
        let netns = started.recv().map_err(|_| anyhow!("the thread of node {name} panicked"))?;
        let netns = netns.with_context(|| format!("cannot start node {name}"))?;
        Ok(Node(Arc::new(Inner { name: name.to_owned(), address, netns, jobs })))
    }

    /// The node's name in Kubernetes and in `binding:host_id`.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// The node's address in the management network.
    #[must_use]
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.0.address
    }

    /// The node's network namespace.
    #[must_use]
    pub(crate) fn netns(&self) -> &File {
        &self.0.netns
    }

    /// Runs `work` on the node, on a thread of its own; it may block.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let (done, result) = oneshot::channel();
        // A receiver that is gone has lost interest in the result; the work is done all the same.
        self.start_job(move || drop(done.send(work())))?;
        result.await.map_err(|_| anyhow!("work on node {} panicked", self.name()))?
    }

    /// Starts `work` on the node, on a thread of its own, and does not wait for it.
    pub(crate) fn start_job(&self, work: impl FnOnce() + Send + 'static) -> Result<()> {
        self.0.jobs.send(Box::new(work)).map_err(|_| anyhow!("node {} is gone", self.name()))
    }
}
