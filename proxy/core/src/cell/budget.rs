//! The retry budget of a pool: a fifth of what it answered lately, and ten a second besides.
//!
//! Retries multiply the load on backends that are failing under it already. The budget is the pool's own: a pool that
//! fails must not use up what another one would need, and the backends that a retry burdens are this pool's. Tries that
//! found no connection, or were refused, are free: nothing was asked of anybody.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::time::Nanos;

/// Retries for each answer.
const PART: f64 = 0.2;

/// Retries for each second, whatever was answered: a quiet pool may retry too.
const PER_SECOND: f64 = 10.0;

/// How long what was not spent can still be: a fault begins with a burst of failures, for which one second's worth is
/// too little.
const WINDOW: Duration = Duration::from_secs(10);

/// What may be spent.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    /// In thousandths of a retry.
    milli: AtomicI64,
    stamp: AtomicU64,
}

impl RetryBudget {
    pub(crate) fn new() -> Self {
        let begin = PER_SECOND * WINDOW.as_secs_f64() * 1000.0;
        Self { milli: AtomicI64::new(begin as i64), stamp: AtomicU64::new(0) }
    }

    /// Whether a retry could be paid for.
    pub(crate) fn left(&self) -> bool {
        self.milli.load(Relaxed) >= 1000
    }

    /// Pays for a retry, if there is enough.
    pub(crate) fn spend(&self) -> bool {
        self.milli.fetch_update(Relaxed, Relaxed, |left| (left >= 1000).then(|| left - 1000)).is_ok()
    }

    /// Takes in what was earned since the last time, and lets what is older than the window go. Only the tick calls this.
    pub(crate) fn earn(&self, answers: u64, now: Nanos) {
        let stamp = Nanos(self.stamp.swap(now.0, Relaxed));
        // A pool that rested for longer than the window has what a quiet pool has.
        let elapsed = now.since(stamp).min(WINDOW * 10).as_secs_f64();
        let window = WINDOW.as_secs_f64();
        let keep = (-elapsed / window).exp();
        let quiet = PER_SECOND * window * 1000.0;
        let earned = PART * answers as f64 * 1000.0;
        // Spending goes on meanwhile, so that what is added is a difference.
        let old = self.milli.load(Relaxed);
        let new = quiet + (old as f64 - quiet) * keep + earned;
        self.milli.fetch_add(new as i64 - old, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spendable(budget: &RetryBudget) -> usize {
        std::iter::repeat_with(|| budget.spend()).take_while(|spent| *spent).count()
    }

    fn at(milliseconds: u64) -> Nanos {
        Nanos(milliseconds * 1_000_000)
    }

    #[test]
    fn a_quiet_pool_may_retry_ten_times_a_second() {
        let budget = RetryBudget::new();
        budget.earn(0, at(1000));
        assert_eq!(spendable(&budget), 100, "what ten seconds brought");
        budget.earn(0, at(2000));
        let after_a_second = spendable(&budget);
        assert!((9..=10).contains(&after_a_second), "{after_a_second}");
    }

    #[test]
    fn a_busy_pool_may_retry_a_fifth_of_its_answers() {
        let budget = RetryBudget::new();
        for tick in 0..1000 {
            budget.earn(20, at(tick * 100));
        }
        let found = spendable(&budget);
        assert!((480..=510).contains(&found), "a fifth of 2,000, and 100: {found}");
        assert!(!budget.left());
    }
}
