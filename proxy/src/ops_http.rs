//! The HTTP server below the health and admin ports: HTTP/1.1, reads only, on a thread of its own.
//!
//! Each port has its own thread and runtime, so that it answers while the data plane has every core and every buffer
//! it can get. It is hyper and not the engine for the same reason, and because nothing here is ever forwarded.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::drain::Tally;
use crate::metrics::{Listener, Metrics};

/// Connections at once. One more takes the place of the oldest: on the health port an attacker who fills a queue must
/// not keep the kubelet's probe out, and probes are over long before 64 others have come.
const CONNECTIONS: usize = 64;
/// For a request's header to arrive, and for an idle connection to stay.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// For the answers that are under way when the port closes.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// For a connection in all; a slow reader of a large answer holds memory for no longer.
const LIFETIME: Duration = Duration::from_mins(1);
/// After a failed accept: the usual cause is that descriptors have run out, and trying again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is said to a request.
pub type Answer = Response<Full<Bytes>>;

/// Answers requests with GET or HEAD; `local` is the address that the client connected to. It runs on the port's only
/// thread and must not wait for anything.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    fn answer(&self, request: &Parts, local: SocketAddr) -> Answer;
}

/// A text answer.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    typed(status, HeaderValue::from_static("text/plain; charset=utf-8"), body)
}

/// An answer of some media type. Nothing that these ports say is for a cache.
pub fn typed(status: StatusCode, media_type: HeaderValue, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, media_type);
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// A running port. Dropping it closes the port and its connections.
#[derive(Debug)]
pub struct OpsServer {
    addresses: Vec<SocketAddr>,
    stop: watch::Sender<Stop>,
    thread: Option<thread::JoinHandle<()>>,
}

impl OpsServer {
    /// Serves bound sockets until dropped.
    pub fn start(
        port: Listener,
        listeners: Vec<TcpListener>,
        handler: Arc<dyn Handler>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listeners = {
            let _inside = runtime.enter();
            let adopt = |listener: TcpListener| {
                listener.set_nonblocking(true)?;
                tokio::net::TcpListener::from_std(listener)
            };
            listeners.into_iter().map(adopt).collect::<io::Result<Vec<_>>>()?
        };
        let (stop, stopped) = watch::channel(Stop::No);
        let thread = thread::Builder::new().name(format!("{}-port", port.as_str())).spawn(move || {
            runtime.block_on(async {
                let mut cut = stopped.clone();
                tokio::select! {
                    () = serve(port, listeners, handler, metrics, stopped) => {}
                    // An error is the sender's end, which means the same.
                    _ = cut.wait_for(|stop| *stop == Stop::Now) => {}
                }
            });
        })?;
        Ok(Self { addresses, stop, thread: Some(thread) })
    }

    /// Closes the port, and its connections after the answers that are under way. Blocks for that long.
    pub fn stop(mut self) {
        self.stop.send_replace(Stop::Gently);
        self.join();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(addresses = ?self.addresses, "the thread of this port had panicked");
        }
    }

    /// Where it listens; the kernel's choice in place of port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

impl Drop for OpsServer {
    fn drop(&mut self) {
        self.stop.send_replace(Stop::Now);
        self.join();
    }
}

/// Whether a port goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    No,
    Gently,
    Now,
}

async fn serve(
    port: Listener,
    listeners: Vec<tokio::net::TcpListener>,
    handler: Arc<dyn Handler>,
    metrics: Arc<Metrics>,
    mut stop: watch::Receiver<Stop>,
) {
    let (accepted, mut arrivals) = mpsc::channel(1);
    let mut doors = JoinSet::new();
    for listener in listeners {
        doors.spawn(accept(listener, accepted.clone()));
    }
    drop(accepted);
    let conversations = Tally::default();
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let stream = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop != Stop::No) => break,
            Some(stream) = arrivals.recv() => stream,
            else => break,
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() == CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let (handler, counted) = (Arc::clone(&handler), (metrics.connection(port), conversations.one()));
        let stop = stop.clone();
        let connection = tokio::spawn(async move {
            // How a connection ends is the client's affair: there is nothing to tell an operator.
            let _ = tokio::time::timeout(LIFETIME, converse(stream, handler, stop)).await;
            drop(counted);
        });
        open.push_back(connection.abort_handle());
    }
    doors.shutdown().await;
    let _ = tokio::time::timeout(LAST_ANSWERS, conversations.none()).await;
}

async fn accept(listener: tokio::net::TcpListener, accepted: mpsc::Sender<TcpStream>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if accepted.send(stream).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(
    stream: TcpStream,
    handler: Arc<dyn Handler>,
    mut stop: watch::Receiver<Stop>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let local = stream.local_addr()?;
    let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
        let (parts, _body) = request.into_parts();
        let answer = if matches!(parts.method, Method::GET | Method::HEAD) {
            handler.answer(&parts, local)
        } else {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            refusal
        };
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        biased;
        ended = connection.as_mut() => return Ok(ended?),
        _ = stop.wait_for(|stop| *stop != Stop::No) => connection.as_mut().graceful_shutdown(),
    }
    Ok(connection.await?)
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    /// Sends a request's head, of lines that all end in CRLF, and reads the answer as it stands.
    pub(crate) fn raw(address: SocketAddr, head: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "{head}Connection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The status and body of a GET.
    pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
        let answer = raw(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n"));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    pub(crate) fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new(&"aws".parse().unwrap(), std::time::SystemTime::UNIX_EPOCH))
    }

    pub(crate) fn start(port: Listener, handler: impl Handler) -> OpsServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        OpsServer::start(port, vec![listener], Arc::new(handler), metrics()).unwrap()
    }

    struct Echo;

    impl Handler for Echo {
        fn answer(&self, request: &Parts, _: SocketAddr) -> Answer {
            text(StatusCode::OK, request.uri.path().to_owned())
        }
    }

    #[test]
    fn only_reads_are_answered() {
        let server = start(Listener::Admin, Echo);
        let address = server.addresses()[0];
        assert_eq!(get(address, "/x"), (200, "/x".into()));
        let head = raw(address, "HEAD /x HTTP/1.1\r\nHost: x\r\n");
        assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
            let answer = raw(address, &format!("{method} /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"));
            assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: GET, HEAD\r\n"), "{answer}");
        }
    }

    #[test]
    fn a_full_port_serves_the_newest_at_the_cost_of_the_oldest() {
        let server = start(Listener::Health, Echo);
        let address = server.addresses()[0];
        let mut idle: Vec<_> = (0..CONNECTIONS).map(|_| TcpStream::connect(address).unwrap()).collect();
        assert_eq!(get(address, "/late").0, 200);
        // The oldest was cut for the newest: it gets no answer any more, while the next oldest still does.
        let mut answered = |at: usize| {
            let sent = idle[at].write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            sent.is_ok() && idle[at].read(&mut [0]).is_ok_and(|read| read == 1)
        };
        assert!(!answered(0));
        assert!(answered(1));
    }

    #[test]
    fn a_stopped_server_ends_connections_that_wait_and_its_port() {
        let server = start(Listener::Admin, Echo);
        let address = server.addresses()[0];
        let mut kept = TcpStream::connect(address).unwrap();
        kept.write_all(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = [0; 12];
        kept.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        server.stop();
        let mut rest = String::new();
        kept.read_to_string(&mut rest).unwrap();
        assert!(rest.ends_with("/x"), "{rest}");
    }

    #[test]
    fn a_dropped_server_closes_its_port() {
        let server = start(Listener::Admin, Echo);
        let address = server.addresses()[0];
        assert_eq!(get(address, "/").0, 200);
        drop(server);
        assert!(TcpStream::connect(address).is_err());
    }
}
