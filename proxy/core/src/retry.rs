//! Whether there is another try, and how long one is waited for. The engine asks, and so does the simulation.

use std::time::Duration;

use causeway_config::Upstream;

use crate::cell::{Attempt, Blame, RESPONSE_TIMEOUT};
use crate::plan::{Candidate, Plan};
use crate::time::Nanos;

/// So many kept connections that had ended are no tries: few enough that no request goes round for long.
const STALE_AT_MOST: u32 = 4;

/// The tries of one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tries {
    /// Tries begun.
    pub made: u32,
    /// How many of them found no connection: nothing was sent, so nothing was asked of a backend.
    pub unconnected: u32,
    /// How many went over a kept connection that turned out to have ended: no fault, and where a whole cluster died at once there
    /// is one on the way to each of its endpoints.
    pub stale: u32,
    /// Whether one took too long at an endpoint that answered others meanwhile: then the request itself is slow, and the next
    /// try is given all the time that there is.
    pub slow: bool,
    /// When the time for all of them is over; `None` until the request has come in whole, and where there is no such limit.
    pub due: Option<Nanos>,
}

/// How long a response's header is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wait {
    /// At most.
    pub most: Duration,
    /// How long at a stretch the endpoint may answer nothing else; not longer than `most`.
    pub in_silence: Duration,
}

impl Tries {
    /// The request has come in whole: from now on its time runs. What ends it is the wait of each try, which never reaches
    /// beyond it.
    pub fn complete(&mut self, limits: &Upstream, now: Nanos) {
        self.due = self.due.or_else(|| limits.request_timeout.map(|limit| now.after(limit)));
    }

    /// Whether another try may be made. Tries that found no connection count only once every cluster has had its turn: with
    /// two clouds dark the third must still be reached.
    pub fn left(&self, limits: &Upstream, plan: &Plan, now: Nanos) -> bool {
        let made = self.made.saturating_sub(self.stale.min(STALE_AT_MOST));
        let everywhere = plan.tiers().iter().map(|tier| tier.len()).sum::<usize>() as u32 + 1;
        self.due.is_none_or(|due| now < due)
            && made.saturating_sub(self.unconnected) < limits.attempts
            && made < limits.attempts.max(everywhere)
    }

    /// How long the answer to a try is waited for that was sent just now. `repeatable`: whether the request may be sent
    /// once more after a backend has seen it. Where nothing else could be tried there is no point in giving up early.
    pub fn wait(&self, limits: &Upstream, plan: Option<&Plan>, attempt: &Attempt, repeatable: bool, now: Nanos) -> Wait {
        let other = |plan: &Plan| self.left(limits, plan, now) && plan.more() && plan.pool.may_retry();
        let early = repeatable && !self.slow && plan.is_some_and(other);
        let (most, in_silence) = match limits.response_timeout {
            Some(fixed) => (fixed, fixed),
            None if early => (attempt.patience(), attempt.patience_in_silence(now)),
            None => (RESPONSE_TIMEOUT, RESPONSE_TIMEOUT),
        };
        // Where the body is still coming all of the time is left.
        let left = self.due.map(|due| due.since(now)).or(limits.request_timeout);
        let most = left.map_or(most, |left| most.min(left));
        Wait { most, in_silence: most.min(in_silence) }
    }

    /// The answer to a try is overdue.
    pub fn overdue(&mut self, attempt: &mut Attempt, plan: Option<&mut Plan>, now: Nanos) {
        match (attempt.overdue(now), plan) {
            (Blame::Request, _) => self.slow = true,
            (Blame::Cluster, Some(plan)) => plan.leave_cluster(),
            (Blame::Endpoint | Blame::Cluster, _) => {}
        }
    }

    /// The candidate for another try; `None` where there is none, or no try is left.
    pub fn next(&self, limits: &Upstream, plan: &mut Plan, now: Nanos) -> Option<Candidate> {
        if self.left(limits, plan, now) { plan.next(now) } else { None }
    }
}
