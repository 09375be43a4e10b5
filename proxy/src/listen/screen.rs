//! Every byte of a connection on its way to the engine: HTTP/1.1 message after message, HTTP/2 frame after frame. See
//! [`strict`](super::strict).

use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::limits::IoLimits;
use super::strict::{Body, Chunks, Fault, Frames, Head};
use crate::metrics::RefusalReason;
use crate::reply::{Format, Reply};

/// What a connection's bytes are read as.
#[derive(Debug)]
pub(super) struct Screen {
    limits: IoLimits,
    reading: Reading,
}

#[derive(Debug)]
enum Reading {
    /// A head.
    Head(Head),
    /// The body of a request by chunks.
    Chunks(Chunks),
    /// The rest of a body by length.
    Length(u64),
    /// The message has ended; what comes is another one's.
    Ended,
    /// A connection that may be upgraded: from then on it is nobody's here.
    Opaque,
    /// HTTP/2: its frames, and how many of them were control frames since when.
    Frames(Frames, u32, Instant),
}

/// What is wrong, and in what.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// A head: the engine has not seen its end, and will not.
    Head(Fault),
    /// A body: the request is being served.
    Body(Fault),
    /// Too many control frames in a second.
    Flood,
    /// The preface of HTTP/2: it is another one.
    Preface,
}

impl Screen {
    /// Of a connection that speaks HTTP/1.1.
    pub(super) fn http1(limits: IoLimits) -> Self {
        Self { limits, reading: Reading::Head(Head::default()) }
    }

    /// Of one that speaks HTTP/2.
    pub(super) fn http2(limits: IoLimits) -> Self {
        Self { limits, reading: Reading::Frames(Frames::default(), 0, Instant::now()) }
    }

    /// The next bytes are those of a new head.
    pub(super) fn begin(&mut self) {
        self.reading = Reading::Head(Head::default());
    }

    /// Whether the next byte belongs to the body of the message before.
    pub(super) fn in_body(&self) -> bool {
        matches!(self.reading, Reading::Length(_) | Reading::Chunks(_))
    }

    /// Whether the message has ended.
    pub(super) fn ended(&self) -> bool {
        matches!(self.reading, Reading::Ended)
    }

    /// Which head of HTTP/2 has begun and not ended, if one has.
    pub(super) fn open_block(&self) -> Option<u32> {
        if let Reading::Frames(frames, ..) = &self.reading { frames.open_block() } else { None }
    }

    /// Whether the next byte begins a frame of HTTP/2.
    pub(super) fn between_frames(&self) -> bool {
        matches!(&self.reading, Reading::Frames(frames, ..) if frames.between())
    }

    /// Looks at what came; how many of the bytes belong to the message. What is behind it is the next one's, and to be shown here
    /// again behind [`begin`](Self::begin).
    pub(super) fn look(&mut self, bytes: &[u8]) -> Result<usize, Wrong> {
        match &mut self.reading {
            Reading::Opaque => Ok(bytes.len()),
            Reading::Ended => Ok(0),
            Reading::Length(left) => {
                let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= taken as u64;
                if *left == 0 {
                    self.reading = Reading::Ended;
                }
                Ok(taken)
            }
            Reading::Frames(frames, count, since) => {
                *count += frames.feed(bytes);
                if *count <= self.limits.control_frames {
                    return Ok(bytes.len());
                }
                // The clock is asked only when there were so many.
                if since.elapsed() < Duration::from_secs(1) {
                    return Err(Wrong::Flood);
                }
                (*count, *since) = (0, Instant::now());
                Ok(bytes.len())
            }
            Reading::Chunks(chunks) => {
                let taken = chunks.feed(bytes).map_err(Wrong::Body)?;
                if chunks.ended() {
                    self.reading = Reading::Ended;
                }
                Ok(taken)
            }
            Reading::Head(head) => {
                let Some((taken, body)) = head.feed(&self.limits.head, bytes).map_err(Wrong::Head)? else {
                    return Ok(bytes.len());
                };
                self.reading = match body {
                    Body::Upgrade => Reading::Opaque,
                    Body::Length(0) => Reading::Ended,
                    Body::Length(length) => Reading::Length(length),
                    Body::Chunked => Reading::Chunks(Chunks::default()),
                };
                // The engine has not seen the head yet.
                let body = self.look(&bytes[taken..]).map_err(|wrong| match wrong {
                    Wrong::Body(fault) => Wrong::Head(fault),
                    wrong => wrong,
                })?;
                Ok(taken + body)
            }
        }
    }
}

/// The answer to a faulty head.
pub(super) fn reply(fault: Fault) -> Reply {
    match fault {
        Fault::Malformed(reason) => Reply::new(StatusCode::BAD_REQUEST, RefusalReason::BadRequest, reason),
        Fault::LongLine => Reply::new(StatusCode::URI_TOO_LONG, RefusalReason::TooLarge, "the request line is too long"),
        Fault::LargeHead => Reply::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            RefusalReason::TooLarge,
            "the request's header fields are too large or too many",
        ),
    }
}

/// The last words on a connection that the engine has no part in, as bytes.
pub(super) fn last_words(reply: Reply) -> Vec<u8> {
    let (content_type, body) = reply.body(Format::Text, &format!("{:032x}", fastrand::u128(..)));
    let (status, reason) = (reply.status.as_u16(), reply.status.canonical_reason().unwrap_or("Error"));
    let content_type = content_type.to_str().unwrap_or("text/plain");
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat()
}
