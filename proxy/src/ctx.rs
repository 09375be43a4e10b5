//! What the engine remembers of a request from phase to phase.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use causeway_config::{ClusterId, Country, Upstream};
use causeway_core::cell::Attempt;
use causeway_core::{Candidate, Nanos, Plan};
use http::HeaderValue;

use crate::forwarded::Client;
use crate::listen::Connection;
use crate::metrics::{Open, RefusalReason};
use crate::service::dial::{Deadline, Handle};

/// A request on its way through the engine.
///
/// Whatever path it takes, dropping this ends all that is counted for it: the edge's in-flight gauge, and the try that
/// counts as in flight at its endpoint.
pub struct Ctx {
    /// When the head was complete.
    pub began: Nanos,
    /// The same by the calendar, for the log.
    pub time: SystemTime,
    /// The connection that it came on.
    pub connection: Option<Arc<Connection>>,
    /// Who sent it.
    pub client: Client,
    /// Its id, in every log that it passes.
    pub request_id: HeaderValue,
    /// `Host` or `:authority`, as it came.
    pub authority: HeaderValue,
    /// The same in normal form; empty until it is known to be a host.
    pub host: String,
    /// Where the client is.
    pub country: Option<Country>,
    /// The route's object, once a route has matched.
    pub route: Option<Arc<str>>,
    /// The decision, until nothing more can be drawn from it.
    pub plan: Option<Plan>,
    /// The candidate for the next try.
    pub next: Option<Candidate>,
    /// The try that is going on, or was the last.
    pub current: Option<Try>,
    /// Tries begun.
    pub tries: u32,
    /// How many of them found no connection: nothing was sent, so nothing was asked of a backend.
    pub unconnected: u32,
    /// How long things may take, and how often they are tried.
    pub limits: Upstream,
    /// Whether the response tells which cluster served it.
    pub served_by: bool,
    /// Whether the request is logged.
    pub logged: bool,
    /// Why the edge answered itself.
    pub refused: Option<RefusalReason>,
    pub(crate) open: Option<Open>,
}

/// One try of a request. Dropping it ends its deadline too.
pub struct Try {
    /// Where it goes.
    pub candidate: Candidate,
    /// Counts it as in flight there. Given up early only by being replaced.
    pub attempt: Attempt,
    /// How long the response's header took; `None` until it has come.
    pub answered: Option<Duration>,
    /// Ends the connection when the header is overdue; `None` where it is not known yet, or where silence is no fault.
    pub(crate) handle: Option<Handle>,
    pub(crate) deadline: Option<Deadline>,
}

impl Ctx {
    /// A request of which only the moment is known.
    pub fn new(began: Nanos) -> Self {
        let nobody = IpAddr::from([0, 0, 0, 0]);
        Self {
            began,
            time: SystemTime::now(),
            connection: None,
            client: Client { address: nobody, sender: nobody, trusted: false },
            request_id: HeaderValue::from_static(""),
            authority: HeaderValue::from_static(""),
            host: String::new(),
            country: None,
            route: None,
            plan: None,
            next: None,
            current: None,
            tries: 0,
            unconnected: 0,
            limits: Upstream::default(),
            served_by: false,
            logged: false,
            refused: None,
            open: None,
        }
    }

    /// Whether another try may be made. Tries that found no connection count only once every cluster has had its turn: with
    /// two clouds dark the third must still be reached.
    fn try_left(&self) -> bool {
        let everywhere =
            self.plan.as_ref().map_or(0, |plan| plan.tiers().iter().map(|tier| tier.len()).sum::<usize>() as u32 + 1);
        self.tries - self.unconnected < self.limits.attempts && self.tries < self.limits.attempts.max(everywhere)
    }

    /// Draws the candidate for another try; whether there is one, and a try is left for it.
    pub fn draw(&mut self, now: Nanos) -> bool {
        if !self.try_left() {
            return false;
        }
        self.next = self.plan.as_mut().and_then(|plan| plan.next(now));
        self.next.is_some()
    }

    /// Takes the same candidate once more; whether a try is left for it.
    pub fn again(&mut self) -> bool {
        if !self.try_left() {
            return false;
        }
        self.next = self.current.as_ref().map(|current| current.candidate.clone());
        self.next.is_some()
    }

    /// The request is sent: from now on the response's header is awaited.
    pub(crate) fn await_header(&mut self) {
        if let Some(current) = &mut self.current
            && current.answered.is_none()
            && let Some(handle) = current.handle.take()
        {
            current.deadline = Some(handle.end_after(self.limits.response_timeout));
        }
    }

    /// Whether the connection was ended because the response's header was overdue.
    pub(crate) fn overdue(&self) -> bool {
        self.current.as_ref().and_then(|current| current.deadline.as_ref()).is_some_and(Deadline::passed)
    }

    /// The cluster that serves, or was tried last.
    pub fn cluster(&self) -> Option<&ClusterId> {
        self.current.as_ref().map(|current| &current.candidate.cluster_id)
    }

    /// Whether a response has begun to come.
    pub fn answered(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.answered.is_some())
    }
}
