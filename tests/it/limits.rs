//! Limits: what is too much, too long or too slow is refused, and counted by its reason.

use std::time::Duration;

use bytes::Bytes;
use causeway_config::{HostPolicy, Limits, MemoryLimit, RateKey, RateLimit};
use causeway_tests::raw_h2::{self, CONTINUATION, END_HEADERS, GOAWAY, HEADERS, PING, SETTINGS, WINDOW_UPDATE};
use causeway_tests::{Answer, Client, Edge, Origin, World, client, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const WWW: &str = "www.example.com";

/// Short enough for a test, and long enough for a slow machine to do in it what must be done.
const SHORT: Duration = Duration::from_millis(300);

fn world(origin: &Origin, change: impl FnOnce(&mut Limits)) -> World {
    World::new().serve(WWW, &[origin.address]).with(|config| change(&mut config.limits))
}

async fn start(change: impl FnOnce(&mut Limits)) -> (Origin, Edge) {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&world(&origin, change), &[&[WWW]]);
    (origin, edge)
}

fn with_policy(origin: &Origin, policy: HostPolicy) -> World {
    World::new().serve(WWW, &[origin.address]).with(|config| drop(config.hosts.insert(WWW.parse().unwrap(), policy)))
}

/// Waits until a connection is ended by the other side; what came before.
async fn ends(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = soon("the end of the connection", stream.read_to_end(&mut rest)).await;
    rest
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_cut() {
    let (_origin, edge) = start(|limits| limits.handshake_timeout = SHORT).await;
    for begun in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00"] {
        let mut stream = TcpStream::connect(edge.https).await.unwrap();
        stream.write_all(begun).await.unwrap();
        assert!(ends(&mut stream).await.is_empty());
    }
    assert_eq!(edge.metric("causeway_tls_handshakes_total{version=\"none\",result=\"timeout\"}").as_deref(), Some("2"));
}

#[tokio::test]
async fn a_proxy_header_that_does_not_end_is_cut() {
    let origin = Origin::named("hello").await;
    let world = world(&origin, |limits| limits.proxy_header_timeout = SHORT).with(|config| {
        let from = vec!["127.0.0.0/8".parse().unwrap()];
        config.listen.https.proxy_protocol =
            causeway_config::ProxyProtocol { mode: causeway_config::ProxyProtocolMode::Required, from };
    });
    let edge = Edge::start(&world, &[&[WWW]]);
    let mut stream = TcpStream::connect(edge.https).await.unwrap();
    stream.write_all(b"PROXY TCP4 ").await.unwrap();
    assert!(ends(&mut stream).await.is_empty());
    assert_eq!(edge.refused("proxy_protocol"), 1);
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut_later_requests_too() {
    let (origin, edge) = start(|limits| limits.request_header_timeout = SHORT).await;
    for requests_before in [0, 2] {
        let mut client = Client::h1(edge.https, WWW).await;
        for _ in 0..requests_before {
            assert_eq!(client.get(WWW, "/").await.status(), 200);
        }
        client.send("GET / HTTP/1.1\r\nHost: ").await;
        assert!(client.read_to_end().await.is_empty());
    }
    assert_eq!(edge.refused("slow_header"), 2);
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn a_connection_without_requests_is_ended() {
    let (_origin, edge) = start(|limits| limits.idle_timeout = SHORT).await;
    assert!(Client::h1(edge.https, WWW).await.read_to_end().await.is_empty(), "before the first");
    let mut client = Client::h1(edge.https, WWW).await;
    assert_eq!(client.get(WWW, "/").await.status(), 200);
    // The engine counts in seconds.
    assert!(client.read_to_end().await.is_empty(), "between two");
}

#[tokio::test]
async fn http2_connections_without_preface_or_requests_are_ended() {
    let (_origin, edge) = start(|limits| {
        limits.http2.preface_timeout = SHORT;
        limits.http2.idle_timeout = SHORT * 2;
    })
    .await;
    let mut silent = Client::try_connect(edge.https, Some(WWW), "h2").await.unwrap();
    silent.read_to_end().await;
    assert_eq!(edge.refused("slow_header"), 1);
    let mut idle = raw_h2::connect(edge.https, WWW).await;
    raw_h2::frames(&mut idle, |_| false).await;
    assert_eq!(edge.refused("slow_header"), 1);
}

/// With a request that waits for its backend, so that the connection is not idle.
#[tokio::test]
async fn an_http2_head_that_does_not_end_is_cut() {
    let origin = Origin::start(|_| Answer::Silence).await;
    let edge = Edge::start(&world(&origin, |limits| limits.request_header_timeout = SHORT), &[&[WWW]]);
    let unfinished =
        [plain(3, 0), [plain(3, 0), raw_h2::frame(CONTINUATION, 0, 3, &[])].concat(), plain(3, END_HEADERS)[..20].to_vec()];
    for (before, begun) in unfinished.into_iter().enumerate() {
        let mut client = raw_h2::connect(edge.https, WWW).await;
        client.send(plain(1, END_HEADERS | raw_h2::END_STREAM)).await;
        origin.wait_for(before + 1).await;
        client.send(begun).await;
        raw_h2::frames(&mut client, |_| false).await;
        assert_eq!(edge.refused("slow_header"), before as u64 + 1);
    }
}

/// With a request that waits for its backend, so that the connection is not idle.
#[tokio::test]
async fn an_http2_client_that_stops_in_mid_frame_is_given_up() {
    let origin = Origin::start(|_| Answer::Silence).await;
    let edge = Edge::start(&world(&origin, |limits| limits.http2.idle_timeout = SHORT * 2), &[&[WWW]]);
    for (requests, part) in [&b"\0\0"[..], b"\0\0\x08\x06\0\0\0\0\0abc"].into_iter().enumerate() {
        let mut client = raw_h2::connect(edge.https, WWW).await;
        client.send([plain(1, END_HEADERS | raw_h2::END_STREAM), part.to_vec()].concat()).await;
        origin.wait_for(requests + 1).await;
        let came = raw_h2::frames(&mut client, |_| false).await;
        assert!(came.iter().any(|frame| frame.kind == PING && frame.payload == b"causeway"), "it was asked: {came:?}");
    }
}

#[tokio::test]
async fn a_body_that_stops_coming_is_408() {
    let (origin, edge) = start(|limits| limits.body_idle_timeout = SHORT).await;
    let mut client = Client::h1(edge.https, WWW).await;
    client.send(format!("POST / HTTP/1.1\r\nHost: {WWW}\r\nContent-Length: 10\r\n\r\nhello")).await;
    let answer = String::from_utf8_lossy(&client.read_to_end().await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(edge.refused("slow_body"), 1);
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn who_takes_nothing_of_an_http2_response_is_given_up() {
    let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 64 << 20).into_bytes();
    let origin = Origin::start(move |request| match request.line() {
        "GET /large" => Answer::Bytes([large.clone(), vec![b'x'; 64 << 20]].concat()),
        _ => Answer::ok("hello"),
    })
    .await;
    let edge = Edge::start(&world(&origin, |limits| limits.body_idle_timeout = SHORT), &[&[WWW]]);
    let mut send = client::h2(edge.https, WWW).await;
    let get = |path: &str| http::Request::get(format!("https://{WWW}{path}")).body(()).unwrap();
    let response = soon("a response", send.send_request(get("/large"), true).unwrap().0).await.unwrap();
    let mut body = response.into_body();
    // What fills the window comes, and nothing of it is given back.
    let end = soon("the end of the stream", async {
        loop {
            match body.data().await {
                Some(Ok(_)) => {}
                end => return end,
            }
        }
    })
    .await;
    assert!(matches!(end, Some(Err(_))), "{end:?}");
    // Its own window is full, the connection lives.
    assert_eq!(soon("a response", send.send_request(get("/"), true).unwrap().0).await.unwrap().status(), 200);
}

#[tokio::test]
async fn who_takes_nothing_of_a_response_is_given_up() {
    let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 64 << 20).into_bytes();
    let origin = Origin::start(move |_| Answer::Bytes([large.clone(), vec![b'x'; 64 << 20]].concat())).await;
    let edge = Edge::start(&world(&origin, |limits| limits.body_idle_timeout = SHORT), &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    client.send(format!("GET / HTTP/1.1\r\nHost: {WWW}\r\n\r\n")).await;
    client.read(1000).await;
    soon("the end of the request", async {
        while edge.metric("causeway_requests_in_flight").as_deref() != Some("0") {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn heads_are_held_to_the_configured_sizes() {
    let (origin, edge) = start(|limits| {
        limits.request_line = 200;
        limits.request_header = 1000;
        limits.request_fields = 5;
    })
    .await;
    let long = "x".repeat(300);
    for (path, fields, status) in [
        ("/", "A: 1\r\n".repeat(4), 200),
        (&*format!("/{long}"), String::new(), 414),
        ("/", "A: 1\r\n".repeat(5), 431),
        ("/", format!("A: {long}\r\nB: {long}\r\nC: {long}\r\nD: {long}\r\n"), 431),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {WWW}\r\n{fields}\r\n");
        assert_eq!(Client::h1(edge.https, WWW).await.request(&request).await.status(), status, "{request}");
        let mut send = client::h2(edge.https, WWW).await;
        let mut request = http::Request::get(format!("https://{WWW}{path}"));
        for (at, line) in fields.lines().enumerate() {
            let (_, value) = line.split_once(": ").unwrap();
            request = request.header(format!("a{at}"), value);
        }
        // Over HTTP/2 there is one field less: the host is no header.
        let request = if fields.lines().count() == 5 { request.header("one-more", "1") } else { request };
        let (response, _) = send.send_request(request.body(()).unwrap(), true).unwrap();
        assert_eq!(soon("a response", response).await.unwrap().status(), status, "{path} {fields}");
    }
    assert_eq!(origin.requests().len(), 2);
    assert_eq!(edge.refused("too_large"), 6);
}

#[tokio::test]
async fn a_body_larger_than_the_host_takes_is_413() {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&with_policy(&origin, HostPolicy { max_body: Some(10), ..HostPolicy::default() }), &[&[WWW]]);
    let by_length = |n: usize| format!("POST / HTTP/1.1\r\nHost: {WWW}\r\nContent-Length: {n}\r\n\r\n{}", "x".repeat(n));
    assert_eq!(Client::h1(edge.https, WWW).await.request(&by_length(10)).await.status(), 200);
    assert_eq!(Client::h1(edge.https, WWW).await.request(&by_length(11)).await.status(), 413);
    let chunked = format!("POST / HTTP/1.1\r\nHost: {WWW}\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n0\r\n\r\n");
    assert_eq!(Client::h1(edge.https, WWW).await.request(&chunked).await.status(), 413);
    let mut send = client::h2(edge.https, WWW).await;
    let (response, mut body) =
        send.send_request(http::Request::post(format!("https://{WWW}/")).body(()).unwrap(), false).unwrap();
    body.send_data(Bytes::from_static(b"12345678901"), true).unwrap();
    assert_eq!(soon("a response", response).await.unwrap().status(), 413);
    assert_eq!(edge.refused("body_too_large"), 3);
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn connections_are_limited_in_total_and_by_client() {
    for (reason, change) in [
        ("connections", (|limits: &mut Limits| limits.connections = Some(2)) as fn(&mut Limits)),
        ("client_connections", |limits| limits.connections_per_client = Some(2)),
    ] {
        let (_origin, edge) = start(change).await;
        let held = [Client::h1(edge.https, WWW).await, Client::h1(edge.https, WWW).await];
        assert!(Client::try_connect(edge.https, Some(WWW), "http/1.1").await.is_err(), "{reason}");
        assert_eq!(edge.refused(reason), 1);
        drop(held);
        soon("room", async { while Client::try_connect(edge.https, Some(WWW), "http/1.1").await.is_err() {} }).await;
    }
}

#[tokio::test]
async fn handshakes_of_one_client_are_limited() {
    let (_origin, edge) = start(|limits| limits.handshakes_per_client = Some(1)).await;
    soon("a refusal", async { while Client::try_connect(edge.https, Some(WWW), "http/1.1").await.is_ok() {} }).await;
    assert_eq!(edge.refused("handshakes"), 1);
}

#[tokio::test]
async fn with_memory_short_connections_stay_and_no_new_ones_come() {
    let (origin, edge) = start(|_| {}).await;
    let mut client = Client::h1(edge.https, WWW).await;
    assert_eq!(client.get(WWW, "/").await.status(), 200);
    edge.publish(&world(&origin, |limits| limits.memory = MemoryLimit::Bytes(1)));
    soon("a refusal", async { while Client::try_connect(edge.https, Some(WWW), "http/1.1").await.is_ok() {} }).await;
    assert!(edge.refused("memory") > 0);
    assert_eq!(client.get(WWW, "/").await.status(), 200);
}

#[tokio::test]
async fn a_client_that_asks_too_often_is_429_with_the_time_to_wait() {
    let origin = Origin::named("hello").await;
    let limit = |by| RateLimit { requests: 2, per: Duration::from_hours(1), burst: 2, by };
    let policy = |by| HostPolicy { rate_limit: Some(limit(by)), ..HostPolicy::default() };
    let edge = Edge::start(&with_policy(&origin, policy(RateKey::Client)), &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    for status in [200, 200, 429] {
        assert_eq!(client.get(WWW, "/").await.status(), status);
    }
    let wait: u64 = client.get(WWW, "/").await.field("retry-after").unwrap().parse().unwrap();
    assert!((1700..=1801).contains(&wait), "{wait}");
    assert_eq!(edge.refused("rate_limit"), 2);
    edge.publish(&with_policy(&origin, policy(RateKey::Header("x-key".into()))));
    for (key, status) in [("a", 200), ("a", 200), ("a", 429), ("b", 200)] {
        let request = format!("GET / HTTP/1.1\r\nHost: {WWW}\r\nX-Key: {key}\r\n\r\n");
        assert_eq!(client.request(&request).await.status(), status, "{key}");
    }
}

/// An edge that gives its pool one request at a time, and lets one wait.
async fn narrow(wait: Duration) -> (Origin, Edge, Client) {
    let origin = Origin::start(|request| if request.line() == "GET /slow" { Answer::Silence } else { Answer::ok("hello") }).await;
    let world = World::new().serve(WWW, &[origin.address]).with(|config| {
        let concurrency = &mut config.upstream.concurrency;
        (concurrency.requests, concurrency.pending, concurrency.pending_timeout) = (Some(1), 1, wait);
    });
    let edge = Edge::start(&world, &[&[WWW]]);
    let mut slow = Client::h1(edge.https, WWW).await;
    slow.send(format!("GET /slow HTTP/1.1\r\nHost: {WWW}\r\n\r\n")).await;
    origin.wait_for(1).await;
    (origin, edge, slow)
}

#[tokio::test]
async fn a_full_pool_lets_a_few_wait_and_refuses_the_rest() {
    let (_origin, edge, slow) = narrow(Duration::from_secs(20)).await;
    let get = format!("GET / HTTP/1.1\r\nHost: {WWW}\r\n\r\n");
    let mut waiting = [Client::h1(edge.https, WWW).await, Client::h1(edge.https, WWW).await];
    for client in &mut waiting {
        client.send(&get).await;
    }
    // One of the two has a place in the queue, and the other is told so at once.
    let [one, other] = &mut waiting;
    let refused_one = tokio::select! {
        answer = one.receive() => (answer, other),
        answer = other.receive() => (answer, one),
    };
    let (answer, waits) = refused_one;
    assert_eq!((answer.status(), answer.field("retry-after")), (503, Some("1")));
    // Gives up its request, and so its place.
    drop(slow);
    assert_eq!(waits.receive().await.status(), 200);
    assert_eq!(edge.refused("overload"), 1);
}

#[tokio::test]
async fn who_waits_too_long_for_a_full_pool_is_refused() {
    let (origin, edge, _slow) = narrow(SHORT).await;
    assert_eq!(Client::h1(edge.https, WWW).await.get(WWW, "/").await.status(), 503);
    assert_eq!(edge.refused("overload"), 1);
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn an_old_connection_ends_with_its_next_response() {
    let (_origin, edge) = start(|limits| limits.connection_age = SHORT).await;
    let mut client = Client::h1(edge.https, WWW).await;
    soon("the last response", async { while client.get(WWW, "/").await.field("connection") != Some("close") {} }).await;
    assert!(client.read_to_end().await.is_empty());
}

fn plain(stream: u32, flags: u8) -> Vec<u8> {
    let fields = raw_h2::fields(&[(":method", "POST"), (":scheme", "https"), (":authority", WWW), (":path", "/")]);
    raw_h2::frame(HEADERS, flags, stream, &fields)
}

/// Sends until the edge has had enough: it ends the connection, and counts that once.
async fn is_ended(what: &str, edge: &Edge, frames: impl Fn(u32) -> Vec<u8>, most: u32) {
    let before = edge.refused("http2_flood");
    let mut client = raw_h2::connect(edge.https, WWW).await;
    for round in 0..most {
        let bytes = frames(round * 2 + 1);
        if soon("writing", client.stream.write_all(&bytes)).await.is_err() {
            break;
        }
        if round % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let _ = client.stream.flush().await;
    // Where it still sends when the connection is cut, what the edge said last may be lost.
    let came = raw_h2::frames(&mut client, |frame| frame.kind == GOAWAY).await;
    if let Some(goaway) = came.last().filter(|frame| frame.kind == GOAWAY) {
        // ENHANCE_YOUR_CALM
        assert_eq!(goaway.payload[4..8], [0, 0, 0, 0xb], "{what}");
    }
    soon("the count", async {
        while edge.refused("http2_flood") == before {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(edge.refused("http2_flood"), before + 1, "{what}");
}

#[tokio::test]
async fn floods_of_control_frames_end_the_connection() {
    // A request that is never answered: its stream stays open.
    let origin = Origin::start(|_| Answer::Silence).await;
    let edge = Edge::start(&world(&origin, |_| {}), &[&[WWW]]);
    for (what, frame) in [
        ("RST_STREAM", raw_h2::frame(raw_h2::RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        ("PING", raw_h2::frame(PING, 0, 0, &[0; 8])),
        ("SETTINGS", raw_h2::frame(SETTINGS, 0, 0, &[])),
        ("PRIORITY", raw_h2::frame(2, 0, 1, &[0, 0, 0, 0, 1])),
        ("answers to no PING", raw_h2::frame(PING, 1, 0, &[0; 8])),
        ("frames of a type that nobody knows", raw_h2::frame(0xfa, 0, 0, &[])),
    ] {
        let before = edge.refused("http2_flood");
        let mut client = raw_h2::connect(edge.https, WWW).await;
        client.send(plain(1, END_HEADERS)).await;
        // Whether it is cut while it still sends, or right after: it is cut.
        raw_h2::flood(&mut client, &frame, 20_000).await;
        raw_h2::frames(&mut client, |_| false).await;
        assert_eq!(edge.refused("http2_flood"), before + 1, "{what}");
    }
}

#[tokio::test]
async fn empty_data_rapid_reset_made_you_reset_and_endless_continuation_end_the_connection() {
    let (origin, edge) = start(|_| {}).await;
    // The first opens the stream that all others write nothing to.
    let empty = |stream| if stream == 1 { plain(1, END_HEADERS) } else { raw_h2::frame(raw_h2::DATA, 0, 1, &[]) };
    is_ended("empty DATA", &edge, empty, 3000).await;
    let rapid = |stream| [plain(stream, END_HEADERS), raw_h2::frame(raw_h2::RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat();
    is_ended("rapid reset", &edge, rapid, 3000).await;
    // More than a window can hold (RFC 9113 section 6.9.1) is the client's fault, and makes the edge reset the stream.
    let too_much = 0x7fff_ffff_u32.to_be_bytes();
    let made = |stream| [plain(stream, END_HEADERS), raw_h2::frame(WINDOW_UPDATE, 0, stream, &too_much)].concat();
    is_ended("MadeYouReset", &edge, made, 3000).await;
    let endless = |stream| {
        if stream == 1 { plain(1, 0) } else { raw_h2::frame(CONTINUATION, 0, 1, &raw_h2::fields(&[("x", &"y".repeat(100))])) }
    };
    is_ended("CONTINUATION", &edge, endless, 3000).await;
    assert_eq!(Client::h1(edge.https, WWW).await.get(WWW, "/").await.status(), 200);
    assert!(origin.requests().len() < 500, "{}", origin.requests().len());
}

#[tokio::test]
async fn no_more_than_so_many_requests_share_an_http2_connection() {
    let origin = Origin::start(|_| Answer::Silence).await;
    let edge = Edge::start(&world(&origin, |limits| limits.http2.streams = 3), &[&[WWW]]);
    let mut client = raw_h2::connect(edge.https, WWW).await;
    let get = raw_h2::fields(&[(":method", "GET"), (":scheme", "https"), (":authority", WWW), (":path", "/")]);
    for stream in [1, 3, 5, 7] {
        client.send(raw_h2::frame(HEADERS, END_HEADERS | raw_h2::END_STREAM, stream, &get)).await;
    }
    let refused = raw_h2::frames(&mut client, |frame| frame.kind == raw_h2::RST_STREAM).await.pop().unwrap();
    // REFUSED_STREAM
    assert_eq!((refused.stream, refused.payload.as_slice()), (7, &[0, 0, 0, 7][..]));
    assert_eq!(edge.refused("streams"), 1);
    assert_eq!(origin.wait_for(3).await.len(), 3);
}
