//! Headers on their way through: what is taken off, what is put on.
//!
//! `Server` and `Via` are left alone: the backend's own `Server` passes, and `Via` is optional for a gateway (RFC 9110
//! section 7.6.3) and would only tell the world what is used here.

use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Method, StatusCode, Uri};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType, OrErr, Result};

use crate::ctx::Ctx;
use crate::forwarded::{self, X_FORWARDED_CLIENT_CERT};

/// Tells which cluster served a response.
const SERVED_BY: &str = "causeway-served-by";

/// [`X_REQUEST_ID`](forwarded::X_REQUEST_ID) as a text: the engine makes a name of one without asking the heap twice.
const REQUEST_ID: &str = "x-request-id";

/// What a client says who would rather speak HTTP/2.
const HTTP2_SETTINGS: &str = "http2-settings";

/// What CGI calls `HTTP_PROXY`, which programs take for a setting of their own (CVE-2016-5385).
const PROXY: &str = "proxy";

/// Fields about this hop only that the engine passes on in responses (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [&str; 3] = ["keep-alive", "proxy-connection", "proxy-authenticate"];

/// Fields that frame the message: taking them off because `Connection` names them would change where it ends.
const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];

/// Makes a client's request one of ours. Hop-by-hop fields are gone already: the engine takes them off, together with
/// those that `Connection` names, and keeps a WebSocket's `Upgrade`.
pub(crate) fn request(request: &mut RequestHeader, ctx: &Ctx) -> Result<()> {
    // Taken before anything is removed: a trusted sender's chain is continued.
    let tls = ctx.connection.as_ref().and_then(|connection| connection.tls.as_ref());
    let plain = ctx.connection.is_some() && tls.is_none();
    let scheme = if plain { forwarded::Scheme::Http } else { forwarded::Scheme::Https };
    let ours = forwarded::headers(&ctx.client, scheme, &ctx.authority, &request.headers);
    // A trusted sender that ended the client's TLS itself knows of its certificate; not where this edge asks for one.
    let proven_here = tls.is_some_and(|tls| tls.policy.clients.is_some());
    remove(request, |name| {
        let theirs = forwarded::is_ours(name) && !ctx.client.trusted;
        let certificate = forwarded::is_client_certificate(name) && (proven_here || !ctx.client.trusted);
        theirs || certificate || forwarded::is_internal(name) || name == PROXY
    });
    one_cookie(request)?;
    for (name, value) in ours {
        request.insert_header(name, value)?;
    }
    request.insert_header(REQUEST_ID, ctx.request_id.clone())?;
    if let Some(client) = tls.and_then(|tls| tls.client.clone()) {
        request.insert_header(X_FORWARDED_CLIENT_CERT, client)?;
    }
    origin_form(request);
    if let Some(path) = ctx.plan.as_ref().and_then(|plan| plan.path.as_deref()) {
        normal_path(request, path)?;
    }
    Ok(())
}

/// HTTP/2 lets a client send its cookies apart; elsewhere they are one field (RFC 9113 section 8.2.3).
fn one_cookie(request: &mut RequestHeader) -> Result<()> {
    let cookies: Vec<&[u8]> = request.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() < 2 {
        return Ok(());
    }
    let one = HeaderValue::from_bytes(&cookies.join(b"; ".as_slice())).or_err(ErrorType::InvalidHTTPHeader, "cookies")?;
    request.insert_header(COOKIE, one)
}

/// Makes another edge's request one for a pod: what it says of the client stays, what it says to this edge goes.
pub(crate) fn passed_on(request: &mut RequestHeader) {
    remove(request, forwarded::is_internal);
    origin_form(request);
}

/// A target in absolute form is for proxies (RFC 9112 section 3.2.2); servers get path and query.
fn origin_form(request: &mut RequestHeader) {
    if request.version == http::Version::HTTP_2 || request.raw_path().starts_with(b"/") || request.raw_path() == b"*" {
        return;
    }
    let path = request.uri.path_and_query().cloned().unwrap_or(http::uri::PathAndQuery::from_static("/"));
    request.set_uri(Uri::from(path));
}

/// What the route was found by is what the backend gets.
fn normal_path(request: &mut RequestHeader, path: &str) -> Result<()> {
    let target = match request.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = request.uri.clone().into_parts();
    parts.path_and_query = Some(target.parse().or_err(ErrorType::InvalidHTTPHeader, "a path in normal form")?);
    request.set_uri(Uri::from_parts(parts).or_err(ErrorType::InvalidHTTPHeader, "a path in normal form")?);
    Ok(())
}

/// Takes off a response what was meant for the hop behind us (RFC 9110 section 7.6.1), what only we may say, and what is said twice.
pub(crate) fn response(response: &mut ResponseHeader) -> Result<()> {
    let named = nominated(&response.headers);
    let upgrade = matches!(response.status, StatusCode::SWITCHING_PROTOCOLS | StatusCode::UPGRADE_REQUIRED);
    let unwanted = |name: &&HeaderName| {
        let name = *name;
        name == CONNECTION
            || name == TE
            || (name == UPGRADE && !upgrade)
            || HOP_BY_HOP.contains(&name.as_str())
            || forwarded::is_internal(name)
            || (named.contains(name) && !FRAMING.contains(&name.as_str()))
    };
    // Most responses have one or none of them.
    let unwanted: Vec<HeaderName> = response.headers.keys().filter(unwanted).cloned().collect();
    for name in unwanted {
        response.remove_header(&name);
    }
    one_coding(response)?;
    one_length(response)
}

/// The engine takes a response in any other coding for one that ends with its connection, and would pass the coding on.
fn one_coding(response: &ResponseHeader) -> Result<()> {
    let mut codings = response.headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Error::e_explain(ErrorType::InvalidHTTPHeader, "the only transfer coding is chunked"),
    }
}

/// The engine has seen to it that all lengths of a response are the same; the client is told it once (RFC 9110 section 8.6).
fn one_length(response: &mut ResponseHeader) -> Result<()> {
    let mut lengths = response.headers.get_all(CONTENT_LENGTH).iter();
    let (Some(first), second) = (lengths.next(), lengths.next()) else { return Ok(()) };
    let digits = first.as_bytes().split(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
    if second.is_none() && digits.len() == first.len() {
        return Ok(());
    }
    let one = HeaderValue::from_bytes(digits).or_err(ErrorType::InvalidHTTPHeader, "a length")?;
    response.insert_header(CONTENT_LENGTH, one)
}

/// Makes a response in chunks one that ends with its connection, for who knows of no chunks (RFC 9112 section 6.1). Whether it was one.
pub(crate) fn without_chunks(response: &mut ResponseHeader) -> bool {
    response.remove_header(&TRANSFER_ENCODING).is_some()
}

/// Puts on a response what the client is told.
pub(crate) fn tell(response: &mut ResponseHeader, ctx: &Ctx) -> Result<()> {
    response.insert_header(REQUEST_ID, ctx.request_id.clone())?;
    if let Some(cluster) = ctx.cluster().filter(|_| ctx.served_by)
        && let Ok(cluster) = HeaderValue::from_str(cluster.as_str())
    {
        response.insert_header(SERVED_BY, cluster)?;
    }
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        response.insert_header(CONNECTION, "Upgrade")?;
    }
    Ok(())
}

fn remove(request: &mut RequestHeader, unwanted: impl Fn(&HeaderName) -> bool) {
    let names: Vec<HeaderName> = request.headers.keys().filter(|name| unwanted(name)).cloned().collect();
    for name in names {
        request.remove_header(&name);
    }
}

/// The fields that `Connection` names.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let tokens = values.flat_map(|value| value.split(',')).map(str::trim).filter(|t| !t.eq_ignore_ascii_case("upgrade"));
    tokens.filter_map(|token| HeaderName::try_from(token).ok()).collect()
}

/// Ignores an `Upgrade` to anything but a WebSocket (RFC 9110 section 7.8 leaves that to the server), as if it had not come. To
/// HTTP/2 nobody upgrades any more (RFC 9113 section 3.1), and a backend that did would be out of the routes' reach from then on.
/// A WebSocket begins with a GET (RFC 6455 section 4.1) and has no body that could be taken for its first frames.
pub(crate) fn ignore_upgrades(request: &mut RequestHeader) {
    let headers = &request.headers;
    if !headers.contains_key(UPGRADE) {
        return;
    }
    let other = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"websocket");
    let body = headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|length| *length != "0");
    if request.method != Method::GET || body || headers.get_all(UPGRADE).iter().any(other) {
        request.remove_header(&UPGRADE);
        request.remove_header(HTTP2_SETTINGS);
    }
}

/// Whether a request begins a stream, on which silence means nothing: a WebSocket, gRPC, server-sent events.
pub(crate) fn is_stream(request: &RequestHeader) -> bool {
    let begins = |name: HeaderName, prefix: &str| {
        request
            .headers
            .get(name)
            .is_some_and(|v| v.as_bytes().get(..prefix.len()).is_some_and(|v| v.eq_ignore_ascii_case(prefix.as_bytes())))
    };
    request.headers.contains_key(UPGRADE)
        || begins(http::header::CONTENT_TYPE, "application/grpc")
        || begins(http::header::ACCEPT, "text/event-stream")
}

#[cfg(test)]
#[path = "headers/tests.rs"]
mod tests;
