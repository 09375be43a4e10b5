//! HTTP/1.1 connections between their requests: they sleep here, outside of the engine.
//!
//! The engine waits for a request with everything in hand that serving one takes: a buffer for its head, and the state of a
//! whole exchange with a backend. Most connections of an edge wait most of the time, so the engine is given one only when
//! the first byte of a request has come, and gives it back behind the response's last.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use pingora::apps::{HttpPersistentSettings, HttpServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::{IO, Shutdown};
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep};

use super::io::ClientIo;

/// How long a connection may wait for its next request.
pub const KEEP_ALIVE: Duration = Duration::from_mins(1);
/// The same without TLS: a client that was redirected has left for good.
pub const PLAIN_KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What a wait ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    /// The first byte of a request.
    Request,
    /// The end of the connection.
    Closed,
    /// Nobody's patience lasts for ever.
    Late,
}

/// Serves a connection until it ends, or has waited `keep_alive` for a request. `drain` turns true when responses shall be its last.
pub(crate) async fn serve<A, T>(app: &Arc<A>, mut io: Box<ClientIo<T>>, keep_alive: Duration, drain: &ShutdownWatch)
where
    A: HttpServerApp + Send + Sync + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ClientIo<T>: IO,
{
    let mut settings = None;
    let mut alarm = pin!(sleep(keep_alive));
    loop {
        // The engine ends such connections by itself, and had better.
        if io.is_in_body() {
            return io.shutdown().await;
        }
        match wake(&mut io, keep_alive, alarm.as_mut()).await {
            Woken::Request => {}
            Woken::Closed => return,
            Woken::Late => return io.shutdown().await,
        }
        let mut session = ServerSession::new_http1(io);
        match settings.take() {
            Some(settings) => HttpPersistentSettings::apply_to_session(settings, &mut session),
            None => session.set_keepalive((!*drain.borrow()).then_some(keep_alive.as_secs())),
        }
        let Some(reusable) = app.process_new_http(session, drain).await else { return };
        let (stream, kept) = reusable.consume();
        let Ok(same) = stream.into_any().downcast() else { return };
        (io, settings) = (same, kept);
    }
}

/// Waits for a request. `alarm` is set anew only when it rings: most waits are short, and a timer for each would cost more than the
/// wait itself.
async fn wake<T>(io: &mut ClientIo<T>, keep_alive: Duration, mut alarm: Pin<&mut Sleep>) -> Woken
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let end = Instant::now() + keep_alive;
    poll_fn(|cx| {
        if let Poll::Ready(begun) = io.poll_first(cx) {
            return Poll::Ready(if begun { Woken::Request } else { Woken::Closed });
        }
        while alarm.as_mut().poll(cx).is_ready() {
            if Instant::now() >= end {
                return Poll::Ready(Woken::Late);
            }
            alarm.as_mut().reset(end);
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
#[path = "http1/tests.rs"]
mod tests;
