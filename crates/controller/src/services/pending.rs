//! Load balancers that Octavia has been at work on for longer than it should: only administrators can end that, so they are told.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::Key;
use crate::trouble::Trouble;

/// Since when Octavia is at work for Services.
pub(super) struct Pending {
    /// What Octavia does not finish for so long is worth a word.
    patience: Duration,
    since: Mutex<HashMap<Key, Instant>>,
}

impl Pending {
    pub(super) fn new(patience: Duration) -> Pending {
        Pending { patience, since: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Octavia is at work. `Err` is how long to wait before that is worth a word; `Ok` is how long it has lasted.
    pub(super) fn goes_on(&self, key: &Key) -> Result<Duration, Duration> {
        let lasted = self.lock().entry(key.clone()).or_insert_with(Instant::now).elapsed();
        match self.patience.checked_sub(lasted).filter(|left| !left.is_zero()) {
            Some(left) => Err(left),
            None => Ok(lasted),
        }
    }

    /// Octavia has done what it was at, or the Service is gone.
    pub(super) fn is_over(&self, key: &Key) {
        self.lock().remove(key);
    }
}

/// What it means for the Service's owner.
pub(super) fn lasts(balancer: &str, state: &str, lasted: Duration) -> Trouble {
    let message = format!(
        "Octavia has load balancer {balancer} in {state} for {} minutes and takes no change of it; what it served it serves, endpoints do \
         not follow. Octavia's administrators see in its log what is in the way; the Service goes on by itself",
        lasted.as_secs() / 60
    );
    Trouble::mistake("LoadBalancerPending", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_lasts_is_worth_a_word() {
        const PATIENCE: Duration = Duration::from_secs(300);
        let pending = Pending::new(PATIENCE);
        let key = Key { namespace: "default".to_owned(), name: "web".to_owned() };
        assert_eq!(pending.goes_on(&key), Err(PATIENCE));
        tokio::time::advance(PATIENCE / 2).await;
        assert_eq!(pending.goes_on(&key), Err(PATIENCE / 2));
        tokio::time::advance(PATIENCE / 2).await;
        assert_eq!(pending.goes_on(&key), Ok(PATIENCE));
        pending.is_over(&key);
        assert_eq!(pending.goes_on(&key), Err(PATIENCE));
    }
}
