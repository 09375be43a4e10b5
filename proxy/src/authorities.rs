//! Authorities out of Secrets and `ConfigMap`s, as the data plane takes them.
//!
//! Published apart from the snapshot, as certificates are: what a Secret holds has no business in what operators can dump. The
//! control plane is the only writer. What is not in here is not there, or cannot be used, and whoever needs it goes without:
//! nobody else's authorities take its place.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use arc_swap::ArcSwap;
use causeway_certs::{CertError, ClientAuthorities};
use causeway_config::{CaRef, ClusterId};
use pingora::protocols::tls::CaType;
use pingora::utils::tls::{WrappedX509, parse_x509};

/// The cell that they are read from.
pub type AuthoritiesCell = Arc<ArcSwap<Authorities>>;

/// All of them.
#[derive(Default)]
pub struct Authorities {
    /// Of backends, by the cluster that both are in.
    pub backends: BTreeMap<(ClusterId, CaRef), BackendCa>,
    /// Of clients: objects of the home cluster.
    pub clients: BTreeMap<CaRef, ClientCas>,
}

/// Authorities of clients, as handshakes take them.
#[derive(Clone)]
pub struct ClientCas {
    /// Where clients must show a certificate.
    pub required: ClientAuthorities,
    /// Where they may.
    pub optional: ClientAuthorities,
}

impl ClientCas {
    /// From PEM text.
    pub fn from_pem(text: &[u8]) -> Result<Self, CertError> {
        let of = |optional| ClientAuthorities::from_pem(text, optional);
        Ok(Self { required: of(false)?, optional: of(true)? })
    }
}

/// Authorities of backends.
#[derive(Clone)]
pub struct BackendCa {
    /// As the engine takes them.
    pub(crate) ca: Arc<CaType>,
    /// Tells connections apart that were made under others: the engine's pool does not by itself.
    pub(crate) group: u64,
}

impl From<&causeway_certs::Authorities> for BackendCa {
    fn from(authorities: &causeway_certs::Authorities) -> Self {
        // Every certificate was parsed before: the engine would panic on one that cannot be.
        let ca = authorities.certificates().iter().map(|der| WrappedX509::new(der.to_vec(), parse_x509));
        let mut hasher = DefaultHasher::new();
        authorities.fingerprint().0.hash(&mut hasher);
        Self { ca: ca.collect(), group: hasher.finish() }
    }
}
