//! Takes the Lease when it may, keeps it while it works, gives it back when told to end.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::plan::{self, Next, Record, Seen};
use super::{Election, Fence, legacy};
use crate::metrics::Metrics;
use crate::reach::{ASIDE, STEP_ASIDE_AFTER};
use crate::told;

/// Giving the Lease back is worth so much of the time a process has to end.
const RELEASE_DEADLINE: Duration = Duration::from_secs(3);

/// Why leadership ended before we were told to end.
#[derive(Debug)]
enum Lost {
    /// Somebody else holds the Lease, or nobody.
    Taken(Option<String>),
    /// It could not be renewed in time.
    NotRenewed,
}

impl fmt::Display for Lost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(Some(holder)) => write!(formatter, "{holder} holds it"),
            Self::Taken(None) => formatter.write_str("it was released or deleted by somebody else"),
            Self::NotRenewed => formatter
                .write_str("it was not renewed in time; check the way to the API server, and whether this process was stopped or starved"),
        }
    }
}

/// How the work of a term ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As we were told.
    Told,
    /// What the cloud has did not become known.
    NoCloud,
}

/// A call about the Lease that brought nothing.
enum Failure {
    /// Somebody else was quicker: look again.
    Conflict,
    /// There is no such object.
    Missing(String),
    /// No answer, or a refusal.
    Other(String),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 409 => Self::Conflict,
            kube::Error::Api(status) if status.code == 404 => Self::Missing(status.message.clone()),
            error => Self::Other(told::chain(&error)),
        }
    }
}

/// This process among those that could lead.
pub(crate) struct Elector {
    election: Election,
    api: Api<Lease>,
    /// The way of everything else, through the fence.
    kube: kube::Client,
    fence: Fence,
    metrics: Arc<Metrics>,
    random: fastrand::Rng,
    seen: Option<Seen>,
    /// Whom we told last of, so that the log says who leads once.
    told: Option<String>,
}

impl Elector {
    /// `lease` must not go through the fence; `kube` must.
    pub(crate) fn new(
        election: Election,
        lease: kube::Client,
        kube: kube::Client,
        fence: Fence,
        metrics: Arc<Metrics>,
        seed: u64,
    ) -> Self {
        let api = Api::namespaced(lease, &election.namespace);
        let random = fastrand::Rng::with_seed(seed);
        Self { election, api, kube, fence, metrics, random, seen: None, told: None }
    }

    /// Leads whenever the Lease is ours, until `shutdown`. `lead` does the work of one term and ends, after the steps in hand,
    /// when its token says so; when the Lease is lost it is dropped where it is. If the cloud did not answer, the Lease is left to
    /// others for a while.
    pub(crate) async fn run<F: Future<Output = End>>(
        mut self,
        shutdown: &CancellationToken,
        lead: impl Fn(CancellationToken) -> F,
    ) {
        while let Some(until) = shutdown.run_until_cancelled(self.acquire()).await {
            self.fence.open_until(until);
            self.metrics.leads(true);
            let transitions = self.seen.as_ref().map_or(0, |seen| seen.record.transitions);
            tracing::info!(lease = %self.title(), holder = self.election.identity.holder(), transitions, "leading");
            let ended = self.term(until, transitions, shutdown, &lead).await;
            self.fence.shut();
            self.metrics.leads(false);
            match ended {
                Err(why) => tracing::warn!(lease = %self.title(), "not leading any more: {why}; standing by"),
                Ok(End::Told) => break,
                Ok(End::NoCloud) => {
                    tracing::warn!(
                        lease = %self.title(),
                        "not leading any more: the cloud did not answer for {STEP_ASIDE_AFTER:?}; others may try for {ASIDE:?}"
                    );
                    self.release().await;
                    let _ = shutdown.run_until_cancelled(tokio::time::sleep(ASIDE)).await;
                }
            }
        }
        self.release().await;
    }

    /// One term of leadership. Returns how its work ended.
    ///
    /// # Errors
    /// How leadership was lost before.
    async fn term<F: Future<Output = End>>(
        &mut self,
        until: Instant,
        transitions: i32,
        shutdown: &CancellationToken,
        lead: &impl Fn(CancellationToken) -> F,
    ) -> Result<End, Lost> {
        let stop = CancellationToken::new();
        let (election, kube) = (self.election.clone(), self.kube.clone());
        let record = stop.run_until_cancelled(legacy::record(kube, &election, transitions));
        let lead = async {
            let end = lead(stop.clone()).await;
            stop.cancel();
            end
        };
        let mut work = pin!(async { tokio::join!(lead, record).0 });
        let mut keep = pin!(self.keep(until));
        loop {
            tokio::select! {
                // Leadership first: what is found to be lost is not worked under for one step more.
                biased;
                lost = &mut keep => return Err(lost),
                () = shutdown.cancelled(), if !stop.is_cancelled() => stop.cancel(),
                end = &mut work => return Ok(end),
            }
        }
    }

    /// Waits for the Lease and takes it. Returns until when it is ours for certain.
    async fn acquire(&mut self) -> Instant {
        loop {
            let mut pause = self.retry();
            match self.look().await {
                Ok(()) => {
                    let now = Instant::now();
                    match plan::next(&self.election.identity, self.seen.as_ref(), self.election.duration, now) {
                        Next::Wait(left) => {
                            self.tell_who_leads();
                            pause = pause.min(left);
                        }
                        next => match self.write(next == Next::Create).await {
                            // A process that was stopped meanwhile may find that its time is over.
                            Ok(until) if Instant::now() < until => return until,
                            Ok(_) | Err(Failure::Conflict) => {}
                            Err(Failure::Missing(error) | Failure::Other(error)) => self.warn("take", &error),
                        },
                    }
                }
                Err(Failure::Conflict) => {}
                Err(Failure::Missing(error) | Failure::Other(error)) => self.warn("read", &error),
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Renews the Lease for as long as that succeeds in time.
    async fn keep(&mut self, mut until: Instant) -> Lost {
        loop {
            let renewal = async {
                tokio::time::sleep(self.retry()).await;
                self.renew().await
            };
            match tokio::time::timeout_at(until, renewal).await {
                Ok(Ok(renewed)) => until = renewed,
                Ok(Err(lost)) => return lost,
                Err(_) => return Lost::NotRenewed,
            }
            // An answer may come to a process that was stopped while it waited.
            if Instant::now() >= until {
                return Lost::NotRenewed;
            }
            self.fence.open_until(until);
        }
    }

    /// Tries until the Lease is renewed or lost.
    async fn renew(&mut self) -> Result<Instant, Lost> {
        loop {
            match self.write(false).await {
                Ok(until) => return Ok(until),
                // Perhaps our own write, whose answer was lost.
                Err(Failure::Conflict) => {
                    if self.look().await.is_ok() {
                        let held = self.seen.as_ref().filter(|seen| !seen.deleted);
                        let holder = held.and_then(|seen| seen.record.holder.clone());
                        if holder.as_deref() != Some(self.election.identity.holder()) {
                            return Err(Lost::Taken(holder));
                        }
                        continue;
                    }
                }
                Err(Failure::Missing(error) | Failure::Other(error)) => self.warn("renew", &error),
            }
            tokio::time::sleep(self.retry() / 4).await;
        }
    }

    /// Gives the Lease back if it is ours, so that the next need not wait for its end.
    async fn release(&mut self) {
        let give_back = async {
            // The answer to our last write may have been lost, and with it the version to name.
            while self.look().await.is_ok() {
                let Some(seen) = self.seen.as_ref().filter(|seen| !seen.deleted) else { return };
                if seen.record.holder.as_deref() != Some(self.election.identity.holder()) {
                    return;
                }
                let patch = json!({
                    "metadata": { "resourceVersion": seen.record.version },
                    "spec": { "holderIdentity": null, "renewTime": MicroTime(Timestamp::now()) },
                });
                let patched = self.api.patch(&self.election.name, &PatchParams::default(), &Patch::Merge(&patch)).await;
                match patched.map_err(Failure::from) {
                    Ok(_) => return tracing::info!(lease = %self.title(), "released: the next may lead at once"),
                    Err(Failure::Conflict) => {}
                    Err(Failure::Missing(_)) => return,
                    Err(Failure::Other(error)) => return self.warn("release", &error),
                }
            }
        };
        if tokio::time::timeout(RELEASE_DEADLINE, give_back).await.is_err() {
            self.warn("release", "no answer");
        }
    }

    /// Reads the Lease.
    async fn look(&mut self) -> Result<(), Failure> {
        let found = within(self.call_deadline(), self.api.get_opt(&self.election.name)).await?;
        self.seen = plan::looked(self.seen.take(), found.map(Record::from), Instant::now());
        Ok(())
    }

    /// Writes us into the Lease, provided it is as we saw it. Returns until when it is ours for certain: counted from before
    /// the write, so that others, who can only see it later, wait longer.
    async fn write(&mut self, create: bool) -> Result<Instant, Failure> {
        let until = Instant::now() + self.election.renew_deadline;
        let (me, now) = (self.election.identity.holder(), MicroTime(Timestamp::now()));
        let before = self.seen.as_ref().map(|seen| &seen.record);
        let continues = before.filter(|record| record.holder.as_deref() == Some(me));
        let spec = LeaseSpec {
            holder_identity: Some(me.to_owned()),
            lease_duration_seconds: Some(i32::try_from(self.election.duration.as_secs().max(1)).unwrap_or(i32::MAX)),
            acquire_time: continues.and_then(|record| record.acquired.clone()).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(match (before, continues) {
                (None, _) => 0,
                (_, Some(record)) => record.transitions,
                (Some(record), None) => record.transitions.saturating_add(1),
            }),
            ..LeaseSpec::default()
        };
        let written = if create {
            let metadata = ObjectMeta { name: Some(self.election.name.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(spec) };
            within(self.call_deadline(), self.api.create(&PostParams::default(), &lease)).await?
        } else {
            let version = before.map(|record| record.version.as_str()).unwrap_or_default();
            let patch = json!({ "metadata": { "resourceVersion": version }, "spec": spec });
            let (parameters, patch) = (PatchParams::default(), Patch::Merge(&patch));
            let patched = within(self.call_deadline(), self.api.patch(&self.election.name, &parameters, &patch)).await;
            patched.map_err(|failure| match failure {
                // Deleted since we looked. (When it is to be created, the same answer means that there is no such namespace.)
                Failure::Missing(_) => Failure::Conflict,
                failure => failure,
            })?
        };
        self.seen = plan::looked(self.seen.take(), Some(Record::from(written)), Instant::now());
        Ok(until)
    }

    /// The pause before the next look, with jitter: two that lost a race do not meet again.
    fn retry(&mut self) -> Duration {
        self.election.retry.mul_f64(0.8 + 0.4 * self.random.f64())
    }

    /// Time for one call. Two of them, one unanswered, fit into the renew deadline.
    fn call_deadline(&self) -> Duration {
        self.election.renew_deadline * 2 / 5
    }

    fn title(&self) -> String {
        format!("{}/{}", self.election.namespace, self.election.name)
    }

    fn warn(&self, verb: &str, error: &str) {
        tracing::warn!(
            "cannot {verb} the Lease {}: {error}; trying again (its namespace must exist, see [kuryr] lease_namespace, and the controller be allowed to get, create and patch it)",
            self.title()
        );
    }

    fn tell_who_leads(&mut self) {
        let holder = self.seen.as_ref().and_then(|seen| seen.record.holder.clone());
        if holder != self.told {
            tracing::info!(lease = %self.title(), leader = holder.as_deref().unwrap_or_default(), "standing by");
            self.told = holder;
        }
    }
}

/// An answer, within a time.
async fn within<T>(deadline: Duration, call: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    match tokio::time::timeout(deadline, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::Other(format!("no answer within {:.1} s", deadline.as_secs_f64()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16) -> Failure {
        let status = kube::core::Status::failure("namespaces \"nope\" not found", "NotFound").with_code(code);
        Failure::from(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn a_namespace_that_is_missing_is_no_lost_race() {
        assert!(matches!(refused(404), Failure::Missing(said) if said.contains("nope")));
        assert!(matches!(refused(409), Failure::Conflict));
        assert!(matches!(refused(403), Failure::Other(_)));
    }
}
