//! The peer port: mutual TLS with the fleet's authority, and nothing for anybody else.
//!
//! A listener of its own, so that what edges may say to each other can be said nowhere else, with limits of its own. Who
//! calls is read from the certificate's URI, and must be a cluster of the configuration. When the trust changes, every
//! connection is judged again, and ended if it is no longer covered.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use causeway_certs::TrustError;
use causeway_config::ClusterId;
use pingora::apps::{HttpServerApp, ServerApp};
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

use crate::connect::hold_little;
use crate::listen::{
    ClientDoor, ClientIo, Connection, HeadLimits, IoLimits, KEEP_ALIVE, PeerFacts, Role, accept, http1, with_drain,
};
use crate::metrics::{Handshake, Listener, PeerRefusal, RefusalReason};
use crate::peer::relay::RelayHead;
use crate::peer::trust::{H2, Lapsed, RELAY, unix_time};
use crate::shared::Shared;

/// A connection ends at this age, give or take a fifth: a load balancer then spreads the lanes anew over the edges behind it.
const MAX_AGE: Duration = Duration::from_mins(10);
const AGE_SPREAD: f64 = 0.2;

/// What a client's request may be long, and what the edge that sends it on puts on it.
const HEAD: HeadLimits = HeadLimits { line: 16 << 10, bytes: 80 << 10, fields: 120 };

/// The peer port's door.
pub struct PeerDoor<A> {
    shared: Arc<Shared>,
    engine: Arc<A>,
    https: Arc<ClientDoor<A>>,
}

/// Why a connection gets nothing.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("this edge has no certificates of the fleet that it can use")]
    NoTrust,
    #[error("the handshake took too long")]
    Timeout,
    #[error("the handshake failed: {0}")]
    Handshake(std::io::Error),
    #[error("{0}")]
    Trust(#[from] TrustError),
    #[error("it is an edge of {0}, which is no cluster of this edge's configuration")]
    UnknownCluster(ClusterId),
}

impl Refused {
    fn label(&self) -> PeerRefusal {
        match self {
            Self::NoTrust => PeerRefusal::NoTrust,
            Self::Timeout | Self::Handshake(_) => PeerRefusal::Handshake,
            Self::Trust(_) => PeerRefusal::Certificate,
            Self::UnknownCluster(_) => PeerRefusal::UnknownCluster,
        }
    }
}

impl<A> PeerDoor<A>
where
    A: HttpServerApp + Send + Sync + 'static,
{
    /// A door into the engine, and for streams that are relayed into the clients' own.
    pub fn new(shared: Arc<Shared>, engine: Arc<A>, https: Arc<ClientDoor<A>>) -> Arc<Self> {
        Arc::new(Self { shared, engine, https })
    }

    /// Accepts on a bound socket until `stop` turns true.
    pub fn open(self: &Arc<Self>, socket: TcpListener, stop: watch::Receiver<bool>) -> JoinHandle<()> {
        let door = Arc::clone(self);
        tokio::spawn(async move {
            accept(Listener::Peer.as_str(), socket, stop, |stream, from| {
                let door = Arc::clone(&door);
                let open = (door.shared.metrics.connection(Listener::Peer), door.shared.open.one());
                tokio::spawn(async move {
                    let _open = open;
                    match door.greet(stream).await {
                        Ok((stream, cluster)) => Box::pin(door.serve(stream, cluster, from)).await,
                        Err(refused) => door.refuse(&refused, from),
                    }
                });
            })
            .await;
        })
    }

    fn refuse(&self, refused: &Refused, from: SocketAddr) {
        self.shared.metrics.peer_refusal(refused.label());
        match refused {
            // What strangers send is not worth a line; a peer that is set up wrongly is.
            Refused::Timeout => debug!(%from, "refused on the peer port: {refused}"),
            Refused::Handshake(error) if error.kind() != std::io::ErrorKind::InvalidData => {
                debug!(%from, "refused on the peer port: {refused}");
            }
            _ => warn!(%from, "refused on the peer port: {refused}"),
        }
    }

    async fn greet(&self, stream: TcpStream) -> Result<(TlsStream<TcpStream>, ClusterId), Refused> {
        let trust = self.shared.peers.trust.load().ok_or(Refused::NoTrust)?;
        hold_little(&stream).map_err(Refused::Handshake)?;
        let accepting = TlsAcceptor::from(Arc::clone(&trust.server)).accept(stream);
        let limit = self.shared.snapshot.load().config.limits.handshake_timeout;
        let accepted = tokio::time::timeout(limit, accepting).await;
        let result = match &accepted {
            Ok(Ok(_)) => Handshake::Ok,
            Ok(Err(_)) => Handshake::Error,
            Err(_) => Handshake::Timeout,
        };
        let version = (result == Handshake::Ok).then_some(causeway_config::TlsVersion::V1_3);
        self.shared.metrics.handshake(version, result);
        let stream = accepted.map_err(|_| Refused::Timeout)?.map_err(Refused::Handshake)?;
        let cluster = trust.fleet.identify(chain(&stream), unix_time())?;
        if self.shared.snapshot.load().config.cluster(&cluster).is_none() {
            return Err(Refused::UnknownCluster(cluster));
        }
        Ok((stream, cluster))
    }

    /// Serves until it ends, is old, or is no longer covered.
    async fn serve(&self, stream: TlsStream<TcpStream>, cluster: ClusterId, from: SocketAddr) {
        let certificates: Vec<CertificateDer<'static>> = chain(&stream).to_vec();
        let trusted = self.trusted(&certificates, &cluster);
        tokio::pin!(trusted);
        let (alpn, fd) = (stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec), stream.get_ref().0.as_raw_fd());
        if alpn.as_deref() == Some(RELAY) {
            return tokio::select! {
                () = self.take_in(stream, fd, from) => {}
                refused = &mut trusted => self.refuse(&refused, from),
            };
        }
        let Ok(local) = stream.get_ref().0.local_addr() else { return };
        let connection_h2 = alpn.as_deref() == Some(H2);
        let facts = PeerFacts { cluster: cluster.clone(), h2: connection_h2 };
        // Connections are made before they are needed, so that the first request may take its time.
        let limits = if facts.h2 {
            IoLimits { head_timeout: MAX_AGE, preface_timeout: MAX_AGE, head: HEAD, ..IoLimits::default() }
        } else {
            IoLimits { head: HEAD, ..IoLimits::default() }
        };
        let connection = Connection::new(from, from, local, None).in_role(Role::Peer(facts));
        let io = Box::new(ClientIo::new(stream, fd, connection, limits, Arc::clone(&self.shared.metrics)));
        let connection = Arc::clone(io.connection());
        let age = MAX_AGE.mul_f64(1.0 + AGE_SPREAD * (fastrand::f64() * 2.0 - 1.0));
        let serving = with_drain(
            self.shared.phase.clone(),
            age,
            || connection.close(),
            |drain| async move {
                if connection_h2 {
                    let _ = self.engine.process_new(io, &drain).await;
                } else {
                    http1::serve(&self.engine, io, KEEP_ALIVE, &drain).await;
                }
            },
        );
        tokio::select! {
            () = serving => {}
            refused = &mut trusted => self.refuse(&refused, from),
        }
    }

    /// Serves a client whose stream an edge outside of its host's fence has sent here; of other hosts none is taken.
    async fn take_in(&self, mut stream: TlsStream<TcpStream>, fd: RawFd, from: SocketAddr) {
        let limit = self.shared.snapshot.load().config.limits.handshake_timeout;
        let head = match tokio::time::timeout(limit, RelayHead::read(&mut stream)).await {
            Ok(Ok(head)) => head,
            Ok(Err(error)) => return debug!(%from, "a stream is not taken in: {error}"),
            Err(_) => return debug!(%from, "a stream is not taken in: nothing was said of it in time"),
        };
        let fenced = {
            let snapshot = self.shared.snapshot.load();
            let policy = snapshot.policies.of_host(&head.name.to_ascii_lowercase());
            policy.tls.fence.as_ref().is_some_and(|fence| fence.contains(snapshot.home()))
        };
        if !fenced {
            self.shared.metrics.refusal(RefusalReason::Fence);
            return warn!(target: "audit", event = "relay", host = head.name, %from, "a stream was not taken in: its host has no fence around here");
        }
        self.https.serve_relayed(stream, fd, &head).await;
    }

    /// Waits until a certificate is no longer covered.
    async fn trusted(&self, certificates: &[CertificateDer<'static>], cluster: &ClusterId) -> Refused {
        match self.shared.peers.trust.lapse(certificates, cluster).await {
            None => Refused::NoTrust,
            Some(Lapsed::Another(now)) => Refused::UnknownCluster(now),
            Some(Lapsed::Uncovered(error)) => error.into(),
        }
    }
}

fn chain(stream: &TlsStream<TcpStream>) -> &[CertificateDer<'static>] {
    stream.get_ref().1.peer_certificates().unwrap_or_default()
}
