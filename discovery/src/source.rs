//! The seam between one cluster's objects, wherever they come from, and everything that reads them.
//!
//! A [`ClusterSource`] runs as a task of its own and says what it sees through its [`Publisher`]: the only writer of that
//! cluster's two cells, its state and its Secrets. The cells are kept apart since nobody who reads states may see keys.
//!
//! The publisher, not the source, keeps the promises: what did not change is shared with what was published before;
//! equal states ring no bell; a source without news keeps its last objects; only wanted Secrets pass.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use causeway_config::ClusterId;
use causeway_core::cluster::{ClusterState, Freshness};
use causeway_core::diagnostics::Diagnostic;
use causeway_core::time::Nanos;
use tokio::sync::{Notify, watch};

use crate::kube::Stats;
use crate::report::Report;
use crate::reuse::{reuse, same, share_diagnostics};
use crate::store::Secrets;
use crate::translate::Key;

/// Tells the time: nanoseconds since a moment that the process chose once.
pub type Clock = Arc<dyn Fn() -> Nanos + Send + Sync>;

/// The Secrets and `ConfigMap`s that somebody has a use for, of all clusters. No other leaves a source.
pub type WantedSecrets = Arc<BTreeSet<(ClusterId, Key)>>;

/// Where one cluster's objects come from: a folder, an API server.
#[async_trait]
pub trait ClusterSource: Send + 'static {
    /// Publishes what the cluster holds, for as long as it is let run; it is stopped by dropping the future.
    ///
    /// A fault is published, waited out and tried again: a source that returns is one that broke, and its cluster turns
    /// stale. When [`Publisher::wanted_changed`] returns, the Secrets are published anew.
    async fn run(self: Box<Self>, publisher: Publisher);

    /// What it counts, where it is an API server's. Asked before it runs.
    fn stats(&self) -> Option<Arc<Stats>> {
        None
    }
}

/// The one writer of a cluster's state and Secrets.
pub struct Publisher {
    cluster: ClusterId,
    clock: Clock,
    /// Rung after every change.
    bell: Arc<Notify>,
    wanted: watch::Receiver<WantedSecrets>,
    state: watch::Sender<ClusterState>,
    secrets: watch::Sender<Secrets>,
    /// What was wrong with the objects, without what is wrong with the source.
    of_objects: Arc<Vec<Diagnostic>>,
}

/// A reader of a cluster's state and Secrets.
#[derive(Clone)]
pub(crate) struct Reader {
    state: watch::Receiver<ClusterState>,
    secrets: watch::Receiver<Secrets>,
}

impl Publisher {
    /// A cluster's writer and reader. It begins with `state` and `secrets`: nothing, or what an earlier source left behind.
    pub(crate) fn new(
        state: ClusterState,
        secrets: Secrets,
        wanted: watch::Receiver<WantedSecrets>,
        bell: Arc<Notify>,
        clock: Clock,
    ) -> (Self, Reader) {
        let cluster = state.cluster.clone();
        let of_objects = state.diagnostics.clone();
        let (state, state_reader) = watch::channel(state);
        let (secrets, secrets_reader) = watch::channel(secrets);
        let publisher = Self { cluster, clock, bell, wanted, state, secrets, of_objects };
        (publisher, Reader { state: state_reader, secrets: secrets_reader })
    }

    /// Whose state this is.
    pub fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    /// Replaces the state whole. What of it is equal to what was there stays the same.
    pub fn publish(&mut self, state: ClusterState) {
        let state = reuse(&self.state.borrow(), state);
        self.publish_shared(state);
    }

    /// As [`publish`](Self::publish), by a source that keeps its objects and knows what it changed: whatever is not the same as
    /// before counts as changed, and nothing is compared.
    pub(crate) fn publish_shared(&mut self, mut state: ClusterState) {
        state.diagnostics = share_diagnostics(&self.state.borrow(), state.diagnostics);
        self.of_objects = state.diagnostics.clone();
        self.replace(state);
    }

    /// There is no news of the cluster, and why. What it held last serves on, as stale; before the first state it is syncing.
    pub fn unavailable(&mut self, why: Vec<Diagnostic>) {
        let now = self.state.borrow().clone();
        let freshness = match now.freshness {
            Freshness::Synced => Freshness::Stale((self.clock)()),
            before => before,
        };
        let mut diagnostics = why;
        diagnostics.extend(self.of_objects.iter().cloned());
        diagnostics.sort();
        diagnostics.dedup();
        let diagnostics = share_diagnostics(&now, Arc::new(diagnostics));
        self.replace(ClusterState { freshness, diagnostics, ..now });
    }

    /// Replaces the Secrets; those that nobody wants are left out.
    pub fn publish_secrets(&mut self, all: &Secrets) {
        let wanted = self.wanted.borrow_and_update().clone();
        let mine = wanted.iter().filter(|(cluster, _)| *cluster == self.cluster);
        let secrets: Secrets = mine.filter_map(|(_, key)| all.get_key_value(key)).map(|(k, v)| (k.clone(), v.clone())).collect();
        let changed = self.secrets.send_if_modified(|current| {
            let changed = *current != secrets;
            if changed {
                *current = secrets;
            }
            changed
        });
        if changed {
            self.bell.notify_one();
        }
    }

    /// The Secrets of this cluster that somebody has a use for.
    pub fn wanted(&self) -> BTreeSet<Key> {
        let wanted = self.wanted.borrow();
        wanted.iter().filter(|(cluster, _)| *cluster == self.cluster).map(|(_, key)| key.clone()).collect()
    }

    /// Waits until other Secrets are wanted than at the last [`publish_secrets`](Self::publish_secrets). Safe to cancel.
    pub async fn wanted_changed(&mut self) {
        if self.wanted.changed().await.is_err() {
            // Nobody can want anything else any more.
            std::future::pending::<()>().await;
        }
    }

    fn replace(&mut self, state: ClusterState) {
        let changed = self.state.send_if_modified(|current| {
            let changed = !same(current, &state);
            *current = state;
            changed
        });
        if changed {
            self.bell.notify_one();
        }
    }
}

impl Drop for Publisher {
    /// A source that returned or panicked must not pass for one that is up to date.
    fn drop(&mut self) {
        let cluster = self.cluster.clone();
        let mut report = Report::new(&cluster, "the cluster's source");
        report.error(
            "",
            "has stopped, and its objects are no longer followed",
            "restart this edge, and report what its log says",
        );
        self.unavailable(report.into_diagnostics());
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl Reader {
    /// The state now.
    pub(crate) fn state(&self) -> ClusterState {
        self.state.borrow().clone()
    }

    /// The wanted Secrets now.
    pub(crate) fn secrets(&self) -> Secrets {
        self.secrets.borrow().clone()
    }
}

#[cfg(test)]
mod tests;
