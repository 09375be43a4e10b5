//! The fleet as one edge sees it: its clusters by index, and who comes before whom.

use std::sync::Arc;
use std::time::Duration;

use causeway_config::{Cluster, ClusterState as State, Config, Reach, Scope};

use super::Edge;
use crate::cluster::{ClusterState, Endpoints, Freshness, Objects};
use crate::distance::DistanceCell;
use crate::peer::ClusterPeers;
use crate::snapshot::{ClusterInfo, Snapshot};

/// Until it is measured: light takes 1 ms for 100 km of fibre and back, and real paths take half as much again.
const KM_PER_ROUND_TRIP_MS: f64 = 67.0;

/// The latency assumed of an endpoint that nothing is known of, without the way there.
pub(super) const SEED: Duration = Duration::from_millis(30);

pub(super) struct Fleet<'a> {
    pub(super) config: &'a Arc<Config>,
    pub(super) edge: &'a Edge,
    /// Index of the home cluster.
    pub(super) home: usize,
    /// Indices by precedence: home, then the configuration's order; clusters that are off are left out.
    pub(super) order: Vec<usize>,
    states: Vec<Option<&'a ClusterState>>,
    peers: Vec<Option<&'a ClusterPeers>>,
    /// By cluster.
    distances: Box<[Arc<DistanceCell>]>,
}

impl<'a> Fleet<'a> {
    pub(super) fn new(
        config: &'a Arc<Config>,
        edge: &'a Edge,
        states: &'a [ClusterState],
        peers: &'a [ClusterPeers],
        previous: &Snapshot,
    ) -> Self {
        let home = config.clusters.iter().position(|c| c.id == edge.home).unwrap_or_default();
        let mut order: Vec<usize> = (0..config.clusters.len()).filter(|&c| config.clusters[c].state != State::Off).collect();
        order.sort_by_key(|&c| c != home);
        let states = config.clusters.iter().map(|c| states.iter().find(|s| s.cluster == c.id)).collect();
        let peers = config.clusters.iter().map(|c| peers.iter().find(|p| p.cluster == c.id)).collect();
        let distances = (0..config.clusters.len()).map(|c| distance(config, home, c, previous)).collect();
        Self { config, edge, home, order, states, peers, distances }
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

    /// Whether an object of `cluster` is meant for this edge: its own cluster's always is, another's only where its own scope
    /// and its namespace's are the fleet, and the namespace means the same everywhere.
    pub(super) fn meant_for_here(&self, cluster: usize, namespace: &str, scope: Scope) -> bool {
        let of_namespace =
            || self.objects(cluster).and_then(|objects| objects.namespaces.get(namespace)).map(|found| found.scope);
        cluster == self.home
            || (scope == Scope::Fleet && of_namespace() != Some(Scope::Cluster) && self.same_everywhere(namespace))
    }

    /// Namespace sameness: whether a namespace means the same thing in every cluster. `kube-*` never does.
    fn same_everywhere(&self, namespace: &str) -> bool {
        let sameness = &self.config.sameness;
        !namespace.starts_with("kube-")
            && sameness.include.as_ref().is_none_or(|names| names.iter().any(|n| n == namespace))
            && !sameness.exclude.iter().any(|n| n == namespace)
    }

    /// How pods of `cluster` are reached from here.
    pub(super) fn way(&self, cluster: usize) -> Way {
        match self.cluster(cluster).reach {
            _ if cluster == self.home => Way::Direct { plaintext: true },
            Reach::Direct { plaintext } => Way::Direct { plaintext },
            Reach::Edge if self.config.fleet.tls.is_some() => Way::Edges,
            Reach::Edge => Way::None,
        }
    }

    /// The edges of a cluster that is reached through them.
    pub(super) fn peers(&self, cluster: usize) -> Option<&'a ClusterPeers> {
        self.peers[cluster].filter(|_| self.way(cluster) == Way::Edges)
    }

    /// The edges of every cluster that is reached through them, by index.
    pub(super) fn all_peers(&self) -> Box<[Option<ClusterPeers>]> {
        (0..self.config.clusters.len()).map(|cluster| self.peers(cluster).cloned()).collect()
    }

    /// Whether plain HTTP is how requests get there from here.
    pub(super) fn crosses_in_plaintext(&self, cluster: usize) -> bool {
        cluster != self.home && self.cluster(cluster).reach == Reach::Direct { plaintext: true }
    }

    /// The assumed round trip from the home cluster, in milliseconds.
    pub(super) fn distance_ms(&self, cluster: usize) -> f64 {
        self.distances[cluster].settled_ms()
    }

    /// The distances of all clusters, by index.
    pub(super) fn all_distances(&self) -> Box<[Arc<DistanceCell>]> {
        self.distances.clone()
    }

    /// What is assumed of an endpoint's latency: the way there as its edges' pings measured it, else by distance.
    pub(super) fn latency_seed(&self, cluster: usize) -> Duration {
        let measured = self.peers(cluster).and_then(|known| known.peers.iter().filter_map(|peer| peer.link.rtt()).min());
        SEED + measured.unwrap_or(Duration::from_secs_f64(self.distance_ms(cluster) / 1000.0))
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

/// What is known of a cluster's distance. A measurement stays with the cluster's name, as long as neither end has moved.
fn distance(config: &Config, home: usize, cluster: usize, previous: &Snapshot) -> Arc<DistanceCell> {
    let wanted = &config.clusters[cluster];
    let same = |index: usize| {
        let before = |index: usize| previous.clusters.get(index).map(|info| (&info.id, info.coordinates));
        before(index) == Some((&wanted.id, wanted.coordinates))
            && before(previous.home) == Some((&config.clusters[home].id, config.clusters[home].coordinates))
    };
    let known = (0..previous.distances.len()).find(|&index| same(index)).map(|index| Arc::clone(&previous.distances[index]));
    known.unwrap_or_else(|| Arc::new(DistanceCell::new(distance_ms(config, home, cluster))))
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

/// How pods of a cluster are reached from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By their addresses.
    Direct {
        /// Whether plain HTTP may go there.
        plaintext: bool,
    },
    /// Through the cluster's edges, by mutual TLS.
    Edges,
    /// Not at all.
    None,
}

impl Way {
    /// Whether it may carry what is not encrypted by itself.
    pub(super) fn carries_plaintext(self) -> bool {
        matches!(self, Self::Direct { plaintext: true } | Self::Edges)
    }
}
