//! HTTP/2 frames by their headers alone (RFC 9113 section 4.1): how many of them cost a server work and bring it nothing.
//!
//! The engine bounds what such frames can make it remember, not how fast they come: PING and SETTINGS must each be answered.

/// Counts frames.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    header: [u8; HEADER],
    have: usize,
    payload_left: usize,
    preface: usize,
    /// Whether a block of fields goes on in the next frame, which nothing may come before (RFC 9113 section 6.10).
    block: bool,
    /// Blocks of fields that have begun.
    blocks: u32,
}

/// A part of a frame's payload.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    /// The frame's type.
    pub(super) kind: u8,
    /// Its flags.
    pub(super) flags: u8,
    /// Bytes of its payload.
    pub(super) length: usize,
    /// Those that came before.
    pub(super) before: usize,
    pub(super) bytes: &'a [u8],
}

const HEADER: usize = 9;

/// Where a frame's type stands in it.
const KIND: usize = 3;

/// Bytes of the client's connection preface, before its first frame (RFC 9113 section 3.4).
const PREFACE: usize = 24;

const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const RST_STREAM: u8 = 0x3;
const PUSH_PROMISE: u8 = 0x5;
pub(super) const GOAWAY: u8 = 0x7;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const END_STREAM: u8 = 0x1;

impl Frames {
    /// Of a side that sends no preface: a server.
    pub(crate) fn without_preface() -> Self {
        Self { preface: PREFACE, ..Self::default() }
    }

    /// Whether another frame could stand here.
    pub(crate) fn between(&self) -> bool {
        self.preface == PREFACE && self.have == 0 && self.payload_left == 0 && !self.block
    }

    /// Which block of fields is open, if one is.
    pub(crate) fn open_block(&self) -> Option<u32> {
        let within = self.payload_left > 0 && matches!(self.header[KIND], HEADERS | PUSH_PROMISE | CONTINUATION);
        (self.block || within).then_some(self.blocks)
    }

    /// Takes the next bytes; how many control frames began in them.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> u32 {
        self.walk(bytes, |_| {})
    }

    /// The same, with a look at each piece of a payload.
    pub(super) fn walk(&mut self, bytes: &[u8], mut look: impl FnMut(&Piece<'_>)) -> u32 {
        let preface = bytes.len().min(PREFACE - self.preface);
        self.preface += preface;
        let mut rest = &bytes[preface..];
        let mut count = 0;
        while !rest.is_empty() {
            let payload = self.payload_left.min(rest.len());
            if payload > 0 {
                let [_, _, _, kind, flags, ..] = self.header;
                let length = self.length();
                look(&Piece { kind, flags, length, before: length - self.payload_left, bytes: &rest[..payload] });
            }
            self.payload_left -= payload;
            rest = &rest[payload..];
            let taken = (HEADER - self.have).min(rest.len());
            self.header[self.have..self.have + taken].copy_from_slice(&rest[..taken]);
            self.have += taken;
            rest = &rest[taken..];
            if self.have == HEADER {
                let [_, _, _, kind, flags, ..] = self.header;
                self.payload_left = self.length();
                self.have = 0;
                if matches!(kind, HEADERS | PUSH_PROMISE | CONTINUATION) {
                    self.blocks = self.blocks.wrapping_add(u32::from(!self.block));
                    self.block = flags & END_HEADERS == 0;
                }
                count += u32::from(is_control(kind, flags, self.payload_left));
            }
        }
        count
    }

    /// The length of the frame whose header was read last.
    fn length(&self) -> usize {
        let [high, middle, low, ..] = self.header;
        usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)
    }
}

/// Whether a frame brings no part of a message and no room for one. Answers that nobody asked for, and types that nobody knows, cost
/// little each, and are all the cheaper to send.
fn is_control(kind: u8, flags: u8, length: usize) -> bool {
    match kind {
        DATA => length == 0 && flags & END_STREAM == 0,
        HEADERS | PUSH_PROMISE | WINDOW_UPDATE | CONTINUATION => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIORITY: u8 = 0x2;
    const SETTINGS: u8 = 0x4;
    const PING: u8 = 0x6;
    const ACK: u8 = 0x1;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let mut bytes = vec![0, (payload >> 8) as u8, payload as u8, kind, flags, 0, 0, 0, 1];
        bytes.resize(HEADER + payload, PING);
        bytes
    }

    #[test]
    fn control_frames_are_counted_however_the_bytes_are_cut() {
        let mut all = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        for (kind, flags, payload) in [
            (SETTINGS, 0, 0),
            (SETTINGS, ACK, 0),
            (1, 4, 300),
            (PING, 0, 8),
            (PING, ACK, 8),
            (DATA, 0, 1000),
            (DATA, 0, 0),
            (DATA, END_STREAM, 0),
            (RST_STREAM, 0, 4),
            (PRIORITY, 0, 5),
            (WINDOW_UPDATE, 0, 4),
            (0xfa, 0, 0),
            (CONTINUATION, 4, 10),
        ] {
            all.extend(frame(kind, flags, payload));
        }
        assert_eq!(Frames::default().feed(&all), 8);
        for cut in [1, 2, 7, 9, 100] {
            let mut frames = Frames::default();
            assert_eq!(all.chunks(cut).map(|part| frames.feed(part)).sum::<u32>(), 8, "{cut}");
        }
    }

    #[test]
    fn a_frame_may_stand_where_no_other_is_open() {
        let mut frames = Frames::without_preface();
        assert!(frames.between());
        for (bytes, between) in [
            (frame(DATA, 0, 10), true),
            (frame(HEADERS, 0, 3), false),
            (frame(CONTINUATION, 0, 3), false),
            (frame(CONTINUATION, END_HEADERS, 3), true),
            (frame(HEADERS, END_HEADERS, 0), true),
        ] {
            frames.feed(&bytes[..4]);
            assert!(!frames.between());
            frames.feed(&bytes[4..]);
            assert_eq!(frames.between(), between, "{bytes:?}");
        }
        let mut client = Frames::default();
        assert!(!client.between());
        client.feed(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        assert!(client.between());
    }
}
