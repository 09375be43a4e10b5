//! Connects to pods of `direct` clusters before they get requests, as a task: whom and when, the core says.
//!
//! A TCP connection that stands is enough to tell that there is a way; what the pod then does is for active checks and for the
//! requests themselves to find out. It is closed at once: one that is kept would have to belong to the engine.

use std::sync::Arc;
use std::time::Duration;

use causeway_core::check::Checkee;
use causeway_core::cluster::Freshness;
use causeway_core::reach::Reaching;
use causeway_core::{Nanos, Snapshot, health};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use crate::readiness::Guard;
use crate::shared::Shared;

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// For how long an edge that starts waits until each pod was asked once. A cluster that went dark must not keep it from serving.
const AT_START: Duration = Duration::from_secs(2);

/// The task of one edge.
pub(crate) struct Reacher {
    shared: Arc<Shared>,
    reaching: Reaching,
    /// The snapshot that it follows.
    generation: Option<u64>,
    start: Option<Start>,
}

/// Holds the edge's readiness until each pod that is known at the start was asked once, and shares say so.
struct Start {
    _awaited: Guard,
    /// When that is given up; none before home is known.
    late: Option<Nanos>,
    /// When a tick will have taken in what was found out last.
    taken_in: Nanos,
}

impl Reacher {
    /// One that has asked nobody yet.
    pub(crate) fn new(shared: Arc<Shared>, start: Guard) -> Self {
        Self {
            shared,
            reaching: Reaching::default(),
            generation: None,
            start: Some(Start { _awaited: start, late: None, taken_in: Nanos(0) }),
        }
    }

    /// Runs until it is dropped; `replaced` tells of snapshots.
    pub(crate) async fn run(mut self, mut replaced: watch::Receiver<()>) {
        let (ended, mut outcomes) = mpsc::channel(causeway_core::reach::AT_ONCE);
        loop {
            let next = self.ask(&ended);
            tokio::select! {
                Some((who, reached)) = outcomes.recv() => {
                    self.reaching.note(&who, reached, self.shared.clock.now(), &mut fastrand::Rng::new());
                }
                Ok(()) = replaced.changed() => {}
                () = self.shared.clock.until(next) => {}
            }
        }
    }

    /// Asks whoever is due; when somebody will be.
    fn ask(&mut self, ended: &mpsc::Sender<(Checkee, bool)>) -> Option<Nanos> {
        let now = self.shared.clock.now();
        let snapshot = self.shared.snapshot.load();
        if self.generation != Some(snapshot.generation) {
            self.generation = Some(snapshot.generation);
            self.reaching.follow(&snapshot, now);
        }
        let start = self.begin(&snapshot, now);
        for (who, address) in self.reaching.due(now) {
            let ended = ended.clone();
            tokio::spawn(async move {
                let reached = match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
                    Ok(Ok(_)) => true,
                    Ok(Err(error)) => {
                        tracing::debug!(pool = %who.pool, cluster = %who.cluster, %address, %error, "a pod is not reached so far");
                        false
                    }
                    Err(_) => false,
                };
                // Nobody listens once the edge has ended.
                let _ = ended.send((who, reached)).await;
            });
        }
        self.reaching.next().into_iter().chain(start).min()
    }

    /// Reports the start done when it is; else when to look again.
    fn begin(&mut self, snapshot: &Snapshot, now: Nanos) -> Option<Nanos> {
        let start = self.start.as_mut()?;
        let fresh = self.reaching.fresh();
        if fresh {
            start.taken_in = now.after(2 * health::PERIOD);
        }
        if snapshot.clusters.get(snapshot.home).is_none_or(|home| home.freshness == Freshness::Syncing) {
            return None;
        }
        let late = *start.late.get_or_insert(now.after(AT_START));
        if late <= now || start.taken_in <= now {
            self.start = None;
            return None;
        }
        Some(if fresh { late } else { late.min(start.taken_in) })
    }
}
