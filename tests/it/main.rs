//! Whole edges against real sockets: one binary, a module for each matter.
#![allow(clippy::unwrap_used)]

mod doors;
mod forwarding;
mod framing;
mod hosts;
mod http2;
mod retries;
mod upgrades;
