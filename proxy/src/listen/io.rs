//! The IO type that the engine reads and writes clients through.
//!
//! It stands between a transport (a socket, or TLS over one) and the engine, and adds what neither has:
//!
//! - *Write buffering*, since the engine writes a response's head and body apart, and on TLS every write becomes a record
//!   and a system call. What lies in the buffer is flushed when the engine asks, when the buffer is full, and when the
//!   engine turns to reading with nothing to read: a response that trickles must not wait for its buffer to fill.
//! - *A deadline for a whole request head*, since the engine's timeouts start anew with every byte.
//! - *A strict look* at what HTTP/1.1 messages are framed by, since the engine forgives too much: see [`screen`](super::screen).
//!   What is not plainly valid is answered here, and the engine sees a connection that has ended.
//! - *One request at a time*: what a client sends behind one (RFC 9112 section 9.3.2) waits here until that is answered.
//! - *A question to HTTP/2 clients that are silent*, whether they still live: see [`pulse`](super::pulse).
//! - *The count of what the engine refuses by itself* over HTTP/2: it tells nobody but the client.
//! - *The connection's facts*, for the request phases: see [`Connection`].
//!
//! What else the engine wants of a connection is in `facts`.
//!
//! Reading is not buffered: rustls holds what it decrypted, and an idle connection should cost little memory.

mod facts;

use std::io;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use pingora::protocols::SocketDigest;
use pingora::protocols::l4::socket::SocketAddr as EngineAddr;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::connection::{Connection, Role, Stage};
use super::limits::IoLimits;
use super::preface::PREFACE;
use super::pulse::{ANSWER, Pulse};
use super::screen::{Screen, Wrong, last_words, reply};
use crate::metrics::{Metrics, RefusalReason};

/// One TLS record (RFC 8446 section 5.1): more would be split again, less would waste system calls.
const WRITE_BUFFER: usize = 16 * 1024;

/// The preface of HTTP/2 and the header of the SETTINGS frame that must follow it (RFC 9113 section 3.4).
const H2_PREFACE: usize = PREFACE.len() + 9;

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
    limits: IoLimits,
    screen: Screen,
    /// Whether the connection was refused, and how far its end has come.
    refused: Refused,
    metrics: Arc<Metrics>,
    /// When what the client is at must be over.
    deadline: Option<Instant>,
    /// Rings then. Made only where somebody has to wait, since nearly every head comes at once.
    alarm: Option<Pin<Box<Sleep>>>,
    preface_left: usize,
    /// Of HTTP/2 clients.
    pulse: Option<Pulse>,
    /// The first byte of a request that the engine has yet to read.
    first: Option<u8>,
    /// What came behind the end of a request: the next ones. Nothing more is read while there is any.
    behind: BytesMut,
    /// The head of HTTP/2 that the deadline is for.
    block: Option<u32>,
    carrier: Arc<ProxyDigest>,
    socket: Arc<SocketDigest>,
    ssl: Option<Arc<SslDigest>>,
}

/// The end of a connection that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Not,
    /// The answer is on its way.
    Answering,
    /// It has left; what the client still sends is read and thrown away, so many bytes at most.
    Lingering(usize),
    Over,
}

impl<T> ClientIo<T> {
    /// Wraps a transport whose handshakes are done; `fd` only names the connection in the engine's books.
    pub fn new(transport: T, fd: RawFd, connection: Connection, limits: IoLimits, metrics: Arc<Metrics>) -> Self {
        let connection = Arc::new(connection);
        let socket = SocketDigest::from_raw_fd(fd);
        // Filled in here, so that nobody has to ask the kernel again.
        let _ = socket.peer_addr.set(Some(EngineAddr::Inet(connection.peer)));
        let _ = socket.local_addr.set(Some(EngineAddr::Inet(connection.local)));
        let response = pingora::http::ResponseHeader::build(200, Some(0)).expect("200 is a status");
        let facts: Box<dyn std::any::Any + Send + Sync> = Box::new(Arc::clone(&connection));
        let carrier = Arc::new(ProxyDigest::new(Box::new(response), Some(facts)));
        let ssl = connection.tls.as_ref().map(|tls| Arc::new(SslDigest::new(tls.cipher, tls.version, None, None, Vec::new())));
        let (h2, client) = (connection.h2(), matches!(connection.role, Role::Client));
        let preface_left = if h2 { H2_PREFACE } else { 0 };
        let mut io = Self {
            transport,
            connection,
            fd,
            written: Vec::new(),
            drained: 0,
            unflushed: false,
            limits,
            screen: if h2 { Screen::http2(limits) } else { Screen::http1(limits) },
            refused: Refused::Not,
            metrics,
            deadline: None,
            alarm: None,
            preface_left,
            pulse: (h2 && client).then(|| Pulse::new(limits.silence)),
            first: None,
            behind: BytesMut::new(),
            block: None,
            carrier,
            socket: Arc::new(socket),
            ssl,
        };
        if h2 {
            io.within(limits.preface_timeout);
        }
        io
    }

    /// The connection's facts.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Sets the deadline.
    fn within(&mut self, limit: Duration) {
        self.deadline = Some(Instant::now() + limit);
        self.alarm = None;
    }

    /// Ends a head that has taken too long.
    fn check_deadline(&mut self) -> io::Result<()> {
        if self.preface_left == 0 && self.block.is_none() && self.connection.stage() != Stage::Head {
            (self.deadline, self.alarm) = (None, None);
        }
        if self.deadline.is_some_and(|end| end <= Instant::now()) { Err(self.late()) } else { Ok(()) }
    }

    fn late(&self) -> io::Error {
        self.metrics.refusal(RefusalReason::SlowHeader);
        io::Error::new(io::ErrorKind::TimedOut, "the request's head did not come in time")
    }

    /// Ready at the deadline; leaves a waker behind before.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(end) = self.deadline else { return Poll::Pending };
        self.alarm.get_or_insert_with(|| Box::pin(sleep_until(end))).as_mut().poll(cx)
    }

    /// Takes note of bytes that came in, and has a look at them; how many of them the engine may see.
    fn received(&mut self, bytes: &[u8]) -> Result<usize, Wrong> {
        if self.preface_left > 0 {
            // To the library another one is an error that nobody hears of.
            let expected = PREFACE.get(H2_PREFACE - self.preface_left..).unwrap_or_default();
            if expected.iter().zip(bytes).any(|(expected, byte)| expected != byte) {
                return Err(Wrong::Preface);
            }
            self.preface_left = self.preface_left.saturating_sub(bytes.len());
        } else if !bytes.is_empty() && !self.is_h2() && self.connection.stage() == Stage::Idle && !self.screen.in_body() {
            self.connection.begin();
            self.screen.begin();
            self.within(self.limits.head_timeout);
        }
        let taken = self.screen.look(bytes)?;
        let block = self.screen.open_block();
        if self.preface_left == 0 && block != self.block {
            self.block = block;
            if block.is_some() {
                self.within(self.limits.head_timeout);
            }
        }
        Ok(taken)
    }

    fn is_h2(&self) -> bool {
        self.connection.h2()
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

impl<T: AsyncRead + AsyncWrite + Unpin> ClientIo<T> {
    /// Ends a connection that was refused: the answer, its end, and some patience for what is still on its way here. Ready,
    /// without bytes, once all of that is over; to the engine the client has left.
    fn poll_refused(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.poll_deadline(cx).is_ready() {
            self.refused = Refused::Over;
        }
        loop {
            match self.refused {
                Refused::Not | Refused::Over => return Poll::Ready(()),
                Refused::Answering => {
                    let sent = ready!(self.poll_flush_all(cx)).is_ok();
                    let ended = sent && ready!(Pin::new(&mut self.transport).poll_shutdown(cx)).is_ok();
                    self.refused = if ended { Refused::Lingering(LINGER_BYTES) } else { Refused::Over };
                }
                Refused::Lingering(left) => {
                    let mut sink = [0; 4096];
                    let mut sink = ReadBuf::new(&mut sink);
                    let read = ready!(Pin::new(&mut self.transport).poll_read(cx, &mut sink));
                    let count = sink.filled().len();
                    self.refused = match left.checked_sub(count) {
                        Some(left) if read.is_ok() && count > 0 => Refused::Lingering(left),
                        _ => Refused::Over,
                    };
                }
            }
        }
    }

    /// Reads, and keeps the answer to a question of ours to itself: the engine knows of none. An answer that comes in pieces, or
    /// behind something else, it passes over.
    fn poll_transport(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.transport).poll_read(cx, buf))?;
            let came = &buf.filled()[before..];
            let Some(pulse) = self.pulse.as_mut().filter(|_| !came.is_empty()) else { return Poll::Ready(Ok(())) };
            if !pulse.heard() || !self.screen.between_frames() || !came.starts_with(&ANSWER) {
                return Poll::Ready(Ok(()));
            }
            let left = came.len() - ANSWER.len();
            buf.filled_mut().copy_within(before + ANSWER.len().., before);
            buf.set_filled(before + left);
            if left > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Reads what belongs to the request that is under way, and keeps what is behind it until that is answered: the engine takes
    /// it for a fault. Whoever asks then asks anew, so that nobody needs to be woken.
    fn poll_message(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<Result<(), Wrong>>> {
        if !self.behind.is_empty() {
            if self.screen.ended() && self.connection.stage() != Stage::Idle {
                return Poll::Pending;
            }
            let mut behind = std::mem::take(&mut self.behind);
            let looked = self.received(&behind[..behind.len().min(buf.remaining())]);
            buf.put_slice(&behind.split_to(looked.as_ref().copied().unwrap_or_default()));
            if !behind.is_empty() {
                self.behind = behind;
            }
            return Poll::Ready(Ok(looked.map(drop)));
        }
        let before = buf.filled().len();
        ready!(self.poll_transport(cx, buf))?;
        let came = buf.filled().len() - before;
        let looked = self.received(&buf.filled()[before..]);
        if let Ok(taken) = looked
            && taken < came
        {
            self.behind.extend_from_slice(&buf.filled()[before + taken..]);
            buf.set_filled(before + taken);
            if taken == 0 {
                // No bytes would be the end of the connection.
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(looked.map(drop)))
    }

    /// Asks a client that is silent whether it lives, and ends its connection if it does not answer.
    fn poll_pulse(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.preface_left > 0 {
            return Poll::Pending;
        }
        while let Some(pulse) = &mut self.pulse {
            match ready!(pulse.poll(cx)) {
                None => return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client answers no PING")),
                Some(question) => {
                    self.written.extend_from_slice(question);
                    self.unflushed = true;
                    // An error shows itself at the next write, or as silence.
                    let _ = self.poll_flush_all(cx);
                }
            }
        }
        Poll::Pending
    }

    /// Waits for the first byte of a request, with no buffer for it; whether one has come, or nothing ever will. The next read
    /// gives it, and what is there behind it.
    pub(super) fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut byte = [0];
        let mut buf = ReadBuf::new(&mut byte);
        let read = ready!(Pin::new(&mut *self).poll_read(cx, &mut buf));
        self.first = buf.filled().first().copied();
        Poll::Ready(read.is_ok() && self.first.is_some())
    }

    /// Whether a request was answered before all of its body was read: where the next one begins nobody can know then.
    pub(super) fn is_in_body(&self) -> bool {
        self.screen.in_body()
    }

    /// Gives the first byte; whether there was one.
    fn give_first(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let first = if buf.remaining() > 0 { self.first.take() } else { None };
        buf.put_slice(first.as_slice());
        first.is_some()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for ClientIo<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refused != Refused::Not {
            return this.poll_refused(cx).map(Ok);
        }
        this.check_deadline()?;
        let given = this.give_first(buf);
        if given && buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match this.poll_message(cx, buf) {
            Poll::Ready(Ok(looked)) => match looked {
                Ok(()) => Poll::Ready(Ok(())),
                Err(Wrong::Head(fault)) => {
                    // To the engine the client has left without a word.
                    buf.set_filled(before - usize::from(given));
                    let reply = reply(fault);
                    this.metrics.refusal(reply.label);
                    this.written.extend(last_words(reply));
                    this.refused = Refused::Answering;
                    this.within(LINGER);
                    this.poll_refused(cx).map(Ok)
                }
                Err(Wrong::Flood) => {
                    buf.set_filled(before);
                    this.metrics.refusal(RefusalReason::Http2Flood);
                    Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "too many HTTP/2 control frames")))
                }
                Err(Wrong::Preface) => {
                    buf.set_filled(before);
                    this.metrics.refusal(RefusalReason::BadRequest);
                    Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the connection does not begin as HTTP/2 must")))
                }
                Err(Wrong::Body(fault)) => {
                    buf.set_filled(before);
                    this.connection.set_faulty();
                    Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault)))
                }
            },
            // Whatever it is, it comes again.
            _ if given => Poll::Ready(Ok(())),
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Pending => {
                // The engine waits, and so would whoever reads the response. An error shows itself at the next write.
                if this.unflushed {
                    let _ = this.poll_flush_all(cx);
                }
                if !this.unflushed && !this.is_h2() && this.connection.stage() == Stage::Idle {
                    this.written = Vec::new();
                    if this.connection.wait() {
                        // The end of the connection, as if the client had closed it.
                        return Poll::Ready(Ok(()));
                    }
                }
                if this.poll_deadline(cx).is_ready() {
                    return Poll::Ready(Err(this.late()));
                }
                this.poll_pulse(cx).map(Err)
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
        if !this.is_h2() && this.connection.stage() == Stage::Head {
            // The engine answers by itself what it takes for no request.
            this.connection.set_stage(Stage::Request);
            this.metrics.refusal(RefusalReason::BadRequest);
        }
        let taken = if buf.len() >= WRITE_BUFFER {
            ready!(Pin::new(&mut this.transport).poll_write(cx, buf))?
        } else {
            this.written.extend_from_slice(buf);
            buf.len()
        };
        if let Some(pulse) = &mut this.pulse {
            if let Some(question) = pulse.sent(&buf[..taken]) {
                this.written.extend_from_slice(question);
            }
            for reason in pulse.refusals() {
                this.metrics.refusal(reason);
            }
        }
        Poll::Ready(Ok(taken))
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

#[cfg(test)]
#[path = "io/tests.rs"]
mod tests;
