//! What serving has taught, in a form that another process can take: the handover's cargo.
//!
//! Cells are found again as after a compile, by who they are: pool, cluster, and the endpoint's uid and port. What the other
//! process does not have is passed over, and what is new there begins as new. Moments are told on the clock of whoever wrote
//! them down, together with what it showed; the reader moves them onto its own.

use std::collections::HashMap;

use causeway_config::ClusterId;
use serde::{Deserialize, Serialize};

use crate::cell::{ClusterMemory, EndpointMemory};
use crate::pool::{Member, PoolKey};
use crate::snapshot::Snapshot;
use crate::time::Nanos;

/// What one edge has learned of all endpoints and clusters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Learned {
    at: Nanos,
    pools: Vec<LearnedPool>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LearnedPool {
    key: PoolKey,
    members: Vec<LearnedMember>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LearnedMember {
    cluster: ClusterId,
    cell: ClusterMemory,
    endpoints: Vec<LearnedEndpoint>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LearnedEndpoint {
    uid: String,
    port: u16,
    cell: EndpointMemory,
}

/// Moves moments of one clock onto another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shift {
    from: Nanos,
    to: Nanos,
}

impl Shift {
    /// A moment; the two ends of time, which stand for never and for always, stay where they are.
    pub(crate) fn moment(self, moment: u64) -> u64 {
        match moment {
            0 | u64::MAX => moment,
            _ if self.to >= self.from => moment.saturating_add(self.to.0 - self.from.0),
            _ => moment.saturating_sub(self.from.0 - self.to.0),
        }
    }
}

/// Writes down what the cells of `snapshot` hold at `now`.
pub fn learned(snapshot: &Snapshot, now: Nanos) -> Learned {
    let pools = snapshot.pools.iter().map(|pool| LearnedPool {
        key: pool.spec.key.clone(),
        members: snapshot.clusters.iter().zip(&pool.members).map(|(cluster, member)| write(cluster.id.clone(), member)).collect(),
    });
    Learned { at: now, pools: pools.collect() }
}

fn write(cluster: ClusterId, member: &Member) -> LearnedMember {
    let endpoint =
        |e: &crate::pool::PoolEndpoint| LearnedEndpoint { uid: e.uid.to_string(), port: e.address.port(), cell: e.cell.memory() };
    LearnedMember { cluster, cell: member.cell.memory(), endpoints: member.endpoints.iter().map(endpoint).collect() }
}

/// Fills the cells of `snapshot` with what another process had learned; `now` is the moment at which it wrote that down, on this
/// process's clock.
pub fn recall(snapshot: &Snapshot, learned: &Learned, now: Nanos) {
    let shift = Shift { from: learned.at, to: now };
    let pools: HashMap<&PoolKey, &LearnedPool> = learned.pools.iter().map(|pool| (&pool.key, pool)).collect();
    for pool in &snapshot.pools {
        let Some(known) = pools.get(&pool.spec.key) else { continue };
        for (cluster, member) in snapshot.clusters.iter().zip(&pool.members) {
            let Some(known) = known.members.iter().find(|known| known.cluster == cluster.id) else { continue };
            member.cell.recall(&known.cell, shift);
            let cells: HashMap<(&str, u16), &EndpointMemory> =
                known.endpoints.iter().map(|e| ((&*e.uid, e.port), &e.cell)).collect();
            for endpoint in &member.endpoints {
                if let Some(cell) = cells.get(&(&*endpoint.uid, endpoint.address.port())) {
                    endpoint.cell.recall(cell, shift);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;
    use crate::health::tick;
    use crate::testing::{World, world};

    fn served() -> World {
        world().shop([2, 1, 1])
    }

    #[test]
    fn another_process_goes_on_with_what_this_one_knows() {
        let (old, new) = (served(), served());
        let now = Nanos(100_000_000_000);
        let bad = old.plan("www.example.com", "/", None, 1).next(now).unwrap();
        for _ in 0..crate::cell::EJECT_AFTER {
            bad.begin(crate::cell::Due::Answer, now).failed(now.after(Duration::from_millis(5)));
        }
        let (old, new) = (&old.snapshot, &new.snapshot);
        tick(old, now);
        let text = serde_json::to_string(&learned(old, now)).unwrap();
        // The other process began a minute later.
        let theirs = Nanos(now.0 - 60_000_000_000);
        recall(new, &serde_json::from_str(&text).unwrap(), theirs);
        let cells = |snapshot: &Snapshot| {
            let endpoints = snapshot.pools[0].members[0].endpoints.iter();
            endpoints.map(|e| (e.address, std::sync::Arc::clone(&e.cell))).collect::<Vec<_>>()
        };
        for ((address, ours), (_, recalled)) in cells(old).iter().zip(cells(new)) {
            assert_eq!(recalled.ejected(theirs), *address == bad.address);
            assert!((ours.latency(now) - recalled.latency(theirs)).abs() < 1e-9);
            // It ends when it would have ended.
            let later = Duration::from_secs(31);
            assert_eq!(ours.ejected(now.after(later)), recalled.ejected(theirs.after(later)));
            assert_eq!(recalled.in_flight(), 0, "what is under way there is not under way here");
        }
    }

    #[test]
    fn what_only_one_of_them_has_is_passed_over() {
        let old = served();
        let text = serde_json::to_string(&learned(&old.snapshot, Nanos(5))).unwrap().replace("pod-0-0", "another");
        recall(&served().snapshot, &serde_json::from_str(&text).unwrap(), Nanos(7));
        recall(&served().snapshot, &Learned::default(), Nanos(7));
    }

    #[test]
    fn never_and_always_are_on_every_clock() {
        let shift = Shift { from: Nanos(1000), to: Nanos(10) };
        assert_eq!([0, 5, 1500, u64::MAX].map(|m| shift.moment(m)), [0, 0, 510, u64::MAX]);
    }
}
