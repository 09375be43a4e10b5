//! What the engine and the listeners need from the rest of the edge: handles, each with its own writer elsewhere.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use causeway_certs::CertCell;
use causeway_core::{Location, Nanos, Snapshot};
use tokio::sync::watch;

use crate::access_log::AccessLog;
use crate::authorities::AuthoritiesCell;
use crate::drain::{Phase, Tally};
use crate::limit::Gate;
use crate::metrics::Metrics;
use crate::peer::Peers;
use crate::sessions::Sessions;

/// The handles. One exists; listeners and the engine share it.
pub struct Shared {
    /// What requests are decided by. Load it once per request, and hold no guard of it across an await.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// What handshakes are answered with.
    pub certificates: CertCell,
    /// Who vouches for backends.
    pub authorities: AuthoritiesCell,
    /// What session cookies are signed by.
    pub sessions: Sessions,
    /// Where clients are.
    pub locate: Box<dyn Fn(IpAddr) -> Option<Location> + Send + Sync>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where requests are logged; asked for only where the configuration says so.
    pub access_log: Option<Arc<AccessLog>>,
    /// The other edges.
    pub peers: Arc<Peers>,
    /// The time.
    pub clock: Clock,
    /// Whether connections shall end.
    pub phase: watch::Receiver<Phase>,
    /// Who may come in.
    pub gate: Arc<Gate>,
    /// Clients' connections that are open.
    pub open: Tally,
}

/// Nanoseconds since a moment long before the process began, so that what is older than the process has a time too.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

/// What the clock stands at when it is started.
const BEFORE: Duration = Duration::from_hours(24 * 3650);

impl Clock {
    /// A clock that stands at ten years now. One is made, and shared, since [`Nanos`] of two clocks do not compare.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time.
    pub fn now(self) -> Nanos {
        Nanos(0).after(BEFORE + self.0.elapsed())
    }

    /// Waits until `moment`; for ever where there is none.
    pub(crate) async fn until(self, moment: Option<Nanos>) {
        match moment {
            Some(moment) => tokio::time::sleep(moment.since(self.now())).await,
            None => std::future::pending().await,
        }
    }
}
