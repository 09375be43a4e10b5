//! The fleet's own certificate authority, and the certificates by which its edges know each other.
//!
//! A certificate speaks for a *cluster*, not for one edge: all edges of a cluster share it. It carries the cluster twice,
//! since the two sides of a connection check different things. A client looks for the DNS name of the cluster that it wants
//! ([`dns_name`]); a server reads from the URI who calls ([`uri`]), in the form of a SPIFFE id. One certificate serves both
//! roles, as every edge plays both.
//!
//! Each certificate is valid from an hour before it was made, so that a peer with a slow clock takes it.

use causeway_config::ClusterId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType,
};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use crate::error::CertError;
use crate::pem::{self, PemPair};

/// Clocks may differ by so much.
const BACKDATED: Duration = Duration::hours(1);

/// How long an authority is valid: long enough to be replaced in peace, by trusting two for a while.
pub const AUTHORITY_DAYS: u32 = 3650;

/// How long an edge's certificate is valid, unless somebody says otherwise.
pub const EDGE_DAYS: u32 = 365;

/// What the authority of a fleet ends all its names with. `.internal` is reserved for private use and can never resolve in
/// public (ICANN resolution 2024.07.29.06).
const DOMAIN: &str = "causeway.internal";

/// The name that a client verifies, and always sends as SNI.
pub fn dns_name(fleet: &str, cluster: &ClusterId) -> String {
    format!("{cluster}.{fleet}.{DOMAIN}")
}

/// What a server reads from the certificate of whoever calls.
pub fn uri(fleet: &str, cluster: &ClusterId) -> String {
    format!("{}{cluster}", uri_prefix(fleet))
}

/// What every such URI of a fleet begins with.
pub(crate) fn uri_prefix(fleet: &str) -> String {
    format!("spiffe://{fleet}.{DOMAIN}/cluster/")
}

/// Makes an authority. `now` is in seconds of Unix time.
pub fn authority(fleet: &str, now: i64) -> Result<PemPair, CertError> {
    let mut params = dated(format!("Causeway fleet {fleet}"), now, AUTHORITY_DAYS)?;
    // It signs edges and nothing else that could sign.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = Zeroizing::new(KeyPair::generate().map_err(not_made)?);
    let cert = params.self_signed(&*key).map_err(not_made)?;
    Ok(PemPair { cert: cert.pem().into_bytes(), key: Zeroizing::new(key.serialize_pem().into_bytes()) })
}

/// Issues the certificate of a cluster's edges, valid for `days`.
pub fn issue(authority: &PemPair, fleet: &str, cluster: &ClusterId, now: i64, days: u32) -> Result<PemPair, CertError> {
    let ca_key = pem::key(&authority.key)?;
    let ca_key = Zeroizing::new(KeyPair::try_from(&*ca_key).map_err(|e| CertError::BadKey { reason: e.to_string() })?);
    // The file may hold another authority that is trusted too: the one that the key belongs to signs.
    let spki = ca_key.subject_public_key_info();
    let ca = crate::chain::order(&pem::chain(&authority.cert)?, &spki)?.remove(0);
    let issuer =
        Issuer::from_ca_cert_der(&ca, &*ca_key).map_err(|e| CertError::BadCertificate { position: 1, reason: e.to_string() })?;

    let mut params = dated(format!("Causeway edge in {cluster}"), now, days)?;
    let ascii = |text: String| text.try_into().map_err(not_made);
    params.subject_alt_names =
        vec![SanType::DnsName(ascii(dns_name(fleet, cluster))?), SanType::URI(ascii(uri(fleet, cluster))?)];
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = Zeroizing::new(KeyPair::generate().map_err(not_made)?);
    let cert = params.signed_by(&*key, &issuer).map_err(not_made)?;
    Ok(PemPair { cert: cert.pem().into_bytes(), key: Zeroizing::new(key.serialize_pem().into_bytes()) })
}

/// Parameters of a certificate that is valid from an hour ago.
fn dated(common_name: String, now: i64, days: u32) -> Result<CertificateParams, CertError> {
    let now = OffsetDateTime::from_unix_timestamp(now).map_err(|e| CertError::NotMade { reason: e.to_string() })?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = now.saturating_sub(BACKDATED);
    params.not_after = now.saturating_add(Duration::days(days.into()));
    Ok(params)
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` passes it so")]
fn not_made(error: rcgen::Error) -> CertError {
    CertError::NotMade { reason: error.to_string() }
}

#[cfg(test)]
mod tests;
