//! Mixed traffic at a steady rate, as the clients of a shop send it: whether or not the requests before were answered.
//!
//! A client holds connections to each edge, knows the addresses of all of them as DNS gives them, and does what browsers do: where
//! an edge cannot be reached it asks the next, and a GET whose connection broke before an answer it sends again there. An
//! answer, whatever it says, is final, and so is silence: what takes longer than [`LIMIT`] has failed.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::client::{Client, try_h2_over};

/// How long a request may take.
pub const LIMIT: Duration = Duration::from_secs(3);

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Idempotent.
    Get,
    /// With 2 KiB of body.
    Post,
    /// A unary call with trailers.
    Grpc,
    /// An upgrade, one message there and back, and the end.
    WebSocket,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Get, Self::Post, Self::Grpc, Self::WebSocket];

    /// Sixty, twenty, fifteen and five of a hundred.
    fn of(number: usize) -> Self {
        match number % 20 {
            0..12 => Self::Get,
            12..16 => Self::Post,
            16..19 => Self::Grpc,
            _ => Self::WebSocket,
        }
    }
}

/// What became of a request.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What it was.
    pub class: Class,
    /// When it was sent.
    pub sent: Instant,
    /// How long it took.
    pub took: Duration,
    /// Which edge it was sent to first, and where its client is: positions in the lists that traffic was started with.
    pub route: (usize, usize),
    /// The cluster that served, or why none did.
    pub outcome: Result<String, String>,
}

/// Whom traffic calls, and as whom.
#[derive(Clone, Debug)]
pub struct Calls {
    /// The edges, TLS.
    pub edges: Vec<SocketAddr>,
    /// Which of them load balancers send clients to: one that starts is not among them until it is ready.
    pub in_rotation: Arc<[AtomicBool]>,
    /// Addresses of clients, one for each part of the world.
    pub clients: Vec<String>,
    /// The host of everything but gRPC.
    pub web: String,
    /// The host of gRPC.
    pub rpc: String,
}

/// Traffic that flows until it is ended.
#[derive(Debug)]
pub struct Traffic {
    samples: Arc<Mutex<Vec<Sample>>>,
    task: JoinHandle<()>,
}

impl Traffic {
    /// So many requests a second.
    pub fn start(calls: Calls, per_second: u32) -> Self {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let client = Arc::new(Callers::new(calls));
        let kept = Arc::clone(&samples);
        let task = tokio::spawn(async move {
            let mut beat = tokio::time::interval(Duration::from_secs(1) / per_second);
            for number in 0.. {
                beat.tick().await;
                let (client, kept) = (Arc::clone(&client), Arc::clone(&kept));
                tokio::spawn(async move {
                    let sample = client.sample(number).await;
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
                });
            }
        });
        Self { samples, task }
    }

    /// Ends it, and gives what became of every request.
    pub async fn end(self) -> Vec<Sample> {
        self.task.abort();
        // The last of them have an answer by then, or none that counts.
        tokio::time::sleep(LIMIT + Duration::from_millis(100)).await;
        std::mem::take(&mut *self.samples.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type H2 = h2::client::SendRequest<Bytes>;

/// Connections that are kept, by edge.
struct Callers {
    calls: Calls,
    h1: Vec<Mutex<Vec<Client>>>,
    h2: Vec<tokio::sync::Mutex<Option<H2>>>,
}

/// Why there is no answer.
enum Lost {
    /// Nothing was sent.
    Unsent(String),
    /// Something was, and no answer came.
    Broken(String),
    /// There was one, and it was no good.
    Answer(String),
}

impl Callers {
    fn new(calls: Calls) -> Self {
        let h1 = calls.edges.iter().map(|_| Mutex::default()).collect();
        let h2 = calls.edges.iter().map(|_| tokio::sync::Mutex::default()).collect();
        Self { calls, h1, h2 }
    }

    async fn sample(&self, number: usize) -> Sample {
        let class = Class::of(number);
        let (edges, clients) = (self.calls.edges.len(), self.calls.clients.len());
        // Every class of every client at every edge in turn.
        let turn = number / 20 + number % 20;
        let route = (turn % edges, turn / edges % clients);
        let sent = Instant::now();
        let outcome = tokio::time::timeout(LIMIT, self.call(class, route)).await;
        let outcome = outcome.unwrap_or_else(|_| Err("no answer within 3 s".into()));
        Sample { class, sent, took: sent.elapsed(), route, outcome }
    }

    async fn call(&self, class: Class, (first, client): (usize, usize)) -> Result<String, String> {
        let edges = self.calls.edges.len();
        let mut last = String::new();
        for edge in (0..edges).map(|n| (first + n) % edges).filter(|&edge| self.calls.in_rotation[edge].load(Relaxed)) {
            let from = &self.calls.clients[client];
            let answered = match class {
                Class::Get => self.exchange(edge, from, "GET", "").await,
                Class::Post => self.exchange(edge, from, "POST", &"x".repeat(2048)).await,
                Class::Grpc => self.grpc(edge, from).await,
                Class::WebSocket => self.chat(edge, from).await,
            };
            match answered {
                Ok(cluster) => return Ok(cluster),
                Err(Lost::Answer(why)) => return Err(why),
                Err(Lost::Broken(why)) if class != Class::Get => return Err(why),
                Err(Lost::Broken(why) | Lost::Unsent(why)) => last = why,
            }
        }
        Err(last)
    }

    async fn connect(&self, edge: usize, host: &str, alpn: &str) -> Result<Client, Lost> {
        let connected = Client::try_connect(self.calls.edges[edge], Some(host), alpn).await;
        connected.map_err(|error| Lost::Unsent(format!("no connection to the edge: {:?}", error.kind())))
    }

    async fn exchange(&self, edge: usize, from: &str, method: &str, body: &str) -> Result<String, Lost> {
        let host = &self.calls.web;
        let kept = || self.h1[edge].lock().unwrap_or_else(PoisonError::into_inner);
        let pooled = kept().pop();
        let mut client = match pooled {
            Some(client) => client,
            None => self.connect(edge, host, "http/1.1").await?,
        };
        let mut text = format!("{method} / HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {from}\r\n");
        if !body.is_empty() {
            let _ = write!(text, "Content-Length: {}\r\n", body.len());
        }
        let _ = write!(text, "\r\n{body}");
        let answer = client.try_request(&text).await;
        let answer = answer.map_err(|error| Lost::Broken(format!("the edge's connection broke: {:?}", error.kind())))?;
        if answer.field("connection") != Some("close") {
            kept().push(client);
        }
        if answer.status() == 200 && answer.text() == body.len().to_string() {
            Ok(answer.field("causeway-served-by").unwrap_or_default().to_owned())
        } else {
            Err(Lost::Answer(format!("{} {}", answer.status(), answer.text().trim())))
        }
    }

    async fn h2(&self, edge: usize) -> Result<H2, Lost> {
        let mut kept = self.h2[edge].lock().await;
        if let Some(h2) = kept.take()
            && let Ok(h2) = h2.ready().await
        {
            *kept = Some(h2.clone());
            return Ok(h2);
        }
        let connection = self.connect(edge, &self.calls.rpc, "h2").await?;
        let h2 = try_h2_over(connection).await.map_err(|error| Lost::Unsent(error.to_string()))?;
        *kept = Some(h2.clone());
        Ok(h2)
    }

    async fn grpc(&self, edge: usize, from: &str) -> Result<String, Lost> {
        let h2 = self.h2(edge).await?;
        let request = http::Request::post(format!("https://{}/echo.Echo/Say", self.calls.rpc))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("x-forwarded-for", from)
            .body(())
            .expect("it is one");
        let mut h2 = h2.ready().await.map_err(|error| Lost::Unsent(error.to_string()))?;
        let (response, mut send) = h2.send_request(request, false).map_err(|error| Lost::Unsent(error.to_string()))?;
        let broken = |error: h2::Error| Lost::Broken(format!("the stream broke: {error}"));
        // A message of five bytes: a flag, the length, and nothing.
        send.send_data(Bytes::from_static(&[0; 5]), true).map_err(broken)?;
        let response = response.await.map_err(broken)?;
        let cluster =
            response.headers().get("causeway-served-by").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let status = response.status();
        let early = response.headers().get("grpc-status").cloned();
        let mut body = response.into_body();
        let mut text = Vec::new();
        while let Some(data) = body.data().await {
            let data = data.map_err(broken)?;
            let _ = body.flow_control().release_capacity(data.len());
            text.extend(data);
        }
        let trailers = body.trailers().await.map_err(broken)?;
        let code = trailers.and_then(|trailers| trailers.get("grpc-status").cloned()).or(early);
        match code {
            Some(code) if code == "0" && status == 200 => Ok(cluster),
            code => Err(Lost::Answer(format!("{status}, grpc-status {code:?} {}", String::from_utf8_lossy(&text).trim()))),
        }
    }

    async fn chat(&self, edge: usize, from: &str) -> Result<String, Lost> {
        let host = &self.calls.web;
        let mut client = self.connect(edge, host, "http/1.1").await?;
        let upgrade = format!(
            "GET /chat HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {from}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let broken = |error: std::io::Error| Lost::Broken(format!("the edge's connection broke: {:?}", error.kind()));
        let answer = client.try_request(&upgrade).await.map_err(broken)?;
        if answer.status() != 101 {
            return Err(Lost::Answer(format!("{} {}", answer.status(), answer.text().trim())));
        }
        client.stream.write_all(b"message").await.map_err(broken)?;
        client.stream.flush().await.map_err(broken)?;
        let mut echoed = [0; 7];
        client
            .stream
            .read_exact(&mut echoed)
            .await
            .map_err(|error| Lost::Broken(format!("after the upgrade: {:?}", error.kind())))?;
        Ok(answer.field("causeway-served-by").unwrap_or_default().to_owned())
    }
}
