//! Certificates that nobody vouches for: the default of last resort, and those of demonstrations and tests.
//!
//! Each has a new ECDSA P-256 key. Its serial number is the first 20 bytes of a hash over the public key, which makes
//! it as random as the key, and different for each.

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use crate::certificate::Certificate;
use crate::error::CertError;
use crate::pem::PemPair;
use crate::tls::ServerTls;

/// Clients with slow clocks should not have to wait for it.
const BACKDATED: Duration = Duration::hours(1);
const LIFETIME: Duration = Duration::days(365);

/// The certificate that answers clients without SNI, or with an unknown one, where the configuration names none.
///
/// Its name, `causeway.invalid`, can never resolve (RFC 6761 section 6.4): it is for nobody.
pub fn default_certificate(tls: &ServerTls, now: i64) -> Result<Certificate, CertError> {
    let pem = make("Causeway default certificate", vec!["causeway.invalid".into()], now)?;
    Certificate::from_pem(&pem.cert, &pem.key, tls)
}

/// A certificate for `names`: hosts, wildcards and IP addresses.
pub fn self_signed(names: &[&str], now: i64) -> Result<PemPair, CertError> {
    make("Causeway self-signed certificate", names.iter().map(ToString::to_string).collect(), now)
}

fn make(common_name: &str, names: Vec<String>, now: i64) -> Result<PemPair, CertError> {
    let now = OffsetDateTime::from_unix_timestamp(now).map_err(|e| CertError::NotMade { reason: e.to_string() })?;
    let failed = |e: rcgen::Error| CertError::NotMade { reason: e.to_string() };

    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = now.saturating_sub(BACKDATED);
    params.not_after = params.not_before.saturating_add(LIFETIME);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];

    let key = Zeroizing::new(KeyPair::generate().map_err(failed)?);
    let cert = params.self_signed(&*key).map_err(failed)?;
    Ok(PemPair { cert: cert.pem().into_bytes(), key: Zeroizing::new(key.serialize_pem().into_bytes()) })
}

#[cfg(test)]
mod tests;
