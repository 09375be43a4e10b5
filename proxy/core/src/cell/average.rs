//! An average that forgets with time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::DECAY;
use super::memory::AverageMemory;
use crate::learned::Shift;
use crate::time::Nanos;

/// An average of latencies in seconds that forgets with time, not with the number of observations.
#[derive(Debug)]
pub(super) struct Average {
    seconds: AtomicU64,
    stamp: AtomicU64,
    seed: f64,
}

impl Average {
    pub(super) fn new(seed: Duration) -> Self {
        let seed = seed.as_secs_f64();
        Self { seconds: AtomicU64::new(seed.to_bits()), stamp: AtomicU64::new(0), seed }
    }

    /// What stood in for it at first, in seconds.
    pub(super) fn seed(&self) -> f64 {
        self.seed
    }

    pub(super) fn memory(&self) -> AverageMemory {
        AverageMemory { seconds: f64::from_bits(self.seconds.load(Relaxed)), stamp: self.stamp.load(Relaxed) }
    }

    /// Takes what was written down, if it can be.
    pub(super) fn recall(&self, memory: AverageMemory, shift: Shift) {
        if memory.seconds.is_finite() && memory.seconds >= 0.0 {
            self.seconds.store(memory.seconds.to_bits(), Relaxed);
            self.stamp.store(shift.moment(memory.stamp), Relaxed);
        }
    }

    fn remembered(&self, now: Nanos) -> f64 {
        let idle = now.since(Nanos(self.stamp.load(Relaxed)));
        (-idle.as_secs_f64() / DECAY.as_secs_f64()).exp()
    }

    /// Moves towards `observed`. With `peak`, a worse observation is believed at once (Finagle's peak EWMA): a spike is
    /// felt by the next request, and forgiven slowly.
    pub(super) fn observe(&self, observed: Duration, now: Nanos, peak: bool) {
        let observed = observed.as_secs_f64();
        let new = if peak && observed > self.at(now) {
            observed
        } else {
            // From what it was, and not from what is left of it by now (`at`): it would fade twice.
            let (old, keep) = (f64::from_bits(self.seconds.load(Relaxed)), self.remembered(now));
            old * keep + observed * (1.0 - keep)
        };
        self.seconds.store(new.to_bits(), Relaxed);
        self.stamp.store(now.0, Relaxed);
    }

    /// Seconds. What lies above the seed fades while nothing is observed, so that a bad time is not held against an
    /// endpoint for ever; what lies below stays, so that idleness never looks like speed.
    pub(super) fn at(&self, now: Nanos) -> f64 {
        let seconds = f64::from_bits(self.seconds.load(Relaxed));
        if seconds > self.seed { self.seed + (seconds - self.seed) * self.remembered(now) } else { seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: f64) -> Nanos {
        Nanos(1_000_000_000).after(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn what_is_slower_than_was_thought_is_known_for_as_slow_as_it_is() {
        for peak in [false, true] {
            let (average, truth) = (Average::new(Duration::from_millis(30)), Duration::from_millis(400));
            for n in 0..1000 {
                average.observe(truth, after(f64::from(n) / 10.0), peak);
            }
            let (learned, truth) = (average.at(after(99.9)), truth.as_secs_f64());
            assert!((learned - truth).abs() < 0.01, "{learned}");
        }
    }

    #[test]
    fn a_bad_time_fades_once() {
        let average = Average::new(Duration::from_millis(30));
        average.observe(Duration::from_secs(1), after(0.0), true);
        let idle = average.at(after(10.0));
        average.observe(Duration::from_millis(30), after(10.0), true);
        assert!((average.at(after(10.0)) - idle).abs() < 1e-9, "as a good answer and as idleness alike");
    }
}
