//! Connections to backends that a response's deadline can end.
//!
//! The engine's `read_timeout` is the time between any two reads, and starts with the connection: as a limit for the
//! response's header it would also cut uploads that take longer, and downloads and event streams that pause. So the
//! engine gets none, and connections are made here, where a second handle of the socket stays at hand: when a header is
//! overdue the socket is shut down through it, and the engine finds a connection that has ended.
//!
//! So for HTTP/1.1, where a connection carries one request at a time. One of HTTP/2 carries many, and is ended only for a backend that
//! is [gone](super::doubt).

use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use causeway_core::cell::Ear;
use causeway_core::retry::Wait;
use pingora::Result;
use pingora::connectors::L4Connect;
use pingora::http::ResponseHeader;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{Digest, GetProxyDigest};
use tokio::task::AbortHandle;

use crate::connect::connect;
use crate::late::rest;

/// Connects, and leaves a second handle with the connection.
#[derive(Debug)]
pub(crate) struct Dialer {
    /// Whether it connects for upgrades.
    pub(crate) upgrade: bool,
}

/// One of each kind.
#[derive(Clone, Debug)]
pub(crate) struct Dialers {
    pub(crate) exchange: Arc<Dialer>,
    pub(crate) upgrade: Arc<Dialer>,
}

impl Default for Dialers {
    fn default() -> Self {
        Self { exchange: Arc::new(Dialer { upgrade: false }), upgrade: Arc::new(Dialer { upgrade: true }) }
    }
}

#[async_trait]
impl L4Connect for Dialer {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let (mut stream, socket) = connect(address, self.upgrade).await?;
        let handle = Handle(Arc::new(Socket { stream: socket, ended: AtomicBool::new(false) }));
        // The engine has no place for facts of ours but the digest of a CONNECT proxy, which is not used here.
        let response = Box::new(ResponseHeader::build(200, Some(0))?);
        stream.set_proxy_digest(ProxyDigest::new(response, Some(Box::new(handle))));
        Ok(stream)
    }
}

/// A second handle of a connection's socket.
#[derive(Clone, Debug)]
pub(crate) struct Handle(Arc<Socket>);

#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    /// Whether it was ended through a handle.
    ended: AtomicBool,
}

impl Handle {
    /// The handle of a connection that a [`Dialer`] made.
    pub(crate) fn of(digest: Option<&Digest>) -> Option<Self> {
        digest?.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref::<Self>().cloned()
    }

    /// Whether the connection was ended here, whichever request that was for.
    pub(crate) fn ended(&self) -> bool {
        self.0.ended.load(Ordering::Acquire)
    }

    /// Ends the connection unless the returned guard is dropped in time.
    pub(crate) fn end_after(self, wait: Wait, mut ear: Ear) -> Deadline {
        self.end_when(async move {
            let mut left = wait.most;
            loop {
                let stretch = wait.in_silence.min(left);
                rest(stretch).await;
                left -= stretch;
                if left.is_zero() || !ear.heard() {
                    return;
                }
            }
        })
    }

    /// Ends the connection once `over` is, unless the returned guard is dropped before.
    pub(crate) fn end_when(self, over: impl Future<Output = ()> + Send + 'static) -> Deadline {
        let passed = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&passed);
        let task = tokio::spawn(async move {
            over.await;
            flag.store(true, Ordering::Release);
            self.0.ended.store(true, Ordering::Release);
            // A connection that has ended by itself needs no more.
            let _ = self.0.stream.shutdown(Shutdown::Both);
        });
        Deadline { passed, task: task.abort_handle() }
    }
}

/// What ends a connection while a response's header is awaited.
#[derive(Debug)]
pub(crate) struct Deadline {
    passed: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Deadline {
    /// One that ends nothing itself: runs `task` until it is dropped.
    pub(crate) fn running(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { passed: Arc::default(), task: tokio::spawn(task).abort_handle() }
    }

    /// Whether it has passed, and the connection was ended for it.
    pub(crate) fn passed(&self) -> bool {
        self.passed.load(Ordering::Acquire)
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.task.abort();
    }
}
