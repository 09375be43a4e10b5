//! What the process before this one knew, for as long as this one does not know better.
//!
//! Clusters begin as that process knew them, so that a successor is ready at once and serves the same certificates, API servers
//! or not. A cluster's own state takes its place as soon as there is one; its Secrets come a moment later than its state, and
//! until then those that are missing are the inherited ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use causeway_config::ClusterId;
use causeway_core::cluster::{ClusterState, Freshness};
use causeway_core::{Learned, Nanos, Snapshot, recall};
use causeway_discovery::{SecretsView, Update};

use crate::handover::Cargo;

/// How long a cluster that was read may take to bring the Secrets that routes name.
const SECRETS: Duration = Duration::from_secs(10);

/// What was inherited, and from when on it counts no more.
pub(super) struct Inherited {
    states: BTreeMap<ClusterId, ClusterState>,
    secrets: SecretsView,
    /// Until cells were filled with it.
    learned: Option<Learned>,
    /// When it came.
    at: Nanos,
    /// Since when a cluster is up to date here.
    read: BTreeMap<ClusterId, Nanos>,
}

impl Inherited {
    /// What came at `now`.
    pub(super) fn new(cargo: Cargo, now: Nanos) -> Self {
        let states = cargo.states(now).into_iter().map(|state| (state.cluster.clone(), state)).collect();
        Self { states, secrets: cargo.secrets(), learned: Some(cargo.learned), at: now, read: BTreeMap::new() }
    }

    /// Puts it where an update knows nothing.
    pub(super) fn fill(&mut self, update: &Update, now: Nanos) -> Update {
        let mut filled = update.clone();
        for state in &mut filled.clusters {
            match state.freshness {
                Freshness::Syncing => {
                    if let Some(inherited) = self.states.get(&state.cluster) {
                        let diagnostics = Arc::clone(&state.diagnostics);
                        *state = ClusterState { diagnostics, ..inherited.clone() };
                    }
                }
                Freshness::Synced => {
                    self.read.entry(state.cluster.clone()).or_insert(now);
                }
                Freshness::Stale(_) => {}
            }
        }
        let secrets = self.secrets.iter().filter(|((cluster, _), _)| self.counts(cluster, now));
        let missing: Vec<_> = secrets.filter(|(key, _)| !filled.secrets.contains_key(key)).collect();
        if !missing.is_empty() {
            let all = filled.secrets.iter().chain(missing).map(|(key, secret)| (key.clone(), Arc::clone(secret)));
            filled.secrets = Arc::new(all.collect());
        }
        filled
    }

    /// Fills the cells of the first snapshot that has any.
    pub(super) fn teach(&mut self, snapshot: &Snapshot) {
        if !snapshot.pools.is_empty()
            && let Some(learned) = self.learned.take()
        {
            recall(snapshot, &learned, self.at);
        }
    }

    /// Whether nothing of it counts any more.
    pub(super) fn over(&self, now: Nanos) -> bool {
        self.states.keys().all(|cluster| !self.counts(cluster, now))
    }

    fn counts(&self, cluster: &ClusterId, now: Nanos) -> bool {
        self.read.get(cluster).is_none_or(|read| now.since(*read) < SECRETS)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use causeway_config::ObjectName;
    use causeway_discovery::{Secret, SecretKind};

    use causeway_discovery::translate::Key;

    use super::*;

    fn at(seconds: u64) -> Nanos {
        Nanos(1_000_000_000_000 + seconds * 1_000_000_000)
    }

    fn state(freshness: Freshness) -> ClusterState {
        ClusterState { freshness, ..ClusterState::syncing("aws".parse().unwrap()) }
    }

    fn update(freshness: Freshness) -> Update {
        Update { clusters: vec![state(freshness)], secrets: SecretsView::default() }
    }

    #[test]
    fn it_counts_until_this_process_knows_better() {
        let key = ("aws".parse().unwrap(), Key::secret(ObjectName::new("shop", "tls")));
        let secret = Arc::new(Secret::from_entries(SecretKind::Tls, [("tls.key".to_owned(), b"k".to_vec())]));
        let known =
            Update { clusters: vec![state(Freshness::Synced)], secrets: Arc::new(BTreeMap::from([(key.clone(), secret)])) };
        let mut inherited = Inherited::new(Cargo::pack(&known, Learned::default(), at(0)), at(0));
        let first = inherited.fill(&update(Freshness::Syncing), at(1));
        assert_eq!(first.clusters[0].freshness, Freshness::Stale(at(0)));
        assert!(first.secrets.contains_key(&key));
        // A list of objects is there before the Secrets are.
        let second = inherited.fill(&update(Freshness::Synced), at(2));
        assert_eq!(second.clusters[0].freshness, Freshness::Synced);
        assert!(second.secrets.contains_key(&key) && !inherited.over(at(11)));
        // A Secret that has not come by then is gone.
        assert!(inherited.over(at(12)));
        assert!(!inherited.fill(&update(Freshness::Synced), at(12)).secrets.contains_key(&key));
    }
}
