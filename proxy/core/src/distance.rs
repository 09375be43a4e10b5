//! How far clusters are from here: seeded by the great circle, then measured.
//!
//! Preferences that name nobody go by this: nearest first. The order is part of what is compiled, so that plans only read
//! it; the tick tells when a measurement has moved far enough, and for long enough, that it should be compiled anew.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::time::Nanos;

/// How much a round trip counts against the average so far.
const SMOOTHING: f64 = 0.2;

/// A measurement that differs by less from what is in use, in milliseconds and as a part of it, changes nothing.
pub const NEAR: (f64, f64) = (10.0, 0.2);

/// How long it must differ.
const FOR: Duration = Duration::from_secs(30);

/// The distance of one cluster, as round trips measure it.
#[derive(Debug)]
pub struct DistanceCell {
    /// Milliseconds, as bits; not a number until the first measurement.
    measured: AtomicU64,
    /// What is in use.
    settled: AtomicU64,
    /// Since when the two have differed; the maximum while they do not.
    differs_since: AtomicU64,
}

impl DistanceCell {
    /// A cluster that is assumed to be so many milliseconds away.
    pub(crate) fn new(seed: f64) -> Self {
        Self {
            measured: AtomicU64::new(f64::NAN.to_bits()),
            settled: AtomicU64::new(seed.to_bits()),
            differs_since: AtomicU64::new(u64::MAX),
        }
    }

    /// A round trip took so long: that of a ping, or the making of a connection.
    pub fn observe(&self, took: Duration) {
        let (old, new) = (f64::from_bits(self.measured.load(Relaxed)), took.as_secs_f64() * 1000.0);
        // What is much slower than usual waited in some queue; what is faster is nearer the truth.
        let average = if old.is_nan() || new < old { new } else { old + (new.min(2.0 * old + 1.0) - old) * SMOOTHING };
        self.measured.store(average.to_bits(), Relaxed);
    }

    /// What is in use, in milliseconds.
    pub fn settled_ms(&self) -> f64 {
        f64::from_bits(self.settled.load(Relaxed))
    }

    /// The average that was measured, in milliseconds.
    pub fn measured_ms(&self) -> Option<f64> {
        Some(f64::from_bits(self.measured.load(Relaxed))).filter(|ms| !ms.is_nan())
    }

    /// Puts the measurement in use if it has differed far enough for long enough; whether it did so now.
    pub(crate) fn settle(&self, now: Nanos) -> bool {
        let settled = self.settled_ms();
        let Some(measured) = self.measured_ms().filter(|measured| far(settled, *measured)) else {
            self.differs_since.store(u64::MAX, Relaxed);
            return false;
        };
        let since = match self.differs_since.load(Relaxed) {
            u64::MAX => {
                self.differs_since.store(now.0, Relaxed);
                now
            }
            since => Nanos(since),
        };
        let long = now.since(since) >= FOR;
        if long {
            self.settled.store(measured.to_bits(), Relaxed);
            self.differs_since.store(u64::MAX, Relaxed);
        }
        long
    }
}

fn far(settled: f64, measured: f64) -> bool {
    let (least, part) = NEAR;
    (settled - measured).abs() > least.max(settled * part)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp)]
    use super::*;

    fn at(seconds: u64) -> Nanos {
        Nanos(seconds * 1_000_000_000)
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_measurement_is_put_in_use_once_it_has_differed_for_half_a_minute() {
        let cell = DistanceCell::new(80.0);
        cell.observe(ms(200));
        assert!(!cell.settle(at(100)) && !cell.settle(at(129)));
        assert!(cell.settle(at(130)));
        assert_eq!(cell.settled_ms(), 200.0);
        assert!(!cell.settle(at(131)), "now they agree");
    }

    #[test]
    fn what_is_near_changes_nothing_and_what_comes_and_goes_neither() {
        let cell = DistanceCell::new(80.0);
        for (second, took) in [(0, 89), (20, 71), (40, 95), (60, 80)] {
            cell.observe(ms(took));
            assert!(!cell.settle(at(second)));
        }
        let cell = DistanceCell::new(80.0);
        cell.observe(ms(150));
        assert!(!cell.settle(at(0)));
        cell.observe(ms(85));
        assert!(!cell.settle(at(20)));
        (0..50).for_each(|_| cell.observe(ms(150)));
        assert!(!cell.settle(at(40)), "the half minute begins anew");
    }

    #[test]
    fn one_slow_round_trip_is_a_queue_and_a_fast_one_is_the_truth() {
        let cell = DistanceCell::new(80.0);
        cell.observe(ms(100));
        cell.observe(ms(5000));
        assert!(cell.measured_ms().unwrap_or_default() < 125.0);
        cell.observe(ms(90));
        assert_eq!(cell.measured_ms(), Some(90.0));
    }
}
