//! The PROXY protocol's corners, as bytes over sockets. Who may send a header at all is in `doors`.

use std::time::Duration;

use causeway_config::{Limits, ProxyProtocol, ProxyProtocolMode};
use causeway_tests::{Client, Edge, Origin, World, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const WWW: &str = "www.example.com";

/// What the edge takes for the client where nobody else is named.
const SENDER: &str = "127.0.0.1";

async fn start(mode: ProxyProtocolMode) -> (Origin, Edge) {
    let origin = Origin::named("hello").await;
    let from = vec!["127.0.0.0/8".parse().unwrap()];
    let world = World::new().serve(WWW, &[origin.address]);
    let world = world.with(|config| config.listen.https.proxy_protocol = ProxyProtocol { mode, from });
    (origin, Edge::start(&world, &[&[WWW]]))
}

/// A header of version 2: command, family, and what follows the length.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[0x20 | command, family], &length, rest].concat()
}

const IPV4: [u8; 12] = [203, 0, 113, 5, 198, 51, 100, 1, 0x12, 0x67, 1, 0xbb];

/// `2001:db8::5` calls `2001:db8::1`.
fn ipv6() -> Vec<u8> {
    let address = |last: u8| [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    [address(5).as_slice(), &address(1), &[0x12, 0x67, 1, 0xbb]].concat()
}

/// Each header that is good, and the client that it names.
fn headers() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    // An endpoint's id as AWS sends it, padding, and a checksum that nobody asks for.
    let extended = [IPV4.as_slice(), &[0xea, 0, 4, 1, b'v', b'p', b'c', 4, 0, 2, 0, 0, 3, 0, 4, 1, 2, 3, 4]].concat();
    let large = [IPV4.as_slice(), &[0xe0, 0x0f, 0x00], &[b'x'; 0xf00]].concat();
    vec![
        ("IPv4 in text", b"PROXY TCP4 203.0.113.5 198.51.100.1 4711 443\r\n".to_vec(), "203.0.113.5"),
        ("IPv6 in text", b"PROXY TCP6 2001:db8::5 2001:db8::1 4711 443\r\n".to_vec(), "2001:db8::5"),
        ("UNKNOWN", b"PROXY UNKNOWN\r\n".to_vec(), SENDER),
        ("UNKNOWN with addresses", b"PROXY UNKNOWN 2001:db8::5 2001:db8::1 4711 443\r\n".to_vec(), SENDER),
        ("IPv4", v2(1, 0x11, &IPV4), "203.0.113.5"),
        ("IPv6", v2(1, 0x21, &ipv6()), "2001:db8::5"),
        ("LOCAL", v2(0, 0, &[]), SENDER),
        ("LOCAL with an address", v2(0, 0x11, &IPV4), SENDER),
        ("a Unix socket", v2(1, 0x31, &[b'/'; 216]), SENDER),
        ("TLVs", v2(1, 0x11, &extended), "203.0.113.5"),
        ("a TLV of almost 4 KiB", v2(1, 0x11, &large), "203.0.113.5"),
    ]
}

#[tokio::test]
async fn every_kind_of_header_names_its_client_also_byte_by_byte() {
    let (origin, edge) = start(ProxyProtocolMode::Required).await;
    for (what, header, client) in headers() {
        for pieces in [header.len(), 1] {
            // A byte on its own is a packet of its own; of very long headers the first ones are enough.
            let (singly, rest) = if pieces == 1 { header.split_at(header.len().min(120)) } else { (&[][..], &header[..]) };
            let mut stream = TcpStream::connect(edge.https).await.unwrap();
            stream.set_nodelay(true).unwrap();
            for byte in singly {
                stream.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            stream.write_all(rest).await.unwrap();
            let mut connection = Client::over(stream, Some(WWW), "http/1.1").await.unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(connection.get(WWW, "/").await.status(), 200, "{what}");
            let requests = origin.requests();
            let request = requests.last().unwrap();
            assert_eq!((request.field("x-real-ip"), request.field("x-forwarded-for")), (Some(client), Some(client)), "{what}");
        }
    }
}

#[tokio::test]
async fn a_malformed_header_or_one_too_long_ends_the_connection() {
    let long = format!("PROXY TCP4 203.0.113.5 198.51.100.1 4711 443{}", " ".repeat(70));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("an address that is none", b"PROXY TCP4 203.0.113.500 198.51.100.1 4711 443\r\n".to_vec()),
        ("of another family", b"PROXY TCP4 2001:db8::5 2001:db8::1 4711 443\r\n".to_vec()),
        ("a port that is none", b"PROXY TCP4 203.0.113.5 198.51.100.1 99999 443\r\n".to_vec()),
        ("an unknown family", b"PROXY TCP5 203.0.113.5 198.51.100.1 4711 443\r\n".to_vec()),
        ("a line feed alone", b"PROXY TCP4 203.0.113.5 198.51.100.1 4711 443\n\r\n".to_vec()),
        ("a line without an end", long.into_bytes()),
        ("version 3", [b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c".as_slice(), &IPV4].concat()),
        ("an unknown command", v2(2, 0x11, &IPV4)),
        ("an address cut short", v2(1, 0x11, &IPV4[..8])),
        ("longer than 4 KiB", v2(1, 0x11, &[0; 5000])),
    ];
    for mode in [ProxyProtocolMode::Required, ProxyProtocolMode::Optional] {
        let (_origin, edge) = start(mode).await;
        for (n, (what, header)) in cases.iter().enumerate() {
            let mut stream = TcpStream::connect(edge.https).await.unwrap();
            stream.write_all(header).await.unwrap();
            let mut rest = Vec::new();
            // A reset is an end too.
            let _ = soon(what, stream.read_to_end(&mut rest)).await;
            assert!(rest.is_empty(), "{what}");
            let counted = edge.metric("causeway_refusals_total{reason=\"proxy_protocol\"}");
            assert_eq!(counted, Some((n + 1).to_string()), "{what}, {mode:?}");
        }
    }
}

#[tokio::test]
async fn header_and_handshake_may_come_at_once() {
    let (origin, edge) = start(ProxyProtocolMode::Required).await;
    let stream = TcpStream::connect(edge.https).await.unwrap();
    // Nagle's algorithm holds back what follows until the edge has acknowledged; a cork keeps both for one packet.
    socket2::SockRef::from(&stream).set_tcp_cork(true).unwrap();
    let mut stream = stream;
    stream.write_all(&v2(1, 0x11, &IPV4)).await.unwrap();
    let mut client = Client::over(stream, Some(WWW), "http/1.1").await.unwrap();
    client.stream.get_ref().0.set_nodelay(true).unwrap();
    assert_eq!(client.get(WWW, "/").await.status(), 200);
    assert_eq!(origin.requests()[0].field("x-real-ip"), Some("203.0.113.5"));
}

#[tokio::test]
async fn a_check_without_a_header_is_answered_where_one_is_optional_only() {
    let (_origin, edge) = start(ProxyProtocolMode::Optional).await;
    assert_eq!(Client::h1(edge.https, WWW).await.get(WWW, "/").await.status(), 200);
    let (_origin, edge) = start(ProxyProtocolMode::Required).await;
    assert!(Client::try_connect(edge.https, Some(WWW), "http/1.1").await.is_err());
    assert_eq!(Limits::default().proxy_header_timeout, Duration::from_secs(3));
}
