//! One try of a request at one endpoint: what the cells learn from it.

use std::sync::Arc;
use std::time::Duration;

use super::outcomes::Outcome;
use super::{ClusterCell, EndpointCell};
use crate::time::Nanos;

/// Within this time the header of a stream comes where there is something to send.
const SOON: Duration = Duration::from_secs(1);

/// Whether an answer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A request, then a response: until its header comes, the endpoint is silent.
    Answer,
    /// A stream or an upgrade, on which silence means nothing.
    Nothing,
}

/// Who is to blame when an answer is overdue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The request: the endpoint has answered others just now, so that this one is slow.
    Request,
    /// The endpoint: it has answered nothing meanwhile, and others of its cluster have.
    Endpoint,
    /// The cluster, as far as can be seen: nobody in it has answered anything meanwhile.
    Cluster,
}

/// One try of a request at one endpoint. While it lives the request counts as in flight there.
#[derive(Debug)]
pub struct Attempt {
    endpoint: Arc<EndpointCell>,
    cluster: Arc<ClusterCell>,
    started: Nanos,
    due: Due,
    awaited: bool,
}

impl Attempt {
    pub(crate) fn begin(endpoint: Arc<EndpointCell>, cluster: Arc<ClusterCell>, due: Due, now: Nanos) -> Self {
        endpoint.begin();
        cluster.begin(now);
        let awaited = due == Due::Answer;
        if awaited {
            endpoint.await_answer(now);
        }
        Self { endpoint, cluster, started: now, due, awaited }
    }

    /// When it began; where there was a body to send, when that was sent.
    pub fn started(&self) -> Nanos {
        self.started
    }

    /// The connection stands, and a body is on its way: until it is sent no answer is due.
    pub fn sending(&mut self) {
        self.await_no_more();
    }

    /// The body is sent: now an answer is due.
    pub fn sent(&mut self, now: Nanos) {
        if self.due == Due::Answer && !self.awaited {
            self.started = now;
            self.awaited = true;
            self.endpoint.await_answer(now);
        }
    }

    /// Response headers came. 502, 503 and 504 are gateway failures and count towards ejection; any 5xx costs latency.
    pub fn answered(&mut self, status: u16, now: Nanos) {
        let took = now.since(self.started);
        // What ends a silence, or comes while the cluster is left alone, says nothing of how long answers take.
        let usual = !self.endpoint.silent(&self.cluster, now) && self.cluster.closed(now).is_none();
        let silence = self.endpoint.silence(&self.cluster, now);
        self.await_no_more();
        let outcome = match status {
            502..=504 => Outcome::Gateway,
            500.. => Outcome::Error,
            _ => Outcome::Good,
        };
        self.endpoint.answer(took, silence, outcome, now);
        self.cluster.answer(outcome != Outcome::Gateway, now);
        if outcome == Outcome::Good {
            self.cluster.observe(took, now);
            // The header of a stream may take as long as it likes; those that come soon tell of the way.
            if usual && (self.due == Due::Answer || took < SOON) {
                self.cluster.observe_exchange(took);
            }
        }
    }

    /// No answer came: the connection was refused, reset, or timed out.
    pub fn failed(&mut self, now: Nanos) {
        self.await_no_more();
        self.cluster.no_answer(now);
        self.endpoint.no_answer(now.since(self.started), true, now);
    }

    /// How long an idempotent request is waited for here while something else could be tried.
    pub fn patience(&self) -> Duration {
        self.cluster.patience()
    }

    /// How long nothing at all may come from the endpoint until this is given up, where something else could be tried. Each time
    /// that this is over ask an [`ear`](Self::ear).
    pub fn patience_in_silence(&self, now: Nanos) -> Duration {
        self.cluster.patience_in_silence().max(self.silence(now))
    }

    /// How long nothing may come from the endpoint until that is worth a question.
    pub fn silence(&self, now: Nanos) -> Duration {
        self.endpoint.silence(&self.cluster, now)
    }

    /// Listens to the endpoint while the answer is awaited.
    pub fn ear(&self) -> Ear {
        let (vouched, condemned) = (self.endpoint.vouched(), self.endpoint.condemned());
        Ear { endpoint: Arc::clone(&self.endpoint), last: self.started, vouched, condemned, asks: false }
    }

    /// The time for it is over; who is to blame.
    pub fn overdue(&mut self, now: Nanos) -> Blame {
        if self.endpoint.heard_since(self.started.max(now.before(self.patience_in_silence(now)))) {
            self.await_no_more();
            return Blame::Request;
        }
        let alone = self.cluster.answered_at() > self.started;
        self.failed(now);
        if alone { Blame::Endpoint } else { Blame::Cluster }
    }

    /// Whoever asked has left before an answer came. Where the endpoint was silent by then, it stays under suspicion: clients
    /// that wait for less than a try is given must not hide that nothing ever comes.
    pub fn abandoned(&mut self, now: Nanos) {
        if self.awaited && self.endpoint.silent(&self.cluster, now) {
            self.endpoint.no_answer(now.since(self.started), false, now);
        }
        self.await_no_more();
    }

    fn await_no_more(&mut self) {
        if self.awaited {
            self.awaited = false;
            self.endpoint.await_no_more();
        }
    }
}

/// Hears what an endpoint answers others while an answer of it is awaited.
#[derive(Debug)]
pub struct Ear {
    endpoint: Arc<EndpointCell>,
    last: Nanos,
    vouched: u32,
    condemned: u32,
    asks: bool,
}

impl Ear {
    /// Whether the endpoint has answered anything, or was found to live, since this was asked last, or else since the try began. Not
    /// only the latter: what came a moment before a link was cut must not vouch for it ever after.
    pub fn heard(&mut self) -> bool {
        let vouched = self.endpoint.vouched();
        let heard = self.endpoint.heard_since(self.last) || vouched != self.vouched;
        self.last = self.last.max(self.endpoint.answered_at());
        self.vouched = vouched;
        heard
    }

    /// Begins to ask whether the endpoint still lives; meanwhile it gets nothing new. Not where somebody else asks already.
    pub fn doubt(&mut self) -> bool {
        self.asks = self.endpoint.doubt();
        self.asks
    }

    /// It did not answer that question: that is for all who wait to know.
    pub fn condemn(&mut self) {
        self.endpoint.condemn();
    }

    /// Whether somebody has asked it whether it lives since the try began, and had no answer.
    pub fn condemned(&self) -> bool {
        self.endpoint.condemned() != self.condemned
    }

    /// It answered that question: that is heard by all who wait.
    pub fn vouch(&mut self) {
        if std::mem::take(&mut self.asks) {
            self.endpoint.settle(true);
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        if self.asks {
            self.endpoint.settle(false);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.await_no_more();
        self.endpoint.end();
        self.cluster.end();
    }
}
