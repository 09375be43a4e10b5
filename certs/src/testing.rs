//! Certificates for tests, made on the spot.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, LazyLock};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, SignatureAlgorithm};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::{Certificate, PemPair, ServerTls, process_tickets};

/// 2027-01-15T08:00:00Z.
pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const DAY: i64 = 24 * 60 * 60;

static TLS: LazyLock<ServerTls> = LazyLock::new(|| ServerTls::new(process_tickets().unwrap()));

pub(crate) fn tls() -> &'static ServerTls {
    &TLS
}

/// Parameters with `names` as alternative names, valid from NOW - 10 days to NOW + 90 days.
pub(crate) fn params(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = at(NOW - 10 * DAY);
    params.not_after = at(NOW + 90 * DAY);
    params
}

pub(crate) fn at(unix: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix).unwrap()
}

pub(crate) fn signed(params: &CertificateParams, key: &KeyPair) -> PemPair {
    PemPair { cert: params.self_signed(key).unwrap().pem().into_bytes(), key: Zeroizing::new(key.serialize_pem().into_bytes()) }
}

pub(crate) fn pair_with(names: &[&str], algorithm: &'static SignatureAlgorithm) -> PemPair {
    signed(&params(names), &KeyPair::generate_for(algorithm).unwrap())
}

pub(crate) fn pair(names: &[&str]) -> PemPair {
    pair_with(names, &rcgen::PKCS_ECDSA_P256_SHA256)
}

pub(crate) fn read(pair: &PemPair) -> Certificate {
    Certificate::from_pem(&pair.cert, &pair.key, tls()).unwrap()
}

pub(crate) fn cert(names: &[&str]) -> Arc<Certificate> {
    Arc::new(read(&pair(names)))
}

/// A certificate with the given bounds, in Unix time. All share one key, which makes them cheap.
pub(crate) fn cert_valid(names: &[&str], not_before: i64, not_after: i64) -> Arc<Certificate> {
    static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate().unwrap());
    let mut params = params(names);
    (params.not_before, params.not_after) = (at(not_before), at(not_after));
    Arc::new(read(&signed(&params, &KEY)))
}

/// A certificate authority called `name`.
pub(crate) fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    CertifiedIssuer::self_signed(authority_params(name), KeyPair::generate().unwrap()).unwrap()
}

/// A certificate authority called `name` below `issuer`.
pub(crate) fn intermediate(name: &str, issuer: &CertifiedIssuer<'static, KeyPair>) -> CertifiedIssuer<'static, KeyPair> {
    CertifiedIssuer::signed_by(authority_params(name), KeyPair::generate().unwrap(), issuer).unwrap()
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = params(&[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// The contents of the OCTET STRING in a PKCS#8 key (RFC 5958 section 2): PKCS#1 for RSA, SEC1 for ECDSA.
pub(crate) fn inner_key(key: &KeyPair) -> Vec<u8> {
    use x509_parser::asn1_rs::{Any, FromDer, OctetString, Sequence};
    let pkcs8 = key.serialize_der();
    let (_, fields) = Sequence::from_der(&pkcs8).unwrap();
    let (rest, _version) = Any::from_der(&fields.content).unwrap();
    let (rest, _algorithm) = Any::from_der(rest).unwrap();
    OctetString::from_der(rest).unwrap().1.as_ref().to_vec()
}

/// DER as PEM.
pub(crate) fn armored(label: &str, der: &[u8]) -> Vec<u8> {
    pem::encode(&pem::Pem::new(label, der)).into_bytes()
}
