//! `compile`: what the clusters hold and what the configuration wants, in; a [`Snapshot`] and everything that is wrong, out.
//!
//! It is a full rebuild that shares what did not change. The route table is kept when neither the configuration nor any
//! Service, Ingress or class changed; a pool is kept, with its shares, when its endpoints did not; so a pod that comes or
//! goes costs one pool, not ten thousand routes. It is total: whatever is wrong with an object becomes a [`Diagnostic`], and
//! everything else is served.

mod claims;
mod fleet;
mod hosts;
mod ingress;
mod permit;
mod policies;
mod pools;
mod secrets;
mod versions;

#[cfg(test)]
mod peers_tests;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use causeway_config::{ClusterId, Config};

use crate::cluster::ClusterState;
use crate::diagnostics::Diagnostic;
use crate::peer::ClusterPeers;
use crate::snapshot::Snapshot;
use fleet::Fleet;

/// What is particular to one edge. It never changes while the process lives.
#[derive(Clone, Debug)]
pub struct Edge {
    /// The cluster it lives in; one of the configuration's.
    pub home: ClusterId,
    /// Where it listens itself: an endpoint there would be a loop, and is refused.
    pub listeners: Vec<SocketAddr>,
    /// The machine's own addresses, for listeners on all of them.
    pub addresses: Vec<IpAddr>,
}

/// Compiles. `states` may come in any order; a cluster without one counts as not yet synced. `peers` are the edges of other
/// clusters, in any order; they matter where `reach` is `edge`. `previous` is what is served now:
/// cells are carried over from it by identity, and whatever would be equal is shared with it.
///
/// The diagnostics are sorted, and say everything that is wrong now, not only what is new. Where nothing changed at all the
/// returned snapshot has the generation of `previous`, and need not be published.
pub fn compile(
    config: &Arc<Config>,
    edge: &Edge,
    states: &[ClusterState],
    peers: &[ClusterPeers],
    previous: &Snapshot,
) -> (Snapshot, Vec<Diagnostic>) {
    let fleet = Fleet::new(config, edge, states, peers, previous);
    let same_config = Arc::ptr_eq(config, &previous.config) || **config == *previous.config;
    let same_config = same_config && previous.generation > 0;
    let clusters = fleet.infos();
    let same_distances = clusters.iter().map(|c| c.distance_ms).eq(previous.clusters.iter().map(|c| c.distance_ms));
    let same_policies = same_config && same_distances;
    let objects = fleet.all_objects();
    let endpoints = fleet.all_endpoints();

    let (rows, policies) = if same_policies {
        (Arc::clone(&previous.rows), Arc::clone(&previous.policies))
    } else {
        let (rows, policies) = policies::build(&fleet);
        let same_rows = *rows == *previous.rows;
        (if same_rows { Arc::clone(&previous.rows) } else { rows }, Arc::new(policies))
    };
    let same_objects = objects.len() == previous.objects.len()
        && objects.iter().zip(&previous.objects).all(|(a, b)| Arc::ptr_eq(a, b) || a == b);
    let (routes, secrets, route_diagnostics) = if same_policies && same_objects {
        (Arc::clone(&previous.routes), Arc::clone(&previous.secrets), Arc::clone(&previous.route_diagnostics))
    } else {
        let built = hosts::build(&fleet, &policies);
        (Arc::new(built.routes), built.secrets.into(), built.diagnostics.into())
    };
    let pools = pools::build(&fleet, &routes, &rows, &endpoints, same_config, previous);

    let mut diagnostics: Vec<Diagnostic> = route_diagnostics.to_vec();
    diagnostics.extend(states.iter().flat_map(|state| state.diagnostics.iter().cloned()));
    diagnostics.extend(pools.iter().flat_map(|pool| pool.refused.iter().cloned()));
    diagnostics.sort();
    diagnostics.dedup();

    let mut snapshot = Snapshot {
        generation: previous.generation,
        config: Arc::clone(config),
        home: fleet.home,
        clusters: clusters.into(),
        rows,
        policies,
        routes,
        pools,
        secrets,
        route_diagnostics,
        objects,
        endpoints,
        peers: fleet.all_peers(),
        distances: fleet.all_distances(),
        pulse: Arc::clone(&previous.pulse),
    };
    if previous.generation == 0 || !snapshot.same_as(previous) {
        snapshot.generation += 1;
    }
    (snapshot, diagnostics)
}
