//! Causeway's pure core: what the fleet holds in, decisions out.
//!
//! ```text
//! Config, [ClusterState], [ClusterPeers] --compile--> Snapshot --plan--> Plan --next--> Candidate
//!                                        |  ^
//!                                       tick +-- cells: latency, in-flight, failures
//! ```
//!
//! Nothing here reads a clock, draws a random number of its own, waits or logs: time and randomness are arguments, and
//! this crate cannot name tokio, kube or pingora. What is hard to get right lives here, where it is tested without a
//! network.

pub mod agreement;
pub mod cell;
pub mod check;
pub mod cluster;
pub mod compile;
pub mod counts;
pub mod diagnostics;
pub mod distance;
pub mod explain;
pub mod geo;
pub mod health;
pub mod learned;
pub mod link;
pub mod peer;
pub mod plan;
pub mod policy;
pub mod pool;
pub mod pulse;
pub mod reach;
pub mod retry;
pub mod route;
pub mod share;
pub mod snapshot;
pub mod stale;
#[cfg(test)]
mod testing;
pub mod time;
pub mod view;

pub use cluster::ClusterState;
pub use compile::{Edge, compile};
pub use diagnostics::{Diagnostic, Severity};
pub use geo::Location;
pub use health::tick;
pub use learned::{Learned, learned, recall};
pub use peer::ClusterPeers;
pub use plan::{Candidate, Plan, Refusal, RequestHead, Target, plan, plan_at_home};
pub use snapshot::Snapshot;
pub use stale::{Believed, believed};
pub use time::Nanos;
