//! Micro benchmarks: what one request, one handshake, one change and one tick cost. `docs/performance.md` has the figures.
//!
//! One binary, so that one link is paid for: `cargo bench -p causeway-benches -- plan` runs what has `plan` in its name.

mod compile;
mod config;
mod metrics;
mod plan;
mod sni;
mod table;
mod tick;

fn main() {
    divan::main();
}
