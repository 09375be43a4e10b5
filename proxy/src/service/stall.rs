//! Bodies of requests that stand still, and whose fault that is.
//!
//! The engine waits without a limit for a backend that does not take a body, and over HTTP/2 for a client that does not send one. So
//! the pieces of a body are followed: each is handed on in a shell that tells when the engine has let go of it, which it does once the
//! backend's connection has taken it. Where nothing moves for too long, it is the backend that does not take while a piece is out,
//! and else the client that does not send.
//!
//! The connection to the backend, which carries nothing else where there is a body, is ended then (`dial`), and the engine sees a failure,
//! which is blamed, tried elsewhere or answered 504 as any other. Where it is the client that does not send, or a response has begun,
//! nothing can be ended from outside: all of the exchange is dropped, which resets the streams (`CANCEL`) and leaves their connections alone.
//! What is told of the request then was written down before. The engine's own limit for writing is of no use: it goes on to wait for an
//! answer.
//!
//! So it is too where a backend of HTTP/2 pauses within its answer to a body: the engine's limit for that would run while the body is sent.
//!
//! Streams on which silence means nothing, such as gRPC's, are not watched.

mod pieces;

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use tokio::time::{Instant, Sleep, sleep_until};

pub(super) use self::pieces::Pieces;
use super::Proxy;
use super::record::Unfinished;
use crate::metrics::RefusalReason;
use crate::shared::Shared;

tokio::task_local! {
    /// Of the request that the task serves: its body, where it is watched.
    static BODY: RefCell<Option<Body>>;
}

/// A body that is watched.
struct Body {
    patience: Duration,
    /// How long the backend may say nothing within its response; `None` where others see to that.
    pause: Option<Duration>,
    pieces: Arc<Pieces>,
    /// When the backend was heard last, or had everything; `None` before.
    heard: Option<Instant>,
    /// Whether it is the client's turn where nothing is out. Not once it has sent everything, nor where others see to that.
    sends: bool,
    /// Whether the connection to the backend is ended when it does not take, or does not answer.
    ended: bool,
    /// Bytes that came.
    received: u64,
    story: Unfinished,
}

/// Who else sees to it that an exchange moves on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    /// Whether the client is watched here.
    pub(super) client: bool,
    /// Whether a backend that takes nothing, or does not answer, sees the end of its connection.
    pub(super) ended: bool,
    /// How long the backend may say nothing within its response, where that is seen to here.
    pub(super) pause: Option<Duration>,
}

/// From now on the body may stand still for `patience` at most. Every try begins anew.
pub(super) fn watch(patience: Duration, watched: Watched, story: Unfinished) -> Arc<Pieces> {
    let pieces = Arc::new(Pieces::default());
    let Watched { client: sends, ended, pause } = watched;
    let body = Body { patience, pause, pieces: Arc::clone(&pieces), heard: None, sends, ended, received: 0, story };
    // Where there is no body nothing is watched.
    let _ = BODY.try_with(|watched| watched.replace(Some(body)));
    pieces
}

/// A piece came, or the end, behind which nothing is awaited of the client. Wraps what goes on to the backend.
pub(super) fn came(piece: &mut Option<Bytes>, end: bool, received: u64) {
    let _ = BODY.try_with(|watched| {
        let mut watched = watched.borrow_mut();
        let Some(body) = watched.as_mut() else { return };
        body.sends &= !end;
        body.heard = end.then(Instant::now);
        body.received = received;
        *piece = piece.take().map(|bytes| body.pieces.hand(bytes));
    });
}

/// A response has begun: the connection to the backend is not ended any more.
pub(super) fn answered(status: u16) {
    let _ = BODY.try_with(|watched| {
        if let Some(body) = watched.borrow_mut().as_mut() {
            body.ended = false;
            // What comes is passed on before more is read, and that takes as long as the client does.
            body.pause = body.pause.map(|pause| pause + body.patience);
            body.heard = body.heard.map(|_| Instant::now());
            body.story.answered(status);
        }
    });
}

/// The try is over: nothing of it is watched any more.
pub(super) fn forget() {
    let _ = BODY.try_with(RefCell::take);
}

/// A piece of the response came.
pub(super) fn heard() {
    let _ = BODY.try_with(|watched| {
        if let Some(heard) = watched.borrow_mut().as_mut().and_then(|body| body.heard.as_mut()) {
            *heard = Instant::now();
        }
    });
}

impl Body {
    /// As things stand: until when something has to move, and what it is if nothing does.
    fn end(&self) -> Option<(Instant, RefusalReason)> {
        let (out, since) = self.pieces.moved();
        match (out, self.heard, self.pause) {
            (true, ..) if !self.ended => Some((since + self.patience, RefusalReason::Timeout)),
            (false, ..) if self.sends => Some((since + self.patience, RefusalReason::SlowBody)),
            (false, Some(heard), Some(pause)) if !self.ended => Some((since.max(heard) + pause, RefusalReason::Timeout)),
            _ => None,
        }
    }
}

/// Ready when the body is overdue. To be asked whenever the request was served a bit: what it sees changes only then, or for the
/// better.
fn overdue(alarm: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> Poll<RefusalReason> {
    loop {
        let end = BODY.with(|watched| watched.borrow().as_ref().and_then(Body::end));
        let Some((end, reason)) = end else { return Poll::Pending };
        if end <= Instant::now() {
            return Poll::Ready(reason);
        }
        // Set anew only when it has rung: most bodies move all the time.
        let alarm = alarm.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if alarm.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        alarm.as_mut().reset(end);
    }
}

/// The engine, with an eye on bodies.
pub struct Engine {
    pub(super) proxy: Arc<HttpProxy<Proxy>>,
    pub(super) shared: Arc<Shared>,
}

#[async_trait]
impl HttpServerApp for Engine {
    async fn process_new_http(self: &Arc<Self>, mut session: ServerSession, drain: &ShutdownWatch) -> Option<ReusedHttpStream> {
        if session.is_http2() && session.req_header().method == Method::CONNECT {
            // The engine answers 405 before it asks anybody.
            self.shared.metrics.refusal(RefusalReason::BadRequest);
        }
        // Most streams have none. Of HTTP/1.1 it is not known yet.
        if session.is_http2() && session.is_body_done() {
            return self.proxy.process_new_http(session, drain).await;
        }
        let mut alarm = None;
        let served = async {
            tokio::select! {
                // What is served changes what is overdue.
                biased;
                served = self.proxy.process_new_http(session, drain) => Ok(served),
                overdue = poll_fn(|cx| overdue(&mut alarm, cx)) => Err((overdue, BODY.with(RefCell::take))),
            }
        };
        match BODY.scope(RefCell::default(), served).await {
            Ok(served) => served,
            Err((reason, body)) => {
                self.shared.metrics.refusal(reason);
                if let Some(body) = body {
                    body.story.end(&self.shared, reason, body.received);
                }
                None
            }
        }
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.proxy.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.proxy.server_options()
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}
