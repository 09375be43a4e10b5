//! One certificate with its key, checked once and ready to serve.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use causeway_config::{HostPattern, TlsVersion};
use rustls::ServerConfig;
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};

use crate::error::CertError;
use crate::fingerprint::Fingerprint;
use crate::names::Names;
use crate::tls::{ServerTls, Terms};
use crate::{chain, pem};

/// A chain whose key belongs to it, with what the index asks of it and the configurations that serve it.
///
/// Being out of its validity is no error here: an expired certificate still beats the default one, since it tells the
/// client truly what is wrong.
pub struct Certificate {
    key: Arc<CertifiedKey>,
    names: Names,
    validity: Validity,
    fingerprint: Fingerprint,
    from_1_2: Arc<ServerConfig>,
    from_1_3: Arc<ServerConfig>,
    tls: ServerTls,
    /// For hosts with terms of their own, made when the first client comes: by trust domain and oldest version.
    special: Mutex<HashMap<(String, TlsVersion), Arc<ServerConfig>>>,
}

impl Certificate {
    /// Reads a chain and its key from PEM text.
    ///
    /// The server's own certificate is the one that the key belongs to, wherever it stands; the others are put in
    /// order behind it. The decoded key is wiped once the cryptographic library has it.
    pub fn from_pem(cert_pem: &[u8], key_pem: &[u8], tls: &ServerTls) -> Result<Self, CertError> {
        let given = pem::chain(cert_pem)?;
        let key_der = pem::key(key_pem)?;
        let key = tls
            .provider()
            .key_provider
            .load_private_key(key_der.clone_key())
            .map_err(|e| CertError::BadKey { reason: e.to_string() })?;
        let chain = {
            let spki = key.public_key().ok_or_else(|| CertError::BadKey { reason: "its public half is unknown".into() })?;
            chain::order(&given, &spki)?
        };

        // The faults of a leaf are reported by its place in the text, and it may have moved to the front.
        let position = 1 + given.iter().position(|der| *der == chain[0]).expect("the chain was ordered from what was given");
        let leaf = chain::parse(&chain[0], position)?;
        let names = Names::of(&leaf).map_err(|reason| CertError::BadCertificate { position, reason })?;
        let validity =
            Validity { not_before: leaf.validity().not_before.timestamp(), not_after: leaf.validity().not_after.timestamp() };
        let fingerprint = Fingerprint(Sha256::digest(&chain[0]).into());

        let key = Arc::new(CertifiedKey::new(chain, key));
        Ok(Self {
            from_1_2: tls.config(&key, &TlsVersion::V1_2.into()),
            from_1_3: tls.config(&key, &TlsVersion::V1_3.into()),
            tls: tls.clone(),
            special: Mutex::default(),
            key,
            names,
            validity,
            fingerprint,
        })
    }

    /// The DNS names it is for, sorted: [`HostPattern::Exact`] and [`HostPattern::Wildcard`] only.
    pub fn names(&self) -> &[HostPattern] {
        &self.names.hosts
    }

    /// Whether a client that asked for `host` takes it. Upper case and a trailing dot make no difference; a wildcard
    /// stands for one label; an IP address needs an IP name.
    pub fn covers(&self, host: &str) -> bool {
        self.names.cover(host)
    }

    /// From when until when it is valid.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Its identity in logs and metrics.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The chain and the key, as rustls takes them.
    pub fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// What serves it to clients that speak `min` or newer. The same `Arc` each time.
    pub fn server_config(&self, min: TlsVersion) -> &Arc<ServerConfig> {
        match min {
            TlsVersion::V1_2 => &self.from_1_2,
            TlsVersion::V1_3 => &self.from_1_3,
        }
    }
}

/// Trust domains that one certificate is asked for at a time; more are only had by changing client authorities again and again.
const MOST_SPECIAL: usize = 64;

impl Certificate {
    /// What serves it on a host's terms.
    pub fn config_for(&self, terms: &Terms) -> Arc<ServerConfig> {
        if terms.domain.is_empty() && terms.clients.is_none() {
            return Arc::clone(self.server_config(terms.min));
        }
        let mut special = self.special.lock().unwrap_or_else(PoisonError::into_inner);
        if special.len() >= MOST_SPECIAL {
            special.clear();
        }
        let make = || self.tls.config(&self.key, terms);
        Arc::clone(special.entry((terms.domain.clone(), terms.min)).or_insert_with(make))
    }
}

/// Two certificates are the same when they send the same chain: an equal leaf means an equal key.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("names", &self.names)
            .field("validity", &self.validity)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// From when until when a certificate is valid, both ends included (RFC 5280 section 4.1.2.5), in seconds of Unix time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Its first second.
    pub not_before: i64,
    /// Its last second.
    pub not_after: i64,
}

impl Validity {
    /// Whether `now` lies within.
    pub fn contains(&self, now: i64) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }
}

#[cfg(test)]
mod tests;
