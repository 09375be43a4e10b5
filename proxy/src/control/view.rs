//! What is published, for everybody who reads: requests, and the admin port.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use causeway_config::Config;
use causeway_core::cluster::ClusterState;
use causeway_core::explain::{Explanation, explain};
use causeway_core::route::normal_host;
use causeway_core::{Diagnostic, RequestHead, Snapshot, learned, view};
use causeway_discovery::Update;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::links::linked;
use super::{log_changes, snapshot_cell};
use crate::admin::{AdminSource, ExplainQuery};
use crate::geo_db::LocatorCell;
use crate::handover::Cargo;
use crate::metrics::Metrics;
use crate::peer::Peers;
use crate::shared::Clock;

/// The published state of the control plane. Clones are of one and the same.
#[derive(Clone)]
pub struct Published {
    /// What requests are decided by.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Tells that there is another snapshot.
    replaced: Arc<watch::Sender<()>>,
    diagnostics: Arc<ArcSwap<Vec<Diagnostic>>>,
    clusters: Arc<ArcSwap<Vec<ClusterState>>>,
    metrics: Arc<Metrics>,
    peers: Arc<Peers>,
    clock: Clock,
    locator: Arc<LocatorCell>,
}

impl Published {
    pub(super) fn new(
        config: &Arc<Config>,
        metrics: Arc<Metrics>,
        peers: Arc<Peers>,
        clock: Clock,
        locator: Arc<LocatorCell>,
    ) -> Self {
        let (diagnostics, clusters) = (Arc::default(), Arc::default());
        let replaced = Arc::new(watch::Sender::new(()));
        Self { snapshot: snapshot_cell(config), replaced, diagnostics, clusters, metrics, peers, clock, locator }
    }

    /// Replaces what changed. Only the control plane calls it.
    pub(super) fn publish(&self, snapshot: Option<Snapshot>, mut diagnostics: Vec<Diagnostic>, clusters: Vec<ClusterState>) {
        diagnostics.sort();
        diagnostics.dedup();
        log_changes(&self.diagnostics.load(), &diagnostics);
        if let Some(snapshot) = snapshot {
            self.announce(&snapshot, diagnostics.len());
            self.snapshot.store(Arc::new(snapshot));
            self.replaced.send_replace(());
        }
        let snapshot = self.snapshot.load();
        self.metrics.snapshot(snapshot.generation, snapshot.routes.hosts.len(), diagnostics.len());
        self.diagnostics.store(Arc::new(diagnostics));
        self.clusters.store(Arc::new(clusters));
    }

    /// Changes with the snapshot.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.replaced.subscribe()
    }

    /// What another process needs to go on where this one stands: what clusters told, and what serving has taught.
    pub fn pack(&self, known: &Update) -> Cargo {
        let now = self.clock.now();
        let mut cargo = Cargo::pack(known, learned(&self.snapshot.load(), now), now);
        cargo.linked = linked(&self.peers.known.borrow());
        cargo
    }

    /// Metrics know routes and clusters before the first request of theirs comes.
    fn announce(&self, snapshot: &Snapshot, diagnostics: usize) {
        let clusters: Vec<_> = snapshot.clusters.iter().map(|c| c.id.clone()).collect();
        let names = snapshot.routes.hosts.iter().flat_map(|entry| entry.paths.iter().map(|(_, route)| Arc::clone(&route.label)));
        self.metrics.publish_routes(&clusters, names);
        tracing::info!(
            generation = snapshot.generation,
            hosts = snapshot.routes.hosts.len(),
            pools = snapshot.pools.len(),
            diagnostics,
            "snapshot published"
        );
    }
}

/// Explains a request as the edge that holds `snapshot` would decide it.
pub fn explain_request(
    snapshot: &Snapshot,
    locator: &LocatorCell,
    query: &ExplainQuery,
    clock: Clock,
    seed: u64,
) -> Option<Explanation> {
    let host = normal_host(query.url.host()?)?.into_owned();
    let location = query.client.and_then(|client: IpAddr| locator.locate(client));
    let head = RequestHead { host: &host, path: query.url.path() };
    Some(explain(snapshot, head, location.as_ref(), clock.now(), seed))
}

impl Published {
    /// How each cluster is seen from here, and what all edges' views say.
    fn seen(&self) -> Value {
        json!(self.peers.sight.load().judged(self.snapshot.load().home(), self.clock.now()))
    }
}

impl AdminSource for Published {
    fn metrics(&self) -> String {
        let now = self.clock.now();
        self.metrics.clusters(&self.clusters.load(), now);
        self.metrics.health(view::health(&self.snapshot.load(), now));
        self.metrics.encode()
    }

    fn explain(&self, query: &ExplainQuery) -> Value {
        let seed = self.clock.now().0;
        match explain_request(&self.snapshot.load(), &self.locator, query, self.clock, seed) {
            Some(explanation) => {
                let mut value = serde_json::to_value(explanation).unwrap_or_else(|error| json!({"error": error.to_string()}));
                if let Value::Object(fields) = &mut value {
                    fields.insert("seen".into(), self.seen());
                }
                value
            }
            None => json!({"error": "the URL has no valid host"}),
        }
    }

    fn routes(&self) -> Value {
        json!(view::routes(&self.snapshot.load()))
    }

    fn snapshot(&self) -> Value {
        let now = self.clock.now();
        let mut value = json!(view::view(&self.snapshot.load(), now));
        if let Value::Object(fields) = &mut value {
            fields.insert("discovery".into(), self.metrics.sources_view(now));
            fields.insert("instance".into(), json!(self.peers.instance));
            fields.insert("seen".into(), self.seen());
        }
        value
    }

    fn diagnostics(&self) -> Value {
        json!(**self.diagnostics.load())
    }

    fn config(&self) -> Value {
        // The checked form holds paths of keys, never keys.
        json!(format!("{:#?}", self.snapshot.load().config))
    }
}
