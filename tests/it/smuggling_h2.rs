//! Request smuggling over HTTP/2: what breaks its rules is a stream error or 400, and nothing of it is a request to a backend.

use causeway_tests::raw_h2::{self, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, RST_STREAM};
use causeway_tests::{Edge, Origin, World};

const WWW: &str = "www.example.com";
const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: www.example.com\r\n\r\n";

const PLAIN: [(&str, &str); 4] = [(":method", "POST"), (":scheme", "https"), (":authority", WWW), (":path", "/plain")];

/// What becomes of stream 1: a status, or none where it was reset or the connection ended.
async fn outcome(edge: &Edge, block: &[u8], data: Option<&[u8]>) -> Option<u16> {
    let mut client = raw_h2::connect(edge.https, WWW).await;
    let flags = if data.is_some() { END_HEADERS } else { END_HEADERS | END_STREAM };
    let mut bytes = raw_h2::frame(HEADERS, flags, 1, block);
    if let Some(data) = data {
        bytes.extend(raw_h2::frame(DATA, END_STREAM, 1, data));
    }
    client.send(bytes).await;
    let decided = |frame: &Frame| frame.kind == GOAWAY || (frame.stream == 1 && matches!(frame.kind, HEADERS | RST_STREAM));
    let last = raw_h2::frames(&mut client, decided).await.pop()?;
    if last.kind != HEADERS {
        return None;
    }
    // RFC 7541 appendix A: 8 is `:status: 200`, 12 `:status: 400`; others come as literals with three digits.
    match last.payload.first() {
        Some(0x88) => Some(200),
        Some(0x8c) => Some(400),
        _ => Some(0),
    }
}

async fn setup() -> (Origin, Edge) {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    (origin, edge)
}

#[tokio::test]
async fn a_plain_request_passes() {
    let (origin, edge) = setup().await;
    assert_eq!(outcome(&edge, &raw_h2::fields(&PLAIN), Some(b"hello")).await, Some(200));
    assert_eq!((origin.requests()[0].line(), origin.requests()[0].body.as_slice()), ("POST /plain", b"hello".as_slice()));
}

#[tokio::test]
async fn what_http2_forbids_reaches_nobody() {
    let (origin, edge) = setup().await;
    let with = |more: &[(&'static str, &'static str)]| raw_h2::fields(&[PLAIN.as_slice(), more].concat());
    let heads: Vec<(&str, Vec<u8>)> = vec![
        ("h2.TE", with(&[("transfer-encoding", "chunked")])),
        ("connection", with(&[("connection", "keep-alive")])),
        ("upgrade", with(&[("upgrade", "h2c")])),
        ("te", with(&[("te", "gzip")])),
        ("two lengths", with(&[("content-length", "5"), ("content-length", "49")])),
        ("a list of lengths", with(&[("content-length", "49, 5")])),
        ("a signed length", with(&[("content-length", "+49")])),
        ("a line end in a value", with(&[("x", "y\r\ntransfer-encoding: chunked")])),
        ("a line feed in a value", with(&[("x", "y\nz")])),
        ("NUL in a value", with(&[("x", "y\0z")])),
        ("a line end in a name", with(&[("x\r\ntransfer-encoding", "chunked")])),
        ("a colon in a name", with(&[("x: y\r\nz", "a")])),
        ("an upper-case name", with(&[("Transfer-Encoding", "chunked")])),
        ("an empty name", with(&[("", "x")])),
        ("a pseudo-header late", with(&[("x", "y"), (":path", "/other")])),
        ("two paths", with(&[(":path", "/other")])),
        ("two authorities", with(&[(":authority", "other.example")])),
        ("an unknown pseudo-header", with(&[(":x", "y")])),
        ("a length as CGI reads it", with(&[("content_length", "5")])),
        ("a coding as CGI reads it", with(&[("transfer_encoding", "chunked")])),
        ("a blank before a value", with(&[("x", " y")])),
        ("a tab behind a value", with(&[("x", "y\t")])),
        ("another scheme", raw_h2::fields(&[PLAIN[0], (":scheme", "ftp"), PLAIN[2], PLAIN[3]])),
        ("no path", raw_h2::fields(&PLAIN[..3])),
        ("no scheme", raw_h2::fields(&[PLAIN[0], PLAIN[2], PLAIN[3]])),
        ("no method", raw_h2::fields(&PLAIN[1..])),
    ];
    for (counted, (what, block)) in (1..).zip(heads) {
        let outcome = outcome(&edge, &block, Some(SMUGGLED)).await;
        assert!(matches!(outcome, None | Some(400)), "{what}: {outcome:?}");
        // Whether the edge, the engine or its library refuses it.
        let refused = edge.metric("causeway_refusals_total{reason=\"bad_request\"}");
        assert_eq!(refused.as_deref(), Some(&*format!("{counted}")), "{what}");
    }
    // The engine's own answers, which nobody counts.
    for block in [with(&[("host", "other.example")]), raw_h2::fields(&[PLAIN[0], PLAIN[1], PLAIN[3]])] {
        assert_eq!(outcome(&edge, &block, Some(SMUGGLED)).await, Some(400));
    }
    let paths = [
        "*",
        "?x",
        "/ HTTP/1.1\r\nHost: x\r\n\r\nGET /smuggled",
        "/a b",
        "/a\0",
        "/a\\b",
        "",
        "no-slash",
        "http://other.example/",
    ];
    for path in paths {
        let head = raw_h2::fields(&[PLAIN[0], PLAIN[1], PLAIN[2], (":path", path)]);
        let outcome = outcome(&edge, &head, Some(SMUGGLED)).await;
        assert!(matches!(outcome, None | Some(400)), "{path:?}: {outcome:?}");
    }
    for method in ["GET / HTTP/1.1\r\nX: ", "GE T", "", "G\0T"] {
        let head = raw_h2::fields(&[(":method", method), PLAIN[1], PLAIN[2], PLAIN[3]]);
        let outcome = outcome(&edge, &head, Some(SMUGGLED)).await;
        assert!(matches!(outcome, None | Some(400)), "{method:?}: {outcome:?}");
    }
    assert!(origin.requests().is_empty(), "{:?}", origin.requests());
}

/// h2.CL: the length says one thing, the frames another. The frames are what counts, and the stream is reset.
#[tokio::test]
async fn a_length_that_the_frames_belie_smuggles_nothing() {
    let (origin, edge) = setup().await;
    for length in ["0", "5", "500"] {
        let block = raw_h2::fields(&[PLAIN.as_slice(), &[("content-length", length)]].concat());
        let outcome = outcome(&edge, &block, Some(SMUGGLED)).await;
        assert!(length == "0" || matches!(outcome, None | Some(400)), "{length}: {outcome:?}");
    }
    // A later request finds no rest of an earlier one on the way to the backend.
    assert_eq!(outcome(&edge, &raw_h2::fields(&PLAIN), Some(b"hello")).await, Some(200));
    for request in origin.requests() {
        assert_eq!(request.line(), "POST /plain");
        assert!(request.body.is_empty() || request.body == b"hello", "{request:?}");
    }
}
