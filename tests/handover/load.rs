//! Clients of every kind that never stop: what an upgrade must not be noticed by.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use causeway_tests::fleet::until;
use causeway_tests::{Answer, Client, Origin, client};
use tokio::task::JoinSet;

/// What a client waits before it sends again: the machine is not the client's alone.
const PACE: Duration = Duration::from_millis(15);

/// A request for a WebSocket.
pub(crate) fn upgrade(host: &str) -> String {
    format!(
        "GET /chat HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// A backend that answers, and talks on `/chat`.
pub(crate) async fn origin() -> Origin {
    Origin::start(|request| if request.line().contains("/chat") { Answer::Echo } else { Answer::ok("hello") }).await
}

#[derive(Default)]
struct Counts {
    host: &'static str,
    stop: AtomicBool,
    sent: AtomicUsize,
    failed: AtomicUsize,
    refused: AtomicUsize,
    handshakes: AtomicUsize,
    closed: AtomicUsize,
    messages: AtomicUsize,
}

/// What became of all requests.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) sent: usize,
    pub(crate) failed: usize,
    pub(crate) refused: usize,
    handshakes: usize,
    closed: usize,
    messages: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests, {} failed; {} handshakes, {} refused; {} connections ended in order; {} messages by one WebSocket",
            self.sent, self.failed, self.handshakes, self.refused, self.closed, self.messages
        )
    }
}

/// Clients that run.
pub(crate) struct Load {
    counts: Arc<Counts>,
    clients: JoinSet<()>,
}

impl Load {
    /// So many kept HTTP/1.1 connections and HTTP/2 ones, a WebSocket, and one client that never keeps a connection.
    pub(crate) fn start(edge: SocketAddr, host: &'static str, h1: usize, h2: usize) -> Self {
        let counts = Arc::new(Counts { host, ..Counts::default() });
        let mut clients = JoinSet::new();
        for _ in 0..h1 {
            clients.spawn(kept(edge, Arc::clone(&counts)));
        }
        for _ in 0..h2 {
            clients.spawn(multiplexed(edge, Arc::clone(&counts)));
        }
        clients.spawn(fresh(edge, Arc::clone(&counts)));
        clients.spawn(chat(edge, Arc::clone(&counts)));
        Self { counts, clients }
    }

    /// Waits until so many more messages have passed by the WebSocket, and requests by somebody.
    pub(crate) async fn pass(&self, messages: usize) {
        let (sent, passed) = (self.counts.sent.load(Relaxed), self.counts.messages.load(Relaxed));
        until("traffic", async || {
            self.counts.sent.load(Relaxed) >= sent + 10 && self.counts.messages.load(Relaxed) >= passed + messages
        })
        .await;
    }

    /// Lets all of them finish what they do.
    pub(crate) async fn end(mut self) -> Summary {
        self.counts.stop.store(true, Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("no client has panicked");
        }
        let read = |count: &AtomicUsize| count.load(Relaxed);
        let Counts { sent, failed, refused, handshakes, closed, messages, .. } = &*self.counts;
        Summary {
            sent: read(sent),
            failed: read(failed),
            refused: read(refused),
            handshakes: read(handshakes),
            closed: read(closed),
            messages: read(messages),
        }
    }
}

impl Counts {
    fn running(&self) -> bool {
        !self.stop.load(Relaxed)
    }

    /// A connection, or one more refused.
    async fn connect(&self, edge: SocketAddr, alpn: &str) -> Option<Client> {
        match Client::try_connect(edge, Some(self.host), alpn).await {
            Ok(client) => {
                self.handshakes.fetch_add(1, Relaxed);
                Some(client)
            }
            Err(error) => {
                println!("refused: {error}");
                self.refused.fetch_add(1, Relaxed);
                None
            }
        }
    }

    fn request(&self, answered: &Result<(), String>) -> bool {
        self.sent.fetch_add(1, Relaxed);
        if let Err(why) = answered {
            println!("failed: {why}");
            self.failed.fetch_add(1, Relaxed);
        }
        answered.is_ok()
    }
}

/// Keeps its connection until it is told to close it.
async fn kept(edge: SocketAddr, counts: Arc<Counts>) {
    while counts.running() {
        let Some(mut client) = counts.connect(edge, "http/1.1").await else { continue };
        while counts.running() {
            let answer = client.try_request(&format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", counts.host)).await;
            let close = answer.as_ref().is_ok_and(|answer| answer.field("connection") == Some("close"));
            let answered = match answer {
                Ok(answer) if answer.status() == 200 && answer.text() == "hello" => Ok(()),
                Ok(answer) => Err(format!("{answer:?}")),
                Err(error) => Err(error.to_string()),
            };
            if !counts.request(&answered) || close {
                counts.closed.fetch_add(usize::from(close), Relaxed);
                break;
            }
            tokio::time::sleep(PACE).await;
        }
    }
}

/// A connection for each request.
async fn fresh(edge: SocketAddr, counts: Arc<Counts>) {
    while counts.running() {
        let Some(mut client) = counts.connect(edge, "http/1.1").await else { continue };
        let answer = client.try_request(&format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", counts.host)).await;
        counts.request(
            &answer.map_err(|error| error.to_string()).and_then(|a| if a.status() == 200 { Ok(()) } else { Err(a.head) }),
        );
        tokio::time::sleep(PACE).await;
    }
}

/// Requests on one HTTP/2 connection until GOAWAY.
async fn multiplexed(edge: SocketAddr, counts: Arc<Counts>) {
    while counts.running() {
        let Some(connection) = counts.connect(edge, "h2").await else { continue };
        let mut h2 = client::h2_over(connection).await;
        while counts.running() {
            let request = http::Request::get(format!("https://{}/", counts.host)).body(()).expect("it is one");
            // Told by GOAWAY before anything was sent: no request has failed.
            let Ok(ready) = h2.clone().ready().await else { break };
            h2 = ready;
            let Ok((response, _)) = h2.send_request(request, true) else { break };
            let answered = async {
                let mut response = match response.await {
                    // The same, a moment later: it was not taken (RFC 9113 section 6.8), and goes over the next connection.
                    Err(error) if error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR) => return Ok(false),
                    response => response.map_err(|error| error.to_string())?,
                };
                while let Some(data) = response.body_mut().data().await {
                    let data = data.map_err(|error| error.to_string())?;
                    let _ = response.body_mut().flow_control().release_capacity(data.len());
                }
                if response.status() == 200 { Ok(true) } else { Err(response.status().to_string()) }
            };
            let answered = answered.await;
            if answered == Ok(false) || !counts.request(&answered.map(drop)) {
                break;
            }
            tokio::time::sleep(PACE).await;
        }
        counts.closed.fetch_add(1, Relaxed);
    }
}

/// One WebSocket for all the time.
async fn chat(edge: SocketAddr, counts: Arc<Counts>) {
    let mut client = Client::h1(edge, counts.host).await;
    assert_eq!(client.request(&upgrade(counts.host)).await.status(), 101);
    while counts.running() {
        client.send("message").await;
        assert_eq!(client.read(7).await, b"message");
        counts.messages.fetch_add(1, Relaxed);
        tokio::time::sleep(PACE).await;
    }
}
