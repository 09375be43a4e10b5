//! `limits`, and the limits of hosts and backends.

use std::time::Duration;

use super::Check;
use super::values::{Refusal, positive_duration};
use crate::error::FaultKind;
use crate::limits::{Concurrency, Http2Limits, Limits, MemoryLimit, RateKey, RateLimit};
use crate::raw::{At, RawCount, RawDuration, RawHttp2Limits, RawLimits, RawRateKey, RawRateLimit, RawSize, RawUpstream};
use crate::tree::{NodeId, shorten};

/// More fields than the HTTP engine can hold.
const MOST_FIELDS: u32 = 255;

/// More bytes in a head than the HTTP engine reads.
const LARGEST_HEAD: u32 = 1 << 20;

impl Check<'_> {
    pub(super) fn limits(&self, raw: &At<RawLimits>) -> Limits {
        let default = Limits::default();
        let Some(raw) = raw.get() else { return default };
        let time = |raw: &At<RawDuration>, default| self.time(raw).unwrap_or(default);
        let head = |raw: &At<RawSize>, default| self.size(raw, head_size).unwrap_or(default);
        Limits {
            connections: self.count(&raw.connections, default.connections),
            connections_per_client: self.count(&raw.connections_per_client, default.connections_per_client),
            handshakes_per_client: self.count(&raw.handshakes_per_client, default.handshakes_per_client),
            memory: self.size(&raw.memory, memory).unwrap_or(default.memory),
            proxy_header_timeout: time(&raw.proxy_header_timeout, default.proxy_header_timeout),
            handshake_timeout: time(&raw.handshake_timeout, default.handshake_timeout),
            request_header_timeout: time(&raw.request_header_timeout, default.request_header_timeout),
            idle_timeout: time(&raw.idle_timeout, default.idle_timeout),
            body_idle_timeout: time(&raw.body_idle_timeout, default.body_idle_timeout),
            connection_age: time(&raw.connection_age, default.connection_age),
            request_line: head(&raw.request_line, default.request_line),
            request_header: head(&raw.request_header, default.request_header),
            request_fields: self.whole(&raw.request_fields, 1..=MOST_FIELDS, default.request_fields),
            http2: self.http2(&raw.http2),
        }
    }

    fn http2(&self, raw: &At<RawHttp2Limits>) -> Http2Limits {
        let default = Http2Limits::default();
        let Some(raw) = raw.get() else { return default };
        let time = |raw: &At<RawDuration>, default| self.time(raw).unwrap_or(default);
        Http2Limits {
            preface_timeout: time(&raw.preface_timeout, default.preface_timeout),
            idle_timeout: time(&raw.idle_timeout, default.idle_timeout),
            streams: self.whole(&raw.streams, 1..=u32::MAX, default.streams),
            control_frames: self.whole(&raw.control_frames, 1..=u32::MAX, default.control_frames),
        }
    }

    pub(super) fn rate_limit(&self, raw: &At<RawRateLimit>) -> Option<RateLimit> {
        let (at, raw) = raw.given()?;
        self.need(at, "requests", &raw.requests, "write how many requests a client may send, such as `requests: 100`");
        let requests = self.whole(&raw.requests, 1..=u32::MAX, 1);
        Some(RateLimit {
            requests,
            per: self.time(&raw.per).unwrap_or(Duration::from_secs(1)),
            burst: self.whole(&raw.burst, 1..=u32::MAX, requests),
            by: match raw.by.get() {
                None | Some(RawRateKey::Word(_)) => RateKey::Client,
                Some(RawRateKey::Header(by)) => {
                    self.need(raw.by.node_or(at), "header", &by.header, "name the header that tells clients apart");
                    RateKey::Header(self.value(&by.header, header_name).unwrap_or_default())
                }
            },
        })
    }

    pub(super) fn max_body(&self, raw: &At<RawSize>) -> Option<u64> {
        self.size(raw, bytes)
    }

    pub(super) fn concurrency(&self, raw: &RawUpstream) -> Concurrency {
        let default = Concurrency::default();
        Concurrency {
            requests: self.count(&raw.max_requests, default.requests),
            pending: raw.max_pending.get().copied().unwrap_or(default.pending),
            pending_timeout: self.time(&raw.pending_timeout).unwrap_or(default.pending_timeout),
        }
    }

    fn time(&self, raw: &At<RawDuration>) -> Option<Duration> {
        let (at, RawDuration(text)) = raw.given()?;
        self.text(at, text, positive_duration)
    }

    fn size<T>(&self, raw: &At<RawSize>, parse: impl Fn(&str) -> Result<T, Refusal>) -> Option<T> {
        let (at, RawSize(text)) = raw.given()?;
        self.text(at, text, parse)
    }

    fn count(&self, raw: &At<RawCount>, default: Option<u32>) -> Option<u32> {
        let Some((at, RawCount(text))) = raw.given() else { return default };
        self.text(at, text, count).unwrap_or(default)
    }

    pub(super) fn whole(&self, raw: &At<u32>, range: std::ops::RangeInclusive<u32>, default: u32) -> u32 {
        let Some((at, number)) = raw.given() else { return default };
        if !range.contains(number) {
            self.out_of_range(at, *number, &range);
        }
        *number
    }

    fn out_of_range(&self, at: NodeId, number: u32, range: &std::ops::RangeInclusive<u32>) {
        let remedy = match range.end() {
            &u32::MAX => format!("write a number from {} on", range.start()),
            end => format!("write a number from {} to {end}", range.start()),
        };
        self.report.fault(at, FaultKind::BadValue, format!("{number} is out of range"), remedy);
    }
}

/// A number above zero, or `off`.
fn count(text: &str) -> Result<Option<u32>, Refusal> {
    match text.parse::<u32>() {
        _ if text == "off" => Ok(None),
        Ok(number) if number > 0 => Ok(Some(number)),
        Ok(_) => Err(("0 would let nobody in".into(), "write a number above 0, or `off` for no limit".into())),
        Err(_) => {
            Err((format!("`{}` is not a number of things", shorten(text)), "write a whole number, or `off` for no limit".into()))
        }
    }
}

/// A whole number of bytes, above 0, with an optional unit.
fn bytes(text: &str) -> Result<u64, Refusal> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: Option<u64> = match unit {
        "" | "B" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    let size = factor.and_then(|factor| number.parse::<u64>().ok()?.checked_mul(factor));
    match size {
        Some(0) => Err(("0 bytes would let nothing through".into(), "write a size above 0".into())),
        Some(size) => Ok(size),
        None => Err((
            format!("`{}` is not a size", shorten(text)),
            "write a whole number and a unit (KiB, MiB or GiB), such as `8KiB` or `10MiB`".into(),
        )),
    }
}

fn head_size(text: &str) -> Result<u32, Refusal> {
    let size = bytes(text)?;
    u32::try_from(size)
        .ok()
        .filter(|size| (128..=LARGEST_HEAD).contains(size))
        .ok_or_else(|| (format!("no request's head can be held to {size} bytes"), "write a size from 128 bytes to 1MiB".into()))
}

fn memory(text: &str) -> Result<MemoryLimit, Refusal> {
    match text {
        "auto" => Ok(MemoryLimit::Auto),
        "off" => Ok(MemoryLimit::Off),
        _ => bytes(text).map(MemoryLimit::Bytes).map_err(|(message, remedy)| (message, format!("{remedy}; or `auto`, or `off`"))),
    }
}

/// RFC 9110 section 5.1, in lower case.
fn header_name(text: &str) -> Result<String, Refusal> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(token) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err((format!("`{}` is not the name of a header", shorten(text)), "write one such as `X-Api-Key`".into()))
    }
}
