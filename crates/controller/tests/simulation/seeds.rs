//! Histories by number: many at once, or one again.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

thread_local! {
    /// What happened in the history of this thread, and when it began on its own clock.
    static TOLD: RefCell<Option<(tokio::time::Instant, Vec<String>)>> = const { RefCell::new(None) };
}

/// Tells what happens in this history, for whoever has to find out what went wrong.
pub fn say(text: &str) {
    TOLD.with_borrow_mut(|told| {
        let (begun, lines) = told.get_or_insert_with(|| (tokio::time::Instant::now(), Vec::new()));
        lines.push(format!("{:>8.1} s  {text}", begun.elapsed().as_secs_f64()));
    });
}

fn told() -> String {
    TOLD.take().map(|(_, lines)| lines.join("\n")).unwrap_or_default()
}

/// Runs a history to its end on a clock of its own. `Err` is what was wrong.
pub fn on_a_clock_of_its_own(history: impl Future<Output = ()>) -> Result<(), String> {
    TOLD.take();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    catch_unwind(AssertUnwindSafe(|| runtime.block_on(history))).map_err(|panic| words(panic.as_ref()))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {value:?}")))
}

/// Runs the history of every seed, `usual` of them unless told otherwise, or shows one again.
///
/// # Panics
/// If one of them did not end as it should: names all of those.
pub fn every(usual: u64, run: impl Fn(u64) -> Result<(), String> + Sync) {
    if let Some(seed) = setting("KURYR_SIM_SEED") {
        let outcome = run(seed);
        println!("{}", told());
        outcome.unwrap();
        return;
    }
    let (seeds, limit) = (setting("KURYR_SIM_SEEDS").unwrap_or(usual), setting("KURYR_SIM_SECONDS").unwrap_or(600));
    let begun = Instant::now();
    let (next, done, failed) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(Vec::new()));
    // A history is one thread's: as many at once as there are cores.
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while begun.elapsed() <= Duration::from_secs(limit) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    if let Err(wrong) = run(seed) {
                        println!("---- seed {seed}\n{}\n{wrong}\n", told());
                        failed.lock().unwrap().push(seed);
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let (done, mut failed) = (done.into_inner(), failed.into_inner().unwrap());
    failed.sort_unstable();
    println!("{done} seeds in {:.1} s", begun.elapsed().as_secs_f64());
    assert!(failed.is_empty(), "{} of {done} seeds failed: {failed:?}; replay one with KURYR_SIM_SEED=…", failed.len());
    assert_eq!(done, seeds, "the time ended before the seeds did: raise KURYR_SIM_SECONDS");
}

/// Whether one of the first seeds, all of which come to rest as they are, notices that something is broken on purpose.
pub fn notice(broken: impl Fn(u64) -> Result<(), String>, sound: impl Fn(u64) -> Result<(), String>) -> bool {
    (0..10).any(|seed| {
        let noticed = broken(seed).is_err();
        assert_eq!(sound(seed), Ok(()), "seed {seed}, with nothing broken");
        noticed
    })
}
