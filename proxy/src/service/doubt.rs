//! HTTP/2 connections that fell silent, to backends and to other edges.
//!
//! On a stream silence means nothing: a call may take its time. But a link that was cut says nothing either, and a connection that
//! has many streams takes new ones until somebody notices. Pings would tell, and the engine sends them only at fixed times; gRPC
//! servers close connections that ping often ("too many pings"). So whoever waits for a response's header, and hears nothing of
//! the backend meanwhile, knocks beside the connection: a new one, on which the backend must send its SETTINGS before all else
//! (RFC 9113 section 3.4). A backend that does so is left alone. One that does not is as good as gone, and the silent connection
//! is ended, so that its streams fail now rather than never and new ones go elsewhere.
//!
//! Other edges are ours, and a ping over the very connection tells more than a new one would: there the prober is asked to send it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use causeway_core::cell::Ear;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::dial::{Deadline, Handle};
use crate::peer::Peers;
use crate::peer::lane::Lane;

/// A client's connection preface (RFC 9113 section 3.4) and an empty SETTINGS frame (section 6.5).
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A frame's header (RFC 9113 section 4.1), and where the type of the frame stands in it.
const FRAME_HEADER: usize = 9;
const TYPE: usize = 3;
const SETTINGS: u8 = 4;

/// How long a ping may take at most, which may have to make a connection first.
const ASKED: Duration = Duration::from_secs(3);

/// Between two knocks while a call waits; doubled each time.
const LONGEST: Duration = Duration::from_secs(15);

/// Ends the connection of `handle` when the backend at `address` does not answer a knock within `patience`, and goes on asking
/// until the returned guard is dropped. `silence`: how long nothing may be heard before the first knock. While one waits for its
/// answer the backend gets no new calls.
pub(super) fn watch(handle: Handle, address: SocketAddr, silence: Duration, patience: Duration, mut ear: Ear) -> Deadline {
    handle.end_when(async move {
        let mut pause = silence;
        loop {
            wait(&mut pause, &mut ear).await;
            ear.doubt(true);
            if !answers(address, patience).await {
                return;
            }
            ear.doubt(false);
        }
    })
}

/// Asks for a ping of the lane as long as nothing is heard from its end, until the returned guard is dropped. A lane that does not answer
/// is cut, and every request on it goes elsewhere.
pub(super) fn watch_lane(lane: Arc<Lane>, peers: Arc<Peers>, silence: Duration, mut ear: Ear) -> Deadline {
    Deadline::running(async move {
        let mut pause = silence;
        loop {
            wait(&mut pause, &mut ear).await;
            ear.doubt(true);
            let asked = lane.doubt();
            peers.doubts.notify_one();
            // A lane that was given up meanwhile is asked by nobody.
            let _ = tokio::time::timeout(ASKED, asked).await;
            ear.doubt(false);
        }
    })
}

/// Waits until nothing was heard for a whole pause; while others are answered this call is slow, and the backend is not. The next pause is
/// twice as long.
async fn wait(pause: &mut Duration, ear: &mut Ear) {
    loop {
        tokio::time::sleep(*pause).await;
        if !ear.heard() {
            *pause = (*pause * 2).min(LONGEST);
            return;
        }
    }
}

/// Whether whoever listens at `address` opens an HTTP/2 connection within `patience`.
async fn answers(address: SocketAddr, patience: Duration) -> bool {
    let knock = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(HELLO).await?;
        let mut header = [0; FRAME_HEADER];
        stream.read_exact(&mut header).await?;
        std::io::Result::Ok(header[TYPE] == SETTINGS)
    };
    matches!(tokio::time::timeout(patience, knock).await, Ok(Ok(true)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::net::TcpListener;

    use super::*;

    /// What a backend that does this with a connection is taken for.
    async fn verdict<F: Future<Output = ()> + Send>(serve: impl FnOnce(TcpStream) -> F + Send + 'static) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
        let answers = answers(address, Duration::from_millis(200)).await;
        server.abort();
        answers
    }

    #[tokio::test]
    async fn a_server_that_speaks_http2_answers() {
        let settings = |mut stream: TcpStream| async move {
            stream.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
            std::future::pending::<()>().await;
        };
        assert!(verdict(settings).await);
    }

    #[tokio::test]
    async fn one_that_accepts_and_is_silent_does_not() {
        assert!(!verdict(|_open| std::future::pending()).await);
    }

    #[tokio::test]
    async fn one_that_speaks_something_else_does_not() {
        let other = |mut stream: TcpStream| async move {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
            std::future::pending::<()>().await;
        };
        assert!(!verdict(other).await);
    }

    #[tokio::test]
    async fn a_closed_port_does_not() {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert!(!answers(address, Duration::from_secs(1)).await);
    }
}
