//! Causeway's shell: sockets, files, clocks and the engine around the pure core.
//!
//! ```text
//! cli --> app --> control (files, clusters, certificates) --publishes--> snapshot, certificates
//!           \--> listen --> service (the engine's glue) --reads-----------^
//!           |\-> peering (other edges) --reads-and-writes-----> peer
//!            \-> health, admin, metrics, access_log
//! ```

pub mod access_log;
pub mod admin;
pub mod app;
pub mod authorities;
mod checker;
pub mod cli;
mod connect;
pub mod control;
pub mod ctx;
pub mod drain;
pub mod forwarded;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
pub mod geo_db;
pub mod handover;
pub mod health;
mod late;
pub mod limit;
pub mod listen;
pub mod metrics;
pub mod ops_http;
pub mod peer;
pub mod peering;
pub mod process_secret;
mod reaching;
pub mod readiness;
pub mod redirect;
pub mod reply;
pub mod service;
pub mod sessions;
pub mod shared;
pub mod whoami;
