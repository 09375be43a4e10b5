//! GCRA over many keys, in bounded memory.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// After so many questions keys are forgotten that have all of their quota again. Those that stay are in use, and whoever
/// wants to be many of them is bounded by the rate of connections and requests.
const SWEEP: u32 = 4096;

/// One quota for each key.
pub(super) struct Keyed<K: Clone + Hash + Eq> {
    limiter: DefaultKeyedRateLimiter<K>,
    asked: AtomicU32,
}

impl<K: Clone + Hash + Eq> Keyed<K> {
    /// `requests` in `per`, evenly, and `burst` at once. A zero counts as one.
    pub(super) fn new(requests: u32, per: Duration, burst: u32) -> Self {
        let at_least_one = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let each = (per / at_least_one(requests).get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(each).expect("it is above zero").allow_burst(at_least_one(burst));
        Self { limiter: RateLimiter::keyed(quota), asked: AtomicU32::new(0) }
    }

    /// Takes one; or says how long to wait for it.
    pub(super) fn take(&self, key: &K) -> Result<(), Duration> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        self.limiter.check_key(key).map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }
}

impl<K: Clone + Hash + Eq> std::fmt::Debug for Keyed<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyed").field("keys", &self.limiter.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn each_key_has_its_burst_and_then_waits() {
        let keyed = Keyed::new(60, HOUR, 3);
        for _ in 0..3 {
            assert!(keyed.take(&"a").is_ok());
        }
        let wait = keyed.take(&"a").expect_err("the burst is spent");
        assert!(wait > Duration::from_secs(50) && wait <= Duration::from_mins(1), "{wait:?}");
        assert!(keyed.take(&"b").is_ok());
    }

    #[test]
    fn keys_that_have_all_again_are_forgotten() {
        // A quota that is whole again after a microsecond.
        let keyed = Keyed::new(1_000_000, Duration::from_secs(1), 1);
        for key in 0..SWEEP * 2 {
            let _ = keyed.take(&key);
        }
        assert!(keyed.limiter.len() < SWEEP as usize, "{keyed:?}");
    }
}
