//! What goes wrong on command.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What happens to a request that a fault is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this status, and perhaps a Retry-After in seconds.
    Status(u16, Option<u32>),
    /// It is never answered.
    Stall,
    /// It is answered only after this time.
    Slow(Duration),
    /// It is answered 200, and nothing follows.
    Nothing,
    /// A list is answered as if there were nothing.
    EmptyList,
}

/// A fault, for whom, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) path: String,
    pub(crate) fault: Fault,
    pub(crate) times: usize,
}

/// Lets connections freeze: neither read nor written, and never closed, as behind a firewall that lost its state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Freezer(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Freezer {
    pub(crate) fn set(&self, frozen: bool) {
        let wakers = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.0 = frozen;
            std::mem::take(&mut state.1)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 {
            state.1.push(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

/// A connection that can freeze.
pub(crate) struct Freezable<S> {
    pub(crate) io: S,
    pub(crate) freezer: Freezer,
}

impl<S: AsyncRead + Unpin> AsyncRead for Freezable<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.freezer.poll(cx));
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Freezable<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.freezer.poll(cx));
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.freezer.poll(cx));
        Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
