//! Secrets, as far as certificates need them.
//!
//! Key material lives in [`SecretBytes`] alone: wiped when dropped, invisible in every `Debug`. Entries of a Secret that
//! are neither a certificate nor a key are not kept at all.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// A Secret (`core/v1`): its entries named `*.crt` and `*.key`. Or a `ConfigMap`, which is one without keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// `type`.
    pub kind: SecretKind,
    /// `data`, overlaid with `stringData`.
    entries: BTreeMap<String, SecretBytes>,
}

/// The type of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// `kubernetes.io/tls`
    Tls,
    /// `Opaque`, or none.
    Opaque,
    /// None at all: a `ConfigMap`.
    ConfigMap,
    /// Anything else, which holds no certificates.
    Other(Arc<str>),
}

/// Bytes that nobody prints, and that are wiped when the last owner drops them.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretBytes(Arc<Zeroizing<Vec<u8>>>);

/// A certificate chain and its key, as the Secret holds them: PEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificatePair<'a> {
    /// The chain, leaf first.
    pub certificate: &'a SecretBytes,
    /// The key.
    pub key: &'a SecretBytes,
}

/// Why a Secret gives no certificate. Names entries, never their contents.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// A Secret for something else.
    #[error("it is of type `{0}`, which holds no certificate; make one with `kubectl create secret tls`")]
    WrongType(Arc<str>),
    /// No authorities.
    #[error("it has no entry `ca.crt`; put the authorities' certificates there, in PEM")]
    NoAuthorities,
    /// An entry that must be there is not, or is empty.
    #[error("it has no entry `{0}`; make one with `kubectl create secret tls`, which writes `tls.crt` and `tls.key`")]
    Missing(&'static str),
    /// More than one certificate or key.
    #[error(
        "it has several entries `{pattern}` ({}), and nothing says which is meant; name one pair `tls.crt` and `tls.key`",
        found.join(", ")
    )]
    Ambiguous {
        /// `*.crt` or `*.key`.
        pattern: &'static str,
        /// The entries' names.
        found: Vec<String>,
    },
}

impl Secret {
    /// Keeps the certificates and keys among `entries`.
    pub(crate) fn new(kind: SecretKind, entries: impl IntoIterator<Item = (String, SecretBytes)>) -> Self {
        let keys = kind != SecretKind::ConfigMap;
        let fits = |name: &str| name.rsplit_once('.').is_some_and(|(_, ending)| ending == "crt" || (keys && ending == "key"));
        Self { kind, entries: entries.into_iter().filter(|(name, _)| fits(name)).collect() }
    }

    /// The entries that are kept: to hand them to another process of this user, and to nobody else.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &SecretBytes)> {
        self.entries.iter().map(|(name, bytes)| (name.as_str(), bytes))
    }

    /// A Secret of these entries.
    pub fn from_entries(kind: SecretKind, entries: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        Self::new(kind, entries.into_iter().map(|(name, bytes)| (name, SecretBytes::new(bytes))))
    }

    /// The certificate that it holds: `tls.crt` and `tls.key`, or in an opaque Secret without these its only `*.crt` and its
    /// only `*.key`. `ca.crt` is an authority, and never counts.
    pub fn certificate_pair(&self) -> Result<CertificatePair<'_>, SecretError> {
        if let SecretKind::Other(kind) = &self.kind {
            return Err(SecretError::WrongType(kind.clone()));
        }
        let standard = ["tls.crt", "tls.key"].iter().any(|name| self.entries.contains_key(*name));
        if self.kind == SecretKind::Tls || standard {
            return Ok(CertificatePair { certificate: self.entry("tls.crt")?, key: self.entry("tls.key")? });
        }
        Ok(CertificatePair { certificate: self.only("*.crt")?, key: self.only("*.key")? })
    }

    /// The authorities that it holds: `ca.crt`, PEM.
    pub fn authorities(&self) -> Result<&[u8], SecretError> {
        self.entry("ca.crt").map(SecretBytes::expose).map_err(|_| SecretError::NoAuthorities)
    }

    fn entry(&self, name: &'static str) -> Result<&SecretBytes, SecretError> {
        self.entries.get(name).filter(|bytes| !bytes.expose().is_empty()).ok_or(SecretError::Missing(name))
    }

    fn only(&self, pattern: &'static str) -> Result<&SecretBytes, SecretError> {
        let fits = |name: &str| name.ends_with(&pattern[1..]) && name != "ca.crt";
        let mut found = self.entries.iter().filter(|(name, bytes)| fits(name) && !bytes.expose().is_empty());
        match (found.next(), found.next()) {
            (None, _) => Err(SecretError::Missing(pattern)),
            (Some((_, bytes)), None) => Ok(bytes),
            _ => Err(SecretError::Ambiguous { pattern, found: self.entries.keys().filter(|name| fits(name)).cloned().collect() }),
        }
    }
}

impl SecretBytes {
    /// Takes the bytes over; no copy is left behind.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl From<&str> for SecretKind {
    fn from(kind: &str) -> Self {
        match kind {
            "kubernetes.io/tls" => Self::Tls,
            "Opaque" | "" => Self::Opaque,
            "ConfigMap" => Self::ConfigMap,
            other => Self::Other(other.into()),
        }
    }
}

impl fmt::Display for SecretKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => "kubernetes.io/tls",
            Self::Opaque => "Opaque",
            Self::ConfigMap => "ConfigMap",
            Self::Other(kind) => kind,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn secret(kind: SecretKind, entries: &[(&str, &str)]) -> Secret {
        Secret::new(kind, entries.iter().map(|(name, text)| ((*name).to_owned(), SecretBytes::new(text.as_bytes().to_vec()))))
    }

    #[test]
    fn debug_shows_no_key() {
        let secret = secret(SecretKind::Tls, &[("tls.crt", "CHAIN"), ("tls.key", "MATERIAL")]);
        let shown = format!("{secret:?} {secret:#?} {:?}", secret.certificate_pair());
        assert!(!shown.contains("MATERIAL") && !shown.contains("CHAIN"), "{shown}");
        // Nor as the numbers of its bytes.
        assert!(!shown.contains("77, 65") && !shown.contains("77,\n"), "{shown}");
    }

    #[test]
    fn tls_needs_both_standard_entries() {
        let whole = secret(SecretKind::Tls, &[("tls.crt", "c"), ("tls.key", "k"), ("ca.crt", "a")]);
        let pair = whole.certificate_pair().unwrap();
        assert_eq!((pair.certificate.expose(), pair.key.expose()), (&b"c"[..], &b"k"[..]));
        let keyless = secret(SecretKind::Tls, &[("tls.crt", "c"), ("tls.key", "")]);
        assert_eq!(keyless.certificate_pair(), Err(SecretError::Missing("tls.key")));
        let renamed = secret(SecretKind::Tls, &[("web.crt", "c"), ("web.key", "k")]);
        assert_eq!(renamed.certificate_pair(), Err(SecretError::Missing("tls.crt")));
    }

    #[test]
    fn opaque_needs_one_pair() {
        let one = secret(SecretKind::Opaque, &[("web.crt", "c"), ("web.key", "k"), ("ca.crt", "a"), ("note", "n")]);
        assert_eq!(one.certificate_pair().unwrap().key.expose(), b"k");
        let two = secret(SecretKind::Opaque, &[("a.crt", "c"), ("b.crt", "c"), ("a.key", "k")]);
        let expected = SecretError::Ambiguous { pattern: "*.crt", found: vec!["a.crt".into(), "b.crt".into()] };
        assert_eq!(two.certificate_pair(), Err(expected));
        let marked = secret(SecretKind::Opaque, &[("a.crt", "x"), ("tls.crt", "c"), ("tls.key", "k")]);
        assert_eq!(marked.certificate_pair().unwrap().certificate.expose(), b"c");
        assert_eq!(secret(SecretKind::Opaque, &[]).certificate_pair(), Err(SecretError::Missing("*.crt")));
    }

    #[test]
    fn another_type_holds_no_certificate() {
        let token = secret(SecretKind::Other("kubernetes.io/service-account-token".into()), &[("ca.crt", "a")]);
        assert!(matches!(token.certificate_pair(), Err(SecretError::WrongType(_))));
    }

    #[test]
    fn authorities_stand_in_one_place_and_config_maps_hold_no_keys() {
        let both = [("ca.crt", "authorities"), ("tls.key", "k")];
        for kind in [SecretKind::Opaque, SecretKind::Tls, SecretKind::ConfigMap] {
            assert_eq!(secret(kind, &both).authorities(), Ok(&b"authorities"[..]));
        }
        assert_eq!(secret(SecretKind::ConfigMap, &both).entries().count(), 1);
        for none in [&[("tls.crt", "c")][..], &[("ca.crt", "")]] {
            assert_eq!(secret(SecretKind::Opaque, none).authorities(), Err(SecretError::NoAuthorities));
        }
    }

    #[test]
    fn entries_that_are_no_certificate_are_not_kept() {
        let secret = secret(SecretKind::Opaque, &[("password", "p"), ("web.key", "k")]);
        assert_eq!(secret.entries.keys().collect::<Vec<_>>(), ["web.key"]);
    }
}
