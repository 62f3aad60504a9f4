//! The one shape of every control loop: a keyed queue in which an object is never worked on twice at once, and never
//! forgotten. Events only say *which* object to look at; what to do is decided from observed state.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What became of one look at an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Observed is as desired, or something else will wake us; forget past failures.
    Settled,
    /// Look again after this time, without counting a failure.
    Again(Duration),
    /// It failed; look again after a back-off of this kind.
    Failed(Backoff),
}

/// How long failed work waits: `base · 2ⁿ`, at most `cap`, with full jitter.
/// (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Longest first wait.
    pub base: Duration,
    /// Longest wait of all.
    pub cap: Duration,
    /// Never wait less than this: the server said so (`Retry-After`).
    pub floor: Duration,
}

impl Backoff {
    /// The wait before attempt `attempt + 1` (`attempt` counts failures, from 1).
    fn delay(&self, attempt: u32, random: f64) -> Duration {
        let ceiling = self.base.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(self.cap);
        // Half fixed, half random: waits differ, and a failing object never spins.
        (ceiling / 2 + (ceiling / 2).mul_f64(random)).max(self.floor)
    }
}

struct Entry {
    running: bool,
    /// Woken while running: look again right after.
    woken: bool,
    /// When it is due; stale heap entries are recognised by not matching this.
    due: Option<Instant>,
    failures: u32,
}

struct Inner<K> {
    entries: HashMap<K, Entry>,
    ready: VecDeque<K>,
    delayed: BinaryHeap<Reverse<(Instant, K)>>,
    random: fastrand::Rng,
}

/// A queue of keys: deduplicated, with delays, one worker per key at a time.
pub struct Queue<K> {
    inner: Mutex<Inner<K>>,
    changed: Notify,
}

/// The queue of the term of leadership that is under way, if one is.
pub(crate) struct AtWork<K>(Mutex<Weak<Queue<K>>>);

impl<K> Default for AtWork<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Debug + Eq + Hash + Ord> AtWork<K> {
    /// From now on it is this one.
    pub(crate) fn set(&self, queue: &Arc<Queue<K>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(queue);
    }

    /// See [`Queue::wake`].
    pub(crate) fn wake(&self, key: K) {
        let queue = self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(queue) = queue {
            queue.wake(key);
        }
    }
}

impl<K: Clone + Debug + Eq + Hash + Ord> Queue<K> {
    /// An empty queue; `seed` drives the jitter.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        let inner = Inner { entries: HashMap::new(), ready: VecDeque::new(), delayed: BinaryHeap::new(), random };
        Self { inner: Mutex::new(inner), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Look at `key` as soon as a worker is free. A pending delay is cut short.
    pub fn wake(&self, key: K) {
        self.lock().wake(key);
        self.changed.notify_one();
    }

    /// How many keys wait for a worker right now.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.lock().ready.len()
    }

    /// How often in a row `key` has failed.
    #[must_use]
    pub fn failures(&self, key: &K) -> u32 {
        self.lock().entries.get(key).map_or(0, |entry| entry.failures)
    }

    async fn next(&self) -> K {
        loop {
            let until = {
                let mut inner = self.lock();
                let next_due = inner.promote(Instant::now());
                if let Some(key) = inner.take() {
                    return key;
                }
                next_due
            };
            match until {
                Some(due) => tokio::select! {
                    () = self.changed.notified() => {}
                    () = tokio::time::sleep_until(due) => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    fn done(&self, key: &K, verdict: Verdict) {
        self.lock().done(key, verdict, Instant::now());
        self.changed.notify_one();
    }

    /// Works until `shutdown`, at most `concurrency` keys at a time. On shutdown, work in hand is finished, not cut.
    pub async fn work<F: Future<Output = Verdict>>(
        &self,
        concurrency: usize,
        shutdown: &CancellationToken,
        look_at: impl Fn(K) -> F,
    ) {
        let mut in_hand = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some((key, verdict)) = in_hand.next() => self.done(&key, verdict),
                key = self.next(), if in_hand.len() < concurrency => {
                    let work = look_at(key.clone());
                    in_hand.push(async move { (key, work.await) });
                }
            }
        }
        while let Some((key, verdict)) = in_hand.next().await {
            self.done(&key, verdict);
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> Inner<K> {
    fn wake(&mut self, key: K) {
        match self.entries.get_mut(&key) {
            Some(entry) if entry.running => entry.woken = true,
            Some(entry) if entry.due.is_none() => {} // in `ready` already
            Some(entry) => {
                entry.due = None;
                self.ready.push_back(key);
            }
            None => {
                self.entries.insert(key.clone(), Entry { running: false, woken: false, due: None, failures: 0 });
                self.ready.push_back(key);
            }
        }
    }

    /// Moves what is due to `ready`; returns when the next delay ends.
    fn promote(&mut self, now: Instant) -> Option<Instant> {
        while let Some(Reverse((due, key))) = self.delayed.peek() {
            let current = self.entries.get(key).is_some_and(|entry| entry.due == Some(*due));
            if current && *due > now {
                return Some(*due);
            }
            let Some(Reverse((_, key))) = self.delayed.pop() else { break };
            if current {
                if let Some(entry) = self.entries.get_mut(&key) {
                    entry.due = None;
                }
                self.ready.push_back(key);
            }
        }
        None
    }

    fn take(&mut self) -> Option<K> {
        let key = self.ready.pop_front()?;
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.running = true;
        }
        Some(key)
    }

    fn done(&mut self, key: &K, verdict: Verdict, now: Instant) {
        let random = self.random.f64();
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.running = false;
        let delay = match verdict {
            Verdict::Settled => {
                entry.failures = 0;
                None
            }
            Verdict::Again(delay) => Some(delay),
            Verdict::Failed(backoff) => {
                entry.failures += 1;
                Some(backoff.delay(entry.failures, random))
            }
        };
        // A wake-up during a failure still waits out the back-off: events must not defeat it.
        let failed = matches!(verdict, Verdict::Failed(_));
        if std::mem::take(&mut entry.woken) && !failed {
            self.ready.push_back(key.clone());
        } else if let Some(delay) = delay {
            let due = now + delay;
            entry.due = Some(due);
            self.delayed.push(Reverse((due, key.clone())));
        } else {
            self.entries.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const PATIENT: Backoff = Backoff { base: SECOND, cap: Duration::from_secs(8), floor: Duration::ZERO };

    /// Runs `look_at` over a queue on the paused clock for `seconds`; returns (key, second it was looked at).
    async fn looks(
        seconds: u64,
        wakes: &[(u64, u32)],
        look_at: impl Fn(u32, usize) -> (Duration, Verdict),
    ) -> Vec<(u32, f64)> {
        let queue = Queue::new(7);
        let shutdown = CancellationToken::new();
        let start = Instant::now();
        let log = Rc::new(RefCell::new(Vec::new()));
        let wake = async {
            for (at, key) in wakes {
                tokio::time::sleep_until(start + Duration::from_secs(*at)).await;
                queue.wake(*key);
            }
            tokio::time::sleep_until(start + Duration::from_secs(seconds)).await;
            shutdown.cancel();
        };
        let work = queue.work(2, &shutdown, |key| {
            let count = log.borrow().len();
            log.borrow_mut().push((key, start.elapsed().as_secs_f64()));
            let (takes, verdict) = look_at(key, count);
            async move {
                tokio::time::sleep(takes).await;
                verdict
            }
        });
        tokio::join!(wake, work);
        log.take()
    }

    #[tokio::test(start_paused = true)]
    async fn woken_while_running_is_looked_at_again_but_never_twice_at_once() {
        let log = looks(60, &[(0, 1), (2, 1), (3, 1)], |_, _| (10 * SECOND, Verdict::Settled)).await;
        assert_eq!(log, [(1, 0.0), (1, 10.0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn different_keys_run_side_by_side_up_to_the_limit() {
        let log = looks(60, &[(0, 1), (0, 2), (0, 3)], |_, _| (10 * SECOND, Verdict::Settled)).await;
        assert_eq!(log, [(1, 0.0), (2, 0.0), (3, 10.0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_back_off_to_the_cap_and_wakes_do_not_defeat_it() {
        let wakes: Vec<(u64, u32)> = [(0, 1)].into();
        let log = looks(100, &wakes, |_, _| (Duration::ZERO, Verdict::Failed(PATIENT))).await;
        let gaps: Vec<f64> = log.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
        assert!(gaps[0] >= 0.5 && gaps[0] <= 1.01, "{gaps:?}");
        assert!(gaps.iter().all(|gap| *gap <= 8.01), "{gaps:?}");
        assert!(gaps[5..].iter().all(|gap| *gap >= 4.0), "{gaps:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wake_cuts_a_delay_short() {
        let again =
            |_, count| (Duration::ZERO, if count == 0 { Verdict::Again(50 * SECOND) } else { Verdict::Settled });
        let log = looks(60, &[(0, 1), (5, 1)], again).await;
        assert_eq!(log, [(1, 0.0), (1, 5.0)]);
    }
}
