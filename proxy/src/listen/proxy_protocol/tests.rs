#![allow(clippy::unwrap_used)]
use super::*;

const TIMEOUT: Duration = Duration::from_secs(3);

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = ppp::v2::PROTOCOL_PREFIX.to_vec();
    bytes.extend([0x20 | command, family]);
    bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    bytes.extend(body);
    bytes
}

fn v2_ipv4() -> Vec<u8> {
    v2(1, 0x11, &[192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0x01, 0xbb])
}

fn client() -> Header {
    Header::Proxied { client: "192.0.2.7:4711".parse().unwrap(), local: "198.51.100.1:443".parse().unwrap() }
}

fn settings(mode: ProxyProtocolMode) -> ProxyProtocol {
    ProxyProtocol { mode, from: vec!["10.0.0.0/8".parse().unwrap()] }
}

#[test]
fn both_versions_name_the_client_and_what_it_called() {
    assert_eq!(parse(V1).unwrap(), Parsed::Header(client(), V1.len()));
    assert_eq!(parse(&v2_ipv4()).unwrap(), Parsed::Header(client(), v2_ipv4().len()));
}

#[test]
fn a_header_cut_anywhere_is_partial() {
    for header in [V1.to_vec(), v2_ipv4()] {
        for end in 0..header.len() {
            assert_eq!(parse(&header[..end]).unwrap(), Parsed::Partial, "{end} bytes of {header:?}");
        }
    }
}

#[test]
fn a_health_check_of_the_balancer_speaks_for_itself() {
    assert!(matches!(parse(&v2(0, 0, &[])).unwrap(), Parsed::Header(Header::Sender, 16)));
    assert!(matches!(parse(b"PROXY UNKNOWN\r\n").unwrap(), Parsed::Header(Header::Sender, 15)));
}

#[test]
fn extensions_behind_the_addresses_are_skipped() {
    let mut body = vec![192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0x01, 0xbb];
    body.extend([0xea, 0, 3, 1, 2, 3]);
    let header = v2(1, 0x11, &body);
    assert_eq!(parse(&header).unwrap(), Parsed::Header(client(), header.len()));
}

#[test]
fn an_ipv4_client_in_ipv6_clothes_is_an_ipv4_client() {
    let header = b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 4711 443\r\n";
    assert_eq!(parse(header).unwrap(), Parsed::Header(client(), header.len()));
}

#[test]
fn tls_and_http_are_not_headers() {
    for bytes in [&b"\x16\x03\x01"[..], b"POST / HTTP/1.1", b"PRI * HTTP/2.0", b"GET /"] {
        assert_eq!(parse(bytes).unwrap(), Parsed::Other);
    }
}

#[test]
fn what_is_malformed_or_endless_is_refused() {
    let endless = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
    let mut huge = v2(1, 0x11, &[]);
    huge[14] = 0xff;
    for bytes in [&b"PROXY TCP4 nobody nowhere 1 2\r\n"[..], &endless, &huge, &v2(1, 0x11, &[1, 2, 3])] {
        assert!(matches!(parse(bytes), Err(ProxyProtocolError::Malformed(_))), "{bytes:?}");
    }
}

#[test]
fn only_named_senders_may_speak_for_others() {
    let (inside, outside): (IpAddr, IpAddr) = ("10.1.2.3".parse().unwrap(), "192.0.2.9".parse().unwrap());
    let mapped: IpAddr = "::ffff:10.1.2.3".parse().unwrap();
    assert_eq!(expect(&settings(ProxyProtocolMode::Off), inside).unwrap(), Expect::Nothing);
    assert_eq!(expect(&settings(ProxyProtocolMode::Optional), inside).unwrap(), Expect::Maybe);
    assert_eq!(expect(&settings(ProxyProtocolMode::Optional), mapped).unwrap(), Expect::Maybe);
    assert_eq!(expect(&settings(ProxyProtocolMode::Optional), outside).unwrap(), Expect::Nothing);
    assert_eq!(expect(&settings(ProxyProtocolMode::Required), inside).unwrap(), Expect::Header);
    assert!(matches!(expect(&settings(ProxyProtocolMode::Required), outside), Err(ProxyProtocolError::Untrusted(_))));
}

#[tokio::test]
async fn what_follows_the_header_is_handed_on() {
    let bytes = [V1, b"hello"].concat();
    let (header, rest) = read(&mut bytes.as_slice(), Expect::Header, TIMEOUT).await.unwrap();
    assert_eq!((header, &rest[..]), (Some(client()), &b"hello"[..]));
}

#[tokio::test]
async fn an_optional_header_that_does_not_come_costs_no_byte() {
    let (header, rest) = read(&mut &b"\x16\x03\x01hello"[..], Expect::Maybe, TIMEOUT).await.unwrap();
    assert_eq!((header, &rest[..]), (None, &b"\x16\x03\x01hello"[..]));
}

#[tokio::test]
async fn a_required_header_that_does_not_come_is_refused() {
    let refused = read(&mut &b"\x16\x03\x01"[..], Expect::Header, TIMEOUT).await;
    assert!(matches!(refused, Err(ProxyProtocolError::Missing)));
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_stays_silent_is_not_waited_for() {
    let (mut ours, _theirs) = tokio::io::duplex(64);
    assert!(matches!(read(&mut ours, Expect::Maybe, TIMEOUT).await, Err(ProxyProtocolError::Timeout)));
}
