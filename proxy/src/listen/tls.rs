//! The TLS handshake with a client: which certificate, under which policy, or not here.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use causeway_certs::{CertCell, Terms, forwarded_client_cert, server_config_for};
use causeway_config::{ClusterId, TlsVersion};
use causeway_core::Snapshot;
use causeway_core::policy::TlsPolicy;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::client_ca::ClientCas;
use super::connection::TlsFacts;
use super::recorder::Recorder;
use crate::metrics::Handshake;

/// How long a client that is refused may take to hear of it.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);

/// A fatal alert `unrecognized_name` (RFC 6066 section 3) in a record of its own: what a client gets whose host's TLS must
/// not end at this edge. Sent before any negotiation, so in the clear (RFC 8446 section 6).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Why there is no TLS connection.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// It took too long.
    #[error("the TLS handshake took too long (`limits.handshakeTimeout`)")]
    Timeout,
    /// The host's TLS ends inside its fence only, and this edge is outside.
    #[error(
        "TLS of {0} ends at edges inside its fence only (`terminate: inside`), this one is not, and none of them can be reached"
    )]
    Elsewhere(String),
    /// The authorities of its clients cannot be read.
    #[error("{0} asks for client certificates, and its authorities cannot be used")]
    NoAuthorities(String),
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
            Self::Elsewhere(_) | Self::NoAuthorities(_) | Self::Failed(_) => Handshake::Error,
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

/// What becomes of a client's stream.
#[expect(clippy::large_enum_variant, reason = "it lives for a moment, and the large one is what nearly all are")]
pub enum Answer<T> {
    /// TLS ends here.
    Here(TlsStream<Recorder<T>>, TlsFacts),
    /// It ends inside the host's fence only, and this edge is outside.
    Elsewhere(Outsider<T>),
}

/// A client whose host's TLS must not end here.
pub struct Outsider<T> {
    /// Its stream.
    pub stream: T,
    /// What it has said.
    pub hello: Vec<u8>,
    /// The name that it asks for.
    pub name: String,
    /// The clusters where TLS may end.
    pub fence: Arc<[ClusterId]>,
}

impl<T: AsyncWrite + Unpin> Outsider<T> {
    /// Tells the client that there is nobody of this name.
    pub async fn refuse(mut self) -> HandshakeError {
        let refuse = async {
            self.stream.write_all(&UNRECOGNIZED_NAME).await?;
            self.stream.shutdown().await
        };
        // The client is refused whether it hears of it or not.
        let _ = tokio::time::timeout(REFUSAL_TIMEOUT, refuse).await;
        HandshakeError::Elsewhere(self.name)
    }
}

/// Answers a `ClientHello` within `timeout`, unless somebody else must. The certificates and the policies are those of the moment that it has come.
pub async fn handshake<T>(
    transport: T,
    certificates: &CertCell,
    authorities: &ClientCas,
    snapshot: impl FnOnce() -> Arc<Snapshot>,
    timeout: Duration,
) -> Result<Answer<T>, HandshakeError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let deadline = Instant::now() + timeout;
    let hello = LazyConfigAcceptor::new(Acceptor::default(), Recorder::new(transport));
    let mut start = tokio::time::timeout_at(deadline, hello).await.map_err(|_| HandshakeError::Timeout)??;
    let (config, served, policy) = {
        let hello = start.client_hello();
        let snapshot = snapshot();
        let policy = match hello.server_name() {
            Some(name) => snapshot.policies.of_host(&name.to_ascii_lowercase()),
            None => snapshot.policies.default_policy(),
        };
        let nobody = |()| HandshakeError::NoAuthorities(hello.server_name().unwrap_or("this host").to_owned());
        // Whose TLS ends elsewhere is asked for nothing here.
        let terms = if policy.tls.elsewhere { Terms::default() } else { terms(&policy.tls, authorities).map_err(nobody)? };
        let (config, served) = server_config_for(&certificates.load(), hello.server_name(), terms);
        (config, served, policy.tls.clone())
    };
    if policy.elsewhere {
        let name = served.sni.map_or_else(String::new, |name| name.to_string());
        let (stream, hello) = start.io.into_parts();
        return Ok(Answer::Elsewhere(Outsider { stream, hello, name, fence: policy.fence.unwrap_or_default() }));
    }
    start.io.forget();
    let stream = tokio::time::timeout_at(deadline, start.into_stream(config)).await.map_err(|_| HandshakeError::Timeout)??;
    let (_, tls) = stream.get_ref();
    let facts = TlsFacts {
        served,
        policy,
        client: tls
            .peer_certificates()
            .and_then(|chain| forwarded_client_cert(chain.first()?))
            .and_then(|who| http::HeaderValue::try_from(who).ok()),
        h2: tls.alpn_protocol() == Some(b"h2"),
        version: tls.protocol_version().and_then(|v| v.as_str()).unwrap_or("unknown"),
        cipher: tls.negotiated_cipher_suite().and_then(|s| s.suite().as_str()).unwrap_or("unknown"),
    };
    Ok(Answer::Here(stream, facts))
}

/// What a policy asks of TLS. Where a fence or client certificates make a host different, so is its trust domain: a session of
/// one is not resumed under the other.
fn terms(policy: &TlsPolicy, authorities: &ClientCas) -> Result<Terms, ()> {
    let clients = match &policy.clients {
        None => None,
        Some(settings) => Some(authorities.of(settings).ok_or(())?),
    };
    let fence = policy.fence.as_ref().map(|fence| fence.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
    let domain = match (&fence, &clients) {
        (None, None) => String::new(),
        _ => format!(
            "fence={} clients={}",
            fence.as_deref().unwrap_or_default(),
            clients.as_ref().map_or("", |clients| clients.fingerprint())
        ),
    };
    Ok(Terms { min: policy.min_version, domain, clients })
}

/// The version as the metrics label it.
pub fn version(facts: &TlsFacts) -> Option<TlsVersion> {
    match facts.version {
        "TLSv1_2" => Some(TlsVersion::V1_2),
        "TLSv1_3" => Some(TlsVersion::V1_3),
        _ => None,
    }
}
