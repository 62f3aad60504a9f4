//! Kills a controller at one of its changes of the cloud: just before it arrives there, or when it has, before the answer is heard.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request};
use kuryr_openstack::Transport;
use tokio::task::AbortHandle;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

/// Where a controller will be killed, if it will.
#[derive(Clone, Default)]
pub struct Knife(Arc<Mutex<Option<Cut>>>);

struct Cut {
    changes: usize,
    before: bool,
    controller: AbortHandle,
}

impl Knife {
    /// This controller is killed at its next change but so many, before the cloud hears of it or after.
    pub fn draw(&self, changes: usize, before: bool, controller: AbortHandle) {
        *self.0.lock().unwrap() = Some(Cut { changes, before, controller });
    }

    /// Nobody is killed any more.
    pub fn sheathe(&self) {
        *self.0.lock().unwrap() = None;
    }

    /// Whether this change is the one; `Some` says on which side of it.
    fn cuts(&self) -> Option<bool> {
        let mut cut = self.0.lock().unwrap();
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
