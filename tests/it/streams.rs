//! Bodies pass as they come: nothing waits for the end of one, and nobody is sent more than they take.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use causeway_config::HostPolicy;
use causeway_tests::{ByHand, Client, Edge, World, client, resident, soon};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const WWW: &str = "www.example.com";

async fn start() -> (ByHand, Edge) {
    let backend = ByHand::new().await;
    let edge = Edge::start(&World::new().serve(WWW, &[backend.address]), &[&[WWW]]);
    (backend, edge)
}

const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// An event as a chunk.
fn event(n: u32) -> String {
    let event = format!("data: {n}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len())
}

#[tokio::test]
async fn an_event_arrives_before_the_next_one_is_sent() {
    let (backend, edge) = start().await;
    let mut client = Client::h1(edge.https, WWW).await;
    client.send(format!("GET /events HTTP/1.1\r\nHost: {WWW}\r\nAccept: text/event-stream\r\n\r\n")).await;
    let mut connection = backend.request().await;
    connection.send(EVENTS).await;
    let mut came = Vec::new();
    for n in 0..5 {
        connection.send(event(n)).await;
        let wanted = format!("data: {n}");
        while !String::from_utf8_lossy(&came).contains(&wanted) {
            soon("the event", client.stream.read_buf(&mut came)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_event_arrives_before_the_next_one_is_sent_over_http2_too() {
    let (backend, edge) = start().await;
    let mut send = client::h2(edge.https, WWW).await;
    let request = http::Request::get(format!("https://{WWW}/events")).body(()).unwrap();
    let (response, _) = send.send_request(request, true).unwrap();
    let mut connection = backend.request().await;
    connection.send(EVENTS).await;
    let mut body = soon("a response", response).await.unwrap().into_body();
    for n in 0..5 {
        connection.send(event(n)).await;
        let data = soon("the event", body.data()).await.unwrap().unwrap();
        assert_eq!(data, format!("data: {n}\n\n"));
        body.flow_control().release_capacity(data.len()).unwrap();
    }
}

fn expects(length: usize) -> String {
    format!("POST /up HTTP/1.1\r\nHost: {WWW}\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n")
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told_by_the_backend() {
    let (backend, edge) = start().await;
    let mut client = Client::h1(edge.https, WWW).await;
    client.send(expects(5)).await;
    let mut connection = backend.request().await;
    assert!(connection.head.to_ascii_lowercase().contains("\r\nexpect: 100-continue\r\n"), "{}", connection.head);
    connection.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    let told = client.receive().await;
    assert_eq!(told.status(), 100);
    client.send("hello").await;
    assert_eq!(connection.body(5).await, b"hello");
    connection.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.receive().await.status(), 201);
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_may_be_refused_by_the_backend() {
    let (backend, edge) = start().await;
    let mut client = Client::h1(edge.https, WWW).await;
    client.send(expects(5)).await;
    let mut connection = backend.request().await;
    connection.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    let told = client.receive().await;
    assert_eq!((told.status(), told.text().as_str()), (403, "no"));
    // The body was announced, and nothing that follows may be taken for another request.
    client.send(format!("GET /smuggled HTTP/1.1\r\nHost: {WWW}\r\n\r\n")).await;
    let rest = client.read_to_end().await;
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    assert!(connection.body.len() <= 5, "{:?}", connection.body);
}

#[tokio::test]
async fn what_the_edge_refuses_it_refuses_before_the_body() {
    let backend = ByHand::new().await;
    let policy = HostPolicy { max_body: Some(10), ..HostPolicy::default() };
    let world = World::new().serve(WWW, &[backend.address]).with(|c| drop(c.hosts.insert(WWW.parse().unwrap(), policy)));
    let edge = Edge::start(&world, &[&[WWW]]);
    for (request, status) in [(expects(11), 413), (expects(5).replace(WWW, "nobody.example.com"), 404)] {
        let mut client = Client::h1(edge.https, WWW).await;
        assert_eq!(client.request(&request).await.status(), status);
    }
}

/// Larger than all buffers of the kernel on the way together.
const LARGE: usize = 64 << 20;

/// What the process may grow by while a large body waits: the test, the edge and the backend are in it.
const GROWTH: usize = 24 << 10;

/// Until nothing is taken for so long, it is still on its way.
const PAUSE: Duration = Duration::from_millis(500);

/// Writes until nothing more is taken; how much was.
async fn stuff(stream: &mut (impl AsyncWrite + Unpin)) -> usize {
    let (chunk, mut sent) = (vec![b'x'; 64 << 10], 0);
    while sent < LARGE {
        let piece = &chunk[..chunk.len().min(LARGE - sent)];
        match tokio::time::timeout(PAUSE, stream.write(piece)).await {
            Ok(n) => sent += n.unwrap(),
            Err(_) => break,
        }
    }
    sent
}

/// Writes the rest.
async fn finish(stream: &mut (impl AsyncWrite + Unpin), mut sent: usize) {
    let chunk = vec![b'x'; 64 << 10];
    while sent < LARGE {
        sent += stream.write(&chunk[..chunk.len().min(LARGE - sent)]).await.unwrap();
    }
    stream.flush().await.unwrap();
}

/// Reads so many bytes, and what the process had grown to meanwhile.
async fn drain(stream: &mut (impl AsyncRead + Unpin), mut left: usize) -> usize {
    let (mut buffer, mut most) = (vec![0; 256 << 10], 0);
    while left > 0 {
        let room = buffer.len().min(left);
        let n = stream.read(&mut buffer[..room]).await.unwrap();
        assert!(n > 0, "it ends {left} bytes early");
        left -= n;
        most = most.max(resident());
    }
    most
}

fn assert_waited(taken: usize, grown: usize) {
    assert!(taken < LARGE / 2, "nobody read, and yet {taken} bytes were taken");
    assert!(grown < GROWTH, "the process grew by {grown} kB");
}

#[tokio::test]
async fn a_client_that_reads_slowly_slows_the_backend() {
    let (backend, edge) = start().await;
    let before = resident();
    let mut client = Client::h1(edge.https, WWW).await;
    client.send(format!("GET / HTTP/1.1\r\nHost: {WWW}\r\n\r\n")).await;
    let mut connection = backend.request().await;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    connection.send(&head).await;
    let taken = stuff(&mut connection.stream).await;
    assert_waited(taken, resident().saturating_sub(before));
    let reading = async {
        let mut bytes = Vec::new();
        let end = loop {
            client.stream.read_buf(&mut bytes).await.unwrap();
            if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
        };
        drain(&mut client.stream, LARGE - (bytes.len() - end)).await
    };
    let ((), most) = soon("the body", async { tokio::join!(finish(&mut connection.stream, taken), reading) }).await;
    assert_waited(taken, most.saturating_sub(before));
}

#[tokio::test]
async fn a_client_that_reads_slowly_slows_the_backend_over_http2_too() {
    let (backend, edge) = start().await;
    let before = resident();
    let mut send = client::h2(edge.https, WWW).await;
    let (response, _) = send.send_request(http::Request::get(format!("https://{WWW}/")).body(()).unwrap(), true).unwrap();
    let mut connection = backend.request().await;
    connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n")).await;
    let taken = stuff(&mut connection.stream).await;
    assert_waited(taken, resident().saturating_sub(before));
    let mut body = soon("a response", response).await.unwrap().into_body();
    let reading = async {
        let (mut received, mut most) = (0, 0);
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            received += data.len();
            body.flow_control().release_capacity(data.len()).unwrap();
            most = most.max(resident());
        }
        assert_eq!(received, LARGE);
        most
    };
    let ((), most) = soon("the body", async { tokio::join!(finish(&mut connection.stream, taken), reading) }).await;
    assert_waited(taken, most.saturating_sub(before));
}

#[tokio::test]
async fn a_backend_that_reads_slowly_slows_the_client() {
    let (backend, edge) = start().await;
    let before = resident();
    let mut client = Client::h1(edge.https, WWW).await;
    client.send(format!("PUT / HTTP/1.1\r\nHost: {WWW}\r\nContent-Length: {LARGE}\r\n\r\n")).await;
    let mut connection = backend.request().await;
    let taken = stuff(&mut client.stream).await;
    assert_waited(taken, resident().saturating_sub(before));
    let left = LARGE - connection.body.len();
    let ((), most) =
        soon("the body", async { tokio::join!(finish(&mut client.stream, taken), drain(&mut connection.stream, left)) }).await;
    assert_waited(taken, most.saturating_sub(before));
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.receive().await.status(), 200);
}

#[tokio::test]
async fn a_backend_that_reads_slowly_slows_the_client_over_http2_too() {
    let (backend, edge) = start().await;
    let before = resident();
    let mut send = client::h2(edge.https, WWW).await;
    let request = http::Request::put(format!("https://{WWW}/")).header("content-length", LARGE).body(()).unwrap();
    let (response, mut body) = send.send_request(request, false).unwrap();
    let mut connection = backend.request().await;
    // Sends what the edge's window lets it; how much that was in all, once nothing moves or all is sent.
    let mut pushed = 0;
    let mut push = async |sent: &mut usize, pause: Duration| {
        while *sent < LARGE {
            body.reserve_capacity((LARGE - *sent).min(64 << 10));
            let Ok(room) = tokio::time::timeout(pause, poll_fn(|cx| body.poll_capacity(cx))).await else { break };
            let room = room.unwrap().unwrap();
            *sent += room;
            body.send_data(Bytes::from(vec![b'x'; room]), *sent == LARGE).unwrap();
        }
    };
    push(&mut pushed, PAUSE).await;
    let taken = pushed;
    assert_waited(taken, resident().saturating_sub(before));
    let left = LARGE - connection.body.len();
    let ((), most) = soon("the body", async {
        tokio::join!(push(&mut pushed, causeway_tests::PATIENCE), drain(&mut connection.stream, left))
    })
    .await;
    assert_waited(taken, most.saturating_sub(before));
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(soon("a response", response).await.unwrap().status(), 200);
}
