//! What of an edge is seen from outside: opened in one go, closed in two, or given to a successor.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use causeway_config::{Config, PlainMode};
use causeway_discovery::Update;
use pingora::apps::HttpServerApp;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Addresses;
use super::sockets::Sockets;
use crate::admin::Admin;
use crate::control::Published;
use crate::handover::{Cargo, HandoverError, Listening, Offer, Source};
use crate::health::Health;
use crate::listen::ClientDoor;
use crate::metrics::Listener;
use crate::ops_http::{Handler, OpsServer};
use crate::peering::PeerDoor;
use crate::process_secret::ProcessSecret;
use crate::readiness::{Guard, Readiness};
use crate::redirect::Redirect;
use crate::service;
use crate::shared::Shared;

/// The doors of an edge. Dropping them closes them.
pub(super) struct Doors {
    /// True: clients' doors take no more.
    stop: watch::Sender<bool>,
    clients: Mutex<Vec<JoinHandle<()>>>,
    ops: Mutex<Vec<OpsServer>>,
    /// Second handles of the sockets, for a successor. None is kept longer than its door is open: connections would wait in it
    /// for nobody.
    copies: Mutex<Vec<(Listening, Arc<TcpListener>)>>,
    offer: Mutex<Option<Offer>>,
    /// True: a successor has everything.
    given: watch::Sender<bool>,
}

/// What the doors lead to.
pub(super) struct Behind {
    pub(super) engine: Arc<service::Engine>,
    pub(super) config: Arc<Config>,
    pub(super) addresses: Addresses,
    pub(super) shared: Arc<Shared>,
    pub(super) published: Published,
    /// What clusters told last, Secrets included.
    pub(super) known: Arc<ArcSwapOption<Update>>,
    pub(super) secret: ProcessSecret,
    pub(super) readiness: Readiness,
    /// Which process this is.
    pub(super) instance: Arc<str>,
}

impl Doors {
    /// All closed.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            stop: watch::Sender::new(false),
            clients: Mutex::default(),
            ops: Mutex::default(),
            copies: Mutex::default(),
            offer: Mutex::default(),
            given: watch::Sender::new(false),
        })
    }

    /// Opens all of them: the operators' first, since only those can fail.
    pub(super) fn open(&self, mut sockets: Sockets, behind: &Behind, listening: Guard) -> anyhow::Result<()> {
        if behind.config.handover.is_some() {
            *lock(&self.copies) = sockets.copies()?;
        }
        let metrics = &behind.shared.metrics;
        let health: Arc<dyn Handler> = Arc::new(Health::new(behind.readiness.clone(), &behind.instance));
        let admin: Arc<dyn Handler> = Arc::new(Admin::new(Arc::new(behind.published.clone())));
        let servers = [(Listener::Health, health), (Listener::Admin, admin)]
            .map(|(port, handler)| OpsServer::start(port, sockets.of(port), handler, Arc::clone(metrics)));
        let servers = servers.into_iter().collect::<std::io::Result<Vec<_>>>()?;
        let listen = &behind.config.listen;
        let shared = || Arc::clone(&behind.shared);
        let mut doors = Vec::new();
        let https = ClientDoor::https(&listen.https, shared(), Arc::clone(&behind.engine));
        doors.extend(self.open_all(&https, sockets.of(Listener::Https))?);
        if let Some(settings) = &listen.http {
            let (plain, sockets) = (listen.plain, sockets.of(Listener::Http));
            if plain.mode == PlainMode::Proxy {
                let http = ClientDoor::http(settings, plain, shared(), Arc::clone(&behind.engine));
                doors.extend(self.open_all(&http, sockets)?);
            } else {
                let https_port = behind.addresses.https.first().map_or(443, SocketAddr::port);
                let limits = behind.config.limits.clone();
                let redirect = Arc::new(Redirect { https_port, metrics: Arc::clone(metrics), limits });
                doors.extend(self.open_all(&ClientDoor::http(settings, plain, shared(), redirect), sockets)?);
            }
        }
        let peer = PeerDoor::new(shared(), Arc::clone(&behind.engine), Arc::clone(&https));
        for socket in sockets.of(Listener::Peer) {
            doors.push(peer.open(tokio::net::TcpListener::from_std(socket)?, self.stop.subscribe()));
        }
        *lock(&self.ops) = servers;
        *lock(&self.clients) = doors;
        drop(listening);
        Ok(())
    }

    fn open_all<A>(&self, door: &Arc<ClientDoor<A>>, sockets: Vec<TcpListener>) -> std::io::Result<Vec<JoinHandle<()>>>
    where
        A: HttpServerApp + Send + Sync + 'static,
    {
        let open = |socket| Ok(door.open(tokio::net::TcpListener::from_std(socket)?, self.stop.subscribe()));
        sockets.into_iter().map(open).collect()
    }

    /// Waits for a successor from now on, where the configuration says so.
    pub(super) fn offer(self: &Arc<Self>, behind: &Behind) -> Result<(), HandoverError> {
        let Some(settings) = &behind.config.handover else { return Ok(()) };
        let estate = Estate {
            doors: Arc::clone(self),
            known: Arc::clone(&behind.known),
            published: behind.published.clone(),
            secret: behind.secret.clone(),
            handle: tokio::runtime::Handle::current(),
        };
        let (offer, hears) = Offer::start(&settings.socket, &behind.instance, Arc::new(estate))?;
        *lock(&self.offer) = Some(offer);
        let given = self.given.clone();
        tokio::spawn(async move {
            if hears.await.is_ok() {
                given.send_replace(true);
            }
        });
        Ok(())
    }

    /// Whether a successor has everything.
    pub(super) fn given(&self) -> watch::Receiver<bool> {
        self.given.subscribe()
    }

    /// Takes no more clients; returns when that is so.
    pub(super) async fn close_to_clients(&self) {
        self.stop.send_replace(true);
        let ops = [Listener::Health, Listener::Admin].map(Listener::as_str);
        lock(&self.copies).retain(|(listening, _)| ops.contains(&&*listening.listener));
        let doors = std::mem::take(&mut *lock(&self.clients));
        for door in doors {
            let _ = door.await;
        }
    }

    /// Closes the operators' ports, each after the answers that are under way. Blocks for that long.
    pub(super) fn close_to_operators(&self) {
        lock(&self.copies).clear();
        let servers = std::mem::take(&mut *lock(&self.ops));
        servers.into_iter().for_each(OpsServer::stop);
    }

    /// Waits for no successor any more.
    pub(super) fn withdraw(&self) {
        *lock(&self.offer) = None;
    }
}

/// What is taken from a lock here is whole, whoever panicked while holding it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a successor gets.
struct Estate {
    doors: Arc<Doors>,
    known: Arc<ArcSwapOption<Update>>,
    published: Published,
    secret: ProcessSecret,
    handle: tokio::runtime::Handle,
}

impl Source for Estate {
    fn sockets(&self) -> Vec<(Listening, Arc<TcpListener>)> {
        lock(&self.doors.copies).clone()
    }

    fn cargo(&self) -> Cargo {
        let mut cargo = self.known.load().as_ref().map(|known| self.published.pack(known)).unwrap_or_default();
        cargo.secret = Some(self.secret.clone());
        cargo
    }

    fn release(&self) {
        self.handle.block_on(self.doors.close_to_clients());
        self.doors.close_to_operators();
    }
}
