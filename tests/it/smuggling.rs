//! Request smuggling over HTTP/1.1: what is not plainly valid is answered 400, ends the connection, and leaves no trace at a
//! backend.

use causeway_tests::{Answer, Client, Edge, Origin, World};
use tokio::io::AsyncWriteExt;

const WWW: &str = "www.example.com";

/// What an attacker wants a backend to read as a request of its own.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: www.example.com\r\n\r\n";

async fn setup() -> (Origin, Edge) {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    (origin, edge)
}

/// All that comes back for some bytes on a connection of their own.
async fn exchange(edge: &Edge, bytes: impl AsRef<[u8]>) -> String {
    let mut client = Client::h1(edge.https, WWW).await;
    client.send(bytes).await;
    String::from_utf8_lossy(&client.read_to_end().await).into_owned()
}

/// One answer 400, and the end of the connection.
async fn refused(edge: &Edge, bytes: impl AsRef<[u8]>) {
    let answer = exchange(edge, bytes.as_ref()).await;
    let sent = String::from_utf8_lossy(bytes.as_ref()).into_owned();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{sent:?}: {answer:?}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{sent:?}: {answer:?}");
    assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{sent:?}: {answer:?}");
}

/// A POST with some fields and a body.
fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: {WWW}\r\n{fields}\r\n\r\n{body}")
}

#[tokio::test]
async fn two_words_on_where_a_body_ends_are_refused() {
    let (origin, edge) = setup().await;
    let chunked = format!("0\r\n\r\n{SMUGGLED}");
    for fields in [
        // CL.TE and TE.CL
        "Content-Length: 6\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 6",
        // TE.TE: one side does not know the coding
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked;x",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        " Transfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\nTransfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "Transfer_Encoding: chunked",
        "Content-Length: 5\r\nTransfer\0-Encoding: chunked",
        // Two lengths, or none that is plain
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 6",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -0",
        "Content-Length: 0x5",
        "Content-Length: 5a",
        "Content-Length: 5 5",
        "Content-Length: ",
        "Content-Length: 18446744073709551621",
        "Content_Length: 5",
        "Content-Length : 5",
    ] {
        refused(&edge, post(fields, &chunked)).await;
    }
    assert!(origin.requests().is_empty(), "{:?}", origin.requests());
}

#[tokio::test]
async fn lines_and_octets_out_of_order_are_refused() {
    let (origin, edge) = setup().await;
    for request in [
        format!("GET / HTTP/1.1\nHost: {WWW}\n\n"),
        format!("GET / HTTP/1.1\r\nHost: {WWW}\r\nX: y\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {WWW}\r\n\n"),
        format!("GET / HTTP/1.1\r\nHost: {WWW}\r\nX: y\r\n folded\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {WWW}\r\nX : y\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost : {WWW}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {WWW}\r\nX: a\0b\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {WWW}\r\nX: a\u{7}b\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {WWW}\r\nX: a\u{7f}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {WWW}\r\nX\u{1}: a\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {WWW}\r\nnothing\r\n\r\n"),
        format!("GET /\0 HTTP/1.1\r\nHost: {WWW}\r\n\r\n"),
        format!("GET /a b HTTP/1.1\r\nHost: {WWW}\r\n\r\n"),
        format!("GET /\u{e9} HTTP/1.1\r\nHost: {WWW}\r\n\r\n"),
        format!("GET /\t HTTP/1.1\r\nHost: {WWW}\r\n\r\n"),
        format!("GET  / HTTP/1.1\r\nHost: {WWW}\r\n\r\n"),
        format!("GET / HTTP/1.1 \r\nHost: {WWW}\r\n\r\n"),
        format!("GET / HTTP/3.0\r\nHost: {WWW}\r\n\r\n"),
        format!("GET / HTTP/1.0\r\nHost: {WWW}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("GET ?x HTTP/1.1\r\nHost: {WWW}\r\n\r\n"),
        format!("GET * HTTP/1.1\r\nHost: {WWW}\r\n\r\n"),
        format!("GET {WWW} HTTP/1.1\r\nHost: {WWW}\r\n\r\n"),
        format!("GET ftp://{WWW}/ HTTP/1.1\r\nHost: {WWW}\r\n\r\n"),
        "GET /\r\n\r\n".into(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(),
        "\u{16}\u{3}\u{1}\0\u{5}hello".into(),
    ] {
        refused(&edge, &request).await;
    }
    assert!(origin.requests().is_empty(), "{:?}", origin.requests());
}

#[tokio::test]
async fn without_one_plain_host_a_request_is_refused() {
    let (origin, edge) = setup().await;
    let requests = [
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost:\r\n\r\n".into(),
        "GET / HTTP/1.0\r\n\r\n".into(),
        format!("GET / HTTP/1.1\r\nHost: {WWW}\r\nHost: {WWW}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {WWW}\r\nhost: other.example\r\n\r\n"),
        format!("GET http://other.example/ HTTP/1.1\r\nHost: {WWW}\r\n\r\n"),
        format!("GET http://{WWW}@other.example/ HTTP/1.1\r\nHost: {WWW}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {WWW}, other.example\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {WWW}/x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {WWW}:80:90\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {WWW}:port\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {WWW}?\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: user@{WWW}\r\n\r\n"),
    ];
    for request in &requests {
        refused(&edge, request).await;
    }
    // The engine refuses some of them before anybody else hears of it.
    let counted = edge.metric("causeway_refusals_total{reason=\"bad_request\"}");
    assert_eq!(counted, Some(requests.len().to_string()));
    assert!(origin.requests().is_empty(), "{:?}", origin.requests());
}

#[tokio::test]
async fn a_chunk_that_can_be_read_in_two_ways_ends_everything() {
    let (origin, edge) = setup().await;
    for body in [
        format!("5;\nhello\r\n0\r\n\r\n{SMUGGLED}"),
        format!("5;a\rb\r\nhello\r\n0\r\n\r\n{SMUGGLED}"),
        format!("5\nhello\r\n0\r\n\r\n{SMUGGLED}"),
        format!("5\r\nhello\n0\r\n\r\n{SMUGGLED}"),
        format!("5\r\nhelloXX0\r\n\r\n{SMUGGLED}"),
        format!("5 \r\nhello\r\n0\r\n\r\n{SMUGGLED}"),
        format!("0x5\r\nhello\r\n0\r\n\r\n{SMUGGLED}"),
        format!("-1\r\nhello\r\n0\r\n\r\n{SMUGGLED}"),
        format!("10000000000000005\r\nhello\r\n0\r\n\r\n{SMUGGLED}"),
        format!("0\r\n folded: x\r\n\r\n{SMUGGLED}"),
        format!("0\r\nX: y\n\r\n{SMUGGLED}"),
    ] {
        refused(&edge, post("Transfer-Encoding: chunked", &body)).await;
    }
    assert!(origin.requests().is_empty(), "{:?}", origin.requests());
}

/// The fault comes after the head has gone to the backend: it must never see the body end.
#[tokio::test]
async fn a_fault_in_a_later_chunk_is_answered_and_the_backend_sees_no_end() {
    let (origin, edge) = setup().await;
    let mut client = Client::h1(edge.https, WWW).await;
    client.send(post("Transfer-Encoding: chunked", "5\r\nhello\r\n")).await;
    origin.connected().await;
    client.send("5;\nhello\r\n0\r\n\r\n").await;
    let answer = String::from_utf8_lossy(&client.read_to_end().await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(origin.requests().is_empty());
    assert_eq!(edge.metric("causeway_refusals_total{reason=\"bad_request\"}").as_deref(), Some("1"));
}

#[tokio::test]
async fn extensions_and_trailers_do_not_travel() {
    let (origin, edge) = setup().await;
    let body = "5;ext=1\r\nhello\r\n0;last\r\nContent-Length: 99\r\nX-Forwarded-For: 1.1.1.1\r\nHost: evil.example\r\n\r\n";
    let mut client = Client::h1(edge.https, WWW).await;
    assert_eq!(client.request(&post("Transfer-Encoding: chunked", body)).await.status(), 200);
    assert_eq!(client.get(WWW, "/next").await.status(), 200);
    let requests = origin.requests();
    assert_eq!(requests[0].body, b"hello");
    assert_eq!(requests[0].field("content-length"), None);
    assert_eq!(requests[0].field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(requests[1].line(), "GET /next");
}

#[tokio::test]
async fn what_follows_a_body_is_never_part_of_it() {
    let (origin, edge) = setup().await;
    // Behind a length, behind the last chunk, behind a request without a body: a request of its own, with a route of its own.
    for request in [
        post("Content-Length: 5", &format!("hello{SMUGGLED}")),
        post("Transfer-Encoding: chunked", &format!("5\r\nhello\r\n0\r\n\r\n{SMUGGLED}")),
        post("Content-Length: 0", SMUGGLED),
        format!("POST / HTTP/1.1\r\nHost: {WWW}\r\n\r\n{SMUGGLED}"),
    ] {
        let elsewhere = "GET / HTTP/1.1\r\nHost: other.example\r\n\r\n";
        let faulty = "GET / HTTP/1.1\r\nHost : other.example\r\n\r\n";
        let answer = exchange(&edge, format!("{request}{elsewhere}{faulty}{SMUGGLED}")).await;
        let statuses: Vec<&str> = answer.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
        assert_eq!(statuses, ["200", "200", "404", "400"], "{answer}");
    }
    let requests = origin.requests();
    assert_eq!(requests.len(), 8);
    for pair in requests.chunks(2) {
        assert_eq!([pair[0].line(), pair[1].line()], ["POST /", "GET /smuggled"]);
        assert!(pair[0].body == b"hello" || pair[0].body.is_empty(), "{pair:?}");
        assert_eq!(pair[1].field("x-forwarded-for"), Some("127.0.0.1"));
        assert_ne!(pair[0].field("x-request-id"), pair[1].field("x-request-id"));
    }
}

#[tokio::test]
async fn an_upgrade_that_the_backend_does_not_take_is_no_tunnel() {
    let (origin, edge) = setup().await;
    let upgrade =
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let request = format!("GET /chat HTTP/1.1\r\nHost: {WWW}\r\n{upgrade}\r\n\r\n{SMUGGLED}");
    let answer = exchange(&edge, request).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
    assert!(origin.requests().iter().all(|r| r.line() == "GET /chat"), "{:?}", origin.requests());
    // With a body, or another method, it is none (RFC 6455 section 4.1).
    let with_body = [
        format!("GET /body HTTP/1.1\r\nHost: {WWW}\r\n{upgrade}\r\nContent-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len()),
        format!("GET /body HTTP/1.1\r\nHost: {WWW}\r\n{upgrade}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        format!("POST /body HTTP/1.1\r\nHost: {WWW}\r\n{upgrade}\r\n\r\n"),
    ];
    for request in &with_body {
        assert_eq!(Client::h1(edge.https, WWW).await.request(request).await.status(), 200, "{request}");
    }
    for request in &origin.requests()[1..] {
        assert!(request.line().ends_with(" /body"), "{request:?}");
        assert_eq!((request.field("upgrade"), request.field("connection")), (None, None), "{request:?}");
    }
}

#[tokio::test]
async fn no_tunnels_are_dug() {
    let (origin, edge) = setup().await;
    let answer = exchange(&edge, format!("CONNECT {WWW}:443 HTTP/1.1\r\nHost: {WWW}:443\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(origin.requests().is_empty());
}

/// A backend that answers before the body has come must not leave the rest to be read as a request.
#[tokio::test]
async fn the_rest_of_a_body_that_nobody_waited_for_is_no_request() {
    let origin = Origin::start(|_| Answer::ok("hello")).await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    let length = SMUGGLED.len();
    client.send(format!("POST /none HTTP/1.1\r\nHost: other.example\r\nContent-Length: {length}\r\n\r\n")).await;
    assert_eq!(client.receive().await.status(), 404);
    // What came of the body so far is not read any more: the connection has ended, or ends now.
    let _ = client.stream.write_all(SMUGGLED.as_bytes()).await;
    let rest = String::from_utf8_lossy(&client.read_to_end().await).into_owned();
    assert!(rest.is_empty(), "{rest}");
    assert!(origin.requests().is_empty());
}
