//! What is no simple exchange: gRPC, server-sent events, large bodies.

use std::time::Duration;

use bytes::Bytes;
use causeway_tests::wan::{Relay, Shape};
use causeway_tests::{Answer, Client, H2cOrigin, Origin, Peered, client, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{AWS, AZURE, WWW, shop};

/// A fleet whose only pod, in azure, speaks HTTP/2 with prior knowledge.
async fn grpc(origin: &H2cOrigin, more: &str) -> Peered {
    let service = causeway_tests::fleet::service("shop/web", &[origin.address]).replacen(
        "{name: web, port: 80}",
        "{name: web, port: 80, appProtocol: kubernetes.io/h2c}",
        1,
    );
    let fleet = shop([None, None, None], more).await;
    fleet.write("azure/web.yaml", service);
    fleet.until_admin_says(AWS, "/snapshot", "\"ready\": 1").await;
    fleet
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grpc_stream_crosses_both_ways_with_its_trailers() {
    let origin = H2cOrigin::echo().await;
    let fleet = grpc(&origin, "").await;
    let mut send = client::h2(fleet.https(AWS), WWW).await;
    let request = http::Request::post(format!("https://{WWW}/shop.Basket/Add"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (response, mut body) = send.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"first "), false).unwrap();
    let response = soon("a response", response).await.unwrap();
    assert_eq!(
        (&response.headers()["x-te"], &response.headers()["causeway-served-by"]),
        (&"trailers".parse().unwrap(), &"azure".parse().unwrap())
    );
    // The response has begun while the request goes on: a stream in both directions.
    body.send_data(Bytes::from_static(b"second"), true).unwrap();
    let mut received = response.into_body();
    let mut echoed = Vec::new();
    while let Some(data) = soon("data", received.data()).await {
        echoed.extend(data.unwrap());
    }
    assert_eq!(echoed, b"first second");
    let trailers = soon("trailers", received.trailers()).await.unwrap().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
}

/// The edge that asks has no limit for one stream of a connection that others are on; the one that calls the pod has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_a_living_backend_forgets_behind_another_edge_is_answered_504() {
    let origin = H2cOrigin::held().await;
    let fleet = grpc(&origin, "upstream: {requestTimeout: 500ms}\n").await;
    let mut send = client::h2(fleet.https(AWS), WWW).await;
    let (forgotten, _) = send.send_request(http::Request::get(format!("https://{WWW}/")).body(()).unwrap(), true).unwrap();
    assert_eq!(soon("an end", forgotten).await.unwrap().status(), 504);
    let post = http::Request::post(format!("https://{WWW}/")).body(()).unwrap();
    let (forgotten, mut body) = send.send_request(post, false).unwrap();
    body.send_data(Bytes::from_static(b"taken"), true).unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(soon("an end", forgotten).await.unwrap().status(), 504, "with a body");
    assert!(began.elapsed() < Duration::from_secs(10), "not the 15 s that a try may take");
    origin.answers.send_replace(true);
    let (served, _) = send.send_request(http::Request::get(format!("https://{WWW}/")).body(()).unwrap(), true).unwrap();
    assert_eq!(soon("a response", served).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_arrive_as_they_are_sent() {
    // A body that is never whole: whoever buffered it would pass nothing on.
    let origin = Origin::start(|_| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        Answer::Bytes(format!("{head}f\r\ndata: hello\r\n\r\n\r\n").into_bytes())
    })
    .await;
    let fleet = shop([None, Some(&origin), None], "").await;
    let mut client = Client::h1(fleet.https(AWS), WWW).await;
    client.send(format!("GET /events HTTP/1.1\r\nHost: {WWW}\r\nAccept: text/event-stream\r\n\r\n")).await;
    let mut text = Vec::new();
    let arrived = async {
        while !text.windows(11).any(|w| w == b"data: hello") {
            client.stream.read_buf(&mut text).await.unwrap();
        }
    };
    soon("the event", arrived).await;
    assert!(String::from_utf8_lossy(&text).starts_with("HTTP/1.1 200"), "{}", String::from_utf8_lossy(&text));
}

/// A pod that reads a body of `size` as slowly as it is told to, and answers with as many bytes.
async fn mirror(size: usize) -> (std::net::SocketAddr, tokio::sync::mpsc::Sender<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (allow, mut allowed) = tokio::sync::mpsc::channel::<usize>(64);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = Vec::new();
        let head = loop {
            stream.read_buf(&mut buffer).await.unwrap();
            if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let mut left = size - (buffer.len() - head);
        let mut chunk = vec![0; 64 << 10];
        while left > 0 {
            let Some(mut may) = allowed.recv().await else { return };
            while may > 0 && left > 0 {
                let room = may.min(chunk.len()).min(left);
                let n = stream.read(&mut chunk[..room]).await.unwrap();
                (may, left) = (may - n, left - n);
            }
        }
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").as_bytes()).await.unwrap();
        let mut left = size;
        while left > 0 {
            let n = left.min(chunk.len());
            stream.write_all(&chunk[..n]).await.unwrap();
            left -= n;
        }
    });
    (address, allow)
}

/// In kilobytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Sends a body of `size` to a pod that does not read it, then lets it through, and reads as much back. Returns how much was taken
/// of it while nobody read, and by how many kilobytes the process grew in all.
async fn large(size: usize) -> (usize, usize) {
    let (address, allow) = mirror(size).await;
    let fleet = shop([None, None, None], "").await;
    fleet.write("azure/web.yaml", causeway_tests::fleet::service("shop/web", &[address]));
    fleet.until_admin_says(AWS, "/snapshot", "\"ready\": 1").await;
    let before = resident();
    let client = Client::h1(fleet.https(AWS), WWW).await;
    let (mut read, mut write) = tokio::io::split(client.stream);
    write.write_all(format!("PUT /large HTTP/1.1\r\nHost: {WWW}\r\nContent-Length: {size}\r\n\r\n").as_bytes()).await.unwrap();
    let chunk = vec![b'x'; 64 << 10];
    let mut sent = 0;
    // Until nothing more is taken for a while.
    while sent < size {
        let piece = &chunk[..chunk.len().min(size - sent)];
        match tokio::time::timeout(Duration::from_secs(2), write.write(piece)).await {
            Ok(n) => sent += n.unwrap(),
            Err(_) => break,
        }
    }
    let taken = sent;
    let mut most = resident();
    let sending = async {
        while sent < size {
            let piece = &chunk[..chunk.len().min(size - sent)];
            sent += write.write(piece).await.unwrap();
        }
        write.flush().await.unwrap();
    };
    let allowing = async {
        for _ in 0..=size / (4 << 20) {
            let _ = allow.send(4 << 20).await;
        }
    };
    let mut received = 0;
    let reading = async {
        let mut buffer = vec![0; 256 << 10];
        let mut head = Vec::new();
        while received < size {
            let n = read.read(&mut buffer).await.unwrap();
            assert!(n > 0, "the body ends early, at {received}");
            if head.is_empty() {
                let at = buffer[..n].windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
                head.extend_from_slice(&buffer[..at]);
                received += n - at;
            } else {
                received += n;
            }
            most = most.max(resident());
        }
        assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    };
    tokio::join!(sending, allowing, reading);
    assert_eq!(received, size);
    (taken, most.saturating_sub(before))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_waits_for_whoever_reads_slowly() {
    let size = 64 << 20;
    let (taken, grown) = large(size).await;
    assert!(taken < size / 2, "nobody read, and yet {taken} bytes were taken");
    assert!(grown < 48 << 10, "the process grew by {grown} kB for a body of {} kB", size >> 10);
}

/// More than two seconds of it go over a link of 2 Mbit/s, where pings between edges have one second, or five, for their answer.
const LARGE: usize = 600_000;

/// A fleet whose only pod, in azure, answers with a large body, behind such a link.
async fn far(origin: &Origin) -> (Peered, Relay) {
    let fleet = shop([None, Some(origin), None], "").await;
    let link = Relay::start(fleet.peer(AZURE), Shape::narrow(Duration::from_millis(20), 2.5e5), 1);
    fleet.move_peer(AZURE, link.address);
    fleet.until_admin_says(AWS, "/snapshot", &format!("\"address\": \"{}\"", link.address)).await;
    (fleet, link)
}

/// What takes long to be sent is no silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_link_takes_a_large_body() {
    let origin = Origin::named("azure").await;
    let (fleet, _link) = far(&origin).await;
    let mut client = Client::h1(fleet.https(AWS), WWW).await;
    let body = "x".repeat(LARGE * 5 / 2);
    client.send(format!("POST / HTTP/1.1\r\nHost: {WWW}\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await;
    assert_eq!(client.receive().await.status(), 200);
    assert_eq!(origin.requests()[0].body.len(), body.len());
}

/// More of them than there are lanes: some wait behind others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_link_brings_large_bodies_beside_each_other() {
    let origin = Origin::start(|_| Answer::ok(&"x".repeat(LARGE))).await;
    let (fleet, _link) = far(&origin).await;
    let edge = fleet.https(AWS);
    let loads: Vec<_> = (0..6).map(|_| tokio::spawn(async move { Client::h1(edge, WWW).await.get(WWW, "/").await })).collect();
    for load in loads {
        let response = load.await.unwrap();
        assert_eq!((response.status(), response.body.len()), (200, LARGE));
    }
}

/// The size that the product promises; `make soak` runs it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes; `make soak` runs it"]
async fn a_gibibyte_crosses_in_flat_memory() {
    let (taken, grown) = large(1 << 30).await;
    println!("{taken} bytes were taken while nobody read; the process grew by {grown} kB");
    assert!(taken < 64 << 20 && grown < 64 << 10, "{taken} bytes, {grown} kB");
}
