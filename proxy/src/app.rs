//! One edge, assembled: sockets, control plane, engine and the operators' ports, in the order in which they need each other.
//!
//! Everything that can fail at the start fails here, before a client is served: the file, the sockets, the threads.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use causeway_config::Config;
use causeway_core::Edge;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::access_log::AccessLog;
use crate::admin::Admin;
use crate::control::{ConfigFile, Control, Parts, Published, Reloader};
use crate::geo_db::LocatorCell;
use crate::health::Health;
use crate::listen::{ClientDoor, bind};
use crate::metrics::{Listener, Metrics};
use crate::ops_http::{Handler, OpsServer};
use crate::readiness::{Guard, Readiness};
use crate::redirect::Redirect;
use crate::service;
use crate::shared::{Clock, Shared};

/// How long requests may take to end after the doors are closed.
const DRAIN: Duration = Duration::from_mins(1);

/// How often a drain looks whether the last request has ended.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// Lines of the access log that wait for a slow disk before they are dropped.
const LOG_QUEUE: usize = 16_384;

/// What an edge is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration file.
    pub config: PathBuf,
    /// The cluster that it lives in.
    pub home: String,
}

/// Where an edge listens: the kernel's choice in place of port 0.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Addresses {
    /// Clients, plain.
    pub http: Vec<SocketAddr>,
    /// Clients, TLS.
    pub https: Vec<SocketAddr>,
    /// Health.
    pub health: Vec<SocketAddr>,
    /// Admin.
    pub admin: Vec<SocketAddr>,
}

/// A running edge. Dropping it ends it at once.
pub struct App {
    addresses: Addresses,
    readiness: Readiness,
    reloader: Reloader,
    metrics: Arc<Metrics>,
    log: Arc<AccessLog>,
    /// True: take no more connections.
    stop: watch::Sender<bool>,
    /// True: end those there are.
    drain: watch::Sender<bool>,
    doors: Vec<JoinHandle<()>>,
    control: Option<ControlThread>,
    /// True: the control plane has ended by itself.
    broken: watch::Receiver<bool>,
    ops: Vec<OpsServer>,
}

impl App {
    /// Starts an edge; to be called within the runtime that shall serve clients.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        // Somebody in this process may have installed it already; one provider is as good as the same one twice.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let clock = Clock::start();
        let parsed = ConfigFile::read(&options.config, &options.home)?;
        let home = parsed.config.home(&options.home)?.id.clone();
        let metrics = Arc::new(Metrics::new(&home, SystemTime::now()));
        let file = ConfigFile::new(options.config, &options.home, parsed, Arc::clone(&metrics));
        let config = Arc::clone(file.config());
        let (readiness, [listening, home_known, certificates_known]) =
            Readiness::awaiting(["listeners", "home cluster", "certificates"]);

        let mut sockets = Sockets::bind(&config)?;
        let addresses = sockets.addresses()?;
        let edge = Edge { home, listeners: addresses.all(), addresses: own_addresses() };
        let locator = Arc::new(LocatorCell::default());
        let parts = Parts {
            file,
            edge,
            locator: Arc::clone(&locator),
            metrics: Arc::clone(&metrics),
            clock,
            home_known,
            certificates_known,
        };
        let (control, published, certificates) = Control::new(parts)?;
        let reloader = control.reloader();

        let (stop, stopped) = watch::channel(false);
        let (drain, draining) = watch::channel(false);
        let log = Arc::new(AccessLog::start(std::io::stdout(), LOG_QUEUE, &metrics)?);
        let shared = Arc::new(Shared {
            snapshot: Arc::clone(&published.snapshot),
            certificates,
            locate: Box::new(move |address| locator.locate(address)),
            metrics: Arc::clone(&metrics),
            clock,
            drain: draining,
            access_log: Some(Arc::clone(&log)),
        });
        let (control, broken) = ControlThread::start(control)?;
        let ops = sockets.ops(&readiness, &published, &metrics)?;
        let doors = sockets.open(&config, &addresses, &shared, &stopped, listening);
        tracing::info!(home = options.home, addresses = %serde_json::to_string(&addresses)?, "edge started");
        Ok(Self { addresses, readiness, reloader, metrics, log, stop, drain, doors, control: Some(control), broken, ops })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Whether clients may come.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Waits until the control plane breaks, which is never unless it panics: from then on nothing new would be learned, and the
    /// process had better be started anew.
    pub async fn broken(&self) {
        let mut broken = self.broken.clone();
        if broken.wait_for(|broken| *broken).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Reads the configuration file again: what SIGHUP does.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Ends it without dropping a request: not ready, serve on for `leave_after` since load balancers still send, yet end each
    /// connection with its next response (GOAWAY, `Connection: close`); then close the doors, and go as soon as no request is
    /// left, after a minute at most. Connections that are idle then have been so for all that time, and are cut.
    pub async fn stop(mut self, leave_after: Duration) {
        self.readiness.drain();
        // The receivers of both live as long as anything listens.
        let _ = self.drain.send(true);
        tracing::info!(?leave_after, "leaving");
        tokio::time::sleep(leave_after).await;
        let _ = self.stop.send(true);
        for door in self.doors.drain(..) {
            let _ = door.await;
        }
        let idle = async {
            while self.metrics.requests_in_flight() > 0 {
                tokio::time::sleep(DRAIN_LOOK).await;
            }
        };
        if tokio::time::timeout(DRAIN, idle).await.is_err() {
            tracing::warn!(requests = self.metrics.requests_in_flight(), "requests are cut: they did not end in time");
        }
        self.log.flush(Duration::from_secs(5)).await;
        drop(self.control.take());
        self.ops.clear();
        tracing::info!("gone");
    }
}

impl Addresses {
    fn all(&self) -> Vec<SocketAddr> {
        [&self.http, &self.https, &self.health, &self.admin].into_iter().flatten().copied().collect()
    }
}

/// Bound and not yet served.
struct Sockets {
    http: Vec<TcpListener>,
    https: Vec<TcpListener>,
    health: Vec<TcpListener>,
    admin: Vec<TcpListener>,
}

impl Sockets {
    /// Binds every listener, or none.
    fn bind(config: &Config) -> anyhow::Result<Self> {
        let all = |listener: Listener, addresses: &[SocketAddr]| -> anyhow::Result<Vec<TcpListener>> {
            addresses.iter().map(|address| Ok(bind(listener.as_str(), *address, addresses)?)).collect()
        };
        if config.listen.peer.is_some() {
            tracing::warn!("listen.peer: this version has no peer edges yet, and the port stays closed");
        }
        Ok(Self {
            http: all(Listener::Http, config.listen.http.as_ref().map_or(&[], |l| &l.bind))?,
            https: all(Listener::Https, &config.listen.https.bind)?,
            health: all(Listener::Health, &config.listen.health)?,
            admin: all(Listener::Admin, &config.listen.admin)?,
        })
    }

    fn addresses(&self) -> std::io::Result<Addresses> {
        let of = |sockets: &[TcpListener]| sockets.iter().map(TcpListener::local_addr).collect::<std::io::Result<Vec<_>>>();
        Ok(Addresses { http: of(&self.http)?, https: of(&self.https)?, health: of(&self.health)?, admin: of(&self.admin)? })
    }

    /// Starts the operators' ports, each on a thread of its own.
    fn ops(&mut self, readiness: &Readiness, published: &Published, metrics: &Arc<Metrics>) -> anyhow::Result<Vec<OpsServer>> {
        let health: Arc<dyn Handler> = Arc::new(Health::new(readiness.clone()));
        let admin: Arc<dyn Handler> = Arc::new(Admin::new(Arc::new(published.clone())));
        let start = |port: Listener, sockets: &mut Vec<TcpListener>, handler: Arc<dyn Handler>| -> anyhow::Result<OpsServer> {
            let sockets = sockets.drain(..).map(TcpListener::into_std).collect::<std::io::Result<_>>()?;
            Ok(OpsServer::start(port, sockets, handler, Arc::clone(metrics))?)
        };
        Ok(vec![start(Listener::Health, &mut self.health, health)?, start(Listener::Admin, &mut self.admin, admin)?])
    }

    /// Opens the clients' doors.
    fn open(
        self,
        config: &Config,
        addresses: &Addresses,
        shared: &Arc<Shared>,
        stop: &watch::Receiver<bool>,
        listening: Guard,
    ) -> Vec<JoinHandle<()>> {
        let mut doors = Vec::new();
        let https = ClientDoor::https(&config.listen.https, Arc::clone(shared), service::engine(Arc::clone(shared)));
        doors.extend(self.https.into_iter().map(|socket| https.open(socket, stop.clone())));
        if let Some(settings) = &config.listen.http {
            let https_port = addresses.https.first().map_or(443, SocketAddr::port);
            let redirect = Arc::new(Redirect { https_port, metrics: Arc::clone(&shared.metrics) });
            let http = ClientDoor::http(settings, Arc::clone(shared), redirect);
            doors.extend(self.http.into_iter().map(|socket| http.open(socket, stop.clone())));
        }
        drop(listening);
        doors
    }
}

/// The control plane's own thread and runtime. Dropping it stops it.
struct ControlThread {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl ControlThread {
    /// Starts it. The receiver turns true if it ends by itself, as only a panic can make it.
    fn start(control: Control) -> anyhow::Result<(Self, watch::Receiver<bool>)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let (ended, broken) = watch::channel(false);
        let thread = thread::Builder::new().name("control".into()).spawn(move || {
            let mut ended = Ended(Some(ended));
            runtime.block_on(async {
                tokio::select! {
                    () = control.run() => {}
                    // An error is the sender's end, which means the same.
                    _ = stopped => ended.0 = None,
                }
            });
        })?;
        Ok((Self { stop: Some(stop), thread: Some(thread) }, broken))
    }
}

/// Tells when it is dropped, by unwinding too.
struct Ended(Option<watch::Sender<bool>>);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(ended) = &self.0 {
            ended.send_replace(true);
        }
    }
}

impl Drop for ControlThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was logged when it happened.
            let _ = thread.join();
        }
    }
}

/// The machine's own addresses, to refuse endpoints that are this edge itself. Unknown ones are none: it is a safeguard, and
/// an edge without it still serves.
fn own_addresses() -> Vec<std::net::IpAddr> {
    if_addrs::get_if_addrs()
        .inspect_err(|error| tracing::warn!(%error, "this machine's own addresses are unknown"))
        .map(|all| all.iter().map(if_addrs::Interface::ip).collect())
        .unwrap_or_default()
}
