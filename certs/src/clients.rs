//! Client certificates: whom a host lets in by mutual TLS, and who came.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::error::CertError;
use crate::fingerprint::Fingerprint;
use crate::pem;

/// The authorities whose certificates clients of a host may or must show.
#[derive(Clone)]
pub struct ClientAuthorities {
    verifier: Arc<dyn ClientCertVerifier>,
    fingerprint: String,
}

impl ClientAuthorities {
    /// From PEM text with one authority or more. Where it is `optional`, clients without a certificate come in too.
    pub fn from_pem(text: &[u8], optional: bool) -> Result<Self, CertError> {
        let mut roots = RootCertStore::empty();
        for (at, der) in pem::chain(text)?.into_iter().enumerate() {
            let reason = |e: rustls::Error| CertError::BadCertificate { position: at + 1, reason: e.to_string() };
            roots.add(der).map_err(reason)?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(aws_lc_rs::default_provider()));
        let builder = if optional { builder.allow_unauthenticated() } else { builder };
        let verifier = builder.build().map_err(|e| CertError::BadCertificate { position: 1, reason: e.to_string() })?;
        let fingerprint = format!("{}{}", if optional { "optional " } else { "" }, Fingerprint(Sha256::digest(text).into()));
        Ok(Self { verifier, fingerprint })
    }

    /// Part of the trust domain: what was resumed under other authorities is not resumed under these.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(crate) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier)
    }
}

impl fmt::Debug for ClientAuthorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientAuthorities").field(&self.fingerprint).finish()
    }
}

/// Who showed a certificate, as backends are told: Envoy's `X-Forwarded-Client-Cert`, with the SHA-256 of the certificate and
/// its subject (RFC 4514). `None` for what is no certificate.
pub fn forwarded_client_cert(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let subject = parsed.subject().to_string();
    // A subject is text that somebody chose: in quotes, and without what could end them or the header.
    let subject: String = subject
        .chars()
        .flat_map(|c| match c {
            '"' | '\\' => vec!['\\', c],
            ' '..='~' => vec![c],
            _ => vec!['?'],
        })
        .collect();
    Some(format!("Hash={};Subject=\"{subject}\"", Fingerprint(Sha256::digest(certificate).into())))
}
