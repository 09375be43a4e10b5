//! Whether pods of other clusters can be reached from here at all (`reach: direct`), found out before they get requests.
//!
//! That a cluster calls a pod ready says nothing of the way there: a route that is missing, or a firewall. So a pod of another
//! cluster is in rotation from the first connection on that was made to it from here; edges are told apart by pings, and pods at
//! home by their cluster's word. Whoever calls this does the connecting. Only pods of pools that a route leads to are asked, so
//! many of each cluster at a time, and after failures ever more seldom. An answer to a request says the same and ends the asking:
//! where nothing else is left, requests go to pods that were not reached yet, too.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use causeway_config::ClusterId;

use crate::cell::{ClusterCell, EndpointCell};
use crate::check::Checkee;
use crate::pool::Via;
use crate::snapshot::Snapshot;
use crate::time::Nanos;

/// How many pods of one cluster are being asked at a time: of fifty thousand, none of which answers, each takes its whole time, and
/// those of other clusters must not wait for them.
pub const AT_ONCE: usize = 64;

/// The first pause after a failure; it doubles with each one more.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Whom to ask, and when.
#[derive(Debug, Default)]
pub struct Reaching {
    waiting: BTreeMap<Checkee, Waiting>,
    /// By cluster, since each has its own room.
    queues: BTreeMap<ClusterId, Queue>,
}

#[derive(Debug)]
struct Waiting {
    address: SocketAddr,
    endpoint: Arc<EndpointCell>,
    member: Arc<ClusterCell>,
    failures: u32,
}

#[derive(Debug, Default)]
struct Queue {
    due: BTreeSet<(Nanos, Checkee)>,
    asked: BTreeSet<Checkee>,
}

/// The pods that have not been reached so far.
fn unreached(snapshot: &Snapshot) -> impl Iterator<Item = (Checkee, Waiting)> {
    snapshot.pools.iter().flat_map(|pool| {
        snapshot.clusters.iter().zip(&pool.members).flat_map(|(cluster, member)| {
            let wanted = member.endpoints.iter().filter(|e| e.ready && matches!(e.via, Via::Pod) && e.cell.unreached());
            wanted.map(|endpoint| {
                let (endpoint_cell, member_cell) = (Arc::clone(&endpoint.cell), Arc::clone(&member.cell));
                let waiting = Waiting { address: endpoint.address, endpoint: endpoint_cell, member: member_cell, failures: 0 };
                (Checkee::new(&pool.spec.key, &cluster.id, endpoint), waiting)
            })
        })
    })
}

/// Takes it that every pod can be reached: where nobody is there to find out.
pub fn assume(snapshot: &Snapshot) {
    unreached(snapshot).for_each(|(_, waiting)| waiting.reached());
}

impl Waiting {
    fn reached(&self) {
        self.endpoint.note_reached();
        self.member.touch();
    }
}

impl Reaching {
    /// Takes what a new snapshot says of whom there is. Who is new is asked at once.
    pub fn follow(&mut self, snapshot: &Snapshot, now: Nanos) {
        let mut before = std::mem::take(&mut self.waiting);
        for (who, mut waiting) in unreached(snapshot) {
            match before.remove(&who).filter(|old| old.address == waiting.address) {
                Some(old) => waiting.failures = old.failures,
                None => drop(self.queues.entry(who.cluster.clone()).or_default().due.insert((now, who.clone()))),
            }
            self.waiting.insert(who, waiting);
        }
        for queue in self.queues.values_mut() {
            queue.due.retain(|(_, who)| self.waiting.contains_key(who));
        }
    }

    /// Whom to ask now, and where. How it ended is to be told by [`Self::note`].
    pub fn due(&mut self, now: Nanos) -> Vec<(Checkee, SocketAddr)> {
        let mut due = Vec::new();
        for queue in self.queues.values_mut() {
            while queue.asked.len() < AT_ONCE
                && queue.due.first().is_some_and(|(at, _)| *at <= now)
                && let Some((_, who)) = queue.due.pop_first()
            {
                // Some have answered a request meanwhile.
                let Some(waiting) = self.waiting.get(&who).filter(|waiting| waiting.endpoint.unreached()) else { continue };
                if queue.asked.insert(who.clone()) {
                    due.push((who, waiting.address));
                }
            }
        }
        due
    }

    /// When somebody is to be asked next, unless something is noted or followed before.
    pub fn next(&self) -> Option<Nanos> {
        let free = self.queues.values().filter(|queue| queue.asked.len() < AT_ONCE);
        free.filter_map(|queue| queue.due.first().map(|(at, _)| *at)).min()
    }

    /// Notes whether a connection could be made.
    pub fn note(&mut self, who: &Checkee, reached: bool, now: Nanos, rng: &mut fastrand::Rng) {
        let Some(queue) = self.queues.get_mut(&who.cluster).filter(|queue| queue.asked.contains(who)) else { return };
        queue.asked.remove(who);
        let Some(waiting) = self.waiting.get_mut(who) else { return };
        if reached {
            waiting.reached();
            self.waiting.remove(who);
        } else {
            waiting.failures = waiting.failures.saturating_add(1);
            queue.due.insert((now.after(pause(waiting.failures, rng)), who.clone()));
        }
    }

    /// Whether somebody was not asked even once so far, or is being asked for the first time.
    pub fn fresh(&self) -> bool {
        self.waiting.values().any(|waiting| waiting.failures == 0 && waiting.endpoint.unreached())
    }
}

/// A fifth shorter or longer, so that edges which started together drift apart.
fn pause(failures: u32, rng: &mut fastrand::Rng) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE).mul_f64(0.8 + 0.4 * rng.f64())
}

#[cfg(test)]
mod tests;
