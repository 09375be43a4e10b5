//! What is known of one cluster as a server of one pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::average::Average;
use super::memory::ClusterMemory;
use super::patience::Patience;
use super::{DARK, DECAY, HOLD_DOWN, NEVER, RECOVERY};
use crate::learned::Shift;
use crate::pulse::Pulse;
use crate::time::Nanos;

/// How long who owes answers may say nothing: at least this; and so many times what the way takes, and so many times what is taken
/// there. A pod may take ten times as long as usual, an ocean may not.
pub(super) const SILENCE: Duration = Duration::from_millis(250);
const WAYS: f64 = 2.0;
const USUALS: f64 = 10.0;

/// Tries in a row without any answer, at whichever of its endpoints, after which there is nobody in a cluster.
const GONE_AFTER: u32 = 20;

/// The part of its capacity while it is on probation: enough that a quiet pool finds out soon too.
const PROBATION: f64 = 0.05;

/// While a cluster is on probation it gets one request in this time, until one is answered.
const PROBE: Duration = Duration::from_secs(1);

/// What is known of one cluster as a server of one pool.
#[derive(Debug)]
pub struct ClusterCell {
    latency: Average,
    patience: Patience,
    weight: AtomicU64,
    weighed_at: AtomicU64,
    /// Whether it could serve once.
    was_there: AtomicBool,
    down: AtomicBool,
    recovering_since: AtomicU64,
    dark_until: AtomicU64,
    darkened: AtomicU32,
    quiet_until: AtomicU64,
    /// The part of its capacity that shares are made of; not a number before the first tick. And when it came or went last.
    open: AtomicU64,
    turned_at: AtomicU64,
    /// The last answer of any of its endpoints.
    answered_at: AtomicU64,
    /// Tries in a row, at whichever endpoint, that had no answer at all.
    unanswered: AtomicU32,
    /// Whether it was left alone or has fallen silent, and nothing has proved since that it serves again.
    probation: AtomicBool,
    probed_at: AtomicU64,
    probe_failed: AtomicBool,
    in_flight: AtomicU32,
    /// Of the edge that judges it.
    pulse: Arc<Pulse>,
    /// Whether something was begun or learned since the last tick.
    touched: AtomicBool,
}

/// Why a cluster gets nothing new for a pool although it has endpoints that are ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Closed {
    /// Nothing in it answered, or too little: it is left alone, then tried again.
    Dark,
    /// It owes answers for too long, and nothing came from any of its endpoints.
    Silent,
    /// It was left alone or silent, and a request is finding out whether it serves again.
    Probed,
}

impl ClusterCell {
    /// A cell for a cluster that nothing is known of, of an edge that is never late; `seed` stands in for its latency.
    pub fn new(seed: Duration) -> Self {
        Self::judged_by(&Arc::default(), seed)
    }

    /// As [`new`](Self::new), of an edge with this pulse.
    pub(crate) fn judged_by(pulse: &Arc<Pulse>, seed: Duration) -> Self {
        Self {
            pulse: Arc::clone(pulse),
            latency: Average::new(seed),
            patience: Patience::new(),
            weight: AtomicU64::new(0),
            weighed_at: AtomicU64::new(0),
            was_there: AtomicBool::new(false),
            down: AtomicBool::new(false),
            recovering_since: AtomicU64::new(NEVER),
            dark_until: AtomicU64::new(0),
            darkened: AtomicU32::new(0),
            quiet_until: AtomicU64::new(0),
            open: AtomicU64::new(f64::NAN.to_bits()),
            turned_at: AtomicU64::new(NEVER),
            answered_at: AtomicU64::new(0),
            unanswered: AtomicU32::new(0),
            probation: AtomicBool::new(false),
            probed_at: AtomicU64::new(0),
            probe_failed: AtomicBool::new(false),
            in_flight: AtomicU32::new(0),
            touched: AtomicBool::new(false),
        }
    }

    /// Writes it down.
    pub(crate) fn memory(&self) -> ClusterMemory {
        ClusterMemory {
            latency: self.latency.memory(),
            answers: self.patience.memory(),
            down: self.down.load(Relaxed),
            recovering_since: self.recovering_since.load(Relaxed),
            dark_until: self.dark_until.load(Relaxed),
            darkened: self.darkened.load(Relaxed),
        }
    }

    /// Takes what was written down. The weight follows from it by itself.
    pub(crate) fn recall(&self, memory: &ClusterMemory, shift: Shift) {
        self.latency.recall(memory.latency, shift);
        self.patience.recall(&memory.answers);
        self.down.store(memory.down, Relaxed);
        self.recovering_since.store(shift.moment(memory.recovering_since), Relaxed);
        self.dark_until.store(shift.moment(memory.dark_until), Relaxed);
        self.darkened.store(memory.darkened, Relaxed);
        self.touched.store(true, Relaxed);
    }

    /// Requests of the pool on their way to the cluster, or there.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    pub(super) fn end(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// EWMA of the time to response headers from here, in seconds.
    pub fn latency(&self, now: Nanos) -> f64 {
        self.latency.at(now)
    }

    /// How long a try of an idempotent request is waited for while another endpoint could be tried instead: 20 times the 99th
    /// percentile of this pool's answers from here, between 1 s and 15 s.
    pub fn patience(&self) -> Duration {
        self.patience.now()
    }

    /// The same where nothing at all comes from the endpoint meanwhile: twice the 99th percentile.
    pub(crate) fn patience_in_silence(&self) -> Duration {
        self.patience.in_silence()
    }

    /// How long may nothing be heard of an endpoint here whose answers take `average` seconds.
    pub(super) fn silence(&self, average: f64) -> Duration {
        // What every answer takes may be the application's own time; the distance that was assumed is the limit of what it can be
        // the way's.
        let way = self.patience.least().as_secs_f64().min(self.latency.seed());
        SILENCE.max(Duration::from_secs_f64(WAYS * way + USUALS * (average - way).max(0.0)))
    }

    /// How long nothing was heard since `then`, as far as this edge itself could hear.
    pub(crate) fn quiet(&self, then: Nanos, now: Nanos) -> Duration {
        now.since(then.max(self.pulse.awake_since(now)))
    }

    /// Brings [`patience`](Self::patience) up to date; how many answers came since the last time.
    pub(crate) fn learn(&self) -> u64 {
        self.patience.learn()
    }

    /// Moves the weight towards `target` by the time since it moved last (time constant [`DECAY`]) and returns it: one slow
    /// answer must not swing the traffic of a continent. The first weight is taken as it is.
    pub(crate) fn smooth_weight(&self, target: f64, now: Nanos) -> f64 {
        let old = f64::from_bits(self.weight.load(Relaxed));
        let new = if old <= 0.0 || target <= 0.0 {
            target
        } else {
            let elapsed = now.since(Nanos(self.weighed_at.load(Relaxed))).as_secs_f64();
            target + (old - target) * (-elapsed / DECAY.as_secs_f64()).exp()
        };
        self.weight.store(new.to_bits(), Relaxed);
        self.weighed_at.store(now.0, Relaxed);
        new
    }

    /// Notes whether the cluster can serve at all, and returns which part of its capacity may be used now: all of it, or less
    /// while it recovers. A cluster that was never seen down begins with all of it.
    ///
    /// Who goes down is left alone for [`DARK`], longer each time until a recovery has been completed: a link that
    /// flaps must not take a cluster's traffic with it each time.
    pub(crate) fn note_capacity(&self, any_ready: bool, now: Nanos) -> f64 {
        if !any_ready {
            // Whether there are pods that are not ready, or none at all, makes no difference: what was there is gone.
            if self.was_there.load(Relaxed) && !self.down.swap(true, Relaxed) && !self.dark(now) {
                self.darken(now);
            }
            self.recovering_since.store(NEVER, Relaxed);
            return 0.0;
        }
        self.was_there.store(true, Relaxed);
        if self.dark(now) {
            return 0.0;
        }
        if self.probation.load(Relaxed) {
            return PROBATION;
        }
        if self.down.swap(false, Relaxed) {
            self.recovering_since.store(now.0, Relaxed);
        }
        match self.recovering_since.load(Relaxed) {
            NEVER => 1.0,
            since => {
                let (duration, begin) = RECOVERY;
                let done = now.since(Nanos(since)).as_secs_f64() / duration.as_secs_f64();
                if done >= 1.0 {
                    self.recovering_since.store(NEVER, Relaxed);
                    self.darkened.store(0, Relaxed);
                }
                (begin + (1.0 - begin) * done).min(1.0)
            }
        }
    }

    /// The part of its capacity that shares are made of: `ramp`, or nothing while it is closed. Who has just come or gone stays so for
    /// [`HOLD_DOWN`], lest shares swing to and fro: choosing passes over who is closed, whatever its share. A probe is no coming.
    pub(crate) fn open(&self, ramp: f64, now: Nanos) -> f64 {
        let before = f64::from_bits(self.open.load(Relaxed));
        let wanted = if self.closed(now).is_none() { ramp } else { 0.0 };
        let turns = |from: f64, to: f64| from <= PROBATION && to > PROBATION;
        let held = self.held(now);
        let (comes, goes) = (turns(before, wanted), turns(wanted, before));
        let open = if held && (comes || goes) { before } else { wanted };
        if !held && (comes || goes) {
            self.turned_at.store(now.0, Relaxed);
        }
        self.open.store(open.to_bits(), Relaxed);
        open
    }

    /// Whether it has come or gone so recently that it may do neither.
    fn held(&self, now: Nanos) -> bool {
        let turned = self.turned_at.load(Relaxed);
        turned != NEVER && now.since(Nanos(turned)) < HOLD_DOWN
    }

    /// Whether the cluster is left alone since nothing in it answered.
    pub fn dark(&self, now: Nanos) -> bool {
        self.dark_until.load(Relaxed) > now.0
    }

    /// Why it gets nothing new, if it does not.
    pub fn closed(&self, now: Nanos) -> Option<Closed> {
        if self.dark(now) {
            Some(Closed::Dark)
        } else if self.hushed(now) {
            Some(Closed::Silent)
        } else if self.probation.load(Relaxed) && now.since(Nanos(self.probed_at.load(Relaxed))) < PROBE {
            Some(Closed::Probed)
        } else {
            None
        }
    }

    /// The part of its capacity that is used while it recovers.
    pub fn recovering(&self, now: Nanos) -> Option<f64> {
        match self.recovering_since.load(Relaxed) {
            NEVER => None,
            since => {
                let (duration, begin) = RECOVERY;
                let done = now.since(Nanos(since)).as_secs_f64() / duration.as_secs_f64();
                Some((begin + (1.0 - begin) * done).min(1.0))
            }
        }
    }

    /// Nothing in it answers: leaves it alone for a while, longer each time that this happens without a recovery in between.
    pub(crate) fn darken(&self, now: Nanos) {
        let (base, max) = DARK;
        let times = self.darkened.fetch_add(1, Relaxed).saturating_add(1);
        self.touch();
        self.down.store(true, Relaxed);
        self.probation.store(true, Relaxed);
        self.probe_failed.store(false, Relaxed);
        self.unanswered.store(0, Relaxed);
        self.recovering_since.store(NEVER, Relaxed);
        self.dark_until.store(now.after((base * times).min(max)).0, Relaxed);
    }

    /// All of its endpoints are silent: it gets nothing new for a while. Who was only slow answers meanwhile, and comes back without a
    /// ramp; who says nothing even then is on probation.
    pub(crate) fn hush(&self, now: Nanos) {
        self.quiet_until.store(now.after(HOLD_DOWN).0, Relaxed);
        self.probation.store(true, Relaxed);
    }

    fn hushed(&self, now: Nanos) -> bool {
        self.quiet_until.load(Relaxed) > now.0
    }

    /// Whether something was begun or learned since this was asked last.
    pub(crate) fn take_touched(&self) -> bool {
        self.touched.load(Relaxed) && self.touched.swap(false, Relaxed)
    }

    /// Whether time alone would change what a tick makes of it.
    pub(crate) fn unsettled(&self, now: Nanos) -> bool {
        let held = self.held(now);
        held || self.recovering_since.load(Relaxed) != NEVER || self.closed(now).is_some() || self.probation.load(Relaxed)
    }

    /// The last answer of any of its endpoints.
    pub(crate) fn answered_at(&self) -> Nanos {
        Nanos(self.answered_at.load(Relaxed))
    }

    /// Whether so many tries in a row had no answer, at whichever endpoint, that there is nobody; or the one that was to find
    /// out failed.
    pub(crate) fn gone(&self) -> bool {
        self.unanswered.load(Relaxed) >= GONE_AFTER || self.probe_failed.load(Relaxed)
    }

    pub(super) fn begin(&self, now: Nanos) {
        self.in_flight.fetch_add(1, Relaxed);
        self.touch();
        if self.probation.load(Relaxed) {
            self.probed_at.store(now.0, Relaxed);
        }
    }

    /// Something came; `served`: and it was not a gateway's failure.
    pub(super) fn answer(&self, served: bool, now: Nanos) {
        self.touch();
        self.answered_at.store(now.0, Relaxed);
        if self.unanswered.load(Relaxed) > 0 {
            self.unanswered.store(0, Relaxed);
        }
        if self.probation.load(Relaxed) {
            if served && !self.dark(now) {
                self.probation.store(false, Relaxed);
            } else if !self.hushed(now) {
                self.probe_failed.store(!served, Relaxed);
            }
        }
    }

    pub(super) fn no_answer(&self, now: Nanos) {
        self.touch();
        self.unanswered.fetch_add(1, Relaxed);
        // What went there before it was silent is no probe.
        if self.probation.load(Relaxed) && !self.hushed(now) {
            self.probe_failed.store(true, Relaxed);
        }
    }

    pub(crate) fn touch(&self) {
        if !self.touched.load(Relaxed) {
            self.touched.store(true, Relaxed);
        }
    }

    pub(super) fn observe(&self, took: Duration, now: Nanos) {
        self.latency.observe(took, now, false);
    }

    pub(super) fn observe_exchange(&self, took: Duration) {
        self.patience.observe(took);
    }
}
