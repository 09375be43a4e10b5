//! Support for tests of whole edges: origins, edges and clients on loopback, in one process.
//!
//! Everything listens on ports that the kernel chooses, and nothing sleeps: an origin says what reached it, a client what
//! came back.

pub mod authority;
pub mod backend;
pub mod by_hand;
pub mod client;
pub mod edge;
pub mod fleet;
pub mod h2c;
pub mod origin;
pub mod peered;
pub mod process;
pub mod raw_h2;
pub mod traffic;
pub mod wan;
pub mod world;

pub use authority::Authority;
pub use by_hand::{ByHand, Calls};
pub use client::{Client, Received};
pub use edge::Edge;
pub use h2c::H2cOrigin;
pub use origin::{Answer, Origin};
pub use peered::Peered;
pub use world::World;

use std::time::Duration;

/// How long a test waits for what must happen. Only failing tests ever wait for so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How much memory the process has, in kilobytes: the test, its edges and backends together.
///
/// # Panics
/// Where the kernel does not say.
pub fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says so");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says so");
    line.split_whitespace().next().and_then(|size| size.parse().ok()).expect("a size is a number")
}

/// Waits for what must happen.
///
/// # Panics
/// Where it does not happen.
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}
