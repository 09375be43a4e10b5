//! What the engine remembers of a request from phase to phase.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use causeway_config::{ClusterId, Country, SessionPersistence, Upstream};
use causeway_core::cell::Attempt;
use causeway_core::retry::Tries;
use causeway_core::{Candidate, Nanos, Plan};
use http::HeaderValue;

use crate::forwarded::Client;
use crate::limit::Ended;
use crate::listen::{Connection, Role};
use crate::metrics::{Open, RefusalReason};
use crate::peer::lane::Lane;
use crate::service::dial::{Deadline, Handle};
use crate::sessions::Place;

/// A request on its way through the engine.
///
/// Whatever path it takes, dropping this ends all that is counted for it: the edge's in-flight gauge, and the try that
/// counts as in flight at its endpoint.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each learned in a phase of its own")]
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
    /// How the client's session is kept, and where it is, for hosts that keep sessions.
    pub session: Option<Box<(SessionPersistence, Option<Place>)>>,
    /// The candidate for the next try.
    pub next: Option<Candidate>,
    /// The try that is going on, or was the last.
    pub current: Option<Try>,
    /// Its tries, and the time that is left for them.
    pub tries: Tries,
    /// How long things may take, and how often they are tried.
    pub limits: Upstream,
    /// Whether the response tells which cluster served it.
    pub served_by: bool,
    /// Whether the request is logged.
    pub logged: bool,
    /// Why the edge answered itself.
    pub refused: Option<RefusalReason>,
    /// Whether another edge has decided to send it here.
    pub(crate) hop: bool,
    /// The lane of the try that goes on, if it is at another edge.
    pub(crate) lane: Option<Arc<Lane>>,
    /// Whether the edge that was tried last has said that it reached no pod.
    pub(crate) unserved: bool,
    /// The endpoint that the edge that was tried last has served from.
    pub(crate) endpoint: Option<u64>,
    /// Whether the edge that sent it here keeps the client's session, and wants to know which endpoint serves.
    pub(crate) tells_session: bool,
    /// How long a backend that speaks HTTP/2 may pause.
    pub(crate) pause: Option<Duration>,
    /// Bytes that the request's body may have.
    pub max_body: Option<u64>,
    pub(crate) open: Option<Open>,
    /// Rings for who waits. Below `current`, since it must be dropped after it.
    pub(crate) ended: Option<Ended>,
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
    /// The connection, if it is one of HTTP/2: others may end it.
    pub(crate) h2: Option<Handle>,
    pub(crate) deadline: Option<Deadline>,
    /// Ends the connection when the backend is found to be gone.
    pub(crate) doubt: Option<Deadline>,
}

impl Try {
    /// The response's header is there: nothing ends the connection any more.
    pub(crate) fn await_no_more(&mut self) {
        (self.handle, self.deadline, self.doubt) = (None, None, None);
    }
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
            session: None,
            next: None,
            current: None,
            tries: Tries::default(),
            limits: Upstream::default(),
            served_by: false,
            logged: false,
            refused: None,
            hop: false,
            lane: None,
            unserved: false,
            endpoint: None,
            tells_session: false,
            pause: None,
            max_body: None,
            open: None,
            ended: None,
        }
    }

    /// Draws the candidate for another try; whether there is one, and a try is left for it.
    pub fn draw(&mut self, now: Nanos) -> bool {
        self.next = self.plan.as_mut().and_then(|plan| self.tries.next(&self.limits, plan, now));
        self.next.is_some()
    }

    /// Takes the same candidate once more; whether a try is left for it.
    pub fn again(&mut self, now: Nanos) -> bool {
        let left = self.plan.as_ref().is_some_and(|plan| self.tries.left(&self.limits, plan, now));
        self.next = self.current.as_ref().filter(|_| left).map(|current| current.candidate.clone());
        self.next.is_some()
    }

    /// The request has come in whole: from now on its time runs.
    pub fn complete(&mut self, now: Nanos) {
        self.tries.complete(&self.limits, now);
    }

    /// The request is sent: from now on the response's header is awaited. `repeatable`: whether it could be sent once more.
    pub(crate) fn await_header(&mut self, repeatable: bool, now: Nanos) {
        self.complete(now);
        let Some(current) = self.current.as_mut().filter(|current| current.answered.is_none()) else { return };
        current.attempt.sent(now);
        if let Some(handle) = current.handle.take() {
            let wait = self.tries.wait(&self.limits, self.plan.as_ref(), &current.attempt, repeatable, now);
            current.deadline = Some(handle.end_after(wait, current.attempt.ear()));
        }
    }

    /// How long the response's header of the try that goes on may take. `repeatable`: whether the request could be sent once more.
    pub(crate) fn try_limit(&self, repeatable: bool, now: Nanos) -> Option<Duration> {
        let current = self.current.as_ref()?;
        Some(self.tries.wait(&self.limits, self.plan.as_ref(), &current.attempt, repeatable, now).most)
    }

    /// Whether the connection was ended because the response's header was overdue, or nobody was there who could send one.
    pub(crate) fn overdue(&self) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| [&current.deadline, &current.doubt].into_iter().flatten().any(Deadline::passed))
    }

    /// The cluster that serves, or was tried last.
    pub fn cluster(&self) -> Option<&ClusterId> {
        self.current.as_ref().map(|current| &current.candidate.cluster_id)
    }

    /// Whether it is this edge's own, to see whether another edge answers.
    pub fn is_ping(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| matches!(connection.role, Role::Own(_)))
    }

    /// Whether the connection was ended here since nothing came on it, for whichever request.
    pub(crate) fn was_ended(&self) -> bool {
        self.current.as_ref().and_then(|current| current.h2.as_ref()).is_some_and(Handle::ended) || self.is_cut_off()
    }

    /// Whether the way to the other edge leads nowhere: its lane was asked, and did not answer.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.lane.as_ref().is_some_and(|lane| !lane.lives())
    }

    /// Whether a response has begun to come.
    pub fn answered(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.answered.is_some())
    }
}
