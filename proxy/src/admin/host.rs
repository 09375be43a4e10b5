//! DNS rebinding: a web page that an operator has open lets its own name resolve to 127.0.0.1, and then reads this port
//! as its own origin. What gives it away is the Host header, which carries the page's name.

use std::net::IpAddr;

use http::header;
use http::request::Parts;
use http::uri::Authority;

/// On a loopback address only Hosts that cannot be rebound pass: IP addresses and `localhost` (RFC 6761 section 6.3).
/// Elsewhere any does: there the port is reached by names on purpose. A request without Host comes from no browser.
pub(super) fn check(request: &Parts, local: IpAddr) -> Result<(), String> {
    if !local.to_canonical().is_loopback() {
        return Ok(());
    }
    let hosts = request.headers.get_all(header::HOST).iter().map(|value| value.to_str().unwrap_or_default());
    let refused = hosts.chain(request.uri.authority().map(Authority::as_str)).find(|host| !unrebindable(host));
    match refused {
        None => Ok(()),
        Some(host) => {
            let host: String = host.chars().take(100).collect();
            Err(format!("Host `{}` is refused on loopback; use localhost or the IP address\n", host.escape_default()))
        }
    }
}

fn unrebindable(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host();
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}
