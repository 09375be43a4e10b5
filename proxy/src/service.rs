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
//! Decisions are made elsewhere and are pure: `plan` in the core, `retry`, `head` and `headers` beside this. What is here
//! also closes what the engine leaves open; such places say so.

pub(crate) mod dial;
pub(crate) mod head;
mod headers;
mod peer;
mod record;
pub(crate) mod respond;
mod retry;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use causeway_certs::Match;
use causeway_core::{Refusal, RequestHead, plan};
use http::{HeaderValue, StatusCode};
use pingora::apps::HttpServerOptions;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::v2::server::default_h2_options;
use pingora::proxy::{FailToProxy, HttpProxy, ProxyHttp, ProxyWarnLogContext, Session, http_proxy};
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result, RetryType};
use tracing::debug;

use self::dial::{Dialer, Handle};
use self::peer::Carriage;
use self::retry::{Failure, Verdict};
use crate::ctx::{Ctx, Try};
use crate::forwarded;
use crate::listen::{Connection, Stage, misdirected};
use crate::metrics::{RefusalReason, RetryReason};
use crate::reply::Reply;
use crate::shared::Shared;

/// How long an HTTP/1.1 connection may wait for its next request, and an HTTP/2 one with no request on it.
const KEEP_ALIVE: Duration = Duration::from_mins(1);
const H2_IDLE: Duration = Duration::from_mins(3);

/// How long a client may take to accept any part of a response, or to send any part of a body.
const CLIENT_STALL: Duration = Duration::from_mins(1);

/// What a client may send before the backend has read it: enough for 10 MB/s over 100 ms, HTTP/2's own 64 KiB is not.
const H2_STREAM_WINDOW: u32 = 1 << 20;
const H2_CONNECTION_WINDOW: u32 = 2 << 20;

/// The most tries that the engine allows; the configuration's own limit lies below.
const MOST_TRIES: usize = 16;

/// Idle connections to backends, over all of them.
const POOL: usize = 4096;

const MISDIRECTED: Reply = Reply::new(
    StatusCode::MISDIRECTED_REQUEST,
    RefusalReason::Misdirected,
    "this host is served over a connection of its own only",
);
const UNKNOWN_HOST: Reply = Reply::new(StatusCode::NOT_FOUND, RefusalReason::NoRoute, "no route for this host");
const UNKNOWN_PATH: Reply = Reply::new(StatusCode::NOT_FOUND, RefusalReason::NoRoute, "no route for this path");
const STARTING: Reply = Reply::new(StatusCode::SERVICE_UNAVAILABLE, RefusalReason::Starting, "this edge is starting");
const NO_BACKEND: Reply =
    Reply::new(StatusCode::SERVICE_UNAVAILABLE, RefusalReason::NoBackend, "the route has no usable backend");
const FENCED: Reply = Reply::new(
    StatusCode::SERVICE_UNAVAILABLE,
    RefusalReason::Fence,
    "nobody inside this host's residency fence can serve it now",
);
const NO_ENDPOINT: Reply =
    Reply::new(StatusCode::SERVICE_UNAVAILABLE, RefusalReason::NoEndpoint, "no backend of this service can serve it now");

/// The answer when no candidate is left.
fn exhausted(ctx: &Ctx) -> Reply {
    let fenced = ctx.plan.as_ref().is_some_and(|plan| plan.policy.tls.fence.is_some());
    if fenced { FENCED } else { NO_ENDPOINT }
}

/// What clients' requests go through.
pub struct Proxy {
    shared: Arc<Shared>,
    dialer: Arc<Dialer>,
}

/// The engine, ready for [`ClientDoor`](crate::listen::ClientDoor).
pub fn engine(shared: Arc<Shared>) -> Arc<HttpProxy<Proxy>> {
    let conf = ServerConf { max_retries: MOST_TRIES, threads: 1, upstream_keepalive_pool_size: POOL, ..ServerConf::default() };
    let mut engine = http_proxy(&Arc::new(conf), Proxy { shared, dialer: Arc::new(Dialer) });
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(H2_IDLE);
    engine.server_options = Some(options);
    let mut h2 = default_h2_options();
    h2.initial_window_size(H2_STREAM_WINDOW).initial_connection_window_size(H2_CONNECTION_WINDOW);
    engine.h2_options = Some(h2);
    Arc::new(engine)
}

impl Proxy {
    /// Decides what to do with a request; an `Err` is an answer.
    fn decide(&self, session: &Session, ctx: &mut Ctx) -> Result<(), Reply> {
        let request = session.req_header();
        // One snapshot for the whole request; the guard is gone before anything is waited for.
        let snapshot = self.shared.snapshot.load();
        let config = &snapshot.config;
        ctx.limits = config.upstream.clone();
        ctx.served_by = config.responses.served_by;
        ctx.logged = config.access_log.enabled;
        if let Some(connection) = &ctx.connection {
            ctx.client = forwarded::client(connection.client.ip(), &request.headers, &config.listen.https.forwarded_for);
        }
        ctx.request_id = forwarded::request_id(&ctx.client, &request.headers, fastrand::u128(..));
        let asked = head::check(request)?;
        ctx.authority = asked.authority;
        ctx.host = asked.host;
        self.check_connection(ctx, &snapshot.policies.of_host(&ctx.host).tls)?;
        let location = (self.shared.locate)(ctx.client.address);
        ctx.country = location.as_ref().map(|location| location.country);
        let head = RequestHead { host: &ctx.host, path: head::path(request) };
        let plan = plan(&snapshot, head, location.as_ref(), fastrand::u64(..)).map_err(|refusal| match refusal {
            Refusal::Starting => STARTING,
            Refusal::UnknownHost => UNKNOWN_HOST,
            Refusal::UnknownPath => UNKNOWN_PATH,
            Refusal::NoBackend(_) => NO_BACKEND,
        })?;
        ctx.route = Some(Arc::clone(&plan.route.label));
        ctx.plan = Some(plan);
        if ctx.draw(self.shared.clock.now()) { Ok(()) } else { Err(exhausted(ctx)) }
    }

    /// Host against SNI.
    fn check_connection(&self, ctx: &Ctx, demanded: &causeway_core::policy::TlsPolicy) -> Result<(), Reply> {
        let Some(tls) = ctx.connection.as_ref().and_then(|connection| connection.tls.as_ref()) else { return Ok(()) };
        // The default certificate answers who named nobody, or somebody unknown. Nobody coalesces on it by mistake, and a
        // better one cannot be had by whoever tests with `curl -k -H 'Host: ...' https://LOAD-BALANCER/`, over HTTP/2 too.
        let covered = || tls.served.matched == Match::Default || tls.served.certificate.covers(&ctx.host);
        let better = || self.shared.certificates.load().has(&ctx.host);
        match misdirected(&tls.policy, demanded, tls.h2, covered, better) {
            Some(why) => {
                debug!(host = ctx.host, ?why, "misdirected");
                Err(MISDIRECTED)
            }
            None => Ok(()),
        }
    }

    /// Notes a failed try, and whether there will be another one.
    fn retry(&self, ctx: &mut Ctx, verdict: Verdict, reason: RetryReason) -> bool {
        let again = match verdict {
            Verdict::GiveUp => false,
            Verdict::Again => ctx.again(),
            Verdict::Next => ctx.draw(self.shared.clock.now()),
        };
        if again {
            self.shared.metrics.retry(reason);
        }
        again
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Ctx;

    fn new_ctx(&self) -> Ctx {
        let mut ctx = Ctx::new(self.shared.clock.now());
        ctx.open = Some(self.shared.metrics.request());
        ctx
    }

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<()> {
        ctx.connection = Connection::of(session.digest());
        if let Some(connection) = &ctx.connection {
            connection.set_stage(Stage::Request);
        }
        // The engine turns every keep-alive into an endless one, and an endless one switches off the timeout of the next
        // head. Connections that it means to close (0 stands for endless) stay as they are.
        if session.get_keepalive() == Some(0) {
            session.set_keepalive(Some(KEEP_ALIVE.as_secs()));
        }
        session.set_read_timeout(Some(CLIENT_STALL));
        session.set_write_timeout(Some(CLIENT_STALL));
        session.set_total_drain_timeout(Some(CLIENT_STALL));
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        match self.decide(session, ctx) {
            Ok(()) => Ok(false),
            Err(reply) => {
                self.refuse(session, ctx, reply).await?;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        let Some(candidate) = ctx.next.take() else {
            return Error::e_explain(ErrorType::InternalError, "a try without a candidate");
        };
        let carriage = carriage(session);
        let peer = peer::peer(candidate.address, candidate.protocol, &ctx.host, carriage, &ctx.limits, &self.dialer);
        ctx.tries += 1;
        let attempt = candidate.begin(self.shared.clock.now());
        ctx.current = Some(Try { candidate, attempt, answered: None, handle: None, deadline: None });
        Ok(Box::new(peer))
    }

    /// No connection, so nothing was sent: any request may be tried elsewhere (the engine would not).
    fn fail_to_connect(&self, _session: &mut Session, _peer: &HttpPeer, ctx: &mut Ctx, mut error: Box<Error>) -> Box<Error> {
        if let Some(current) = &ctx.current {
            current.attempt.failed(self.shared.clock.now());
        }
        ctx.unconnected += 1;
        error.set_retry(self.retry(ctx, Verdict::Next, RetryReason::Connect));
        error
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        ctx: &mut Ctx,
        reused: bool,
    ) -> Box<Error> {
        if ctx.overdue() {
            // What the engine saw is a connection that ended.
            error.etype = ErrorType::ReadTimedout;
        }
        let failure = Failure {
            upstream: *error.esource() == ErrorSource::Upstream,
            answered: ctx.answered(),
            stale: reused && error.retry == RetryType::ReusedOnly && !ctx.overdue(),
            refused: error.retry == RetryType::Decided(true),
            idempotent: session.req_header().method.is_idempotent(),
            replayable: !session.as_ref().retry_buffer_truncated(),
        };
        if failure.blames()
            && let Some(current) = &ctx.current
        {
            current.attempt.failed(self.shared.clock.now());
        }
        let reason = match error.etype() {
            _ if failure.refused || failure.stale => RetryReason::Refused,
            ErrorType::ReadTimedout | ErrorType::WriteTimedout => RetryReason::Timeout,
            _ => RetryReason::Reset,
        };
        // The engine panics where nobody decides.
        error.set_retry(self.retry(ctx, failure.verdict(), reason));
        error
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        _reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::fd::RawFd,
        digest: Option<&Digest>,
        ctx: &mut Ctx,
    ) -> Result<()> {
        if let Some(current) = &mut ctx.current
            && carriage(session) == Carriage::Exchange
        {
            current.handle = Handle::of(digest);
        }
        Ok(())
    }

    async fn upstream_request_filter(&self, _: &mut Session, request: &mut RequestHeader, ctx: &mut Ctx) -> Result<()> {
        headers::request(request, ctx)
    }

    /// Must not wait: while it does, a response that has come already is taken for one to a request without a body, and a
    /// WebSocket dies right after its 101 (cloudflare/pingora#946).
    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Ctx,
    ) -> Result<()> {
        if end {
            ctx.await_header();
        }
        // An empty last DATA frame would be written to an HTTP/1.1 backend as a second end of the body, and what follows
        // on that connection be read as another request (cloudflare/pingora#935).
        if end && body.as_ref().is_some_and(Bytes::is_empty) {
            *body = None;
        }
        Ok(())
    }

    async fn upstream_response_filter(&self, session: &mut Session, response: &mut ResponseHeader, ctx: &mut Ctx) -> Result<()> {
        let status = response.status;
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        let now = self.shared.clock.now();
        if let Some(current) = &mut ctx.current {
            current.answered = Some(now.since(current.attempt.started()));
            (current.handle, current.deadline) = (None, None);
            if status != StatusCode::SWITCHING_PROTOCOLS {
                current.attempt.answered(status.as_u16(), now);
            }
        }
        if status == StatusCode::SWITCHING_PROTOCOLS {
            // From here on silence is no fault, for hours.
            session.set_read_timeout(None);
        }
        // Nothing is tried again once a response has begun, and a response can last longer than the pool it was drawn from.
        ctx.plan = None;
        headers::response(response);
        Ok(())
    }

    async fn response_filter(&self, _session: &mut Session, response: &mut ResponseHeader, ctx: &mut Ctx) -> Result<()> {
        if response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        headers::tell(response, ctx)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Ctx) -> FailToProxy {
        self.fail(session, error, ctx).await
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, ctx: &mut Ctx) {
        self.record(session, ctx);
        if let Some(connection) = &ctx.connection {
            connection.set_stage(Stage::Idle);
        }
    }

    /// Failures are counted, and logged as requests; the engine's own lines would say it again, without the request's id.
    fn suppress_error_log(&self, _session: &Session, _ctx: &Ctx, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Ctx, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }
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
