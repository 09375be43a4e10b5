//! The immutable compiled state that every decision is made from.
//!
//! One snapshot is published at a time. A request loads it once, makes a [`Plan`](crate::plan::Plan), and lets go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use causeway_config::{CaRef, ClusterId, ClusterState as State, Config, Coordinates, HostPattern, ObjectName, Reach};
use serde::Serialize;

use crate::cluster::{Endpoints, Freshness, Node, Objects, Service, Trust};
use crate::diagnostics::Diagnostic;
use crate::distance::DistanceCell;
use crate::peer::ClusterPeers;
use crate::policy::Policies;
use crate::pool::Pool;
use crate::pulse::Pulse;
use crate::route::RouteTable;
use crate::share::Rows;

/// What requests are decided by.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts published snapshots of this process.
    pub generation: u64,
    /// The configuration it was made from.
    pub config: Arc<Config>,
    /// The cluster this edge lives in: an index into `clusters`.
    pub home: usize,
    /// The clusters, in the configuration's order; indices everywhere else mean positions here.
    pub clusters: Arc<[ClusterInfo]>,
    /// The distinct tier lists of all policies.
    pub rows: Arc<Rows>,
    /// Policies by host.
    pub policies: Arc<Policies>,
    /// The routes.
    pub routes: Arc<RouteTable>,
    /// The pools, at the positions that the routes name.
    pub pools: Box<[Arc<Pool>]>,
    /// Secrets that hold certificates, best first.
    pub secrets: Arc<[SecretUse]>,
    /// What was wrong with routes and policies; kept so that an endpoint-only change need not find it again.
    pub(crate) route_diagnostics: Arc<[Diagnostic]>,
    /// What the routes were made of, by cluster; the same objects make the same routes.
    pub(crate) objects: Box<[Arc<Objects>]>,
    /// What the pools were filled with, by cluster.
    pub(crate) endpoints: Box<[Arc<Endpoints>]>,
    /// The edges of the clusters that are reached through them, by cluster.
    pub peers: Box<[Option<ClusterPeers>]>,
    /// How far the clusters are, by index: measured while serving.
    pub distances: Box<[Arc<DistanceCell>]>,
    /// Whether this edge itself is late.
    pub pulse: Arc<Pulse>,
}

/// A cluster as this edge sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterInfo {
    /// Its name.
    pub id: ClusterId,
    /// Active, draining or off.
    pub state: State,
    /// Its configured weight.
    pub weight: f64,
    /// Where it is.
    pub coordinates: Option<Coordinates>,
    /// How much its objects are to be believed.
    pub freshness: Freshness,
    /// What a round trip from here takes, in milliseconds: assumed by the great circle until it was measured. What is nearer
    /// comes first where no preference names it.
    pub distance_ms: f64,
}

impl ClusterInfo {
    /// Whether it takes new requests while other clusters could: it neither drains nor has a weight of 0.
    pub(crate) fn willing(&self) -> bool {
        self.state == State::Active && self.weight > 0.0
    }
}

/// A Secret that may serve certificates, and for which hosts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretUse {
    /// The cluster to take it from.
    pub cluster: ClusterId,
    /// The Secret.
    pub secret: ObjectName,
    /// The hosts that it may serve: those that its Ingress routes, and its namespace may.
    pub hosts: Vec<HostPattern>,
    /// Hosts below those that belong to somebody else.
    pub except: Vec<HostPattern>,
}

impl Snapshot {
    /// A snapshot of a fleet that nothing is known of yet.
    pub fn empty(config: Arc<Config>) -> Self {
        Self {
            generation: 0,
            config,
            home: 0,
            clusters: Arc::default(),
            rows: Arc::default(),
            policies: Arc::default(),
            routes: Arc::default(),
            pools: Box::default(),
            secrets: Arc::default(),
            route_diagnostics: Arc::default(),
            objects: Box::default(),
            endpoints: Box::default(),
            peers: Box::default(),
            distances: Box::default(),
            pulse: Arc::default(),
        }
    }

    /// The name of the home cluster; before anything was compiled, of the configuration's first.
    pub fn home(&self) -> &ClusterId {
        self.clusters.get(self.home).map_or_else(|| &self.config.clusters[0].id, |home| &home.id)
    }

    /// A Service of one cluster, whether routes lead to it or not.
    pub fn service(&self, cluster: &ClusterId, name: &ObjectName) -> Option<&Arc<Service>> {
        let position = self.clusters.iter().position(|info| info.id == *cluster)?;
        self.objects.get(position)?.services.get(name)
    }

    /// The nodes of a cluster whose edges are to be found at them.
    pub fn nodes(&self, cluster: &ClusterId) -> impl Iterator<Item = &Node> {
        let position = self.clusters.iter().position(|info| info.id == *cluster);
        position.and_then(|position| self.objects.get(position)).into_iter().flat_map(|objects| objects.nodes.values())
    }

    /// The authorities of backends that this edge calls by itself, each with a Service that names it: those of clusters that are
    /// reached through their edges are these edges' matter.
    pub fn backend_authorities(&self) -> BTreeMap<(ClusterId, CaRef), BTreeSet<ObjectName>> {
        let called = |cluster: usize| cluster == self.home || self.config.clusters[cluster].reach != Reach::Edge;
        let mut found: BTreeMap<_, BTreeSet<ObjectName>> = BTreeMap::new();
        for spec in self.pools.iter().map(|pool| &pool.spec).filter(|spec| spec.protocol.is_tls()) {
            for (cluster, (tls, part)) in spec.tls.iter().zip(&spec.clusters).enumerate() {
                if part.is_ok()
                    && called(cluster)
                    && let Some(Trust::Ca(ca)) = tls.as_ref().map(|tls| &tls.trust)
                {
                    let key = (self.clusters[cluster].id.clone(), ca.clone());
                    found.entry(key).or_default().insert(spec.key.service.clone());
                }
            }
        }
        found
    }

    /// Whether both would decide everything alike, so that the newer need not be published.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.routes, &other.routes)
            && self.clusters == other.clusters
            && self.peers == other.peers
            && self.pools.len() == other.pools.len()
            && self.pools.iter().zip(&other.pools).all(|(a, b)| Arc::ptr_eq(a, b))
            && (Arc::ptr_eq(&self.config, &other.config) || self.config == other.config)
    }
}
