//! Connections to backends that a response's deadline can end.
//!
//! The engine's `read_timeout` is the time between any two reads, and starts with the connection: as a limit for the
//! response's header it would also cut uploads that take longer, and downloads and event streams that pause. So the
//! engine gets none, and connections are made here, where a second handle of the socket stays at hand: when a header is
//! overdue the socket is shut down through it, and the engine finds a connection that has ended.
//!
//! Only for HTTP/1.1, where a connection carries one request at a time. Over HTTP/2 pings find dead backends.

use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::http::ResponseHeader;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{Digest, GetProxyDigest};
use pingora::{Error, ErrorType, OrErr, Result};
use tokio::task::AbortHandle;

/// Connects, and leaves a second handle with the connection.
#[derive(Debug)]
pub(crate) struct Dialer;

#[async_trait]
impl L4Connect for Dialer {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let Some(address) = address.as_inet() else {
            return Error::e_explain(ErrorType::InternalError, "backends have internet addresses");
        };
        let stream = tokio::net::TcpStream::connect(address).await.or_err(ErrorType::ConnectError, "connecting")?;
        let stream = stream.into_std().or_err(ErrorType::SocketError, "taking the socket")?;
        let handle = Handle(Arc::new(stream.try_clone().or_err(ErrorType::SocketError, "copying the socket's handle")?));
        let stream = tokio::net::TcpStream::from_std(stream).or_err(ErrorType::SocketError, "giving the socket back")?;
        let mut stream = Stream::from(stream);
        // The engine has no place for facts of ours but the digest of a CONNECT proxy, which is not used here.
        let response = Box::new(ResponseHeader::build(200, Some(0))?);
        stream.set_proxy_digest(ProxyDigest::new(response, Some(Box::new(handle))));
        Ok(stream)
    }
}

/// A second handle of a connection's socket.
#[derive(Clone, Debug)]
pub(crate) struct Handle(Arc<TcpStream>);

impl Handle {
    /// The handle of a connection that a [`Dialer`] made.
    pub(crate) fn of(digest: Option<&Digest>) -> Option<Self> {
        digest?.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref::<Self>().cloned()
    }

    /// Ends the connection unless the returned guard is dropped within `limit`.
    pub(crate) fn end_after(self, limit: Duration) -> Deadline {
        let passed = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&passed);
        let task = tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            flag.store(true, Ordering::Release);
            // A connection that has ended by itself needs no more.
            let _ = self.0.shutdown(Shutdown::Both);
        });
        Deadline { passed, task: task.abort_handle() }
    }
}

/// The time by which a response's header must have come.
#[derive(Debug)]
pub(crate) struct Deadline {
    passed: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Deadline {
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
