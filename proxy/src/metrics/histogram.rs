//! A latency histogram without a lock.
//!
//! prometheus-client's own takes a write lock for each observation, which on a busy route is a queue that every worker
//! stands in. Here an observation is two additions. A scrape may catch it between the two; the next one is right.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds in seconds: from a cache hit next door, over a round trip between continents, to the default timeout
/// and beyond.
const BOUNDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Counts of durations by bucket.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    /// Nanoseconds; overflows after five centuries of waiting.
    sum: AtomicU64,
}

/// What a histogram held at one moment, in the form that the encoder takes.
pub(super) struct Observed {
    pub(super) sum: f64,
    pub(super) count: u64,
    /// Upper bound in seconds (`f64::MAX` for infinity), observations in this bucket alone.
    pub(super) buckets: Vec<(f64, u64)>,
}

impl Latencies {
    pub(super) fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(duration.as_nanos() as u64, Relaxed);
    }

    pub(super) fn observed(&self) -> Observed {
        let bounds = BOUNDS.into_iter().chain([f64::MAX]);
        let buckets: Vec<_> = bounds.zip(self.buckets.iter().map(|count| count.load(Relaxed))).collect();
        Observed {
            sum: Duration::from_nanos(self.sum.load(Relaxed)).as_secs_f64(),
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let latencies = Latencies::default();
        for millis in [0, 1, 2, 30_000, 30_001] {
            latencies.observe(Duration::from_millis(millis));
        }
        let observed = latencies.observed();
        let filled: Vec<_> = observed.buckets.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.001, 2), (0.0025, 1), (30.0, 1), (f64::MAX, 1)]);
        assert_eq!(observed.count, 5);
        assert!((observed.sum - 60.004).abs() < 1e-9);
    }
}
