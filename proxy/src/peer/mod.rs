//! Edges of one fleet, to each other.
//!
//! ```text
//! calling                                              called
//! addresses --> lanes --ping, once a second--------->  door --> engine --> v1: counts, views
//!                 |                                      |
//! plan --> peer --+--> hop: HTTP/2 over mutual TLS --->  door --> engine --> plan_at_home --> pod
//! hello outside its fence --> relay -----------------> door --> handshake as on the https port
//! ```
//!
//! A *lane* is a connection to an address, kept and used again; several to each, since a load balancer may have many edges
//! behind one address. Who is at the end of a lane, the edge there says in every response. What the pings learn goes to the
//! control plane as a value for `compile`, and into the link cells that plans look at. docs/peers.md has the whole of it.

pub mod addresses;
mod carry;
pub(crate) mod hop;
pub mod lane;
mod names;
pub mod protocol;
pub mod relay;
pub mod sight;
pub mod state;
pub mod trust;
pub mod v1;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use causeway_config::ConfigHash;
use causeway_core::counts::{self, Told};
use causeway_core::link::InstanceId;
use causeway_core::{ClusterPeers, Diagnostic, Nanos, Snapshot};
use tokio::sync::{Notify, watch};

use lane::Roster;
use sight::Sight;
use state::Siblings;
use trust::TrustCell;

/// How old the counts may be that are told: counting ten thousand pools for every ping would be waste.
const COUNTED: Duration = Duration::from_millis(200);

/// What an edge knows of the other edges; one exists, and everybody who deals with them shares it.
pub struct Peers {
    /// Who this edge is.
    pub instance: InstanceId,
    /// Whom it takes for an edge of its fleet.
    pub trust: TrustCell,
    /// The lanes that are kept.
    pub roster: Roster,
    /// Rings when a lane is doubted.
    pub doubts: Notify,
    /// How the clusters are seen.
    pub sight: ArcSwap<Sight>,
    /// What is wrong with peers.
    pub diagnostics: ArcSwap<Vec<Diagnostic>>,
    /// For `compile`; written by the prober alone.
    pub known: watch::Sender<Arc<Vec<ClusterPeers>>>,
    /// What edges of this cluster tell each other.
    pub siblings: Siblings,
    /// The hash of the configuration in use.
    pub config_hash: ArcSwapOption<ConfigHash>,
    tally: Mutex<Tally>,
}

#[derive(Default)]
struct Tally {
    log: counts::Log,
    at: Option<Nanos>,
}

impl Peers {
    /// An edge that knows nobody yet.
    pub fn new() -> Self {
        Self {
            instance: InstanceId::of(fastrand::u128(..)),
            trust: TrustCell::default(),
            roster: Roster::default(),
            doubts: Notify::new(),
            sight: ArcSwap::default(),
            diagnostics: ArcSwap::default(),
            known: watch::channel(Arc::default()).0,
            siblings: Siblings::default(),
            config_hash: ArcSwapOption::empty(),
            tally: Mutex::default(),
        }
    }

    /// What to tell an edge of the pods here that knows generation `known`, and the generation that it will know then.
    fn counts(&self, snapshot: &Snapshot, known: Option<u64>, now: Nanos) -> (u64, Told) {
        // A panic while it was held would have been in a comparison; what it holds is whole.
        let mut tally = self.tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if tally.at.is_none_or(|at| now.since(at) >= COUNTED) {
            tally.log.note(counts::at_home(snapshot, now));
            tally.at = Some(now);
        }
        (tally.log.generation(), tally.log.tell(known))
    }
}

impl Default for Peers {
    fn default() -> Self {
        Self::new()
    }
}
