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

pub mod cluster;
pub mod diagnostics;
pub mod geo;
pub mod time;
