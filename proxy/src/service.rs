//! The engine's glue: what happens to a request from its head to its last byte.
//!
//! ```text
//! early_request_filter   the connection's facts, timeouts
//! request_filter         head checked, snapshot loaded once, Host against SNI, plan, first candidate; or an answer
//! upstream_peer          a try begins: the candidate as a peer     <--+
//! fail_to_connect, error_while_proxy   it failed: another one?     ---+
//! upstream_request_filter, upstream_response_filter   headers; the endpoint's cell learns how long it took
//! fail_to_proxy          nobody could serve it: an answer
//! logging                counted and logged
//! ```
//!
//! Decisions are made elsewhere and are pure: `plan` in the core, `retry`, `head` and `headers` beside this; `decide` and `failed` ask them,
//! `awaited` says what ends a try. What is here
//! also closes what the engine leaves open; such places say so.

pub(crate) mod admit;
mod awaited;
mod cdn_loop;
mod crossing;
mod decide;
pub(crate) mod dial;
mod doubt;
mod engine;
mod failed;
pub(crate) mod head;
mod headers;
mod peer;
mod record;
mod replies;
pub(crate) mod respond;
mod retry;
pub(crate) mod secure;
mod session;
mod stall;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use causeway_core::Target;
use causeway_core::cell::Due;
use http::{HeaderValue, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use self::cdn_loop::Mark;
use self::dial::{Dialers, Handle};
pub use self::engine::engine;
use self::peer::Carriage;
pub(crate) use self::peer::{Proof, check_peer};
use self::retry::Verdict;
pub use self::stall::Engine;
use crate::ctx::{Ctx, Try};
use crate::limit::{Queues, RateLimits};
use crate::listen::{Connection, Role, Stage};
use crate::metrics::RetryReason;
use crate::shared::Shared;

/// How the engine is told that a response will not be used, since the request is tried elsewhere.
const RETRIED_STATUS: ErrorType = ErrorType::Custom("StatusRetried");

/// An answer 101 to a request that is no upgrade. The engine would pass it on, and what follows as its body.
const UNASKED: ErrorType = ErrorType::Custom("UpgradeNotAskedFor");

/// What clients' requests go through.
pub struct Proxy {
    shared: Arc<Shared>,
    dialers: Dialers,
    /// Shows that a request was sent on by this fleet.
    mark: Mark,
    rates: RateLimits,
    queues: Arc<Queues>,
}

#[async_trait]
impl ProxyHttp for Proxy {
    /// In a box: the engine moves it from one of its large futures into the next.
    type CTX = Box<Ctx>;

    fn new_ctx(&self) -> Box<Ctx> {
        let mut ctx = Box::new(Ctx::new(self.shared.clock.now()));
        ctx.open = Some(self.shared.metrics.request());
        ctx
    }

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Box<Ctx>) -> Result<()> {
        ctx.connection = Connection::of(session.digest());
        if let Some(connection) = &ctx.connection {
            connection.set_stage(Stage::Request);
        }
        // The engine turns every keep-alive into an endless one, and an endless one switches off the timeout of the next
        // head. Connections that it means to close (0 stands for endless) stay as they are.
        let timeouts = ctx.connection.as_ref().map(|connection| connection.timeouts).unwrap_or_default();
        if session.get_keepalive() == Some(0) {
            session.set_keepalive(Some(timeouts.idle.as_secs().max(1)));
        }
        session.set_read_timeout(Some(timeouts.body));
        session.set_write_timeout(Some(timeouts.body));
        session.set_total_drain_timeout(Some(timeouts.body));
        headers::ignore_upgrades(session.req_header_mut());
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Box<Ctx>) -> Result<bool> {
        if self.answer_peer(session, ctx).await? {
            return Ok(true);
        }
        let decided = match &ctx.connection {
            // It goes where its errand says.
            Some(connection) if matches!(connection.role, Role::Own(_)) => Ok(()),
            Some(connection) if matches!(connection.role, Role::Peer(_)) => self.decide_hop(session, ctx),
            _ => match self.decide(session, ctx) {
                Ok(()) => self.queue(ctx).await,
                Err(reply) => Err(reply),
            },
        };
        match decided {
            Ok(()) => {
                if session.is_body_empty() {
                    ctx.complete(self.shared.clock.now());
                }
                Ok(false)
            }
            Err(reply) => {
                self.refuse(session, ctx, reply).await?;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Box<Ctx>) -> Result<Box<HttpPeer>> {
        let carriage = carriage(session);
        if let Some(lane) = crossing::errand(ctx) {
            ctx.tries.made += 1;
            let connect = ctx.limits.connect_timeout;
            return self.way(lane, carriage, connect, ctx).map(Box::new);
        }
        let Some(candidate) = ctx.next.take() else {
            return Error::e_explain(ErrorType::InternalError, "a try without a candidate");
        };
        let now = self.shared.clock.now();
        let connect = ctx.tries.due.map_or(ctx.limits.connect_timeout, |due| ctx.limits.connect_timeout.min(due.since(now)));
        if ctx.tries.made > 0 {
            stall::forget();
        }
        ctx.tries.made += 1;
        (ctx.lane, ctx.unserved, ctx.endpoint) = (None, false, None);
        self.shared.metrics.attempt(candidate.step);
        let due = if carriage == Carriage::Exchange { Due::Answer } else { Due::Nothing };
        let attempt = candidate.begin(due, now);
        let (address, protocol, target) = (candidate.address, candidate.protocol, candidate.target.clone());
        let (cluster, tls) = (candidate.cluster_id.clone(), candidate.tls.clone());
        ctx.current = Some(Try { candidate, attempt, answered: None, handle: None, h2: None, deadline: None, doubt: None });
        match target {
            Target::Pod => {
                let known = self.shared.authorities.load();
                let proof = match Proof::of(&known, &cluster, tls.as_deref(), &ctx.host) {
                    Ok(proof) => proof,
                    Err(mut error) => {
                        // That nobody vouches for it, or not yet, is no failure of the endpoint.
                        ctx.tries.unconnected += 1;
                        error.set_retry(self.retry(ctx, Verdict::Next, RetryReason::Connect));
                        return Err(error);
                    }
                };
                let mut peer = peer::peer(address, protocol, proof, carriage, connect, &self.dialers);
                if carriage == Carriage::Exchange {
                    if !session.is_body_empty() {
                        peer::alone(&mut peer);
                    }
                    if session.is_body_done() {
                        peer::limit_stream(&mut peer, ctx.pause);
                    }
                }
                Ok(Box::new(peer))
            }
            Target::Peer(instance) => match self.way_to(&instance, carriage, connect, ctx) {
                Ok(peer) => Ok(Box::new(peer)),
                Err(mut error) => {
                    self.unconnected(ctx, &mut error);
                    Err(error)
                }
            },
        }
    }

    /// No connection, so nothing was sent: any request may be tried elsewhere (the engine would not).
    fn fail_to_connect(&self, _session: &mut Session, _peer: &HttpPeer, ctx: &mut Box<Ctx>, error: Box<Error>) -> Box<Error> {
        self.no_connection(ctx, error)
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut Box<Ctx>,
        reused: bool,
    ) -> Box<Error> {
        self.broke(session, error, ctx, reused)
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        reused: bool,
        peer: &HttpPeer,
        _fd: std::os::fd::RawFd,
        digest: Option<&Digest>,
        ctx: &mut Box<Ctx>,
    ) -> Result<()> {
        if let Some(lane) = ctx.lane.clone() {
            self.check_peer(digest)?;
            self.watch_lane(lane, carriage(session), ctx);
            self.watch_body(session, None, None, ctx);
            return Ok(());
        }
        if !reused {
            self.measure(ctx);
        }
        self.watch_pod(session, Handle::of(digest), peer, ctx);
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Box<Ctx>,
    ) -> Result<()> {
        if ctx.is_ping() {
            return Ok(());
        }
        if ctx.hop {
            headers::passed_on(request);
            return Ok(());
        }
        headers::request(request, ctx)?;
        self.mark.put_on(request)?;
        if !crossing::at_peer(ctx) {
            return Ok(());
        }
        // Silence on a stream means nothing, there as here.
        let limited = carriage(session) == Carriage::Exchange;
        let limit = if limited { ctx.try_limit(repeatable(session), self.shared.clock.now()) } else { None };
        crossing::send(request, limit, ctx)
    }

    /// Must not wait: while it does, a response that has come already is taken for one to a request without a body, and a
    /// WebSocket dies right after its 101 (cloudflare/pingora#946).
    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Box<Ctx>,
    ) -> Result<()> {
        admit::check_body(ctx, session.body_bytes_read() as u64)?;
        stall::came(body, end, session.body_bytes_read() as u64);
        if end {
            ctx.await_header(repeatable(session), self.shared.clock.now());
        }
        // An empty last DATA frame would be written to an HTTP/1.1 backend as a second end of the body, and what follows
        // on that connection be read as another request (cloudflare/pingora#935).
        if end && body.as_ref().is_some_and(Bytes::is_empty) {
            *body = None;
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Box<Ctx>,
    ) -> Result<()> {
        let status = response.status;
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        if status == StatusCode::SWITCHING_PROTOCOLS && carriage(session) != Carriage::Upgrade {
            return Err(Error::new_up(UNASKED));
        }
        crossing::heard_peer(response, ctx)?;
        let now = self.shared.clock.now();
        let gateway_failure = matches!(status.as_u16(), 502..=504);
        if let Some(current) = &mut ctx.current
            && status != StatusCode::SWITCHING_PROTOCOLS
        {
            current.attempt.answered(status.as_u16(), now);
        }
        // Whoever decided to send a request here decides where else to.
        if gateway_failure
            && !ctx.hop
            && !ctx.is_ping()
            && repeatable(session)
            && self.retry(ctx, Verdict::Next, RetryReason::Status)
        {
            // Another endpoint may do better. If nobody is left, or no budget, the backend's own answer passes.
            return Err(Error::new_up(RETRIED_STATUS));
        }
        if let Some(current) = &mut ctx.current {
            current.answered = Some(now.since(current.attempt.started()));
            current.await_no_more();
        }
        if status == StatusCode::SWITCHING_PROTOCOLS {
            // From here on silence is no fault, for hours.
            session.set_read_timeout(None);
        }
        stall::answered(status.as_u16());
        // Nothing is tried again once a response has begun, and a response can last longer than the pool it was drawn from.
        ctx.plan = None;
        headers::response(response).map_err(Error::into_up)
    }

    fn upstream_response_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        _end: bool,
        _ctx: &mut Box<Ctx>,
    ) -> Result<Option<Duration>> {
        stall::heard();
        Ok(None)
    }

    async fn response_filter(&self, session: &mut Session, response: &mut ResponseHeader, ctx: &mut Box<Ctx>) -> Result<()> {
        if response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        if session.req_header().version == http::Version::HTTP_10 && headers::without_chunks(response) {
            session.set_keepalive(None);
        }
        for (name, value) in self.to_peer(ctx, None) {
            response.insert_header(name, value)?;
        }
        self.keep_session(response, ctx)?;
        headers::tell(response, ctx)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Box<Ctx>) -> FailToProxy {
        stall::forget();
        self.fail(session, error, ctx).await
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, ctx: &mut Box<Ctx>) {
        if let Some(current) = ctx.current.as_mut().filter(|current| current.answered.is_none()) {
            current.attempt.abandoned(self.shared.clock.now());
        }
        if !ctx.is_ping() {
            self.record(session, ctx);
        }
        if let Some(connection) = &ctx.connection {
            connection.set_stage(Stage::Idle);
        }
    }

    /// Failures are counted, and logged as requests; the engine's own lines would say it again, without the request's id.
    fn suppress_error_log(&self, _session: &Session, _ctx: &Box<Ctx>, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Box<Ctx>, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }
}

/// Whether the request may be sent to another backend after this one has seen it: nothing comes of it twice, and all of its
/// body is still there.
fn repeatable(session: &Session) -> bool {
    session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated()
}

fn carriage(session: &Session) -> Carriage {
    if session.is_upgrade_req() {
        Carriage::Upgrade
    } else if headers::is_stream(session.req_header()) {
        Carriage::Stream
    } else {
        Carriage::Exchange
    }
}

/// An id for answers to requests that never got one.
fn id(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or("unknown")
}

#[cfg(test)]
mod tests;
