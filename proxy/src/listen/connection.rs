//! What is known of a client's connection before its first request: who called, by which door, and what TLS agreed on.
//!
//! The accept loop makes a [`Connection`], the IO type carries it through the engine, and the request phases read it
//! back from the session. It also holds the one thing that changes: where the connection stands between two request
//! heads, which only the request phases know and only the IO type can act on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use causeway_certs::Served;
use causeway_core::policy::TlsPolicy;
use pingora::protocols::Digest;

/// The facts of one accepted connection.
#[derive(Debug)]
pub struct Connection {
    /// The other end of the socket; a load balancer, where one stands in front.
    pub peer: SocketAddr,
    /// The client: as the PROXY protocol header says, else `peer`.
    pub client: SocketAddr,
    /// The address that the client called: as the PROXY protocol header says, else this end of the socket.
    pub local: SocketAddr,
    /// What TLS agreed on; `None` on a plain listener.
    pub tls: Option<TlsFacts>,
    stage: AtomicU8,
}

/// What the TLS handshake agreed on.
#[derive(Debug)]
pub struct TlsFacts {
    /// The certificate that was shown, how it was chosen, and the name that the client asked for.
    pub served: Served,
    /// The policy that the connection was accepted under.
    pub policy: TlsPolicy,
    /// Whether ALPN settled on HTTP/2.
    pub h2: bool,
    /// `TLSv1_3`; as rustls spells it.
    pub version: &'static str,
    /// `TLS13_AES_128_GCM_SHA256`; as rustls spells it.
    pub cipher: &'static str,
}

/// Where a connection stands between two request heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Nothing of the next request has come yet; the keep-alive timeout rules.
    Idle = 0,
    /// A head has begun and must be complete before the deadline.
    Head = 1,
    /// A request is being served; the timeouts of bodies and responses rule.
    Request = 2,
}

impl Connection {
    /// A connection that no byte of a request has come on yet.
    pub fn new(peer: SocketAddr, client: SocketAddr, local: SocketAddr, tls: Option<TlsFacts>) -> Self {
        Self { peer, client, local, tls, stage: AtomicU8::new(Stage::Idle as u8) }
    }

    /// The connection that a request came on; `None` for sessions that our own listeners did not make.
    ///
    /// The engine has no place for facts of ours but the digest of a CONNECT proxy, which servers never have.
    pub fn of(digest: Option<&Digest>) -> Option<Arc<Self>> {
        digest?.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref::<Arc<Self>>().cloned()
    }

    /// Where it stands.
    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Idle,
            1 => Stage::Head,
            _ => Stage::Request,
        }
    }

    /// Says that a head is complete (`Request`), or that a request is done with (`Idle`).
    ///
    /// Relaxed is enough: on HTTP/1.1 one task both reads the socket and serves the request, and HTTP/2 does not use it.
    pub fn set_stage(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }
}
