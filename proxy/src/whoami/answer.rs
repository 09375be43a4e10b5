//! What whoami says: from a request's head to a response.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::{Options, Page};

/// Longest answer that may be asked for: whoever can reach this backend must not fill its memory.
const MAX_SIZE: usize = 64 << 20;
/// Longest delay that may be asked for.
const MAX_WAIT: Duration = Duration::from_mins(5);

pub(super) type Answer = Response<Full<Bytes>>;

/// What the query asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wishes {
    pub(super) wait: Duration,
    status: StatusCode,
    /// The body's length, instead of the facts.
    size: Option<usize>,
}

impl Wishes {
    /// Reads the query, or says what in it cannot be done.
    pub(super) fn read(head: &Parts) -> Result<Self, String> {
        let mut wishes = Self { wait: Duration::ZERO, status: StatusCode::OK, size: None };
        if head.uri.path() == "/healthz" {
            return Ok(wishes);
        }
        let query = head.uri.query().unwrap_or_default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let understood = match &*key {
                "wait" => duration(&value).map(|wait| wishes.wait = wait),
                // A final status: 1xx ones announce another response.
                "status" => {
                    value.parse().ok().filter(|status: &StatusCode| status.as_u16() >= 200).map(|status| wishes.status = status)
                }
                "size" => value.parse().ok().filter(|size| *size <= MAX_SIZE).map(|size| wishes.size = Some(size)),
                // Everything else is the caller's own affair: a query goes through a proxy unchanged, and shows here.
                _ => Some(()),
            };
            if understood.is_none() {
                let remedy = "write wait=250ms (at most 300s), status=503 (200 to 999), size=65536 (at most 67108864)";
                return Err(format!("cannot do {key}={value}: {remedy}\n"));
            }
        }
        Ok(wishes)
    }
}

/// `250ms` or `2s`.
fn duration(text: &str) -> Option<Duration> {
    let duration = match text.strip_suffix("ms") {
        Some(millis) => Duration::from_millis(millis.parse().ok()?),
        None => Duration::from_secs(text.strip_suffix('s')?.parse().ok()?),
    };
    (duration <= MAX_WAIT).then_some(duration)
}

/// Reads a body to its end, or as far as it comes, and tells its length.
pub(super) async fn drain(mut body: Incoming) -> u64 {
    let mut received = 0;
    while let Some(Ok(frame)) = body.frame().await {
        received += frame.data_ref().map_or(0, Bytes::len) as u64;
    }
    received
}

pub(super) fn answer(options: &Options, head: &Parts, remote: SocketAddr, received: u64, wishes: &Wishes) -> Answer {
    if head.uri.path() == "/healthz" {
        return text(StatusCode::OK, "ok\n");
    }
    if let Some(size) = wishes.size {
        let mut answer = Response::new(Full::new(vec![b'x'; size].into()));
        *answer.status_mut() = wishes.status;
        set_type(&mut answer, "application/octet-stream");
        return answer;
    }
    if wants_json(head) {
        let mut answer = Response::new(Full::new(format!("{:#}\n", facts(options, head, remote, received)).into()));
        *answer.status_mut() = wishes.status;
        set_type(&mut answer, "application/json");
        return answer;
    }
    if options.page == Page::Wordpress {
        let mut answer = Response::new(Full::new(wordpress(options).into()));
        *answer.status_mut() = wishes.status;
        set_type(&mut answer, "text/html; charset=utf-8");
        return answer;
    }
    text(wishes.status, lines(&facts(options, head, remote, received)))
}

pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    set_type(&mut answer, "text/plain; charset=utf-8");
    answer
}

fn set_type(answer: &mut Answer, media_type: &'static str) {
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
}

fn wants_json(head: &Parts) -> bool {
    let accepts = head.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepts
        .flat_map(|value| value.split(','))
        .any(|range| range.split(';').next().is_some_and(|t| t.trim() == "application/json"))
}

fn facts(options: &Options, head: &Parts, remote: SocketAddr, received: u64) -> Value {
    let mut headers = Map::new();
    for name in head.headers.keys() {
        let values = head.headers.get_all(name).iter();
        let values: Vec<_> = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
        headers.insert(name.to_string(), json!(values));
    }
    // HTTP/2 carries the host outside the header fields.
    let host = head.uri.authority().map(ToString::to_string);
    let host =
        host.or_else(|| head.headers.get(header::HOST).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()));
    json!({
        "cluster": options.cluster,
        "name": options.name,
        "hostname": options.hostname,
        "remote": remote,
        "protocol": format!("{:?}", head.version),
        "method": head.method.as_str(),
        "host": host,
        "path": head.uri.path(),
        "query": head.uri.query(),
        "bodyBytes": received,
        "headers": headers,
    })
}

/// The facts as `key: value` lines; those that are unknown are left out, and headers follow after an empty line.
fn lines(facts: &Value) -> String {
    let (mut plain, mut headers) = (String::new(), String::new());
    for (key, value) in facts.as_object().into_iter().flatten() {
        // Writing into a String cannot fail.
        let _ = match value {
            Value::Null => Ok(()),
            Value::String(text) => writeln!(plain, "{key}: {text}"),
            Value::Object(all) => all.iter().try_for_each(|(name, values)| {
                let values = values.as_array().into_iter().flatten().filter_map(Value::as_str);
                values.into_iter().try_for_each(|value| writeln!(headers, "{name}: {value}"))
            }),
            other => writeln!(plain, "{key}: {other}"),
        };
    }
    format!("{plain}\n{headers}")
}

fn wordpress(options: &Options) -> String {
    let cluster = escape(options.cluster.as_deref().unwrap_or("an unnamed cluster"));
    let name = escape(&options.name);
    format!(
        "<!doctype html>\n\
         <html lang=\"en\">\n\
         <head><meta charset=\"utf-8\"><meta name=\"generator\" content=\"WordPress (stand-in)\"><title>Just another site</title>\n\
         <style>body{{font:1.1rem/1.6 serif;max-width:40rem;margin:4rem auto;padding:0 1rem}}footer{{color:#555}}</style></head>\n\
         <body>\n\
         <h1>Just another site</h1>\n\
         <article><h2>Hello world!</h2>\n\
         <p>Welcome. This page stands in for a WordPress site that runs in several clouds at once.</p></article>\n\
         <footer>Served from <strong id=\"cluster\">{cluster}</strong> by <code>{name}</code></footer>\n\
         </body>\n\
         </html>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
