//! Whether this edge itself was late.
//!
//! An edge that gets no processor for a third of a second hears nothing of anybody meanwhile, and then everybody looks silent at once:
//! its own pods first, since nobody is asked more often. So the threads that serve requests beat, and where a beat is missing
//! nobody's silence counts: it begins anew when they run again, since what came meanwhile has not been read yet.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::time::Nanos;

/// How often to beat.
pub const PERIOD: Duration = Duration::from_millis(50);

/// So long without a beat, and the edge is late.
const LATE: Duration = Duration::from_millis(100);

/// The beats of one edge. As long as nobody beats it is never late.
#[derive(Debug, Default)]
pub struct Pulse {
    /// The last one.
    beat: AtomicU64,
    /// The last one that was late.
    woke: AtomicU64,
}

impl Pulse {
    /// The threads that serve requests run.
    pub fn beat(&self, now: Nanos) {
        if self.late(now) {
            self.woke.store(now.0, Relaxed);
        }
        self.beat.store(now.0, Relaxed);
    }

    /// Since when they have been running without a gap: silence that began before counts from then on.
    pub fn awake_since(&self, now: Nanos) -> Nanos {
        if self.late(now) { now } else { Nanos(self.woke.load(Relaxed)) }
    }

    fn late(&self, now: Nanos) -> bool {
        let beat = self.beat.load(Relaxed);
        beat > 0 && now.since(Nanos(beat)) > LATE
    }
}
