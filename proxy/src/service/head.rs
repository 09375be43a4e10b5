//! What is checked of a request's head before anything is decided by it.

use causeway_config::Limits;
use causeway_core::route::normal_host;
use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use pingora::http::RequestHeader;

use crate::metrics::RefusalReason::{BadRequest, TooLarge};
use crate::reply::Reply;

const NO_HOST: Reply = Reply::new(StatusCode::BAD_REQUEST, BadRequest, "the request names no host");
const BAD_HOST: Reply = Reply::new(StatusCode::BAD_REQUEST, BadRequest, "the request's Host is not a host name");
const TWO_HOSTS: Reply = Reply::new(StatusCode::BAD_REQUEST, BadRequest, "the request names more than one host");
const BAD_TARGET: Reply = Reply::new(StatusCode::BAD_REQUEST, BadRequest, "the request's path is not UTF-8 text");
const BAD_FORM: Reply =
    Reply::new(StatusCode::BAD_REQUEST, BadRequest, "the request's target is neither a path nor a URL of this server");
const BAD_FIELD: Reply =
    Reply::new(StatusCode::BAD_REQUEST, BadRequest, "a header field of the request would be read differently over HTTP/1.1");
const TRACE: Reply =
    Reply::new(StatusCode::METHOD_NOT_ALLOWED, BadRequest, "TRACE would show what edges say to backends, and is not served");
const LONG_TARGET: Reply = Reply::new(StatusCode::URI_TOO_LONG, TooLarge, "the request's path and query are too long");
const LONG_HEADERS: Reply =
    Reply::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, TooLarge, "the request's header fields are too large");

/// Who is asked for: as it came, and in normal form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// `www.Example.com:8443`
    pub(crate) authority: HeaderValue,
    /// `www.example.com`
    pub(crate) host: String,
}

/// Checks the sizes, and finds out who is asked for (RFC 9112 section 3.2, RFC 9113 section 8.3.1).
///
/// HTTP/1.1 was held to its sizes as it came, byte for byte; HTTP/2 has no lines to count, so that here all names and values
/// count, with the 32 bytes a field that HTTP/2 itself adds (RFC 9113 section 6.5.2), and of the line the target.
pub(crate) fn check(request: &RequestHeader, limits: &Limits) -> Result<Asked, Reply> {
    if request.raw_path().len() > limits.request_line as usize {
        return Err(LONG_TARGET);
    }
    if request.version == http::Version::HTTP_2 {
        let mut size = 0;
        for (name, value) in &request.headers {
            if !is_plain(name, value.as_bytes()) {
                return Err(BAD_FIELD);
            }
            size += name.as_str().len() + value.len() + 32;
        }
        if size > limits.request_header as usize || request.headers.len() > limits.request_fields as usize {
            return Err(LONG_HEADERS);
        }
    }
    if request.method == Method::TRACE {
        return Err(TRACE);
    }
    if !request.raw_path_is_utf8() {
        return Err(BAD_TARGET);
    }
    if !has_form(request) {
        return Err(BAD_FORM);
    }
    let authority = authority(request)?;
    let host = authority.to_str().ok().and_then(normal_host).ok_or(BAD_HOST)?.into_owned();
    Ok(Asked { authority, host })
}

/// Whether a field of HTTP/2 is the same in HTTP/1.1, where the strict reader sees to it: without blanks around its value (RFC 9113
/// section 8.2.1), and none of those that CGI and its heirs take for a message's length or coding.
fn is_plain(name: &HeaderName, value: &[u8]) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !blank(value.first()) && !blank(value.last()) && !matches!(name.as_str(), "content_length" | "transfer_encoding")
}

/// Whether the target is a path, an absolute URL of HTTP, or `*` for OPTIONS (RFC 9112 section 3.2): other forms mean nothing to a
/// server that is no proxy of its clients.
fn has_form(request: &RequestHeader) -> bool {
    let target = request.raw_path();
    let begins = |prefix: &[u8]| target.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    // HTTP/2 has scheme and path apart.
    let h2 = request.version == http::Version::HTTP_2;
    match target {
        b"*" => request.method == Method::OPTIONS,
        [b'/', ..] => request.uri.scheme().is_none_or(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS),
        _ => !h2 && (begins(b"http://") || begins(b"https://")),
    }
}

/// `:authority`, or the target's in absolute form, and `Host` must agree where both are there.
fn authority(request: &RequestHeader) -> Result<HeaderValue, Reply> {
    let mut hosts = request.headers.get_all(header::HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(TWO_HOSTS);
    }
    match (request.uri.authority(), host) {
        (Some(target), Some(host)) if !target.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes()) => Err(TWO_HOSTS),
        (Some(target), _) => HeaderValue::from_str(target.as_str()).map_err(|_| BAD_HOST),
        (None, Some(host)) if !host.is_empty() => Ok(host.clone()),
        (None, _) => Err(NO_HOST),
    }
}

/// The path to route by: `/` where the target is `*` (OPTIONS) or has none.
pub(crate) fn path(request: &RequestHeader) -> &str {
    match request.uri.path() {
        path if path.starts_with('/') => path,
        _ => "/",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(request: &RequestHeader) -> Result<Asked, Reply> {
        super::check(request, &Limits::default())
    }

    fn request(target: &str, headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
        for (name, value) in headers {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    fn h2(uri: &str, headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = request("/", headers);
        request.set_uri(uri.parse().unwrap());
        request
    }

    #[test]
    fn the_host_comes_from_authority_or_host_header() {
        for (request, authority, host) in [
            (request("/", &[("host", "WWW.Example.com:8443")]), "WWW.Example.com:8443", "www.example.com"),
            (request("/", &[("host", "www.example.com.")]), "www.example.com.", "www.example.com"),
            (h2("https://www.example.com/x", &[]), "www.example.com", "www.example.com"),
            (h2("https://www.example.com/x", &[("host", "www.EXAMPLE.com")]), "www.example.com", "www.example.com"),
        ] {
            let asked = check(&request).unwrap();
            assert_eq!((asked.authority.to_str().unwrap(), asked.host.as_str()), (authority, host));
        }
    }

    #[test]
    fn no_host_two_hosts_or_nonsense_is_refused() {
        assert_eq!(check(&request("/", &[])), Err(NO_HOST));
        assert_eq!(check(&request("/", &[("host", "")])), Err(NO_HOST));
        assert_eq!(check(&request("/", &[("host", "a.example"), ("host", "b.example")])), Err(TWO_HOSTS));
        assert_eq!(check(&h2("https://a.example/", &[("host", "b.example")])), Err(TWO_HOSTS));
        assert_eq!(check(&request("/", &[("host", "not a host")])), Err(BAD_HOST));
    }

    #[test]
    fn a_target_has_one_of_the_forms_that_servers_are_asked_by() {
        let host = [("host", "a.example")];
        let asks = |method: &str, target: &str| {
            let mut request = request(target, &host);
            request.set_method(method.parse().unwrap());
            check(&request).map(drop)
        };
        for (method, target) in [("GET", "/"), ("GET", "//x"), ("GET", "/*"), ("GET", "HTTP://a.example?x"), ("OPTIONS", "*")] {
            assert_eq!(asks(method, target), Ok(()), "{method} {target}");
        }
        for (method, target) in
            [("GET", "*"), ("GET", "?x"), ("GET", "a.example"), ("GET", "a.example:80"), ("GET", "ftp://a.example/")]
        {
            assert_eq!(asks(method, target), Err(BAD_FORM), "{method} {target}");
        }
        for (target, good) in [("/x", true), ("*", false), ("?x", false)] {
            let path = http::uri::PathAndQuery::try_from(target).unwrap();
            let uri = http::Uri::builder().scheme("https").authority("a.example").path_and_query(path).build().unwrap();
            let mut request = h2("https://a.example/", &[]);
            request.set_version(http::Version::HTTP_2);
            request.set_uri(uri);
            assert_eq!(check(&request).is_ok(), good, "{target}");
        }
    }

    #[test]
    fn what_is_too_large_is_refused_by_its_own_status() {
        let limits = Limits { request_line: 200, request_header: 1000, request_fields: 4, ..Limits::default() };
        let check = |request: &RequestHeader| super::check(request, &limits);
        assert_eq!(check(&request(&format!("/{}", "x".repeat(200)), &[("host", "a.example")])), Err(LONG_TARGET));
        let h2 = |fields: &[(&'static str, &str)]| {
            let mut request = h2("https://a.example/", fields);
            request.set_version(http::Version::HTTP_2);
            request
        };
        assert_eq!(check(&h2(&[("x-large", &"x".repeat(1000))])), Err(LONG_HEADERS));
        assert_eq!(check(&h2(&[("x-many", ""); 5])), Err(LONG_HEADERS));
        assert!(check(&h2(&[("x-some", "y"); 4])).is_ok());
    }

    #[test]
    fn every_target_has_a_path() {
        for (target, expected) in [("/a?b", "/a"), ("*", "/"), ("http://a.example", "/"), ("http://a.example/b", "/b")] {
            assert_eq!(path(&request(target, &[])), expected, "{target}");
        }
    }
}
