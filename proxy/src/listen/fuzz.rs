//! Targets of `crate::fuzz` for what comes before and around a request.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::LazyConfigAcceptor;

use super::proxy_protocol::{Header, Parsed, parse};
use super::recorder::Recorder;
use super::strict::{Body, Chunks, Head, HeadLimits};
use crate::peer::relay::RelayHead;

/// A header is as long as it says, whatever follows; and where it is cut short nobody takes it for anything else.
pub(crate) fn proxy_header(data: &[u8]) {
    let more = [data, b"\x16\x03\x01\r\n\r\n"].concat();
    match parse(data) {
        Ok(Parsed::Header(header, length)) => {
            assert!((1..=data.len()).contains(&length));
            if let Header::Proxied { client, local } = header {
                assert_eq!((client.ip(), local.ip()), (client.ip().to_canonical(), local.ip().to_canonical()));
            }
            assert_eq!(parse(&data[..length]).expect("it was one"), Parsed::Header(header, length));
            assert_eq!(parse(&more).expect("it was one"), Parsed::Header(header, length));
            for end in 0..length {
                assert_eq!(parse(&data[..end]).expect("it may become one"), Parsed::Partial, "{end} of {length}");
            }
        }
        Ok(Parsed::Other) => assert_eq!(parse(&more).expect("more of it is no header either"), Parsed::Other),
        Ok(Parsed::Partial) => assert!(data.len() < 4096, "somebody must end it"),
        Err(_) => assert!(parse(&more).is_err(), "what is malformed stays so"),
    }
}

const LIMITS: HeadLimits = HeadLimits { line: 1024, bytes: 4096, fields: 32 };

/// What passes is read in the same way by another parser, however the bytes come.
pub(crate) fn http1(data: &[u8]) {
    let mut head = Head::default();
    let whole = head.feed(&LIMITS, data);
    for cut in [1, 7] {
        let mut head = Head::default();
        let mut at = 0;
        let mut outcome = Ok(None);
        for part in data.chunks(cut) {
            outcome = head.feed(&LIMITS, part);
            match &mut outcome {
                Ok(Some((taken, _))) => *taken += at,
                Ok(None) => {}
                Err(_) => break,
            }
            if !matches!(outcome, Ok(None)) {
                break;
            }
            at += part.len();
        }
        // Which of two faults is seen first may depend on the cut; that it is refused may not.
        assert_eq!(outcome.ok(), whole.ok(), "cut every {cut} bytes");
    }
    let Ok(Some((length, body))) = whole else { return };
    let (head, rest) = data.split_at(length);
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request.parse(head).expect("what passes is plainly valid");
    assert_eq!(parsed, httparse::Status::Complete(length));
    let values = |name: &str| -> Vec<&[u8]> {
        request.headers.iter().filter(|f| f.name.eq_ignore_ascii_case(name)).map(|f| f.value.trim_ascii()).collect()
    };
    assert!(values("host").len() <= 1 && (request.version == Some(0) || values("host").len() == 1));
    let (codings, lengths) = (values("transfer-encoding"), values("content-length"));
    match body {
        Body::Chunked => {
            assert!(codings.len() == 1 && codings[0].eq_ignore_ascii_case(b"chunked") && lengths.is_empty());
            chunks(rest);
        }
        Body::Length(length) => assert_eq!(length, said(&codings, &lengths)),
        Body::Upgrade => {
            assert_eq!(said(&codings, &lengths), 0);
            assert!(!values("upgrade").is_empty());
        }
    }
}

/// The length that a head without a coding gives.
fn said(codings: &[&[u8]], lengths: &[&[u8]]) -> u64 {
    assert!(codings.is_empty() && lengths.len() <= 1);
    lengths.first().map_or(0, |value| std::str::from_utf8(value).expect("digits").parse().expect("a number"))
}

fn chunks(data: &[u8]) {
    let mut all = Chunks::default();
    let whole = all.feed(data);
    let mut bytewise = Chunks::default();
    let count = data.chunks(1).try_fold(0, |count, byte| bytewise.feed(byte).map(|taken| count + taken));
    assert_eq!(count.is_ok(), whole.is_ok());
    let Ok(length) = whole else { return };
    assert_eq!(count, Ok(length), "the body ends where it ends");
    assert_eq!((bytewise.ended(), all.ended() || length == data.len()), (all.ended(), true));
    let mut rest = data;
    while let httparse::Status::Complete((line, size)) = httparse::parse_chunk_size(rest).expect("what passes is plainly valid") {
        rest = &rest[line..];
        if size == 0 {
            let mut fields = [httparse::EMPTY_HEADER; 128];
            let trailers = httparse::parse_headers(rest, &mut fields);
            // Their number has no limit here, only their bytes.
            assert!(trailers.is_ok() || trailers == Err(httparse::Error::TooManyHeaders), "{trailers:?}");
            if let Ok(httparse::Status::Complete((end, _))) = trailers {
                assert_eq!((all.ended(), data.len() - rest.len() + end), (true, length));
            }
            return;
        }
        let Some(end) = usize::try_from(size).ok().filter(|size| *size < rest.len()) else { return };
        rest = &rest[end..];
        assert!(b"\r\n".starts_with(&rest[..rest.len().min(2)]), "a chunk ends where it says");
        if rest.len() < 2 {
            return;
        }
        rest = &rest[2..];
    }
}

/// A `ClientHello` that was looked at can go elsewhere as it came; and so what one edge says of it to another.
pub(crate) fn client_hello(data: &[u8]) {
    let acceptor = LazyConfigAcceptor::new(Acceptor::default(), Recorder::new(Wire(data)));
    // Nothing here ever waits, so that one poll is all of it.
    if let Some(Ok(start)) = acceptor.now_or_never() {
        if let Some(name) = start.client_hello().server_name() {
            assert!(name.is_ascii() && !name.is_empty(), "{name:?}");
        }
        let (wire, taken) = start.io.into_parts();
        assert_eq!([taken.as_slice(), wire.0].concat(), data, "all of it is either taken or left");
    }
    let mut rest = data;
    if let Some(Ok(head)) = RelayHead::read(&mut rest).now_or_never() {
        let again = head.bytes();
        let read = RelayHead::read(&mut again.as_slice()).now_or_never().expect("it is all there");
        assert_eq!(read.expect("it was one"), head);
    }
}

/// Bytes that have come, and then the end.
struct Wire<'a>(&'a [u8]);

impl AsyncRead for Wire<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
