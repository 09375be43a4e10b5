//! A wide-area network in user space: TCP relays on loopback that are slow, narrow, and break as real links do.
//!
//! A [`Relay`] stands for one address as it is seen from one place. It adds what a link adds, half of the round trip each way,
//! jitter and a cap of the bandwidth, and follows a [`Condition`] at any moment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

/// What a relay reads at once.
const CHUNK: usize = 16 * 1024;

/// What a wide link takes before it has delivered it.
const WIDE: usize = 1 << 20;

/// How a link carries what it carries.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The round trip.
    pub rtt: Duration,
    /// By how much each chunk's delay differs, as a part of it.
    pub jitter: f64,
    /// Each way.
    pub bytes_per_second: f64,
    /// Bytes that it takes before it has delivered them, each way.
    pub queue: usize,
}

impl Shape {
    /// A link so narrow that what is to be sent piles up before it, and not in it.
    pub fn narrow(rtt: Duration, bytes_per_second: f64) -> Self {
        Self { bytes_per_second, queue: 4 * CHUNK, ..Self::of(rtt) }
    }

    /// A link of 100 Mbit/s with a tenth of jitter.
    pub fn of(rtt: Duration) -> Self {
        Self { rtt, jitter: 0.1, bytes_per_second: 12.5e6, queue: WIDE }
    }
}

/// What a link does with what is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Carries it.
    #[default]
    Up,
    /// The machine is there and nobody listens on it: connections are refused, and those there were are gone.
    Refused,
    /// Nothing arrives anywhere: connections are never made, and those there are fall silent.
    Cut,
    /// Connections are accepted, and nothing is answered.
    Stalled,
    /// What is sent arrives, and what is answered does not.
    HalfOpen,
}

impl Condition {
    fn carries(self, direction: Direction) -> bool {
        matches!((self, direction), (Self::Up, _) | (Self::HalfOpen, Direction::There))
    }
}

#[derive(Clone, Copy, Debug)]
enum Direction {
    There,
    Back,
}

/// One address as it is seen from one place. Dropping it ends it, and every connection through it.
#[derive(Debug)]
pub struct Relay {
    /// Where it is seen.
    pub address: SocketAddr,
    condition: watch::Sender<Condition>,
    frozen: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Relay {
    /// A link to `target`.
    ///
    /// # Panics
    /// Where loopback has no port left.
    pub fn start(target: SocketAddr, shape: Shape, seed: u64) -> Self {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0)), 1024).expect("loopback has ports");
        let address = listener.local_addr().expect("it is bound");
        let (condition, follows) = watch::channel(Condition::Up);
        let frozen = Arc::new(AtomicU64::new(u64::MAX));
        let task = tokio::spawn(run(address, listener, Link { target, shape, seed }, Arc::clone(&frozen), follows));
        Self { address, condition, frozen, task }
    }

    /// From now on.
    pub fn set(&self, condition: Condition) {
        self.condition.send_replace(condition);
    }

    /// From now on connections that have carried more than so many bytes there carry nothing more, as where a firewall has forgotten
    /// them, and all others do.
    pub fn forget_those_with_more_than(&self, bytes: u64) {
        self.frozen.store(bytes, Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone, Copy)]
struct Link {
    target: SocketAddr,
    shape: Shape,
    seed: u64,
}

async fn run(
    address: SocketAddr,
    listener: TcpListener,
    link: Link,
    frozen: Arc<AtomicU64>,
    mut condition: watch::Receiver<Condition>,
) {
    let mut connections = JoinSet::new();
    let mut listener = Some(listener);
    let mut hole;
    let mut count = 0;
    loop {
        match *condition.borrow_and_update() {
            Condition::Refused => {
                (listener, hole) = (None, None);
                connections.abort_all();
            }
            Condition::Cut => {
                listener = None;
                hole = Hole::at(address).ok();
            }
            Condition::Up | Condition::Stalled | Condition::HalfOpen => {
                hole = None;
                if listener.is_none() {
                    listener = listen(address, 1024).ok();
                }
            }
        }
        // A port that is not free yet is tried again.
        let again = listener.is_none() && hole.is_none() && *condition.borrow() != Condition::Refused;
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = condition.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            accepted = accepted => {
                if let Ok((stream, _)) = accepted {
                    count += 1;
                    let carried = Carried { there: Arc::default(), at_most: Arc::clone(&frozen) };
                    connections.spawn(carry(stream, Link { seed: link.seed ^ count, ..link }, carried, condition.clone()));
                }
            }
            () = tokio::time::sleep(Duration::from_millis(5)), if again => {}
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// A listener whose queue is full and never emptied: the kernel drops whatever else comes, as a cut link does.
#[derive(Debug)]
struct Hole {
    _listener: TcpListener,
    _fillers: Vec<Socket>,
}

impl Hole {
    fn at(address: SocketAddr) -> std::io::Result<Self> {
        let listener = listen(address, 0)?;
        let filler = || {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            // It is under way, or never will be.
            let _ = socket.connect(&address.into());
            Ok(socket)
        };
        Ok(Self { _listener: listener, _fillers: (0..4).map(|_| filler()).collect::<std::io::Result<_>>()? })
    }
}

fn listen(address: SocketAddr, backlog: i32) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    TcpListener::from_std(socket.into())
}

/// What a connection has carried there, and with how much it is forgotten.
#[derive(Clone)]
struct Carried {
    there: Arc<AtomicU64>,
    at_most: Arc<AtomicU64>,
}

impl Carried {
    /// Counts a chunk; whether the connection is forgotten.
    fn count(&self, direction: Direction, length: usize) -> bool {
        if matches!(direction, Direction::There) {
            self.there.fetch_add(length as u64, Relaxed);
        }
        self.there.load(Relaxed) > self.at_most.load(Relaxed)
    }
}

/// One connection, both ways, until either end breaks it.
async fn carry(client: TcpStream, link: Link, carried: Carried, condition: watch::Receiver<Condition>) -> std::io::Result<()> {
    let begun = Instant::now();
    let server = TcpStream::connect(link.target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    if link.shape.queue < WIDE {
        // The kernel's own buffers are part of the queue.
        for stream in [&client, &server] {
            SockRef::from(stream).set_recv_buffer_size(link.shape.queue)?;
        }
    }
    // Three packets have made the connection before the first byte is sent.
    let connected = begun + link.shape.rtt;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let there = pump(from_client, to_server, link, connected, (Direction::There, carried.clone()), condition.clone());
    let back = pump(from_server, to_client, link, begun, (Direction::Back, carried), condition);
    tokio::try_join!(there, back).map(drop)
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    link: Link,
    begin: Instant,
    (direction, carried): (Direction, Carried),
    mut condition: watch::Receiver<Condition>,
) -> std::io::Result<()> {
    let (chunks, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(link.shape.queue / CHUNK);
    let mut rng = fastrand::Rng::with_seed(link.seed);
    let read = async move {
        let mut free = begin;
        loop {
            let mut chunk = vec![0; CHUNK];
            let length = from.read(&mut chunk).await?;
            chunk.truncate(length);
            let jitter = 1.0 + link.shape.jitter * (rng.f64() * 2.0 - 1.0);
            let arrives = Instant::now() + (link.shape.rtt / 2).mul_f64(jitter);
            // No byte overtakes another, and each takes its time.
            free = free.max(arrives) + Duration::from_secs_f64(length as f64 / link.shape.bytes_per_second);
            if chunks.send((free, chunk)).await.is_err() || length == 0 {
                return std::io::Result::Ok(());
            }
        }
    };
    let write = async move {
        while let Some((due, chunk)) = arriving.recv().await {
            tokio::time::sleep_until(due).await;
            if condition.wait_for(|condition| condition.carries(direction)).await.is_err() {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
            if carried.count(direction, chunk.len()) {
                std::future::pending::<()>().await;
            }
            if chunk.is_empty() {
                return to.shutdown().await;
            }
            to.write_all(&chunk).await?;
        }
        Ok(())
    };
    tokio::try_join!(read, write).map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Origin, soon};

    const RTT: Duration = Duration::from_millis(40);

    /// A link to a server that sends everything back.
    async fn echo() -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        Relay::start(target, Shape::of(RTT), 1)
    }

    async fn ping(stream: &mut TcpStream) -> std::io::Result<()> {
        stream.write_all(b"ping").await?;
        stream.read_exact(&mut [0; 4]).await.map(drop)
    }

    /// Whether something is still under way after a time that it could have been done in ten times.
    async fn hangs<F: Future>(future: F) -> bool {
        tokio::time::timeout(RTT * 10, future).await.is_err()
    }

    #[tokio::test]
    async fn a_round_trip_takes_its_time() {
        let relay = echo().await;
        let mut stream = TcpStream::connect(relay.address).await.unwrap();
        soon("the first echo", ping(&mut stream)).await.unwrap();
        let start = Instant::now();
        soon("an echo", ping(&mut stream)).await.unwrap();
        assert!(start.elapsed() >= RTT.mul_f64(0.9), "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn a_cut_link_lets_nothing_through_and_carries_on_when_it_heals() {
        let relay = echo().await;
        let mut stream = TcpStream::connect(relay.address).await.unwrap();
        soon("an echo", ping(&mut stream)).await.unwrap();
        relay.set(Condition::Cut);
        assert!(hangs(ping(&mut stream)).await);
        assert!(hangs(TcpStream::connect(relay.address)).await);
        relay.set(Condition::Up);
        soon("what was under way", stream.read_exact(&mut [0; 4])).await.unwrap();
        let mut new = soon("a connection", TcpStream::connect(relay.address)).await.unwrap();
        soon("an echo", ping(&mut new)).await.unwrap();
    }

    #[tokio::test]
    async fn a_stalled_link_accepts_and_never_answers() {
        let relay = echo().await;
        relay.set(Condition::Stalled);
        let mut stream = soon("a connection", TcpStream::connect(relay.address)).await.unwrap();
        assert!(hangs(ping(&mut stream)).await);
        relay.set(Condition::Up);
        soon("the echo", stream.read_exact(&mut [0; 4])).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_refused_is_refused_at_once_and_breaks_what_there_was() {
        let relay = echo().await;
        let mut stream = TcpStream::connect(relay.address).await.unwrap();
        soon("an echo", ping(&mut stream)).await.unwrap();
        relay.set(Condition::Refused);
        assert!(soon("the end", ping(&mut stream)).await.is_err());
        let refused = async {
            while TcpStream::connect(relay.address).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        soon("a refusal", refused).await;
        relay.set(Condition::Up);
        let back = async {
            while TcpStream::connect(relay.address).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        soon("a connection", back).await;
    }

    #[tokio::test]
    async fn a_half_open_link_delivers_what_it_never_answers() {
        let origin = Origin::named("there").await;
        let relay = Relay::start(origin.address, Shape::of(RTT), 1);
        relay.set(Condition::HalfOpen);
        let mut stream = TcpStream::connect(relay.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        soon("the request", origin.wait_for(1)).await;
        assert!(hangs(stream.read_u8()).await);
    }
}
