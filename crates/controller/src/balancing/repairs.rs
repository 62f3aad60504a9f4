//! Repairs that do not last: each comes later than the one before, so that what fails again at once (an amphora without a host to run on,
//! a listener the provider cannot make) does not keep the cloud at work for nothing.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What the second repair waits for; each one after it twice as long.
const FIRST: Duration = Duration::from_secs(10);
/// But never longer than this.
const LONGEST: Duration = Duration::from_secs(600);
/// What has held for so long is forgotten.
const HELD: Duration = Duration::from_secs(1800);

/// The repairs of each owner of a load balancer, by what was repaired.
pub(crate) struct Repairs<K> {
    known: Mutex<HashMap<(K, &'static str), Repair>>,
}

impl<K> Default for Repairs<K> {
    fn default() -> Self {
        Self { known: Mutex::default() }
    }
}

struct Repair {
    count: u32,
    last: Instant,
}

impl<K: Clone + Eq + Hash> Repairs<K> {
    fn known(&self) -> MutexGuard<'_, HashMap<(K, &'static str), Repair>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long this repair has to wait, if it has to.
    pub(crate) fn left(&self, key: &K, what: &'static str) -> Option<Duration> {
        let mut known = self.known();
        known.retain(|_, repair| repair.last.elapsed() < HELD);
        let repair = known.get(&(key.clone(), what))?;
        let pause = FIRST.saturating_mul(2_u32.saturating_pow(repair.count - 1)).min(LONGEST);
        pause.checked_sub(repair.last.elapsed()).filter(|left| !left.is_zero())
    }

    /// Octavia has taken the order.
    pub(crate) fn begun(&self, key: &K, what: &'static str) {
        let mut known = self.known();
        let before = known.get(&(key.clone(), what)).map_or(0, |repair| repair.count);
        known.insert((key.clone(), what), Repair { count: before.saturating_add(1), last: Instant::now() });
    }

    /// Whether this was repaired, and not long ago.
    pub(crate) fn was_repaired(&self, key: &K, what: &'static str) -> bool {
        self.known().contains_key(&(key.clone(), what))
    }

    /// The owner is gone.
    pub(crate) fn forget(&self, key: &K) {
        self.known().retain(|(known, _), _| known != key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Key;

    #[tokio::test(start_paused = true)]
    async fn each_one_waits_longer_until_it_has_held() {
        let repairs = Repairs::default();
        let key = Key { namespace: "default".to_owned(), name: "web".to_owned() };
        let mut waited = Vec::new();
        for _ in 0..9 {
            let begun = Instant::now();
            while let Some(left) = repairs.left(&key, "a pool") {
                tokio::time::advance(left).await;
            }
            waited.push(begun.elapsed().as_secs());
            repairs.begun(&key, "a pool");
            assert_eq!(repairs.left(&key, "a listener"), None);
        }
        assert_eq!(waited, [0, 10, 20, 40, 80, 160, 320, 600, 600]);
        tokio::time::advance(HELD).await;
        assert_eq!(repairs.left(&key, "a pool"), None);
        repairs.begun(&key, "a pool");
        assert_eq!(repairs.left(&key, "a pool"), Some(FIRST));
        repairs.forget(&key);
        assert!(!repairs.was_repaired(&key, "a pool"));
    }
}
