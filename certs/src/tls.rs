//! What every TLS handshake with a client has in common.
//!
//! One crypto provider and one secret of session tickets are shared by all certificates: a [`ServerConfig`] per certificate
//! and version then costs a few hundred bytes, and a ticket given out under one of them is good under the others. rustls
//! itself refuses a ticket under another server name (RFC 6066 section 3). Hosts with [`Terms`] of their own have
//! configurations and a trust domain of their own.

use std::fmt;
use std::sync::Arc;

use causeway_config::TlsVersion;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerConfig};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};

use crate::clients::ClientAuthorities;
use crate::error::CertError;
use crate::tickets::TicketSecret;

/// The crypto provider and the ticket keys that all of a process's certificates share.
#[derive(Clone)]
pub struct ServerTls {
    provider: Arc<CryptoProvider>,
    secret: TicketSecret,
    tickets: Arc<dyn ProducesTickets>,
}

/// What a host asks of TLS besides its certificate.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// The oldest version.
    pub min: TlsVersion,
    /// The trust domain: sessions of one are not resumed in another. Empty is that of all hosts without terms of their own.
    pub domain: String,
    /// Whose certificates clients show.
    pub clients: Option<ClientAuthorities>,
}

impl From<TlsVersion> for Terms {
    fn from(min: TlsVersion) -> Self {
        Self { min, ..Self::default() }
    }
}

impl ServerTls {
    /// AWS-LC, with sessions resumed by tickets made of `secret`.
    ///
    /// The provider's default suites are exactly what is wanted: TLS 1.3, and of TLS 1.2 only ECDHE with an AEAD;
    /// X25519MLKEM768 leads the key exchanges.
    pub fn new(secret: TicketSecret) -> Self {
        let tickets = secret.domain("");
        Self { provider: Arc::new(aws_lc_rs::default_provider()), secret, tickets }
    }

    pub(crate) fn provider(&self) -> &CryptoProvider {
        &self.provider
    }

    /// The configuration that serves `key` on these terms.
    pub(crate) fn config(&self, key: &Arc<CertifiedKey>, terms: &Terms) -> Arc<ServerConfig> {
        let versions: &[_] = match terms.min {
            TlsVersion::V1_2 => &[&TLS13, &TLS12],
            TlsVersion::V1_3 => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(versions)
            .expect("the aws-lc-rs provider has suites and groups for both versions");
        let builder = match &terms.clients {
            None => builder.with_no_client_auth(),
            Some(authorities) => builder.with_client_cert_verifier(authorities.verifier()),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key.clone())));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = if terms.domain.is_empty() { self.tickets.clone() } else { self.secret.domain(&terms.domain) };
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

/// A secret that only this process knows: its tickets are good until it ends.
pub fn process_tickets() -> Result<TicketSecret, CertError> {
    TicketSecret::random()
}
