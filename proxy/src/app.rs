//! One edge, assembled: sockets, control plane, engine and the operators' ports, in the order in which they need each other.
//!
//! Everything that can fail at the start fails here, before a client is served: the file, the sockets, the threads.

mod doors;
mod sockets;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use causeway_config::{ClusterId, Drain};
use causeway_core::Edge;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use self::doors::{Behind, Doors};
use self::sockets::Sockets;
use crate::access_log::AccessLog;
use crate::checker::Checker;
use crate::control::{ConfigFile, Control, Parts, Reloader};
use crate::drain::{Phase, Tally};
use crate::geo_db::LocatorCell;
use crate::handover::{Cargo, Predecessor};
use crate::late;
use crate::metrics::Metrics;
use crate::peer::Peers;
use crate::peering::{Asker, Prober};
use crate::process_secret::ProcessSecret;
use crate::reaching::Reacher;
use crate::readiness::{Guard, NotReady, Readiness};
use crate::service;
use crate::sessions::Sessions;
use crate::shared::{Clock, Shared};

/// The part of start-up that comes last.
const LISTENERS: &str = "listeners";

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
    /// Other edges.
    #[serde(default)]
    pub peer: Vec<SocketAddr>,
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
    log: Arc<AccessLog>,
    /// What connections shall do.
    phase: watch::Sender<Phase>,
    shared: Arc<Shared>,
    doors: Arc<Doors>,
    prober: Option<Prodding>,
    control: Option<ControlThread>,
    /// Why the edge cannot go on, once it cannot.
    broken: watch::Receiver<Option<String>>,
    /// Takes over from the process before this one.
    takeover: Option<JoinHandle<()>>,
}

impl App {
    /// Starts an edge; to be called within the runtime that shall serve clients.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        let instance = format!("{:016x}", fastrand::u64(..));
        Self::start_as(options, &instance)
    }

    /// As [`start`](Self::start), by a name that tells this process from any other: `/readyz` shows it.
    pub fn start_as(options: Options, instance: &str) -> anyhow::Result<Self> {
        // Somebody in this process may have installed it already; one provider is as good as the same one twice.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let clock = Clock::start();
        let parsed = ConfigFile::read(&options.config, &options.home)?;
        let home = parsed.config.home(&options.home)?.id.clone();
        let metrics = Arc::new(Metrics::new(&home, SystemTime::now()));
        let file = ConfigFile::new(options.config, &options.home, parsed, Arc::clone(&metrics));
        let config = Arc::clone(file.config());
        let (readiness, [listening, home_known, certificates_known, linked, reached]) =
            Readiness::awaiting([LISTENERS, "home cluster", "certificates", "links to other clusters", "pods of other clusters"]);

        let mut predecessor = match &config.handover {
            Some(settings) => Predecessor::meet(settings, instance)?,
            None => None,
        };
        let (mut before, mut cargo) =
            predecessor.as_mut().map(|p| (std::mem::take(&mut p.sockets), std::mem::take(&mut p.cargo))).unzip();
        let inherited_secret = cargo.as_mut().and_then(|cargo: &mut Cargo| cargo.secret.take());
        let secret = inherited_secret.map_or_else(ProcessSecret::draw, Ok).context("there is no randomness for a secret")?;
        let sockets = Sockets::bind(&config, before.get_or_insert_default())?;
        let addresses = sockets.addresses()?;
        let edge = Edge { home: home.clone(), listeners: addresses.all(), addresses: own_addresses() };
        let peers = Arc::new(Peers::new());
        let locator = Arc::new(LocatorCell::default());
        let parts = Parts {
            file,
            edge,
            locator: Arc::clone(&locator),
            metrics: Arc::clone(&metrics),
            peers: Arc::clone(&peers),
            clock,
            home_known,
            certificates_known,
            linked,
            secret: secret.clone(),
            inherited: cargo,
        };
        let sessions = Sessions::load(config.fleet.secret.as_deref(), &secret)?;
        let (control, published, certificates) = Control::new(parts)?;
        let (reloader, known) = (control.reloader(), control.known());

        let (phase, watched) = watch::channel(Phase::Serving);
        let log = Arc::new(AccessLog::start(std::io::stdout(), LOG_QUEUE, &metrics)?);
        let shared = Arc::new(Shared {
            snapshot: Arc::clone(&published.snapshot),
            certificates,
            authorities: control.authorities(),
            sessions,
            locate: Box::new(move |address| locator.locate(address)),
            metrics,
            peers,
            clock,
            phase: watched,
            gate: Arc::default(),
            open: Tally::default(),
            access_log: Some(Arc::clone(&log)),
        });
        let (failed, broken) = watch::channel(None);
        let beside: Vec<BoxFuture<'static, ()>> = vec![
            Box::pin(Checker::new(Arc::clone(&shared)).run(published.changes())),
            Box::pin(Reacher::new(Arc::clone(&shared), reached).run(published.changes())),
        ];
        let control = ControlThread::start(control, beside, failed.clone())?;
        let engine = service::engine(Arc::clone(&shared));
        let prober = Prodding::start(home, &shared, &engine);
        let doors = Doors::new();
        let behind = Behind {
            engine,
            config,
            addresses: addresses.clone(),
            shared: Arc::clone(&shared),
            published,
            known,
            secret,
            readiness: readiness.clone(),
            instance: instance.into(),
        };
        let takeover = if let Some(predecessor) = predecessor {
            let doors = Arc::clone(&doors);
            Some(tokio::spawn(async move {
                if let Err(error) = take_over(predecessor, sockets, &doors, &behind, listening).await {
                    failed.send_replace(Some(format!("{error:#}; the process that runs serves on")));
                }
            }))
        } else {
            doors.offer(&behind)?;
            doors.open(sockets, &behind, listening)?;
            None
        };
        tracing::info!(home = options.home, instance, addresses = %serde_json::to_string(&addresses)?, "edge started");
        Ok(Self {
            addresses,
            readiness,
            reloader,
            log,
            phase,
            shared,
            doors,
            prober: Some(prober),
            control: Some(control),
            broken,
            takeover,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Whether clients may come.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Waits until the edge cannot go on, and says why: its control plane has broken, which only a panic does, or it could not
    /// take over from the process before it.
    pub async fn broken(&self) -> String {
        let mut broken = self.broken.clone();
        match broken.wait_for(Option::is_some).await.map(|why| why.clone()) {
            Ok(Some(why)) => why,
            _ => std::future::pending().await,
        }
    }

    /// Waits until another process has taken over. This one accepts nobody any more then, and is to be stopped.
    pub async fn succeeded(&self) {
        if self.doors.given().wait_for(|given| *given).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Reads the configuration file again: what SIGHUP does.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Ends it without dropping a request: not ready, serve on for `drain.lameDuck` since load balancers still send, yet end
    /// each connection with its next response (GOAWAY, `Connection: close`); then close the doors and the connections that wait
    /// for a request, and go as soon as none is left, after `drain.timeout` at the latest.
    ///
    /// Nothing shortens the first of these but a successor, who serves whoever comes: that nobody comes for a while does not say
    /// that nobody will. Where there is one, nothing hurries connections that wait for a request either. They end with their
    /// next response, or when they would have.
    pub async fn stop(mut self, pace: Pace) {
        let Drain { lame_duck, timeout } = self.shared.snapshot.load().config.drain;
        self.readiness.drain();
        self.phase.send_replace(Phase::Draining);
        tracing::info!(?pace, ?lame_duck, ?timeout, "leaving");
        if pace == Pace::Graceful {
            // An error is a successor in time.
            let _ = tokio::time::timeout(lame_duck, self.succeeded()).await;
        }
        self.doors.close_to_clients().await;
        if !*self.doors.given().borrow() {
            self.phase.send_replace(Phase::Closing);
        }
        if tokio::time::timeout(timeout, self.shared.open.none()).await.is_err() {
            let (connections, requests) = (self.shared.open.count(), self.shared.metrics.requests_in_flight());
            tracing::warn!(connections, requests, "connections are cut: they did not end within drain.timeout");
        }
        drop(self.prober.take());
        self.log.flush(Duration::from_secs(5)).await;
        drop(self.control.take());
        let doors = Arc::clone(&self.doors);
        let _ = tokio::task::spawn_blocking(move || doors.close_to_operators()).await;
        tracing::info!("gone");
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.doors.withdraw();
        if let Some(takeover) = self.takeover.take() {
            takeover.abort();
        }
    }
}

/// Opens the doors once everything else is ready, and then lets the process before this one go.
async fn take_over(
    predecessor: Predecessor,
    sockets: Sockets,
    doors: &Arc<Doors>,
    behind: &Behind,
    listening: Guard,
) -> anyhow::Result<()> {
    let patience = behind.config.handover.as_ref().map_or(Duration::ZERO, |settings| settings.timeout);
    if tokio::time::timeout(patience, behind.readiness.all_but(LISTENERS)).await.is_err() {
        let awaited = match behind.readiness.check() {
            Err(NotReady::Awaiting(parts)) => parts.into_iter().filter(|part| *part != LISTENERS).collect::<Vec<_>>().join(", "),
            _ => String::new(),
        };
        anyhow::bail!("not ready within {patience:?} (handover.timeout), still awaiting: {awaited}");
    }
    doors.open(sockets, behind, listening)?;
    match tokio::task::spawn_blocking(move || predecessor.release()).await? {
        Ok(()) => tracing::info!("taken over"),
        // It has gone, or goes on accepting beside this one. Both serve alike.
        Err(error) => tracing::warn!(%error, "the process before this one may serve on"),
    }
    if let Err(error) = doors.offer(behind) {
        tracing::error!(%error, "no other process can take over from this one");
    }
    Ok(())
}

/// How an edge ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Load balancers must notice first.
    Graceful,
    /// Nobody new, from now on; what is under way may still end.
    AtOnce,
}

impl Addresses {
    fn all(&self) -> Vec<SocketAddr> {
        [&self.http, &self.https, &self.peer, &self.health, &self.admin].into_iter().flatten().copied().collect()
    }
}

/// The tasks that ask other edges, over the connections that carry data, and the pulse of the threads that do. Dropping it ends them.
struct Prodding(Vec<JoinHandle<()>>);

impl Prodding {
    fn start(home: ClusterId, shared: &Arc<Shared>, engine: &Arc<service::Engine>) -> Self {
        Self(vec![
            tokio::spawn(late::beat(Arc::clone(shared))),
            tokio::spawn(Asker::new(home.clone(), Arc::clone(shared)).run()),
            tokio::spawn(Prober::new(home, Arc::clone(shared), Arc::clone(engine)).run()),
        ])
    }
}

impl Drop for Prodding {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// The control plane's own thread and runtime. Dropping it stops it.
struct ControlThread {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl ControlThread {
    /// Starts it, and `beside` it what asks endpoints whether they live. `failed` hears if it ends by itself, as only a panic can
    /// make it.
    fn start(
        control: Control,
        beside: Vec<BoxFuture<'static, ()>>,
        failed: watch::Sender<Option<String>>,
    ) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("control".into()).spawn(move || {
            let mut ended = Ended(Some(failed));
            runtime.block_on(async {
                for task in beside {
                    tokio::spawn(task);
                }
                tokio::select! {
                    () = control.run() => {}
                    // An error is the sender's end, which means the same.
                    _ = stopped => ended.0 = None,
                }
            });
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

/// Tells when it is dropped, by unwinding too.
struct Ended(Option<watch::Sender<Option<String>>>);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(ended) = &self.0 {
            ended.send_replace(Some("the control plane has stopped, as the log says above; start the edge anew".into()));
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
