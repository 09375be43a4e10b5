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
        let old = self.at(now);
        let new = if peak && observed > old {
            observed
        } else {
            let keep = self.remembered(now);
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
