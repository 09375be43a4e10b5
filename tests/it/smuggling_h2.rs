//! Request smuggling over HTTP/2: what breaks its rules is a stream error or 400, and nothing of it is a request to a backend.

use causeway_tests::raw_h2::{self, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, RST_STREAM};
use causeway_tests::{Client, Edge, Origin, World};

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
    // RFC 7541 appendix A: 8 is `:status: 200`, 12 `:status: 400`; others come as literals, 405 as these bytes.
    match last.payload.as_slice() {
        [0x88, ..] => Some(200),
        [0x8c, ..] => Some(400),
        [0x48, 0x83, 0x68, 0x0d, 0xff, ..] => Some(405),
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
        ("a Host that is not the authority", with(&[("host", "other.example")])),
        ("no authority", raw_h2::fields(&[PLAIN[0], PLAIN[1], PLAIN[3]])),
        ("a user in the authority", raw_h2::fields(&[PLAIN[0], PLAIN[1], (":authority", "me@www.example.com"), PLAIN[3]])),
    ];
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
    let methods = ["GET / HTTP/1.1\r\nX: ", "GE T", "", "G\0T"];
    let paths = paths.map(|path| (path, raw_h2::fields(&[PLAIN[0], PLAIN[1], PLAIN[2], (":path", path)])));
    let methods = methods.map(|method| (method, raw_h2::fields(&[(":method", method), PLAIN[1], PLAIN[2], PLAIN[3]])));
    for (counted, (what, block)) in (1..).zip(heads.into_iter().chain(paths).chain(methods)) {
        let outcome = outcome(&edge, &block, Some(SMUGGLED)).await;
        assert!(matches!(outcome, None | Some(400)), "{what}: {outcome:?}");
        // Whether the edge, the engine or its library refuses it.
        assert_eq!(edge.refused("bad_request"), counted, "{what}");
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

#[tokio::test]
async fn no_tunnels_are_dug() {
    let (origin, edge) = setup().await;
    let connect = raw_h2::fields(&[(":method", "CONNECT"), (":authority", "www.example.com:443")]);
    assert_eq!(outcome(&edge, &connect, Some(SMUGGLED)).await, Some(405));
    assert_eq!(edge.refused("bad_request"), 1);
    let extended = [(":method", "CONNECT"), (":protocol", "websocket"), PLAIN[1], PLAIN[2], PLAIN[3]];
    assert_eq!(outcome(&edge, &raw_h2::fields(&extended), Some(SMUGGLED)).await, None);
    assert_eq!(edge.refused("bad_request"), 2);
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn what_does_not_begin_as_http2_must_is_ended_and_counted() {
    let (origin, edge) = setup().await;
    for begun in ["GET /smuggled HTTP/1.1\r\nHost: www.example.com\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX........."] {
        let before = edge.refused("bad_request");
        let mut client = Client::try_connect(edge.https, Some(WWW), "h2").await.unwrap();
        client.send(begun).await;
        raw_h2::frames(&mut client, |_| false).await;
        assert_eq!(edge.refused("bad_request"), before + 1, "{begun:?}");
    }
    assert!(origin.requests().is_empty());
}
