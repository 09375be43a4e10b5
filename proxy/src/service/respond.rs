//! Sending the edge's own answers.

use std::net::SocketAddr;

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::proxy::{FailToProxy, Session};
use pingora::{Error, ErrorSource, ErrorType, Result};
use tracing::debug;

use super::admit::{BODY_TOO_LARGE, TOO_LARGE};
use super::secure::{self, TLS_ONLY};
use super::{Proxy, id};
use crate::ctx::Ctx;
use crate::forwarded::X_REQUEST_ID;
use crate::metrics::RefusalReason;
use crate::reply::{Format, Reply};

const UNREACHABLE: Reply =
    Reply::new(StatusCode::BAD_GATEWAY, RefusalReason::Upstream, "the backend could not be reached, or broke off");
const TIMEOUT: Reply = Reply::new(StatusCode::GATEWAY_TIMEOUT, RefusalReason::Timeout, "the backend did not answer in time");
const BAD_REQUEST: Reply = Reply::new(StatusCode::BAD_REQUEST, RefusalReason::BadRequest, "the request breaks the rules of HTTP");
const SLOW_BODY: Reply =
    Reply::new(StatusCode::REQUEST_TIMEOUT, RefusalReason::SlowBody, "the rest of the request's body did not come in time");
const INTERNAL: Reply =
    Reply::new(StatusCode::INTERNAL_SERVER_ERROR, RefusalReason::Upstream, "the edge could not forward the request");

impl Proxy {
    /// Answers a request that goes nowhere.
    pub(super) async fn refuse(&self, session: &mut Session, ctx: &mut Ctx, reply: Reply) -> Result<()> {
        if reply.status == StatusCode::BAD_REQUEST {
            // Whoever breaks the rules once may not mean what we read next either.
            session.set_keepalive(None);
        }
        if reply.label == RefusalReason::Fence {
            super::crossing::audit(ctx);
        }
        ctx.refused = Some(reply.label);
        if !ctx.is_ping() {
            self.shared.metrics.refusal(reply.label);
        }
        let mut more = self.to_peer(ctx, ctx.refused);
        if reply == TLS_ONLY {
            let port = self.shared.snapshot.load().config.listen.https.bind.first().map_or(443, SocketAddr::port);
            more.push((LOCATION, secure::location(session.req_header(), &ctx.host, port)));
        }
        send_with(session.as_downstream_mut(), reply, id(&ctx.request_id), more).await
    }

    /// Answers a request that could not be served, where that is still possible.
    pub(super) async fn fail(&self, session: &mut Session, error: &Error, ctx: &mut Ctx) -> FailToProxy {
        let faulty = ctx.connection.as_ref().is_some_and(|connection| connection.faulty());
        let answer = match error {
            _ if faulty => Some(BAD_REQUEST),
            error if nobody_there(error, ctx) => Some(super::replies::exhausted(ctx)),
            error => failure(error),
        };
        debug!(%error, request = id(&ctx.request_id), "not served");
        if *error.esource() == ErrorSource::Downstream && *error.etype() == ErrorType::WriteTimedout {
            // There is nobody to answer, and a backend has served it.
            self.shared.metrics.refusal(RefusalReason::SlowReader);
        }
        let begun = session.response_written().is_some_and(|response| !response.status.is_informational());
        let Some(reply) = answer.filter(|_| !begun) else {
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        };
        // The engine drops an HTTP/1.1 connection behind an error: say so, and let the answer arrive first.
        session.set_keepalive(None);
        if let Err(error) = self.refuse(session, ctx, reply).await {
            debug!(%error, "the client left before its answer");
        } else if !session.is_http2() {
            session.as_downstream_mut().shutdown().await;
        } else if let Err(error) = session.as_downstream_mut().finish_body().await {
            debug!(%error, "the client left before its answer");
        }
        FailToProxy { error_code: reply.status.as_u16(), can_reuse_downstream: false }
    }
}

/// Whether every try ended before anything could be sent: no backend has failed at the request, there was none.
fn nobody_there(error: &Error, ctx: &Ctx) -> bool {
    use ErrorType::{ConnectError, ConnectNoRoute, ConnectRefused, ConnectTimedout};
    let unreachable = matches!(error.etype(), ConnectError | ConnectNoRoute | ConnectRefused | ConnectTimedout);
    unreachable && ctx.tries.made > 0 && ctx.tries.unconnected == ctx.tries.made
}

/// The answer to a failure; `None` where nobody is left to answer.
fn failure(error: &Error) -> Option<Reply> {
    use ErrorType::{
        ConnectTimedout, ConnectionClosed, ReadError, ReadTimedout, TLSHandshakeTimedout, WriteError, WriteTimedout,
    };
    match (error.esource(), error.etype()) {
        (_, etype) if *etype == BODY_TOO_LARGE => Some(TOO_LARGE),
        (ErrorSource::Upstream, ConnectTimedout | ReadTimedout | WriteTimedout | TLSHandshakeTimedout) => Some(TIMEOUT),
        (ErrorSource::Upstream, _) => Some(UNREACHABLE),
        (ErrorSource::Downstream, ReadTimedout) => Some(SLOW_BODY),
        (ErrorSource::Downstream, ReadError | WriteError | ConnectionClosed | WriteTimedout) => None,
        (ErrorSource::Downstream, _) => Some(BAD_REQUEST),
        (ErrorSource::Internal | ErrorSource::Unset, _) => Some(INTERNAL),
    }
}

/// Writes an answer in the form that the client accepts.
pub(crate) async fn send(session: &mut ServerSession, reply: Reply, request_id: &str) -> Result<()> {
    send_with(session, reply, request_id, Vec::new()).await
}

async fn send_with(
    session: &mut ServerSession,
    reply: Reply,
    request_id: &str,
    more: Vec<(HeaderName, HeaderValue)>,
) -> Result<()> {
    let (content_type, body) = reply.body(Format::accepted(&session.req_header().headers), request_id);
    let mut response = ResponseHeader::build(reply.status, Some(5))?;
    response.insert_header(CONTENT_TYPE, content_type)?;
    response.insert_header(CONTENT_LENGTH, body.len())?;
    response.insert_header(CACHE_CONTROL, "no-store")?;
    response.insert_header(X_REQUEST_ID, request_id)?;
    if let Some(seconds) = reply.retry_after() {
        response.insert_header(RETRY_AFTER, seconds)?;
    }
    for (name, value) in more {
        response.insert_header(name, value)?;
    }
    let bodiless = session.req_header().method == Method::HEAD;
    session.write_response_header(Box::new(response)).await?;
    if !bodiless {
        session.write_response_body(body, true).await?;
    }
    Ok(())
}
