//! What the engine and the listeners need from the rest of the edge: handles, each with its own writer elsewhere.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use causeway_certs::CertCell;
use causeway_core::{Location, Nanos, Snapshot};
use tokio::sync::watch;

use crate::access_log::AccessLog;
use crate::metrics::Metrics;

/// The handles. One exists; listeners and the engine share it.
pub struct Shared {
    /// What requests are decided by. Load it once per request, and hold no guard of it across an await.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// What handshakes are answered with.
    pub certificates: CertCell,
    /// Where clients are.
    pub locate: Box<dyn Fn(IpAddr) -> Option<Location> + Send + Sync>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where requests are logged; asked for only where the configuration says so.
    pub access_log: Option<Arc<AccessLog>>,
    /// The time.
    pub clock: Clock,
    /// Turns true when connections shall end: HTTP/2 is told by GOAWAY, HTTP/1.1 by `Connection: close`.
    pub drain: watch::Receiver<bool>,
}

/// Nanoseconds since the process began.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that stands at zero now. One is made, and shared, since [`Nanos`] of two clocks do not compare.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time.
    pub fn now(self) -> Nanos {
        Nanos(self.0.elapsed().as_nanos() as u64)
    }
}
