//! The gate in front of the transports: no request that changes something leaves unless the Lease is held at that moment.
//!
//! The loops stop when leadership ends, so that in a healthy process nothing ever meets a gate that is shut. The gate is for
//! the others: a process that was stopped for a minute and goes on where it was, a client that tries again by itself, a
//! request that waited for a connection. It looks at the clock every time the request may move on, not only at its start.
//!
//! What it cannot stop is what has left already. The time between the end of the gate and the end of the Lease is for that.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Method, Request};
use kuryr_openstack::{Transport, TransportError};
use tokio::sync::watch;
use tokio::time::Instant;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, Service, ServiceExt as _};

/// A request that was not allowed to leave, or whose answer was not waited for, because this process does not lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Whether it was on its way when leadership ended: then it may have taken effect.
    pub begun: bool,
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.begun {
            false => "not sent, because this controller does not hold the Lease; the one that does goes on with it",
            true => "given up, because this controller lost the Lease meanwhile; the one that holds it looks at what was done",
        })
    }
}

impl std::error::Error for Refused {}

#[derive(Clone, Copy, Debug)]
enum Gate {
    Shut,
    OpenUntil(Instant),
    /// Nobody else can be there: leader election is turned off.
    Open,
}

impl Gate {
    fn lets_pass(self, now: Instant) -> bool {
        match self {
            Gate::Shut => false,
            Gate::OpenUntil(end) => now < end,
            Gate::Open => true,
        }
    }
}

/// The gate, shut at first. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Fence(Arc<watch::Sender<Gate>>);

impl Default for Fence {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Gate::Shut)))
    }
}

impl Fence {
    /// Whether what changes something may leave right now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.borrow().lets_pass(Instant::now())
    }

    /// Everything may pass until then.
    pub(super) fn open_until(&self, end: Instant) {
        self.0.send_replace(Gate::OpenUntil(end));
    }

    /// Everything may pass for ever.
    pub(crate) fn open(&self) {
        self.0.send_replace(Gate::Open);
    }

    /// Nothing may pass any more, and what is on its way is given up.
    pub(super) fn shut(&self) {
        self.0.send_replace(Gate::Shut);
    }

    /// Until it is shut.
    async fn closed(&self) {
        let mut gate = self.0.subscribe();
        loop {
            let now = *gate.borrow_and_update();
            if !now.lets_pass(Instant::now()) {
                return;
            }
            let end = async {
                match now {
                    Gate::OpenUntil(end) => tokio::time::sleep_until(end).await,
                    Gate::Open | Gate::Shut => std::future::pending().await,
                }
            };
            tokio::select! {
                () = end => {}
                // The sender lives in `self`.
                _ = gate.changed() => {}
            }
        }
    }

    /// Lets a request move on for as long as the gate is open.
    ///
    /// # Errors
    /// The gate was shut, or is shut before the answer is there.
    pub async fn pass<T>(&self, request: impl Future<Output = T>) -> Result<T, Refused> {
        let (mut request, mut closed) = (pin!(request), pin!(self.closed()));
        let mut begun = false;
        let step = |context: &mut Context<'_>| {
            // The clock itself is asked too: a timer that is due may be told after the request is.
            if closed.as_mut().poll(context).is_ready() || !self.is_open() {
                return Poll::Ready(Err(Refused { begun }));
            }
            begun = true;
            request.as_mut().poll(context).map(Ok)
        };
        std::future::poll_fn(step).await
    }

    /// The gate in front of the way to the cloud. Asking for a token changes nothing that two could disagree about, and passes.
    #[must_use]
    pub fn cloud(&self, transport: Transport) -> Transport {
        let fence = self.clone();
        BoxCloneSyncService::new(tower::service_fn(move |request: Request<bytes::Bytes>| {
            let (fence, transport) = (fence.clone(), transport.clone());
            async move {
                if is_read(request.method()) || request.uri().path().ends_with("/auth/tokens") {
                    return transport.oneshot(request).await;
                }
                match fence.pass(transport.oneshot(request)).await {
                    Ok(answer) => answer,
                    Err(refused) if refused.begun => Err(TransportError::Lost(refused.into())),
                    Err(refused) => Err(TransportError::Withheld(refused.into())),
                }
            }
        }))
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// `kube::client::ClientBuilder::with_layer(&fence)`: the gate in front of the way to the API server.
impl<S> Layer<S> for Fence {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, fence: self.clone() }
    }
}

/// A service behind the gate.
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    inner: S,
    fence: Fence,
}

impl<S, B> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    S::Response: 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if is_read(request.method()) {
            return self.inner.call(request).map(|answer| answer.map_err(Into::into)).boxed();
        }
        if !self.fence.is_open() {
            return async { Err(Refused { begun: false }.into()) }.boxed();
        }
        let (fence, answer) = (self.fence.clone(), self.inner.call(request));
        async move { fence.pass(answer).await?.map_err(Into::into) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn shut_it_lets_nothing_begin() {
        let sent = Cell::new(false);
        let fence = Fence::default();
        assert_eq!(fence.pass(async { sent.set(true) }).await, Err(Refused { begun: false }));
        fence.open_until(Instant::now());
        assert_eq!(fence.pass(async { sent.set(true) }).await, Err(Refused { begun: false }));
        assert!(!sent.get());
        fence.open_until(Instant::now() + SECOND);
        assert_eq!(fence.pass(async { sent.set(true) }).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_does_not_leave_after_the_end() {
        let (fence, sent) = (Fence::default(), Cell::new(false));
        fence.open_until(Instant::now() + 3 * SECOND);
        let connects_first = async {
            tokio::time::sleep(5 * SECOND).await;
            sent.set(true);
        };
        assert_eq!(fence.pass(connects_first).await, Err(Refused { begun: true }));
        assert!(!sent.get());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_stopped_for_a_minute_does_not_go_on() {
        let (fence, sent) = (Fence::default(), Cell::new(false));
        fence.open_until(Instant::now() + 3 * SECOND);
        let connects_first = async {
            tokio::time::sleep(SECOND).await;
            sent.set(true);
        };
        let mut frozen = Box::pin(fence.pass(connects_first));
        assert!(futures::poll!(&mut frozen).is_pending());
        tokio::time::sleep(60 * SECOND).await;
        assert_eq!(frozen.await, Err(Refused { begun: true }));
        assert!(!sent.get());
    }

    #[tokio::test(start_paused = true)]
    async fn a_longer_term_lets_it_go_on_and_an_early_end_stops_it() {
        let fence = Fence::default();
        fence.open_until(Instant::now() + 3 * SECOND);
        let renewed = async {
            tokio::time::sleep(2 * SECOND).await;
            fence.open_until(Instant::now() + 3 * SECOND);
        };
        let (answer, ()) = tokio::join!(fence.pass(tokio::time::sleep(4 * SECOND)), renewed);
        assert_eq!(answer, Ok(()));
        let given_up = async {
            tokio::time::sleep(SECOND / 2).await;
            fence.shut();
        };
        let begun = Instant::now();
        let (answer, ()) = tokio::join!(fence.pass(tokio::time::sleep(SECOND)), given_up);
        assert_eq!(answer, Err(Refused { begun: true }));
        assert_eq!(begun.elapsed(), SECOND / 2);
    }
}
