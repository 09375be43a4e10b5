//! PEM text to DER, by rustls-pki-types' parser, with errors that say what to do.
//!
//! The parser wants sections to begin at the start of a line and passes over everything between them: comments, the
//! bag attributes that PKCS#12 exports leave behind, CRLF. Sections of other kinds (`EC PARAMETERS`, `DH PARAMETERS`)
//! are passed over too.

use std::fmt;

use rustls_pki_types::pem::{Error as PemError, PemObject, SectionKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::{Zeroize, Zeroizing};

use crate::error::{CertError, Part};

/// A chain and its key, as PEM text. The key's bytes are wiped on drop, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PemPair {
    /// The chain, the server's own certificate first.
    pub cert: Vec<u8>,
    /// The key.
    pub key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for PemPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PemPair").field("cert", &format_args!("{} bytes", self.cert.len())).finish_non_exhaustive()
    }
}

/// Every certificate in `pem`, in its order; at least one.
pub(crate) fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertError> {
    let pem = text(pem, Part::Certificate)?;
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(|e| bad_pem(Part::Certificate, &e))?;
    if chain.is_empty() { Err(absent(pem, Part::Certificate)) } else { Ok(chain) }
}

/// The first private key in `pem`: PKCS#8 (RFC 5958), PKCS#1 (RFC 8017) or SEC1 (RFC 5915).
pub(crate) fn key(pem: &[u8]) -> Result<Zeroizing<PrivateKeyDer<'static>>, CertError> {
    let pem = text(pem, Part::Key)?;
    // OpenSSL's own encryption (RFC 1421 headers) would come out as bad base64, and PKCS#8's as no key at all.
    if contains(pem, b"Proc-Type: 4,ENCRYPTED") {
        return Err(CertError::EncryptedKey);
    }
    match PrivateKeyDer::from_pem_slice(pem) {
        Ok(key) => Ok(Zeroizing::new(key)),
        Err(PemError::NoItemsFound) if contains(pem, b"-----BEGIN ENCRYPTED PRIVATE KEY-----") => Err(CertError::EncryptedKey),
        Err(PemError::NoItemsFound) => Err(absent(pem, Part::Key)),
        Err(e) => Err(bad_pem(Part::Key, &e)),
    }
}

/// `pem` without the byte order mark that some editors put before the first BEGIN, if there is anything in it.
fn text(pem: &[u8], part: Part) -> Result<&[u8], CertError> {
    let pem = pem.strip_prefix(b"\xef\xbb\xbf").unwrap_or(pem);
    if pem.trim_ascii().is_empty() { Err(CertError::Empty(part)) } else { Ok(pem) }
}

/// What to say of text that has no section of the kind wanted.
fn absent(pem: &[u8], wanted: Part) -> CertError {
    let mut other = false;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        let Ok((kind, mut der)) = section else { break };
        other |= match wanted {
            Part::Certificate => {
                matches!(kind, SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey)
            }
            Part::Key => kind == SectionKind::Certificate,
        };
        der.zeroize();
    }
    if other { CertError::Swapped(wanted) } else { CertError::Missing(wanted) }
}

/// The parser's error without the text that it quotes: around a key, that text may be part of it.
fn bad_pem(part: Part, error: &PemError) -> CertError {
    let reason = match error {
        PemError::MissingSectionEnd { .. } => "a section has no END line",
        PemError::IllegalSectionStart { .. } => "a BEGIN line does not end in five hyphens",
        PemError::Base64Decode(_) => "a section is not base64",
        PemError::SectionTooLarge => "a section is larger than 256 MB",
        _ => "it cannot be read",
    };
    CertError::BadPem { part, reason: reason.into() }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests;
