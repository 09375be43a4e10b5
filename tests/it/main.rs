//! Whole edges against real sockets: one binary, a module for each matter.
#![allow(clippy::unwrap_used)]

mod answers;
mod backend_tls;
mod client_certificates;
mod doors;
mod floods;
mod forwarding;
mod framing;
mod grpc;
mod hosts;
mod http2;
mod limits;
mod loops;
mod paths;
mod plain;
mod proxy_protocol;
mod refusals;
mod retries;
mod sessions;
mod smuggling;
mod smuggling_h2;
mod stalls;
mod streams;
mod upgrades;
