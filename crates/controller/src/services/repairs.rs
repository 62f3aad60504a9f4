//! Repairs that do not last: each comes later than the one before, so that what fails again at once (an amphora without a host to run on,
//! a listener the provider cannot make) does not keep the cloud at work for nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::Key;

/// What the second repair waits for; each one after it twice as long.
const FIRST: Duration = Duration::from_secs(10);
/// But never longer than this.
const LONGEST: Duration = Duration::from_secs(600);
/// What has held for so long is forgotten.
const HELD: Duration = Duration::from_secs(1800);

/// The repairs of each Service.
#[derive(Default)]
pub(super) struct Repairs {
    known: Mutex<HashMap<Key, Repair>>,
}

struct Repair {
    count: u32,
    last: Instant,
}

impl Repairs {
    /// Whether this Service may be repaired now, which is counted; else how long it has to wait.
    pub(super) fn begin(&self, key: &Key) -> Result<(), Duration> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, repair| repair.last.elapsed() < HELD);
        let now = Instant::now();
        let repair = known.entry(key.clone()).or_insert(Repair { count: 0, last: now });
        let pause = match repair.count {
            0 => Duration::ZERO,
            count => FIRST.saturating_mul(2_u32.saturating_pow(count - 1)).min(LONGEST),
        };
        match pause.checked_sub(now - repair.last).filter(|left| !left.is_zero()) {
            Some(left) => Err(left),
            None => {
                *repair = Repair { count: repair.count.saturating_add(1), last: now };
                Ok(())
            }
        }
    }

    /// Whether it was repaired before, and not long ago.
    pub(super) fn are_many(&self, key: &Key) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).is_some_and(|repair| repair.count > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_one_waits_longer_until_it_has_held() {
        let repairs = Repairs::default();
        let key = Key { namespace: "default".to_owned(), name: "web".to_owned() };
        let mut waited = Vec::new();
        for _ in 0..9 {
            let begun = Instant::now();
            while let Err(left) = repairs.begin(&key) {
                tokio::time::advance(left).await;
            }
            waited.push(begun.elapsed().as_secs());
        }
        assert_eq!(waited, [0, 10, 20, 40, 80, 160, 320, 600, 600]);
        tokio::time::advance(HELD).await;
        assert_eq!(repairs.begin(&key), Ok(()));
        assert_eq!(repairs.begin(&key), Err(FIRST));
    }
}
