#![allow(clippy::unwrap_used)]
use std::net::IpAddr;

use causeway_core::Nanos;

use super::*;
use crate::forwarded::Client;

fn ctx(trusted: bool) -> Ctx {
    let mut ctx = Ctx::new(Nanos(0));
    let sender = IpAddr::from([192, 0, 2, 1]);
    ctx.client = Client { address: sender, sender, trusted };
    ctx.authority = HeaderValue::from_static("www.example.com");
    ctx.request_id = HeaderValue::from_static("id-1");
    ctx
}

fn get(target: &str, headers: &[(&'static str, &str)]) -> RequestHeader {
    let mut request = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
    for (name, value) in headers {
        request.append_header(*name, *value).unwrap();
    }
    request
}

fn ok(headers: &[(&'static str, &str)]) -> ResponseHeader {
    let mut response = ResponseHeader::build(200, None).unwrap();
    for (name, value) in headers {
        response.append_header(*name, *value).unwrap();
    }
    response
}

#[test]
fn a_client_cannot_speak_for_the_edge() {
    let spoofed = [
        ("x-forwarded-for", "1.1.1.1"),
        ("x_forwarded_for", "1.1.1.1"),
        ("x-forwarded-tls-client-cert", "me"),
        ("causeway-hop", "aws"),
        ("proxy", "evil.example:3128"),
        ("x-request-id", "mine"),
        ("accept", "text/html"),
    ];
    let mut sent = get("/", &spoofed);
    request(&mut sent, &ctx(false)).unwrap();
    assert_eq!(sent.headers["x-forwarded-for"], "192.0.2.1");
    assert_eq!(sent.headers["x-request-id"], "id-1");
    assert_eq!(sent.headers["accept"], "text/html");
    for gone in ["x_forwarded_for", "x-forwarded-tls-client-cert", "causeway-hop", "proxy"] {
        assert!(!sent.headers.contains_key(gone), "{gone}");
    }
}

#[test]
fn a_trusted_sender_cannot_speak_to_our_hops_either() {
    let mut sent = get("/", &[("x-forwarded-tls-client-cert", "theirs"), ("causeway-hop", "aws")]);
    request(&mut sent, &ctx(true)).unwrap();
    assert_eq!(sent.headers["x-forwarded-tls-client-cert"], "theirs");
    assert!(!sent.headers.contains_key("causeway-hop"));
}

#[test]
fn servers_get_the_origin_form() {
    for (target, expected) in [("http://www.example.com/a?b", "/a?b"), ("http://www.example.com", "/"), ("/a", "/a"), ("*", "*")]
    {
        let mut sent = get(target, &[]);
        request(&mut sent, &ctx(false)).unwrap();
        assert_eq!(String::from_utf8_lossy(sent.raw_path()), expected, "{target}");
    }
}

#[test]
fn a_response_keeps_nothing_that_was_meant_for_the_hop_behind_us() {
    let mut came = ok(&[
        ("connection", "keep-alive, X-Secret, content-length"),
        ("keep-alive", "timeout=5"),
        ("x-secret", "1"),
        ("upgrade", "h2,h2c"),
        ("content-length", "3"),
        ("causeway-served-by", "somebody else"),
        ("x-kept", "1"),
    ]);
    response(&mut came).unwrap();
    let mut left: Vec<&str> = came.headers.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["content-length", "x-kept"]);
}

#[test]
fn a_switch_of_protocols_keeps_its_upgrade() {
    let mut came = ok(&[("connection", "Upgrade"), ("upgrade", "websocket")]);
    came.set_status(101).unwrap();
    response(&mut came).unwrap();
    tell(&mut came, &ctx(false)).unwrap();
    assert_eq!(came.headers["upgrade"], "websocket");
    assert_eq!(came.headers["connection"], "Upgrade");
}

#[test]
fn streams_are_known_by_their_headers() {
    assert!(is_stream(&get("/", &[("content-type", "application/grpc+proto")])));
    assert!(is_stream(&get("/", &[("accept", "text/event-stream")])));
    assert!(is_stream(&get("/", &[("upgrade", "websocket")])));
    assert!(!is_stream(&get("/", &[("accept", "text/html"), ("content-type", "application/json")])));
}

#[test]
fn a_length_is_said_once() {
    for (lengths, expected) in [(&["5"][..], "5"), (&["5", "5"], "5"), (&["5, 5"], "5"), (&["5 , 5", "5"], "5")] {
        let mut came = ResponseHeader::build(200, None).unwrap();
        for length in lengths {
            came.append_header("content-length", *length).unwrap();
        }
        response(&mut came).unwrap();
        let said: Vec<_> = came.headers.get_all("content-length").iter().collect();
        assert_eq!(said, [expected], "{lengths:?}");
    }
}
