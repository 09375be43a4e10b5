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
    /// The error of a GOAWAY or `RST_STREAM` frame (RFC 9113 sections 6.8 and 6.4), as far as it has come.
    error: u32,
    /// That of a GOAWAY frame, until somebody asks.
    goaway: Option<u32>,
    /// Streams that were reset with `PROTOCOL_ERROR` since somebody asked.
    broken: u32,
}

const HEADER: usize = 9;

/// Where a frame's type stands in it.
const KIND: usize = 3;

/// Bytes of the client's connection preface, before its first frame (RFC 9113 section 3.4).
const PREFACE: usize = 24;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const PRIORITY: u8 = 0x2;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PUSH_PROMISE: u8 = 0x5;
const PING: u8 = 0x6;
const GOAWAY: u8 = 0x7;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;
const ACK: u8 = 0x1;
const PROTOCOL_ERROR: u32 = 0x1;
const END_STREAM: u8 = 0x1;

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
        let preface = bytes.len().min(PREFACE - self.preface);
        self.preface += preface;
        let mut rest = &bytes[preface..];
        let mut count = 0;
        while !rest.is_empty() {
            let payload = self.payload_left.min(rest.len());
            match self.header[KIND] {
                GOAWAY if payload > 0 => self.read_error(&rest[..payload], 4),
                RST_STREAM if payload > 0 => self.read_error(&rest[..payload], 0),
                _ => {}
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

    /// The error of the GOAWAY frame that has passed, told once: none, if it says `NO_ERROR`.
    pub(crate) fn goaway(&mut self) -> Option<u32> {
        self.goaway.take().filter(|error| *error != 0)
    }

    /// How many streams were reset for breaking the protocol (`PROTOCOL_ERROR`) since this was asked.
    pub(crate) fn broken(&mut self) -> u32 {
        std::mem::take(&mut self.broken)
    }

    /// The length of the frame whose header was read last.
    fn length(&self) -> usize {
        let [high, middle, low, ..] = self.header;
        usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)
    }

    /// Reads the error in a frame's payload, behind so many other bytes.
    fn read_error(&mut self, payload: &[u8], others: usize) {
        let end = others + 4;
        let before = self.length() - self.payload_left;
        for (_, byte) in (before..).zip(payload).filter(|(at, _)| (others..end).contains(at)) {
            self.error = self.error << 8 | u32::from(*byte);
        }
        if before >= end || before + payload.len() < end {
            return;
        }
        if self.header[KIND] == GOAWAY {
            self.goaway = Some(self.error);
        } else {
            self.broken += u32::from(self.error == PROTOCOL_ERROR);
        }
    }
}

fn is_control(kind: u8, flags: u8, length: usize) -> bool {
    match kind {
        PRIORITY | RST_STREAM => true,
        SETTINGS | PING => flags & ACK == 0,
        DATA => length == 0 && flags & END_STREAM == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            (8, 0, 4),
        ] {
            all.extend(frame(kind, flags, payload));
        }
        assert_eq!(Frames::default().feed(&all), 5);
        for cut in [1, 2, 7, 9, 100] {
            let mut frames = Frames::default();
            assert_eq!(all.chunks(cut).map(|part| frames.feed(part)).sum::<u32>(), 5, "{cut}");
        }
    }

    #[test]
    fn the_error_of_a_goaway_frame_is_told_once_however_the_bytes_are_cut() {
        let goaway = |error: u8| [&frame(GOAWAY, 0, 8)[..HEADER], &[0, 0, 0, 9, 0, 0, 0, error]].concat();
        let all = [frame(DATA, 0, 20), goaway(11)].concat();
        for cut in [1, 3, 10, 100] {
            let mut frames = Frames::without_preface();
            let told: Vec<_> = all.chunks(cut).filter_map(|part| (frames.feed(part), frames.goaway()).1).collect();
            assert_eq!(told, [11], "{cut}");
        }
        let mut frames = Frames::without_preface();
        frames.feed(&goaway(0));
        assert_eq!(frames.goaway(), None, "an end in order is no error");
        frames.feed(&goaway(1));
        assert_eq!(frames.goaway(), Some(1));
    }

    #[test]
    fn streams_that_broke_the_protocol_are_counted_however_the_bytes_are_cut() {
        let reset = |error: u8| [&frame(RST_STREAM, 0, 4)[..HEADER], &[0, 0, 0, error]].concat();
        let all = [reset(1), reset(8), frame(DATA, 0, 20), reset(1), reset(0)].concat();
        for cut in [1, 3, 10, 100] {
            let mut frames = Frames::without_preface();
            assert_eq!(all.chunks(cut).map(|part| (frames.feed(part), frames.broken()).1).sum::<u32>(), 2, "{cut}");
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
