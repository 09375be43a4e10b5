//! Which certificate is the server's own, and in which order the others follow.
//!
//! RFC 8446 section 4.4.2: the sender's certificate comes first, each following one should certify the one before it.
//! Bundles made by hand often have another order, or are led by an intermediate. Since the key says which certificate
//! is the server's own, the right order can always be told, and nobody has to be refused for a wrong one.

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::error::CertError;

/// The chain in sending order: the certificate whose `SubjectPublicKeyInfo` is `spki`, then, breadth first, the issuers
/// of what stands before. Cross-signed issuers (one subject, several certificates) all stay; duplicates and
/// certificates that vouch for nothing in the chain are left out.
pub(crate) fn order(given: &[CertificateDer<'static>], spki: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertError> {
    let mut rest =
        given.iter().enumerate().map(|(i, der)| Ok((der, parse(der, i + 1)?))).collect::<Result<Vec<_>, CertError>>()?;
    let leaf = rest.iter().position(|(_, cert)| cert.public_key().raw == spki).ok_or(CertError::Mismatch)?;

    let mut ordered = vec![rest.remove(leaf)];
    let mut at = 0;
    while at < ordered.len() {
        let (issued, rest_of_rest): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|(_, cert)| cert.subject().as_raw() == ordered[at].1.issuer().as_raw());
        rest = rest_of_rest;
        for (der, cert) in issued {
            if !ordered.iter().any(|(known, _)| *known == der) {
                ordered.push((der, cert));
            }
        }
        at += 1;
    }
    Ok(ordered.into_iter().map(|(der, _)| der.clone()).collect())
}

/// One certificate. `position` counts from 1.
pub(crate) fn parse<'a>(der: &'a CertificateDer<'_>, position: usize) -> Result<X509Certificate<'a>, CertError> {
    match X509Certificate::from_der(der) {
        Ok(([], cert)) => Ok(cert),
        Ok(_) => Err(CertError::BadCertificate { position, reason: "bytes follow its end".into() }),
        Err(e) => Err(CertError::BadCertificate { position, reason: e.to_string() }),
    }
}

#[cfg(test)]
mod tests;
