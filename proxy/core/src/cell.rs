//! Measurements: what serving teaches about an endpoint and about a cluster.
//!
//! Topology is immutable and replaced whole; measurements outlive it. A cell is shared by every snapshot that holds the
//! same endpoint, written by requests and by [`tick`](crate::health::tick), and read without a lock. Two racing writers
//! may lose one observation of many: that is cheaper than a lock and harms nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::time::Nanos;

/// How fast old latencies are forgotten: after this time an observation weighs 1/e of what it did.
pub const DECAY: Duration = Duration::from_secs(10);

/// What a failed try costs on top of the time it took, so that an endpoint that fails fast never looks fast.
pub const FAILURE_PENALTY: Duration = Duration::from_secs(1);

/// How long a newly ready endpoint takes to get its full part (slow start).
pub const SLOW_START: Duration = Duration::from_secs(10);

/// Gateway failures in a row after which an endpoint is ejected (Envoy's default).
pub const EJECT_AFTER: u32 = 5;

/// How long an endpoint may be unready before it counts as missing capacity rather than as still starting.
pub const STARTING: Duration = Duration::from_mins(5);

/// An average of latencies in seconds that forgets with time, not with the number of observations.
#[derive(Debug)]
struct Average {
    seconds: AtomicU64,
    stamp: AtomicU64,
    seed: f64,
}

impl Average {
    fn new(seed: Duration) -> Self {
        let seed = seed.as_secs_f64();
        Self { seconds: AtomicU64::new(seed.to_bits()), stamp: AtomicU64::new(0), seed }
    }

    fn remembered(&self, now: Nanos) -> f64 {
        let idle = now.since(Nanos(self.stamp.load(Relaxed)));
        (-idle.as_secs_f64() / DECAY.as_secs_f64()).exp()
    }

    /// Moves towards `observed`. With `peak`, a worse observation is believed at once (Finagle's peak EWMA): a spike is
    /// felt by the next request, and forgiven slowly.
    fn observe(&self, observed: Duration, now: Nanos, peak: bool) {
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
    fn at(&self, now: Nanos) -> f64 {
        let seconds = f64::from_bits(self.seconds.load(Relaxed));
        if seconds > self.seed { self.seed + (seconds - self.seed) * self.remembered(now) } else { seconds }
    }
}

/// What is known of one endpoint: a pod of some cluster, by its uid and port.
#[derive(Debug)]
pub struct EndpointCell {
    latency: Average,
    in_flight: AtomicU32,
    consecutive_failures: AtomicU32,
    ejections: AtomicU32,
    ejected_until: AtomicU64,
    ready_since: AtomicU64,
    unready_since: AtomicU64,
    ready_once: AtomicBool,
}

const NEVER: u64 = u64::MAX;

impl EndpointCell {
    /// A cell for an endpoint that nothing is known of; `seed` stands in for its latency.
    pub fn new(seed: Duration) -> Self {
        Self {
            latency: Average::new(seed),
            in_flight: AtomicU32::new(0),
            consecutive_failures: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            ready_since: AtomicU64::new(NEVER),
            unready_since: AtomicU64::new(NEVER),
            ready_once: AtomicBool::new(false),
        }
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

    /// Gateway failures since the last answer.
    pub fn consecutive_failures(&self) -> u32 {
        self.consecutive_failures.load(Relaxed)
    }

    /// Whether it is out of rotation for having failed.
    pub fn ejected(&self, now: Nanos) -> bool {
        self.ejected_until.load(Relaxed) > now.0
    }

    /// Takes it out of rotation. `base` is multiplied by how often this has happened, up to `max`; as long as that without an
    /// ejection, and the counting begins anew.
    pub(crate) fn eject(&self, now: Nanos, base: Duration, max: Duration) {
        if now.since(Nanos(self.ejected_until.load(Relaxed))) > max {
            self.ejections.store(0, Relaxed);
        }
        let times = self.ejections.fetch_add(1, Relaxed).saturating_add(1);
        self.ejected_until.store(now.after((base * times).min(max)).0, Relaxed);
        self.forgive();
    }

    /// Forgets failures: those of requests that were on their way when it was ejected say nothing new.
    pub(crate) fn forgive(&self) {
        self.consecutive_failures.store(0, Relaxed);
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
        self.ejected(now) || self.failing() || (self.unready_since.load(Relaxed) != NEVER && !self.counts(now))
    }
}

/// What is known of one cluster as a server of one pool.
#[derive(Debug)]
pub struct ClusterCell {
    latency: Average,
    weight: AtomicU64,
    weighed_at: AtomicU64,
    down: AtomicBool,
    recovering_since: AtomicU64,
    dark_until: AtomicU64,
    darkened: AtomicU32,
    /// Whether something was learned since the last tick.
    touched: AtomicBool,
}

/// How long a cluster where nothing answers is left alone before it is tried again; the n-th time in a row n times this, up to
/// the maximum.
pub const DARK: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));

/// How long a cluster that comes back takes to get its full part, and the part it begins with.
pub const RECOVERY: (Duration, f64) = (Duration::from_secs(30), 0.1);

impl ClusterCell {
    /// A cell for a cluster that nothing is known of; `seed` stands in for its latency.
    pub fn new(seed: Duration) -> Self {
        Self {
            latency: Average::new(seed),
            weight: AtomicU64::new(0),
            weighed_at: AtomicU64::new(0),
            down: AtomicBool::new(false),
            recovering_since: AtomicU64::new(NEVER),
            dark_until: AtomicU64::new(0),
            darkened: AtomicU32::new(0),
            touched: AtomicBool::new(false),
        }
    }

    /// EWMA of the time to response headers from here, in seconds.
    pub fn latency(&self, now: Nanos) -> f64 {
        self.latency.at(now)
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
    pub(crate) fn note_capacity(&self, any_ready: bool, was_there: bool, now: Nanos) -> f64 {
        if !any_ready {
            // Remembered while its pods are replaced, when for a while there are none at all.
            if was_there {
                self.down.store(true, Relaxed);
            }
            self.recovering_since.store(NEVER, Relaxed);
            return 0.0;
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
                }
                (begin + (1.0 - begin) * done).min(1.0)
            }
        }
    }

    /// Whether the cluster is left alone since nothing in it answered.
    pub fn dark(&self, now: Nanos) -> bool {
        self.dark_until.load(Relaxed) > now.0
    }

    /// Nothing in it answers: leaves it alone for a while, longer each time that this happens without an answer in between.
    pub(crate) fn darken(&self, now: Nanos) {
        let (base, max) = DARK;
        let times = self.darkened.fetch_add(1, Relaxed).saturating_add(1);
        self.dark_until.store(now.after((base * times).min(max)).0, Relaxed);
    }

    /// Whether something was learned since this was asked last.
    pub(crate) fn take_touched(&self) -> bool {
        self.touched.load(Relaxed) && self.touched.swap(false, Relaxed)
    }

    /// Whether time alone would change what a tick makes of it.
    pub(crate) fn unsettled(&self, now: Nanos) -> bool {
        self.recovering_since.load(Relaxed) != NEVER || self.dark(now)
    }

    fn touch(&self) {
        if !self.touched.load(Relaxed) {
            self.touched.store(true, Relaxed);
        }
    }
}

/// One try of a request at one endpoint. While it lives the request counts as in flight there.
#[derive(Debug)]
pub struct Attempt {
    endpoint: Arc<EndpointCell>,
    cluster: Arc<ClusterCell>,
    started: Nanos,
}

impl Attempt {
    pub(crate) fn begin(endpoint: Arc<EndpointCell>, cluster: Arc<ClusterCell>, now: Nanos) -> Self {
        endpoint.in_flight.fetch_add(1, Relaxed);
        Self { endpoint, cluster, started: now }
    }

    /// When it began.
    pub fn started(&self) -> Nanos {
        self.started
    }

    /// Response headers came. 502, 503 and 504 are gateway failures and count towards ejection; any 5xx costs latency.
    pub fn answered(&self, status: u16, now: Nanos) {
        let took = now.since(self.started);
        self.cluster.touch();
        if !(502..=504).contains(&status) {
            self.cluster.darkened.store(0, Relaxed);
        }
        match status {
            502..=504 => self.gateway_failure(took, now),
            500.. => {
                self.endpoint.consecutive_failures.store(0, Relaxed);
                self.endpoint.latency.observe(took + FAILURE_PENALTY, now, true);
            }
            _ => {
                self.endpoint.consecutive_failures.store(0, Relaxed);
                self.endpoint.latency.observe(took, now, true);
                self.cluster.latency.observe(took, now, false);
            }
        }
    }

    /// No answer came: the connection was refused, reset, or timed out.
    pub fn failed(&self, now: Nanos) {
        self.gateway_failure(now.since(self.started), now);
    }

    fn gateway_failure(&self, took: Duration, now: Nanos) {
        self.cluster.touch();
        self.endpoint.consecutive_failures.fetch_add(1, Relaxed);
        self.endpoint.latency.observe(took + FAILURE_PENALTY, now, true);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.endpoint.in_flight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp)]
    use super::*;

    fn at(seconds: f64) -> Nanos {
        Nanos((seconds * 1e9) as u64)
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn attempt(cell: &Arc<EndpointCell>, now: Nanos) -> Attempt {
        Attempt::begin(Arc::clone(cell), Arc::new(ClusterCell::new(ms(30))), now)
    }

    #[test]
    fn a_spike_is_believed_at_once_and_forgiven_slowly() {
        let cell = Arc::new(EndpointCell::new(ms(30)));
        attempt(&cell, at(1.0)).answered(200, at(1.5));
        assert!((cell.latency(at(1.5)) - 0.5).abs() < 1e-9);
        let after_one_decay = cell.latency(at(11.5));
        assert!((after_one_decay - (0.03 + 0.47 / std::f64::consts::E)).abs() < 1e-6, "{after_one_decay}");
    }

    #[test]
    fn idleness_never_looks_like_speed() {
        let cell = Arc::new(EndpointCell::new(ms(30)));
        for i in 0..1000 {
            let now = at(f64::from(i));
            attempt(&cell, now).answered(200, now.after(ms(10)));
        }
        let learned = cell.latency(at(1000.0));
        assert!((learned - 0.010).abs() < 0.001, "{learned}");
        assert!((cell.latency(at(9000.0)) - learned).abs() < 1e-9);
    }

    #[test]
    fn a_fast_error_costs_more_than_a_slow_answer() {
        let (failing, slow) = (Arc::new(EndpointCell::new(ms(30))), Arc::new(EndpointCell::new(ms(30))));
        attempt(&failing, at(1.0)).answered(500, at(1.001));
        attempt(&slow, at(1.0)).answered(200, at(1.8));
        assert!(failing.cost(at(2.0)) > slow.cost(at(2.0)));
        assert_eq!(failing.consecutive_failures(), 0, "a 500 is the application's own answer, not the gateway's");
    }

    #[test]
    fn requests_in_flight_raise_the_cost_and_leave_with_the_attempt() {
        let cell = Arc::new(EndpointCell::new(ms(30)));
        let idle = cell.cost(at(1.0));
        let held = attempt(&cell, at(1.0));
        assert_eq!(cell.in_flight(), 1);
        assert!((cell.cost(at(1.0)) - 2.0 * idle).abs() < 1e-9);
        drop(held);
        assert_eq!(cell.in_flight(), 0);
    }

    #[test]
    fn an_endpoint_that_never_was_ready_counts_only_after_five_minutes() {
        let cell = EndpointCell::new(ms(30));
        cell.note_readiness(false, at(10.0));
        assert!(!cell.counts(at(309.0)));
        assert!(cell.counts(at(311.0)));
        let cell = EndpointCell::new(ms(30));
        cell.note_readiness(true, at(10.0));
        cell.note_readiness(false, at(11.0));
        assert!(cell.counts(at(11.0)), "it was ready once");
    }

    #[test]
    fn a_recovering_cluster_ramps_even_when_its_pods_were_replaced_meanwhile() {
        let cell = ClusterCell::new(ms(30));
        cell.note_capacity(true, true, at(0.0));
        cell.note_capacity(false, true, at(1.0));
        cell.note_capacity(false, false, at(2.0));
        assert_eq!(cell.note_capacity(true, true, at(3.0)), 0.1);
    }

    #[test]
    fn after_a_quiet_time_ejections_begin_short_again() {
        let cell = EndpointCell::new(ms(30));
        for second in [0.0, 100.0, 1000.0] {
            cell.eject(at(second), ms(30_000), ms(300_000));
        }
        assert!(cell.ejected(at(1029.0)) && !cell.ejected(at(1031.0)));
    }

    #[test]
    fn an_average_forgets_with_time_and_not_with_the_number_of_observations() {
        let cell = Arc::new(EndpointCell::new(ms(30)));
        attempt(&cell, at(0.0)).answered(500, at(1.0));
        for i in 0..1000 {
            let now = at(1.0 + f64::from(i) / 1000.0);
            attempt(&cell, now).answered(200, now.after(ms(1)));
        }
        assert!(cell.latency(at(2.0)) > 1.5, "a second is a tenth of the decay: {}", cell.latency(at(2.0)));
    }

    #[test]
    fn a_recovering_cluster_ramps_from_a_tenth_over_thirty_seconds() {
        let cell = ClusterCell::new(ms(30));
        assert_eq!(cell.note_capacity(true, true, at(0.0)), 1.0, "never seen down: no ramp");
        assert_eq!(cell.note_capacity(false, true, at(1.0)), 0.0);
        assert_eq!(cell.note_capacity(true, true, at(2.0)), 0.1);
        assert!((cell.note_capacity(true, true, at(17.0)) - 0.55).abs() < 1e-9);
        assert_eq!(cell.note_capacity(true, true, at(32.0)), 1.0);
        assert!(!cell.unsettled(at(32.0)));
    }

    #[test]
    fn weights_move_slowly() {
        let cell = ClusterCell::new(ms(30));
        assert_eq!(cell.smooth_weight(10.0, at(0.0)), 10.0);
        let soon = cell.smooth_weight(20.0, at(0.1));
        assert!(soon > 10.0 && soon < 10.2, "{soon}");
    }

    #[test]
    fn ejections_grow_longer_up_to_a_limit() {
        let cell = EndpointCell::new(ms(30));
        cell.eject(at(0.0), ms(30_000), ms(50_000));
        assert!(cell.ejected(at(29.0)) && !cell.ejected(at(31.0)));
        cell.eject(at(60.0), ms(30_000), ms(50_000));
        assert!(cell.ejected(at(109.0)) && !cell.ejected(at(111.0)));
    }
}
