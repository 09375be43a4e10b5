//! The framing of a chunked body (RFC 9112 section 7.1), byte by byte. What is in the chunks passes unseen.

use super::{Fault, TEXT, TOKEN};

/// Bytes of all extensions and of all trailer fields that a body may have: nobody uses the former, few the latter.
const MOST_EXTENSIONS: usize = 4096;
const MOST_TRAILERS: usize = 16 * 1024;

/// Reads one body.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    state: State,
    /// The size of the chunk, as far as it was read; then what is left of it.
    size: u64,
    digits: u8,
    extensions: usize,
    trailers: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    /// The body has ended; what comes is another request's.
    Ended,
}

impl Chunks {
    /// Whether the body has ended.
    pub(crate) fn ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Takes the next bytes; how many of them belonged to the body.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut rest = bytes;
        while let Some(&byte) = rest.first() {
            let taken = match self.state {
                State::Ended => break,
                State::Data => self.data(rest.len()),
                _ => self.step(byte, rest)?,
            };
            rest = &rest[taken..];
        }
        Ok(bytes.len() - rest.len())
    }

    fn data(&mut self, available: usize) -> usize {
        let taken = usize::try_from(self.size).map_or(available, |left| left.min(available));
        self.size -= taken as u64;
        if self.size == 0 {
            self.state = State::DataCr;
        }
        taken
    }

    fn step(&mut self, byte: u8, rest: &[u8]) -> Result<usize, Fault> {
        const BARE: Fault = Fault::Malformed("a chunk's line does not end as it must");
        self.state = match (self.state, byte) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.digits += 1;
                // 15 digits are an exabyte.
                if self.digits > 15 {
                    return Err(Fault::Malformed("a chunk's size is too large"));
                }
                self.size = self.size * 16 + u64::from(char::from(byte).to_digit(16).expect("a hexadecimal digit"));
                State::Size
            }
            (State::Size, b'\r') if self.digits > 0 => State::SizeLf,
            (State::Size, b';') if self.digits > 0 => State::Extension,
            (State::Size, _) => return Err(Fault::Malformed("a chunk's size is no hexadecimal number")),
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, _) => return self.extension(rest),
            (State::SizeLf, b'\n') => {
                self.digits = 0;
                if self.size == 0 { State::TrailerStart } else { State::Data }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::TrailerStart | State::TrailerName, _) => return self.trailer_name(rest),
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerValue, _) => return self.trailer_value(rest),
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::EndLf, b'\n') => State::Ended,
            _ => return Err(BARE),
        };
        Ok(1)
    }

    fn extension(&mut self, rest: &[u8]) -> Result<usize, Fault> {
        let run = TEXT.run(rest);
        self.extensions += run;
        match run {
            0 => Err(Fault::Malformed("a chunk's extension holds a control character")),
            _ if self.extensions > MOST_EXTENSIONS => Err(Fault::Malformed("the chunks' extensions are too long")),
            _ => Ok(run),
        }
    }

    fn trailer_name(&mut self, rest: &[u8]) -> Result<usize, Fault> {
        let run = TOKEN.run(rest);
        let named = run > 0 || self.state == State::TrailerName;
        self.state = State::TrailerName;
        match rest.get(run) {
            None => self.trailer(run),
            Some(b':') if named => {
                self.state = State::TrailerValue;
                self.trailer(run + 1)
            }
            Some(_) => Err(Fault::Malformed("a trailer field's name holds a character that it must not, or is none")),
        }
    }

    fn trailer_value(&mut self, rest: &[u8]) -> Result<usize, Fault> {
        match TEXT.run(rest) {
            0 => Err(Fault::Malformed("a trailer field holds a control character")),
            run => self.trailer(run),
        }
    }

    fn trailer(&mut self, count: usize) -> Result<usize, Fault> {
        self.trailers += count;
        if self.trailers > MOST_TRAILERS { Err(Fault::Malformed("the trailer fields are too long")) } else { Ok(count) }
    }
}
