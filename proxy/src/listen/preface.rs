//! HTTP/2 without TLS, with prior knowledge (RFC 9113 section 3.3): a client that begins with the preface speaks it.
//!
//! The engine's own look at the preface has no limit of time. Here a connection may be as silent as any other before its first
//! byte, and a preface that has begun must end in time. Whatever else begins a connection is HTTP/1.1's, where the strict
//! reader looks at it.

use std::io;
use std::time::Duration;

use tokio::time::timeout;

use super::socket::Socket;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection without TLS begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// The preface of HTTP/2.
    Http2,
    /// Something else, or its end.
    Http1,
    /// Nothing: nobody waits for ever.
    Silent,
    /// A part of the preface.
    Slow,
}

/// Waits `idle` for the first byte, and then `whole` for all of the preface if it is one. What was read is still to come.
pub(super) async fn begun(socket: &mut Socket, idle: Duration, whole: Duration) -> io::Result<Begun> {
    match timeout(idle, socket.begins_with(&PREFACE[..1])).await {
        Err(_) => return Ok(Begun::Silent),
        Ok(first) => {
            if !first? {
                return Ok(Begun::Http1);
            }
        }
    }
    match timeout(whole, socket.begins_with(PREFACE)).await {
        Err(_) => Ok(Begun::Slow),
        Ok(preface) => Ok(if preface? { Begun::Http2 } else { Begun::Http1 }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::BytesMut;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(20);

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    /// What a socket begins with on which `before` was read already, and then comes `bytes`.
    async fn of(before: &[u8], bytes: &[u8]) -> (Begun, Vec<u8>) {
        let (mut client, server) = pair().await;
        client.write_all(bytes).await.unwrap();
        let mut socket = Socket::new(server, BytesMut::from(before));
        let begun = begun(&mut socket, LONG, LONG).await.unwrap();
        client.shutdown().await.unwrap();
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).await.unwrap();
        (begun, rest)
    }

    #[tokio::test]
    async fn only_the_whole_preface_is_http2_and_nothing_is_lost() {
        let more = [PREFACE, b"\0\0\0\x04\0\0\0\0\0"].concat();
        assert_eq!(of(b"", &more).await, (Begun::Http2, more.clone()));
        assert_eq!(of(&more[..10], &more[10..]).await, (Begun::Http2, more.clone()), "read while looking for a PROXY header");
        for other in [&b"GET / HTTP/1.1\r\n"[..], b"POST / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nXX", b"\x16\x03\x01"] {
            assert_eq!(of(b"", other).await, (Begun::Http1, other.to_vec()));
        }
    }

    #[tokio::test]
    async fn who_says_nothing_or_half_of_it_is_not_waited_for() {
        let (mut client, server) = pair().await;
        let mut socket = Socket::new(server, BytesMut::new());
        assert_eq!(begun(&mut socket, SHORT, LONG).await.unwrap(), Begun::Silent);
        client.write_all(&PREFACE[..20]).await.unwrap();
        assert_eq!(begun(&mut socket, LONG, SHORT).await.unwrap(), Begun::Slow);
        client.shutdown().await.unwrap();
        assert_eq!(begun(&mut socket, LONG, LONG).await.unwrap(), Begun::Http1, "an end is no preface");
    }
}
