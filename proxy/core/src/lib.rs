//! Causeway's pure core: what the fleet holds in, decisions out.
//!
//! ```text
//! Config, [ClusterState] --compile--> Snapshot --plan--> Plan --next--> Candidate
//!                                        |  ^
//!                                       tick +-- cells: latency, in-flight, failures
//! ```
//!
//! Nothing here reads a clock, draws a random number of its own, waits or logs: time and randomness are arguments, and
//! this crate cannot name tokio, kube or pingora. What is hard to get right lives here, where it is tested without a
//! network.

pub mod cell;
pub mod cluster;
pub mod compile;
pub mod diagnostics;
pub mod explain;
pub mod geo;
pub mod health;
pub mod plan;
pub mod policy;
pub mod pool;
pub mod route;
pub mod share;
pub mod snapshot;
#[cfg(test)]
mod testing;
pub mod time;
pub mod view;

pub use cluster::ClusterState;
pub use compile::{Edge, compile};
pub use diagnostics::{Diagnostic, Severity};
pub use geo::Location;
pub use health::tick;
pub use plan::{Candidate, Plan, Refusal, RequestHead, plan};
pub use snapshot::Snapshot;
pub use time::Nanos;
