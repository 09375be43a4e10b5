//! What the edge counts, as `/metrics` tells it.
//!
//! Call sites use the typed methods of [`Metrics`]; the names and labels stand here and in the two collectors beside
//! it, and docs/operations.md lists them all, which a test holds true. No label ever holds what a client sent: routes,
//! clusters and certificates come from the fleet's own objects, everything else from the closed sets in `labels`.
//!
//! What every request touches (`requests`) is found without a lock and counted in atomics; what a connection or a rare
//! event touches is an ordinary family of prometheus-client.

mod histogram;
mod labels;
mod peers;
mod process;
mod requests;
mod sources;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use causeway_config::{ClusterId, TlsVersion};
use causeway_core::ClusterPeers;
use causeway_core::agreement::Verdict;
use causeway_core::cluster::ClusterState;
use causeway_core::plan::{Spill, Step};
use causeway_core::time::Nanos;
use causeway_core::view::ClusterHealth;
use causeway_discovery::kube::Stats;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use labels::{
    CertificateSource, CheckResult, Handshake, Listener, PeerRefusal, RefusalReason, Reload, ReloadResult, RetryReason, Status,
};
pub use process::resident_bytes;
pub use requests::{Outcome, Series};
pub use state::Certificate;

/// The media type of [`Metrics::encode`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type UnsignedGauge = Gauge<u64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RetryLabels {
    reason: RetryReason,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TryLabels {
    step: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SpillLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabels {
    cluster: String,
    result: CheckResult,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    reason: RefusalReason,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerRefusalLabels {
    reason: PeerRefusal,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    what: Reload,
    result: ReloadResult,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabels {
    listener: Listener,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandshakeLabels {
    version: &'static str,
    result: Handshake,
}

/// Every counter of the process. One exists; the app shares it out.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Arc<requests::Requests>,
    state: Arc<state::State>,
    sources: Arc<sources::Sources>,
    peers: Arc<peers::Peers>,
    families: Families,
}

#[derive(Debug, Default)]
struct Families {
    in_flight: Gauge,
    tries: Tries,
    retries: Family<RetryLabels, Counter>,
    retries_denied: Counter,
    checks: Family<CheckLabels, Counter>,
    spilled: Family<SpillLabels, Counter>,
    refusals: Family<RefusalLabels, Counter>,
    peer_refusals: Family<PeerRefusalLabels, Counter>,
    reloads: Family<ReloadLabels, Counter>,
    connections: Family<ListenerLabels, Counter>,
    open_connections: Family<ListenerLabels, Gauge>,
    handshakes: Family<HandshakeLabels, Counter>,
    access_log_dropped: Counter,
    generation: UnsignedGauge,
    routes: UnsignedGauge,
    diagnostics: UnsignedGauge,
}

/// Each counter at hand, so that a try need not look it up.
#[derive(Debug)]
struct Tries {
    family: Family<TryLabels, Counter>,
    by_step: [Counter; Step::ALL.len()],
}

impl Default for Tries {
    fn default() -> Self {
        let family = Family::default();
        let by_step = Step::ALL.map(|step| family.get_or_create_owned(&TryLabels { step: step.as_str() }));
        Self { family, by_step }
    }
}

impl Families {
    fn register(&self, registry: &mut Registry) {
        registry.register("requests_in_flight", "Requests that are being served", self.in_flight.clone());
        registry.register("tries", "Tries, by how their endpoint was come by", self.tries.family.clone());
        registry.register("retries", "Tries after the first, by why the one before failed", self.retries.clone());
        let denied = self.retries_denied.clone();
        registry.register("retries_denied", "Tries that were not made since the pool's retry budget was spent", denied);
        let spilled = self.spilled.clone();
        registry.register("spilled", "Requests that no cluster of the client's first tier served, by why", spilled);
        registry.register("health_checks", "Active health checks of endpoints that have ended", self.checks.clone());
        registry.register("refusals", "Requests that the edge answered itself with an error", self.refusals.clone());
        let peer_refusals = self.peer_refusals.clone();
        registry.register("peer_refusals", "Connections on the peer port that got nothing", peer_refusals);
        registry.register("reloads", "Reloads of what may change while serving goes on", self.reloads.clone());
        registry.register("connections", "Connections accepted", self.connections.clone());
        registry.register("connections_open", "Connections that are open", self.open_connections.clone());
        registry.register("tls_handshakes", "TLS handshakes with clients and peers", self.handshakes.clone());
        let dropped = self.access_log_dropped.clone();
        registry.register("access_log_dropped_lines", "Lines that the access log lost to a slow or failing output", dropped);
        registry.register("snapshot_generation", "The number of the snapshot in use", self.generation.clone());
        registry.register("snapshot_routes", "Routes in the snapshot", self.routes.clone());
        registry.register("snapshot_diagnostics", "Faults that serving goes on around", self.diagnostics.clone());
    }
}

impl Metrics {
    /// Everything at zero, for an edge at home in `home` that started at `started`.
    pub fn new(home: &ClusterId, started: SystemTime) -> Self {
        let requests = Arc::new(requests::Requests::new(home.clone()));
        let state = Arc::<state::State>::default();
        let sources = Arc::<sources::Sources>::default();
        let peers = Arc::<peers::Peers>::default();
        let families = Families::default();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(process::Process { started }));
        let ours = registry.sub_registry_with_prefix("causeway");
        ours.register_collector(Box::new(Arc::clone(&requests)));
        ours.register_collector(Box::new(Arc::clone(&state)));
        ours.register_collector(Box::new(Arc::clone(&sources)));
        ours.register_collector(Box::new(Arc::clone(&peers)));
        let build = Info::new([("version", env!("CARGO_PKG_VERSION").to_owned()), ("home", home.to_string())]);
        ours.register("build", "The version of this edge, and the cluster that it is at home in", build);
        families.register(ours);
        Self { registry, requests, state, sources, peers, families }
    }

    /// Everything, as `OpenMetrics` text; its media type is [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.registry).expect("a String takes any text");
        text
    }

    /// Tells which routes and clusters requests are counted by, each time that a snapshot is published.
    pub fn publish_routes(&self, clusters: &[ClusterId], routes: impl Iterator<Item = Arc<str>>) {
        self.requests.publish(clusters, routes);
    }

    /// Where to count a request: by route (as published) and the cluster that served it.
    pub fn series(&self, route: Option<&str>, cluster: Option<&ClusterId>) -> Arc<Series> {
        self.requests.series(route, cluster)
    }

    /// Counts a request as being served until the guard is dropped.
    pub fn request(&self) -> Open {
        Open::new(self.families.in_flight.clone())
    }

    /// Counts a connection, and counts it as open until the guard is dropped.
    pub fn connection(&self, listener: Listener) -> Open {
        let labels = ListenerLabels { listener };
        self.families.connections.get_or_create(&labels).inc();
        Open::new(self.families.open_connections.get_or_create_owned(&labels))
    }

    /// How many requests are being served.
    pub fn requests_in_flight(&self) -> i64 {
        self.families.in_flight.get()
    }

    /// Counts a TLS handshake; `version` is `None` where none was agreed on.
    pub fn handshake(&self, version: Option<TlsVersion>, result: Handshake) {
        self.families.handshakes.get_or_create(&HandshakeLabels { version: labels::tls_version(version), result }).inc();
    }

    /// Counts a try, by how its endpoint was come by.
    pub fn attempt(&self, step: Step) {
        self.families.tries.by_step[step as usize].inc();
    }

    /// Counts a try that the retry budget forbade.
    pub fn retry_denied(&self) {
        self.families.retries_denied.inc();
    }

    /// Counts a request that was not served where its client prefers.
    pub fn spilled(&self, why: Spill) {
        self.families.spilled.get_or_create(&SpillLabels { reason: why.as_str() }).inc();
    }

    /// Counts a health check of an endpoint of a cluster.
    pub fn health_check(&self, cluster: &ClusterId, passed: bool) {
        let result = if passed { CheckResult::Passed } else { CheckResult::Failed };
        self.families.checks.get_or_create(&CheckLabels { cluster: cluster.to_string(), result }).inc();
    }

    /// Counts a try after the first.
    pub fn retry(&self, reason: RetryReason) {
        self.families.retries.get_or_create(&RetryLabels { reason }).inc();
    }

    /// Counts a request that the edge answered itself with an error.
    pub fn refusal(&self, reason: RefusalReason) {
        self.families.refusals.get_or_create(&RefusalLabels { reason }).inc();
    }

    /// Counts a connection on the peer port that got nothing.
    pub fn peer_refusal(&self, reason: PeerRefusal) {
        self.families.peer_refusals.get_or_create(&PeerRefusalLabels { reason }).inc();
    }

    /// Tells which edges are known, and how the clusters are seen.
    pub fn peers(&self, known: &[ClusterPeers], seen: &[(ClusterId, Verdict)]) {
        self.peers.set(known, seen);
    }

    /// Counts a reload.
    pub fn reload(&self, what: Reload, result: ReloadResult) {
        self.families.reloads.get_or_create(&ReloadLabels { what, result }).inc();
    }

    /// Tells of a published snapshot: its generation, and how many routes and diagnostics it has.
    pub fn snapshot(&self, generation: u64, routes: usize, diagnostics: usize) {
        self.families.generation.set(generation);
        self.families.routes.set(routes as u64);
        self.families.diagnostics.set(diagnostics as u64);
    }

    /// Tells how the clusters stand. Ages are as of `now`: call it before a scrape too.
    pub fn clusters(&self, clusters: &[ClusterState], now: Nanos) {
        self.state.clusters(clusters, now);
        self.sources.age(now);
    }

    /// Tells how the clusters' endpoints are doing: call it before a scrape.
    pub fn health(&self, health: Vec<ClusterHealth>) {
        self.state.health(health);
    }

    /// Tells which clusters are API servers, and where their counters are.
    pub fn sources(&self, sources: Vec<(ClusterId, Arc<Stats>)>) {
        self.sources.set(sources);
    }

    /// What the clusters' sources count, for people.
    pub fn sources_view(&self, now: Nanos) -> serde_json::Value {
        self.sources.view(now)
    }

    /// Tells which certificates are in use.
    pub fn certificates(&self, certificates: impl IntoIterator<Item = Certificate>) {
        self.state.certificates(certificates);
    }

    /// The counter of lines that the access log lost.
    pub(crate) fn access_log_dropped(&self) -> Counter {
        self.families.access_log_dropped.clone()
    }
}

/// Something that is going on: counted from its making until it is dropped.
#[derive(Debug)]
#[must_use = "what is counted ends when this is dropped"]
pub struct Open(Gauge);

impl Open {
    fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
