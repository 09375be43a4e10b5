//! Who the client is, and how backends are told.
//!
//! Pure: addresses and headers in, an address and headers out. The rule (docs/security.md): the client is the other end of
//! the connection, or whom its PROXY protocol header names; only where *that* address is in the listener's `forwardedFor`
//! is X-Forwarded-For believed, from the right, up to the first address that is not in the list. What comes from anybody
//! else is replaced, so that a backend can believe what it reads.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
/// Who the client proved to be by its certificate, in Envoy's form.
pub const X_FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
/// Identifies a request in every log that it passes.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The client of a request, and whether the one who sent it to us may speak for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The client's address.
    pub address: IpAddr,
    /// The nearest address before us: the other end of the connection, or whom PROXY protocol names.
    pub sender: IpAddr,
    /// Whether `sender` is in `forwardedFor`.
    pub trusted: bool,
}

/// How a client came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// By TLS.
    Https,
}

/// Finds the client. `sender` is the other end of the connection or whom its PROXY protocol header names.
pub fn client(sender: IpAddr, headers: &HeaderMap, forwarded_for: &[IpNet]) -> Client {
    let listed = |address: IpAddr| forwarded_for.iter().any(|net| net.contains(&address));
    let sender = sender.to_canonical();
    let trusted = listed(sender);
    let mut address = sender;
    if trusted {
        for entry in entries(headers).into_iter().rev() {
            // What is no address ends the chain: nobody vouches for what stands left of it.
            let Some(named) = entry else { break };
            address = named;
            if !listed(named) {
                break;
            }
        }
    }
    Client { address, sender, trusted }
}

/// The addresses of X-Forwarded-For, left to right; `None` for what is no address.
///
/// Each entry by itself, whatever octets are in the others: what a client writes must not hide what a balancer adds.
fn entries(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let values = headers.get_all(X_FORWARDED_FOR).iter();
    let entries = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    entries.map(|entry| address(std::str::from_utf8(entry).ok()?.trim())).collect()
}

/// An address as proxies write it: bare, with a port (Azure's gateways do), or an IPv6 one in brackets.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let address = bare.parse().or_else(|_| entry.parse::<SocketAddr>().map(|a| a.ip()));
    address.ok().map(|a: IpAddr| a.to_canonical())
}

/// The headers that tell a backend of the client; they replace whatever stands under their names.
///
/// `authority` is the request's, as it came (`www.example.com:8443`). A trusted sender's chain is continued and what it
/// says of scheme, host and port is kept, since it may have ended the client's TLS itself.
pub fn headers(
    client: &Client,
    scheme: Scheme,
    authority: &HeaderValue,
    incoming: &HeaderMap,
) -> [(&'static str, HeaderValue); 6] {
    let kept = |name: &HeaderName| if client.trusted { incoming.get(name).cloned() } else { None };
    let (spoken, usual) = match scheme {
        Scheme::Http => ("http", "80"),
        Scheme::Https => ("https", "443"),
    };
    let proto = kept(&X_FORWARDED_PROTO).unwrap_or(HeaderValue::from_static(spoken));
    let host = kept(&X_FORWARDED_HOST).unwrap_or_else(|| authority.clone());
    let port = kept(&X_FORWARDED_PORT).unwrap_or_else(|| port_of(authority, usual));
    let forwarded = forwarded(client, &proto, &host, incoming);
    let real = ascii(client.address.to_string());
    // Who is not trusted speaks for itself alone.
    let chain = if client.trusted { chain(client, incoming) } else { real.clone() };
    // As texts, since the engine makes a name of a text without asking the heap twice.
    [
        ("x-forwarded-for", chain),
        ("x-forwarded-proto", proto),
        ("x-forwarded-host", host),
        ("x-forwarded-port", port),
        ("x-real-ip", real),
        ("forwarded", forwarded),
    ]
}

/// Whether a request header of this name is for us to say and must not come from an untrusted client.
///
/// Names are compared as CGI-like backends see them, to whom `_` and `-` are one.
pub fn is_ours(name: &HeaderName) -> bool {
    let name = name.as_str();
    let begins = |prefix: &str| {
        name.len() >= prefix.len() && name.bytes().zip(prefix.bytes()).all(|(a, b)| a == b || (a == b'_' && b == b'-'))
    };
    begins("x-forwarded-") || (begins("x-real-ip") && name.len() == 9) || name == "forwarded"
}

/// Whether a request header of this name means something to our own hops only, whoever sent it.
pub fn is_internal(name: &HeaderName) -> bool {
    name.as_str().starts_with("causeway-") || name.as_str().starts_with("causeway_")
}

/// Whether a request header of this name speaks of a client's certificate, as one proxy or another names it: only who ended the
/// client's TLS knows of it.
pub fn is_client_certificate(name: &HeaderName) -> bool {
    const PREFIXES: [&str; 8] = [
        "x-forwarded-client-cert",
        "x-forwarded-tls-client-cert",
        "client-cert",
        "x-client-cert",
        "ssl-client-",
        "x-ssl-client-",
        "x-tls-client-",
        "x-ssl-cert",
    ];
    let begins = |prefix: &&str| {
        let name = name.as_str();
        name.len() >= prefix.len() && name.bytes().zip(prefix.bytes()).all(|(a, b)| a == b || (a == b'_' && b == b'-'))
    };
    PREFIXES.iter().any(begins)
}

/// The request's id: a trusted sender's own, if it is plain, so that one id runs through all logs; else `fresh`, as hex.
pub fn request_id(client: &Client, incoming: &HeaderMap, fresh: u128) -> HeaderValue {
    let plain = |id: &[u8]| (1..=128).contains(&id.len()) && id.iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b));
    match incoming.get(X_REQUEST_ID) {
        Some(id) if client.trusted && plain(id.as_bytes()) => id.clone(),
        _ => ascii(format!("{fresh:032x}")),
    }
}

/// A trusted sender's chain, continued by the sender.
fn chain(client: &Client, incoming: &HeaderMap) -> HeaderValue {
    let sender = client.sender.to_string();
    appended(incoming, &X_FORWARDED_FOR, &sender).unwrap_or_else(|| ascii(sender))
}

/// RFC 7239. Where a trusted sender gave X-Forwarded-For alone, its chain is translated (section 7.4).
fn forwarded(client: &Client, proto: &HeaderValue, host: &HeaderValue, incoming: &HeaderMap) -> HeaderValue {
    let mut ours = String::with_capacity(64 + host.len());
    ours.push_str("for=");
    node(&mut ours, Some(client.sender));
    ours.push_str(";host=\"");
    plain(&mut ours, host);
    ours.push_str("\";proto=");
    plain(&mut ours, proto);
    if !client.trusted {
        return ascii(ours);
    }
    appended(incoming, &FORWARDED, &ours).unwrap_or_else(|| {
        let mut all = String::new();
        for entry in entries(incoming) {
            all.push_str("for=");
            node(&mut all, entry);
            all.push_str(", ");
        }
        ascii(all + &ours)
    })
}

/// A value as it may stand within quotes.
fn plain(text: &mut String, value: &HeaderValue) {
    text.extend(value.to_str().unwrap_or_default().split(['"', '\\']));
}

/// A node of RFC 7239 section 6: IPv6 in brackets, and so in quotes.
fn node(text: &mut String, address: Option<IpAddr>) {
    // A text takes whatever is written to it.
    let _ = match address {
        Some(IpAddr::V4(a)) => write!(text, "{a}"),
        Some(IpAddr::V6(a)) => write!(text, "\"[{a}]\""),
        None => write!(text, "unknown"),
    };
}

fn appended(incoming: &HeaderMap, name: &HeaderName, last: &str) -> Option<HeaderValue> {
    let mut bytes = Vec::new();
    for value in incoming.get_all(name) {
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b", ");
    }
    if bytes.is_empty() {
        return None;
    }
    bytes.extend_from_slice(last.as_bytes());
    HeaderValue::from_maybe_shared(bytes::Bytes::from(bytes)).ok()
}

/// The port that the client called: the authority's, else the scheme's usual one.
fn port_of(authority: &HeaderValue, usual: &'static str) -> HeaderValue {
    let port = authority.to_str().ok().and_then(|a| a.rsplit_once(':')).and_then(|(_, port)| port.parse::<u16>().ok());
    port.map_or(HeaderValue::from_static(usual), HeaderValue::from)
}

fn ascii(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("unknown"))
}

#[cfg(test)]
#[path = "forwarded/tests.rs"]
mod tests;
