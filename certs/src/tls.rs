//! What every TLS handshake with a client has in common.
//!
//! One crypto provider and one source of session tickets are shared by all certificates: a [`ServerConfig`] per
//! certificate and version then costs a few hundred bytes, and a ticket given out under one of them is good under the
//! others. rustls itself refuses a ticket under another server name (RFC 6066 section 3).

use std::fmt;
use std::sync::Arc;

use causeway_config::TlsVersion;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerConfig};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};

use crate::error::CertError;

/// The crypto provider and the ticket keys that all of a process's certificates share.
#[derive(Clone)]
pub struct ServerTls {
    provider: Arc<CryptoProvider>,
    tickets: Arc<dyn ProducesTickets>,
}

impl ServerTls {
    /// AWS-LC, with sessions resumed by `tickets`.
    ///
    /// The provider's default suites are exactly what is wanted: TLS 1.3, and of TLS 1.2 only ECDHE with an AEAD;
    /// X25519MLKEM768 leads the key exchanges.
    pub fn new(tickets: Arc<dyn ProducesTickets>) -> Self {
        Self { provider: Arc::new(aws_lc_rs::default_provider()), tickets }
    }

    pub(crate) fn provider(&self) -> &CryptoProvider {
        &self.provider
    }

    /// The configuration that serves `key` to clients that speak `min` or newer.
    pub(crate) fn config(&self, key: &Arc<CertifiedKey>, min: TlsVersion) -> Arc<ServerConfig> {
        let versions: &[_] = match min {
            TlsVersion::V1_2 => &[&TLS13, &TLS12],
            TlsVersion::V1_3 => &[&TLS13],
        };
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(versions)
            .expect("the aws-lc-rs provider has suites and groups for both versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key.clone())));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = self.tickets.clone();
        // A cache of sessions would be resumed only by luck where several edges share an address, and takes its memory
        // per configuration, whether used or not.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Arc::new(config)
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

/// Ticket keys that only this process knows: random, changed every 6 hours, accepted for 12.
pub fn process_tickets() -> Result<Arc<dyn ProducesTickets>, CertError> {
    aws_lc_rs::Ticketer::new().map_err(|e| CertError::NoTickets { reason: e.to_string() })
}
