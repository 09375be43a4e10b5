//! From an accepted socket to the engine: what happens to a client's connection before its first request.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use causeway_config::{ClientListener, Limits, MemoryLimit, Plain, PlainMode, ProxyProtocol};
use pingora::apps::{HttpServerApp, ServerApp};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info};

use super::accept::{accept, with_drain};
use super::client_ca::ClientCas;
use super::connection::{Connection, Timeouts, TlsFacts};
use super::http1::{self, PLAIN_KEEP_ALIVE};
use super::io::ClientIo;
use super::limits::IoLimits;
use super::preface::{self, Begun};
use super::proxy_protocol::{self, Header, ProxyProtocolError};
use super::recorder::Recorder;
use super::socket::Socket;
use super::tls::{Answer, HandshakeError, Outsider};
use super::{ListenError, bind, tls};
use crate::drain::Phase;
use crate::limit::{Gate, Pass};
use crate::metrics::{Handshake, Listener, RefusalReason};
use crate::peer::relay::RelayHead;
use crate::shared::Shared;

/// A connection ends at its limit's age, give or take this, so that clients come back by way of DNS and load balancers and do
/// not stay for ever where they once were sent, and do not all come back at once.
const AGE_SPREAD: f64 = 0.1;

/// A listener that clients reach: its door, and what serves behind it.
pub struct ClientDoor<A> {
    listener: Listener,
    tls: bool,
    plain: Plain,
    proxy_protocol: ProxyProtocol,
    authorities: ClientCas,
    shared: Arc<Shared>,
    app: Arc<A>,
}

impl<A> ClientDoor<A>
where
    A: HttpServerApp + Send + Sync + 'static,
{
    /// A door through which TLS comes.
    pub fn https(settings: &ClientListener, shared: Arc<Shared>, app: Arc<A>) -> Arc<Self> {
        Self::new(Listener::Https, settings, Plain::default(), shared, app)
    }

    /// A door through which plain HTTP comes.
    pub fn http(settings: &ClientListener, plain: Plain, shared: Arc<Shared>, app: Arc<A>) -> Arc<Self> {
        Self::new(Listener::Http, settings, plain, shared, app)
    }

    fn new(listener: Listener, settings: &ClientListener, plain: Plain, shared: Arc<Shared>, app: Arc<A>) -> Arc<Self> {
        let (tls, proxy_protocol) = (listener == Listener::Https, settings.proxy_protocol.clone());
        let authorities = ClientCas::new(Arc::clone(&shared.authorities));
        Arc::new(Self { listener, tls, plain, proxy_protocol, authorities, shared, app })
    }

    /// Binds every address, or none.
    pub fn bind(&self, addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, ListenError> {
        addresses.iter().map(|address| bind(self.listener.as_str(), *address, addresses)).collect()
    }

    /// Accepts on a bound socket until `stop` turns true.
    pub fn open(self: &Arc<Self>, socket: TcpListener, stop: watch::Receiver<bool>) -> JoinHandle<()> {
        let door = Arc::clone(self);
        let snapshot = Arc::downgrade(&self.shared.snapshot);
        let memory = move || snapshot.upgrade().map_or(MemoryLimit::Off, |snapshot| snapshot.load().config.limits.memory);
        tokio::spawn(Gate::watch_memory(Arc::downgrade(&self.shared.gate), memory));
        tokio::spawn(async move {
            let name = door.listener.as_str();
            accept(name, socket, stop, |stream, peer| {
                let config = Arc::clone(&door.shared.snapshot.load().config);
                let pass = match door.shared.gate.enter(&config.limits) {
                    Ok(pass) => pass,
                    Err(reason) => return door.shared.metrics.refusal(reason),
                };
                let door = Arc::clone(&door);
                let open = (door.shared.metrics.connection(door.listener), door.shared.open.one());
                tokio::spawn(async move {
                    let _open = open;
                    door.serve(stream, peer, pass, &config.limits).await;
                });
            })
            .await;
        })
    }

    async fn serve(&self, stream: TcpStream, peer: SocketAddr, mut pass: Pass, limits: &Limits) {
        let (mut socket, caller) = match self.greet(stream, peer, limits).await {
            Ok(greeted) => greeted,
            Err(error) => {
                self.shared.metrics.refusal(RefusalReason::ProxyProtocol);
                return match error {
                    // A balancer that is set up wrongly is worth a line; what strangers send is not.
                    ProxyProtocolError::Untrusted(_) | ProxyProtocolError::Missing => {
                        info!(listener = self.listener.as_str(), %peer, "refused: {error}");
                    }
                    _ => debug!(listener = self.listener.as_str(), %peer, "refused: {error}"),
                };
            }
        };
        let client = caller.client.ip();
        let handshake = || if self.tls { self.shared.gate.handshake(limits, client) } else { Ok(()) };
        if let Err(reason) = pass.of_client(limits, client).and_then(|()| handshake()) {
            debug!(listener = self.listener.as_str(), %client, reason = reason.as_str(), "refused");
            return self.shared.metrics.refusal(reason);
        }
        let fd = socket.as_raw_fd();
        if !self.tls {
            let Some(h2c) = self.begun(&mut socket, limits).await else { return };
            return self.hand_over(socket, fd, caller.connection(None).speaking_h2c(h2c), limits).await;
        }
        if let Some(outsider) = self.answer(socket, fd, &caller, limits).await {
            self.send_inside(outsider, &caller).await;
        }
    }

    /// Serves a client whose stream an edge outside the host's fence has sent here. It counts as if it had come by itself, since it
    /// costs as much; what that edge lets in is that edge's measure. One whose TLS must not end here either is refused: nothing is
    /// sent on twice.
    pub(crate) async fn serve_relayed<T>(&self, stream: T, fd: RawFd, head: &RelayHead)
    where
        ClientIo<TlsStream<Recorder<T>>>: pingora::protocols::IO,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let caller = Caller { peer: head.client, client: head.client, local: head.local };
        let config = Arc::clone(&self.shared.snapshot.load().config);
        let _pass = match self.admit(&config.limits, caller.client.ip()) {
            Ok(pass) => pass,
            Err(reason) => {
                debug!(listener = self.listener.as_str(), client = %caller.client, reason = reason.as_str(), "not taken in");
                return self.shared.metrics.refusal(reason);
            }
        };
        if let Some(outsider) = self.answer(stream, fd, &caller, &config.limits).await {
            self.refused(&outsider.refuse().await, &caller);
        }
    }

    /// Lets a client in whose address is known from the beginning.
    fn admit(&self, limits: &Limits, client: IpAddr) -> Result<Pass, RefusalReason> {
        let mut pass = self.shared.gate.enter(limits)?;
        pass.of_client(limits, client)?;
        self.shared.gate.handshake(limits, client)?;
        Ok(pass)
    }

    /// Answers a client's hello and serves it; returns it where its host's TLS must end elsewhere.
    async fn answer<T>(&self, transport: T, fd: RawFd, caller: &Caller, limits: &Limits) -> Option<Outsider<T>>
    where
        ClientIo<TlsStream<Recorder<T>>>: pingora::protocols::IO,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let snapshot = || self.shared.snapshot.load_full();
        match tls::handshake(transport, &self.shared.certificates, &self.authorities, snapshot, limits.handshake_timeout).await {
            Ok(Answer::Here(stream, facts)) => {
                self.shared.metrics.handshake(tls::version(&facts), Handshake::Ok);
                self.hand_over(stream, fd, caller.connection(Some(facts)), limits).await;
                None
            }
            Ok(Answer::Elsewhere(outsider)) => Some(outsider),
            Err(error) => {
                self.refused(&error, caller);
                None
            }
        }
    }

    /// Carries a client's stream to an edge inside the fence, as it is.
    async fn send_inside<T>(&self, mut outsider: Outsider<T>, caller: &Caller)
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let head = RelayHead::new(&outsider.name, caller.client, caller.local);
        match self.shared.peers.relay(&outsider.fence, &head).await {
            Ok(mut inside) => {
                self.shared.metrics.handshake(None, Handshake::Relayed);
                let mut phase = self.shared.phase.clone();
                let closing = async {
                    if phase.wait_for(|phase| *phase >= Phase::Closing).await.is_err() {
                        // Nobody is left who could say so.
                        std::future::pending::<()>().await;
                    }
                };
                let carrying = self.shared.peers.carry(&mut outsider.stream, &outsider.hello, &mut inside, closing);
                if let Err(error) = carrying.await {
                    debug!(listener = self.listener.as_str(), client = %caller.client, %error, "a relayed stream broke");
                }
            }
            Err(error) => {
                info!(host = outsider.name, "not relayed: {error}");
                self.refused(&outsider.refuse().await, caller);
            }
        }
    }

    fn refused(&self, error: &HandshakeError, caller: &Caller) {
        self.shared.metrics.handshake(None, error.label());
        debug!(listener = self.listener.as_str(), client = %caller.client, "refused: {error}");
    }

    /// Reads a PROXY protocol header where one is expected, and so finds out who calls.
    async fn greet(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
        limits: &Limits,
    ) -> Result<(Socket, Caller), ProxyProtocolError> {
        let expect = proxy_protocol::expect(&self.proxy_protocol, peer.ip())?;
        let (header, rest) = proxy_protocol::read(&mut stream, expect, limits.proxy_header_timeout).await?;
        let (client, local) = match header {
            Some(Header::Proxied { client, local }) => (client, local),
            Some(Header::Sender) | None => (peer, stream.local_addr()?),
        };
        Ok((Socket::new(stream, rest), Caller { peer, client, local }))
    }

    /// Whether a client without TLS speaks HTTP/2; `None` where its connection ends before that is known.
    async fn begun(&self, socket: &mut Socket, limits: &Limits) -> Option<bool> {
        if !self.plain.h2c {
            return Some(false);
        }
        let mut phase = self.shared.phase.clone();
        let begun = tokio::select! {
            biased;
            Ok(_) = phase.wait_for(|phase| *phase >= Phase::Closing) => return None,
            begun = preface::begun(socket, self.keep_alive(limits), limits.http2.preface_timeout) => begun,
        };
        match begun {
            Ok(Begun::Http2) => Some(true),
            Ok(Begun::Http1) => Some(false),
            Ok(Begun::Slow) => {
                self.shared.metrics.refusal(RefusalReason::SlowHeader);
                None
            }
            Ok(Begun::Silent) | Err(_) => None,
        }
    }

    /// How long a connection may wait for its next request.
    fn keep_alive(&self, limits: &Limits) -> Duration {
        let serves = self.tls || self.plain.mode == PlainMode::Proxy;
        if serves { limits.idle_timeout } else { limits.idle_timeout.min(PLAIN_KEEP_ALIVE) }
    }

    async fn hand_over<T>(&self, transport: T, fd: RawFd, connection: Connection, limits: &Limits)
    where
        ClientIo<T>: pingora::protocols::IO,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = connection.with(Timeouts { idle: limits.idle_timeout, body: limits.body_idle_timeout });
        let io = Box::new(ClientIo::new(transport, fd, connection, IoLimits::from(limits), Arc::clone(&self.shared.metrics)));
        let age = limits.connection_age.mul_f64(1.0 + AGE_SPREAD * (fastrand::f64() * 2.0 - 1.0));
        let connection = Arc::clone(io.connection());
        let (h2, keep_alive) = (connection.h2(), self.keep_alive(limits));
        with_drain(
            self.shared.phase.clone(),
            age,
            || connection.close(),
            |drain| async move {
                if h2 {
                    let _ = self.app.process_new(io, &drain).await;
                } else {
                    http1::serve(&self.app, io, keep_alive, &drain).await;
                }
            },
        )
        .await;
    }
}

/// Who calls, and what was called.
struct Caller {
    peer: SocketAddr,
    client: SocketAddr,
    local: SocketAddr,
}

impl Caller {
    fn connection(&self, tls: Option<TlsFacts>) -> Connection {
        Connection::new(self.peer, self.client, self.local, tls)
    }
}
