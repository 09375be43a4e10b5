//! The fleet as one edge sees it: its clusters by index, and who comes before whom.

use std::sync::Arc;
use std::time::Duration;

use causeway_config::{Cluster, ClusterState as State, Config, Reach, Scope};

use super::Edge;
use crate::cluster::{ClusterState, Endpoints, Freshness, Objects};
use crate::snapshot::ClusterInfo;

/// Until it is measured: light takes 1 ms for 100 km of fibre and back, and real paths take half as much again.
const KM_PER_ROUND_TRIP_MS: f64 = 67.0;

/// The latency assumed of an endpoint that nothing is known of, without the way there.
const SEED: Duration = Duration::from_millis(30);

pub(super) struct Fleet<'a> {
    pub(super) config: &'a Arc<Config>,
    pub(super) edge: &'a Edge,
    /// Index of the home cluster.
    pub(super) home: usize,
    /// Indices by precedence: home, then the configuration's order; clusters that are off are left out.
    pub(super) order: Vec<usize>,
    states: Vec<Option<&'a ClusterState>>,
    /// By cluster, in milliseconds: see `distance_ms`.
    distances: Vec<f64>,
}

impl<'a> Fleet<'a> {
    pub(super) fn new(config: &'a Arc<Config>, edge: &'a Edge, states: &'a [ClusterState]) -> Self {
        let home = config.clusters.iter().position(|c| c.id == edge.home).unwrap_or_default();
        let mut order: Vec<usize> = (0..config.clusters.len()).filter(|&c| config.clusters[c].state != State::Off).collect();
        order.sort_by_key(|&c| c != home);
        let states = config.clusters.iter().map(|c| states.iter().find(|s| s.cluster == c.id)).collect();
        let distances = (0..config.clusters.len()).map(|c| distance_ms(config, home, c)).collect();
        Self { config, edge, home, order, states, distances }
    }

    pub(super) fn cluster(&self, index: usize) -> &'a Cluster {
        &self.config.clusters[index]
    }

    pub(super) fn state(&self, index: usize) -> Option<&'a ClusterState> {
        self.states[index]
    }

    pub(super) fn objects(&self, index: usize) -> Option<&'a Objects> {
        self.states[index].map(|state| &*state.objects)
    }

    /// The objects of every cluster, by index.
    pub(super) fn all_objects(&self) -> Box<[Arc<Objects>]> {
        self.states.iter().map(|state| state.map(|s| Arc::clone(&s.objects)).unwrap_or_default()).collect()
    }

    /// The endpoints of every cluster, by index.
    pub(super) fn all_endpoints(&self) -> Box<[Arc<Endpoints>]> {
        self.states.iter().map(|state| state.map(|s| Arc::clone(&s.endpoints)).unwrap_or_default()).collect()
    }

    /// Whether an object of `cluster` is meant for this edge: its own cluster's always is, another's only where its namespace
    /// and its own scope are the fleet's.
    pub(super) fn meant_for_here(&self, cluster: usize, namespace: &str, scope: Scope) -> bool {
        cluster == self.home || (scope == Scope::Fleet && self.same_everywhere(namespace))
    }

    /// Namespace sameness: whether a namespace means the same thing in every cluster. `kube-*` never does.
    fn same_everywhere(&self, namespace: &str) -> bool {
        let sameness = &self.config.sameness;
        !namespace.starts_with("kube-")
            && sameness.include.as_ref().is_none_or(|names| names.iter().any(|n| n == namespace))
            && !sameness.exclude.iter().any(|n| n == namespace)
    }

    /// Whether pods of `cluster` can be reached from here, and by plain HTTP.
    pub(super) fn reach(&self, cluster: usize) -> Option<Plaintext> {
        match self.cluster(cluster).reach {
            _ if cluster == self.home => Some(Plaintext(true)),
            Reach::Direct { plaintext } => Some(Plaintext(plaintext)),
            Reach::Edge => None,
        }
    }

    /// Whether plain HTTP is how requests get there from here.
    pub(super) fn crosses_in_plaintext(&self, cluster: usize) -> bool {
        cluster != self.home && self.cluster(cluster).reach == Reach::Direct { plaintext: true }
    }

    /// The assumed round trip from the home cluster, in milliseconds.
    pub(super) fn distance_ms(&self, cluster: usize) -> f64 {
        self.distances[cluster]
    }

    pub(super) fn latency_seed(&self, cluster: usize) -> Duration {
        SEED + Duration::from_secs_f64(self.distance_ms(cluster) / 1000.0)
    }

    pub(super) fn infos(&self) -> Vec<ClusterInfo> {
        let info = |(index, cluster): (usize, &Cluster)| ClusterInfo {
            id: cluster.id.clone(),
            state: cluster.state,
            weight: cluster.weight,
            coordinates: cluster.coordinates,
            freshness: self.state(index).map_or(Freshness::Syncing, |s| s.freshness),
            distance_ms: self.distance_ms(index),
        };
        self.config.clusters.iter().enumerate().map(info).collect()
    }
}

/// Unknown places count as the far side of the globe.
fn distance_ms(config: &Config, home: usize, cluster: usize) -> f64 {
    if cluster == home {
        return 0.0;
    }
    let far = 300.0;
    let place = |c: usize| config.clusters[c].coordinates;
    place(home).zip(place(cluster)).map_or(far, |(a, b)| a.distance_km(b) / KM_PER_ROUND_TRIP_MS)
}

/// Whether plain HTTP may go there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plaintext(pub(super) bool);
