//! Passing bytes between two streams until there is nobody left to pass them to.
//!
//! Each side may end before the other (RFC 9293 section 3.6): that is passed on, and the other direction goes on. But whoever has ended what
//! it sends will seldom read for long, and a stream whose other end forgot it must not stay: once one side has ended, the other one has to
//! keep saying something. As long as neither has, no limit is set here: the bytes are TLS, and the edge at which that ends knows what is
//! under way, holds its limits, and ends the stream.

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::time::Instant;

/// How long nothing may come from the client, once the edge inside has ended the stream: it has all that it will get.
const AFTER_SERVER: Duration = Duration::from_secs(5);

/// How long nothing may come from inside, once the client has ended what it sends: it may be waiting for an answer.
const AFTER_CLIENT: Duration = Duration::from_mins(1);

/// How long nothing may come from either while this edge ends. What is under way cannot be seen here; an answer takes no longer, unless
/// its route says so.
const CLOSING: Duration = Duration::from_secs(15);

/// As much as a TLS record holds.
const BUFFER: usize = 16 << 10;

/// When something was passed last, in milliseconds from the beginning.
struct Moved {
    begun: Instant,
    at: AtomicU64,
}

impl Moved {
    fn now(&self) {
        self.at.store(self.begun.elapsed().as_millis() as u64, Relaxed);
    }

    fn last(&self) -> Instant {
        self.begun + Duration::from_millis(self.at.load(Relaxed))
    }
}

/// Passes bytes until both sides have ended, or one and nothing came from the other for long; `closing`: this edge ends.
pub(super) async fn carry<C, S>(client: C, server: S, closing: impl Future<Output = ()>) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite,
    S: AsyncRead + AsyncWrite,
{
    let moved = Moved { begun: Instant::now(), at: AtomicU64::new(0) };
    let ((from_client, to_client), (from_server, to_server)) = (split(client), split(server));
    let mut inward = std::pin::pin!(pump(from_client, to_server, &moved));
    let mut outward = std::pin::pin!(pump(from_server, to_client, &moved));
    let closing = async {
        closing.await;
        quiet(&moved, CLOSING).await;
    };
    let passing = async {
        tokio::select! {
            ended = &mut inward => {
                ended?;
                tokio::select! {
                    ended = &mut outward => ended,
                    () = quiet(&moved, AFTER_CLIENT) => Ok(()),
                }
            }
            ended = &mut outward => {
                ended?;
                tokio::select! {
                    ended = &mut inward => ended,
                    () = quiet(&moved, AFTER_SERVER) => Ok(()),
                }
            }
        }
    };
    tokio::select! {
        ended = passing => ended,
        () = closing => Ok(()),
    }
}

/// Waits until nothing has moved for so long, from now on.
async fn quiet(moved: &Moved, limit: Duration) {
    let begun = Instant::now();
    loop {
        let until = moved.last().max(begun) + limit;
        if until <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(until).await;
    }
}

/// One direction, to its end.
async fn pump<R: AsyncRead, W: AsyncWrite>(mut from: ReadHalf<R>, mut to: WriteHalf<W>, moved: &Moved) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer).await? {
            0 => return to.shutdown().await,
            length => {
                moved.now();
                to.write_all(&buffer[..length]).await?;
                to.flush().await?;
                moved.now();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::future::pending;

    use tokio::io::{DuplexStream, duplex};

    use super::*;

    /// A client and a server with this between them, and for how long it stood.
    async fn between<F: Future<Output = ()>>(play: impl FnOnce(DuplexStream, DuplexStream) -> F) -> Duration {
        carried(play, pending()).await
    }

    async fn carried<F: Future<Output = ()>>(
        play: impl FnOnce(DuplexStream, DuplexStream) -> F,
        closing: impl Future<Output = ()>,
    ) -> Duration {
        let ((client, outer), (server, inner)) = (duplex(1 << 10), duplex(1 << 10));
        let begun = Instant::now();
        let carrying = async {
            carry(outer, inner, closing).await.unwrap();
            begun.elapsed()
        };
        tokio::join!(carrying, play(client, server)).0
    }

    async fn read(stream: &mut DuplexStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test(start_paused = true)]
    async fn each_side_ends_by_itself() {
        let took = between(|mut client, mut server| async move {
            client.write_all(b"question").await.unwrap();
            client.shutdown().await.unwrap();
            assert_eq!(read(&mut server).await, "question");
            // The answer takes its time.
            tokio::time::sleep(Duration::from_secs(50)).await;
            server.write_all(b"answer").await.unwrap();
            server.shutdown().await.unwrap();
            assert_eq!(read(&mut client).await, "answer");
        });
        assert_eq!(took.await, Duration::from_secs(50));
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_edge_inside_has_ended_ends_although_the_client_stays() {
        let took = between(|mut client, mut server| async move {
            server.write_all(b"bye").await.unwrap();
            drop(server);
            assert_eq!(read(&mut client).await, "bye");
            // It is ended under the client's hands.
            let _ended = client.write(b"").await;
            tokio::time::sleep(Duration::from_hours(1)).await;
        });
        assert_eq!(took.await, AFTER_SERVER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_has_ended_is_answered_as_long_as_answers_come() {
        let took = between(|mut client, mut server| async move {
            client.shutdown().await.unwrap();
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(40)).await;
                server.write_all(b"event").await.unwrap();
            }
            tokio::time::sleep(Duration::from_hours(1)).await;
            assert_eq!(read(&mut client).await, "event".repeat(10));
        });
        assert_eq!(took.await, Duration::from_secs(400) + AFTER_CLIENT);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_alone_ends_nothing_until_the_edge_ends() {
        let idle = |mut client: DuplexStream, server: DuplexStream| async move {
            tokio::time::sleep(Duration::from_secs(7195)).await;
            client.write_all(b"still here").await.unwrap();
            tokio::time::sleep(Duration::from_hours(1)).await;
            drop((client, server));
        };
        let closing = tokio::time::sleep(Duration::from_secs(7190));
        assert_eq!(carried(idle, closing).await, Duration::from_secs(7195) + CLOSING);
    }
}
