//! Real TLS handshakes in memory: rustls' client against what the index chooses, without sockets.
//!
//! The client verifies the server fully, at a time that the tests set.
#![allow(clippy::unwrap_used)]

mod client;
mod hello;

use std::sync::Arc;

use causeway_certs::{
    Allowed, CertIndex, Certificate, DefaultOffer, Match, Offer, PemPair, Served, ServerTls, Terms, TicketSecret,
    process_tickets, self_signed,
};
use causeway_config::TlsVersion;
use client::{Client, done};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, Error, HandshakeKind, NamedGroup, ProtocolVersion};

/// 2027-01-15T08:00:00Z.
const NOW: i64 = 1_800_000_000;
const V1_2: TlsVersion = TlsVersion::V1_2;
const V1_3: TlsVersion = TlsVersion::V1_3;

/// An index, and what a client must trust to talk to it.
struct Edge {
    tls: ServerTls,
    pairs: Vec<PemPair>,
    default: PemPair,
}

impl Edge {
    /// An edge with a certificate for each of `names`, and a default one for `default.example.net`.
    fn new(names: &[&[&str]]) -> Self {
        Self {
            tls: ServerTls::new(process_tickets().unwrap()),
            pairs: names.iter().map(|names| self_signed(names, NOW).unwrap()).collect(),
            default: self_signed(&["default.example.net"], NOW).unwrap(),
        }
    }

    fn index(&self) -> CertIndex {
        let read = |pair: &PemPair| Arc::new(Certificate::from_pem(&pair.cert, &pair.key, &self.tls).unwrap());
        let offers = self.pairs.iter().enumerate().map(|(i, pair)| Offer {
            source: i.to_string(),
            rank: 0,
            hosts: Allowed::Any,
            except: Vec::new(),
            certificate: Ok(read(pair)),
        });
        let default = DefaultOffer { source: "default".into(), certificate: read(&self.default) };
        let (index, problems) = CertIndex::build(offers.collect(), default, NOW);
        assert_eq!(problems, []);
        index
    }

    fn client(&self) -> Client {
        Client::trusting(self.pairs.iter().chain([&self.default]), NOW)
    }
}

#[test]
fn both_versions_are_spoken_and_the_newer_one_preferred() {
    let edge = Edge::new(&[&["a.example.com"]]);
    let index = edge.index();
    for (client, version) in [
        (edge.client(), ProtocolVersion::TLSv1_3),
        (edge.client().speaking(&[&TLS13]), ProtocolVersion::TLSv1_3),
        (edge.client().speaking(&[&TLS12]), ProtocolVersion::TLSv1_2),
    ] {
        assert_eq!(done(client.connect(&index, V1_2, "a.example.com")).client.protocol_version(), Some(version));
    }
}

#[test]
fn a_minimum_of_1_3_refuses_a_1_2_client_and_serves_others() {
    let edge = Edge::new(&[&["a.example.com"]]);
    let index = edge.index();
    let old = edge.client().speaking(&[&TLS12]).connect(&index, V1_3, "a.example.com");
    assert_eq!(old.client_error, Some(Error::AlertReceived(AlertDescription::ProtocolVersion)));
    let new = done(edge.client().connect(&index, V1_3, "a.example.com"));
    assert_eq!(new.client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[test]
fn the_server_name_chooses_the_certificate() {
    let edge = Edge::new(&[&["a.example.com"], &["*.example.com"], &["a.example.org"]]);
    let index = edge.index();
    let served = |name: &str| done(edge.client().connect(&index, V1_2, name)).served;
    for (name, matched) in [("a.example.com", Match::Exact), ("b.example.com", Match::Wildcard), ("A.Example.ORG", Match::Exact)]
    {
        let Served { certificate, matched: got, sni } = served(name);
        assert!(certificate.covers(name));
        assert_eq!(got, matched, "{name}");
        assert_eq!(sni.unwrap().as_str(), name.to_ascii_lowercase());
    }
    // The client accepts the default certificate only for its own name, which the index does not have as an offer.
    assert_eq!(served("default.example.net").matched, Match::Default);
}

#[test]
fn without_a_server_name_the_default_certificate_answers() {
    let edge = Edge::new(&[&["a.example.com"]]);
    let session = done(edge.client().without_sni().connect(&edge.index(), V1_2, "default.example.net"));
    assert_eq!((session.served.matched, session.served.sni), (Match::Default, None));
}

#[test]
fn a_foreign_server_name_is_shown_the_default_certificate_which_a_verifying_client_refuses() {
    let edge = Edge::new(&[&["a.example.com"]]);
    let refused = edge.client().connect(&edge.index(), V1_2, "b.example.com");
    assert_eq!(refused.served.unwrap().matched, Match::Default);
    assert!(matches!(refused.client_error, Some(Error::InvalidCertificate(_))), "{:?}", refused.client_error);
}

#[test]
fn post_quantum_key_exchange_is_chosen_by_clients_that_offer_it() {
    let edge = Edge::new(&[&["a.example.com"]]);
    let session = done(edge.client().connect(&edge.index(), V1_2, "a.example.com"));
    let group = session.client.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
}

#[test]
fn keys_of_every_kind_complete_handshakes_of_both_versions() {
    for kind in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519, &PKCS_RSA_SHA256] {
        let key = KeyPair::generate_for(kind).unwrap();
        let mut params = CertificateParams::new(["a.example.com".to_owned()]).unwrap();
        params.not_after = time::OffsetDateTime::from_unix_timestamp(NOW + 90 * 24 * 60 * 60).unwrap();
        let cert = params.self_signed(&key).unwrap().pem().into_bytes();
        let mut edge = Edge::new(&[]);
        edge.pairs.push(PemPair { cert, key: key.serialize_pem().into_bytes().into() });
        for version in [&TLS12, &TLS13] {
            done(edge.client().speaking(&[version]).connect(&edge.index(), V1_2, "a.example.com"));
        }
    }
}

#[test]
fn alpn_takes_the_first_protocol_that_client_and_edge_share() {
    let edge = Edge::new(&[&["a.example.com"]]);
    let index = edge.index();
    let chosen = |offered: &[&[u8]]| {
        let session = done(edge.client().offering(offered).connect(&index, V1_2, "a.example.com"));
        session.client.alpn_protocol().map(<[u8]>::to_vec)
    };
    assert_eq!(chosen(&[b"h2", b"http/1.1"]), Some(b"h2".to_vec()));
    assert_eq!(chosen(&[b"http/1.1"]), Some(b"http/1.1".to_vec()));
    assert_eq!(chosen(&[b"spdy/3.1", b"\xca\xca", b"http/1.0", b"http/1.1"]), Some(b"http/1.1".to_vec()));
    assert_eq!(chosen(&[b"grpc-exp", b"h2"]), Some(b"h2".to_vec()));
    assert_eq!(chosen(&[]), None);

    // RFC 7301 section 3.2.
    let foreign = edge.client().offering(&[b"mqtt"]).connect(&index, V1_2, "a.example.com");
    assert_eq!(foreign.client_error, Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)));
}

#[test]
fn a_ticket_resumes_a_session_under_the_same_name() {
    for version in [&TLS12, &TLS13] {
        let edge = Edge::new(&[&["a.example.com"]]);
        let (index, client) = (edge.index(), edge.client().speaking(&[version]));
        let kind = || done(client.connect(&index, V1_2, "a.example.com")).server.handshake_kind();
        assert_eq!(kind(), Some(HandshakeKind::Full));
        assert_eq!(kind(), Some(HandshakeKind::Resumed), "{version:?}");
    }
}

#[test]
fn a_ticket_outlives_the_renewal_of_its_certificate_and_a_raised_minimum() {
    let mut edge = Edge::new(&[&["a.example.com"]]);
    let client = edge.client();
    done(client.connect(&edge.index(), V1_2, "a.example.com"));
    edge.pairs = vec![self_signed(&["a.example.com"], NOW).unwrap()];
    let again = done(client.connect(&edge.index(), V1_3, "a.example.com"));
    assert_eq!(again.server.handshake_kind(), Some(HandshakeKind::Resumed));
}

#[test]
fn a_ticket_is_not_accepted_under_another_name() {
    for version in [&TLS12, &TLS13] {
        // One certificate for both names: nothing but the name differs.
        let edge = Edge::new(&[&["a.example.com", "b.example.com"]]);
        let (index, client) = (edge.index(), edge.client().speaking(&[version]).mixing_up_names());
        let kind = |name| done(client.connect(&index, V1_2, name)).server.handshake_kind();
        assert_eq!(kind("a.example.com"), Some(HandshakeKind::Full));
        assert_eq!(kind("a.example.com"), Some(HandshakeKind::Resumed), "the client does offer its ticket, {version:?}");
        assert_eq!(kind("b.example.com"), Some(HandshakeKind::Full), "{version:?}");
    }
}

#[test]
fn a_ticket_of_another_process_is_not_accepted() {
    let edge = Edge::new(&[&["a.example.com"]]);
    let client = edge.client();
    done(client.connect(&edge.index(), V1_2, "a.example.com"));
    let other = Edge { tls: ServerTls::new(process_tickets().unwrap()), ..edge };
    assert_eq!(done(client.connect(&other.index(), V1_2, "a.example.com")).server.handshake_kind(), Some(HandshakeKind::Full));
}

#[test]
fn a_ticket_of_another_edge_with_the_same_secret_is_accepted_in_the_same_trust_domain() {
    for version in [&TLS12, &TLS13] {
        let secret = TicketSecret::random().unwrap();
        let edge = Edge { tls: ServerTls::new(secret.clone()), ..Edge::new(&[&["a.example.com"]]) };
        let client = edge.client().speaking(&[version]);
        let other = Edge { tls: ServerTls::new(secret), pairs: edge.pairs.clone(), default: edge.default.clone() };
        let fenced = || Terms { domain: "fence=azure clients=".into(), ..V1_2.into() };
        let (here, there) = (edge.index(), other.index());
        done(client.connect(&here, V1_2, "a.example.com"));
        let kind = |terms: Terms| done(client.connect(&there, terms, "a.example.com")).server.handshake_kind();
        assert_eq!(kind(V1_2.into()), Some(HandshakeKind::Resumed), "{version:?}");
        assert_eq!(kind(fenced()), Some(HandshakeKind::Full), "{version:?}");
        assert_eq!(kind(fenced()), Some(HandshakeKind::Resumed), "{version:?}");
        assert_eq!(kind(V1_2.into()), Some(HandshakeKind::Full), "{version:?}");
    }
}

#[test]
fn a_1_2_client_that_knows_only_cbc_is_refused() {
    let edge = Edge::new(&[&["a.example.com"]]);
    // The names are RFC 5246's and RFC 8422's: ECDHE-ECDSA-AES256-SHA, ECDHE-ECDSA-AES128-SHA256, RSA-AES128-SHA.
    let cbc = hello::answer(&edge.index(), &[0xc00a, 0xc023, 0x002f]);
    assert_eq!(cbc, hello::Answer::Alert(AlertDescription::HandshakeFailure));
    // The same hello with ECDHE-ECDSA-AES128-GCM-SHA256 shows that nothing else in it was the reason.
    assert_eq!(hello::answer(&edge.index(), &[0xc00a, 0xc02b]), hello::Answer::ServerHello(0xc02b));
    // DHE-RSA-AES128-GCM-SHA256 and RSA-AES128-GCM-SHA256 have an AEAD, but not ECDHE.
    let not_ecdhe = hello::answer(&edge.index(), &[0x009e, 0x009c]);
    assert_eq!(not_ecdhe, hello::Answer::Alert(AlertDescription::HandshakeFailure));
}

#[test]
fn a_server_name_that_is_no_host_name_is_answered_by_the_default() {
    let edge = Edge::new(&[&["a.example.com"]]);
    let index = edge.index();
    for name in ["", ".", "..", "-", "a b", "[::1]", "192.0.2.1", "*.example.com", "\u{0}", &"x".repeat(300)] {
        let (_, served) = causeway_certs::server_config_for(&index, Some(name), V1_2);
        assert_eq!(served.matched, Match::Default, "{name:?}");
        assert_eq!(served.sni, None, "{name:?}");
    }
    // Well formed and unknown: the same certificate, but the name is remembered.
    let (_, served) = causeway_certs::server_config_for(&index, Some("B.example.com."), V1_2);
    assert_eq!((served.matched, served.sni.unwrap().as_str()), (Match::Default, "b.example.com"));
}
