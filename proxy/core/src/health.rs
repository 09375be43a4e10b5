//! `tick`: measurements to shares, ten times a second.
//!
//! It alone decides how much each cluster gets: spill over tiers, slow start of clusters that come back, and (in `judge`)
//! which endpoints are ejected and which clusters left alone. [`plan`](crate::plan::plan) only reads what it wrote. A pool that no request used and where no ramp is
//! running is passed over, so that ten thousand idle pools cost nothing.

mod judge;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use self::judge::judge;
pub use self::judge::{EJECT_AT_MOST, EJECTION, ENOUGH, SUCCESS};
use crate::peer::ClusterPeers;
use crate::pool::{Member, Pool};
use crate::share::{Capacity, shares};
use crate::snapshot::{ClusterInfo, Snapshot};
use crate::time::Nanos;

/// How often to tick.
pub const PERIOD: Duration = Duration::from_millis(100);

/// Brings every pool's share table up to date. Returns whether a cluster was found to be nearer or farther than compiled, so
/// that compiling anew would order them differently.
pub fn tick(snapshot: &Snapshot, now: Nanos) -> bool {
    // Links are shared by all pools: they are asked once, and every one, since asking clears what it says. Of most ticks none
    // has changed, and nothing is collected.
    let touched = |known: &ClusterPeers| known.peers.iter().filter(|peer| peer.link.take_touched()).count() > 0;
    let of_clusters = snapshot.peers.iter().enumerate();
    let relinked: Vec<usize> = of_clusters.filter(|(_, known)| known.as_ref().is_some_and(touched)).map(|(c, _)| c).collect();
    for pool in &snapshot.pools {
        // Every member is asked, since asking clears what it says.
        let touched = pool.members.iter().filter(|member| member.cell.take_touched()).count() > 0;
        let relinked = relinked.iter().any(|&c| pool.members[c].behind.is_some());
        let touched = touched || relinked;
        if touched || !pool.settled.load(Relaxed) {
            refresh(pool, &snapshot.clusters, now);
        }
    }
    measure(snapshot, now)
}

/// Takes in what pings have measured; a cluster's nearest edge counts.
fn measure(snapshot: &Snapshot, now: Nanos) -> bool {
    let mut moved = false;
    for (cluster, distance) in snapshot.distances.iter().enumerate().filter(|(cluster, _)| *cluster != snapshot.home) {
        let known = snapshot.peers.get(cluster).and_then(Option::as_ref);
        if let Some(nearest) = known.and_then(|known| known.peers.iter().filter_map(|peer| peer.link.rtt()).min()) {
            distance.observe(nearest);
        }
        moved |= distance.settle(now);
    }
    moved
}

fn refresh(pool: &Pool, clusters: &[ClusterInfo], now: Nanos) {
    let mut settled = true;
    judge(pool, now);
    let mut answers = 0;
    let (capacity, hope): (Vec<Capacity>, Vec<Capacity>) = pool
        .members
        .iter()
        .zip(clusters)
        .map(|(member, cluster)| {
            answers += member.cell.learn();
            let capacity = capacity(member, cluster, now);
            settled &= !member.cell.unsettled(now) && member.endpoints.iter().all(|e| !e.cell.unsettled(now));
            capacity
        })
        .unzip();
    pool.budget.earn(answers, now);
    // Clusters that shall take nothing new, while others can.
    let willing: Vec<Capacity> = capacity
        .iter()
        .zip(clusters)
        .map(|(&capacity, cluster)| if cluster.willing() { capacity } else { Capacity::default() })
        .collect();
    let mut out = vec![0.0; capacity.len()];
    for (row, tiers) in pool.shares.rows.iter().enumerate() {
        shares(tiers, &willing, &mut out);
        if out.iter().all(|share| *share <= 0.0) {
            shares(tiers, &capacity, &mut out);
        }
        if out.iter().all(|share| *share <= 0.0) {
            shares(tiers, &hope, &mut out);
        }
        pool.shares.write(row, &out);
    }
    pool.settled.store(settled, Relaxed);
}

/// What a cluster brings; and what it would bring if it were not left alone, for when all are.
fn capacity(member: &Member, cluster: &ClusterInfo, now: Nanos) -> (Capacity, Capacity) {
    let (mut ready, mut total) = (0u32, 0u32);
    for endpoint in member.endpoints.iter().filter(|e| !e.terminating) {
        let serves = endpoint.ready && !endpoint.cell.unreached();
        endpoint.cell.note_readiness(serves, now);
        ready += u32::from(serves && !endpoint.cell.ejected(now));
        total += u32::from(endpoint.cell.counts(now));
    }
    if let Some(behind) = member.behind {
        // The endpoints are edges, and what counts is behind them. A link in doubt gets no new requests, yet only where all
        // links are down is the cluster gone: a ping that was lost must not cost it half a minute of recovery.
        let linked = member.endpoints.iter().any(|edge| !edge.cut_off());
        (ready, total) = (if linked { behind.ready } else { 0 }, behind.total);
    }
    let ramp = member.cell.note_capacity(ready > 0, now);
    let open = member.cell.open(ramp, now);
    let (ready, total, latency) = (f64::from(ready), f64::from(total), member.cell.latency(now));
    let weight = if cluster.weight > 0.0 { cluster.weight } else { 1.0 };
    let hope = Capacity { ready, total, weight: ready / latency * weight };
    let smoothed = member.cell.smooth_weight(ready * open / latency, now);
    (Capacity { ready: ready * open, total, weight: smoothed * weight }, hope)
}

#[cfg(test)]
mod tests;
