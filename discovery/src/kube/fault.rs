//! What goes wrong between an edge and an API server, sorted by what it means.

use std::error::Error;
use std::time::Duration;

use kube::core::Status;
use kube::runtime::watcher;

/// Why a list or a watch failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) cause: Cause,
    /// In the server's words, or the network's.
    pub(super) text: String,
    /// What the server asked to be waited.
    wait: Option<Duration>,
}

/// The causes that are told apart, by their names in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// 403: a rule is missing.
    Forbidden,
    /// 404: the server has no such kind.
    Absent,
    /// 401: the token or certificate is not accepted, or not any more.
    Unauthorized,
    /// 410: the place where the watch stopped is forgotten, and everything is listed anew.
    Gone,
    /// 429 and 503: the server asks for patience.
    Busy,
    /// Any other answer of the server.
    Refused,
    /// No answer: the network, TLS, or silence.
    Network,
    /// A list was not believed, and made again.
    Doubted,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 8] =
        [Self::Forbidden, Self::Absent, Self::Unauthorized, Self::Gone, Self::Busy, Self::Refused, Self::Network, Self::Doubted];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::Absent => "absent",
            Self::Unauthorized => "unauthorized",
            Self::Gone => "gone",
            Self::Busy => "busy",
            Self::Refused => "refused",
            Self::Network => "network",
            Self::Doubted => "doubted",
        }
    }
}

impl Fault {
    /// A plain request's fault.
    pub(super) fn of_request(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(status),
            other => Self { cause: Cause::Network, text: chain(other), wait: None },
        }
    }

    /// What the server asked to be waited before the next try.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.wait
    }

    /// Whether the kind cannot be had, while everything else can.
    pub(super) fn settles(&self) -> bool {
        matches!(self.cause, Cause::Forbidden | Cause::Absent)
    }

    /// Whether the server knows the request to stream a list, and does not do it.
    /// Source: KEP-3157; with its gate off the server answers 422 (`sendInitialEvents` is forbidden) or 400.
    pub(super) fn no_streaming(&self) -> bool {
        self.cause == Cause::Refused && self.text.contains("sendInitialEvents")
    }

    fn of_status(status: &Status) -> Self {
        let cause = match (status.code, status.reason.as_str()) {
            (403, _) | (_, "Forbidden") => Cause::Forbidden,
            (404, _) | (_, "NotFound") => Cause::Absent,
            (401, _) | (_, "Unauthorized") => Cause::Unauthorized,
            (410, _) | (_, "Gone" | "Expired") => Cause::Gone,
            (429 | 503, _) | (_, "TooManyRequests" | "ServiceUnavailable") => Cause::Busy,
            _ => Cause::Refused,
        };
        let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        let wait = (seconds > 0).then(|| Duration::from_secs(seconds.min(60).into()));
        let text = if status.message.is_empty() { format!("HTTP {}", status.code) } else { status.message.clone() };
        Self { cause, text, wait }
    }
}

impl From<watcher::Error> for Fault {
    fn from(error: watcher::Error) -> Self {
        use watcher::Error as W;
        match &error {
            W::InitialListFailed(error) | W::WatchStartFailed(error) | W::WatchFailed(error) => Self::of_request(error),
            W::WatchError(status) => Self::of_status(status),
            W::NoResourceVersion => Self { cause: Cause::Refused, text: error.to_string(), wait: None },
        }
    }
}

/// An error and what is behind it: `connect: connection refused`. What an error repeats of its source is said once.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(json: &str) -> Fault {
        Fault::of_status(&serde_json::from_str::<Status>(json).unwrap())
    }

    #[test]
    fn a_status_is_sorted_by_its_code_or_its_reason() {
        for (json, cause) in [
            (r#"{"code":403,"message":"services is forbidden"}"#, Cause::Forbidden),
            (r#"{"reason":"Expired","message":"too old"}"#, Cause::Gone),
            (r#"{"code":410,"reason":"Gone"}"#, Cause::Gone),
            (r#"{"code":404}"#, Cause::Absent),
            (r#"{"code":401,"reason":"Unauthorized"}"#, Cause::Unauthorized),
            (r#"{"code":503}"#, Cause::Busy),
            (r#"{"code":500,"message":"etcd"}"#, Cause::Refused),
        ] {
            assert_eq!(of(json).cause, cause, "{json}");
        }
    }

    #[test]
    fn the_server_says_how_long_to_wait_but_not_for_ever() {
        assert_eq!(of(r#"{"code":429,"details":{"retryAfterSeconds":7}}"#).wait(), Some(Duration::from_secs(7)));
        assert_eq!(of(r#"{"code":429,"details":{"retryAfterSeconds":86400}}"#).wait(), Some(Duration::from_mins(1)));
        assert_eq!(of(r#"{"code":429}"#).wait(), None);
    }

    #[test]
    fn a_refused_stream_of_a_list_is_no_fault_of_the_kind() {
        let refused = of(r#"{"code":422,"message":"sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch"}"#);
        assert!(refused.no_streaming() && !refused.settles());
    }
}
