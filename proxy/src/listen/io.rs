//! The IO type that the engine reads and writes clients through.
//!
//! It stands between a transport (a socket, or TLS over one) and the engine, and adds what neither has:
//!
//! - *Write buffering*, since the engine writes a response's head and body apart, and on TLS every write becomes a record
//!   and a system call. What lies in the buffer is flushed when the engine asks, when the buffer is full, and when the
//!   engine turns to reading with nothing to read: a response that trickles must not wait for its buffer to fill.
//! - *A deadline for a whole request head*, since the engine's timeouts start anew with every byte.
//! - *The connection's facts*, for the request phases: see [`Connection`].
//!
//! Reading is not buffered: rustls holds what it decrypted, and an idle connection should cost little memory.

use std::io;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::l4::socket::SocketAddr as EngineAddr;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::connection::{Connection, Stage};

/// How long a request's head may take from its first byte to its last.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// One TLS record (RFC 8446 section 5.1): more would be split again, less would waste system calls.
const WRITE_BUFFER: usize = 16 * 1024;

/// The preface of HTTP/2 and the header of the SETTINGS frame that must follow it (RFC 9113 section 3.4).
const H2_PREFACE: usize = 24 + 9;

/// After a connection's last response: how long, and how many bytes, what the client still sends is read and thrown away.
/// Closing at once would reset the connection and destroy the response on its way (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// A client's connection, as the engine sees it.
#[derive(Debug)]
pub struct ClientIo<T> {
    transport: T,
    connection: Arc<Connection>,
    fd: RawFd,
    written: Vec<u8>,
    drained: usize,
    /// Whether anything was written since the last complete flush; TLS may hold records that the socket did not take.
    unflushed: bool,
    head_timeout: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    preface_left: usize,
    carrier: Arc<ProxyDigest>,
    socket: Arc<SocketDigest>,
    ssl: Option<Arc<SslDigest>>,
}

impl<T> ClientIo<T> {
    /// Wraps a transport whose handshakes are done; `fd` only names the connection in the engine's books.
    pub fn new(transport: T, fd: RawFd, connection: Connection, head_timeout: Duration) -> Self {
        let connection = Arc::new(connection);
        let socket = SocketDigest::from_raw_fd(fd);
        // Filled in here, so that nobody has to ask the kernel again.
        let _ = socket.peer_addr.set(Some(EngineAddr::Inet(connection.peer)));
        let _ = socket.local_addr.set(Some(EngineAddr::Inet(connection.local)));
        let response = pingora::http::ResponseHeader::build(200, Some(0)).expect("200 is a status");
        let facts: Box<dyn std::any::Any + Send + Sync> = Box::new(Arc::clone(&connection));
        let carrier = Arc::new(ProxyDigest::new(Box::new(response), Some(facts)));
        let ssl = connection.tls.as_ref().map(|tls| Arc::new(SslDigest::new(tls.cipher, tls.version, None, None, Vec::new())));
        let preface_left = if connection.tls.as_ref().is_some_and(|tls| tls.h2) { H2_PREFACE } else { 0 };
        let mut io = Self {
            transport,
            connection,
            fd,
            written: Vec::new(),
            drained: 0,
            unflushed: false,
            head_timeout,
            deadline: None,
            preface_left,
            carrier,
            socket: Arc::new(socket),
            ssl,
        };
        if preface_left > 0 {
            io.arm();
        }
        io
    }

    fn arm(&mut self) {
        self.deadline = Some(Box::pin(tokio::time::sleep(self.head_timeout)));
    }

    /// Ends a head that has taken too long; leaves a waker behind otherwise.
    fn check_deadline(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.preface_left == 0 && self.connection.stage() != Stage::Head {
            self.deadline = None;
        }
        let Some(deadline) = &mut self.deadline else { return Ok(()) };
        if deadline.deadline() <= Instant::now() || deadline.as_mut().poll(cx).is_ready() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the request's head did not come in time"));
        }
        Ok(())
    }

    /// Takes note of `count` bytes that came in.
    fn received(&mut self, count: usize) {
        if self.preface_left > 0 {
            self.preface_left = self.preface_left.saturating_sub(count);
        } else if count > 0 && !self.is_h2() && self.connection.stage() == Stage::Idle {
            self.connection.set_stage(Stage::Head);
            self.arm();
        }
    }

    fn is_h2(&self) -> bool {
        self.connection.tls.as_ref().is_some_and(|tls| tls.h2)
    }
}

impl<T: AsyncWrite + Unpin> ClientIo<T> {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.drained < self.written.len() {
            let n = ready!(Pin::new(&mut self.transport).poll_write(cx, &self.written[self.drained..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.drained += n;
        }
        self.written.clear();
        self.drained = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_flush_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        ready!(Pin::new(&mut self.transport).poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for ClientIo<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_deadline(cx)?;
        let before = buf.filled().len();
        match Pin::new(&mut this.transport).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                this.received(buf.filled().len() - before);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Pending => {
                // The engine waits, and so would whoever reads the response. An error shows itself at the next write.
                if this.unflushed {
                    let _ = this.poll_flush_all(cx);
                } else if this.connection.stage() == Stage::Idle {
                    this.written = Vec::new();
                }
                Poll::Pending
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ClientIo<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.written.len() + buf.len() > WRITE_BUFFER {
            ready!(this.poll_drain(cx))?;
        }
        this.unflushed = true;
        if buf.len() >= WRITE_BUFFER {
            return Pin::new(&mut this.transport).poll_write(cx, buf);
        }
        this.written.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_flush_all(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.transport).poll_shutdown(cx)
    }
}

#[async_trait]
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Shutdown for ClientIo<T> {
    async fn shutdown(&mut self) {
        let lingering = async {
            AsyncWriteExt::shutdown(self).await?;
            let mut sink = [0; 4096];
            let mut left = LINGER_BYTES;
            while left > 0 {
                match self.transport.read(&mut sink).await? {
                    0 => break,
                    n => left = left.saturating_sub(n),
                }
            }
            io::Result::Ok(())
        };
        // Whatever goes wrong here, the connection ends.
        let _ = tokio::time::timeout(LINGER, lingering).await;
    }
}

impl<T> UniqueID for ClientIo<T> {
    fn id(&self) -> RawFd {
        self.fd
    }
}

impl<T> Ssl for ClientIo<T> {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.ssl.clone()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.connection.tls.as_ref().map(|tls| if tls.h2 { ALPN::H2 } else { ALPN::H1 })
    }
}

impl<T> GetTimingDigest for ClientIo<T> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl<T> GetProxyDigest for ClientIo<T> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.carrier))
    }
}

impl<T> GetSocketDigest for ClientIo<T> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.socket))
    }
}

#[async_trait]
impl<T: Send> Peek for ClientIo<T> {}

#[cfg(test)]
#[path = "io/tests.rs"]
mod tests;
