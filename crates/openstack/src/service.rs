//! Calls to one service: endpoint and token found, slots limited, changes paced, passing failures retried.

use std::sync::Arc;

use http::Method;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::auth::Keystone;
use crate::catalog::ServiceType;
use crate::http::{Answer, Call, Effect, Http};
use crate::pace::{Pace, Paces, Turn};
use crate::retry::Retry;
use crate::settings::CloudSettings;
use crate::{Error, ErrorKind};

/// A way to one service. Clones share the limit on requests under way.
#[derive(Clone)]
pub(crate) struct Service {
    kind: ServiceType,
    settings: Arc<CloudSettings>,
    http: Arc<Http>,
    keystone: Arc<Keystone>,
    slots: Arc<Semaphore>,
    paces: Arc<Paces>,
}

impl Service {
    pub(crate) fn new(
        kind: ServiceType,
        settings: Arc<CloudSettings>,
        http: Arc<Http>,
        keystone: Arc<Keystone>,
    ) -> Service {
        let slots = Arc::new(Semaphore::new(settings.max_concurrency.max(1)));
        let paces = Arc::new(Paces::new(settings.max_concurrency));
        Service { kind, settings, http, keystone, slots, paces }
    }

    /// How many items of a list to ask for at once.
    pub(crate) fn page_size(&self) -> usize {
        self.settings.page_size.max(1)
    }

    /// Turns for changes like this one.
    pub(crate) fn pace(&self, method: &Method, path: &str) -> Pace {
        self.paces.of(method, path)
    }

    /// Sends a call and reads the answer as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, Error> {
        self.json_in(None, call).await
    }

    /// The same, with a turn that is there already.
    pub(crate) async fn json_in<T: DeserializeOwned>(&self, turn: Option<Turn>, call: Call) -> Result<T, Error> {
        let name = format!("{} {}", call.method, call.path);
        let changes = call.effect != Effect::Read;
        let answer = self.call_in(turn, call).await?;
        serde_json::from_slice(&answer.body).map_err(|error| {
            Error::new(ErrorKind::Protocol, format!("the answer cannot be understood: {error}"))
                .with_call(name)
                .with_request_id(answer.request_id)
                .with_outcome_unknown(changes)
        })
    }

    /// Sends a call, again where that is safe, until it is answered or its time is over.
    pub(crate) async fn call(&self, call: Call) -> Result<Answer, Error> {
        self.call_in(None, call).await
    }

    async fn call_in(&self, turn: Option<Turn>, call: Call) -> Result<Answer, Error> {
        let mut may_have_acted = false;
        let outcome = self.attempts(turn, &call, &mut may_have_acted).await;
        match outcome {
            // An earlier attempt did the work and its answer was lost.
            Err(error) if may_have_acted && error.kind() == ErrorKind::NotFound && call.method == Method::DELETE => {
                Ok(Answer::nothing())
            }
            Err(error) if may_have_acted => Err(error.with_outcome_unknown(true)),
            outcome => outcome,
        }
    }

    async fn attempts(
        &self,
        mut first_turn: Option<Turn>,
        call: &Call,
        may_have_acted: &mut bool,
    ) -> Result<Answer, Error> {
        let mut retry: Option<Retry> = None;
        let mut renewed = false;
        let pace = (call.effect != Effect::Read).then(|| self.paces.of(&call.method, &call.path));
        loop {
            let queued = Instant::now();
            let turn = match (first_turn.take(), &pace) {
                (None, Some(pace)) => Some(pace.turn().await),
                (turn, _) => turn,
            };
            // Never closed, so never an error: the semaphore lives as long as we do.
            let slot = self.slots.acquire().await;
            // Only now, because a token may end while its call waits for its turn.
            let session = self.keystone.session().await?;
            let endpoint = session.catalog.endpoint(self.kind, &self.settings)?;
            // The clock stands still while the call is in the queue: a burst may wait for its turn as long as it takes.
            if let Some(retry) = &mut retry {
                retry.extend(queued.elapsed());
            }
            let retry = retry.get_or_insert_with(|| Retry::new(call.effect, Instant::now() + self.settings.timeout));
            let sent = Instant::now();
            let outcome = self.http.exchange(&endpoint, call, Some(&session.token), retry.deadline()).await;
            drop(slot);
            let error = match outcome {
                Ok(answer) => {
                    if let Some(turn) = turn {
                        turn.done(sent.elapsed());
                    }
                    return Ok(answer);
                }
                Err(error) => error,
            };
            // Before a pause: whoever waits for it may have more luck.
            drop(turn);
            *may_have_acted |= error.outcome_unknown();
            if error.kind() == ErrorKind::Unauthorized && !renewed {
                renewed = true;
                self.keystone.refused(session.generation);
                continue;
            }
            retry.after(error, &self.http).await?;
        }
    }
}
