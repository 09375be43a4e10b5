//! Before the first request: redirects, PROXY protocol, TLS that ends elsewhere.

use causeway_config::{HostPolicy, ProxyProtocol, ProxyProtocolMode, Terminate};
use causeway_tests::{Client, Edge, Origin, World, client, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const WWW: &str = "www.example.com";

async fn plain(edge: &Edge, request: &str) -> String {
    let mut stream = TcpStream::connect(edge.http).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn plain_http_is_sent_to_https_with_path_and_query() {
    let origin = Origin::named("hello").await;
    let edge = Edge::start(&World::new().serve(WWW, &[origin.address]), &[&[WWW]]);
    let request = format!("POST /a/b?c=d HTTP/1.1\r\nHost: {WWW}:80\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let answer = plain(&edge, &request).await;
    assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
    let location = format!("location: https://{WWW}:{}/a/b?c=d\r\n", edge.https.port());
    assert!(answer.to_ascii_lowercase().contains(&location), "{answer}");
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn plain_http_without_a_host_is_400() {
    let edge = Edge::start(&World::new(), &[&[WWW]]);
    for request in ["GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "GET / HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n"] {
        let answer = plain(&edge, request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
}

#[tokio::test]
async fn nonsense_on_the_plain_port_is_400() {
    let edge = Edge::start(&World::new(), &[&[WWW]]);
    assert!(plain(&edge, "\u{1}\u{2}\u{3}\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
}

fn behind_a_balancer(world: World, mode: ProxyProtocolMode, from: &str) -> World {
    let from = vec![from.parse().unwrap()];
    world.with(|config| config.listen.https.proxy_protocol = ProxyProtocol { mode, from })
}

async fn with_header(edge: &Edge, header: &[u8]) -> std::io::Result<Client> {
    let mut stream = TcpStream::connect(edge.https).await?;
    stream.write_all(header).await?;
    Client::over(stream, Some(WWW), "http/1.1").await
}

const V1: &[u8] = b"PROXY TCP4 203.0.113.5 198.51.100.1 4711 443\r\n";

#[tokio::test]
async fn the_balancers_word_names_the_client() {
    let origin = Origin::named("hello").await;
    let world = behind_a_balancer(World::new().serve(WWW, &[origin.address]), ProxyProtocolMode::Required, "127.0.0.0/8");
    let edge = Edge::start(&world, &[&[WWW]]);
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend([203, 0, 113, 5, 198, 51, 100, 1, 0x12, 0x67, 1, 0xbb]);
    for header in [V1, &v2] {
        let response = with_header(&edge, header).await.unwrap().get(WWW, "/").await;
        assert_eq!(response.status(), 200);
    }
    for request in origin.requests() {
        assert_eq!(request.field("x-forwarded-for"), Some("203.0.113.5"));
    }
}

#[tokio::test]
async fn where_a_header_is_required_nobody_comes_in_without() {
    let world = behind_a_balancer(World::new(), ProxyProtocolMode::Required, "127.0.0.0/8");
    let edge = Edge::start(&world, &[&[WWW]]);
    assert!(Client::try_connect(edge.https, Some(WWW), "http/1.1").await.is_err());
    assert_eq!(edge.metric("causeway_refusals_total{reason=\"proxy_protocol\"}").as_deref(), Some("1"));
}

#[tokio::test]
async fn where_a_header_is_required_no_stranger_may_send_one() {
    let edge = Edge::start(&behind_a_balancer(World::new(), ProxyProtocolMode::Required, "10.0.0.0/8"), &[&[WWW]]);
    assert!(with_header(&edge, V1).await.is_err());
}

#[tokio::test]
async fn where_a_header_is_optional_both_come_in_and_strangers_headers_are_not_read() {
    let origin = Origin::named("hello").await;
    let world = World::new().serve(WWW, &[origin.address]);
    let edge = Edge::start(&behind_a_balancer(world.clone(), ProxyProtocolMode::Optional, "127.0.0.0/8"), &[&[WWW]]);
    assert_eq!(with_header(&edge, V1).await.unwrap().get(WWW, "/").await.status(), 200);
    assert_eq!(Client::h1(edge.https, WWW).await.get(WWW, "/").await.status(), 200);
    let clients: Vec<_> = origin.requests().iter().map(|r| r.field("x-real-ip").unwrap().to_owned()).collect();
    assert_eq!(clients, ["203.0.113.5", "127.0.0.1"]);
    let edge = Edge::start(&behind_a_balancer(world, ProxyProtocolMode::Optional, "10.0.0.0/8"), &[&[WWW]]);
    assert!(with_header(&edge, V1).await.is_err());
    assert_eq!(Client::h1(edge.https, WWW).await.get(WWW, "/").await.status(), 200);
}

#[tokio::test]
async fn each_name_gets_its_certificate_and_strangers_the_default_one() {
    let edge = Edge::start(&World::new(), &[&[WWW], &["*.other.example"]]);
    let mut shown = Vec::new();
    for sni in [Some(WWW), Some("a.other.example"), Some("unknown.example"), None] {
        shown.push(Client::try_connect(edge.https, sni, "http/1.1").await.unwrap().certificate());
    }
    assert_ne!(shown[0], shown[1]);
    assert!(!shown[..2].contains(&shown[2]));
    assert_eq!(shown[2], shown[3]);
}

#[tokio::test]
async fn tls_that_must_end_inside_the_fence_does_not_end_outside() {
    let inside = |clusters: &[&str]| HostPolicy {
        allow: Some(clusters.iter().map(|c| c.parse().unwrap()).collect()),
        terminate: Terminate::Inside,
        ..HostPolicy::default()
    };
    let world = World::new().with(|config| {
        config.hosts.insert("bank.example.com".parse().unwrap(), inside(&["azure"]));
        config.hosts.insert(WWW.parse().unwrap(), inside(&["aws"]));
    });
    let edge = Edge::start(&world, &[&[WWW, "bank.example.com"]]);
    let refused = Client::try_connect(edge.https, Some("bank.example.com"), "http/1.1").await.unwrap_err();
    assert!(refused.to_string().contains("UnrecognisedName"), "{refused}");
    assert!(Client::try_connect(edge.https, Some(WWW), "http/1.1").await.is_ok());
}

/// As long as this machine has IPv6: nothing else in the tests needs it.
#[tokio::test]
async fn who_comes_by_ipv6_is_served_under_that_address_over_both_versions_of_http() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        println!("not shown: this machine has no IPv6");
        return;
    }
    let origin = Origin::named("hello").await;
    let world = World::new().serve(WWW, &[origin.address]).with(|config| {
        config.listen.https.bind = vec!["[::1]:0".parse().unwrap()];
    });
    let edge = Edge::start(&world, &[&[WWW]]);
    assert!(edge.https.is_ipv6());
    assert_eq!(Client::h1(edge.https, WWW).await.get(WWW, "/").await.status(), 200);
    let get = http::Request::get(format!("https://{WWW}/")).body(()).unwrap();
    let (response, _) = client::h2(edge.https, WWW).await.send_request(get, true).unwrap();
    assert_eq!(soon("a response", response).await.unwrap().status(), 200);
    for request in origin.requests() {
        assert_eq!((request.field("x-forwarded-for"), request.field("x-real-ip")), (Some("::1"), Some("::1")));
    }
    assert_eq!(origin.requests().len(), 2);
}
