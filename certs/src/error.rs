//! Why a certificate cannot be used, told to the person who can mend it.
//!
//! Every message opens with the phase that failed. [`CertError::problem`] and [`CertError::remedy`] are apart so that
//! diagnostics can show them in columns; `Display` joins them. No variant ever holds bytes of a key.

use std::path::PathBuf;

/// Which half of a pair a message speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The certificate chain: `tls.crt`.
    Certificate,
    /// The private key: `tls.key`.
    Key,
}

impl Part {
    fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Key => "key",
        }
    }
}

/// Why a certificate cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}; {}", self.problem(), self.remedy())]
pub enum CertError {
    /// A fault in what a file holds.
    File {
        /// The file.
        path: PathBuf,
        /// The fault.
        #[source]
        error: Box<CertError>,
    },
    /// The source holds no pair of certificate and key.
    NoPair {
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The operating system did not let us read.
    Unreadable {
        /// What it said.
        reason: String,
    },
    /// There are no bytes but white space.
    Empty(Part),
    /// Text without the section that is needed.
    Missing(Part),
    /// The other half of the pair stands here.
    Swapped(Part),
    /// A PEM section that cannot be decoded (RFC 7468).
    BadPem {
        /// Which half.
        part: Part,
        /// What is wrong with it.
        reason: String,
    },
    /// A section that decodes, and is no X.509 certificate (RFC 5280).
    BadCertificate {
        /// Its place in the text, counted from 1.
        position: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The key is protected by a pass phrase.
    EncryptedKey,
    /// A key that is broken, or of a kind that cannot sign for TLS.
    BadKey {
        /// What the cryptographic library said.
        reason: String,
    },
    /// None of the certificates holds the public half of the key.
    Mismatch,
    /// A certificate could not be made.
    NotMade {
        /// Why.
        reason: String,
    },
    /// The keys of session tickets could not be made.
    NoTickets {
        /// Why.
        reason: String,
    },
}

impl CertError {
    /// What is wrong, led by the phase that failed.
    pub fn problem(&self) -> String {
        match self {
            Self::File { path, error } => format!("{}: {}", path.display(), error.problem()),
            Self::NoPair { reason } => format!("finding certificate and key: {reason}"),
            Self::Unreadable { reason } => format!("reading the file: {reason}"),
            Self::Empty(part) => format!("reading the {}: there is nothing in it", part.as_str()),
            Self::Missing(part) => format!("reading the {0}: there is no {0} in it", part.as_str()),
            Self::Swapped(Part::Certificate) => "reading the certificate: there is a private key where it should be".into(),
            Self::Swapped(Part::Key) => "reading the key: there is a certificate where it should be".into(),
            Self::BadPem { part, reason } => format!("decoding the {}'s PEM: {reason}", part.as_str()),
            Self::BadCertificate { position, reason } => format!("parsing certificate {position} of the chain: {reason}"),
            Self::EncryptedKey => "reading the key: it is protected by a pass phrase".into(),
            Self::BadKey { reason } => format!("loading the key: {reason}"),
            Self::Mismatch => "matching the pair: the key does not belong to the certificate".into(),
            Self::NotMade { reason } => format!("making a certificate: {reason}"),
            Self::NoTickets { reason } => format!("making the keys of session tickets: {reason}"),
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::File { error, .. } => error.remedy(),
            Self::NoPair { .. } => "until then its hosts are served with what else covers them",
            Self::Unreadable { .. } => "check the path, and that this process may read it",
            Self::Empty(Part::Certificate) => "put the chain there in PEM, the server's own certificate first",
            Self::Empty(Part::Key) => "put the private key there in PEM, without a pass phrase",
            Self::Missing(Part::Certificate) => {
                "it must have a line `-----BEGIN CERTIFICATE-----`; convert DER with `openssl x509 -inform der`"
            }
            Self::Missing(Part::Key) => {
                "it must have a line `-----BEGIN PRIVATE KEY-----` (or `RSA` or `EC PRIVATE KEY`); convert DER with \
                 `openssl pkey -inform der`"
            }
            Self::Swapped(_) => "exchange the two: the chain belongs in `tls.crt` or `cert`, the key in `tls.key` or `key`",
            Self::BadPem { .. } => "copy the text again, whole and unchanged, with its BEGIN and END lines",
            Self::BadCertificate { .. } => "check it with `openssl x509 -text`, and have it issued again if that fails too",
            Self::EncryptedKey => "store it without one: `openssl pkey -in tls.key -out plain.key`",
            Self::BadKey { .. } => "use an unencrypted RSA (2048 to 8192 bits), ECDSA (P-256, P-384, P-521) or Ed25519 key",
            Self::Mismatch => "store certificate and key of the same issuance; a renewal must replace both at once",
            Self::NotMade { .. } => "check the names, and that the system's clock is right",
            Self::NoTickets { .. } => "the system's random number generator failed; restart, and mend the host if it stays",
        }
    }
}
