//! What is known of a client's connection before its first request: who called, by which door, and what TLS agreed on.
//!
//! The accept loop makes a [`Connection`], the IO type carries it through the engine, and the request phases read it
//! back from the session. It also holds the one thing that changes: where the connection stands between two request
//! heads, which only the request phases know and only the IO type can act on.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use causeway_certs::Served;
use causeway_config::ClusterId;
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
    /// Whether a client began with the preface of HTTP/2 where there is no TLS to agree on it.
    pub h2c: bool,
    /// Who is at the other end.
    pub role: Role,
    /// How long its client may be silent.
    pub timeouts: Timeouts,
    stage: AtomicU8,
    waits: AtomicBool,
    closing: AtomicBool,
    faulty: AtomicBool,
}

/// Who is at the other end of a connection.
#[derive(Debug)]
pub enum Role {
    /// A client.
    Client,
    /// Another edge of the fleet.
    Peer(PeerFacts),
    /// This edge itself, on an errand of its own.
    Own(Errand),
}

/// What an errand is about: whoever sends it and whoever does it know the type.
#[derive(Clone)]
pub struct Errand(pub Arc<dyn Any + Send + Sync>);

impl std::fmt::Debug for Errand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Errand")
    }
}

/// What mutual TLS agreed on with another edge.
#[derive(Debug)]
pub struct PeerFacts {
    /// The cluster that its certificate names.
    pub cluster: ClusterId,
    /// Whether ALPN settled on HTTP/2.
    pub h2: bool,
}

/// How long a client may be silent.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Between two requests.
    pub idle: Duration,
    /// In the midst of a body, or of taking a response.
    pub body: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { idle: Duration::from_mins(1), body: Duration::from_mins(1) }
    }
}

/// What the TLS handshake agreed on.
#[derive(Debug)]
pub struct TlsFacts {
    /// The certificate that was shown, how it was chosen, and the name that the client asked for.
    pub served: Served,
    /// The policy that the connection was accepted under.
    pub policy: TlsPolicy,
    /// Who the client proved to be, as backends are told (`X-Forwarded-Client-Cert`).
    pub client: Option<http::HeaderValue>,
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
        Self {
            peer,
            client,
            local,
            tls,
            h2c: false,
            role: Role::Client,
            timeouts: Timeouts::default(),
            stage: AtomicU8::new(Stage::Idle as u8),
            waits: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            faulty: AtomicBool::new(false),
        }
    }

    /// The same with somebody else than a client at the other end.
    #[must_use]
    pub fn in_role(self, role: Role) -> Self {
        Self { role, ..self }
    }

    /// Whether it speaks HTTP/2: as ALPN settled, or as a client without TLS has begun.
    pub fn h2(&self) -> bool {
        match &self.role {
            Role::Peer(facts) => facts.h2,
            _ => self.tls.as_ref().map_or(self.h2c, |tls| tls.h2),
        }
    }

    /// The same in HTTP/2 without TLS.
    #[must_use]
    pub(super) fn speaking_h2c(self, h2c: bool) -> Self {
        Self { h2c, ..self }
    }

    /// The same with other timeouts than the defaults.
    #[must_use]
    pub fn with(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
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

    /// Whether the body of the request that is being served breaks the rules: what ended it was no network's fault.
    pub fn faulty(&self) -> bool {
        self.faulty.load(Ordering::Relaxed)
    }

    /// Says so.
    pub(super) fn set_faulty(&self) {
        self.faulty.store(true, Ordering::Relaxed);
    }

    /// Says that a head is complete (`Request`), or that a request is done with (`Idle`).
    ///
    /// Relaxed is enough: on HTTP/1.1 one task both reads the socket and serves the request, and HTTP/2 does not use it.
    pub fn set_stage(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// Ends an HTTP/1.1 connection that is no longer wanted, once nothing is under way on it. Whether it is so now, and may be
    /// dropped; else it ends by itself when it would wait for another request. HTTP/2 has GOAWAY for this.
    pub(crate) fn close(&self) -> bool {
        if self.h2() {
            return false;
        }
        // The strict order is what lets one of the two sides always see the other.
        self.closing.store(true, Ordering::SeqCst);
        self.waits.load(Ordering::SeqCst)
    }

    /// Notes that everything is sent, and that the next request is waited for; whether there shall be none.
    pub(super) fn wait(&self) -> bool {
        self.waits.store(true, Ordering::SeqCst);
        self.closing.load(Ordering::SeqCst)
    }

    /// Notes that a request begins to come.
    pub(super) fn begin(&self) {
        self.waits.store(false, Ordering::SeqCst);
        self.set_stage(Stage::Head);
    }
}
