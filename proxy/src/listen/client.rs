//! From an accepted socket to the engine: what happens to a client's connection before its first request.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use causeway_config::{ClientListener, ProxyProtocol};
use pingora::apps::ServerApp;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{debug, info};

use super::accept::{accept, with_drain};
use super::connection::{Connection, TlsFacts};
use super::io::{ClientIo, HEAD_TIMEOUT};
use super::proxy_protocol::{self, Header, ProxyProtocolError};
use super::socket::Socket;
use super::{ListenError, bind, tls};
use crate::metrics::{Handshake, Listener, RefusalReason};
use crate::shared::Shared;

/// A connection ends at this age, give or take [`AGE_SPREAD`], so that clients come back by way of DNS and load balancers
/// and do not stay for ever where they once were sent.
const MAX_AGE: Duration = Duration::from_hours(1);
const AGE_SPREAD: f64 = 0.1;

/// A listener that clients reach: its door, and what serves behind it.
pub struct ClientDoor<A> {
    listener: Listener,
    tls: bool,
    proxy_protocol: ProxyProtocol,
    shared: Arc<Shared>,
    app: Arc<A>,
}

impl<A> ClientDoor<A>
where
    A: ServerApp + Send + Sync + 'static,
{
    /// A door through which TLS comes.
    pub fn https(settings: &ClientListener, shared: Arc<Shared>, app: Arc<A>) -> Arc<Self> {
        Arc::new(Self { listener: Listener::Https, tls: true, proxy_protocol: settings.proxy_protocol.clone(), shared, app })
    }

    /// A door through which plain HTTP comes.
    pub fn http(settings: &ClientListener, shared: Arc<Shared>, app: Arc<A>) -> Arc<Self> {
        Arc::new(Self { listener: Listener::Http, tls: false, proxy_protocol: settings.proxy_protocol.clone(), shared, app })
    }

    /// Binds every address, or none.
    pub fn bind(&self, addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, ListenError> {
        addresses.iter().map(|address| bind(self.listener.as_str(), *address, addresses)).collect()
    }

    /// Accepts on a bound socket until `stop` turns true.
    pub fn open(self: &Arc<Self>, socket: TcpListener, stop: watch::Receiver<bool>) -> JoinHandle<()> {
        let door = Arc::clone(self);
        tokio::spawn(async move {
            let name = door.listener.as_str();
            accept(name, socket, stop, |stream, peer| {
                let door = Arc::clone(&door);
                tokio::spawn(async move {
                    let _open = door.shared.metrics.connection(door.listener);
                    door.serve(stream, peer).await;
                });
            })
            .await;
        })
    }

    async fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        let (socket, caller) = match self.greet(stream, peer).await {
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
        let fd = socket.as_raw_fd();
        if !self.tls {
            return self.hand_over(socket, fd, caller.connection(None)).await;
        }
        match tls::handshake(socket, &self.shared.certificates, || self.shared.snapshot.load_full()).await {
            Ok((stream, facts)) => {
                self.shared.metrics.handshake(tls::version(&facts), Handshake::Ok);
                self.hand_over(stream, fd, caller.connection(Some(facts))).await;
            }
            Err(error) => {
                self.shared.metrics.handshake(None, error.label());
                debug!(listener = self.listener.as_str(), client = %caller.client, "refused: {error}");
            }
        }
    }

    /// Reads a PROXY protocol header where one is expected, and so finds out who calls.
    async fn greet(&self, mut stream: TcpStream, peer: SocketAddr) -> Result<(Socket, Caller), ProxyProtocolError> {
        let expect = proxy_protocol::expect(&self.proxy_protocol, peer.ip())?;
        let (header, rest) = proxy_protocol::read(&mut stream, expect).await?;
        let (client, local) = match header {
            Some(Header::Proxied { client, local }) => (client, local),
            Some(Header::Sender) | None => (peer, stream.local_addr()?),
        };
        Ok((Socket::new(stream, rest), Caller { peer, client, local }))
    }

    async fn hand_over<T>(&self, transport: T, fd: RawFd, connection: Connection)
    where
        ClientIo<T>: pingora::protocols::IO,
        T: 'static,
    {
        let io = Box::new(ClientIo::new(transport, fd, connection, HEAD_TIMEOUT));
        let age = MAX_AGE.mul_f64(1.0 + AGE_SPREAD * (fastrand::f64() * 2.0 - 1.0));
        with_drain(self.shared.drain.clone(), age, |drain| async move {
            let _ = self.app.process_new(io, &drain).await;
        })
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
