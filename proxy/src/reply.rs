//! Answers that Causeway gives itself: errors, small and without internals, in the form that the client accepts.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::metrics::RefusalReason;

/// An answer without a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// What is wrong, in words for whoever reads the response: a sentence without names of clusters, pods or addresses.
    pub reason: &'static str,
    /// How it is counted and logged.
    pub label: RefusalReason,
    /// Seconds after which a client should try again.
    pub wait: u32,
}

/// Seconds after which a client should try again after 503: failover and discovery take no longer.
const WAIT: u32 = 5;

impl Reply {
    /// An answer.
    pub const fn new(status: StatusCode, label: RefusalReason, reason: &'static str) -> Self {
        Self { status, reason, label, wait: WAIT }
    }

    /// The same, to be tried again after so many seconds.
    #[must_use]
    pub const fn after(self, wait: u32) -> Self {
        Self { wait, ..self }
    }

    /// `Retry-After` (RFC 9110 section 10.2.3), on 503 and 429.
    pub fn retry_after(&self) -> Option<HeaderValue> {
        matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS).then(|| self.wait.into())
    }

    /// The body, and its content type.
    pub fn body(&self, format: Format, request_id: &str) -> (HeaderValue, Bytes) {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let (code, reason) = (self.status.as_u16(), self.reason);
        match format {
            Format::Text => (
                HeaderValue::from_static("text/plain; charset=utf-8"),
                format!("{code} {title}: {reason}\nrequest {request_id}\n").into(),
            ),
            Format::Problem => {
                let body = serde_json::json!({
                    "type": "about:blank", "title": title, "status": code, "detail": reason, "requestId": request_id,
                });
                (HeaderValue::from_static("application/problem+json"), format!("{body}\n").into())
            }
            Format::Html => (
                HeaderValue::from_static("text/html; charset=utf-8"),
                format!(
                    "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{code} {title}</title>\n\
                     <h1>{title}</h1>\n<p>{reason}</p>\n<p><small>request {request_id}</small></p></html>\n"
                )
                .into(),
            ),
        }
    }
}

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text/plain`
    Text,
    /// RFC 9457.
    Problem,
    /// `text/html`
    Html,
}

impl Format {
    /// The form that a request accepts best (RFC 9110 section 12.5.1); plain text where it does not say, or says anything.
    ///
    /// Only exact types count: `*/*` is what a program sends that does not care, and plain text serves a person at a
    /// terminal best.
    pub fn accepted(headers: &HeaderMap) -> Self {
        let ranges = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
        let mut best = (Self::Text, 0);
        for range in ranges {
            let mut parts = range.split(';').map(str::trim);
            let format = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "text/plain" => Self::Text,
                "application/json" | "application/problem+json" => Self::Problem,
                "text/html" => Self::Html,
                _ => continue,
            };
            let weight = parts.find_map(|p| p.strip_prefix("q=")).map_or(1000, thousandths);
            if weight > best.1 {
                best = (format, weight);
            }
        }
        best.0
    }
}

/// A weight of RFC 9110 section 12.4.2 in thousandths; what is malformed counts as 0.
fn thousandths(weight: &str) -> u16 {
    weight.parse::<f32>().ok().filter(|w| (0.0..=1.0).contains(w)).map_or(0, |w| (w * 1000.0) as u16)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const REPLY: Reply =
        Reply::new(StatusCode::SERVICE_UNAVAILABLE, RefusalReason::NoEndpoint, "no backend of this service is ready");

    fn accepted(accept: &[&str]) -> Format {
        Format::accepted(&accept.iter().map(|value| (header::ACCEPT, value.parse().unwrap())).collect())
    }

    #[test]
    fn the_accepted_form_is_the_one_with_the_highest_weight() {
        assert_eq!(accepted(&[]), Format::Text);
        assert_eq!(accepted(&["*/*"]), Format::Text);
        assert_eq!(accepted(&["application/json"]), Format::Problem);
        assert_eq!(accepted(&["application/json, text/html;q=0.9"]), Format::Problem);
        assert_eq!(accepted(&["application/json;q=0.1", "TEXT/HTML;q=0.9"]), Format::Html);
        assert_eq!(accepted(&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"]), Format::Html);
        assert_eq!(accepted(&["text/html;q=0, application/json;q=nonsense"]), Format::Text);
    }

    #[test]
    fn only_what_may_pass_is_worth_another_try() {
        assert!(REPLY.retry_after().is_some());
        assert!(Reply::new(StatusCode::NOT_FOUND, RefusalReason::NoRoute, "no").retry_after().is_none());
    }

    #[test]
    fn every_form_tells_reason_and_request() {
        for format in [Format::Text, Format::Problem, Format::Html] {
            let (_, body) = REPLY.body(format, "abc-123");
            let body = std::str::from_utf8(&body).unwrap();
            for part in ["503", "Service Unavailable", "no backend of this service is ready", "abc-123"] {
                assert!(body.contains(part), "{format:?} lacks {part}: {body}");
            }
        }
    }

    #[test]
    fn a_problem_is_a_problem_of_rfc_9457() {
        let (content_type, body) = REPLY.body(Format::Problem, "abc-123");
        assert_eq!(content_type, "application/problem+json");
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["status"], 503);
        assert_eq!(problem["detail"], "no backend of this service is ready");
    }
}
