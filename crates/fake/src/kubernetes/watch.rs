//! Watches: what happens from some version on, one line per event.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Cluster;
use super::form::Form;
use super::kinds::Kind;
use super::read::{prefix, selector};
use super::refusal::Refusal;
use super::request::{Query, Target};
use super::selector::Selector;
use super::state::State;
use super::store::Change;
use crate::faults::ConnectionLost;

/// How often a client that allows bookmarks gets one (the API server's interval).
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// The API server ends a watch that names no time after 30 to 60 minutes (`--min-request-timeout`).
const SHORTEST: u64 = 1800;

/// An order to all open watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    /// Watches opened before were told to end so often.
    pub(super) end: u64,
    /// Watches opened before were cut off so often.
    pub(super) cut: u64,
}

/// One open watch.
pub(super) struct Watch {
    cluster: Cluster,
    kind: Arc<Kind>,
    prefix: String,
    selector: Selector,
    form: Form,
    /// Everything up to here was sent.
    position: u64,
    lines: VecDeque<Bytes>,
    ended: bool,
    deadline: Instant,
    bookmark: Option<Instant>,
    changed: watch::Receiver<u64>,
    orders: watch::Receiver<Orders>,
    opened: Orders,
    /// Cut off after so many more events: a fault.
    breaks_after: Option<usize>,
}

impl Watch {
    /// Opens a watch and queues what it begins with.
    pub(super) fn open(
        cluster: &Cluster,
        state: &mut State,
        kind: Arc<Kind>,
        target: &Target,
        query: &Query,
        form: Form,
    ) -> Result<Watch, Refusal> {
        let selector = selector(&kind, target, query)?;
        let bookmarks = query.flag("allowWatchBookmarks");
        let initial = match query.get("sendInitialEvents") {
            Some("true" | "1") => {
                if query.get("resourceVersionMatch") != Some("NotOlderThan") {
                    return Err(Refusal::list_options(
                        "resourceVersionMatch",
                        "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                    ));
                }
                Some(true)
            }
            Some(_) => Some(false),
            None => None,
        };
        if initial.is_none() && query.get("resourceVersionMatch").is_some() {
            let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            return Err(Refusal::list_options("resourceVersionMatch", why));
        }
        let wanted = query.number("resourceVersion")?.unwrap_or(0);
        let now = Instant::now();
        let seconds = match query.number("timeoutSeconds")? {
            Some(seconds) if seconds > 0 => seconds,
            _ => SHORTEST + state.random.u64(..SHORTEST),
        };
        let mut watch = Watch {
            cluster: cluster.clone(),
            prefix: prefix(&kind, &target.namespace),
            selector,
            form,
            position: wanted,
            lines: VecDeque::new(),
            ended: false,
            deadline: now + Duration::from_secs(seconds),
            bookmark: bookmarks.then(|| now + BOOKMARK_EVERY),
            changed: cluster.changes(),
            orders: cluster.orders(),
            opened: Orders::default(),
            breaks_after: None,
            kind,
        };
        watch.opened = *watch.orders.borrow();
        // Without a version, or with 0, the present state comes first, whether or not its end is marked.
        if initial == Some(true) || (initial.is_none() && wanted == 0) {
            watch.position = state.store.version();
            for (_, stored) in state.store.range(&watch.kind.store, &watch.prefix) {
                if watch.selector.matches(stored) {
                    watch.lines.push_back(watch.form.event("ADDED", &watch.kind, &watch.kind.present(stored)));
                }
            }
            if initial == Some(true) && bookmarks {
                let end = json!({ "k8s.io/initial-events-end": "true" });
                watch.push_bookmark(Some(end));
            }
        } else if wanted == 0 {
            watch.position = state.store.version();
        }
        Ok(watch)
    }

    /// The watch is cut off after so many events.
    pub(super) fn breaking_after(mut self, events: usize) -> Watch {
        self.breaks_after = Some(events);
        self
    }

    /// The body of the answer.
    pub(super) fn stream(self) -> impl Stream<Item = Result<Bytes, ConnectionLost>> + Send + 'static {
        futures::stream::unfold(Some(self), |watch| async {
            let mut watch = watch?;
            match watch.next().await {
                Some(Ok(line)) => Some((Ok(line), Some(watch))),
                Some(Err(lost)) => Some((Err(lost), None)),
                None => None,
            }
        })
    }

    async fn next(&mut self) -> Option<Result<Bytes, ConnectionLost>> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                match &mut self.breaks_after {
                    Some(0) => return Some(Err(ConnectionLost)),
                    Some(left) => *left -= 1,
                    None => {}
                }
                return Some(Ok(line));
            }
            let orders = *self.orders.borrow_and_update();
            if orders.cut != self.opened.cut {
                return Some(Err(ConnectionLost));
            }
            if self.ended || orders.end != self.opened.end {
                return None;
            }
            self.changed.borrow_and_update();
            self.catch_up();
            if self.lines.is_empty() && !self.ended {
                self.wait().await;
            }
        }
    }

    /// Queues what happened since.
    fn catch_up(&mut self) {
        let cluster = self.cluster.clone();
        let state = cluster.state();
        let Some(changes) = state.store.since(self.position) else {
            let message = format!("too old resource version: {} ({})", self.position, state.store.forgotten());
            self.lines.push_back(self.form.error(&Refusal::gone(message)));
            self.ended = true;
            return;
        };
        for change in changes {
            self.position = change.version;
            if *change.store == *self.kind.store && change.key.starts_with(&self.prefix) {
                self.push_change(change);
            }
        }
    }

    fn push_change(&mut self, change: &Change) {
        let matched = change.before.as_ref().is_some_and(|before| self.selector.matches(before));
        let matches = !change.deleted && self.selector.matches(&change.object);
        let (event, stored) = match (matched, matches) {
            (false, false) => return,
            (false, true) => ("ADDED", change.object.clone()),
            (true, true) => ("MODIFIED", change.object.clone()),
            (true, false) if change.deleted => ("DELETED", change.object.clone()),
            // It left the selection: shown as it was, with the version of the change.
            (true, false) => {
                let before = change.before.clone().unwrap_or_default();
                let mut before = Value::clone(&before);
                before["metadata"]["resourceVersion"] = change.version.to_string().into();
                ("DELETED", Arc::new(before))
            }
        };
        self.lines.push_back(self.form.event(event, &self.kind, &self.kind.present(&stored)));
    }

    fn push_bookmark(&mut self, annotations: Option<Value>) {
        let mut metadata = json!({ "resourceVersion": self.position.to_string() });
        if let Some(annotations) = annotations {
            metadata["annotations"] = annotations;
        }
        let object = json!({ "kind": self.kind.kind, "apiVersion": self.kind.api_version(), "metadata": metadata });
        self.lines.push_back(self.form.event("BOOKMARK", &self.kind, &Arc::new(object)));
    }

    /// Waits for a change, an order, the next bookmark or the end.
    async fn wait(&mut self) {
        let wake = self.bookmark.map_or(self.deadline, |bookmark| bookmark.min(self.deadline));
        tokio::select! {
            // Both senders live as long as the cluster, which this watch holds.
            _ = self.changed.changed() => {}
            _ = self.orders.changed() => {}
            () = sleep_until(wake) => {
                let now = Instant::now();
                if self.bookmark.is_some_and(|bookmark| bookmark <= now) {
                    self.bookmark = Some(now + BOOKMARK_EVERY);
                    self.push_bookmark(None);
                }
                self.ended = now >= self.deadline;
            }
        }
    }
}
