//! HTTP/2 connections that fell silent, to backends and to other edges.
//!
//! On a stream silence means nothing: a call may take its time. But a link that was cut says nothing either, and a connection that
//! has many streams takes new ones until somebody notices. Pings would tell, and the engine sends them only at fixed times; gRPC
//! servers close connections that ping often ("too many pings"). So whoever waits for a response's header, and hears nothing of
//! the backend meanwhile, knocks beside the connection: a new one, on which the backend must send its SETTINGS before all else
//! (RFC 9113 section 3.4). A backend that does so is left alone. One that does not is as good as gone, and the silent connection
//! is ended, so that its streams fail now rather than never and new ones go elsewhere. One knocks for all: a thousand idle streams must
//! not become a thousand connections.
//!
//! Other edges are ours, and a ping over the lane tells more than a new connection would: there the prober is asked to send it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use causeway_core::cell::Ear;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::dial::{Deadline, Handle};
use crate::late::within;
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

/// How soon is known to all who wait what one of them has found out.
const GLANCE: Duration = Duration::from_millis(500);

/// Where somebody knocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Knock {
    pub(super) address: SocketAddr,
    /// Whether TLS is spoken there. Then no SETTINGS come, and whatever is said or done about what is no TLS is a sign of life.
    pub(super) tls: bool,
    /// How long an answer may take.
    pub(super) patience: Duration,
}

/// Ends the connection of `handle` when the backend does not answer a `knock`, and goes on asking
/// until the returned guard is dropped. `silence`: how long nothing may be heard before the first knock. While one waits for its
/// answer the backend gets no new calls.
pub(super) fn watch(handle: Handle, knock: Knock, silence: Duration, mut ear: Ear) -> Deadline {
    handle.end_when(async move {
        let mut pause = silence;
        loop {
            wait(&mut pause, &mut ear).await;
            // Who asks asks for all who wait, over whichever connection.
            if ear.condemned() {
                return;
            }
            if ear.doubt() {
                if !answers(knock).await {
                    ear.condemn();
                    return;
                }
                ear.vouch();
            }
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
            // Each lane is asked for itself, and once for all who wait on it: the prober sees to that.
            ear.doubt();
            let asked = lane.doubt();
            peers.doubts.notify_one();
            // A lane that was given up meanwhile is asked by nobody; one that does not answer is cut, and the request on it fails.
            if tokio::time::timeout(ASKED, asked).await.is_err() || !lane.lives() {
                return;
            }
            ear.vouch();
        }
    })
}

/// What is heard of an endpoint while an answer of it is awaited; see [`Ear`].
trait Hears {
    fn heard(&mut self) -> bool;
    fn condemned(&self) -> bool;
}

impl Hears for Ear {
    fn heard(&mut self) -> bool {
        Self::heard(self)
    }

    fn condemned(&self) -> bool {
        Self::condemned(self)
    }
}

/// Waits until nothing was heard for a whole pause, or the endpoint was found to be gone; while others are answered this call is slow, and the backend is not. The next pause is
/// twice as long.
async fn wait(pause: &mut Duration, ear: &mut impl Hears) {
    loop {
        let mut left = *pause;
        while !left.is_zero() && !ear.condemned() {
            let part = left.min(GLANCE);
            tokio::time::sleep(part).await;
            left -= part;
        }
        if ear.condemned() || !ear.heard() {
            *pause = (*pause * 2).min(LONGEST);
            return;
        }
    }
}

/// Whether whoever listens there opens an HTTP/2 connection in time.
async fn answers(knock: Knock) -> bool {
    let answered = async {
        let mut stream = TcpStream::connect(knock.address).await?;
        stream.write_all(HELLO).await?;
        let mut header = [0; FRAME_HEADER];
        let read = stream.read_exact(&mut header).await;
        if knock.tls {
            // An alert, an end, a reset: somebody did it.
            return Ok(true);
        }
        read?;
        std::io::Result::Ok(header[TYPE] == SETTINGS)
    };
    matches!(within(knock.patience, answered).await, Some(Ok(true)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::net::TcpListener;

    use super::*;

    /// What a backend that does this with a connection is taken for.
    async fn verdict<F: Future<Output = ()> + Send>(tls: bool, serve: impl FnOnce(TcpStream) -> F + Send + 'static) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
        let answers = answers(Knock { address, tls, patience: Duration::from_millis(200) }).await;
        server.abort();
        answers
    }

    /// Keeps the connection.
    async fn says_nothing(_open: TcpStream) {
        std::future::pending::<()>().await;
    }

    /// One that is never answered, and another one finds out why after a second.
    struct Waits(tokio::time::Instant);

    impl Hears for Waits {
        fn heard(&mut self) -> bool {
            false
        }

        fn condemned(&self) -> bool {
            self.0.elapsed() >= Duration::from_secs(1)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn that_one_found_nobody_ends_the_waiting_of_all() {
        let begun = tokio::time::Instant::now();
        wait(&mut LONGEST.clone(), &mut Waits(begun)).await;
        assert!(begun.elapsed() <= Duration::from_secs(1) + GLANCE, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_server_that_speaks_http2_answers() {
        let settings = |mut stream: TcpStream| async move {
            stream.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
            std::future::pending::<()>().await;
        };
        assert!(verdict(false, settings).await);
    }

    #[tokio::test]
    async fn one_that_accepts_and_is_silent_does_not() {
        assert!(!verdict(false, says_nothing).await);
    }

    #[tokio::test]
    async fn one_that_speaks_something_else_does_not() {
        let other = |mut stream: TcpStream| async move {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
            std::future::pending::<()>().await;
        };
        assert!(!verdict(false, other).await);
    }

    #[tokio::test]
    async fn a_closed_port_does_not() {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert!(!answers(Knock { address, tls: true, patience: Duration::from_secs(1) }).await);
    }

    #[tokio::test]
    async fn where_tls_is_spoken_any_reaction_answers_and_silence_does_not() {
        let alert = |mut stream: TcpStream| async move {
            stream.write_all(b"\x15\x03\x03\0\x02\x02\x0a").await.unwrap();
        };
        assert!(verdict(true, alert).await);
        assert!(verdict(true, |ends| async move { drop(ends) }).await);
        assert!(!verdict(true, says_nothing).await);
    }
}
