//! A connection, and a second handle of its socket.

use std::io;
use std::net::TcpStream;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType, OrErr, Result};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The kernel asks an idle connection whether the other side is still there, after this time and then at these intervals. Not by
/// pings of HTTP/2: gRPC servers close connections that ping more often than every five minutes (grpc-go and grpc-core,
/// `ENHANCE_YOUR_CALM`), and a stream may be idle for longer.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(5));

/// How long the other side's kernel may acknowledge nothing, whether it was asked or sent something (RFC 5482), until the connection
/// has ended.
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes that may wait in the kernel until the link takes them, where a ping must not wait long behind them. What is on its way is beside that,
/// and as much as the link bears.
const UNSENT: u32 = 64 * 1024;

/// Connects, and gives a second handle of the socket, by which the connection can be ended while the engine has it.
///
/// `upgrade`: for a request that may become a tunnel. See [`Unhurried`]; the engine keeps no such connection for another request.
pub(crate) async fn connect(address: &SocketAddr, upgrade: bool) -> Result<(Stream, TcpStream)> {
    let Some(address) = address.as_inet() else {
        return Error::e_explain(ErrorType::InternalError, "backends have internet addresses");
    };
    let stream = tokio::net::TcpStream::connect(address).await.or_err(ErrorType::ConnectError, "connecting")?;
    watch(&stream).or_err(ErrorType::SocketError, "setting the socket's timeouts")?;
    let stream = stream.into_std().or_err(ErrorType::SocketError, "taking the socket")?;
    let handle = stream.try_clone().or_err(ErrorType::SocketError, "copying the socket's handle")?;
    let stream = tokio::net::TcpStream::from_std(stream).or_err(ErrorType::SocketError, "giving the socket back")?;
    if upgrade {
        let stream = VirtualSocketStream::new(Box::new(Unhurried { stream, wrote: false }));
        return Ok((Stream::from(stream), handle));
    }
    Ok((Stream::from(stream), handle))
}

/// Has the kernel find out when the other side is gone without a word.
pub(crate) fn watch(stream: &tokio::net::TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let (time, interval) = KEEP_ALIVE;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(time).with_interval(interval))?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}

/// Has what is sent wait in its streams, where a ping overtakes it, rather than in the kernel (`TCP_NOTSENT_LOWAT`), whose buffer holds megabytes.
pub(crate) fn hold_little(stream: impl std::os::fd::AsFd) -> io::Result<()> {
    SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT)
}

/// A socket whose first read after a write has nothing yet, so that everybody else gets a turn before.
///
/// The engine chooses at random whether it looks at the response first or at the end of a request's empty body. When a 101 is
/// there already, as where this thread had to wait for its processor, the end is taken for the end of the tunnel, and a
/// WebSocket dies as soon as it stands (cloudflare/pingora#946). With one turn between them the end always comes first.
#[derive(Debug)]
struct Unhurried {
    stream: tokio::net::TcpStream,
    wrote: bool,
}

impl AsyncRead for Unhurried {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.wrote) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Unhurried {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.wrote = true;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl VirtualSocket for Unhurried {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.stream.set_nodelay(true),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn the_kernel_asks_whether_the_other_side_is_still_there() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (_stream, socket) = connect(&listener.local_addr().unwrap().into(), false).await.unwrap();
        let socket = SockRef::from(&socket);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEP_ALIVE.0);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
    }

    #[tokio::test]
    async fn an_answer_that_is_there_already_waits_for_one_turn() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut other, _) = listener.accept().await.unwrap();
        let mut unhurried = Unhurried { stream, wrote: false };
        unhurried.write_all(b"ask").await.unwrap();
        other.write_all(b"answer").await.unwrap();
        unhurried.stream.readable().await.unwrap();
        let mut other_was_there = false;
        let mut buffer = [0; 6];
        let mut reading = Box::pin(unhurried.read_exact(&mut buffer));
        for _ in 0..2 {
            // Biased: as if the engine looked at the response first.
            tokio::select! {
                biased;
                read = &mut reading => {
                    read.unwrap();
                    break;
                }
                () = std::future::ready(()), if !other_was_there => other_was_there = true,
            }
        }
        assert!(other_was_there, "whoever is ready too comes before the answer");
    }
}
