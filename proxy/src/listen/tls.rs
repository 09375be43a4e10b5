//! The TLS handshake with a client: which certificate, under which policy, or not here.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use causeway_certs::{CertCell, server_config_for};
use causeway_config::TlsVersion;
use causeway_core::Snapshot;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::TlsFacts;
use crate::metrics::Handshake;

/// How long a client may take for the whole handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A fatal alert `unrecognized_name` (RFC 6066 section 3) in a record of its own: what a client gets whose host's TLS must
/// not end at this edge. Sent before any negotiation, so in the clear (RFC 8446 section 6).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Why there is no TLS connection.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// It took too long.
    #[error("the TLS handshake took longer than {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Timeout,
    /// The host's TLS ends inside its fence only, and this edge is outside.
    #[error("TLS of {0} ends at edges inside its fence only (`terminate: inside`), and this one is not: let DNS point there")]
    Elsewhere(String),
    /// The client went away.
    #[error("the client went away during the TLS handshake: {0}")]
    Closed(io::Error),
    /// One side broke a rule, or the client did not like the certificate.
    #[error("TLS handshake: {0}")]
    Failed(io::Error),
}

impl HandshakeError {
    /// How it is counted.
    pub fn label(&self) -> Handshake {
        match self {
            Self::Timeout => Handshake::Timeout,
            Self::Closed(_) => Handshake::Closed,
            Self::Elsewhere(_) | Self::Failed(_) => Handshake::Error,
        }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Closed(error),
            _ => Self::Failed(error),
        }
    }
}

/// Answers a `ClientHello`. The certificates and the policies are those of the moment that the hello has come.
pub async fn handshake<T>(
    transport: T,
    certificates: &CertCell,
    snapshot: impl FnOnce() -> Arc<Snapshot>,
) -> Result<(TlsStream<T>, TlsFacts), HandshakeError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
    let hello = LazyConfigAcceptor::new(Acceptor::default(), transport);
    let mut start = tokio::time::timeout_at(deadline, hello).await.map_err(|_| HandshakeError::Timeout)??;
    let (config, served, policy) = {
        let hello = start.client_hello();
        let snapshot = snapshot();
        let policy = match hello.server_name() {
            Some(name) => snapshot.policies.of_host(&name.to_ascii_lowercase()),
            None => snapshot.policies.default_policy(),
        };
        let (config, served) = server_config_for(&certificates.load(), hello.server_name(), policy.tls.min_version);
        (config, served, policy.tls.clone())
    };
    if policy.elsewhere {
        let refuse = async {
            start.io.write_all(&UNRECOGNIZED_NAME).await?;
            start.io.shutdown().await
        };
        // The client is refused whether it hears of it or not.
        let _ = tokio::time::timeout_at(deadline, refuse).await;
        return Err(HandshakeError::Elsewhere(served.sni.map_or_else(String::new, |name| name.to_string())));
    }
    let stream = tokio::time::timeout_at(deadline, start.into_stream(config)).await.map_err(|_| HandshakeError::Timeout)??;
    let (_, tls) = stream.get_ref();
    let facts = TlsFacts {
        served,
        policy,
        h2: tls.alpn_protocol() == Some(b"h2"),
        version: tls.protocol_version().and_then(|v| v.as_str()).unwrap_or("unknown"),
        cipher: tls.negotiated_cipher_suite().and_then(|s| s.suite().as_str()).unwrap_or("unknown"),
    };
    Ok((stream, facts))
}

/// The version as the metrics label it.
pub fn version(facts: &TlsFacts) -> Option<TlsVersion> {
    match facts.version {
        "TLSv1_2" => Some(TlsVersion::V1_2),
        "TLSv1_3" => Some(TlsVersion::V1_3),
        _ => None,
    }
}
