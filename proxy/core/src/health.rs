//! `tick`: measurements to shares, ten times a second.
//!
//! It alone decides how much each cluster gets: spill over tiers, slow start of clusters that come back, and which endpoints
//! are ejected. [`plan`](crate::plan::plan) only reads what it wrote. A pool that no request used and where no ramp is
//! running is passed over, so that ten thousand idle pools cost nothing.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::pool::{Member, Pool};
use crate::share::{Capacity, shares};
use crate::snapshot::{ClusterInfo, Snapshot};
use crate::time::Nanos;

/// How often to tick.
pub const PERIOD: Duration = Duration::from_millis(100);

/// The first ejection's length; the n-th takes n times this, up to the maximum.
pub const EJECTION: (Duration, Duration) = (Duration::from_secs(30), Duration::from_mins(5));

/// The largest part of a cluster's endpoints of one pool that may be ejected at once.
pub const EJECT_AT_MOST: f64 = 0.5;

/// Brings every pool's share table up to date.
pub fn tick(snapshot: &Snapshot, now: Nanos) {
    for pool in &snapshot.pools {
        // Every member is asked, since asking clears what it says.
        let touched = pool.members.iter().filter(|member| member.cell.take_touched()).count() > 0;
        if touched || !pool.settled.load(Relaxed) {
            refresh(pool, &snapshot.clusters, now);
        }
    }
}

fn refresh(pool: &Pool, clusters: &[ClusterInfo], now: Nanos) {
    let mut settled = true;
    let capacity: Vec<Capacity> = pool
        .members
        .iter()
        .zip(clusters)
        .map(|(member, cluster)| {
            eject(member, now);
            let capacity = capacity(member, cluster, now);
            settled &= !member.cell.unsettled(now) && member.endpoints.iter().all(|e| !e.cell.unsettled(now));
            capacity
        })
        .collect();
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
        pool.shares.write(row, &out);
    }
    pool.settled.store(settled, Relaxed);
}

fn capacity(member: &Member, cluster: &ClusterInfo, now: Nanos) -> Capacity {
    let (mut ready, mut total) = (0u32, 0u32);
    for endpoint in member.endpoints.iter().filter(|e| !e.terminating) {
        endpoint.cell.note_readiness(endpoint.ready, now);
        ready += u32::from(endpoint.ready && !endpoint.cell.ejected(now));
        total += u32::from(endpoint.cell.counts(now));
    }
    if member.cell.dark(now) {
        ready = 0;
    }
    let ramp = member.cell.note_capacity(ready > 0, total > 0, now);
    let ready = f64::from(ready) * ramp;
    let weight = if cluster.weight > 0.0 { cluster.weight } else { 1.0 };
    let weight = member.cell.smooth_weight(ready / member.cell.latency(now), now) * weight;
    Capacity { ready, total: f64::from(total), weight }
}

/// Takes failing endpoints out of rotation, at most half of them; and where nothing answers at all, the whole cluster for a
/// moment. The one protects against a bad pod, the other against a dark cloud, and only the first needs a limit: requests that
/// a dark cloud does not get are served by the next.
fn eject(member: &Member, now: Nanos) {
    let in_rotation = || member.endpoints.iter().filter(|e| e.ready && !e.terminating);
    for endpoint in in_rotation().filter(|e| e.cell.ejected(now)) {
        endpoint.cell.forgive();
    }
    let failing = in_rotation().filter(|e| e.cell.failing()).count();
    if failing == 0 {
        return;
    }
    let ejected = in_rotation().filter(|e| e.cell.ejected(now)).count();
    let all = in_rotation().count();
    if failing + ejected == all {
        member.cell.darken(now);
        in_rotation().for_each(|e| e.cell.forgive());
        return;
    }
    let limit = (all as f64 * EJECT_AT_MOST) as usize;
    let (base, max) = EJECTION;
    for endpoint in in_rotation().filter(|e| e.cell.failing()).take(limit.saturating_sub(ejected)) {
        endpoint.cell.eject(now, base, max);
    }
}

#[cfg(test)]
mod tests;
