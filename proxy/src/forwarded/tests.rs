#![allow(clippy::unwrap_used)]
use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn incoming(headers: &[(&'static str, &str)]) -> HeaderMap {
    headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

fn trusted() -> Vec<IpNet> {
    vec!["10.0.0.0/8".parse().unwrap(), "2001:db8:aaaa::/48".parse().unwrap()]
}

fn sent(sender: &str, authority: &str, headers_in: &[(&'static str, &str)]) -> Vec<(String, String)> {
    let headers_in = incoming(headers_in);
    let client = client(ip(sender), &headers_in, &trusted());
    let sent = headers(&client, Scheme::Https, &authority.parse().unwrap(), &headers_in);
    sent.into_iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
}

fn value<'a>(sent: &'a [(String, String)], name: &str) -> &'a str {
    &sent.iter().find(|(n, _)| n == name).unwrap().1
}

#[test]
fn the_client_is_the_right_most_address_that_is_not_trusted() {
    // sender, X-Forwarded-For, client
    for (sender, chain, expected) in [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "203.0.113.5", "192.0.2.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.5, 10.9.9.9", "203.0.113.5"),
        ("10.0.0.1", "10.2.2.2, 10.9.9.9", "10.2.2.2"),
        ("10.0.0.1", "203.0.113.5, nonsense, 10.9.9.9", "10.9.9.9"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.5:49152", "203.0.113.5"),
        ("10.0.0.1", "[2001:db8::7]:49152", "2001:db8::7"),
        ("10.0.0.1", "[2001:db8::7]", "2001:db8::7"),
        ("10.0.0.1", "::ffff:203.0.113.5", "203.0.113.5"),
        ("::ffff:10.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("2001:db8:aaaa::1", "203.0.113.5", "203.0.113.5"),
    ] {
        let headers = if chain.is_empty() { HeaderMap::new() } else { incoming(&[("x-forwarded-for", chain)]) };
        assert_eq!(client(ip(sender), &headers, &trusted()).address, ip(expected), "{sender} {chain}");
    }
}

#[test]
fn a_chain_over_several_header_lines_is_one_chain() {
    let headers = incoming(&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.5, 10.0.0.2")]);
    assert_eq!(client(ip("10.0.0.1"), &headers, &trusted()).address, ip("203.0.113.5"));
}

/// A client behind a balancer must not be able to pass for the balancer.
#[test]
fn octets_that_are_no_text_hide_no_entry_but_their_own() {
    for value in [b"\xff\xfe, 203.0.113.5".as_slice(), b"\xff, 203.0.113.5, 10.9.9.9"] {
        let headers = HeaderMap::from_iter([(X_FORWARDED_FOR, HeaderValue::from_bytes(value).unwrap())]);
        assert_eq!(client(ip("10.0.0.1"), &headers, &trusted()).address, ip("203.0.113.5"));
    }
}

#[test]
fn an_empty_list_trusts_nobody() {
    let headers = incoming(&[("x-forwarded-for", "203.0.113.5")]);
    assert_eq!(client(ip("10.0.0.1"), &headers, &[]).address, ip("10.0.0.1"));
}

#[test]
fn what_an_untrusted_client_says_is_replaced() {
    let spoofed = [
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-port", "1"),
        ("x-real-ip", "1.1.1.1"),
        ("forwarded", "for=1.1.1.1"),
    ];
    let sent = sent("192.0.2.1", "www.example.com", &spoofed);
    assert_eq!(value(&sent, "x-forwarded-for"), "192.0.2.1");
    assert_eq!(value(&sent, "x-forwarded-proto"), "https");
    assert_eq!(value(&sent, "x-forwarded-host"), "www.example.com");
    assert_eq!(value(&sent, "x-forwarded-port"), "443");
    assert_eq!(value(&sent, "x-real-ip"), "192.0.2.1");
    assert_eq!(value(&sent, "forwarded"), "for=192.0.2.1;host=\"www.example.com\";proto=https");
}

#[test]
fn a_trusted_senders_chain_is_continued_and_its_word_kept() {
    let said = [
        ("x-forwarded-for", "203.0.113.5"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "shop.example.com"),
        ("x-forwarded-port", "8080"),
    ];
    let sent = sent("10.0.0.1", "www.example.com", &said);
    assert_eq!(value(&sent, "x-forwarded-for"), "203.0.113.5, 10.0.0.1");
    assert_eq!(value(&sent, "x-forwarded-proto"), "http");
    assert_eq!(value(&sent, "x-forwarded-host"), "shop.example.com");
    assert_eq!(value(&sent, "x-forwarded-port"), "8080");
    assert_eq!(value(&sent, "x-real-ip"), "203.0.113.5");
    assert_eq!(value(&sent, "forwarded"), "for=203.0.113.5, for=10.0.0.1;host=\"shop.example.com\";proto=http");
}

#[test]
fn a_trusted_forwarded_header_is_appended_to() {
    let sent = sent("10.0.0.1", "www.example.com", &[("forwarded", "for=203.0.113.5;proto=https")]);
    assert_eq!(value(&sent, "forwarded"), "for=203.0.113.5;proto=https, for=10.0.0.1;host=\"www.example.com\";proto=https");
}

#[test]
fn ipv6_nodes_and_ports_of_the_authority() {
    let sent = sent("2001:db8::7", "[2001:db8::1]:8443", &[]);
    assert_eq!(value(&sent, "forwarded"), "for=\"[2001:db8::7]\";host=\"[2001:db8::1]:8443\";proto=https");
    assert_eq!(value(&sent, "x-forwarded-port"), "8443");
    assert_eq!(value(&sent, "x-forwarded-for"), "2001:db8::7");
}

#[test]
fn names_are_compared_as_cgi_sees_them() {
    let ours = ["x-forwarded-for", "x_forwarded_for", "x-forwarded_tls-client-cert", "x-real-ip", "x_real_ip", "forwarded"];
    let theirs = ["x-request-id", "x-real-ip-2", "x-forward", "host", "causeway-hop"];
    assert!(ours.iter().all(|name| is_ours(&HeaderName::from_static(name))));
    assert!(!theirs.iter().any(|name| is_ours(&HeaderName::from_static(name))));
    assert!(is_internal(&HeaderName::from_static("causeway-hop")));
    assert!(is_internal(&HeaderName::from_static("causeway_hop")));
    assert!(!is_internal(&HeaderName::from_static("x-causeway-hop")));
}

#[test]
fn only_a_trusted_senders_plain_id_is_kept() {
    let long = "a".repeat(129);
    for (sender, id, kept) in [
        ("10.0.0.1", "Req_1.2-3", true),
        ("192.0.2.1", "Req_1.2-3", false),
        ("10.0.0.1", "with space", false),
        ("10.0.0.1", "\"quoted\"", false),
        ("10.0.0.1", &long, false),
    ] {
        let headers = incoming(&[("x-request-id", id)]);
        let client = client(ip(sender), &headers, &trusted());
        let found = request_id(&client, &headers, 0xabc);
        let expected = if kept { id } else { "00000000000000000000000000000abc" };
        assert_eq!(found.to_str().unwrap(), expected, "{sender} {id}");
    }
}
