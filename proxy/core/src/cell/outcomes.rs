//! How the requests of the last ten seconds ended.
//!
//! A ring of two-second buckets, each one word: when it is from, and how many of each kind. Whoever counts first in a new
//! two seconds empties the bucket by the same compare-and-swap, so that nobody has to come by and sweep.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::time::Nanos;

const BUCKETS: u64 = 5;
const BUCKET_NANOS: u64 = 2_000_000_000;

/// Each kind's counter has so many bits, and stays at its maximum.
const BITS: u32 = 16;
const MASK: u64 = (1 << BITS) - 1;

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// An answer below 500.
    Good = 0,
    /// No answer, or 502, 503, 504: the gateway's own failures.
    Gateway = 1,
    /// Another 5xx: the application's.
    Error = 2,
}

/// How many tries of the last ten seconds ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Answers below 500.
    pub(crate) good: u64,
    /// No answer, or 502, 503, 504.
    pub(crate) gateway: u64,
    /// Other 5xx.
    pub(crate) error: u64,
}

impl Tally {
    /// All of them.
    pub(crate) fn total(self) -> u64 {
        self.good + self.gateway + self.error
    }

    /// What is left without a part of it.
    pub(crate) fn without(self, part: Self) -> Self {
        Self {
            good: self.good.saturating_sub(part.good),
            gateway: self.gateway.saturating_sub(part.gateway),
            error: self.error.saturating_sub(part.error),
        }
    }

    /// The part that is good, 1 where there was nothing.
    pub(crate) fn success(self) -> f64 {
        ratio(self.good, self.total())
    }

    /// The part that the application answered, whatever it said.
    pub(crate) fn answered(self) -> f64 {
        ratio(self.good + self.error, self.total())
    }
}

impl std::ops::Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { good: self.good + other.good, gateway: self.gateway + other.gateway, error: self.error + other.error }
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

/// The ring.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    buckets: [AtomicU64; BUCKETS as usize],
}

/// Which two seconds these are, in as many bits as a bucket has for it; never 0, which is an empty bucket's.
fn period(now: Nanos) -> u64 {
    (now.0 / BUCKET_NANOS) % MASK + 1
}

impl Outcomes {
    pub(super) fn count(&self, outcome: Outcome, now: Nanos) {
        let (period, shift) = (period(now), BITS * outcome as u32);
        let bucket = &self.buckets[(now.0 / BUCKET_NANOS % BUCKETS) as usize];
        let counted = |old: u64| {
            let old = if old >> (3 * BITS) == period { old } else { period << (3 * BITS) };
            if (old >> shift) & MASK == MASK { old } else { old + (1 << shift) }
        };
        // It always stores something, and hence never fails.
        let _ = bucket.fetch_update(Relaxed, Relaxed, |old| Some(counted(old)));
    }

    pub(super) fn tally(&self, now: Nanos) -> Tally {
        let now = period(now);
        let recent = |word: u64| {
            let from = word >> (3 * BITS);
            // Periods count from 1 to MASK and begin anew.
            from != 0 && (now + MASK - from) % MASK < BUCKETS
        };
        let part = |word: u64, outcome: Outcome| (word >> (BITS * outcome as u32)) & MASK;
        self.buckets
            .iter()
            .map(|bucket| bucket.load(Relaxed))
            .filter(|&word| recent(word))
            .map(|word| Tally {
                good: part(word, Outcome::Good),
                gateway: part(word, Outcome::Gateway),
                error: part(word, Outcome::Error),
            })
            .fold(Tally::default(), std::ops::Add::add)
    }

    pub(super) fn clear(&self) {
        self.buckets.iter().for_each(|bucket| bucket.store(0, Relaxed));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp)]
    use super::*;

    fn at(seconds: u64) -> Nanos {
        Nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn ten_seconds_are_remembered_and_no_more() {
        let outcomes = Outcomes::default();
        for second in 100..110 {
            outcomes.count(Outcome::Good, at(second));
            outcomes.count(Outcome::Gateway, at(second));
        }
        outcomes.count(Outcome::Error, at(109));
        assert_eq!(outcomes.tally(at(109)), Tally { good: 10, gateway: 10, error: 1 });
        assert_eq!(outcomes.tally(at(112)), Tally { good: 6, gateway: 6, error: 1 });
        assert_eq!(outcomes.tally(at(120)), Tally::default());
        assert_eq!(outcomes.tally(at(120)).success(), 1.0, "of nothing, nothing failed");
    }

    #[test]
    fn a_counter_that_is_full_stays_full() {
        let outcomes = Outcomes::default();
        for _ in 0..70_000 {
            outcomes.count(Outcome::Gateway, at(1));
        }
        outcomes.count(Outcome::Good, at(1));
        assert_eq!(outcomes.tally(at(1)), Tally { good: 1, gateway: MASK, error: 0 });
    }
}
