//! placeholder
pub mod geo_db;
pub mod metrics;
pub mod readiness;
pub mod forwarded;
pub mod listen;
pub mod reply;
pub mod shared;
pub mod access_log;
pub mod admin;
pub mod health;
pub mod ops_http;
pub mod whoami;
pub mod ctx;
pub mod redirect;
pub mod service;
