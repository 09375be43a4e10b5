#![allow(clippy::unwrap_used)]

use rcgen::{CertifiedIssuer, KeyPair};
use rustls_pki_types::CertificateDer;

use super::*;
use crate::testing::*;

type Der = CertificateDer<'static>;

/// A leaf below `issuer`, and the public half, in DER, of its key.
fn leaf(issuer: &CertifiedIssuer<'static, KeyPair>) -> (Der, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let cert = params(&["a.example.com"]).signed_by(&key, issuer).unwrap();
    (cert.der().clone(), spki(cert.der()))
}

fn spki(der: &Der) -> Vec<u8> {
    parse(der, 1).unwrap().public_key().raw.to_vec()
}

#[test]
fn every_order_becomes_the_sending_order() {
    let root = authority("root");
    let middle = intermediate("middle", &root);
    let (leaf, spki) = leaf(&middle);
    let [l, m, r] = [leaf, middle.der().clone(), root.der().clone()];
    for given in [[&l, &m, &r], [&l, &r, &m], [&m, &l, &r], [&m, &r, &l], [&r, &l, &m], [&r, &m, &l]] {
        let given: Vec<_> = given.into_iter().cloned().collect();
        assert_eq!(order(&given, &spki).unwrap(), [l.clone(), m.clone(), r.clone()]);
    }
}

#[test]
fn the_key_says_which_certificate_is_the_leaf() {
    let root = authority("root");
    let ((first, _), (second, key)) = (leaf(&root), leaf(&root));
    assert_eq!(order(&[first, second.clone(), root.der().clone()], &key).unwrap(), [second, root.der().clone()]);
}

#[test]
fn strangers_and_duplicates_are_left_out() {
    let (root, stranger) = (authority("root"), authority("stranger"));
    let (leaf, spki) = leaf(&root);
    let given = [leaf.clone(), stranger.der().clone(), root.der().clone(), root.der().clone(), leaf.clone()];
    assert_eq!(order(&given, &spki).unwrap(), [leaf, root.der().clone()]);
}

#[test]
fn both_certificates_of_a_cross_signed_issuer_stay() {
    let (old, new) = (authority("old root"), authority("new root"));
    let crossed = {
        let mut params = params(&[]);
        params.distinguished_name.push(rcgen::DnType::CommonName, "new root");
        params.signed_by(new.key(), &old).unwrap()
    };
    let (leaf, spki) = leaf(&new);
    let given = [leaf, crossed.der().clone(), new.der().clone(), old.der().clone()];
    assert_eq!(order(&given, &spki).unwrap(), given);
}

#[test]
fn a_key_without_a_certificate_is_a_mismatch() {
    let root = authority("root");
    let ((cert, _), (_, other)) = (leaf(&root), leaf(&root));
    assert_eq!(order(&[cert], &other).unwrap_err(), CertError::Mismatch);
}

#[test]
fn a_broken_certificate_is_named_by_its_place() {
    let root = authority("root");
    let (leaf, spki) = leaf(&root);
    let mut long = root.der().to_vec();
    long.push(0);
    assert_eq!(
        order(&[leaf.clone(), long.into()], &spki).unwrap_err(),
        CertError::BadCertificate { position: 2, reason: "bytes follow its end".into() }
    );
    let short: Der = root.der()[..40].to_vec().into();
    assert!(matches!(order(&[leaf, short], &spki).unwrap_err(), CertError::BadCertificate { position: 2, .. }));
}
