#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::sync::Arc;

use causeway_config::TlsVersion;
use rcgen::{DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm};

use super::*;
use crate::index::{Allowed, CertIndex, DefaultOffer, Offer};
use crate::resolver::server_config_for;
use crate::store::CertCell;
use crate::testing::*;

#[test]
fn keys_of_every_kind_are_taken_as_pkcs8() {
    let kinds: [&'static SignatureAlgorithm; 4] =
        [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519, &PKCS_RSA_SHA256];
    for kind in kinds {
        let certificate = read(&pair_with(&["a.example.com"], kind));
        assert!(certificate.covers("a.example.com"), "{kind:?}");
    }
}

#[test]
fn rsa_keys_are_taken_as_pkcs1() {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let mut pair = signed(&params(&["a.example.com"]), &key);
    *pair.key = armored("RSA PRIVATE KEY", &inner_key(&key));
    read(&pair);
}

#[test]
fn ecdsa_keys_are_taken_as_sec1_behind_their_parameters() {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut pair = signed(&params(&["a.example.com"]), &key);
    // As `openssl ecparam -genkey` writes it: the curve's identifier first, then the key.
    *pair.key = armored("EC PARAMETERS", &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]);
    pair.key.extend(armored("EC PRIVATE KEY", &inner_key(&key)));
    read(&pair);
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (ours, other) = (pair(&["a.example.com"]), pair(&["a.example.com"]));
    let error = Certificate::from_pem(&ours.cert, &other.key, tls()).unwrap_err();
    assert_eq!(error, CertError::Mismatch);
    assert!(error.to_string().contains("the key does not belong to the certificate; store certificate and key"), "{error}");
}

#[test]
fn a_key_of_another_kind_is_refused_as_foreign() {
    let (ours, other) = (pair(&["a.example.com"]), pair_with(&["a.example.com"], &PKCS_ED25519));
    assert_eq!(Certificate::from_pem(&ours.cert, &other.key, tls()).unwrap_err(), CertError::Mismatch);
}

#[test]
fn garbage_in_a_pem_section_is_refused_by_its_phase() {
    let pair = pair(&["a.example.com"]);
    let cert = armored("CERTIFICATE", b"not DER at all");
    assert!(matches!(Certificate::from_pem(&cert, &pair.key, tls()).unwrap_err(), CertError::BadCertificate { position: 1, .. }));
    let key = armored("PRIVATE KEY", b"not DER at all");
    assert!(matches!(Certificate::from_pem(&pair.cert, &key, tls()).unwrap_err(), CertError::BadKey { .. }));
}

#[test]
fn a_chain_in_the_wrong_order_is_sent_in_the_right_one() {
    let root = authority("root");
    let middle = intermediate("middle", &root);
    let key = KeyPair::generate().unwrap();
    let leaf = params(&["a.example.com"]).signed_by(&key, &middle).unwrap();
    let text = [root.pem(), leaf.pem(), middle.pem()].concat();

    let certificate = Certificate::from_pem(text.as_bytes(), key.serialize_pem().as_bytes(), tls()).unwrap();
    let expected = [leaf.der().clone(), middle.der().clone(), root.der().clone()];
    assert_eq!(certificate.certified_key().cert, expected);
    assert!(certificate.covers("a.example.com"), "the names are the leaf's");
}

#[test]
fn validity_is_read_in_unix_seconds_and_both_ends_belong_to_it() {
    let validity = cert_valid(&["a.example.com"], NOW, NOW + 10).validity();
    assert_eq!(validity, Validity { not_before: NOW, not_after: NOW + 10 });
    let valid: Vec<_> = (NOW - 1..=NOW + 11).filter(|now| validity.contains(*now)).collect();
    assert_eq!((valid.first(), valid.last()), (Some(&NOW), Some(&(NOW + 10))));
}

#[test]
fn the_fingerprint_is_the_sha256_of_the_leaf() {
    let certificate = cert(&["a.example.com"]);
    let expected = hex(&Sha256::digest(&certificate.certified_key().cert[0]));
    assert_eq!(certificate.fingerprint().to_string(), expected);
}

#[test]
fn tls_1_2_has_only_forward_secret_suites_with_an_aead() {
    let certificate = cert(&["a.example.com"]);
    let suites = &certificate.server_config(TlsVersion::V1_2).crypto_provider().cipher_suites;
    for suite in suites.iter().filter(|suite| suite.tls13().is_none()) {
        let name = format!("{:?}", suite.suite());
        assert!(name.starts_with("TLS_ECDHE_") && (name.contains("_GCM_") || name.contains("_POLY1305_")), "{name}");
    }
}

#[test]
fn all_certificates_share_one_provider() {
    let (a, b) = (cert(&["a.example.com"]), cert(&["b.example.com"]));
    let (a, b) = (a.server_config(TlsVersion::V1_2), b.server_config(TlsVersion::V1_3));
    assert!(Arc::ptr_eq(a.crypto_provider(), b.crypto_provider()));
}

#[test]
fn debug_shows_nothing_of_a_key() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519, &PKCS_RSA_SHA256] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = params(&["a.example.com"]);
        params.distinguished_name.push(DnType::CommonName, "a.example.com");
        let pair = signed(&params, &key);
        let certificate = Arc::new(read(&pair));

        let default = DefaultOffer { source: "default".into(), certificate: certificate.clone() };
        let offer =
            Offer { source: "a".into(), rank: 0, hosts: Allowed::Any, except: Vec::new(), certificate: Ok(certificate.clone()) };
        let (index, _) = CertIndex::build(vec![offer.clone()], default.clone(), NOW);
        let served = server_config_for(&index, Some("a.example.com"), TlsVersion::V1_2).1;
        let choice = index.choose(None);
        let mut shown =
            format!("{pair:?}{pair:#?}{certificate:?}{certificate:#?}{offer:?}{default:?}{index:?}{served:?}{choice:?}");
        write!(shown, "{:?}{:?}", CertCell::new(index.clone()), tls()).unwrap();

        // Errors are shown too, and those about broken keys were made with the key at hand.
        let text = String::from_utf8(pair.key.to_vec()).unwrap();
        let not_base64 = text.replacen('M', "!", 1);
        let without_end = text.replace("-----END", "----END");
        let cut = armored("PRIVATE KEY", &key.serialized_der()[..key.serialized_der().len() - 3]);
        for broken in [not_base64.as_bytes(), without_end.as_bytes(), &cut] {
            let error = Certificate::from_pem(&pair.cert, broken, tls()).unwrap_err();
            write!(shown, "{error:?}{error}").unwrap();
        }
        let swapped = Certificate::from_pem(&pair.key, &pair.cert, tls()).unwrap_err();
        write!(shown, "{swapped:?}{swapped}").unwrap();

        for line in text.lines().filter(|line| !line.starts_with("-----")) {
            for chunk in line.as_bytes().chunks_exact(12) {
                let list = format!("{chunk:?}");
                assert!(!shown.contains(list.trim_matches(['[', ']'])), "bytes of the key's base64 in {shown}");
                assert!(!shown.contains(std::str::from_utf8(chunk).unwrap()), "base64 of the key in {shown}");
            }
        }
        // The head of a PKCS#8 key is public: algorithm and lengths. Its last third is not, in any of these kinds;
        // and what of it is the public key stands in the certificate, which is not shown either.
        let der = key.serialized_der();
        for window in der[der.len() / 3..].windows(6) {
            let list = format!("{window:?}");
            assert!(!shown.contains(list.trim_matches(['[', ']'])), "bytes of the key in {shown}");
            assert!(!shown.contains(&hex(window)), "hexadecimal of the key in {shown}");
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
