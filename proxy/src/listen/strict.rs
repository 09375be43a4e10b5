//! What of a client's bytes is plainly valid: a second, strict reading beside the engine's lenient one.
//!
//! The engine's HTTP/1.1 parser forgives a lot: bare line feeds, any octet in a chunk's extension, a length beside chunks,
//! octets that no target may hold. Each is harmless until somebody before or behind us reads it in another way; that
//! difference is what request smuggling lives on (RFC 9112 section 11.2). So every byte of a message's framing passes here
//! on its way to the engine, and what is not plainly valid ends the connection before the engine has seen the end of it.
//!
//! Pure: bytes in, a verdict out, however the bytes are cut. [`ClientIo`](super::ClientIo) feeds it.

mod chunks;
mod frames;
mod head;
mod sent;

pub(super) use chunks::Chunks;
pub(super) use frames::Frames;
pub use head::HeadLimits;
pub(super) use head::{Body, Head};
pub(super) use sent::Sent;

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// It breaks the grammar, or can be read in two ways (400).
    #[error("{0}")]
    Malformed(&'static str),
    /// The request line is too long (414).
    #[error("the request line is too long")]
    LongLine,
    /// The head has too many bytes or fields (431).
    #[error("the request's header fields are too large or too many")]
    LargeHead,
}

/// RFC 9110 section 5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// RFC 9110 section 5.5: visible characters, blanks, and what is beyond ASCII.
const fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// What a request target may hold at all: visible ASCII, and no fragment. What a path may hold, the core knows.
const fn is_target(byte: u8) -> bool {
    byte > b' ' && byte < 0x7f && byte != b'#'
}

/// A set of bytes, for loops that skip a run of them.
struct Set([bool; 256]);

impl Set {
    /// How many bytes at the front are in the set.
    fn run(&self, bytes: &[u8]) -> usize {
        bytes.iter().position(|&byte| !self.0[usize::from(byte)]).unwrap_or(bytes.len())
    }
}

macro_rules! set {
    ($name:ident, $test:path) => {
        static $name: Set = {
            let mut set = [false; 256];
            let mut byte = 0;
            while byte < 256 {
                set[byte] = $test(byte as u8);
                byte += 1;
            }
            Set(set)
        };
    };
}

set!(TOKEN, is_token);
set!(TEXT, is_text);
set!(TARGET, is_target);

#[cfg(test)]
mod tests;
