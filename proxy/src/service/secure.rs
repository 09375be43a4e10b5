//! Requests that came without TLS: which of them are sent to https, and where that is.

use causeway_config::Config;
use causeway_core::policy::TlsPolicy;
use http::{HeaderValue, StatusCode};
use pingora::http::RequestHeader;

use crate::metrics::RefusalReason;
use crate::reply::Reply;

/// The answer to a request that must come by TLS. 308 keeps method and body, where 301 turns a POST into a GET (RFC 9110 section
/// 15.4.9).
pub(super) const TLS_ONLY: Reply =
    Reply::new(StatusCode::PERMANENT_REDIRECT, RefusalReason::Misdirected, "this host is served over TLS only");

/// Whether a host takes part in TLS by more than a certificate: who may end it, who its clients prove to be, how old it may be.
/// What a plain connection cannot prove, nobody in front of this edge can prove for it.
pub(super) fn needs_tls(demanded: &TlsPolicy, config: &Config) -> bool {
    let TlsPolicy { min_version, fence, clients, elsewhere } = demanded;
    *min_version != config.tls.min_version || fence.is_some() || clients.is_some() || *elsewhere
}

/// The same resource over https.
pub(crate) fn location(request: &RequestHeader, host: &str, port: u16) -> HeaderValue {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let target = request.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let target = if target.starts_with('/') { target } else { "/" };
    HeaderValue::try_from(format!("https://{host}{port}{target}"))
        .expect("a checked host and a parsed target have no control characters")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_target_is_kept_and_the_port_is_https_own() {
        for (target, host, port, expected) in [
            ("/a/b?c=d&e", "www.example.com", 443, "https://www.example.com/a/b?c=d&e"),
            ("/", "www.example.com", 8443, "https://www.example.com:8443/"),
            ("/", "2001:db8::1", 443, "https://[2001:db8::1]/"),
            ("http://www.example.com/x?y", "www.example.com", 443, "https://www.example.com/x?y"),
            ("*", "www.example.com", 443, "https://www.example.com/"),
            ("//evil.example/x", "www.example.com", 443, "https://www.example.com//evil.example/x"),
        ] {
            let request = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
            assert_eq!(location(&request, host, port), expected, "{target}");
        }
    }
}
