//! The head of an HTTP/1.1 request (RFC 9112 sections 2 to 6), byte by byte.

use super::{Fault, TARGET, TEXT, TOKEN};

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the request line.
    pub line: usize,
    /// Bytes of the whole head.
    pub bytes: usize,
    /// Fields.
    pub fields: usize,
}

/// How the body behind a head ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// By its length, which is 0 where there is none.
    Length(u64),
    /// By its last chunk.
    Chunked,
    /// Not at all, where the other side takes the upgrade that is asked for.
    Upgrade,
}

/// Reads one head.
#[derive(Debug, Default)]
pub(crate) struct Head {
    state: State,
    bytes: usize,
    fields: usize,
    /// The beginning of the word that is being read: the version, a field's name, the value of a field about framing.
    word: Word,
    field: Field,
    old: bool,
    hosts: u8,
    lengths: u8,
    codings: u8,
    length: u64,
    upgrade: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before the request line; one empty line is forgiven, as RFC 9112 section 2.2 asks.
    #[default]
    Start,
    EmptyLf,
    Method,
    TargetStart,
    Target,
    Version,
    LineLf,
    FieldStart,
    Name,
    ValueStart,
    Value,
    ValueLf,
    EndLf,
}

impl State {
    fn in_line(self) -> bool {
        matches!(self, Self::Start | Self::EmptyLf | Self::Method | Self::TargetStart | Self::Target | Self::Version)
    }
}

/// The fields that say where a message ends and who is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Field {
    #[default]
    Other,
    Host,
    Length,
    Coding,
    Upgrade,
}

const LONGEST_WORD: usize = 24;

#[derive(Debug, Default)]
struct Word {
    bytes: [u8; LONGEST_WORD],
    /// Bytes that came; more than are kept, where it is a long one.
    length: usize,
}

impl Word {
    fn push(&mut self, bytes: &[u8]) {
        let at = self.length.min(LONGEST_WORD);
        let kept = bytes.len().min(LONGEST_WORD - at);
        self.bytes[at..at + kept].copy_from_slice(&bytes[..kept]);
        self.length += bytes.len();
    }

    /// `None` if it is longer than any that means something.
    fn whole(&self) -> Option<&[u8]> {
        self.bytes.get(..self.length)
    }
}

impl Head {
    /// Takes the next bytes; `Some` once the head is complete: how many of them belonged to it, and how its body ends.
    pub(crate) fn feed(&mut self, limits: &HeadLimits, bytes: &[u8]) -> Result<Option<(usize, Body)>, Fault> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let ended = self.state == State::EndLf && byte == b'\n';
            let in_line = self.state.in_line();
            let taken = if ended { 1 } else { self.step(byte, &bytes[at..], limits)? };
            at += taken;
            self.bytes += taken;
            // The line's end is none of it.
            if in_line && self.bytes > limits.line + usize::from(self.state == State::LineLf) {
                return Err(Fault::LongLine);
            }
            if self.bytes > limits.bytes {
                return Err(Fault::LargeHead);
            }
            if ended {
                return Ok(Some((at, self.complete()?)));
            }
        }
        Ok(None)
    }

    /// Takes one byte, or a run of them; how many.
    fn step(&mut self, byte: u8, bytes: &[u8], limits: &HeadLimits) -> Result<usize, Fault> {
        const BARE: Fault = Fault::Malformed("a line ends without a carriage return, or in the midst of one");
        let after = |end: u8, next: State| if byte == end { Ok(next) } else { Err(BARE) };
        match self.state {
            State::Start => {
                self.state = if byte == b'\r' { State::EmptyLf } else { State::Method };
                return if byte == b'\r' { Ok(1) } else { self.method(bytes) };
            }
            State::EmptyLf => {
                self.state = after(b'\n', State::Method)?;
            }
            State::Method => return self.method(bytes),
            State::TargetStart | State::Target => return self.target(bytes),
            State::Version => return self.version(bytes),
            State::LineLf | State::ValueLf => {
                self.state = after(b'\n', State::FieldStart)?;
            }
            State::FieldStart if byte == b'\r' => {
                self.state = State::EndLf;
            }
            State::FieldStart => {
                self.fields += 1;
                if self.fields > limits.fields {
                    return Err(Fault::LargeHead);
                }
                self.word = Word::default();
                self.state = State::Name;
                return self.name(bytes);
            }
            State::Name => return self.name(bytes),
            State::ValueStart if matches!(byte, b' ' | b'\t') => {}
            State::ValueStart => {
                self.state = State::Value;
                return self.value(bytes);
            }
            State::Value => return self.value(bytes),
            State::EndLf => return Err(BARE),
        }
        Ok(1)
    }

    fn method(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let run = TOKEN.run(bytes);
        self.word.push(&bytes[..run]);
        match bytes.get(run) {
            None => Ok(run),
            Some(b' ') if self.word.length > 0 => {
                self.state = State::TargetStart;
                Ok(run + 1)
            }
            Some(_) => Err(Fault::Malformed("the request line does not begin with a method and a blank")),
        }
    }

    fn target(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let run = TARGET.run(bytes);
        if run > 0 {
            self.state = State::Target;
        }
        match bytes.get(run) {
            None => Ok(run),
            Some(b' ') if self.state == State::Target => {
                self.word = Word::default();
                self.state = State::Version;
                Ok(run + 1)
            }
            Some(_) => Err(Fault::Malformed("the request's target holds a character that it must not, or is none")),
        }
    }

    fn version(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let run = bytes.iter().position(|&b| b == b'\r').unwrap_or(bytes.len());
        self.word.push(&bytes[..run]);
        if self.word.length > b"HTTP/1.1".len() {
            return Err(Fault::Malformed("the request line does not end in HTTP/1.1"));
        }
        if run == bytes.len() {
            return Ok(run);
        }
        self.old = match self.word.whole() {
            Some(b"HTTP/1.1") => false,
            Some(b"HTTP/1.0") => true,
            _ => return Err(Fault::Malformed("the request line does not end in HTTP/1.1")),
        };
        self.state = State::LineLf;
        Ok(run + 1)
    }

    fn name(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let run = TOKEN.run(bytes);
        self.word.push(&bytes[..run]);
        match bytes.get(run) {
            None => Ok(run),
            Some(b':') if self.word.length > 0 => {
                self.field = self.named()?;
                self.word = Word::default();
                self.state = State::ValueStart;
                Ok(run + 1)
            }
            Some(_) => Err(Fault::Malformed("a field's name holds a character that it must not, or is none")),
        }
    }

    /// The field of the name that was read.
    fn named(&self) -> Result<Field, Fault> {
        let Some(name) = self.word.whole() else { return Ok(Field::Other) };
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            4 if is(b"host") => Ok(Field::Host),
            7 if is(b"upgrade") => Ok(Field::Upgrade),
            14 if is(b"content-length") => Ok(Field::Length),
            17 if is(b"transfer-encoding") => Ok(Field::Coding),
            // To CGI and its heirs `_` and `-` are one.
            14 if is(b"content_length") => Err(Fault::Malformed("Content_Length is not Content-Length")),
            17 if is(b"transfer_encoding") => Err(Fault::Malformed("Transfer_Encoding is not Transfer-Encoding")),
            _ => Ok(Field::Other),
        }
    }

    fn value(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let run = TEXT.run(bytes);
        if self.field != Field::Other {
            self.word.push(&bytes[..run]);
        }
        match bytes.get(run) {
            None => Ok(run),
            Some(b'\r') => {
                self.framed()?;
                self.state = State::ValueLf;
                Ok(run + 1)
            }
            Some(_) => Err(Fault::Malformed("a field's value holds a control character")),
        }
    }

    /// Takes note of a field about framing, whose value is complete.
    fn framed(&mut self) -> Result<(), Fault> {
        const TWO: Fault = Fault::Malformed("Host, Content-Length and Transfer-Encoding may be given once");
        let once = |count: &mut u8| {
            *count += 1;
            if *count > 1 { Err(TWO) } else { Ok(()) }
        };
        let value = self.word.whole().map(<[u8]>::trim_ascii_end);
        match self.field {
            Field::Other => Ok(()),
            Field::Upgrade => {
                self.upgrade = true;
                Ok(())
            }
            Field::Host => once(&mut self.hosts),
            Field::Length => {
                once(&mut self.lengths)?;
                // 18 digits are an exabyte, and fit every integer of 64 bits.
                let plain = |v: &&[u8]| (1..=18).contains(&v.len()) && v.iter().all(u8::is_ascii_digit);
                let digits = value.filter(plain).ok_or(Fault::Malformed("Content-Length is no plain number"))?;
                self.length = digits.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0'));
                Ok(())
            }
            Field::Coding => {
                once(&mut self.codings)?;
                let chunked = value.is_some_and(|v| v.eq_ignore_ascii_case(b"chunked"));
                if chunked { Ok(()) } else { Err(Fault::Malformed("the only transfer coding is chunked")) }
            }
        }
    }

    /// What fields say together.
    fn complete(&self) -> Result<Body, Fault> {
        match (self.codings, self.lengths) {
            _ if !self.old && self.hosts == 0 => Err(Fault::Malformed("the request names no host")),
            (1.., 1..) => Err(Fault::Malformed("the request has both a length and a transfer coding")),
            (1.., 0) if self.old => Err(Fault::Malformed("HTTP/1.0 has no transfer codings")),
            (1.., 0) => Ok(Body::Chunked),
            (0, _) if self.upgrade && self.length == 0 => Ok(Body::Upgrade),
            (0, _) => Ok(Body::Length(self.length)),
        }
    }
}
