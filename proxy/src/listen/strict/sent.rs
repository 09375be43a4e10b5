//! What an HTTP/2 client is sent, frame by frame: what the engine and its library refuse by themselves they tell nobody but the
//! client.
//!
//! That is a stream or a connection that ends in an error (RFC 9113 section 7), or a response of a status and nothing else. Responses
//! of backends and of our own have more in them: an id at least.

use super::frames::{END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, Piece, RST_STREAM};
use crate::metrics::RefusalReason;

/// Bytes at the front of a frame that are kept: a table's two new sizes and a literal status are no longer.
const KEPT: usize = 16;

/// RFC 9113 section 7.
const NO_ERROR: u32 = 0x0;
const PROTOCOL_ERROR: u32 = 0x1;
const FLOW_CONTROL_ERROR: u32 = 0x3;
const REFUSED_STREAM: u32 = 0x7;
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// Reads frames, and keeps in mind what was refused by them.
#[derive(Debug)]
pub(crate) struct Sent {
    frames: Frames,
    front: [u8; KEPT],
    refusals: Vec<RefusalReason>,
}

impl Sent {
    /// Of a server, which sends no preface.
    pub(crate) fn new() -> Self {
        Self { frames: Frames::without_preface(), front: [0; KEPT], refusals: Vec::new() }
    }

    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let Self { frames, front, refusals } = self;
        frames.walk(bytes, |piece| {
            let kept = KEPT.saturating_sub(piece.before).min(piece.bytes.len());
            front[piece.before.min(KEPT)..][..kept].copy_from_slice(&piece.bytes[..kept]);
            if piece.before + piece.bytes.len() == piece.length {
                refusals.extend(refusal(piece, &front[..piece.length.min(KEPT)]));
            }
        });
    }

    /// Whether another frame could stand here.
    pub(crate) fn between(&self) -> bool {
        self.frames.between()
    }

    /// What was refused since somebody asked.
    pub(crate) fn refusals(&mut self) -> Vec<RefusalReason> {
        std::mem::take(&mut self.refusals)
    }
}

/// What a frame refuses that begins with these bytes.
fn refusal(frame: &Piece<'_>, front: &[u8]) -> Option<RefusalReason> {
    let error = |at: usize| front.get(at..at + 4).map(|code| code.iter().fold(0, |error, byte| error << 8 | u32::from(*byte)));
    match frame.kind {
        GOAWAY => match error(4)? {
            NO_ERROR => None,
            ENHANCE_YOUR_CALM => Some(RefusalReason::Http2Flood),
            _ => Some(RefusalReason::BadRequest),
        },
        // Others end what was begun in order, or what has ended already.
        RST_STREAM => match error(0)? {
            PROTOCOL_ERROR | FLOW_CONTROL_ERROR => Some(RefusalReason::BadRequest),
            REFUSED_STREAM => Some(RefusalReason::Streams),
            _ => None,
        },
        HEADERS if frame.flags == END_HEADERS | END_STREAM && frame.length <= KEPT => bare_status(front),
        _ => None,
    }
}

/// What a block says that has one field and no more: the engine answers 400 so, and its library 431.
fn bare_status(block: &[u8]) -> Option<RefusalReason> {
    /// `:status: 400` of the static table (RFC 7541 appendix A).
    const BAD_REQUEST: [u8; 1] = [0x80 | 0x0c];
    let mut block = block;
    // New sizes of the table may come first (RFC 7541 section 6.3).
    while let [0x20..=0x3f, ..] = block {
        block = integer(block, 5)?.1;
    }
    if block == BAD_REQUEST {
        return Some(RefusalReason::BadRequest);
    }
    behind_field(block)?.is_empty().then_some(RefusalReason::TooLarge)
}

/// What is behind the first field of a block (RFC 7541 section 6).
fn behind_field(block: &[u8]) -> Option<&[u8]> {
    let (name, mut rest) = match block.first()? {
        0x80.. => return Some(integer(block, 7)?.1),
        0x40.. => integer(block, 6)?,
        _ => integer(block, 4)?,
    };
    for _ in 0..if name == 0 { 2 } else { 1 } {
        let (length, text) = integer(rest, 7)?;
        rest = text.get(length..)?;
    }
    Some(rest)
}

/// An integer of so many bits in its first byte (RFC 7541 section 5.1), and what is behind it. None that is in use here has more than
/// three bytes.
fn integer(bytes: &[u8], bits: u8) -> Option<(usize, &[u8])> {
    let full = (1 << bits) - 1;
    let (first, mut rest) = bytes.split_first()?;
    let mut value = usize::from(first & full);
    if first & full == full {
        for shift in [0, 7] {
            let (byte, behind) = rest.split_first()?;
            rest = behind;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some((value, rest));
            }
        }
        return None;
    }
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::Bytes;
    use http::{Request, Response, StatusCode};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn reset(error: u8) -> Vec<u8> {
        frame(RST_STREAM, 0, &[0, 0, 0, error])
    }

    fn goaway(error: u8) -> Vec<u8> {
        frame(GOAWAY, 0, &[&[0, 0, 0, 9, 0, 0, 0, error], &b"and a reason that nobody reads"[..]].concat())
    }

    fn refusals(bytes: &[u8]) -> Vec<RefusalReason> {
        let mut sent = Sent::new();
        sent.feed(bytes);
        sent.refusals()
    }

    #[test]
    fn errors_of_streams_and_connections_are_refusals_of_their_kind() {
        use RefusalReason::{BadRequest, Http2Flood, Streams};
        for (frame, expected) in [
            (reset(1), Some(BadRequest)),
            (reset(3), Some(BadRequest)),
            (reset(7), Some(Streams)),
            (reset(0), None),
            (reset(5), None),
            (reset(8), None),
            (goaway(0), None),
            (goaway(1), Some(BadRequest)),
            (goaway(0xb), Some(Http2Flood)),
            (frame(0, 0, &[0, 0, 0, 1]), None),
        ] {
            assert_eq!(refusals(&frame), Vec::from_iter(expected), "{frame:?}");
        }
    }

    #[test]
    fn a_response_of_nothing_but_a_status_is_a_refusal() {
        use RefusalReason::{BadRequest, TooLarge};
        let huffman = [0x48, 0x82, 0x69, 0x8b];
        for (block, expected) in [
            (&[0x8c][..], Some(BadRequest)),
            (&[0x20, 0x8c], Some(BadRequest)),
            (&[0x20, 0x3f, 0xe1, 0x1f, 0x8c], Some(BadRequest)),
            (&huffman, Some(TooLarge)),
            (&[0xbe], Some(TooLarge)),
            (&[0xff, 0x01], Some(TooLarge)),
            (&[0x7f, 0x01, 0x03, b'4', b'3', b'1'], Some(TooLarge)),
            (&[0x8c, 0xbe], None),
            (&[0x48, 0x82, 0x69, 0x8b, 0xbf], None),
            (&[0x48, 0x82, 0x69], None),
            (&[0x3f], None),
            (&[], None),
        ] {
            assert_eq!(refusals(&frame(HEADERS, END_HEADERS | END_STREAM, block)), Vec::from_iter(expected), "{block:x?}");
        }
        assert_eq!(refusals(&frame(HEADERS, END_HEADERS, &[0x8c])), [], "a body follows");
    }

    #[test]
    fn how_the_bytes_are_cut_makes_no_difference() {
        use RefusalReason::{BadRequest, Http2Flood};
        let all = [reset(1), reset(8), frame(0, 0, &[1; 90]), frame(HEADERS, 5, &[0x8c]), reset(1), goaway(0xb)].concat();
        for cut in [1, 2, 3, 7, 10, 100] {
            let mut sent = Sent::new();
            let told: Vec<_> = all.chunks(cut).flat_map(|part| (sent.feed(part), sent.refusals()).1).collect();
            assert_eq!(told, [BadRequest, BadRequest, BadRequest, Http2Flood], "{cut}");
        }
    }

    /// What the library that is in use writes, with a table that has much in it already.
    #[tokio::test]
    async fn a_bare_status_is_known_however_the_library_writes_it() {
        let (ours, theirs) = duplex(1 << 16);
        let client = tokio::spawn(async move {
            let (mut send, connection) = h2::client::handshake(ours).await.unwrap();
            tokio::spawn(connection);
            for _ in 0..6 {
                let request = Request::get("https://a.example/").body(()).unwrap();
                let _ = send.send_request(request, true).unwrap().0.await;
            }
        });
        let (mut outer, inner) = duplex(1 << 16);
        let server = tokio::spawn(async move {
            let mut connection = h2::server::handshake(inner).await.unwrap();
            for (status, id) in [(431, None), (503, Some("1")), (431, None), (400, None), (400, Some("2")), (200, Some("3"))] {
                let (_, mut respond) = connection.accept().await.unwrap().unwrap();
                let mut response = Response::new(());
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                if let Some(id) = id {
                    response.headers_mut().insert("x-request-id", id.parse().unwrap());
                }
                let mut body = respond.send_response(response, id.is_none()).unwrap();
                if id.is_some() {
                    body.send_data(Bytes::new(), true).unwrap();
                }
            }
            let _ = connection.accept().await;
        });
        let (mut from_client, mut to_client) = tokio::io::split(theirs);
        let (mut from_server, mut to_server) = tokio::io::split(&mut outer);
        let mut sent = Sent::new();
        let mut refusals = Vec::new();
        let up = async {
            let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
            to_server.shutdown().await.unwrap();
        };
        let down = async {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
                sent.feed(&bytes[..count]);
                refusals.extend(sent.refusals());
                to_client.write_all(&bytes[..count]).await.unwrap();
            }
        };
        tokio::join!(up, down);
        client.await.unwrap();
        server.await.unwrap();
        assert_eq!(refusals, [RefusalReason::TooLarge, RefusalReason::TooLarge, RefusalReason::BadRequest]);
    }
}
