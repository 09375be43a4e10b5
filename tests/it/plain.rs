//! The listener without TLS: it redirects, or it serves, over HTTP/1.1 and over HTTP/2 with prior knowledge.

use std::time::Duration;

use bytes::Bytes;
use causeway_config::{
    ClientCa, ClientCertificates, HostPolicy, Limits, Plain, PlainMode, ProxyProtocol, ProxyProtocolMode, TlsVersion,
};
use causeway_tests::raw_h2::{self, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS};
use causeway_tests::{Answer, Edge, Origin, World, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const WWW: &str = "www.example.com";
const BANK: &str = "bank.example.com";
const SHORT: Duration = Duration::from_millis(300);

fn world(origin: &Origin, h2c: bool) -> World {
    World::new().serve(WWW, &[origin.address]).with(|config| config.listen.plain = Plain { mode: PlainMode::Proxy, h2c })
}

async fn start(h2c: bool, change: impl FnOnce(&mut Limits)) -> (Origin, Edge) {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&world(&origin, h2c).with(|config| change(&mut config.limits)), &[&[WWW]]);
    (origin, edge)
}

async fn connect(edge: &Edge, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = TcpStream::connect(edge.http).await.unwrap();
    stream.write_all(bytes.as_ref()).await.unwrap();
    stream
}

/// What an edge answers until it ends the connection.
async fn exchange(edge: &Edge, bytes: impl AsRef<[u8]>) -> String {
    let mut answer = Vec::new();
    let _ = soon("the end of the connection", connect(edge, bytes).await.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn prior_knowledge(stream: TcpStream) -> h2::client::SendRequest<Bytes> {
    let (send, connection) = soon("the preface", h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    soon("the preface", send.ready()).await.unwrap()
}

async fn get(send: &mut h2::client::SendRequest<Bytes>, host: &str) -> http::Response<h2::RecvStream> {
    let request = http::Request::get(format!("http://{host}/x")).body(()).unwrap();
    soon("a response", send.send_request(request, true).unwrap().0).await.unwrap()
}

#[tokio::test]
async fn a_client_with_prior_knowledge_and_one_without_are_served_on_one_port() {
    let (origin, edge) = start(true, |_| {}).await;
    let mut send = prior_knowledge(TcpStream::connect(edge.http).await.unwrap()).await;
    for _ in 0..2 {
        let response = get(&mut send, WWW).await;
        assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));
    }
    let answer = exchange(&edge, format!("GET /x HTTP/1.1\r\nHost: {WWW}\r\nConnection: close\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(origin.requests().len(), 3);
    for request in origin.requests() {
        assert_eq!((request.field("x-forwarded-proto"), request.field("x-forwarded-port")), (Some("http"), Some("80")));
        assert!(request.field("forwarded").unwrap().ends_with("proto=http"), "{}", request.head);
    }
}

#[tokio::test]
async fn where_it_is_not_configured_a_preface_is_no_request() {
    for plain in [Plain::default(), Plain { mode: PlainMode::Proxy, h2c: false }] {
        let origin = Origin::named("hello").await;
        let edge = Edge::start(&world(&origin, false).with(|config| config.listen.plain = plain), &[&[WWW]]);
        let answer = exchange(&edge, [PREFACE, &raw_h2::frame(SETTINGS, 0, 0, &[])].concat()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(origin.requests().is_empty());
    }
}

/// RFC 9113 section 3.1: the upgrade to h2c is obsolete. It is passed over, here and on the way to the backend.
#[tokio::test]
async fn an_upgrade_to_h2c_is_ignored() {
    let (origin, edge) = start(true, |_| {}).await;
    let upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n";
    let request = format!("GET /x HTTP/1.1\r\nHost: {WWW}\r\n{upgrade}\r\n");
    let mut stream = connect(&edge, &request).await;
    let mut head = vec![0; 12];
    soon("an answer", stream.read_exact(&mut head)).await.unwrap();
    assert_eq!(head, b"HTTP/1.1 200");
    // The connection goes on as what it was: another request is one, and a preface is none.
    stream.write_all(&[request.as_bytes(), PREFACE].concat()).await.unwrap();
    let mut rest = Vec::new();
    let _ = soon("the end of the connection", stream.read_to_end(&mut rest)).await;
    assert!(!String::from_utf8_lossy(&rest).contains(" 101 "));
    for request in origin.requests() {
        assert_eq!(request.line(), "GET /x");
        for field in ["upgrade", "http2-settings"] {
            assert_eq!(request.field(field), None, "{}", request.head);
        }
    }
}

/// What is no upgrade is not waited for as long as one.
#[tokio::test]
async fn a_request_that_would_rather_upgrade_has_the_time_of_any_other() {
    let origin = Origin::start(|_| Answer::Silence).await;
    let edge = Edge::start(&world(&origin, false).with(|config| config.upstream.response_timeout = Some(SHORT)), &[&[WWW]]);
    let answer = exchange(&edge, format!("GET / HTTP/1.1\r\nHost: {WWW}\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
}

#[tokio::test]
async fn hosts_that_need_tls_are_sent_to_it() {
    let origin = Origin::named("hello").await;
    let policies = [
        HostPolicy { allow: Some(vec!["aws".parse().unwrap()]), ..HostPolicy::default() },
        HostPolicy { min_tls: Some(TlsVersion::V1_3), ..HostPolicy::default() },
        HostPolicy {
            client_certificates: Some(ClientCertificates { ca: ClientCa::File("ca.crt".into()), optional: true }),
            ..HostPolicy::default()
        },
    ];
    for policy in policies {
        let world = world(&origin, true).serve(BANK, &[origin.address]);
        let world = world.with(|config| drop(config.hosts.insert(BANK.parse().unwrap(), policy)));
        let edge = Edge::start(&world, &[&[WWW, BANK]]);
        let mut send = prior_knowledge(TcpStream::connect(edge.http).await.unwrap()).await;
        let response = get(&mut send, BANK).await;
        assert_eq!(response.status(), 308);
        let location = response.headers()["location"].to_str().unwrap();
        assert!(location.starts_with("https://bank.example.com") && location.ends_with("/x"), "{location}");
        assert_eq!(get(&mut send, WWW).await.status(), 200);
    }
    assert!(origin.requests().iter().all(|request| request.field("host") == Some(WWW)));
}

#[tokio::test]
async fn prefaces_that_do_not_end_and_connections_without_requests_are_ended() {
    let (_origin, edge) = start(true, |limits| {
        limits.http2.preface_timeout = SHORT;
        limits.http2.idle_timeout = SHORT * 2;
        limits.idle_timeout = SHORT;
    })
    .await;
    assert!(exchange(&edge, &PREFACE[..20]).await.is_empty());
    assert_eq!(edge.refused("slow_header"), 1);
    let mut without_settings = connect(&edge, PREFACE).await;
    raw_h2::frames_of(&mut without_settings, |_| false).await;
    assert_eq!(edge.refused("slow_header"), 2);
    let mut idle = connect(&edge, [PREFACE, &raw_h2::frame(SETTINGS, 0, 0, &[])].concat()).await;
    raw_h2::frames_of(&mut idle, |_| false).await;
    assert!(exchange(&edge, "").await.is_empty());
    assert_eq!(edge.refused("slow_header"), 2);
}

#[tokio::test]
async fn the_limits_of_http2_hold_without_tls_too() {
    let (_origin, edge) = start(true, |limits| {
        limits.http2.streams = 7;
        limits.request_header = 5000;
    })
    .await;
    let mut client = connect(&edge, [PREFACE, &raw_h2::frame(SETTINGS, 0, 0, &[])].concat()).await;
    let settings = raw_h2::frames_of(&mut client, |frame| frame.kind == SETTINGS).await.pop().unwrap();
    // RFC 9113 section 6.5.2: 3 is SETTINGS_MAX_CONCURRENT_STREAMS, 4 SETTINGS_INITIAL_WINDOW_SIZE (its default is too little for
    // uploads from afar), 6 SETTINGS_MAX_HEADER_LIST_SIZE.
    for (setting, value) in [(3, 7_u32), (4, 1 << 20), (6, 5000)] {
        let said = settings.payload.chunks(6).find(|entry| entry[..2] == [0, setting]).unwrap();
        assert_eq!(said[2..], value.to_be_bytes(), "setting {setting}");
    }
    let flood = raw_h2::frame(PING, 0, 0, &[0; 8]).repeat(3000);
    let _ = soon("writing", client.write_all(&flood)).await;
    raw_h2::frames_of(&mut client, |_| false).await;
    assert_eq!(edge.refused("http2_flood"), 1);
}

#[tokio::test]
async fn what_http2_forbids_reaches_nobody_without_tls_either() {
    let (origin, edge) = start(true, |_| {}).await;
    let plain = [(":method", "POST"), (":scheme", "http"), (":authority", WWW), (":path", "/plain")];
    let outcome = async |more: &[(&'static str, &'static str)]| {
        let mut bytes = [PREFACE, &raw_h2::frame(SETTINGS, 0, 0, &[])].concat();
        bytes.extend(raw_h2::frame(HEADERS, END_HEADERS, 1, &raw_h2::fields(&[plain.as_slice(), more].concat())));
        bytes.extend(raw_h2::frame(DATA, END_STREAM, 1, b"GET /smuggled HTTP/1.1\r\n\r\n"));
        let mut client = connect(&edge, bytes).await;
        let decided = |frame: &Frame| frame.kind == GOAWAY || (frame.stream == 1 && matches!(frame.kind, HEADERS | RST_STREAM));
        let last = raw_h2::frames_of(&mut client, decided).await.pop().unwrap();
        // RFC 7541 appendix A: 8 is `:status: 200`, 12 `:status: 400`.
        (last.kind, last.payload.first().copied().filter(|_| last.kind == HEADERS))
    };
    for more in [
        &[("transfer-encoding", "chunked")][..],
        &[("connection", "keep-alive")],
        &[("upgrade", "h2c")],
        &[("content-length", "5"), ("content-length", "26")],
        &[("host", "other.example")],
        &[("x", "y\r\ntransfer-encoding: chunked")],
    ] {
        let (kind, status) = outcome(more).await;
        assert!(kind != HEADERS || status == Some(0x8c), "{more:?}: {kind} {status:?}");
    }
    assert!(origin.requests().is_empty(), "{:?}", origin.requests());
    assert_eq!(outcome(&[]).await, (HEADERS, Some(0x88)));
}

#[tokio::test]
async fn a_preface_may_come_behind_a_proxy_header() {
    let origin = Origin::named("hello").await;
    let world = world(&origin, true).with(|config| {
        let from = vec!["127.0.0.0/8".parse().unwrap()];
        let http = config.listen.http.as_mut().unwrap();
        http.proxy_protocol = ProxyProtocol { mode: ProxyProtocolMode::Required, from };
    });
    let edge = Edge::start(&world, &[&[WWW]]);
    let stream = connect(&edge, "PROXY TCP4 192.0.2.7 203.0.113.1 5000 80\r\n").await;
    let mut send = prior_knowledge(stream).await;
    assert_eq!(get(&mut send, WWW).await.status(), 200);
    assert_eq!(origin.requests()[0].field("x-real-ip"), Some("192.0.2.7"));
}

#[tokio::test]
async fn who_may_name_the_client_is_the_plain_listeners_own_to_say() {
    let origin = Origin::named("hello").await;
    let believe = |http: &[&str], https: &[&str]| {
        let list = |list: &[&str]| list.iter().map(|net| net.parse().unwrap()).collect();
        let (http, https) = (list(http), list(https));
        world(&origin, false).with(|config| {
            config.listen.http.as_mut().unwrap().forwarded_for = http;
            config.listen.https.forwarded_for = https;
        })
    };
    let request = format!("GET / HTTP/1.1\r\nHost: {WWW}\r\nX-Forwarded-For: 192.0.2.7\r\nConnection: close\r\n\r\n");
    exchange(&Edge::start(&believe(&["127.0.0.0/8"], &[]), &[&[WWW]]), &request).await;
    exchange(&Edge::start(&believe(&[], &["127.0.0.0/8"]), &[&[WWW]]), &request).await;
    let clients: Vec<_> = origin.requests().iter().map(|request| request.field("x-real-ip").unwrap().to_owned()).collect();
    assert_eq!(clients, ["192.0.2.7", "127.0.0.1"]);
}
