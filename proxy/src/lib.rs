//! Causeway's shell: sockets, files, clocks and the engine around the pure core.
//!
//! ```text
//! cli --> app --> control (files, clusters, certificates) --publishes--> snapshot, certificates
//!           \--> listen --> service (the engine's glue) --reads-----------^
//!            \-> health, admin, metrics, access_log
//! ```

pub mod access_log;
pub mod admin;
pub mod app;
pub mod cli;
pub mod control;
pub mod ctx;
pub mod forwarded;
pub mod geo_db;
pub mod health;
pub mod listen;
pub mod metrics;
pub mod ops_http;
pub mod readiness;
pub mod redirect;
pub mod reply;
pub mod service;
pub mod shared;
pub mod whoami;
