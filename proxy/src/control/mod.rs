//! The control plane: from files and clusters to what is published.
//!
//! ```text
//! causeway.yaml --follow--> Config ---+
//! clusters ------Hub-----> Update ----+--> compile --> Snapshot --ArcSwap--> requests
//!                                     |        \--> Secrets wanted --> Hub
//!                                     +--> certificates --> CertIndex --> handshakes
//!                          clock -----+--> tick --> shares
//! ```
//!
//! One task does all of it, on a runtime of its own, so that there is one writer of everything published, and a busy data
//! plane cannot keep a dark cluster from being noticed.

mod authorities;
mod certificates;
mod fleet;
mod follow;
mod inherited;
mod links;
mod sources;
mod view;

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use causeway_certs::{CertCell, CertError, TicketSecret};
use causeway_config::{ClusterId, Config, ObjectName};
use causeway_core::cluster::{ClusterState, Freshness};
use causeway_core::{Believed, Diagnostic, Edge, Nanos, Snapshot, believed, compile, health, tick};
use causeway_discovery::translate::{Key, Kind};
use causeway_discovery::{Hub, Timing, Update, WantedSecrets};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::authorities::AuthoritiesCell;
use crate::geo_db::LocatorCell;
use crate::handover::Cargo;
use crate::metrics::{Metrics, Reload, ReloadResult};
use crate::peer::Peers;
use crate::process_secret::ProcessSecret;
use crate::readiness::Guard;
use crate::shared::Clock;
use authorities::{Named, Vouchers};
use certificates::Certificates;
use fleet::FleetFiles;
use inherited::Inherited;
use links::Links;

pub use follow::{ConfigFile, Reloader, StartError};
pub use view::{Published, explain_request};

/// Something that the world outside changed.
#[derive(Debug)]
enum Event {
    /// A new configuration that is good.
    Config(Arc<Config>),
    /// A file that the configuration names may hold something else now.
    Files(Vec<PathBuf>),
    /// Everything that the configuration names shall be read again.
    Reread,
}

/// The control plane of one edge, before it runs.
pub struct Control {
    config: Arc<Config>,
    edge: Edge,
    hub: Hub,
    wanted: watch::Sender<WantedSecrets>,
    update: Option<Update>,
    /// What clusters told last, for a successor.
    known: Arc<ArcSwapOption<Update>>,
    /// What the process before this one knew, for as long as that counts.
    inherited: Option<Inherited>,
    /// When a cluster will have been silent for too long.
    believed_until: Option<Nanos>,
    certificates: Certificates,
    vouchers: Vouchers,
    published: Published,
    locator: Arc<LocatorCell>,
    metrics: Arc<Metrics>,
    fleet: FleetFiles,
    clock: Clock,
    home_known: Option<Guard>,
    certificates_known: Option<Guard>,
    links: Option<Links>,
    events: mpsc::Receiver<Event>,
    file: ConfigFile,
}

/// What the control plane needs from whoever assembles the edge.
pub struct Parts {
    /// The configuration file, read once already.
    pub file: ConfigFile,
    /// What is particular to this edge.
    pub edge: Edge,
    /// Where clients are.
    pub locator: Arc<LocatorCell>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The other edges.
    pub peers: Arc<Peers>,
    /// The time.
    pub clock: Clock,
    /// What session tickets are made of, where the configuration names no file.
    pub secret: ProcessSecret,
    /// What the process before this one knew.
    pub inherited: Option<Cargo>,
    /// Dropped once the home cluster was read.
    pub home_known: Guard,
    /// Dropped once the certificates of the home cluster's routes were read, or were waited for in vain.
    pub certificates_known: Guard,
    /// Dropped once the clusters that are reached through edges are reached, or could not be.
    pub linked: Guard,
}

impl Control {
    /// Prepares it; nothing is read from a cluster yet. Also gives the cells that it will publish to.
    pub fn new(parts: Parts) -> Result<(Self, Published, CertCell), CertError> {
        let Parts { mut file, edge, locator, metrics, peers, clock, home_known, certificates_known, linked, secret, inherited } =
            parts;
        let config = Arc::clone(file.config());
        let (wanted, wanted_reader) = watch::channel(WantedSecrets::default());
        let now: causeway_discovery::Clock = Arc::new(move || clock.now());
        let factory = sources::factory(edge.home.clone(), config.state_dir.clone(), now.clone());
        let hub = Hub::new(factory, wanted_reader, Timing::default(), now);
        let tickets = match &config.tls.ticket_secret {
            None => TicketSecret::new(secret.expose())?,
            Some(file) => TicketSecret::read(file)?,
        };
        let (certificates, cell) = Certificates::new(unix_now(), tickets)?;
        let published = Published::new(&config, Arc::clone(&metrics), Arc::clone(&peers), clock, Arc::clone(&locator));
        let fleet = FleetFiles::new(edge.home.clone(), peers, Arc::clone(&metrics));
        let links = match &inherited {
            Some(cargo) => Links::of_predecessor(cargo.linked.clone(), clock.now(), linked),
            None => Links::first(&config, &edge.home, clock.now(), linked),
        };
        let (sender, events) = mpsc::channel(16);
        file.follow(sender);
        let control = Self {
            config,
            edge,
            hub,
            wanted,
            update: None,
            known: Arc::default(),
            links,
            inherited: inherited.map(|cargo| Inherited::new(cargo, clock.now())),
            believed_until: None,
            certificates,
            vouchers: Vouchers::default(),
            published: published.clone(),
            locator,
            metrics,
            fleet,
            clock,
            home_known: Some(home_known),
            certificates_known: Some(certificates_known),
            events,
            file,
        };
        Ok((control, published, cell))
    }

    /// What clusters told last, Secrets included: for a process that takes over from this one.
    pub fn known(&self) -> Arc<ArcSwapOption<Update>> {
        Arc::clone(&self.known)
    }

    /// Who vouches for backends: the cell that this publishes to.
    pub fn authorities(&self) -> AuthoritiesCell {
        self.vouchers.cell()
    }

    /// A handle that reads the configuration file again.
    pub fn reloader(&self) -> Reloader {
        self.file.reloader()
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        let mut peers = self.fleet.changes();
        let mut told = self.fleet.told();
        self.reconfigure();
        // What changed between the first reading and the beginning of the watch.
        let reloader = self.reloader();
        tokio::task::spawn_blocking(move || reloader.reload());
        let mut ticks = tokio::time::interval(health::PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                update = self.hub.next() => {
                    self.update = Some(update);
                    self.publish();
                }
                Some(event) = self.events.recv() => self.take(event),
                Ok(()) = peers.changed() => self.publish(),
                Ok(()) = told.changed() => self.publish(),
                _ = ticks.tick() => {
                    let now = self.clock.now();
                    let moved = tick(&self.published.snapshot.load(), now);
                    if self.inherited.as_ref().is_some_and(|inherited| inherited.over(now)) {
                        self.inherited = None;
                        self.publish();
                    }
                    if self.links.as_ref().is_some_and(|links| links.late(now)) {
                        self.links = None;
                    }
                    let due = self.certificates.due(unix_now()) || self.vouchers.due(unix_now());
                    if moved || due || self.believed_until.is_some_and(|until| until <= now) {
                        self.publish();
                    }
                }
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Config(config) => {
                self.config = config;
                self.reconfigure();
                self.publish();
            }
            Event::Files(paths) => {
                self.fleet.load(&self.config);
                if self.config.geo.database.as_ref().is_some_and(|database| paths.contains(database)) {
                    self.load_geo();
                }
                self.certificates.forget_files();
                self.publish();
            }
            Event::Reread => {
                self.fleet.load(&self.config);
                self.load_geo();
                self.certificates.forget_files();
                self.publish();
            }
        }
    }

    fn reconfigure(&mut self) {
        let sources: Vec<_> = self.config.clusters.iter().map(|c| (c.id.clone(), c.source.clone())).collect();
        self.hub.reconfigure(sources);
        self.metrics.sources(self.hub.stats());
        // First watch, then read, and no change is lost between.
        self.file.watch_named_files(&self.config);
        self.certificates.forget_files();
        self.fleet.load(&self.config);
        self.fleet.note_config(self.file.hash());
        self.load_geo();
    }

    fn load_geo(&self) {
        // It has logged and counted what is wrong by itself, and kept what it had.
        let _ = self.locator.apply(&self.config.geo, &self.metrics);
    }

    /// Compiles, ticks and publishes what changed: certificates first, since a route without its certificate fails, and a
    /// certificate without its route harms nothing.
    fn publish(&mut self) {
        let Some(update) = self.fill() else { return };
        let before = self.published.snapshot.load_full();
        let Believed { states, until } = believed(&self.config, &update.clusters, self.clock.now());
        self.believed_until = until;
        let known = self.fleet.peers();
        let (snapshot, mut diagnostics) = compile(&self.config, &self.edge, &states, &known, &before);
        let vouchers = authorities::named(&snapshot);
        let asked = self.want(&snapshot, &vouchers);
        if !asked.is_empty() {
            self.certificates.asked(asked, unix_now());
        }
        self.vouchers.rebuild(vouchers, &update.secrets, unix_now());
        let problems = self.certificates.rebuild(&self.config, &snapshot, &update.secrets, unix_now());
        match problems {
            Some(true) => self.metrics.reload(Reload::Certificates, ReloadResult::Ok),
            Some(false) => self.metrics.reload(Reload::Certificates, ReloadResult::Error),
            None => {}
        }
        diagnostics.extend(self.certificates.diagnostics().iter().cloned());
        diagnostics.extend(self.vouchers.diagnostics().iter().cloned());
        diagnostics.extend(self.fleet.diagnostics(&self.config));
        let changed = snapshot.generation != before.generation;
        if changed {
            if let Some(inherited) = &mut self.inherited {
                inherited.teach(&snapshot);
            }
            tick(&snapshot, self.clock.now());
        }
        self.metrics.certificates(self.certificates.for_metrics().into_iter().chain(self.fleet.for_metrics()));
        self.published.publish(changed.then_some(snapshot), diagnostics, states);
        self.note_home(&update.clusters);
        if let Some(links) = &self.links {
            let snapshot = self.published.snapshot.load();
            let told = |c: &&ClusterState| c.freshness != Freshness::Syncing;
            let told = update.clusters.iter().filter(told).map(|state| state.cluster.clone()).collect();
            if links.are_settled(&known, &self.fleet.hopeless(&snapshot, &told)) {
                self.links = None;
            }
        }
    }

    /// What clusters told, and where they told nothing yet, what they told the process before this one, or another edge at home.
    fn fill(&mut self) -> Option<Update> {
        let update = self.update.as_ref()?;
        let mut filled = match &mut self.inherited {
            Some(inherited) => inherited.fill(update, self.clock.now()),
            None => update.clone(),
        };
        self.fleet.share(&mut filled.clusters);
        self.known.store(Some(Arc::new(filled.clone())));
        Some(filled)
    }

    /// Tells the sources which Secrets and `ConfigMap`s are needed, each in its own cluster; returns the names of certificates
    /// that were not before.
    fn want(&self, snapshot: &Snapshot, vouchers: &Named) -> BTreeSet<ObjectName> {
        let of_certificates = snapshot.secrets.iter().map(|s| (s.cluster.clone(), s.secret.clone()));
        let of_certificates: BTreeSet<_> = of_certificates.chain(certificates::default_secrets(snapshot)).collect();
        let keys = of_certificates.iter().map(|(cluster, name)| (cluster.clone(), Key::secret(name.clone())));
        let wanted: BTreeSet<_> = keys.chain(vouchers.keys().map(|(cluster, ca)| (cluster.clone(), Key::from(ca)))).collect();
        let mut asked = BTreeSet::new();
        self.wanted.send_if_modified(|current| {
            let changed = **current != wanted;
            if changed {
                let secrets = current.iter().filter(|(_, key)| key.kind == Kind::Secret);
                let before: BTreeSet<&ObjectName> = secrets.map(|(_, key)| &key.name).collect();
                asked = of_certificates.iter().map(|(_, name)| name).filter(|name| !before.contains(name)).cloned().collect();
                *current = Arc::new(wanted);
            }
            changed
        });
        asked
    }

    fn note_home(&mut self, clusters: &[ClusterState]) {
        let home: &ClusterId = &self.edge.home;
        let known = |state: &ClusterState| state.cluster == *home && state.freshness != Freshness::Syncing;
        if clusters.iter().any(known) {
            self.home_known = None;
            // Clients that came sooner would be shown the self-signed default, and backends could prove themselves to nobody.
            if !self.certificates.arriving() && !self.vouchers.arriving(unix_now()) {
                self.certificates_known = None;
            }
        }
    }
}

/// Seconds since 1970.
fn unix_now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs().cast_signed()
}

/// An empty snapshot's cell.
fn snapshot_cell(config: &Arc<Config>) -> Arc<ArcSwap<Snapshot>> {
    Arc::new(ArcSwap::from_pointee(Snapshot::empty(Arc::clone(config))))
}

/// The most lines that one change of the diagnostics writes to the log, new and mended ones each: a cluster can hold tens of
/// thousands of faulty objects.
const LOGGED: usize = 50;

/// Tells of faults that are new, and of those that are gone, each once.
fn log_changes(before: &[Diagnostic], after: &[Diagnostic]) {
    let (old, new): (HashSet<_>, HashSet<_>) = (before.iter().collect(), after.iter().collect());
    let mut appeared = after.iter().filter(|d| !old.contains(d));
    for diagnostic in appeared.by_ref().take(LOGGED) {
        match diagnostic.severity {
            causeway_core::Severity::Error => tracing::error!("{diagnostic}"),
            causeway_core::Severity::Warning => tracing::warn!("{diagnostic}"),
        }
    }
    let mut mended = before.iter().filter(|d| !new.contains(d));
    for diagnostic in mended.by_ref().take(LOGGED) {
        tracing::info!("mended: {diagnostic}");
    }
    let (more, less) = (appeared.count(), mended.count());
    if more + less > 0 {
        tracing::warn!("and {more} more faults, {less} more mended; /diagnostics on the admin port lists all");
    }
}
