//! A backend that speaks HTTP/1.1 by hand, and keeps every byte that reached it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// A backend on loopback; it ends when it is dropped.
#[derive(Debug)]
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<Request>>,
    news: Notify,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// Counts the connections to the origin, from 0.
    pub connection: usize,
    /// Request line and fields, with their line ends.
    pub head: String,
    /// The body, decoded.
    pub body: Vec<u8>,
}

/// What an origin does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// These bytes; the connection stays.
    Bytes(Vec<u8>),
    /// These bytes, and the end of the connection.
    Last(Vec<u8>),
    /// A status at once, and after a pause the body.
    Slow(&'static str, Duration, &'static str),
    /// After a pause, 200 with a body.
    Late(Duration, &'static str),
    /// Nothing, for ever.
    Silence,
    /// 101 after `head`, then everything comes back as it came.
    Echo,
}

impl Answer {
    /// 200 with a body.
    pub fn ok(body: &str) -> Self {
        Self::Bytes(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
    }

    /// A status without a body.
    pub fn status(status: u16) -> Self {
        Self::Bytes(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").into_bytes())
    }
}

impl Request {
    /// The value of a field; its names are compared as HTTP does.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.lines().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// All values of a field.
    pub fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.lines().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.head.lines().skip(1).filter_map(|line| line.split_once(':'))
    }

    /// Method and target.
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1")
    }
}

impl Origin {
    /// Starts a backend that answers as `answer` says.
    ///
    /// # Panics
    /// Where loopback has no port left.
    pub async fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), answer).await
    }

    /// As [`start`](Self::start), at another address of this machine.
    ///
    /// # Panics
    /// Where it is none of this machine's.
    pub async fn start_at(at: IpAddr, answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((at, 0)).await.expect("the address is this machine's and has ports");
        let address = listener.local_addr().expect("it is bound");
        let seen = Arc::new(Seen::default());
        let answer = Arc::new(answer);
        let shared = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            // Connections end with the backend, as a process's do.
            let mut connections = JoinSet::new();
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&shared));
                seen.connections.fetch_add(1, Ordering::Relaxed);
                seen.news.notify_waiters();
                connections.spawn(async move { serve(stream, connection, &*answer, &seen).await });
            }
        });
        Self { address, seen, task }
    }

    /// A backend that answers everything with its `name`.
    pub async fn named(name: &'static str) -> Self {
        Self::start(move |_| Answer::ok(name)).await
    }

    /// The requests so far.
    ///
    /// # Panics
    /// Where the origin itself has panicked.
    pub fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().expect("the origin lives").clone()
    }

    /// Waits until somebody has connected.
    pub async fn connected(&self) {
        loop {
            let news = self.seen.news.notified();
            if self.seen.connections.load(Ordering::Relaxed) > 0 {
                return;
            }
            news.await;
        }
    }

    /// Waits until so many requests have come.
    pub async fn wait_for(&self, count: usize) -> Vec<Request> {
        loop {
            let news = self.seen.news.notified();
            let requests = self.requests();
            if requests.len() >= count {
                return requests;
            }
            news.await;
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An address on loopback that refuses connections.
///
/// # Panics
/// Where loopback has no port left.
pub async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
    listener.local_addr().expect("it is bound")
}

async fn serve(mut stream: TcpStream, connection: usize, answer: &(dyn Fn(&Request) -> Answer + Send + Sync), seen: &Seen) {
    let mut buffer = Vec::new();
    while let Ok(Some(request)) = read_request(&mut stream, &mut buffer, connection).await {
        let answer = answer(&request);
        seen.requests.lock().expect("nobody panics with it").push(request);
        seen.news.notify_waiters();
        let written = match &answer {
            Answer::Bytes(bytes) | Answer::Last(bytes) => stream.write_all(bytes).await,
            Answer::Slow(status, pause, body) => slow(&mut stream, status, *pause, body).await,
            Answer::Late(pause, body) => {
                tokio::time::sleep(*pause).await;
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                stream.write_all(head.as_bytes()).await
            }
            Answer::Silence => std::future::pending().await,
            Answer::Echo => echo(&mut stream, &buffer).await,
        };
        if written.is_err() || !matches!(answer, Answer::Bytes(_) | Answer::Slow(..) | Answer::Late(..)) {
            return;
        }
    }
}

async fn slow(stream: &mut TcpStream, status: &str, pause: Duration, body: &str) -> io::Result<()> {
    stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes()).await?;
    tokio::time::sleep(pause).await;
    stream.write_all(body.as_bytes()).await
}

async fn echo(stream: &mut TcpStream, before: &[u8]) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await?;
    stream.write_all(before).await?;
    let (mut read, mut write) = stream.split();
    tokio::io::copy(&mut read, &mut write).await.map(drop)
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>, connection: usize) -> io::Result<Option<Request>> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer.drain(..end).collect::<Vec<_>>()).into_owned();
    let mut request = Request { connection, head, body: Vec::new() };
    if request.field("transfer-encoding").is_some() {
        request.body = read_chunks(stream, buffer).await?;
    } else if let Some(length) = request.field("content-length").and_then(|v| v.parse::<usize>().ok()) {
        request.body = take(stream, buffer, length).await?;
    }
    Ok(Some(request))
}

async fn read_chunks(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = loop {
            if let Some(at) = buffer.windows(2).position(|w| w == b"\r\n") {
                break buffer.drain(..at + 2).collect::<Vec<_>>();
            }
            if stream.read_buf(buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let size = std::str::from_utf8(&line).ok().and_then(|l| usize::from_str_radix(l.trim(), 16).ok());
        let size = size.ok_or(io::ErrorKind::InvalidData)?;
        body.extend(take(stream, buffer, size).await?);
        take(stream, buffer, 2).await?;
        if size == 0 {
            return Ok(body);
        }
    }
}

async fn take(stream: &mut TcpStream, buffer: &mut Vec<u8>, length: usize) -> io::Result<Vec<u8>> {
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(buffer.drain(..length).collect())
}
