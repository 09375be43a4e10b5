//! Runs the sources of a fleet, and hands out what they say together.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use causeway_config::{ClusterId, Source};
use causeway_core::cluster::{ClusterState, Freshness};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::debounce::{Debounce, Timing};
use crate::kube::Stats;
use crate::reuse::same;
use crate::secret::Secret;
use crate::source::{Clock, ClusterSource, Publisher, Reader, WantedSecrets};
use crate::store::Secrets;
use crate::translate::Key;

/// Opens the source of a cluster.
pub type SourceFactory = Box<dyn Fn(&ClusterId, &Source) -> Box<dyn ClusterSource> + Send + Sync>;

/// The wanted Secrets of all clusters; the same `Arc` for as long as none changed.
pub type SecretsView = Arc<BTreeMap<(ClusterId, Key), Arc<Secret>>>;

/// What the fleet holds now.
#[derive(Clone, Debug)]
pub struct Update {
    /// Every cluster, in the configuration's order. What did not change since the last update is the same `Arc`.
    pub clusters: Vec<ClusterState>,
    /// The wanted Secrets that exist.
    pub secrets: SecretsView,
}

/// The sources of a fleet, a task each.
///
/// A cluster that never answers holds nobody up: it is [`Freshness::Syncing`] in every update until it does.
pub struct Hub {
    factory: SourceFactory,
    wanted: watch::Receiver<WantedSecrets>,
    clock: Clock,
    bell: Arc<Notify>,
    debounce: Debounce,
    members: Vec<Member>,
    published: Option<Update>,
}

/// A cluster and its running source, which stops when this is dropped.
struct Member {
    cluster: ClusterId,
    source: Source,
    stats: Option<Arc<Stats>>,
    reader: Reader,
    task: JoinHandle<()>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hub {
    /// A hub without clusters. `wanted` says which Secrets may be handed out, now and later.
    pub fn new(factory: SourceFactory, wanted: watch::Receiver<WantedSecrets>, timing: Timing, clock: Clock) -> Self {
        Self {
            factory,
            wanted,
            clock,
            bell: Arc::new(Notify::new()),
            debounce: Debounce::new(timing),
            members: Vec::new(),
            published: None,
        }
    }

    /// Follows exactly these clusters, in this order, from now on; must be called within a runtime.
    ///
    /// A cluster whose source is the same keeps its task and state. One that is read from elsewhere now keeps its last objects
    /// and Secrets, as stale, until the new source has its first state.
    pub fn reconfigure(&mut self, clusters: impl IntoIterator<Item = (ClusterId, Source)>) {
        let mut old = std::mem::take(&mut self.members);
        for (cluster, source) in clusters {
            let before = old.iter().position(|member| member.cluster == cluster).map(|at| old.swap_remove(at));
            let member = match before {
                Some(member) if member.source == source => member,
                before => self.start(cluster, source, before),
            };
            self.members.push(member);
        }
        for gone in &old {
            tracing::info!(cluster = %gone.cluster, "the cluster is followed no more");
        }
        self.bell.notify_one();
    }

    /// The counters of the clusters that are API servers.
    pub fn stats(&self) -> Vec<(ClusterId, Arc<Stats>)> {
        self.members.iter().filter_map(|member| Some((member.cluster.clone(), member.stats.clone()?))).collect()
    }

    /// Waits for the next change, and until it has settled. Equal states are not handed out twice. Safe to cancel.
    pub async fn next(&mut self) -> Update {
        loop {
            self.debounce.settled(&self.bell).await;
            let update = self.collect();
            if self.published.as_ref().is_none_or(|published| !published.same(&update)) {
                self.published = Some(update.clone());
                return update;
            }
        }
    }

    fn start(&self, cluster: ClusterId, source: Source, before: Option<Member>) -> Member {
        let (state, secrets) = match before {
            Some(before) => {
                tracing::info!(%cluster, "the cluster is read from elsewhere now");
                let last = before.reader.state();
                let freshness = match last.freshness {
                    Freshness::Synced => Freshness::Stale((self.clock)()),
                    already => already,
                };
                // The diagnostics speak of what is read no more.
                (ClusterState { freshness, diagnostics: Arc::default(), ..last }, before.reader.secrets())
            }
            None => (ClusterState::syncing(cluster.clone()), Secrets::new()),
        };
        let (publisher, reader) = Publisher::new(state, secrets, self.wanted.clone(), self.bell.clone(), self.clock.clone());
        let opened = (self.factory)(&cluster, &source);
        let counters = opened.stats();
        let task = tokio::spawn(opened.run(publisher));
        Member { cluster, source, stats: counters, reader, task }
    }

    fn collect(&self) -> Update {
        let secrets = self.members.iter().flat_map(|member| {
            let secrets = member.reader.secrets();
            secrets.into_iter().map(|(name, secret)| ((member.cluster.clone(), name), secret))
        });
        let secrets: BTreeMap<_, _> = secrets.collect();
        let before = self.published.as_ref().map(|published| &published.secrets).filter(|before| ***before == secrets);
        Update {
            clusters: self.members.iter().map(|member| member.reader.state()).collect(),
            secrets: before.cloned().unwrap_or_else(|| Arc::new(secrets)),
        }
    }
}

impl Update {
    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.secrets, &other.secrets)
            && self.clusters.len() == other.clusters.len()
            && self.clusters.iter().zip(&other.clusters).all(|(a, b)| same(a, b))
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clusters: Vec<_> = self.members.iter().map(|member| &member.cluster).collect();
        f.debug_struct("Hub").field("clusters", &clusters).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
