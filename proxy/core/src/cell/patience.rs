//! How long an answer may take before something else is tried: learned from the answers themselves.
//!
//! A histogram with two buckets an octave, from 1 ms to half a minute. An answer costs it one addition; the tick reads the 99th
//! percentile and the 10th. It forgets by halving itself once it holds enough, so that a busy pool remembers seconds and a quiet
//! one what little it knows.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::RESPONSE_TIMEOUT;

const BUCKETS: usize = 32;

/// With fewer answers than this there are no percentiles to speak of.
const ENOUGH: u64 = 100;

/// Once it holds so many, everything counts half.
const FULL: u64 = 4000;

/// Of the 99th percentile; and the least and the most of it.
const TIMES: u32 = 20;
const TIMES_IN_SILENCE: u32 = 2;
const RANGE: (Duration, Duration) = (Duration::from_secs(1), RESPONSE_TIMEOUT);

/// While nothing is learned: what still leaves time for another try within the three seconds that people wait.
const UNLEARNED: Duration = Duration::from_secs(2);

/// The time that a try of an idempotent request is given.
#[derive(Debug)]
pub(super) struct Patience {
    /// Made for the first answer: most pools of a large fleet are quiet.
    answers: OnceLock<Box<[AtomicU32; BUCKETS]>>,
    /// How many there were when the tick looked last.
    known: AtomicU64,
    /// The 99th percentile, in nanoseconds; 0 until it is known.
    p99: AtomicU64,
    /// The 10th, likewise.
    p10: AtomicU64,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self { answers: OnceLock::new(), known: AtomicU64::new(0), p99: AtomicU64::new(0), p10: AtomicU64::new(0) }
    }

    pub(super) fn memory(&self) -> Vec<u32> {
        self.answers.get().map_or_else(Vec::new, |answers| answers.iter().map(|bucket| bucket.load(Relaxed)).collect())
    }

    /// Takes a histogram of the same buckets; the next look of the tick makes a time of it.
    pub(super) fn recall(&self, answers: &[u32]) {
        if answers.len() == BUCKETS {
            for (bucket, count) in self.buckets().iter().zip(answers) {
                bucket.store((*count).min(FULL as u32), Relaxed);
            }
        }
    }

    pub(super) fn observe(&self, took: Duration) {
        self.buckets()[bucket(took)].fetch_add(1, Relaxed);
    }

    fn buckets(&self) -> &[AtomicU32; BUCKETS] {
        self.answers.get_or_init(Box::default)
    }

    /// By what the tick found last.
    pub(super) fn now(&self) -> Duration {
        self.times(TIMES)
    }

    /// Where nothing at all is heard of the endpoint meanwhile.
    pub(super) fn in_silence(&self) -> Duration {
        self.times(TIMES_IN_SILENCE)
    }

    /// What hardly any answer takes less than: the way there and back, mostly. Zero until it is known.
    pub(super) fn least(&self) -> Duration {
        Duration::from_nanos(self.p10.load(Relaxed))
    }

    fn times(&self, times: u32) -> Duration {
        let (least, most) = RANGE;
        match self.p99.load(Relaxed) {
            0 => UNLEARNED,
            p99 => (Duration::from_nanos(p99) * times).clamp(least, most),
        }
    }

    /// Reads the histogram, and tells how many answers came since the last time. Only the tick calls this: two halvings at
    /// once would quarter it.
    pub(super) fn learn(&self) -> u64 {
        let Some(answers) = self.answers.get() else { return 0 };
        let counts: [u64; BUCKETS] = std::array::from_fn(|i| u64::from(answers[i].load(Relaxed)));
        let total: u64 = counts.iter().sum();
        let new = total.saturating_sub(self.known.load(Relaxed));
        if new == 0 {
            return 0;
        }
        if total >= ENOUGH {
            self.p99.store(percentile(&counts, total - total / 100).as_nanos() as u64, Relaxed);
            self.p10.store(percentile(&counts, total / 10).as_nanos() as u64, Relaxed);
        }
        let mut kept = total;
        if total >= FULL {
            for (bucket, count) in answers.iter().zip(counts) {
                // Answers that came meanwhile stay.
                bucket.fetch_sub((count - count / 2) as u32, Relaxed);
                kept -= count - count / 2;
            }
        }
        self.known.store(kept, Relaxed);
        new
    }
}

/// What the answer of this rank took, as the upper end of its bucket.
fn percentile(counts: &[u64; BUCKETS], rank: u64) -> Duration {
    let mut seen = 0;
    let found = counts.iter().position(|count| {
        seen += count;
        seen >= rank
    });
    Duration::from_secs_f64(upper(found.unwrap_or(BUCKETS - 1)))
}

/// The bucket whose upper end is the first that is not below `took`.
fn bucket(took: Duration) -> usize {
    let halves = 2.0 * (took.as_secs_f64() * 1000.0).max(1.0).log2();
    (halves.ceil() as usize).min(BUCKETS - 1)
}

/// In seconds.
fn upper(bucket: usize) -> f64 {
    (bucket as f64 / 2.0).exp2() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn learned(answers: impl IntoIterator<Item = (u64, Duration)>) -> Duration {
        let patience = Patience::new();
        for (count, took) in answers {
            (0..count).for_each(|_| patience.observe(took));
        }
        patience.learn();
        patience.now()
    }

    #[test]
    fn patience_is_twenty_times_the_slowest_hundredth_between_one_second_and_fifteen() {
        assert_eq!(learned([(1000, ms(3))]), ms(1000));
        assert_eq!(learned([(1000, ms(5000))]), ms(15_000));
        let between = learned([(980, ms(3)), (20, ms(128))]);
        assert_eq!(between, ms(2560));
    }

    #[test]
    fn a_few_slow_answers_of_many_change_nothing() {
        assert_eq!(learned([(1995, ms(3)), (5, ms(10_000))]), ms(1000));
    }

    #[test]
    fn nothing_is_concluded_from_a_few() {
        assert_eq!(learned([(99, ms(1))]), UNLEARNED);
    }

    #[test]
    fn the_way_is_what_the_fastest_tenth_took() {
        let patience = Patience::new();
        assert_eq!(patience.least(), Duration::ZERO);
        for (count, took) in [(150, ms(64)), (850, ms(1000))] {
            (0..count).for_each(|_| patience.observe(took));
        }
        patience.learn();
        assert_eq!(patience.least(), ms(64));
    }

    #[test]
    fn what_is_long_past_is_forgotten() {
        let patience = Patience::new();
        (0..FULL).for_each(|_| patience.observe(ms(9000)));
        patience.learn();
        assert_eq!(patience.now(), ms(15_000));
        for _ in 0..20 {
            (0..FULL).for_each(|_| patience.observe(ms(3)));
            patience.learn();
        }
        assert_eq!(patience.now(), ms(1000));
    }

    #[test]
    fn every_latency_has_a_bucket() {
        for (took, expected) in [(0, 0), (1, 0), (2, 2), (3, 4), (4, 4), (1_000_000, BUCKETS - 1)] {
            assert_eq!(bucket(ms(took)), expected, "{took}");
        }
    }
}
