//! What backends answer is framed anew: where an answer can be read in two ways, or more comes than was asked for, no client reads a part
//! of it as the answer to something else.

use bytes::Bytes;
use causeway_tests::{Answer, ByHand, Client, Edge, Origin, Received, World, client, soon};

const WWW: &str = "www.example.com";

/// What an attacker who has a say in one answer wants others to read as theirs.
const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

fn edge(origin: &Origin) -> Edge {
    Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]])
}

/// One word on where it ends.
fn is_framed_once(answer: &Received, what: &str) {
    let head = answer.head.to_ascii_lowercase();
    let count = |name: &str| head.matches(&format!("\r\n{name}:")).count();
    let (lengths, codings) = (count("content-length"), count("transfer-encoding"));
    assert!(lengths + codings <= 1, "{what:?}: {head}");
    assert!(
        !head.contains('\0') && !head.contains("\r\n ") && !head.replace("\r\n", "").contains(['\r', '\n']),
        "{what:?}: {head:?}"
    );
}

/// Ends of an answer's head, from its last field on, and bodies: each can be read in two ways, or breaks the grammar.
const AMBIGUOUS: [&str; 18] = [
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 60\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "Content-Length: 5\r\nContent-Length: 50\r\n\r\nhello",
    "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "Content-Length: 5, 50\r\n\r\nhello",
    "Content-Length: +5\r\n\r\nhello",
    "Content-Length: 0x5\r\n\r\nhello",
    "Content-Length: -5\r\n\r\nhello",
    "Content-Length: 5 5\r\n\r\nhello",
    "Content-Length: \r\n\r\nhello",
    "Transfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked, identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX\r\n0\r\n\r\n",
    "Content-Length : 5\r\n\r\nhello",
    "X: a\0b\r\nContent-Length: 5\r\n\r\nhello",
    "X: a\r\n folded\r\nContent-Length: 5\r\n\r\nhello",
];

#[tokio::test]
async fn an_answer_that_can_be_read_in_two_ways_is_read_in_one() {
    let origin = Origin::start(|request| match request.line().strip_prefix("GET /ambiguous/") {
        Some(at) => Answer::Bytes(format!("HTTP/1.1 200 OK\r\n{}{EVIL}", AMBIGUOUS[at.parse::<usize>().unwrap()]).into()),
        None => Answer::ok("plain"),
    })
    .await;
    let edge = edge(&origin);
    let mut send = client::h2(edge.https, WWW).await;
    for (at, what) in AMBIGUOUS.iter().enumerate() {
        let request = format!("GET /ambiguous/{at} HTTP/1.1\r\nHost: {WWW}\r\nConnection: close\r\n\r\n");
        let mut client = Client::h1(edge.https, WWW).await;
        client.send(&request).await;
        let answer = String::from_utf8_lossy(&client.read_to_end().await).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{what:?}: {answer:?}"));
        let answer = Received { head: format!("{head}\r\n"), body: body.into() };
        is_framed_once(&answer, what);
        if what.contains("xchunked") || what.contains("identity") {
            assert_eq!(answer.status(), 502, "{what:?}");
        }
        // The backend never closes: what it said is an answer, or none, or one that visibly breaks off.
        let cut = answer.field("transfer-encoding").is_some() && !body.ends_with("0\r\n\r\n");
        assert!(answer.status() == 502 || cut || body.contains("hello"), "{what:?}: {head} {body:?}");
        if answer.field("content-length").is_some() && answer.status() == 200 {
            assert_eq!(body, "hello", "{what:?}");
        }
        let request = http::Request::get(format!("https://{WWW}/ambiguous/{at}")).body(()).unwrap();
        let _ = soon("an answer", send.send_request(request, true).unwrap().0).await;
        send = soon("readiness", send.ready()).await.unwrap();
        // Others, over the same connections to the backend if those are kept.
        for _ in 0..2 {
            assert_eq!(Client::h1(edge.https, WWW).await.get(WWW, "/plain").await.text(), "plain", "behind {what:?}");
        }
    }
}

#[tokio::test]
async fn what_a_backend_says_behind_its_answer_is_nobodys_answer() {
    let origin = Origin::start(|request| match request.line() {
        "GET /more" => Answer::Bytes(format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmore{EVIL}").into()),
        "GET /chunked" => {
            Answer::Bytes(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmore\r\n0\r\n\r\n{EVIL}").into())
        }
        "HEAD /more" => Answer::Bytes(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{EVIL}", EVIL.len()).into()),
        "GET /204" => Answer::Bytes(format!("HTTP/1.1 204 No Content\r\nContent-Length: {}\r\n\r\n{EVIL}", EVIL.len()).into()),
        "GET /304" => Answer::Bytes(format!("HTTP/1.1 304 Not Modified\r\nContent-Length: {}\r\n\r\n{EVIL}", EVIL.len()).into()),
        _ => Answer::ok("plain"),
    })
    .await;
    let edge = edge(&origin);
    for (method, path, status, body) in [
        ("GET", "/more", 200, "more"),
        ("GET", "/chunked", 200, "more"),
        ("HEAD", "/more", 200, ""),
        ("GET", "/204", 204, ""),
        ("GET", "/304", 304, ""),
    ] {
        let mut client = Client::h1(edge.https, WWW).await;
        client
            .send(format!(
                "{method} {path} HTTP/1.1\r\nHost: {WWW}\r\n\r\nGET /plain HTTP/1.1\r\nHost: {WWW}\r\nConnection: close\r\n\r\n"
            ))
            .await;
        let came = String::from_utf8_lossy(&client.read_to_end().await).into_owned();
        assert!(!came.contains("evil"), "{method} {path}: {came}");
        assert!(came.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {came}");
        assert!(came.contains(body), "{method} {path}: {came}");
        assert!(came.ends_with("plain"), "{method} {path}: {came}");
        let mut send = client::h2(edge.https, WWW).await;
        let request = http::Request::builder().method(method).uri(format!("https://{WWW}{path}")).body(()).unwrap();
        let answer = soon("an answer", send.send_request(request, true).unwrap().0).await.unwrap();
        assert_eq!(answer.status(), status, "{method} {path}");
        let mut came = Vec::new();
        let mut data = answer.into_body();
        while let Some(piece) = soon("data", data.data()).await {
            came.extend(piece.unwrap());
        }
        assert_eq!(String::from_utf8_lossy(&came), body, "{method} {path}");
        assert_eq!(Client::h1(edge.https, WWW).await.get(WWW, "/plain").await.text(), "plain", "behind {method} {path}");
    }
}

/// The kept connection says something while nobody has asked it anything.
#[tokio::test]
async fn what_comes_on_a_kept_connection_unasked_is_nobodys_answer() {
    let backend = ByHand::new().await;
    let edge = Edge::start(&World::new().serve(WWW, &[backend.address]), &[&[WWW]]);
    let mut client = Client::h1(edge.https, WWW).await;
    client.send(format!("GET /first HTTP/1.1\r\nHost: {WWW}\r\n\r\n")).await;
    let mut first = backend.request().await;
    first.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst").await;
    assert_eq!(client.receive().await.text(), "first");
    first.send(EVIL).await;
    client.send(format!("GET /second HTTP/1.1\r\nHost: {WWW}\r\n\r\n")).await;
    let mut second = backend.request().await;
    assert!(second.head.starts_with("GET /second "), "{}", second.head);
    second.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond").await;
    assert_eq!(client.receive().await.text(), "second");
}

/// An upgrade that nobody asked for is no tunnel past the routes.
#[tokio::test]
async fn a_101_that_was_not_asked_for_is_no_tunnel() {
    let origin = Origin::start(|_| Answer::Echo).await;
    let edge = edge(&origin);
    let mut client = Client::h1(edge.https, WWW).await;
    client.send(format!("GET / HTTP/1.1\r\nHost: {WWW}\r\n\r\n")).await;
    client.send("GET /past/the/routes HTTP/1.1\r\nHost: evil.example\r\n\r\n").await;
    let came = String::from_utf8_lossy(&client.read_to_end().await).into_owned();
    assert!(came.starts_with("HTTP/1.1 502 "), "{came}");
    assert!(!came.contains("GET /past"), "{came}");
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_upload_leaves_nothing_on_the_way() {
    for h2 in [false, true] {
        let backend = ByHand::new().await;
        let edge = Edge::start(&World::new().serve(WWW, &[backend.address]), &[&[WWW]]);
        let early = async |backend: &ByHand| {
            let mut connection = backend.request().await;
            connection.body(5).await;
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly").await;
            connection
        };
        // Either is kept until the end: that nobody uses it is what is shown.
        let _first = if h2 {
            let mut send = client::h2(edge.https, WWW).await;
            let request = http::Request::post(format!("https://{WWW}/up")).header("content-length", "50").body(()).unwrap();
            let (answer, mut body) = send.send_request(request, false).unwrap();
            body.send_data(Bytes::from_static(b"hello"), false).unwrap();
            let first = early(&backend).await;
            assert_eq!(soon("an answer", answer).await.unwrap().status(), 200);
            first
        } else {
            let mut client = Client::h1(edge.https, WWW).await;
            client.send(format!("POST /up HTTP/1.1\r\nHost: {WWW}\r\nContent-Length: 50\r\n\r\nhello")).await;
            let first = early(&backend).await;
            assert_eq!(client.receive().await.text(), "early");
            first
        };
        let mut client = Client::h1(edge.https, WWW).await;
        client.send(format!("GET /next HTTP/1.1\r\nHost: {WWW}\r\n\r\n")).await;
        let mut next = backend.request().await;
        assert!(next.head.starts_with("GET /next "), "{}", next.head);
        next.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext").await;
        assert_eq!(client.receive().await.text(), "next");
    }
}

#[tokio::test]
async fn early_hints_pass_over_http1_and_disturb_nobody_over_http2() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
    let origin =
        Origin::start(move |_| Answer::Bytes(format!("{hints}{hints}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").into()))
            .await;
    let edge = edge(&origin);
    let mut client = Client::h1(edge.https, WWW).await;
    for _ in 0..2 {
        let hint = client.get(WWW, "/").await;
        assert_eq!((hint.status(), hint.field("link")), (103, Some("</style.css>; rel=preload")));
        assert_eq!(client.receive().await.status(), 103);
        assert_eq!(client.receive().await.text(), "hello");
    }
    let mut send = client::h2(edge.https, WWW).await;
    let request = http::Request::get(format!("https://{WWW}/")).body(()).unwrap();
    assert_eq!(soon("an answer", send.send_request(request, true).unwrap().0).await.unwrap().status(), 200);
}

#[tokio::test]
async fn ranges_and_conditions_pass_as_they_are() {
    let origin = Origin::start(|_| {
        let head = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/10\r\nETag: \"a\"\r\nAccept-Ranges: bytes";
        Answer::Bytes(format!("{head}\r\nContent-Length: 5\r\n\r\nhello").into())
    })
    .await;
    let edge = edge(&origin);
    let fields = "Range: bytes=0-4\r\nIf-Range: \"a\"\r\nIf-None-Match: \"b\"\r\n";
    let answer = Client::h1(edge.https, WWW).await.request(&format!("GET / HTTP/1.1\r\nHost: {WWW}\r\n{fields}\r\n")).await;
    assert_eq!((answer.status(), answer.field("content-range"), answer.text().as_str()), (206, Some("bytes 0-4/10"), "hello"));
    assert_eq!((answer.field("etag"), answer.field("accept-ranges")), (Some("\"a\""), Some("bytes")));
    let request = &origin.requests()[0];
    for line in fields.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        assert_eq!(request.field(name), Some(value));
    }
}
