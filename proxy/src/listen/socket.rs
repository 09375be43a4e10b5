//! A socket some of whose bytes were already read.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A client's socket, behind the bytes that were read while looking for a PROXY protocol header or a preface.
#[derive(Debug)]
pub(super) struct Socket {
    replay: BytesMut,
    stream: TcpStream,
}

impl Socket {
    /// Reads give `replay` first.
    pub(super) fn new(stream: TcpStream, replay: BytesMut) -> Self {
        Self { replay, stream }
    }

    /// Whether what comes begins with `prefix`. Reads on until that is decided; what was read is still to come. The end of the
    /// stream is no beginning of anything.
    pub(super) async fn begins_with(&mut self, prefix: &[u8]) -> io::Result<bool> {
        loop {
            let known = self.replay.len().min(prefix.len());
            if self.replay[..known] != prefix[..known] {
                return Ok(false);
            }
            if known == prefix.len() {
                return Ok(true);
            }
            if self.stream.read_buf(&mut self.replay).await? == 0 {
                return Ok(false);
            }
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.replay.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let n = self.replay.len().min(buf.remaining());
        buf.put_slice(&self.replay[..n]);
        self.replay.advance(n);
        if self.replay.is_empty() {
            self.replay = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
