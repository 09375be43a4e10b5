//! Bodies of HTTP/2 that stop coming. The engine waits for them without a limit, so that each stream is watched from outside: where
//! nothing moves for too long, all of its exchange is dropped. HTTP/2 ends the stream then (`CANCEL`), and the connection lives on.
//!
//! What moves is told by the request's phases, which run in the stream's own task. Streams on which silence means nothing, such as
//! gRPC's, are not waited for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Proxy;
use crate::metrics::{Metrics, RefusalReason};

tokio::task_local! {
    static BODY: Arc<Body>;
}

/// What is awaited of a body.
#[derive(Default)]
struct Body {
    /// When the next bytes must have come.
    until: Mutex<Option<Instant>>,
    awaited: Notify,
}

/// From now on the rest of the body is awaited: so long for each piece.
pub(super) fn await_body(patience: Duration) {
    // No stream of HTTP/2 where there is no body to watch.
    let _ = BODY.try_with(|body| {
        *body.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + patience);
        body.awaited.notify_one();
    });
}

/// A piece came, or the end, behind which nothing is awaited. Not before somebody awaits it.
pub(super) fn moved(end: bool, patience: Duration) {
    let _ = BODY.try_with(|body| {
        let mut until = body.until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = until.filter(|_| !end).map(|_| Instant::now() + patience);
    });
}

impl Body {
    /// Returns when it is overdue.
    async fn overdue(&self) {
        loop {
            let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
            match until {
                Some(until) if until <= Instant::now() => return,
                Some(until) => sleep_until(until).await,
                None => self.awaited.notified().await,
            }
        }
    }
}

/// The engine, with an eye on bodies.
pub struct Engine {
    pub(super) proxy: Arc<HttpProxy<Proxy>>,
    pub(super) metrics: Arc<Metrics>,
}

#[async_trait]
impl HttpServerApp for Engine {
    async fn process_new_http(self: &Arc<Self>, mut session: ServerSession, drain: &ShutdownWatch) -> Option<ReusedHttpStream> {
        // HTTP/1.1 has a timeout for each read.
        if !session.is_http2() || session.is_body_done() {
            return self.proxy.process_new_http(session, drain).await;
        }
        let body = Arc::new(Body::default());
        tokio::select! {
            biased;
            served = BODY.scope(Arc::clone(&body), self.proxy.process_new_http(session, drain)) => served,
            () = body.overdue() => {
                self.metrics.refusal(RefusalReason::SlowBody);
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
