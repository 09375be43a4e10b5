//! Authorities that vouch for somebody else: parsed and found fit, since libraries take them for granted later.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};

use crate::error::CertError;
use crate::fingerprint::Fingerprint;
use crate::{chain, pem};

/// One authority or more. Equal where their certificates are, in their order.
#[derive(Clone)]
pub struct Authorities {
    certificates: Arc<[CertificateDer<'static>]>,
    fingerprint: Fingerprint,
}

impl Authorities {
    /// From PEM text.
    pub fn from_pem(text: &[u8]) -> Result<Self, CertError> {
        let certificates = pem::chain(text)?;
        let mut roots = RootCertStore::empty();
        let mut digest = Sha256::new();
        for (at, der) in certificates.iter().enumerate() {
            chain::parse(der, at + 1)?;
            let bad = |e: rustls::Error| CertError::BadCertificate { position: at + 1, reason: e.to_string() };
            roots.add(der.clone()).map_err(bad)?;
            digest.update(der);
        }
        Ok(Self { certificates: certificates.into(), fingerprint: Fingerprint(digest.finalize().into()) })
    }

    /// Their certificates, DER.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// Tells them from others.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}

impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for Authorities {}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authorities").field(&self.fingerprint.to_string()).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pem(name: &str) -> Vec<u8> {
        crate::self_signed(&[name], 1_700_000_000).unwrap().cert
    }

    #[test]
    fn authorities_are_told_apart_by_their_certificates() {
        let (one, other) = (pem("one.example"), pem("other.example"));
        let read = |text: &[u8]| Authorities::from_pem(text).unwrap();
        let both = [&one[..], b"# a remark\n", &other].concat();
        assert_eq!(read(&both).certificates().len(), 2);
        assert_eq!(read(&both), read(&[&one[..], &other].concat()));
        assert_ne!(read(&one), read(&other));
        assert_ne!(read(&one), read(&both));
    }

    #[test]
    fn what_holds_no_certificate_that_can_be_trusted_is_refused() {
        let broken = b"-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
        for text in [&b""[..], b"nothing", broken, &[&pem("one.example")[..], broken].concat()] {
            assert!(Authorities::from_pem(text).is_err(), "{}", String::from_utf8_lossy(text));
        }
    }
}
