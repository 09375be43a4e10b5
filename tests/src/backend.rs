//! A backend as shops run them: HTTP/1.1 and HTTP/2 on one port, `WebSocket`s and gRPC. It can be killed, and comes back.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A backend on loopback; it ends when it is dropped.
#[derive(Debug)]
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    process: Mutex<Option<Process>>,
}

/// All that dies with it.
#[derive(Debug)]
struct Process {
    accepting: JoinHandle<()>,
    _alive: watch::Sender<()>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Backend {
    /// Starts one.
    ///
    /// # Panics
    /// Where loopback has no port left.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
        let address = listener.local_addr().expect("it is bound");
        Self { address, process: Mutex::new(Some(serve(listener))) }
    }

    /// Ends it as a crash does: every connection breaks, and new ones are refused.
    pub fn kill(&self) {
        drop(self.lock().take());
    }

    /// Starts it again, at the same address.
    pub async fn revive(&self) {
        self.kill();
        loop {
            let bound = TcpSocket::new_v4().and_then(|socket| {
                socket.set_reuseaddr(true)?;
                socket.bind(self.address)?;
                socket.listen(1024)
            });
            if let Ok(listener) = bound {
                *self.lock() = Some(serve(listener));
                return;
            }
            // What was aborted is gone at its next turn.
            tokio::task::yield_now().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(listener: TcpListener) -> Process {
    let (alive, dies) = watch::channel(());
    let accepting = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    let _ = stream.set_nodelay(true);
                    let dies = dies.clone();
                    connections.spawn(async move {
                        let service = service_fn(move |request| answer(request, dies.clone()));
                        let http = auto::Builder::new(TokioExecutor::new());
                        let _ = http.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
                    });
                }
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
    });
    Process { accepting, _alive: alive }
}

async fn answer(request: Request<Incoming>, dies: watch::Receiver<()>) -> Result<Response<Body>, Infallible> {
    if request.headers().contains_key("upgrade") {
        return Ok(chat(request, dies));
    }
    let grpc = request.headers().get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let Ok(body) = request.into_body().collect().await else { return Ok(empty(StatusCode::BAD_REQUEST)) };
    let body = body.to_bytes();
    if !grpc {
        return Ok(Response::new(Full::new(Bytes::from(body.len().to_string())).boxed_unsync()));
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [Ok(Frame::data(body)), Ok(Frame::trailers(trailers))];
    let mut response = Response::new(StreamBody::new(futures::stream::iter(frames)).boxed_unsync());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    Ok(response)
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Full::default().boxed_unsync());
    *response.status_mut() = status;
    response
}

/// Sends everything back, for as long as the backend lives.
fn chat(mut request: Request<Incoming>, mut dies: watch::Receiver<()>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        tokio::select! {
            _ = tokio::io::copy(&mut read, &mut write) => {}
            // The sender's end.
            _ = dies.changed() => {}
        }
    });
    let mut response = empty(StatusCode::SWITCHING_PROTOCOLS);
    response.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
    response.headers_mut().insert("upgrade", HeaderValue::from_static("websocket"));
    response
}
