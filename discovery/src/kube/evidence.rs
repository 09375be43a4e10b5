//! What proves that an API server lives, and the limit of patience with one that does not.
//!
//! A layer below the client sees every response: a success and each byte of its body are evidence of life. It also bounds
//! every silence, before the response's header and within its body. A watch that was silent for long ends as if the
//! server had closed it, and is opened again where it stopped: alive or dead, that tells within [`Patience::silence`](super::Patience::silence). So a hung
//! watch is found even where the rest of the server answers, and nothing depends on anybody's clock or on bookmarks.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use causeway_core::time::Nanos;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use kube::client::Body as RequestBody;
use tokio::time::{Instant, Sleep};
use tower::{BoxError, Layer, Service};

use super::Patience;
use crate::source::Clock;

/// When an API server was last heard, by the path of the collection that it spoke of, and how much it said.
#[derive(Clone)]
pub struct Evidence {
    clock: Clock,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Only paths that somebody listens for.
    collections: Mutex<BTreeMap<String, Arc<Collection>>>,
    bytes: AtomicU64,
    requests: AtomicU64,
    watches: AtomicU64,
    /// Watches that were given up for their silence.
    silent: AtomicU64,
    /// Until when the server asked to be left alone.
    wait_until: AtomicU64,
}

/// The objects at a path. Times are plus one; 0: never.
#[derive(Default)]
struct Collection {
    /// When the server last spoke of it.
    heard: AtomicU64,
    /// When a watch of it was opened last.
    opened: AtomicU64,
}

impl Evidence {
    /// Nothing was heard yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, inner: Arc::default() }
    }

    /// Evidence that nobody asks for.
    pub(super) fn unheard() -> Self {
        Self::new(Arc::new(|| Nanos(0)))
    }

    /// From now on, remembers when the server speaks of the collection at `path`; what was heard before is forgotten.
    pub(super) fn listen_for(&self, path: &str) {
        self.paths().insert(path.to_owned(), Arc::default());
    }

    /// When the server last spoke of the collection at `path`: a success, or a byte of a body.
    pub(super) fn heard(&self, path: &str) -> Option<Nanos> {
        self.paths().get(path)?.heard.load(Ordering::Relaxed).checked_sub(1).map(Nanos)
    }

    /// The bytes of all bodies.
    pub fn bytes(&self) -> u64 {
        self.inner.bytes.load(Ordering::Relaxed)
    }

    /// The requests sent.
    pub fn requests(&self) -> u64 {
        self.inner.requests.load(Ordering::Relaxed)
    }

    /// The watches opened, and how many of them were given up for their silence.
    pub fn watches(&self) -> (u64, u64) {
        (self.inner.watches.load(Ordering::Relaxed), self.inner.silent.load(Ordering::Relaxed))
    }

    /// How long the server still asks to be left alone (Retry-After, RFC 9110 section 10.2.3), at most a minute.
    pub(super) fn asked_to_wait(&self) -> Duration {
        Nanos(self.inner.wait_until.load(Ordering::Relaxed)).since((self.clock)())
    }

    fn hear_wish(&self, headers: &http::HeaderMap) {
        let seconds = headers.get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if let Some(seconds) = seconds {
            let until = (self.clock)().after(Duration::from_secs(seconds.min(60)));
            self.inner.wait_until.store(until.0, Ordering::Relaxed);
        }
    }

    fn paths(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Collection>>> {
        self.inner.collections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one response is evidence of.
struct Trace {
    evidence: Evidence,
    collection: Option<Arc<Collection>>,
}

impl Trace {
    fn hear(&self, bytes: usize) {
        if let Some(collection) = &self.collection {
            collection.heard.store((self.evidence.clock)().0 + 1, Ordering::Relaxed);
        }
        self.evidence.inner.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// How long a watch that was opened now is to be held back, so that they follow each other no faster than `apart`.
    fn too_soon(&self, apart: Duration) -> Duration {
        let Some(collection) = &self.collection else { return Duration::ZERO };
        let now = (self.evidence.clock)();
        let before = collection.opened.load(Ordering::Relaxed).checked_sub(1).map(Nanos);
        let held_back = before.map_or(Duration::ZERO, |before| before.after(apart).since(now));
        // One watch a collection at a time: nobody else writes. It counts from when it is let go, or every second one passed at once.
        collection.opened.store(now.after(held_back).0 + 1, Ordering::Relaxed);
        held_back
    }
}

/// Puts [`Listened`] around a service.
#[derive(Clone)]
pub(super) struct EvidenceLayer {
    evidence: Evidence,
    patience: Patience,
}

impl EvidenceLayer {
    /// Reports to `evidence`, and has that patience with silence.
    pub(super) fn new(evidence: Evidence, patience: Patience) -> Self {
        Self { evidence, patience }
    }
}

impl<S> Layer<S> for EvidenceLayer {
    type Service = Listened<S>;
    fn layer(&self, inner: S) -> Listened<S> {
        Listened { inner, evidence: self.evidence.clone(), patience: self.patience }
    }
}

/// An HTTP client that is listened to.
#[derive(Clone)]
pub(super) struct Listened<S> {
    inner: S,
    evidence: Evidence,
    patience: Patience,
}

impl<S, B> Service<Request<RequestBody>> for Listened<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error = BoxError> + Send + Unpin + 'static,
{
    type Response = Response<Heard<B>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let watch = is_watch(request.uri().query().unwrap_or_default());
        let collection = self.evidence.paths().get(request.uri().path()).cloned();
        let trace = Trace { evidence: self.evidence.clone(), collection };
        self.evidence.inner.requests.fetch_add(1, Ordering::Relaxed);
        self.evidence.inner.watches.fetch_add(u64::from(watch), Ordering::Relaxed);
        let (patience, apart) = (self.patience.silence, self.patience.shortest);
        let response = self.inner.call(request);
        Box::pin(async move {
            let Ok(response) = tokio::time::timeout(patience, response).await else {
                return Err(format!("no answer for {patience:?}").into());
            };
            let response = response?;
            let good = response.status().is_success();
            if good {
                trace.hear(0);
                if watch {
                    // The watcher opens what was closed again at once, and would ask without end a server that closes at once.
                    tokio::time::sleep(trace.too_soon(apart)).await;
                }
            } else {
                trace.evidence.hear_wish(response.headers());
            }
            Ok(response.map(|body| Heard { body, trace, good, watch, patience, silence: Box::pin(tokio::time::sleep(patience)) }))
        })
    }
}

/// Whether a request's query asks for a watch.
fn is_watch(query: &str) -> bool {
    query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"))
}

/// A body whose every frame is evidence, and that is given up when none comes.
pub(super) struct Heard<B> {
    body: B,
    trace: Trace,
    /// An error's body is no evidence.
    good: bool,
    watch: bool,
    patience: Duration,
    silence: Pin<Box<Sleep>>,
}

impl<B: Body<Data = Bytes, Error = BoxError> + Unpin> Body for Heard<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            if let Some(Ok(frame)) = &frame {
                if this.good {
                    this.trace.hear(frame.data_ref().map_or(0, Bytes::len));
                }
                this.silence.as_mut().reset(Instant::now() + this.patience);
            }
            return Poll::Ready(frame);
        }
        match this.silence.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) if this.watch => {
                this.trace.evidence.inner.silent.fetch_add(1, Ordering::Relaxed);
                Poll::Ready(None)
            }
            Poll::Ready(()) => Poll::Ready(Some(Err(format!("the answer stopped for {:?}", this.patience).into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::is_watch;

    #[test]
    fn a_watch_is_known_by_its_query() {
        assert!(is_watch("&watch=true&resourceVersion=1") && is_watch("watch=1"));
        assert!(!is_watch("limit=500") && !is_watch("watch=false") && !is_watch("fieldSelector=watch=true"));
    }
}
