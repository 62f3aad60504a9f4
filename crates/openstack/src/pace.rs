//! How many changes of one kind a service is asked for at once: as many as it works on, not as many as it lets wait.
//!
//! A Neutron that works on three requests at a time makes no more ports per second when it is sent sixteen; it answers each of them
//! later. What waits there takes the turn of others (a list that a new controller needs before it can begin), and whoever dies
//! meanwhile has asked for work that nobody takes in. So the number follows the time answers take, as the window of TCP Vegas follows
//! a route's (L. Brakmo, L. Peterson, "TCP Vegas: End to End Congestion Avoidance", 1995): the quickest answer is what the work
//! takes, everything beyond it is waiting.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::observer::route;

/// What a pace begins with.
const AT_FIRST: usize = 2;
/// Fewer of ours than this wait in the service: one more may be sent.
const FEW_WAIT: f64 = 4.0;
/// More of ours than this wait in the service: one less.
const MANY_WAIT: f64 = 8.0;
/// So much of ours waits in a service that is too busy for all of it, and not only slow at times.
const MUCH_WAITS: f64 = 0.4;
/// What takes so long is work, or waits for some: no service is that far away.
const LONG: Duration = Duration::from_secs(1);
/// After so long without a change of the kind the service may have become another: it is measured afresh.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// The paces of one service: one for each method and route, because they take different times.
pub(crate) struct Paces {
    most: usize,
    known: Mutex<HashMap<(Method, String), Pace>>,
}

impl Paces {
    /// No pace ever goes beyond `most`.
    pub(crate) fn new(most: usize) -> Paces {
        Paces { most: most.max(1), known: Mutex::default() }
    }

    /// The pace of a change; `path` is that of its call.
    pub(crate) fn of(&self, method: &Method, path: &str) -> Pace {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let pace = known.entry((method.clone(), route(path))).or_insert_with(|| Pace::new(self.most));
        pace.clone()
    }
}

/// Turns for requests of one kind, which may each be for several things.
#[derive(Clone)]
pub(crate) struct Pace {
    most: usize,
    turns: Arc<Semaphore>,
    measured: Arc<Mutex<Measured>>,
}

struct Measured {
    /// How many turns there are.
    allowed: usize,
    /// Whether the service has more to do than it can.
    busy: bool,
    /// The quickest answer to a change of so many things.
    quickest: BTreeMap<usize, Duration>,
    /// When the last turn ended.
    last: Instant,
}

impl Pace {
    fn new(most: usize) -> Pace {
        let allowed = AT_FIRST.min(most);
        let measured = Measured { allowed, busy: false, quickest: BTreeMap::new(), last: Instant::now() };
        Pace { most, turns: Arc::new(Semaphore::new(allowed)), measured: Arc::new(Mutex::new(measured)) }
    }

    /// Waits for a turn; first come, first served.
    pub(crate) async fn turn(&self) -> Turn {
        // Never closed, so there always is a permit in the end.
        let permit = self.turns.clone().acquire_owned().await.ok();
        let mut measured = self.measured();
        if measured.last.elapsed() > FORGOTTEN_AFTER {
            measured.quickest.clear();
            measured.busy = false;
            measured.allowed -= self.turns.forget_permits(measured.allowed.saturating_sub(AT_FIRST));
        }
        measured.last = Instant::now();
        drop(measured);
        Turn { pace: self.clone(), permit, size: 1, more_wait: false }
    }

    /// Whether the next turn has to be waited for.
    pub(crate) fn is_taken(&self) -> bool {
        self.turns.available_permits() == 0
    }

    fn measured(&self) -> MutexGuard<'_, Measured> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Measured {
    /// Takes in how long a change of so many things took; how long the work alone takes: as long as the quickest of them did, and never
    /// longer than as many changes of one thing.
    fn work(&mut self, size: usize, took: Duration) -> Duration {
        let known = self.quickest.entry(size).or_insert(took);
        *known = took.min(*known);
        let quickest = *known;
        self.quickest.get(&1).map_or(quickest, |one| quickest.min(one.mul_f64(size as f64)))
    }
}

/// A turn; dropped, it is the next one's.
pub(crate) struct Turn {
    pace: Pace,
    permit: Option<OwnedSemaphorePermit>,
    /// How many things its request is for.
    size: usize,
    /// Whether others wait for a turn behind this one that do not queue here.
    more_wait: bool,
}

impl Turn {
    /// How many of those who wait for a turn had best share this one. One where the service has room; where it is busy, so many that there
    /// are turns for all: what one request for several things is less work for it is gained, and nothing lost, because all of them wait
    /// anyway.
    pub(crate) fn shared_by(&self, waiting: usize) -> usize {
        let measured = self.pace.measured();
        if measured.busy { waiting.div_ceil(measured.allowed).max(1) } else { 1 }
    }

    /// Its request is for so many things.
    pub(crate) fn is_for(&mut self, size: usize) {
        self.size = size;
    }

    /// Others wait for a turn, and do not queue here.
    pub(crate) fn more_wait(&mut self) {
        self.more_wait = true;
    }

    /// The service has done the work, which took so long, its queue included.
    pub(crate) fn done(mut self, took: Duration) {
        let pace = self.pace.clone();
        let mut measured = pace.measured();
        measured.last = Instant::now();
        let work = measured.work(self.size, took);
        // Turns that nobody wants prove nothing.
        if took.is_zero() || pace.turns.available_permits() > 0 && !self.more_wait {
            measured.busy = false;
            return;
        }
        let wait = measured.allowed as f64 * (1.0 - work.as_secs_f64() / took.as_secs_f64());
        measured.busy = took >= LONG || wait >= measured.allowed as f64 * MUCH_WAITS;
        if wait < FEW_WAIT && measured.allowed < pace.most {
            measured.allowed += 1;
            pace.turns.add_permits(1);
        } else if wait > MANY_WAIT
            && measured.allowed > AT_FIRST
            && let Some(permit) = self.permit.take()
        {
            measured.allowed -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Duration = Duration::from_millis(300);

    /// A service with so many workers, which everything sent to it waits for; how many it was sent at most at once in the second half of
    /// so many changes, and how long all took.
    async fn changes(workers: usize, all: usize, most: usize) -> (usize, Duration) {
        let paces = Arc::new(Paces::new(most));
        let service = Arc::new(Semaphore::new(workers));
        let (sent, peak) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
        let begun = Instant::now();
        let mut under_way = tokio::task::JoinSet::new();
        for n in 0..all {
            let (paces, service, sent, peak) = (paces.clone(), service.clone(), sent.clone(), peak.clone());
            under_way.spawn(async move {
                let turn = paces.of(&Method::POST, "/v2.0/ports").turn().await;
                let now = Instant::now();
                *sent.lock().unwrap() += 1;
                if n > all / 2 {
                    let mut peak = peak.lock().unwrap();
                    *peak = (*peak).max(*sent.lock().unwrap());
                }
                let worker = service.acquire().await.unwrap();
                tokio::time::sleep(WORK).await;
                drop(worker);
                *sent.lock().unwrap() -= 1;
                turn.done(now.elapsed());
            });
        }
        while under_way.join_next().await.is_some() {}
        let peak = *peak.lock().unwrap();
        (peak, begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_gets_what_it_works_on_and_a_few_more() {
        for workers in [1, 2, 4, 8] {
            let (peak, took) = changes(workers, 200, 16).await;
            assert!((workers..=workers + 9).contains(&peak), "{peak} at once for {workers}");
            let least = WORK * 200 / u32::try_from(workers).unwrap();
            assert!(took < least.mul_f64(1.1), "{took:?} for {workers}, at least {least:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_with_room_gets_all_that_may_be_under_way() {
        let (peak, took) = changes(1000, 400, 16).await;
        assert_eq!(peak, 16);
        assert!(took < (WORK * 400 / 16).mul_f64(1.15), "{took:?}");
        assert_eq!(changes(1000, 20, 1).await.0, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_without_an_answer_is_given_back() {
        let pace = Pace::new(16);
        for _ in 0..10 {
            drop(pace.turn().await);
        }
        assert_eq!(pace.turns.available_permits(), AT_FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn turns_are_shared_where_there_are_too_few_of_them() {
        let pace = Pace::new(16);
        let turn = pace.turn().await;
        assert_eq!(turn.shared_by(28), 1, "nobody knows yet");
        let other = pace.turn().await;
        assert!(pace.is_taken());
        turn.done(WORK);
        assert_eq!(pace.measured().allowed, 3);
        assert_eq!(other.shared_by(28), 1, "it has room");
        let mut several = pace.turn().await;
        several.is_for(5);
        several.more_wait();
        several.done(LONG);
        assert_eq!(pace.measured().allowed, 4);
        assert_eq!(other.shared_by(28), 7, "it has none");
        assert_eq!(other.shared_by(3), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_work_of_several_things_is_no_more_than_theirs_one_by_one() {
        let pace = Pace::new(16);
        let mut measured = pace.measured();
        assert_eq!(measured.work(3, WORK * 9), WORK * 9);
        assert_eq!(measured.work(1, WORK), WORK);
        assert_eq!(measured.work(3, WORK * 9), WORK * 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_quick_once_is_forgotten() {
        let pace = Pace::new(16);
        pace.turn().await.done(Duration::from_millis(1));
        pace.measured().allowed = 9;
        pace.turns.add_permits(9 - AT_FIRST);
        tokio::time::advance(FORGOTTEN_AFTER * 2).await;
        let (one, other) = (pace.turn().await, pace.turn().await);
        one.done(WORK);
        assert_eq!(pace.measured().allowed, AT_FIRST + 1);
        drop(other);
    }
}
