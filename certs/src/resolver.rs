//! From a client's hello to the configuration that answers it.
//!
//! Called between reading a client's hello and answering it, by an acceptor that takes its configuration per hello
//! (`rustls::server::Acceptor`, `tokio_rustls::LazyConfigAcceptor`).

use std::sync::Arc;

use causeway_config::HostName;
use rustls::ServerConfig;

use crate::certificate::Certificate;
use crate::index::{CertIndex, Match};
use crate::tls::Terms;

/// What a connection was accepted for. It lives as long as the connection, whatever is published meanwhile.
#[derive(Clone, Debug)]
pub struct Served {
    /// The certificate that the client was shown.
    pub certificate: Arc<Certificate>,
    /// How it was chosen.
    pub matched: Match,
    /// The name that the client asked for; none if it sent none, or one that is no host name. Never an address, which
    /// RFC 6066 section 3 does not allow there.
    pub sni: Option<HostName>,
}

/// The configuration for a client that asked for `sni`, on the terms of that host: its oldest version, or more.
///
/// Never fails: without a name, or with one that is unknown or malformed, the default certificate answers.
pub fn server_config_for(index: &CertIndex, sni: Option<&str>, terms: impl Into<Terms>) -> (Arc<ServerConfig>, Served) {
    let sni = sni.and_then(|name| name.parse().ok()).filter(|name: &HostName| !name.is_ip());
    let choice = index.choose(sni.as_ref().map(HostName::as_str));
    let config = choice.certificate.config_for(&terms.into());
    (config, Served { certificate: choice.certificate.clone(), matched: choice.matched, sni })
}
