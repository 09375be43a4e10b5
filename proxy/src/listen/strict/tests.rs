#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits { line: 8192, bytes: 65536, fields: 100 };

/// The verdict on a head that comes in one piece; bytes that belong to it.
fn head(bytes: &[u8]) -> Result<Option<(usize, Body)>, Fault> {
    Head::default().feed(&LIMITS, bytes)
}

/// The same where every byte comes alone.
fn dripping(bytes: &[u8]) -> Result<Option<(usize, Body)>, Fault> {
    let mut head = Head::default();
    for (at, byte) in bytes.iter().enumerate() {
        if let Some((_, body)) = head.feed(&LIMITS, &[*byte])? {
            return Ok(Some((at + 1, body)));
        }
    }
    Ok(None)
}

fn chunks(bytes: &[u8]) -> Result<(), Fault> {
    Chunks::default().feed(bytes).map(drop)
}

#[test]
fn plain_requests_pass() {
    for (text, body) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Body::Length(0)),
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Body::Length(0)),
        ("GET / HTTP/1.0\r\n\r\n", Body::Length(0)),
        ("OPTIONS * HTTP/1.1\r\nhost:a\r\n\r\n", Body::Length(0)),
        ("GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n", Body::Length(0)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nX-Text: caf\u{e9}\t, \"x\"  \r\n\r\n", Body::Length(0)),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 \r\n\r\n", Body::Length(5)),
        ("GET / HTTP/1.1\r\nHost: a\r\nupgrade: websocket\r\n\r\n", Body::Upgrade),
        ("POST / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nContent-Length: 12\r\n\r\n", Body::Length(12)),
        ("POST / HTTP/1.1\r\nHost: a\r\nTRANSFER-encoding: Chunked\r\n\r\n", Body::Chunked),
    ] {
        let bytes = text.as_bytes();
        assert_eq!(head(bytes), Ok(Some((bytes.len(), body))), "{text:?}");
        assert_eq!(dripping(bytes), Ok(Some((bytes.len(), body))), "{text:?}");
        let with_body = [bytes, b"\0\x01body"].concat();
        assert_eq!(head(&with_body), Ok(Some((bytes.len(), body))), "{text:?}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let fields = [
        // Lengths and codings.
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length: 5\u{b}",
        "Content-Length:",
        "Content-Length: 99999999999999999999999999",
        "Content_Length: 5",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding:",
        "Transfer_Encoding: chunked",
        // Names, folds, line ends.
        "Transfer-Encoding : chunked",
        "Content-Length : 5",
        " Content-Length: 5",
        "X-A: b\r\n Content-Length: 5",
        "X-A: b\r\n\tfold",
        "X-A: b\nContent-Length: 5",
        "X-A: b\rContent-Length: 5",
        "X-A: b\0",
        "X-A: b\u{7f}",
        "X-A: b\u{1b}[0m",
        "X\0A: b",
        "X A: b",
        "X-\u{e9}: b",
        "(x): b",
        ": b",
        "no colon",
        // Hosts.
        "Host: b",
        "HOST: a",
    ];
    for field in fields {
        let text = format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
        assert!(matches!(head(text.as_bytes()), Err(Fault::Malformed(_))), "{field:?}: {:?}", head(text.as_bytes()));
        assert!(matches!(dripping(text.as_bytes()), Err(Fault::Malformed(_))), "{field:?}");
    }
    let lines = [
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\rHost: a\r\n\r\n",
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        "GET / http/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/01.1\r\nHost: a\r\n\r\n",
        "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\u{1} HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
        "G\u{e9}T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0",
    ];
    for text in lines {
        assert!(matches!(head(text.as_bytes()), Err(Fault::Malformed(_))), "{text:?}: {:?}", head(text.as_bytes()));
        assert!(matches!(dripping(text.as_bytes()), Err(Fault::Malformed(_))), "{text:?}");
    }
}

#[test]
fn sizes_are_limited_to_the_byte() {
    let long = |target: usize, fields: usize, value: usize| {
        let field = format!("X-A: {}\r\n", "v".repeat(value));
        format!("GET /{} HTTP/1.1\r\nHost: a\r\n{}\r\n", "a".repeat(target), field.repeat(fields))
    };
    let around = "GET / HTTP/1.1".len();
    for read in [head, dripping] {
        assert!(read(long(LIMITS.line - around, 0, 0).as_bytes()).unwrap().is_some());
        assert_eq!(read(long(LIMITS.line - around + 1, 0, 0).as_bytes()), Err(Fault::LongLine));
        assert!(read(long(0, LIMITS.fields - 1, 0).as_bytes()).unwrap().is_some());
        assert_eq!(read(long(0, LIMITS.fields, 0).as_bytes()), Err(Fault::LargeHead));
        let rest = long(0, 1, 0).len();
        assert!(read(long(0, 1, LIMITS.bytes - rest).as_bytes()).unwrap().is_some());
        assert_eq!(read(long(0, 1, LIMITS.bytes - rest + 1).as_bytes()), Err(Fault::LargeHead));
    }
}

#[test]
fn plain_chunks_pass() {
    for text in [
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "00a\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n",
        "5;name=value;other=\"a;b\"\r\nhello\r\n0;last\r\n\r\n",
        "3\r\n\r\n\0\r\n0\r\n\r\n",
        "0\r\nX-Checksum: abc\r\nX-Empty:\r\n\r\n",
        "0\r\n\r\nGET / HTTP/1.1\r\n",
    ] {
        assert_eq!(chunks(text.as_bytes()), Ok(()), "{text:?}");
        let mut dripping = Chunks::default();
        assert!(text.bytes().all(|byte| dripping.feed(&[byte]).is_ok()), "{text:?}");
    }
}

#[test]
fn chunks_that_can_be_read_in_two_ways_are_refused() {
    let extensions = format!("1;{}\r\n", "x".repeat(5000));
    let trailers = format!("0\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    for text in [
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "5_0\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        ";x\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nhello",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5;\0\r\nhello\r\n0\r\n\r\n",
        "0\n\r\n",
        "0\r\n\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\n folded\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\n: y\r\n\r\n",
        "0\r\nX: \0\r\n\r\n",
        &extensions,
        &trailers,
    ] {
        assert!(chunks(text.as_bytes()).is_err(), "{text:?}");
        let mut dripping = Chunks::default();
        assert!(text.bytes().any(|byte| dripping.feed(&[byte]).is_err()), "{text:?}");
    }
}

proptest! {
    #[test]
    fn how_the_bytes_are_cut_makes_no_difference(
        text in "(GET|POST| |/|HTTP/1.1|\r\n|\n|Host: a|Content-Length: 1|Transfer-Encoding: chunked|x|:|\0){0,14}",
    ) {
        prop_assert_eq!(head(text.as_bytes()).is_ok(), dripping(text.as_bytes()).is_ok());
        if let (Ok(one), Ok(other)) = (head(text.as_bytes()), dripping(text.as_bytes())) {
            prop_assert_eq!(one, other);
        }
    }

    #[test]
    fn whatever_comes_the_verdict_is_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = head(&bytes);
        let _ = chunks(&bytes);
    }
}
