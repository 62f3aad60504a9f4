//! This node's KuryrPorts, from one watch, and who waits for which.
//!
//! Nobody polls: an ADD subscribes to one pod's name and is woken by the event that changes it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use kuryr_api::crd::KuryrPort;
use kuryr_api::names::LABEL_NODE_NAME;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::told;

/// Namespace and name; a KuryrPort has those of its pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PodKey {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl std::fmt::Display for PodKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Whether the store can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Contact {
    /// The first list has not arrived.
    Starting,
    /// Watching.
    Synced,
    /// The watch has been failing for a while; what is known stays usable.
    Lost(String),
}

/// A watch that breaks is mended within seconds; only one that stays broken for this long is worth an alarm.
const LOST_AFTER: Duration = Duration::from_secs(30);
/// While the watch fails there is an error at least this often (`kube`'s default back-off ends at 30 s). The mended watch
/// says nothing until something happens, so the absence of errors is the sign.
const ERRORS_REPEAT: Duration = Duration::from_secs(60);

/// Errors of the watch without an event between them.
#[derive(Clone, Debug)]
struct Trouble {
    first: Instant,
    last: Instant,
    error: String,
}

/// What is known about the watch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health {
    synced: bool,
    trouble: Option<Trouble>,
}

impl Health {
    fn failed(&mut self, error: String) {
        let now = Instant::now();
        let continues = self.trouble.as_ref().filter(|trouble| now - trouble.last < ERRORS_REPEAT);
        let first = continues.map_or(now, |trouble| trouble.first);
        self.trouble = Some(Trouble { first, last: now, error });
    }
}

/// What is known by each name somebody has or asks for.
type Entries = HashMap<PodKey, watch::Sender<Option<Arc<KuryrPort>>>>;

/// The KuryrPorts of this node. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Ports {
    entries: Arc<Mutex<Entries>>,
    health: watch::Sender<Health>,
}

impl Ports {
    /// An empty store; [`Self::follow`] fills it.
    pub(crate) fn new() -> Self {
        Self { entries: Arc::default(), health: watch::Sender::default() }
    }

    /// Whether the store can be trusted.
    pub(crate) fn contact(&self) -> Contact {
        let health = self.health.borrow();
        match &health.trouble {
            Some(trouble)
                if trouble.first.elapsed() >= LOST_AFTER && trouble.last.elapsed() < ERRORS_REPEAT && health.synced =>
            {
                Contact::Lost(trouble.error.clone())
            }
            _ if health.synced => Contact::Synced,
            _ => Contact::Starting,
        }
    }

    /// Changes when [`Self::contact`] may have; only the time that passes in silence is not seen here.
    pub(crate) fn news(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Waits until the first list has arrived.
    #[cfg(test)]
    pub(crate) async fn synced(&self) {
        let mut health = self.health.subscribe();
        let _ = health.wait_for(|health| health.synced).await;
    }

    /// Follows the KuryrPort of one pod's name, whether it exists or not.
    pub(crate) fn subscribe(&self, key: &PodKey) -> Subscription {
        let seen = self.entries().entry(key.clone()).or_default().subscribe();
        Subscription { seen, key: key.clone(), ports: self.clone() }
    }

    /// Watches the KuryrPorts of node `node_name` until told to stop. `server` is the API server's address, for messages.
    pub(crate) async fn follow(&self, client: Client, server: &str, node_name: &str, shutdown: CancellationToken) {
        // Read as plain objects: one that is damaged must not keep the others from being seen.
        let api: Api<DynamicObject> = Api::all_with(client, &ApiResource::erase::<KuryrPort>(&()));
        let selection = watcher::Config::default().labels(&format!("{LABEL_NODE_NAME}={node_name}"));
        let mut events = watcher(api, selection).default_backoff().boxed();
        let mut listed = HashMap::new();
        loop {
            let event = tokio::select! {
                () = shutdown.cancelled() => return,
                event = events.next() => event,
            };
            match event {
                Some(Ok(event)) => self.take(event, &mut listed),
                Some(Err(error)) => {
                    let told = told::watch(&error, server);
                    tracing::warn!("the watch for KuryrPorts failed, trying again: {told}");
                    self.health.send_modify(|health| health.failed(told));
                }
                None => return,
            }
        }
    }

    fn take(&self, event: watcher::Event<DynamicObject>, listed: &mut HashMap<PodKey, Arc<KuryrPort>>) {
        match event {
            watcher::Event::Init => return listed.clear(),
            watcher::Event::InitApply(object) => return listed.extend(read(object)),
            watcher::Event::InitDone => self.replace(std::mem::take(listed)),
            watcher::Event::Apply(object) => {
                if let Some((key, port)) = read(object) {
                    self.apply(key, port);
                }
            }
            watcher::Event::Delete(object) => {
                self.forget(&PodKey { namespace: object.namespace().unwrap_or_default(), name: object.name_any() });
            }
        }
        self.health.send_if_modified(|health| {
            health.trouble = None;
            !std::mem::replace(&mut health.synced, true)
        });
    }

    /// A list replaces everything: what is not in it is gone.
    fn replace(&self, mut listed: HashMap<PodKey, Arc<KuryrPort>>) {
        let mut entries = self.entries();
        entries.retain(|key, entry| {
            let port = listed.remove(key);
            let keep = port.is_some() || entry.receiver_count() > 0;
            set(entry, port);
            keep
        });
        entries.extend(listed.into_iter().map(|(key, port)| (key, watch::Sender::new(Some(port)))));
    }

    pub(crate) fn apply(&self, key: PodKey, port: Arc<KuryrPort>) {
        set(self.entries().entry(key).or_default(), Some(port));
    }

    pub(crate) fn forget(&self, key: &PodKey) {
        let mut entries = self.entries();
        if let Some(entry) = entries.get(key) {
            set(entry, None);
            if entry.receiver_count() == 0 {
                entries.remove(key);
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes those who wait, if there is news: a new list repeats much that is known.
fn set(entry: &watch::Sender<Option<Arc<KuryrPort>>>, port: Option<Arc<KuryrPort>>) {
    let version = |port: &Option<Arc<KuryrPort>>| {
        port.as_deref().map(|port| (port.metadata.uid.clone(), port.metadata.resource_version.clone()))
    };
    entry.send_if_modified(|seen| {
        let changed = version(seen) != version(&port);
        *seen = port;
        changed
    });
}

fn read(object: DynamicObject) -> Option<(PodKey, Arc<KuryrPort>)> {
    let key = PodKey { namespace: object.namespace().unwrap_or_default(), name: object.name_any() };
    match object.try_parse::<KuryrPort>() {
        Ok(mut port) => {
            port.metadata.managed_fields = None;
            Some((key, Arc::new(port)))
        }
        Err(error) => {
            tracing::error!(
                "KuryrPort {key} cannot be read and is left out: {error}; delete it, kuryr-controller makes it anew"
            );
            None
        }
    }
}

/// One pod's KuryrPort, followed.
pub(crate) struct Subscription {
    seen: watch::Receiver<Option<Arc<KuryrPort>>>,
    key: PodKey,
    ports: Ports,
}

impl Subscription {
    /// What is there now.
    pub(crate) fn now(&mut self) -> Option<Arc<KuryrPort>> {
        self.seen.borrow_and_update().clone()
    }

    /// Waits for a change after the last [`Self::now`].
    pub(crate) async fn changed(&mut self) {
        if self.seen.changed().await.is_err() {
            // The store holds the sender for as long as somebody listens.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut entries = self.ports.entries();
        // The last to leave, and nothing is there: forget the name. The count still includes this subscription.
        if entries.get(&self.key).is_some_and(|entry| entry.receiver_count() <= 1 && entry.borrow().is_none()) {
            entries.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests;
