//! Measurements: what serving teaches about an endpoint and about a cluster.
//!
//! Topology is immutable and replaced whole; measurements outlive it. A cell is shared by every snapshot that holds the
//! same endpoint, written by requests and by [`tick`](crate::health::tick), and read without a lock. Two racing writers
//! may lose one observation of many: that is cheaper than a lock and harms nothing.
//!
//! ```text
//! Attempt --answered, failed--> EndpointCell   latency, silence, failures, outcomes of ten seconds
//!                          \--> ClusterCell    latency, patience; what the tick decided: dark, silent, ramping
//! ```

mod attempt;
mod average;
mod budget;
mod checked;
mod cluster;
mod endpoint;
mod memory;
mod outcomes;
mod patience;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use attempt::{Attempt, Blame, Due, Ear};
pub(crate) use budget::RetryBudget;
pub use cluster::{Closed, ClusterCell};
pub use endpoint::EndpointCell;
pub use memory::{AverageMemory, ClusterMemory, EndpointMemory};
pub(crate) use outcomes::Tally;

/// How fast old latencies are forgotten: after this time an observation weighs 1/e of what it did.
pub const DECAY: Duration = Duration::from_secs(10);

/// What a failed try costs on top of the time it took, so that an endpoint that fails fast never looks fast.
pub const FAILURE_PENALTY: Duration = Duration::from_secs(1);

/// How long a newly ready endpoint takes to get its full part (slow start).
pub const SLOW_START: Duration = Duration::from_secs(10);

/// Gateway failures in a row after which an endpoint is ejected (Envoy's default).
pub const EJECT_AFTER: u32 = 5;

/// How long an endpoint may be unready before it counts as missing capacity rather than as still starting.
pub const STARTING: Duration = Duration::from_mins(5);

/// How long a cluster where nothing answers is left alone before it is tried again; the n-th time in a row n times this, up to
/// the maximum.
pub const DARK: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));

/// How long a cluster that was demoted stays so at least, whatever is learned meanwhile.
pub const HOLD_DOWN: Duration = Duration::from_secs(2);

/// How long a cluster that comes back takes to get its full part, and the part it begins with.
pub const RECOVERY: (Duration, f64) = (Duration::from_secs(30), 0.1);

/// How long a try waits for its answer at most, unless the configuration says otherwise.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);

/// A moment that never comes.
const NEVER: u64 = u64::MAX;
