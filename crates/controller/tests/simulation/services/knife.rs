//! Kills a controller at one of its changes of the cloud: just before it arrives there, or when it has, before the answer is heard.
//! Notices one that spins: asks on and on without letting time pass.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request};
use kuryr_openstack::Transport;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

/// So many requests in one moment nobody needs.
const SPINS: usize = 5_000;

/// Where a controller will be killed, if it will.
#[derive(Clone, Default)]
pub struct Knife {
    cut: Arc<Mutex<Option<Cut>>>,
    pace: Arc<Mutex<Pace>>,
}

/// The requests of one moment.
#[derive(Default)]
struct Pace {
    moment: Option<Instant>,
    requests: Vec<String>,
}

struct Cut {
    changes: usize,
    before: bool,
    controller: AbortHandle,
}

impl Knife {
    /// This controller is killed at its next change but so many, before the cloud hears of it or after.
    pub fn draw(&self, changes: usize, before: bool, controller: AbortHandle) {
        *self.cut.lock().unwrap() = Some(Cut { changes, before, controller });
    }

    /// Nobody is killed any more.
    pub fn sheathe(&self) {
        *self.cut.lock().unwrap() = None;
    }

    /// A request is made; waits for ever if there were too many of them.
    async fn counts(&self, request: &Request<Bytes>) {
        let spins = {
            let mut pace = self.pace.lock().unwrap();
            let now = Instant::now();
            if pace.moment != Some(now) {
                *pace = Pace { moment: Some(now), requests: Vec::new() };
            }
            pace.requests.push(format!("{} {}", request.method(), request.uri().path()));
            pace.requests.len() > SPINS
        };
        if spins {
            std::future::pending::<()>().await;
        }
    }

    /// Sees that nobody spun.
    ///
    /// # Panics
    /// If somebody did: says with which requests.
    pub fn nobody_spins(&self) {
        let pace = self.pace.lock().unwrap();
        let last = pace.requests.iter().rev().take(20);
        assert!(pace.requests.len() <= SPINS, "the controller spins: {:#?}", last.collect::<Vec<_>>());
    }

    /// Whether this change is the one; `Some` says on which side of it.
    fn cuts(&self) -> Option<bool> {
        let mut cut = self.cut.lock().unwrap();
        let there = cut.as_mut()?;
        if there.changes > 0 {
            there.changes -= 1;
            return None;
        }
        let cut = cut.take()?;
        cut.controller.abort();
        Some(cut.before)
    }

    /// A controller's way to the cloud, under the knife.
    pub fn over(&self, transport: Transport) -> Transport {
        let knife = self.clone();
        BoxCloneSyncService::new(tower::service_fn(move |request: Request<Bytes>| {
            let (knife, transport) = (knife.clone(), transport.clone());
            async move {
                knife.counts(&request).await;
                let changes = request.method() != Method::GET && !request.uri().path().ends_with("/auth/tokens");
                match changes.then(|| knife.cuts()).flatten() {
                    Some(true) => std::future::pending().await,
                    Some(false) => {
                        let _ = transport.oneshot(request).await;
                        std::future::pending().await
                    }
                    None => transport.oneshot(request).await,
                }
            }
        }))
    }
}
