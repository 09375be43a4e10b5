#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::query::QueryError;
use super::*;
use crate::metrics::Listener;
use crate::ops_http::OpsServer;
use crate::ops_http::tests::{get, raw, start};

struct Source;

impl AdminSource for Source {
    fn metrics(&self) -> String {
        "# EOF\n".into()
    }
    fn explain(&self, query: &ExplainQuery) -> Value {
        json!({"url": query.url.to_string(), "client": query.client})
    }
    fn routes(&self) -> Value {
        json!("routes")
    }
    fn snapshot(&self) -> Value {
        json!("snapshot")
    }
    fn diagnostics(&self) -> Value {
        json!([])
    }
    fn config(&self) -> Value {
        json!("config")
    }
}

fn admin() -> OpsServer {
    start(Listener::Admin, Admin::new(Arc::new(Source)))
}

fn status_with_host(server: &OpsServer, host: &str) -> String {
    raw(server.addresses()[0], &format!("GET / HTTP/1.1\r\n{host}"))[9..12].to_owned()
}

#[test]
fn every_path_of_the_index_is_served_in_its_media_type() {
    let server = admin();
    let address = server.addresses()[0];
    for path in INDEX.lines().filter_map(|line| line.split_once(' ')).map(|(path, _)| path).filter(|path| path.starts_with('/')) {
        let query = if path == "/explain" { "?url=http://a/" } else { "" };
        let answer = raw(address, &format!("GET {path}{query} HTTP/1.1\r\nHost: localhost\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        let media_type = if path == "/metrics" { metrics::CONTENT_TYPE } else { "application/json" };
        assert!(answer.contains(&format!("content-type: {media_type}\r\n")), "{path}: {answer}");
    }
    assert_eq!(get(address, "/").1, INDEX);
    assert_eq!(get(address, "/debug").0, 404);
}

#[test]
fn explain_hands_on_the_decoded_query_and_refuses_a_bad_one() {
    let server = admin();
    let address = server.addresses()[0];
    let (status, body) = get(address, "/explain?url=https%3A%2F%2Fshop.example.com%2Fcart%3Fa%3D1%26b&client=2001:db8::1");
    let expected = json!({"url": "https://shop.example.com/cart?a=1&b", "client": "2001:db8::1"});
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (200, expected));
    let (status, body) = get(address, "/explain?client=x");
    assert_eq!((status, &*body), (400, "`client` is not an IP address: x\n"));
}

#[test]
fn a_bad_query_names_its_parameter() {
    let error = |query| ExplainQuery::parse(query).unwrap_err();
    assert_eq!(error(""), QueryError::NoUrl);
    assert_eq!(error("client=192.0.2.1"), QueryError::NoUrl);
    assert_eq!(error("url=/relative"), QueryError::Url("/relative".into()));
    assert_eq!(error("url=ftp://a/"), QueryError::Url("ftp://a/".into()));
    assert_eq!(error("url=http://a/&b=1"), QueryError::Unknown("b".into()));
    assert_eq!(error("url=http://a/&client=%1b[2J"), QueryError::Client("\\u{1b}[2J".into()));
}

#[test]
fn on_loopback_a_name_that_can_be_rebound_is_refused() {
    let server = admin();
    for host in ["localhost", "LOCALHOST:9900", "127.0.0.1", "127.0.0.1:9900", "[::1]:9900", "192.0.2.1"] {
        assert_eq!(status_with_host(&server, &format!("Host: {host}\r\n")), "200", "{host}");
    }
    for host in ["evil.example.com", "localhost.evil.example.com", "127.0.0.1.nip.io:9900", "a@localhost.b", "", "x y"] {
        assert_eq!(status_with_host(&server, &format!("Host: {host}\r\n")), "403", "{host}");
    }
    assert_eq!(status_with_host(&server, ""), "200", "curl -H 'Host:' is no browser");
    let absolute = raw(server.addresses()[0], "GET http://evil.example.com/ HTTP/1.1\r\nHost: localhost\r\n");
    assert!(absolute.starts_with("HTTP/1.1 403"), "{absolute}");
}

#[test]
fn off_loopback_any_host_passes() {
    let (request, ()) = http::Request::get("/").header("host", "edge.example.com").body(()).unwrap().into_parts();
    assert_eq!(host::check(&request, "192.0.2.1".parse().unwrap()), Ok(()));
    assert!(host::check(&request, "::ffff:127.0.0.1".parse().unwrap()).is_err());
}
