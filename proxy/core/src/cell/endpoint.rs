//! What is known of one endpoint.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::time::Duration;

use super::average::Average;
use super::checked::Checked;
use super::cluster::SILENCE;
use super::memory::EndpointMemory;
use super::outcomes::{Outcome, Outcomes, Tally};
use super::{ClusterCell, EJECT_AFTER, FAILURE_PENALTY, NEVER, SLOW_START, STARTING};
use crate::learned::Shift;
use crate::time::Nanos;

/// With how many requests on their way. One alone proves nothing: it may be slow itself, and where an endpoint has no
/// siblings the next requests would go to another cloud for it.
const SILENCE_OF: u32 = 2;

/// Tries without an answer in a row after which an endpoint gets one request at a time until it answers one: its silence
/// needs no more proof.
const DISTRUST_AFTER: u32 = 2;

/// What is known of one endpoint: a pod of some cluster, by its uid and port.
#[derive(Debug)]
pub struct EndpointCell {
    /// What choosing goes by: failures count as slow.
    latency: Average,
    /// Of answers alone: what silence is measured against.
    answers: Average,
    in_flight: AtomicU32,
    /// Those of them whose response header is awaited.
    awaited: AtomicU32,
    /// The last answer; or, where nothing was awaited then, when waiting began.
    quiet_since: AtomicU64,
    /// The last answer.
    answered_at: AtomicU64,
    /// Whether somebody is asking whether it still lives, and how often the answer was that it does.
    doubted: AtomicBool,
    vouched: AtomicU32,
    /// How often the answer was that it does not.
    condemned: AtomicU32,
    /// Tries in a row that had no answer at all.
    unanswered: AtomicU32,
    outcomes: Outcomes,
    checked: Checked,
    /// Whether no connection from here to it has been made so far, although one has to be before it gets requests.
    unreached: AtomicBool,
    consecutive_failures: AtomicU32,
    ejections: AtomicU32,
    ejected_until: AtomicU64,
    ready_since: AtomicU64,
    unready_since: AtomicU64,
    ready_once: AtomicBool,
}

impl EndpointCell {
    /// A cell for an endpoint that nothing is known of; `seed` stands in for its latency.
    pub fn new(seed: Duration) -> Self {
        Self {
            latency: Average::new(seed),
            answers: Average::new(seed),
            in_flight: AtomicU32::new(0),
            awaited: AtomicU32::new(0),
            quiet_since: AtomicU64::new(0),
            answered_at: AtomicU64::new(0),
            doubted: AtomicBool::new(false),
            vouched: AtomicU32::new(0),
            condemned: AtomicU32::new(0),
            unanswered: AtomicU32::new(0),
            outcomes: Outcomes::default(),
            checked: Checked::default(),
            unreached: AtomicBool::new(false),
            consecutive_failures: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            ready_since: AtomicU64::new(NEVER),
            unready_since: AtomicU64::new(NEVER),
            ready_once: AtomicBool::new(false),
        }
    }

    /// A cell for one that gets requests only after it was reached from here; see [`reach`](crate::reach).
    pub(crate) fn unproven(seed: Duration) -> Self {
        Self { unreached: AtomicBool::new(true), ..Self::new(seed) }
    }

    /// Writes it down.
    pub(crate) fn memory(&self) -> EndpointMemory {
        EndpointMemory {
            latency: self.latency.memory(),
            answers: self.answers.memory(),
            ejections: self.ejections.load(Relaxed),
            ejected_until: self.ejected_until.load(Relaxed),
            ready_since: self.ready_since.load(Relaxed),
            unready_since: self.unready_since.load(Relaxed),
            ready_once: self.ready_once.load(Relaxed),
        }
    }

    /// Takes what was written down.
    pub(crate) fn recall(&self, memory: &EndpointMemory, shift: Shift) {
        self.latency.recall(memory.latency, shift);
        self.answers.recall(memory.answers, shift);
        self.ejections.store(memory.ejections, Relaxed);
        self.ejected_until.store(shift.moment(memory.ejected_until), Relaxed);
        self.ready_since.store(shift.moment(memory.ready_since), Relaxed);
        self.unready_since.store(shift.moment(memory.unready_since), Relaxed);
        self.ready_once.store(memory.ready_once, Relaxed);
        // Nobody counts as ready before that.
        self.unreached.fetch_and(!memory.ready_once, Relaxed);
    }

    /// Peak EWMA of the time to response headers, in seconds.
    pub fn latency(&self, now: Nanos) -> f64 {
        self.latency.at(now)
    }

    /// Requests that are on their way now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// What it costs to send one more request here, in seconds: latency x (in-flight + 1) / slow start.
    pub fn cost(&self, now: Nanos) -> f64 {
        self.latency(now) * f64::from(self.in_flight() + 1) / self.slow_start(now)
    }

    /// Whether it gets no new requests for now: it owes answers for too long, or is being asked whether it lives. `cluster` is its own.
    pub fn silent(&self, cluster: &ClusterCell, now: Nanos) -> bool {
        self.doubted.load(Relaxed) || self.owes(cluster, now)
    }

    /// Whether it owes answers for too long. One that a single request asks after does not: that may be slow itself.
    pub(crate) fn owes(&self, cluster: &ClusterCell, now: Nanos) -> bool {
        // Pairs with `await_answer`: who sees that something is awaited sees since when.
        let awaited = self.awaited.load(Acquire);
        if awaited > 0 && self.unanswered.load(Relaxed) >= DISTRUST_AFTER {
            return true;
        }
        if awaited < SILENCE_OF {
            return false;
        }
        let quiet = cluster.quiet(self.quiet_since(), now);
        quiet > SILENCE && quiet > self.silence(cluster, now)
    }

    /// For how long it may say nothing.
    pub(crate) fn silence(&self, cluster: &ClusterCell, now: Nanos) -> Duration {
        cluster.silence(self.answers.at(now))
    }

    /// Requests whose response header is awaited.
    pub(crate) fn awaited(&self) -> u32 {
        self.awaited.load(Acquire)
    }

    /// The last answer; or, where nothing was awaited then, when waiting began.
    pub(crate) fn quiet_since(&self) -> Nanos {
        Nanos(self.quiet_since.load(Relaxed))
    }

    /// Whether it has answered anything at or after `then`.
    pub fn heard_since(&self, then: Nanos) -> bool {
        self.unanswered.load(Relaxed) == 0 && self.answered_at.load(Relaxed) > then.0
    }

    /// The last answer.
    pub(super) fn answered_at(&self) -> Nanos {
        Nanos(self.answered_at.load(Relaxed))
    }

    /// Begins to ask whether it still lives, unless somebody does already: one question at a time is enough for all that wait.
    pub(super) fn doubt(&self) -> bool {
        !self.doubted.swap(true, Relaxed)
    }

    /// The question has its answer: whether it lives.
    pub(super) fn settle(&self, lives: bool) {
        if lives {
            self.vouched.fetch_add(1, Relaxed);
        }
        self.doubted.store(false, Relaxed);
    }

    /// It was asked whether it lives, and did not answer.
    pub(super) fn condemn(&self) {
        self.condemned.fetch_add(1, Relaxed);
    }

    /// How often it was found not to live.
    pub(super) fn condemned(&self) -> u32 {
        self.condemned.load(Relaxed)
    }

    /// How often it was found to live.
    pub(super) fn vouched(&self) -> u32 {
        self.vouched.load(Relaxed)
    }

    /// Gateway failures since the last answer.
    pub fn consecutive_failures(&self) -> u32 {
        self.consecutive_failures.load(Relaxed)
    }

    /// Whether it is out of rotation for having failed: at requests, or at its health checks.
    pub fn ejected(&self, now: Nanos) -> bool {
        self.ejected_until.load(Relaxed) > now.0 || self.unhealthy()
    }

    /// Whether it fails its health checks.
    pub fn unhealthy(&self) -> bool {
        self.checked.unhealthy()
    }

    /// Whether it still has to be reached from here before it gets requests.
    pub fn unreached(&self) -> bool {
        self.unreached.load(Relaxed)
    }

    /// A connection to it could be made.
    pub(crate) fn note_reached(&self) {
        self.unreached.store(false, Relaxed);
    }

    /// Notes a health check; see [`Checked::note`]. Who is well again starts slowly, as who has become ready.
    pub(crate) fn note_check(&self, passed: bool, thresholds: (u32, u32), now: Nanos) -> bool {
        let turned = self.checked.note(passed, thresholds);
        if turned && passed {
            self.ready_since.store(now.0, Relaxed);
        }
        turned
    }

    /// Nobody checks it any more.
    pub(crate) fn forget_checks(&self) -> bool {
        self.checked.forget()
    }

    /// How the tries of the last ten seconds ended.
    pub(crate) fn tally(&self, now: Nanos) -> Tally {
        self.outcomes.tally(now)
    }

    /// Takes it out of rotation. `base` is multiplied by how often this has happened, up to `max`, and by `jitter`; as long as
    /// `max` without an ejection, and the counting begins anew.
    pub(crate) fn eject(&self, now: Nanos, (base, max): (Duration, Duration), jitter: f64) {
        if now.since(Nanos(self.ejected_until.load(Relaxed))) > max {
            self.ejections.store(0, Relaxed);
        }
        let times = self.ejections.fetch_add(1, Relaxed).saturating_add(1);
        self.ejected_until.store(now.after((base * times).min(max).mul_f64(jitter)).0, Relaxed);
        self.forgive();
    }

    /// Forgets failures: those of requests that were on their way when it was ejected say nothing new.
    pub(crate) fn forgive(&self) {
        self.consecutive_failures.store(0, Relaxed);
        self.outcomes.clear();
    }

    /// Whether it has failed often enough in a row to be ejected.
    pub(crate) fn failing(&self) -> bool {
        self.consecutive_failures() >= EJECT_AFTER
    }

    /// Notes what the cluster says of its readiness; called by every tick.
    pub(crate) fn note_readiness(&self, ready: bool, now: Nanos) {
        if ready {
            self.ready_once.store(true, Relaxed);
            self.unready_since.store(NEVER, Relaxed);
            let _ = self.ready_since.compare_exchange(NEVER, now.0, Relaxed, Relaxed);
        } else {
            self.ready_since.store(NEVER, Relaxed);
            let _ = self.unready_since.compare_exchange(NEVER, now.0, Relaxed, Relaxed);
        }
    }

    /// Whether it counts as capacity that should be there: it was ready once, or has tried for too long.
    pub(crate) fn counts(&self, now: Nanos) -> bool {
        let unready = self.unready_since.load(Relaxed);
        self.ready_once.load(Relaxed) || (unready != NEVER && now.since(Nanos(unready)) > STARTING)
    }

    /// From 0.1 on becoming ready to 1 after [`SLOW_START`].
    fn slow_start(&self, now: Nanos) -> f64 {
        match self.ready_since.load(Relaxed) {
            NEVER => 1.0,
            since => (now.since(Nanos(since)).as_secs_f64() / SLOW_START.as_secs_f64()).clamp(0.1, 1.0),
        }
    }

    /// Whether time alone would change what a tick makes of it.
    pub(crate) fn unsettled(&self, now: Nanos) -> bool {
        self.ejected(now)
            || self.failing()
            || self.awaited.load(Relaxed) > 0
            || (self.unready_since.load(Relaxed) != NEVER && !self.counts(now))
    }

    pub(super) fn begin(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    pub(super) fn end(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    pub(super) fn await_answer(&self, now: Nanos) {
        if self.awaited.load(Relaxed) == 0 {
            self.quiet_since.store(now.0, Relaxed);
        }
        self.awaited.fetch_add(1, Release);
    }

    pub(super) fn await_no_more(&self) {
        self.awaited.fetch_sub(1, Release);
    }

    /// `silence`: for how long it might have said nothing. What comes later than that comes out of a silence, and teaches no more
    /// than this: else the first answers after a link was mended would make the next silence look normal.
    pub(super) fn answer(&self, took: Duration, silence: Duration, outcome: Outcome, now: Nanos) {
        self.quiet_since.store(now.0, Relaxed);
        self.answered_at.store(now.0, Relaxed);
        self.unanswered.store(0, Relaxed);
        if self.unreached() {
            self.note_reached();
        }
        self.answers.observe(took.min(silence), now, false);
        self.end_with(took, outcome, now);
    }

    /// Nothing came. `blame`: it is its own failure; else whoever asked was out of patience first.
    pub(super) fn no_answer(&self, took: Duration, blame: bool, now: Nanos) {
        self.unanswered.fetch_add(1, Relaxed);
        if blame {
            self.end_with(took, Outcome::Gateway, now);
        }
    }

    fn end_with(&self, took: Duration, outcome: Outcome, now: Nanos) {
        self.outcomes.count(outcome, now);
        if outcome == Outcome::Gateway {
            self.consecutive_failures.fetch_add(1, Relaxed);
        } else {
            self.consecutive_failures.store(0, Relaxed);
        }
        let penalty = if outcome == Outcome::Good { Duration::ZERO } else { FAILURE_PENALTY };
        self.latency.observe(took + penalty, now, true);
    }
}
