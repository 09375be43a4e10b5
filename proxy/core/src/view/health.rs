//! How the endpoints and pools of each cluster are doing, counted: what metrics show.

use causeway_config::ClusterId;

use crate::cell::Closed;
use crate::pool::{Member, PoolEndpoint};
use crate::snapshot::{ClusterInfo, Snapshot};
use crate::time::Nanos;

/// The states that an endpoint can be in.
pub const ENDPOINT_STATES: [&str; 7] = ["ready", "silent", "ejected", "unready", "unlinked", "unhealthy", "unreached"];

/// The states that a cluster's part of a pool can be in.
pub const MEMBER_STATES: [&str; 6] = ["open", "recovering", "silent", "dark", "probed", "empty"];

/// One cluster's counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterHealth {
    /// Which one.
    pub cluster: ClusterId,
    /// Endpoints of all pools, by state: as many as [`ENDPOINT_STATES`].
    pub endpoints: [u64; ENDPOINT_STATES.len()],
    /// Pools in which it takes part, by state: as many as [`MEMBER_STATES`].
    pub pools: [u64; MEMBER_STATES.len()],
}

/// Counts.
pub fn health(snapshot: &Snapshot, now: Nanos) -> Vec<ClusterHealth> {
    let none = |cluster: &ClusterInfo| ClusterHealth {
        cluster: cluster.id.clone(),
        endpoints: Default::default(),
        pools: Default::default(),
    };
    let mut counts: Vec<ClusterHealth> = snapshot.clusters.iter().map(none).collect();
    for pool in &snapshot.pools {
        for (member, count) in pool.members.iter().zip(&mut counts).filter(|(member, _)| member.absence.is_none()) {
            count.pools[member_state(member, now)] += 1;
            for endpoint in &member.endpoints {
                count.endpoints[endpoint_state(endpoint, member, now)] += 1;
            }
        }
    }
    counts
}

fn endpoint_state(endpoint: &PoolEndpoint, member: &Member, now: Nanos) -> usize {
    match endpoint {
        e if !e.ready || e.terminating => 3,
        e if e.cell.unreached() => 6,
        e if !e.reachable() => 4,
        e if e.cell.unhealthy() => 5,
        e if e.cell.ejected(now) => 2,
        e if e.cell.silent(&member.cell, now) => 1,
        _ => 0,
    }
}

fn member_state(member: &Member, now: Nanos) -> usize {
    match member.cell.closed(now) {
        Some(Closed::Dark) => 3,
        Some(Closed::Silent) => 2,
        Some(Closed::Probed) => 4,
        None if member.ready.is_empty() => 5,
        None if member.cell.recovering(now).is_some() => 1,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[test]
    fn every_state_is_counted_where_it_is() {
        let mut world = world().shop([4, 2, 0]);
        let unready = crate::cluster::Endpoint { ready: false, ..endpoint(AWS, 3) };
        world.endpoints(AWS, "shop/web", vec![endpoint(AWS, 0), endpoint(AWS, 1), endpoint(AWS, 2), unready]).compile();
        let members = &world.snapshot.pools[0].members;
        members[AWS].endpoints[0].cell.eject(world.now, crate::health::EJECTION, 1.0);
        members[AZURE].cell.darken(world.now);
        let found = health(&world.snapshot, world.now);
        assert_eq!((found[AWS].endpoints, found[AWS].pools), ([2, 0, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]));
        assert_eq!((found[AZURE].endpoints, found[AZURE].pools), ([2, 0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0]));
        assert_eq!((found[GOOGLE].endpoints, found[GOOGLE].pools), ([0; 7], [0, 0, 0, 0, 0, 1]));
    }
}
