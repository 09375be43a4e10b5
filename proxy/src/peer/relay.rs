//! `terminate: inside`: a client's TLS stream, carried as it is to an edge inside the host's fence.
//!
//! An edge outside the fence never has the key, and never sees a byte of the request. It reads the name that the client asks
//! for, which TLS sends in the clear, calls an edge of an allowed cluster by mutual TLS under a protocol of its own, says in
//! one line for whom the stream is and who the client is, and then passes bytes in both directions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use causeway_config::ClusterId;
use causeway_core::peer::Peer;
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::protocol::VERSION;
use super::trust::Trust;
use super::{Peers, carry};

/// For a connection to an edge, its handshake and the line.
const CONNECT: Duration = Duration::from_secs(3);

/// How many edges are tried.
const TRIES: usize = 3;

/// The longest line that is read.
const LONGEST: usize = 2048;

/// What is said of a stream before its first byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayHead {
    /// The version of whoever says it.
    pub version: u32,
    /// The name that the client asked for.
    pub name: String,
    /// The client.
    pub client: SocketAddr,
    /// What the client called.
    pub local: SocketAddr,
}

/// Why a stream is not relayed.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The fleet has no certificates.
    #[error("there are no certificates of the fleet")]
    NoTrust,
    /// Nobody inside the fence can be reached.
    #[error("no edge inside the fence can be reached: {0}")]
    Nobody(String),
    /// What was said of the stream cannot be understood.
    #[error("what an edge says of a stream cannot be understood: {0}")]
    BadHead(String),
}

/// A stream to an edge inside a fence.
pub struct Inside {
    cluster: ClusterId,
    stream: TlsStream<TcpStream>,
}

impl RelayHead {
    /// What an edge says of a client's stream.
    pub fn new(name: &str, client: SocketAddr, local: SocketAddr) -> Self {
        Self { version: VERSION, name: name.into(), client, local }
    }

    /// Its length, in two bytes, and then itself.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let length = u16::try_from(text.len()).unwrap_or_default();
        [&length.to_be_bytes(), text.as_slice()].concat()
    }

    /// Reads what an edge says of the stream that follows.
    pub async fn read<T: AsyncRead + Unpin>(stream: &mut T) -> Result<Self, RelayError> {
        let bad = |error: &dyn std::fmt::Display| RelayError::BadHead(error.to_string());
        let length = usize::from(stream.read_u16().await.map_err(|e| bad(&e))?);
        if length > LONGEST {
            return Err(bad(&"it is too long"));
        }
        let mut text = vec![0; length];
        stream.read_exact(&mut text).await.map_err(|e| bad(&e))?;
        serde_json::from_slice(&text).map_err(|e| bad(&e))
    }
}

impl Peers {
    /// Connects to an edge of one of the clusters, the nearest first, and says for whom the stream is.
    pub async fn relay(&self, clusters: &[ClusterId], head: &RelayHead) -> Result<Inside, RelayError> {
        let trust = self.trust.load().ok_or(RelayError::NoTrust)?;
        let mut why = "none has answered yet".to_owned();
        for (cluster, peer) in self.nearest(clusters).into_iter().take(TRIES) {
            match tokio::time::timeout(CONNECT, open(&trust, &cluster, peer.address, head)).await {
                Ok(Ok(stream)) => return Ok(Inside { cluster, stream }),
                Ok(Err(error)) => why = format!("{}: {error}", peer.address),
                Err(_) => why = format!("{}: it took too long", peer.address),
            }
        }
        Err(RelayError::Nobody(why))
    }

    /// Those whose links are up, the nearest first.
    fn nearest(&self, clusters: &[ClusterId]) -> Vec<(ClusterId, Peer)> {
        let known = Arc::clone(&self.known.borrow());
        let allowed = known.iter().filter(|known| clusters.contains(&known.cluster));
        let mut all: Vec<(ClusterId, Peer)> = allowed
            .flat_map(|known| known.peers.iter().map(|peer| (known.cluster.clone(), peer.clone())))
            .filter(|(_, peer)| peer.link.is_up())
            .collect();
        all.sort_by_key(|(_, peer)| peer.link.rtt());
        all
    }
}

async fn open(
    trust: &Trust,
    cluster: &ClusterId,
    address: SocketAddr,
    head: &RelayHead,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(trust.fleet.name_of(cluster)).map_err(std::io::Error::other)?;
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    crate::connect::watch(&stream)?;
    let mut stream = TlsConnector::from(Arc::clone(&trust.relay)).connect(name, stream).await?;
    stream.write_all(&head.bytes()).await?;
    Ok(stream)
}

impl Peers {
    /// Passes bytes in both directions until the stream has ended, or the certificate of the edge inside is no longer covered.
    /// `hello` is what the client has said already; `closing`: this edge ends.
    pub async fn carry<C>(
        &self,
        client: &mut C,
        hello: &[u8],
        inside: &mut Inside,
        closing: impl Future<Output = ()>,
    ) -> std::io::Result<()>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let certificates = inside.stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
        inside.stream.write_all(hello).await?;
        inside.stream.flush().await?;
        tokio::select! {
            carried = carry::carry(client, &mut inside.stream, closing) => carried,
            why = self.trust.lapse(&certificates, &inside.cluster) => {
                Err(std::io::Error::other(format!("the edge inside is no longer trusted: {why:?}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn what_is_said_of_a_stream_is_read_and_nothing_of_the_stream() {
        let head = RelayHead::new("bank.example.com", "192.0.2.7:5000".parse().unwrap(), "203.0.113.1:443".parse().unwrap());
        let bytes = [head.bytes().as_slice(), b"\x16\x03\x01"].concat();
        let mut stream = bytes.as_slice();
        assert_eq!(RelayHead::read(&mut stream).await.unwrap(), head);
        assert_eq!(stream, b"\x16\x03\x01");
    }

    #[tokio::test]
    async fn nonsense_is_refused() {
        for bad in [&b""[..], b"\x00", b"\xff\xff{", b"\x00\x02{}", b"\x00\x05nope!"] {
            let mut stream = bad;
            assert!(RelayHead::read(&mut stream).await.is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn without_anybody_inside_it_is_said() {
        let head = RelayHead::new("bank.example.com", "192.0.2.7:5000".parse().unwrap(), "203.0.113.1:443".parse().unwrap());
        assert!(matches!(Peers::new().relay(&["azure".parse().unwrap()], &head).await, Err(RelayError::NoTrust)));
    }
}
