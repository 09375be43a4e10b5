//! How an entry's fields are written.

#![allow(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde hands every field over by reference")]

use std::time::{Duration, SystemTime};

use causeway_config::Country;
use serde::Serializer;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// Longest text of a request that is logged, in bytes; what is cut off is marked by an ellipsis.
pub(super) const TEXT_LIMIT: usize = 1_024;

/// RFC 3339, UTC, to the millisecond: always 24 characters, so that lines sort.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

pub(super) fn rfc3339<S: Serializer>(time: &SystemTime, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&OffsetDateTime::from(*time).format(TIME).map_err(serde::ser::Error::custom)?)
}

pub(super) fn protocol<S: Serializer>(version: &http::Version, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&format_args!("{version:?}"))
}

pub(super) fn milliseconds<S: Serializer>(duration: &Duration, s: S) -> Result<S::Ok, S::Error> {
    // Microseconds are as fine as a network's times are worth telling.
    s.serialize_f64(duration.as_micros() as f64 / 1_000.0)
}

pub(super) fn optional_milliseconds<S: Serializer>(duration: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => milliseconds(duration, s),
        None => s.serialize_none(),
    }
}

pub(super) fn limited<S: Serializer>(text: &str, s: S) -> Result<S::Ok, S::Error> {
    match text.char_indices().find(|(at, c)| at + c.len_utf8() > TEXT_LIMIT) {
        None => s.serialize_str(text),
        Some((end, _)) => s.collect_str(&format_args!("{}…", &text[..end])),
    }
}

pub(super) fn optional_limited<S: Serializer>(text: &Option<String>, s: S) -> Result<S::Ok, S::Error> {
    match text {
        Some(text) => limited(text, s),
        None => s.serialize_none(),
    }
}

pub(super) fn country<S: Serializer>(country: &Option<Country>, s: S) -> Result<S::Ok, S::Error> {
    match country {
        Some(country) => s.serialize_str(country.as_str()),
        None => s.serialize_none(),
    }
}
