//! Headers on their way through: what is taken off, what is put on.
//!
//! `Server` and `Via` are left alone: the backend's own `Server` passes, and `Via` is optional for a gateway (RFC 9110
//! section 7.6.3) and would only tell the world what is used here.

use http::header::{CONNECTION, HeaderName, HeaderValue, TE, UPGRADE};
use http::{HeaderMap, StatusCode, Uri};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use crate::ctx::Ctx;
use crate::forwarded::{self, X_REQUEST_ID};

/// Tells which cluster served a response.
const SERVED_BY: HeaderName = HeaderName::from_static("causeway-served-by");

/// Fields about this hop only that the engine passes on in responses (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [&str; 3] = ["keep-alive", "proxy-connection", "proxy-authenticate"];

/// Fields that frame the message: taking them off because `Connection` names them would change where it ends.
const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];

/// Makes a client's request one of ours. Hop-by-hop fields are gone already: the engine takes them off, together with
/// those that `Connection` names, and keeps a WebSocket's `Upgrade`.
pub(crate) fn request(request: &mut RequestHeader, ctx: &Ctx) -> Result<()> {
    // Taken before anything is removed: a trusted sender's chain is continued.
    let ours = forwarded::headers(&ctx.client, &ctx.authority, &request.headers);
    remove(request, |name| forwarded::is_internal(name) || forwarded::is_ours(name) && !ctx.client.trusted);
    for (name, value) in ours {
        request.insert_header(name, value)?;
    }
    request.insert_header(X_REQUEST_ID, ctx.request_id.clone())?;
    origin_form(request);
    Ok(())
}

/// A target in absolute form is for proxies (RFC 9112 section 3.2.2); servers get path and query.
fn origin_form(request: &mut RequestHeader) {
    if request.version == http::Version::HTTP_2 || request.raw_path().starts_with(b"/") || request.raw_path() == b"*" {
        return;
    }
    let path = request.uri.path_and_query().cloned().unwrap_or(http::uri::PathAndQuery::from_static("/"));
    request.set_uri(Uri::from(path));
}

/// Takes off a response what was meant for the hop behind us (RFC 9110 section 7.6.1), and what only we may say.
pub(crate) fn response(response: &mut ResponseHeader) {
    let named = nominated(&response.headers);
    for name in named.iter().map(HeaderName::as_str).chain(HOP_BY_HOP) {
        if !FRAMING.contains(&name) {
            response.remove_header(name);
        }
    }
    response.remove_header(&TE);
    response.remove_header(&CONNECTION);
    if !matches!(response.status, StatusCode::SWITCHING_PROTOCOLS | StatusCode::UPGRADE_REQUIRED) {
        response.remove_header(&UPGRADE);
    }
    let internal: Vec<HeaderName> = response.headers.keys().filter(|name| forwarded::is_internal(name)).cloned().collect();
    for name in internal {
        response.remove_header(&name);
    }
}

/// Puts on a response what the client is told.
pub(crate) fn tell(response: &mut ResponseHeader, ctx: &Ctx) -> Result<()> {
    response.insert_header(X_REQUEST_ID, ctx.request_id.clone())?;
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
