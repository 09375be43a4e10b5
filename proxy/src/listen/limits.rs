//! What a connection is held to, as [`ClientIo`](super::ClientIo) and what looks over its shoulder need it.

use std::time::Duration;

use causeway_config::Limits;

use super::strict::HeadLimits;

/// What a connection's requests are held to.
#[derive(Clone, Copy, Debug)]
pub struct IoLimits {
    /// How long a request's head may take from its first byte to its last.
    pub head_timeout: Duration,
    /// How large it may be.
    pub head: HeadLimits,
    /// How long an HTTP/2 client may take for its preface.
    pub preface_timeout: Duration,
    /// How long an HTTP/2 client may be silent, although it is asked.
    pub silence: Duration,
    /// How many HTTP/2 frames that cost work and bring nothing may come in a second.
    pub control_frames: u32,
}

impl From<&Limits> for IoLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            head_timeout: limits.request_header_timeout,
            head: HeadLimits {
                line: limits.request_line as usize,
                bytes: limits.request_header as usize,
                fields: limits.request_fields as usize,
            },
            preface_timeout: limits.http2.preface_timeout,
            silence: limits.http2.idle_timeout,
            control_frames: limits.http2.control_frames,
        }
    }
}

impl Default for IoLimits {
    fn default() -> Self {
        Self::from(&Limits::default())
    }
}
